"""The few statistics that reports need, in plain Python."""

import math
import statistics
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Two-sided 95 % points of Student's t for 1, 2, ... degrees of freedom.
_T95 = (
    *(12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281),
    *(2.2010, 2.1788, 2.1604, 2.1448, 2.1314, 2.1199, 2.1098, 2.1009, 2.0930, 2.0860),
    *(2.0796, 2.0739, 2.0687, 2.0639, 2.0595, 2.0555, 2.0518, 2.0484, 2.0452, 2.0423),
)
_Z95 = 1.959964


def t95(freedom: int) -> float:
    """The two-sided 95 % point of Student's t distribution."""
    if freedom < 1:
        raise ValueError(f"Student's t needs at least 1 degree of freedom, got {freedom}")
    if freedom <= len(_T95):
        return _T95[freedom - 1]
    # The first terms of its expansion in 1 / freedom (Abramowitz and Stegun 26.7.5): right to 0.0001 from here on.
    first, second = (_Z95**3 + _Z95) / 4, (5 * _Z95**5 + 16 * _Z95**3 + 3 * _Z95) / 96
    return _Z95 + first / freedom + second / freedom**2


def spread(values: Sequence[float]) -> tuple[float, float]:
    """How far a mean can be trusted: its 95 % t-interval from 3 values on, smallest and largest of 2, itself for 1."""
    if len(values) < 3:
        return min(values), max(values)
    mean, half = statistics.fmean(values), t95(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values))
    return mean - half, mean + half


def wilson95(successes: int, n: int) -> tuple[float, float]:
    """95 % interval of a share (Wilson 1927); (0, 1) of nothing."""
    if n == 0:
        return 0.0, 1.0
    share, z2 = successes / n, _Z95**2
    center = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z95 * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n)) / (1 + z2 / n)
    return max(0.0, center - half), min(1.0, center + half)


def normalized_score(value: float, *, random: float, best: float) -> float:
    """0 for a random policy, 1 for one trained on the true reward; NaN where these two are equal."""
    return (value - random) / (best - random) if best != random else math.nan


def interquartile_mean(values: Sequence[float]) -> float:
    """Mean without the lowest and the highest quarter, floor(n / 4) values each (Agarwal et al. 2021, section 4.3)."""
    cut = len(values) // 4
    return statistics.fmean(sorted(values)[cut : len(values) - cut])


def stratified_bootstrap(
    strata: Sequence[Sequence[float]],
    statistic: Callable[[Sequence[Sequence[float]]], float],
    rng: "np.random.Generator",
    *,
    repetitions: int = 2000,
) -> tuple[float, float]:
    """95 % interval of a statistic of all strata (Agarwal et al. 2021, section 4.1).

    A stratum holds the scores of one task, a score a seed; each is drawn anew from itself with replacement, and the
    interval lies between the 2.5 and 97.5 percentiles of the statistic over all repetitions.
    """
    found = sorted(
        statistic([[stratum[i] for i in rng.integers(len(stratum), size=len(stratum))] for stratum in strata])
        for _ in range(repetitions)
    )
    edge = round(0.025 * (repetitions - 1))
    return found[edge], found[repetitions - 1 - edge]
