"""How far a reward model can be trusted: accuracy and calibration on comparisons that it never saw."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from prefrl.comparisons import Comparison
from prefrl.ensemble import RewardEnsemble
from prefrl.segments import collate


@torch.no_grad()
def preferences_of(ensemble: RewardEnsemble, comparisons: Sequence[Comparison]) -> tuple[np.ndarray, np.ndarray]:
    """P [n] that the first of two options is better, averaged over members, and how much of the answer it got [n].

    Comparisons of more than two options count with their first two.
    """
    segments = {s.id: s for comparison in comparisons for s in comparison.options[:2]}
    place = {name: i for i, name in enumerate(segments)}
    returns = ensemble.returns(collate(list(segments.values())))
    first = torch.tensor([place[c.options[0].id] for c in comparisons])
    second = torch.tensor([place[c.options[1].id] for c in comparisons])
    preferred = torch.sigmoid(returns[:, first] - returns[:, second]).mean(dim=0)
    told = [c.mu[0] / (c.mu[0] + c.mu[1]) if c.mu[0] + c.mu[1] > 0 else 0.5 for c in comparisons]
    return preferred.double().numpy(), np.array(told)


def reliability(preferred: np.ndarray, told: np.ndarray, *, bins: int = 10) -> tuple[float, float]:
    """Share of decided answers predicted, and the expected calibration error (Guo et al. 2017, equation 3).

    Every comparison is counted from the side that is predicted to win: confidence is at least .5, and what it is held
    against is how much of the answer that side got.
    """
    confidence = np.maximum(preferred, 1.0 - preferred)
    won = np.where(preferred >= 0.5, told, 1.0 - told)
    decided = told != 0.5
    accuracy = float((won[decided] > 0.5).mean()) if decided.any() else math.nan
    which = np.minimum(((confidence - 0.5) * 2 * bins).astype(int), bins - 1)
    error = 0.0
    for b in np.unique(which):
        inside = which == b
        error += inside.mean() * abs(confidence[inside].mean() - won[inside].mean())
    return accuracy, float(error)
