"""Does a policy learned from 700 comparisons match one that saw the reward?

prefrl sweep experiments/learning.toml   # what is missing, two at a time; hours from nothing, resumable after any kill
python experiments/learning.py           # experiments/results/learning.md and learning.png from the committed data
"""

from collections import defaultdict
from typing import Any

import matplotlib
import numpy as np
from curves import COLORS, DARK, draw, panels
from matplotlib.figure import Figure
from sweeping import RESULTS, commits, grid, interval, load, normalized, shown

GRID = grid("learning")
ALGOS = ("trpo", "ppo")  # the default first


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: one row a task and algorithm, and the mean of each algorithm."""
    summaries = [result["summary"] for result in results.values()]
    lines = [
        "| algorithm | task | steps | random | true reward | 700 comparisons | normalized score | n |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for algo in ALGOS:
        by_seed: dict[int, list[float]] = defaultdict(list)
        for task in GRID.tasks:
            runs = [s for s in summaries if (s["task"], s["algo"]) == (task, algo)]
            true, learned = ([s for s in runs if s["reward"] == reward] for reward in ("true", "learned"))
            scores = {summary["seed"]: normalized(summary, true) for summary in learned}
            for seed, score in scores.items():
                by_seed[seed].append(score)
            returns = [[s["true_return"] for s in which] for which in (true, learned)]
            digits = 0 if abs(np.mean(returns[0])) >= 100 else 2
            random = np.mean([s["random_return"] for s in runs])
            lines.append(
                f"| {algo} | {task} | {learned[0]['steps']:,} | {random:,.{digits}f} | {shown(returns[0], digits)} | "
                f"{shown(returns[1], digits)} | {shown(list(scores.values()), 2)} | {len(learned)} |"
            )
        mean, half = interval([float(np.mean(scores)) for scores in by_seed.values()])
        capped, capped_half = interval([float(np.mean(np.minimum(scores, 1.0))) for scores in by_seed.values()])
        lines.append(
            f"| {algo} | **mean** | | | | each score at most 1: {capped:.2f} ± {capped_half:.2f} | "
            f"**{mean:.2f}** ± {half:.2f} | {len(by_seed)} |"
        )
    lines += [
        "",
        "True return: mean over seeds of the mean of 20 fresh episodes of the final policy, acting deterministically; "
        "± is half the 95 % t-interval over seeds. Normalized score: (return - random) / (mean return of the same "
        f"algorithm on the true reward - random). Seeds {', '.join(map(str, GRID.seeds))}; commits {commits(results)}; "
        "made by `prefrl sweep experiments/learning.toml` and `python experiments/learning.py`.",
    ]
    return "\n".join(lines) + "\n"


def plot(results: dict[str, dict[str, Any]]) -> Figure:
    """Curves of the true return under the default algorithm: mean over seeds, band from the lowest to the highest."""
    looks = {"true": ("true reward", DARK, "--"), "learned": ("700 comparisons", COLORS[1], "-")}
    with matplotlib.rc_context({"axes.spines.top": False, "axes.spines.right": False, "font.size": 9}):
        figure = Figure(layout="constrained")
        for task, axis in panels(figure, GRID.tasks):
            for reward, (label, color, dash) in looks.items():
                wanted = (task, ALGOS[0], reward)
                runs = [
                    r
                    for r in results.values()
                    if (r["summary"]["task"], r["summary"]["algo"], r["summary"]["reward"]) == wanted
                ]
                draw(axis, runs, color, dash, label=label)
        figure.axes[0].set_ylabel("true return while learning")
    return figure


if __name__ == "__main__":
    text = table(load("learning"))
    (RESULTS / "learning.md").write_text(text)
    plot(load("learning")).savefig(RESULTS / "learning.png", dpi=130)
    print(text)
