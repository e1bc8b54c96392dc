"""Rewards as a value function learns them well: around 0, of unit scale."""

from typing import Any

import numpy as np
import torch
from stable_baselines3.common.running_mean_std import RunningMeanStd

from prefrl.control.vector import Record

MEMORY = 8  # rollouts over which the mean of rewards is taken


class RewardNormalizer:
    """Subtracts the running mean of rewards and divides by the running standard deviation of their discounted returns.

    A reward that is paid at every step whatever the policy does tells it nothing, but moves every state's value by
    mean / (1 - gamma), which a value function must first learn, and learn anew whenever the reward is fitted anew: its
    mean over clips that were asked about is 0, that over what the policy now does is not. The mean is kept only as long
    as no episode has ended by itself: where one can, what a step more is worth matters.
    """

    def __init__(self, num_envs: int, gamma: float) -> None:
        self.mean, self.rollouts, self.ends = 0.0, 0, False
        self.scaler = RunningMeanStd(shape=())
        self._gamma, self._discounted = gamma, np.zeros(num_envs)

    def begin(self) -> None:
        """The environments begin anew."""
        self._discounted[:] = 0.0

    def __call__(self, rewards: np.ndarray, record: Record) -> np.ndarray:
        """[L, n] the rewards [L, n] of a rollout's record, normalized by statistics that include them."""
        self.rollouts += 1
        self.mean += (float(rewards.mean()) - self.mean) / min(self.rollouts, MEMORY)
        self.ends |= bool(record.terminated.any())
        if not self.ends:
            rewards = rewards - self.mean
        returns = np.empty_like(rewards)
        for t, first in enumerate(record.first):
            self._discounted = self._discounted * self._gamma * ~first + rewards[t]
            returns[t] = self._discounted
        self.scaler.update(returns.ravel())
        return np.asarray(rewards / np.sqrt(self.scaler.var + 1e-8))

    def state(self) -> dict[str, Any]:
        """What `restore` goes on from."""
        return {"mean": self.mean, "rollouts": self.rollouts, "ends": self.ends, "scaler": moments(self.scaler)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        self.mean, self.rollouts, self.ends = state["mean"], state["rollouts"], state["ends"]
        set_moments(self.scaler, state["scaler"])


def moments(statistics: RunningMeanStd) -> dict[str, Any]:
    """Running statistics as state."""
    return {
        "mean": torch.from_numpy(np.array(statistics.mean, np.float64)),
        "var": torch.from_numpy(np.array(statistics.var, np.float64)),
        "count": float(statistics.count),
    }


def set_moments(statistics: RunningMeanStd, state: dict[str, Any]) -> None:
    """Running statistics again as they were."""
    statistics.mean, statistics.var = state["mean"].numpy(), state["var"].numpy()
    statistics.count = state["count"]
