import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from worlds import clip

from prefrl.choice import pairs_ordered_alike
from prefrl.comparisons import Comparison
from prefrl.ensemble import RewardEnsemble
from prefrl.measuring import (
    canonically_shaped,
    correlation,
    epic_distance,
    every_pair,
    preferences_of,
    reliability,
    share_of_first,
)
from prefrl.segments import SegmentBatch

# ---- accuracy and calibration ----------------------------------------------------------------------------------------


def test_accuracy_and_calibration_by_hand() -> None:
    """.8 sure and right twice of three times, so .13 off; of the two others .6 sure and right half the time, .1 off."""
    preferred = np.array([0.8, 0.8, 0.2, 0.6, 0.4])
    told = np.array([1.0, 0.0, 0.0, 1.0, 1.0])
    accuracy, error = reliability(preferred, told, bins=5)
    assert accuracy == pytest.approx(0.6)
    assert error == pytest.approx(0.6 * (0.8 - 2 / 3) + 0.4 * 0.1)


def test_ties_do_not_count_for_accuracy_and_swapping_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    preferred, told = rng.random(50), rng.integers(0, 2, 50).astype(float)
    assert reliability(1 - preferred, 1 - told) == pytest.approx(reliability(preferred, told))
    accuracy, error = reliability(np.array([0.5]), np.array([0.5]))
    assert math.isnan(accuracy)
    assert error == 0


def test_nothing_to_count_is_unknown() -> None:
    assert all(map(math.isnan, reliability(np.array([]), np.array([]))))


def test_how_much_the_first_got() -> None:
    mu = np.array([[1.0, 0.0, 0.0], [0.25, 0.75, 0.0], [0.2, 0.2, 0.6], [0.0, 0.0, 1.0]])
    assert share_of_first(mu).tolist() == [1.0, 0.25, 0.5, 0.5]


class Sum(nn.Module):
    """Two members: the sum of an observation, and twice that."""

    members = 2

    def forward(self, batch: SegmentBatch) -> Tensor:
        return torch.stack([batch.obs.sum(dim=-1), 2 * batch.obs.sum(dim=-1)])


def test_preferences_are_averaged_over_members() -> None:
    high, low = clip(np.full((2, 1), 0.5 * math.log(3))), clip(np.zeros((2, 1)))  # log-odds of log 3, and of log 9
    ensemble = RewardEnsemble(Sum(), credit="each_step")
    preferred, told = preferences_of(
        ensemble, [Comparison((high, low), (1.0, 0.0)), Comparison((low, high), (0.5, 0.5))]
    )
    assert preferred == pytest.approx([(3 / 4 + 9 / 10) / 2, (1 / 4 + 1 / 10) / 2])
    assert told.tolist() == [1.0, 0.5]


def test_every_pair_by_hand() -> None:
    returns = np.array([[math.log(3), 0.0, 0.0], [math.log(9), 0.0, 0.0]])
    preferred, told = every_pair(returns, np.array([2.0, 5.0, 2.0]))  # (0, 1), (0, 2), (1, 2)
    assert preferred == pytest.approx([0.825, 0.825, 0.5])
    assert told.tolist() == [0.0, 0.5, 1.0]
    assert [len(part) for part in every_pair(returns[:, :1], np.array([1.0]))] == [0, 0]
    assert every_pair(np.array([[0.0, 1e6]]), np.array([0.0, 1.0]))[0].tolist() == [pytest.approx(0.0)]


def test_every_pair_is_every_pair_that_is_ordered_alike() -> None:
    rng = np.random.default_rng(0)
    predicted, true = rng.normal(size=30), rng.normal(size=30)
    alike = pairs_ordered_alike(torch.from_numpy(predicted), torch.from_numpy(true))
    assert alike == pytest.approx(reliability(*every_pair(predicted[None], true))[0])


def test_correlation() -> None:
    assert correlation(np.array([[0.0, 1.0], [2.0, 3.0]]), np.array([[1.0, 3.0], [5.0, 7.0]])) == pytest.approx(1.0)
    assert math.isnan(correlation(np.zeros(3), np.arange(3.0)))
    assert math.isnan(correlation(np.array([]), np.array([])))


# ---- EPIC ------------------------------------------------------------------------------------------------------------


def test_canonical_shaping_by_hand() -> None:
    """States earn 2 and 6 on average, next states 4 and 0; gamma 1/2: r + 2 - 2 - 2 and r + 0 - 6 - 2."""
    shaped = canonically_shaped(
        np.array([10.0, 20.0]), np.array([[1.0, 3.0], [6.0, 6.0]]), np.array([[4.0, 4.0], [-1.0, 1.0]]), gamma=0.5
    )
    assert shaped.tolist() == [8.0, 12.0]


def test_epic_distance_by_hand() -> None:
    a = np.array([-1.0, 1.0, -1.0, 1.0])
    assert epic_distance(a, 3 * a + 2) == pytest.approx(0.0, abs=1e-7)
    assert epic_distance(a, -a) == pytest.approx(1.0)
    assert epic_distance(a, np.array([1.0, 1.0, -1.0, -1.0])) == pytest.approx(math.sqrt(0.5))
    assert epic_distance(a, np.array([-1.0, 1.0, -1.0, -1.0])) == pytest.approx(math.sqrt((1 - 1 / math.sqrt(3)) / 2))
    assert math.isnan(epic_distance(a, np.ones(4)))


def test_scale_and_shaping_change_no_epic_distance() -> None:
    """R' = c R + gamma phi(s') - phi(s) + k with the potential of states, of next states and of the drawn S'."""
    rng, n, m, gamma = np.random.default_rng(0), 40, 9, 0.9
    at, from_state, from_next = rng.normal(size=n), rng.normal(size=(n, m)), rng.normal(size=(n, m))
    phi, phi_next, phi_drawn = 5 * rng.normal(size=n), 5 * rng.normal(size=n), 5 * rng.normal(size=m)
    other = canonically_shaped(rng.normal(size=n), rng.normal(size=(n, m)), rng.normal(size=(n, m)), gamma=gamma)

    def moved(reward: np.ndarray, after: np.ndarray, before: np.ndarray) -> np.ndarray:
        return np.asarray(7.0 * reward + gamma * after - before + 3.0)

    plain = canonically_shaped(at, from_state, from_next, gamma=gamma)
    shaped = canonically_shaped(
        moved(at, phi_next, phi),
        moved(from_state, phi_drawn, phi[:, None]),
        moved(from_next, phi_drawn, phi_next[:, None]),
        gamma=gamma,
    )
    assert epic_distance(plain, shaped) == pytest.approx(0.0, abs=1e-6)
    assert epic_distance(shaped, other) == pytest.approx(epic_distance(plain, other))
    assert epic_distance(at, moved(at, phi_next, phi)) > 0.3  # without canonical shaping it would
