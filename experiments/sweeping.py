"""What the experiments share: where things are, committed results, mean and interval, normalized scores.

`prefrl sweep experiments/NAME.toml` runs what is missing of an experiment, in runs/NAME (not committed), and keeps a
JSON file a run in experiments/results/NAME: settings, versions, commit, summary and curve.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from prefrl.commands.statistics import normalized_score, t95
from prefrl.commands.sweeping import outcomes
from prefrl.commands.sweeping.rows import Grid, read_grid

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "experiments"
RESULTS = Path(__file__).parent / "results"


def grid(experiment: str) -> Grid:
    """The rows of an experiment's sweep file."""
    return read_grid(ROOT / "experiments" / f"{experiment}.toml")


def load(experiment: str) -> dict[str, dict[str, Any]]:
    """The committed results, by name."""
    return outcomes.load(RESULTS / experiment)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % t-interval; NaN for fewer than two values."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, t95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))


def shown(values: Sequence[float], kind: int | str) -> str:
    """Mean and half its interval, where there is one, to so many digits or in a format; - where there is nothing."""
    if not values:
        return "-"
    spec = f",.{kind}f" if isinstance(kind, int) else kind
    mean, half = interval(values)
    return f"{mean:{spec}}" + (f" ± {half:{spec}}" if math.isfinite(half) else "")


def normalized(learned: Mapping[str, Any], baselines: Sequence[Mapping[str, Any]]) -> float:
    """(return - random) / (baseline's return - random): 0 is a random policy, 1 the mean true-reward baseline."""
    random = statistics.fmean(summary["random_return"] for summary in [learned, *baselines])
    best = statistics.fmean(summary["true_return"] for summary in baselines)
    return normalized_score(float(learned["true_return"]), random=random, best=best)


def commits(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The commits that made the results."""
    return ", ".join(sorted({(result["config"]["commit"] or "?")[:12] for result in results.values()}))
