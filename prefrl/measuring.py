"""How far a reward model can be trusted: pure formulas over what it predicts and what is true, or was answered."""

import math
from collections.abc import Sequence

import numpy as np
import torch

from prefrl.comparisons import Comparison, collate_options
from prefrl.ensemble import RewardEnsemble


@torch.no_grad()
def preferences_of(ensemble: RewardEnsemble, comparisons: Sequence[Comparison]) -> tuple[np.ndarray, np.ndarray]:
    """P [n] that the first of two options is better, averaged over members, and how much of the answer it got [n].

    Comparisons of more than two options count with their first two.
    """
    batch, places = collate_options([comparison.options[:2] for comparison in comparisons])
    first, second = ensemble.returns(batch)[:, places].unbind(dim=-1)
    preferred = torch.sigmoid(first - second).mean(dim=0)
    return preferred.double().numpy(), share_of_first(np.array([c.mu[:2] for c in comparisons]))


def share_of_first(mu: np.ndarray) -> np.ndarray:
    """How much of the answers [..., K] the first of their first two options got, [...]; .5 where neither got any."""
    both = mu[..., 0] + mu[..., 1]
    share: np.ndarray = np.divide(mu[..., 0], both, out=np.full(both.shape, 0.5), where=both > 0)
    return share


def reliability(preferred: np.ndarray, told: np.ndarray, *, bins: int = 10) -> tuple[float, float]:
    """Share of decided answers predicted, and the expected calibration error (Guo et al. 2017, equation 3).

    Every comparison is counted from the side that is predicted to win: confidence is at least .5, and what it is held
    against is how much of the answer that side got. NaN where nothing can be counted.
    """
    if len(preferred) == 0:
        return math.nan, math.nan
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


def every_pair(returns: np.ndarray, true: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of n segments as `reliability` takes it: [n (n - 1) / 2] twice.

    From predicted returns [E, n] in log-odds comes P that the first is better, averaged over members, and from true
    returns [n] which one is.
    """
    first, second = np.triu_indices(len(true), 1)
    preferred = (1.0 / (1.0 + np.exp(np.clip(returns[:, second] - returns[:, first], -500.0, 500.0)))).mean(axis=0)
    return preferred, (np.sign(true[first] - true[second]) + 1.0) / 2.0


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's, over all elements; NaN where one of them is constant."""
    if a.size == 0 or a.std() == 0 or b.std() == 0:
        return math.nan
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def canonically_shaped(
    reward: np.ndarray, from_state: np.ndarray, from_next: np.ndarray, *, gamma: float
) -> np.ndarray:
    """Rewards with all potential shaping taken out (Gleave et al. 2021, section 4), [n].

    R(s, a, s') + gamma E[R(s', A, S')] - E[R(s, A, S')] - gamma E[R(S, A, S')], for n transitions (s, a, s') of rewards
    `reward` [n]; `from_state` [n, m] and `from_next` [n, m] are rewards of m drawn (A, S') in s and in s', and S is
    drawn from the states s. Of a reward R(s, a) there is no S' to draw; s' is needed all the same.
    """
    at_state = from_state.mean(axis=1)
    shaped: np.ndarray = reward + gamma * from_next.mean(axis=1) - at_state - gamma * at_state.mean()
    return shaped


def epic_distance(a: np.ndarray, b: np.ndarray) -> float:
    """sqrt((1 - rho) / 2), rho the correlation of two canonically shaped rewards [n] of the same transitions.

    Gleave et al. 2021, section 4, EPIC: 0 for rewards that are equal but for scale, shaping and a
    constant, 1 for opposite ones, .71 for unrelated ones. NaN where one is constant.
    """
    rho = correlation(a, b)
    return math.sqrt(max(0.0, 1.0 - rho) / 2.0) if math.isfinite(rho) else math.nan
