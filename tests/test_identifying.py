"""What comparisons of the first clips tell of a reward: what effort costs, and what it is worth to go on."""

from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from worlds import ensemble, learner

from prefrl.comparisons import Comparison, propose
from prefrl.control.clips import as_batch
from prefrl.control.tasks import Task
from prefrl.fitting import FitConfig, fit
from prefrl.labelers import Oracle


class Walk(gymnasium.Env[np.ndarray, np.ndarray]):
    """Pays 1 + v - |a|^2 for an action a of four numbers, where v, which is observed, goes up and down by itself.

    An episode may end at any step: to end it is worth nothing, and to go on without effort 1 a step.
    """

    def __init__(self) -> None:
        self.observation_space = spaces.Box(-100.0, 100.0, (1,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (4,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.v = 0.0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        paid = 1.0 + self.v - float(np.square(action).sum())
        self.v = 0.9 * self.v + 0.3 * self.np_random.normal()
        return np.array([self.v], np.float32), paid, bool(self.np_random.random() < 0.03), False, {}


@pytest.fixture
def walk() -> Iterator[Task]:
    gymnasium.register("Walk-v0", Walk, max_episode_steps=1000)
    yield Task("walk", "Walk-v0", clip_steps=20, episode_steps=1000, fps=10.0)
    del gymnasium.registry["Walk-v0"]


def learned(walk: Task, *, noise: float) -> tuple[float, float]:
    """What 1,000 comparisons of warm-up clips tell of (effort, going on), where v is worth 1; the truth is (-1, 1)."""
    warmup = learner("trpo", walk, varied_noise=noise)
    rng = np.random.default_rng(0)
    comparisons = []
    for query in propose(warmup.rollout(6000).segments, 1000, rng=rng):
        judgment = Oracle(seed=0).judge(query, 0.0)
        assert isinstance(judgment, tuple)
        comparisons.append(Comparison(query.options, judgment))
    rewards = ensemble(warmup, members=3)
    fit(rewards, comparisons, FitConfig(), rng)

    acting = learner("trpo", walk, seed=1, varied_noise=0.0)  # as a policy acts while it learns
    acting.rollout(2000)
    batch = as_batch(acting.venv.record())
    v, effort = batch.obs[..., 0].flatten(), batch.act.square().sum(dim=-1).flatten()
    terms = np.stack([v.numpy(), effort.numpy(), np.ones(len(v))], axis=1)
    of_v, of_effort, of_going_on = np.linalg.lstsq(terms, rewards.reward(batch).flatten().numpy(), rcond=None)[0]
    return float(of_effort / of_v), float(of_going_on / of_v)


def test_effort_is_told_from_the_worth_of_going_on_where_clips_differ_in_effort(walk: Task) -> None:
    effort, going_on = learned(walk, noise=2.0)
    assert -1.3 < effort < -0.7
    assert 0.7 < going_on < 1.3
    effort_alike, going_on_alike = learned(walk, noise=0.0)
    assert abs(effort_alike + 1.0) > 2.0 * abs(effort + 1.0)
    assert abs(going_on_alike - 1.0) > 2.0 * abs(going_on - 1.0)
