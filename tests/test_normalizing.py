"""Rewards centered and scaled for the value function."""

import math

import numpy as np
import pytest

from prefrl.control.normalizing import MEMORY, RewardNormalizer
from prefrl.control.vector import Record


def record(steps: int, envs: int = 1, *, firsts: tuple[int, ...] = (), ends: tuple[int, ...] = ()) -> Record:
    """Steps of which some begin an episode, and after some of which one ended by itself."""
    nothing, first = np.zeros((steps, envs)), np.zeros((steps, envs), np.bool_)
    terminated = first.copy()
    first[list(firsts)], terminated[list(ends)] = True, True
    return Record(nothing, nothing, nothing, nothing, nothing, first, terminated, terminated, None)


def test_two_rollouts_by_hand() -> None:
    """1, 3 are -1, 1 around 2; discounted by .5 their sums are -1, 1 - .5 = .5, of variance .5625 = .75^2.

    Then 7, 9: the mean is (2 + 8) / 2 = 5, so 2, 4; the sums go on: 2 + .25 = 2.25, then 4 + 1.125 = 5.125. Over all
    four sums the mean is 1.71875, that of squares (1 + .25 + 5.0625 + 26.265625) / 4 = 8.14453125, so the variance
    5.190430.
    """
    normalize = RewardNormalizer(1, gamma=0.5)
    first = normalize(np.array([[1.0], [3.0]]), record(2, firsts=(0,)))
    np.testing.assert_allclose(first[:, 0], [-1.0 / 0.75, 1.0 / 0.75], rtol=1e-3)
    second = normalize(np.array([[7.0], [9.0]]), record(2))
    assert normalize.mean == 5.0
    np.testing.assert_allclose(second[:, 0], np.array([2.0, 4.0]) / math.sqrt(5.190430), rtol=1e-3)


def test_an_episode_s_sums_begin_with_it() -> None:
    """Around 0, with gamma .5: 4, -4 + 2 = -2; a new episode forgets: 4, -4 + 2 = -2."""
    normalize = RewardNormalizer(1, gamma=0.5)
    normalize(np.array([[4.0], [-4.0], [4.0], [-4.0]]), record(4, firsts=(0, 2)))
    assert normalize.scaler.mean == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("shift", [-0.7, 0.3, 100.0])
def test_what_is_paid_at_every_step_is_not_paid(shift: float) -> None:
    rewards = np.random.default_rng(0).normal(size=(3, 50, 2))
    plain, shifted = RewardNormalizer(2, gamma=0.99), RewardNormalizer(2, gamma=0.99)
    for each in rewards:
        np.testing.assert_allclose(plain(each, record(50, 2)), shifted(each + shift, record(50, 2)), atol=1e-9)


@pytest.mark.parametrize("factor", [0.01, 50.0])
def test_the_scale_of_rewards_does_not_matter(factor: float) -> None:
    rewards = np.random.default_rng(0).normal(size=(3, 50, 2))
    plain, scaled = RewardNormalizer(2, gamma=0.99), RewardNormalizer(2, gamma=0.99)
    for each in rewards:
        np.testing.assert_allclose(plain(each, record(50, 2)), scaled(each * factor, record(50, 2)), atol=0.05)


def test_where_an_episode_can_end_by_itself_a_step_more_keeps_its_worth() -> None:
    """From the rollout on in which one first does."""
    normalize, ones = RewardNormalizer(1, gamma=0.5), np.ones((4, 1))
    assert (normalize(ones, record(4, firsts=(0,))) == 0.0).all()
    assert (normalize(ones, record(4, ends=(2,))) > 0.0).all()
    assert (normalize(ones, record(4)) > 0.0).all()


def test_the_mean_forgets() -> None:
    """After many rollouts of 0 one of 1 moves it by 1 / MEMORY."""
    normalize = RewardNormalizer(1, gamma=0.5)
    for _ in range(3 * MEMORY):
        normalize(np.zeros((4, 1)), record(4))
    normalize(np.ones((4, 1)), record(4))
    assert normalize.mean == 1.0 / MEMORY


def test_it_goes_on_from_its_state() -> None:
    rewards = np.random.default_rng(0).normal(size=(3, 50, 2))
    whole, begun, resumed = (RewardNormalizer(2, gamma=0.9) for _ in range(3))
    for each in rewards[:2]:
        whole(each, record(50, 2))
        begun(each, record(50, 2))
    resumed.restore(begun.state())
    whole.begin()  # as each call of the learner does
    assert (whole(rewards[2], record(50, 2)) == resumed(rewards[2], record(50, 2))).all()
