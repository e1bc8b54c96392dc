"""The measurement behind a default: which query to ask.

python experiments/choices.py run acquisition   # what is missing, two at a time, resumable after any kill
python experiments/choices.py table             # experiments/results/*.md of all choices from the committed data
"""

import sys
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from sweeping import RESULTS, carry_out, interval, load

SEEDS = range(3)


@dataclass(frozen=True)
class Choice:
    """Alternatives that differ in one setting of `prefrl train`."""

    tasks: tuple[str, ...]
    settings: str  # that all alternatives share
    alternatives: dict[str, str]  # name -> the settings that make it

    def rows(self) -> dict[str, list[str]]:
        """The runs, by name."""
        return {
            f"{task}-{name}-{seed}": [task, *self.settings.split(), *settings.split(), "--seed", str(seed)]
            for seed in SEEDS
            for name, settings in self.alternatives.items()
            for task in self.tasks
        }


RULES = ("uniform", "disagreement", "entropy", "information-gain", "mixture")
CHOICES = {
    # Few comparisons, so that it matters which.
    "acquisition": Choice(
        ("cheetah", "hopper"), "--steps 200000 --labels 200", {rule: f"--acquisition {rule}" for rule in RULES}
    ),
}


def table(name: str, choice: Choice, results: dict[str, dict[str, Any]]) -> str:
    """Markdown: one row an alternative."""
    gains: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    last: dict[str, list[dict[str, float]]] = defaultdict(list)
    for alternative in choice.alternatives:
        for task in choice.tasks:
            for seed in SEEDS:
                result = results[f"{task}-{alternative}-{seed}"]
                gains[task, alternative][seed] = result["summary"]["true_return"] - result["summary"]["random_return"]
                last[alternative].append({key: values[-1] for key, values in result["curve"].items()})
    scale = {
        task: sum(sum(gains[task, a].values()) / len(SEEDS) for a in choice.alternatives) / len(choice.alternatives)
        for task in choice.tasks
    }
    lines = [
        f"| {name} | {' | '.join(choice.tasks)} | share of the mean | held-out accuracy | correlation | n |",
        "| --- |" + " ---: |" * (len(choice.tasks) + 4),
    ]
    for alternative in choice.alternatives:
        cells = [_shown(list(gains[task, alternative].values()), 0) for task in choice.tasks]
        shares = [
            sum(gains[task, alternative][seed] / scale[task] for task in choice.tasks) / len(choice.tasks)
            for seed in SEEDS
        ]
        quality = [_mean([row[key] for row in last[alternative]]) for key in ("reward_accuracy", "reward_correlation")]
        lines.append(
            f"| {alternative} | {' | '.join(cells)} | {_shown(shares, 2)} | {' | '.join(quality)} | {len(SEEDS)} |"
        )
    commits = sorted({(r["config"]["commit"] or "?")[:12] for r in results.values()})
    lines += [
        "",
        f"`{choice.settings}`. True return above random of the final policy in 20 fresh episodes, mean ± half the "
        f"95 % t-interval over seeds {', '.join(map(str, SEEDS))}; share: divided by the task's mean over all rows, "
        "averaged over tasks; accuracy and correlation (of predicted and true reward, by step) of the reward in the "
        "last round. "
        f"Commits {', '.join(commits)}; made by `python experiments/choices.py run {name}` and `table` from "
        f"`experiments/results/{name}/`.",
    ]
    return "\n".join(lines) + "\n"


def _shown(values: list[float], digits: int) -> str:
    mean, half = interval(values)
    return f"{mean:,.{digits}f} ± {half:,.{digits}f}"


def _mean(values: list[float | None]) -> str:
    present = [value for value in values if value is not None]
    return f"{sum(present) / len(present):.2f}" if present else "-"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run", name] if name in CHOICES:
            carry_out(name, CHOICES[name].rows(), processes=2)
        case ["table"]:
            for name, choice in CHOICES.items():
                results = load(name)
                if missing := choice.rows().keys() - results.keys():
                    print(f"{name}: {len(missing)} of {len(choice.rows())} runs are missing", file=sys.stderr)
                    continue
                (RESULTS / f"{name}.md").write_text(table(name, choice, results))
        case _:
            sys.exit(f"{__doc__}\nchoices: {', '.join(CHOICES)}")
