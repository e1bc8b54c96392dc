"""Scores and learning curves of games.

prefrl sweep experiments/games.toml   # what is missing, resumable
python experiments/games.py           # experiments/results/games.md and games.png, and games-stopped.md

Runs that were stopped before their end are kept in experiments/results/games-stopped: of each its metrics.csv, and what
its config.json says of how it was made.
"""

import csv
import json
from collections.abc import Mapping
from statistics import fmean
from typing import Any

from curves import COLORS, DARK, PALE, draw, panels
from matplotlib.figure import Figure
from sweeping import RESULTS, commits, grid, load


def table(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: a row a run, the games in the order of the sweep."""
    order = list(grid("games").tasks)
    lines = [
        "| game | learned from | steps | score | random | the policy's pairs | correlation by clip |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for run in sorted(runs.values(), key=lambda run: (order.index(run["config"]["task"]), _learned(run))):
        summary = run["summary"]
        score = f"{summary['true_return']:,.1f} ± {summary['true_return_std']:,.1f}"
        found = [summary[name] if _learned(run) else None for name in ("policy_accuracy", "clip_correlation")]
        trust = ["-" if share is None else f"{share:.2f}" for share in found]
        lines.append(
            f"| {summary['task']} | {_reward(run)} | {summary['steps']:,} | {score} | {summary['random_return']:,.1f} "
            f"| {' | '.join(trust)} |"
        )
    lines += [
        "",
        "Score: mean and standard deviation of 20 fresh games of the final policy, acting by chance as it learned. On "
        "fresh experience of that policy: the share of pairs of its clips that the reward orders as the points do, and "
        "the correlation of clips' returns; neither can be told where no points are made. One run each (seed 0), too "
        "few for a claim about games in general. Commits "
        f"{commits(runs)}; made by `prefrl sweep experiments/games.toml` and `python experiments/games.py`.",
    ]
    return "\n".join(lines) + "\n"


def _learned(run: Mapping[str, Any]) -> bool:
    return bool(run["config"]["reward"] == "learned")


def _reward(run: Mapping[str, Any]) -> str:
    """What a run learned from."""
    return f"{run['summary']['labels']:,} comparisons" if _learned(run) else "true reward"


def plot(runs: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A panel a game that has been run: the mean score of the games that ended in a round, against steps."""
    figure = Figure(layout="constrained")
    of = {task: [run for run in runs.values() if run["config"]["task"] == task] for task in grid("games").tasks}
    played = [task for task, its in of.items() if its]
    for task, axis in panels(figure, played):
        for run in of[task]:
            look = (COLORS[1], "-") if _learned(run) else (DARK, "--")
            draw(axis, [run], *look, label=_reward(run), band=False)
        random = fmean(run["summary"]["random_return"] for run in of[task])
        axis.axhline(random, color=PALE, linewidth=1, linestyle=":", label="random")
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("thousand steps of 4 frames")
    figure.axes[0].set_ylabel("score while learning")
    if len(played) == 1:
        figure.set_size_inches(5.4, 3.4)
    return figure


def stopped() -> str:
    """Markdown: a row for each run that was stopped before its end."""
    lines = [
        "| learned from | seed | reward's minibatches | policy's | score at 1 million steps | at the end "
        "| stopped after | commit |",
        "| --- | ---: | --- | --- | ---: | ---: | ---: | --- |",
    ]
    for path in sorted((RESULTS / "games-stopped").glob("*.json")):
        config = json.loads(path.read_text())
        with path.with_suffix(".csv").open(newline="") as file:
            curve = [(float(row["steps"]), float(row["true_return"])) for row in csv.DictReader(file)]
        fit, policy, learned = config["loop"]["fit"], config["learner"], config["reward"] == "learned"
        stepped = f"{policy['batch_size']}, {policy['learning_rate']:g}, {policy['entropy_bonus']:g}"
        fitted = f"{fit['first_epochs']} passes, then {fit['updates']} of {fit['batch_size']}" if learned else "none"
        source = f"{config['labels']:,} comparisons" if learned else "true reward"
        _, score = min(curve, key=lambda point: abs(point[0] - 1e6))
        steps, last = curve[-1]
        lines.append(
            f"| {source} | {config['seed']} | {fitted} | {stepped} | {score:.1f} | {last:.1f} | {steps:,.0f} | "
            f"{config['commit'][:12]}{'*' * config['commit'].endswith('-dirty')} |"
        )
    lines += [
        "",
        "Pong: mean score of the games that ended in a round, the policy acting with its noise. Minibatches are of "
        "the reward's fits: passes over the first answers, then so many in a round, of so many comparisons; and of "
        "PPO: of so many steps, with this step size and entropy bonus. A star: these were set in the code.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    runs = load("games")
    (RESULTS / "games.md").write_text(table(runs))
    (RESULTS / "games-stopped.md").write_text(stopped())
    plot(runs).savefig(RESULTS / "games.png", dpi=130)
