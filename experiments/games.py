"""Learning curves of games, of runs that are still going on, too.

prefrl sweep experiments/games.toml        # what is missing, resumable
python experiments/games.py runs/games/*   # results/games.json: the curves of these runs as far as they are; then:
python experiments/games.py                # experiments/results/games.md and games.png from the committed data
"""

import json
import math
import shlex
import sys
from pathlib import Path
from typing import Any

from curves import COLORS, DARK, draw, panels
from matplotlib.figure import Figure
from sweeping import RESULTS, commits, grid

from prefrl.commands.results import read_run

DATA = RESULTS / "games.json"


def collected(folders: list[Path]) -> dict[str, dict[str, Any]]:
    """Configuration, curve and, if finished, summary of those runs that are rows of the sweep, by row's name."""
    rows = {row.name: row for row in grid("games").rows}
    found = {}
    for folder in folders:
        if folder.name in rows:
            run = read_run(folder)
            curve = {c: [None if math.isnan(v) else round(v, 4) for v in vs] for c, vs in run.metrics.items()}
            command = shlex.join(["prefrl", "train", *rows[folder.name].arguments])  # the folder is one machine's
            config = dict(run.config) | {"command": command}
            found[folder.name] = {"config": config, "curve": curve, "summary": run.summary and dict(run.summary)}
    return found


def table(runs: dict[str, dict[str, Any]]) -> str:
    """Markdown: a row a run."""
    lines = ["| game | learned from | steps | score | random |", "| --- | --- | ---: | ---: | ---: |"]
    for run in sorted(runs.values(), key=lambda run: (run["config"]["task"], run["config"]["reward"] == "learned")):
        score, random, summary = "not finished", "-", run["summary"]
        if summary:
            score = f"{summary['true_return']:+.1f} ± {summary['true_return_std']:.1f}"
            random = f"{summary['random_return']:+.1f}"
        steps = f"{run['curve']['steps'][-1]:,.0f}"
        lines.append(f"| {run['config']['task']} | {_reward(run)} | {steps} | {score} | {random} |")
    lines += [
        "",
        "Score: mean and standard deviation of 20 fresh games of the final policy, acting by chance as it learned. One "
        f"run each (seed 0), too few for a claim about games in general. Commits {commits(runs)}; made by "
        "`prefrl sweep experiments/games.toml` and `python experiments/games.py`.",
    ]
    return "\n".join(lines) + "\n"


def _reward(run: dict[str, Any]) -> str:
    """What a run learned from, so far."""
    return f"{run['curve']['labels'][-1]:,.0f} comparisons" if run["config"]["reward"] == "learned" else "true reward"


def plot(runs: dict[str, dict[str, Any]]) -> Figure:
    """A panel a game: the mean score of the games that ended in a round, against steps."""
    figure = Figure(layout="constrained")
    for task, axis in panels(figure, grid("games").tasks):
        for run in (run for run in runs.values() if run["config"]["task"] == task):
            learned = run["config"]["reward"] == "learned"
            draw(axis, [run], COLORS[1] if learned else DARK, "-" if learned else "--", label=_reward(run), band=False)
            axis.plot(run["curve"]["steps"][-1] / 1e3, run["curve"]["true_return"][-1], ".", color="black")
        axis.set_ylabel("score while learning")
        axis.spines[["top", "right"]].set_visible(False)
    figure.set_size_inches(5.4, 3.4)
    return figure


if __name__ == "__main__":
    if len(sys.argv) > 1:
        DATA.write_text(json.dumps(collected([Path(word) for word in sys.argv[1:]])) + "\n")
    runs = json.loads(DATA.read_text())
    (RESULTS / "games.md").write_text(table(runs))
    plot(runs).savefig(RESULTS / "games.png", dpi=130)
