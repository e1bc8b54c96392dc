"""Stable-Baselines3's buffers, paid late: once a rollout, or when a batch is sampled."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import ReplayBuffer, RolloutBuffer
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from prefrl.control.vector import Record

# What a replay buffer holds; the rewards are the true ones.
_KEPT = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def range_pull(
    actions: torch.Tensor, means: torch.Tensor, stds: torch.Tensor, low: torch.Tensor, high: torch.Tensor
) -> torch.Tensor:
    """What to subtract from the advantages of actions, [B, n] with means and stds, in [n] low to high: [B].

    The sum over dimensions of (mean's distance from the range, in halves of its length) times (action - mean) / std.
    """
    beyond = (means - means.clamp(low, high)) / ((high - low) / 2)
    return (beyond * (actions - means) / stds).sum(-1)


class PaidRolloutBuffer(RolloutBuffer):
    """A rollout buffer whose rewards arrive all at once, before advantages are computed.

    What Stable-Baselines3 has added by then, the value of states in which a time limit ended an episode, is kept.

    For an algorithm whose objective is nothing but advantages they carry two more terms, in units of their standard
    deviation: `entropy_bonus` times -log pi(a|s), over the dimensions of a, whose policy gradient is that of the
    entropy of a dimension; and minus `range_charge` times `range_pull`, which moves back a mean that has left the
    range of actions, as hard at any standard deviation of the actions, which it leaves alone.
    """

    policy: ActorCriticPolicy | None = None  # one that has only acted: its values are computed here

    def __init__(
        self,
        *args: Any,
        pay: Callable[[int], np.ndarray],
        entropy_bonus: float = 0.0,
        range_charge: float = 0.0,
        **kwargs: Any,
    ) -> None:
        self._pay = pay
        self._entropy_bonus, self._range_charge = entropy_bonus, range_charge
        super().__init__(*args, **kwargs)
        if isinstance(self.action_space, spaces.Box):
            self._range = self.to_torch(self.action_space.low), self.to_torch(self.action_space.high)

    def compute_returns_and_advantage(self, last_values: torch.Tensor, dones: np.ndarray) -> None:
        charge: np.ndarray | float = 0.0
        if self.policy is not None:
            steps = self.buffer_size * self.n_envs
            obs, actions = (self.to_torch(a.reshape(steps, *a.shape[2:])) for a in (self.observations, self.actions))
            if isinstance(self.action_space, spaces.Discrete):
                actions = actions[:, 0]
            with torch.no_grad():
                values, log_probs, _ = self.policy.evaluate_actions(obs, actions)
                if self._range_charge and isinstance(self.action_space, spaces.Box):
                    gaussian = self.policy.get_distribution(obs).distribution
                    assert isinstance(gaussian, torch.distributions.Normal)
                    pull = range_pull(actions, gaussian.mean, gaussian.stddev, *self._range)
                    charge = self._range_charge * pull.cpu().numpy().reshape(self.values.shape)
            self.values = values.cpu().numpy().reshape(self.values.shape)
            self.log_probs = log_probs.cpu().numpy().reshape(self.values.shape)
        self.rewards += self._pay(self.buffer_size).astype(np.float32)
        super().compute_returns_and_advantage(last_values, dones)
        if self._entropy_bonus or self._range_charge:
            spread = self.advantages.std() + 1e-8
            self.advantages = (self.advantages - self.advantages.mean()) / spread
            dimensions = self.action_dim if isinstance(self.action_space, spaces.Box) else 1
            self.advantages -= self._entropy_bonus / dimensions * self.log_probs + charge


class PaidReplayBuffer(ReplayBuffer):
    """A replay buffer that asks for rewards when a batch is sampled, so that they are never stale.

    It keeps the true rewards, which travel in `infos`, for the baseline.
    """

    def __init__(
        self, *args: Any, pay: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray], **kwargs: Any
    ) -> None:
        self._pay = pay
        self._files: list[Path] = []  # what is on disk
        self._rows = 0  # how often a row was added; the buffer is a ring
        self._rows_on_disk = 0
        super().__init__(*args, **kwargs)

    def add(self, obs: Any, next_obs: Any, action: Any, reward: Any, done: Any, infos: list[dict[str, Any]]) -> None:
        super().add(obs, next_obs, action, np.array([info["true_reward"] for info in infos]), done, infos)
        self._rows += 1

    def add_record(self, record: Record, scale_action: Callable[[np.ndarray], np.ndarray]) -> None:
        """Take over transitions that the algorithm did not make itself."""
        for t in range(len(record)):
            cut_off = record.last[t] & ~record.terminated[t]
            infos = [
                {"TimeLimit.truncated": bool(limit), "true_reward": true_reward}
                for limit, true_reward in zip(cut_off, record.true_reward[t], strict=True)
            ]
            actions = scale_action(record.act[t])
            self.add(record.obs[t], record.next_obs[t], actions, np.zeros(len(infos)), record.last[t], infos)

    def _get_samples(self, batch_inds: np.ndarray, env: Any = None) -> ReplayBufferSamples:
        samples = super()._get_samples(batch_inds, env)
        paid = self._pay(samples.observations.numpy(), samples.actions.numpy(), samples.rewards.numpy()[:, 0])
        return samples._replace(rewards=self.to_torch(paid[:, None]))

    def save(self, folder: Path) -> None:
        """Write what came since the last call to a file of its own, and link those of earlier calls beside it."""
        for old in self._files:  # another name for the same bytes: a checkpoint costs what is new
            os.link(old, folder / old.name)
        names = [path.name for path in self._files]
        if self._rows > self._rows_on_disk:
            names.append(f"replay-{self._rows:09d}.npz")
            rows = np.arange(self._rows_on_disk, self._rows) % self.buffer_size
            np.savez(folder / names[-1], **{name: getattr(self, name)[rows] for name in _KEPT})
        # The folder may be renamed once it is whole; its name then is what a later checkpoint links from.
        self._files = [folder.with_suffix("") / name for name in names]
        self._rows_on_disk = self._rows

    def load(self, folder: Path) -> None:
        """Hold again what was saved."""
        self._files, self._rows = sorted(folder.glob("replay-*.npz")), 0
        for path in self._files:
            with np.load(path, allow_pickle=False) as file:
                rows = np.arange(self._rows, self._rows + len(file["rewards"])) % self.buffer_size
                for name in _KEPT:
                    getattr(self, name)[rows] = file[name]
            self._rows += len(rows)
        self._rows_on_disk = self._rows
        self.pos, self.full = self._rows % self.buffer_size, self._rows >= self.buffer_size
