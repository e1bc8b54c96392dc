"""The measurements behind defaults, each a sweep file of alternatives that differ in one setting.

prefrl sweep experiments/acquisition.toml   # which query to ask: what is missing, two at a time, resumable
python experiments/choices.py               # experiments/results/*.md of all choices from the committed data
"""

import sys
from collections import defaultdict
from typing import Any

from sweeping import RESULTS, commits, grid, load, shown

from prefrl.commands.sweeping.rows import Grid, flags

CHOICES = {name: grid(name) for name in ("acquisition",)}


def table(name: str, choice: Grid, results: dict[str, dict[str, Any]]) -> str:
    """Markdown: one row an alternative."""
    gains: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    last: dict[str, list[dict[str, float]]] = defaultdict(list)
    for row in choice.rows:
        result = results[row.name]
        gains[row.task, row.setting][row.seed] = result["summary"]["true_return"] - result["summary"]["random_return"]
        last[row.setting].append({key: values[-1] for key, values in result["curve"].items()})
    seeds, alternatives = choice.seeds, choice.settings
    scale = {
        task: sum(sum(gains[task, a].values()) / len(seeds) for a in alternatives) / len(alternatives)
        for task in choice.tasks
    }
    lines = [
        f"| {name} | {' | '.join(choice.tasks)} | share of the mean | held-out accuracy | correlation | n |",
        "| --- |" + " ---: |" * (len(choice.tasks) + 4),
    ]
    for alternative in alternatives:
        cells = [shown(list(gains[task, alternative].values()), 0) for task in choice.tasks]
        shares = [
            sum(gains[task, alternative][seed] / scale[task] for task in choice.tasks) / len(choice.tasks)
            for seed in seeds
        ]
        quality = [_mean([row[key] for row in last[alternative]]) for key in ("reward_accuracy", "reward_correlation")]
        lines.append(
            f"| {alternative} | {' | '.join(cells)} | {shown(shares, 2)} | {' | '.join(quality)} | {len(seeds)} |"
        )
    lines += [
        "",
        f"`{' '.join(flags(choice.shared))}`. True return above random of the final policy in 20 fresh episodes, mean "
        f"± half the 95 % t-interval over seeds {', '.join(map(str, seeds))}; share: divided by the task's mean over "
        "all rows, averaged over tasks; accuracy and correlation (of predicted and true reward, by step) of the reward "
        f"in the last round. Commits {commits(results)}; made by `prefrl sweep experiments/{name}.toml` and `python "
        "experiments/choices.py`.",
    ]
    return "\n".join(lines) + "\n"


def _mean(values: list[float | None]) -> str:
    present = [value for value in values if value is not None]
    return f"{sum(present) / len(present):.2f}" if present else "-"


if __name__ == "__main__":
    for name, choice in CHOICES.items():
        results = load(name)
        names = {row.name for row in choice.rows}
        if missing := names - results.keys():
            print(f"{name}: {len(missing)} of {len(names)} runs are missing", file=sys.stderr)
            continue
        (RESULTS / f"{name}.md").write_text(table(name, choice, results))
