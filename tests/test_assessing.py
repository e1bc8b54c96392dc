"""A learned reward against the true one."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from worlds import ensemble, learner, parameters

from prefrl.control.assessing import assess, epic, experience
from prefrl.control.tasks import find_task
from prefrl.ensemble import RewardEnsemble
from prefrl.segments import SegmentBatch


class Upright(nn.Module):
    """The pendulum's true reward, 1 - angle^2, of the state that an action is taken in; times `factor`, in log-odds."""

    members = 1

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, batch: SegmentBatch) -> Tensor:
        return self.factor * (1.0 - batch.obs[..., 1].square())[None]


def of(factor: float) -> RewardEnsemble:
    return RewardEnsemble(Upright(factor), credit="each_step")


def test_a_reward_that_is_right_and_one_that_is_wrong() -> None:
    acting = learner("ppo", find_task("pendulum", clip_seconds=0.5))
    before = parameters(acting.model.policy)
    right, wrong, again = (assess(acting, of(factor), seed=1) for factor in (9.0, -9.0, 9.0))
    assert right["policy_accuracy"] > 0.9  # not 1: the true reward is that of the state reached
    assert right["clip_correlation"] > 0.95
    assert right["epic_distance"] < 0.3
    assert wrong["policy_accuracy"] == pytest.approx(1 - right["policy_accuracy"])
    assert wrong["clip_correlation"] == pytest.approx(-right["clip_correlation"])
    assert wrong["epic_distance"] > 0.95
    assert wrong["policy_calibration_error"] > 0.5 > right["policy_calibration_error"]
    assert again == right
    assert parameters(acting.model.policy) == before
    assert acting.steps == 0


def test_without_a_simulator_that_can_be_asked_there_is_no_epic_distance() -> None:
    acting = learner("ppo")
    measured = assess(acting, ensemble(acting), seed=0)
    assert math.isnan(measured["epic_distance"])
    assert 0 <= measured["policy_accuracy"] <= 1


def test_clips_may_be_longer_than_what_is_looked_at_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from prefrl.control import assessing

    monkeypatch.setattr(assessing, "STEPS", 3)
    acting = learner("ppo")
    assert acting.task.clip_steps > 3
    assert 0 <= assess(acting, ensemble(acting), seed=0)["policy_accuracy"] <= 1


@pytest.mark.parametrize("name", ["hopper", "reacher"])
def test_what_the_simulator_pays_anywhere_is_what_it_paid(name: str) -> None:
    """Asked for the same actions in the same states it pays the same: the distance of a reward to itself is 0."""
    from prefrl.control import assessing

    acting = learner("ppo", find_task(name, clip_seconds=0.5))
    record = experience(acting, 30, seed=0)
    env = acting.task.make()
    env.reset(seed=0)
    assert record.states is not None
    for t in (0, 7, 20):
        paid = assessing._true(env.unwrapped, record.states[t : t + 1, 0], record.act[t : t + 1, 0])  # type: ignore[arg-type]
        assert paid[0, 0] == pytest.approx(record.true_reward[t, 0], abs=1e-6)
    env.close()
    distance = epic(record, acting.task, ensemble(acting), gamma=0.99, rng=np.random.default_rng(0))
    assert 0 < distance < 1


def test_the_policy_acts_with_its_noise_and_repeatably() -> None:
    acting = learner("ppo")
    torch.manual_seed(5)
    first, second, other = (experience(acting, 100, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first.act, second.act)
    assert not np.array_equal(first.act, other.act)
    assert first.true_reward.shape == (100, 4)


def test_epic_of_the_true_reward_is_zero() -> None:
    acting = learner("ppo", find_task("pendulum", clip_seconds=0.5))
    simulator: Any = acting.task.make().unwrapped
    simulator.reset(seed=0)

    class True_(nn.Module):
        members = 1

        def forward(self, batch: SegmentBatch) -> Tensor:
            paid = []
            for obs, act in zip(batch.obs[:, 0].double().numpy(), batch.act[:, 0].numpy(), strict=True):
                simulator.set_state(obs[:2], obs[2:])
                paid.append(simulator.step(act)[1])
            return torch.tensor(paid)[None, :, None]

    record = experience(acting, 100, seed=0)
    distance = epic(
        record, acting.task, RewardEnsemble(True_(), credit="each_step"), gamma=0.9, rng=np.random.default_rng(0)
    )
    assert distance < 1e-3
