"""Small environments and builders that several tests share."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

from prefrl.control.algorithms import LearnerConfig, default_config
from prefrl.control.learner import ControlLearner
from prefrl.control.networks import MLPReward
from prefrl.control.tasks import Task, find_task
from prefrl.ensemble import RewardEnsemble
from prefrl.segments import Segment, SegmentBatch


class Counter(gymnasium.Env[np.ndarray, Any]):
    """Observes (number of the copy, number of the episode, step in it): whatever is recorded says where it came from.

    Its true reward is 100 episode + step after the move. It ends by itself after `ends` steps, if that is given.
    """

    def __init__(self, ends: int | None = None, discrete: bool = False) -> None:
        self.observation_space = spaces.Box(-1e6, 1e6, (3,), np.float32)
        self.action_space = spaces.Discrete(3) if discrete else spaces.Box(-2.0, 1.0, (1,), np.float32)
        self.ends, self.copy, self.episode, self.t = ends, 0, -1, 0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.t = self.episode + 1, 0
        return self._obs(), {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self._obs(), 100.0 * self.episode + self.t, self.t == self.ends, False, {}

    def _obs(self) -> np.ndarray:
        return np.array([self.copy, self.episode, self.t], np.float32)


def makes(limit: int | None, **settings: Any) -> Callable[[], gymnasium.Env[Any, Any]]:
    """Makes copies of Counter that are numbered 0, 1, ... and cut off after `limit` steps."""
    made: list[Counter] = []

    def make() -> gymnasium.Env[Any, Any]:
        made.append(env := Counter(**settings))
        env.copy = len(made) - 1
        return gymnasium.wrappers.TimeLimit(env, limit) if limit else env

    return make


def small(algo: str, **settings: Any) -> LearnerConfig:
    """A learner that is quick to run."""
    quick: dict[str, Any] = {"num_envs": 2, "rollout_steps": 50, "batch_size": 25, "hidden": 16, "epochs": 2}
    return replace(default_config(algo, 50), **quick | settings)  # type: ignore[arg-type]


def learner(algo: str, task: Task | None = None, *, seed: int = 0, **settings: Any) -> ControlLearner:
    """A small learner; SAC needs continuous actions, so it gets the pendulum."""
    task = task or find_task("pendulum" if algo == "sac" else "moving-dot", clip_seconds=0.5)
    return ControlLearner(task, small(algo, **settings), seed=seed, most_clips=100, check=lambda: None)


def ensemble(learner: ControlLearner, *, members: int = 2, seed: int = 0) -> RewardEnsemble:
    """A reward ensemble for a learner, untrained."""
    actions = learner.venv.action_space
    discrete = isinstance(actions, spaces.Discrete)
    net = MLPReward(
        obs_size=int(np.prod(learner.venv.observation_space.shape)),
        act_size=int(actions.n) if discrete else int(np.prod(actions.shape)),
        discrete=discrete,
        members=members,
        hidden=8,
        generator=torch.Generator().manual_seed(seed),
    )
    return RewardEnsemble(net, credit="each_step")


def parameters(model: torch.nn.Module) -> bytes:
    """All weights and buffers as bytes."""
    return b"".join(value.numpy().tobytes() for value in model.state_dict().values())


def sum_of_obs(batch: SegmentBatch) -> torch.Tensor:
    """A reward function that needs no fitting."""
    return batch.obs.sum(dim=-1) * batch.mask


def clip(obs: np.ndarray, act: np.ndarray | None = None, true_reward: np.ndarray | None = None) -> Segment:
    """A segment without context; actions are zeros [T, 1] unless given."""
    obs = np.asarray(obs, np.float32)
    act = np.zeros((len(obs), 1), np.float32) if act is None else act
    return Segment(obs, act, np.zeros((0, *obs.shape[1:]), np.float32), true_reward)
