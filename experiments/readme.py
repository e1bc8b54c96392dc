"""Put the tables that experiments made into the README, between its markers.

python experiments/readme.py
"""

import json
import re
from pathlib import Path

from sweeping import RESULTS, ROOT

README = ROOT / "README.md"
PAPER = ("figure2", "trust", "figure5", "beyond", "v5", "behaviors")  # made by paper.py, as far as their runs are there


def benchmarks() -> str:
    """Markdown of all benchmarks of control."""
    lines = ["| what | ratio | n |", "| --- | ---: | ---: |"]
    for name, turns, unit in (
        ("overhead", "seconds_per_step", "wall time"),
        ("fit", "comparisons_per_second", "comparisons fitted a second"),
        ("atari_speed", "steps_per_second", "Pong, steps a second"),
    ):
        result = json.loads((RESULTS / f"{name}.json").read_text())
        count = len(result[turns])
        lines += [f"| {unit}: {ratio} | {value:.2f} | {count} |" for ratio, value in result["ratios"].items()]
    lines += [
        "",
        "Medians over turns. *plain* is Stable-Baselines3's TRPO on DummyVecEnv and VecNormalize; *true* and *learned* "
        "are `prefrl train cheetah --steps 300000` on the true reward and on 700 comparisons, all with one thread and "
        "the same settings; *loop* fits member by member and pair by pair; *limit* is the matrix products alone at "
        "this core's best. Of Pong *plain* is Stable-Baselines3's PPO on its own Atari wrappers, *environment* and "
        "*network* each go alone, and two threads are used, on a processor with AVX-512 and VNNI; without them "
        "*learned* was further behind *true*.",
    ]
    return "\n".join(lines) + "\n"


def measured(name: str) -> str:
    """A table, or that there is none yet."""
    path = RESULTS / f"{name}.md"
    return path.read_text() if path.exists() else "Not measured yet.\n"


def filled(readme: str) -> str:
    """The README with every table as the data have it."""
    tables = {
        "learning": (RESULTS / "learning.md").read_text(),
        "acquisition": (RESULTS / "acquisition.md").read_text(),
        "benchmarks": benchmarks(),
        "games": measured("games"),
        "games-stopped": measured("games-stopped"),
        "text_demo": measured("text_demo"),
        "overoptimization": measured("overoptimization"),
        "text_labels": measured("text_labels"),
        "text-ppo": measured("text-ppo"),
    }
    tables |= {name: path.read_text() for name in PAPER if (path := RESULTS / f"{name}.md").exists()}
    for name, table in tables.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)"
        readme = re.sub(pattern, lambda m, table=table: m[1] + table + m[2], readme, flags=re.DOTALL)  # type: ignore[misc]
    return readme


def main(path: Path = README) -> None:
    """Rewrite the README."""
    path.write_text(filled(path.read_text()))


if __name__ == "__main__":
    main()
