"""The control learner: Stable-Baselines3's algorithms, paid by a learned reward."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from gymnasium import spaces
from sb3_contrib import TRPO
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.running_mean_std import RunningMeanStd

from prefrl.choice import pairs_ordered_alike
from prefrl.control.buffers import PaidReplayBuffer, PaidRolloutBuffer
from prefrl.control.clips import as_batch, cut
from prefrl.control.tasks import Task
from prefrl.control.vector import RecordingVecEnv
from prefrl.ensemble import RewardFn
from prefrl.labelers import true_reward
from prefrl.loop import Experience
from prefrl.measuring import correlation
from prefrl.segments import SegmentBatch, collate
from prefrl.state_files import load_state, save_state

Algorithm = Literal["ppo", "trpo", "sac"]


@dataclass(frozen=True)
class LearnerConfig:
    """The policy's learner; where an algorithm has no use for a setting it is ignored."""

    algo: Algorithm = "ppo"
    num_envs: int = 8
    """Environments side by side."""
    rollout_steps: int = 250
    """Steps of each environment between two updates of the policy (PPO, TRPO)."""
    batch_size: int = 250
    epochs: int = 10
    learning_rate: float = 1e-3
    gamma: float = 0.99
    gae_lambda: float = 0.95
    entropy_bonus: float = 0.01
    """Christiano et al. 2017, appendix A.1. A reward that still changes must find a policy that still explores."""
    initial_log_std: float = -0.5
    """Logarithm of the standard deviation of actions at first, where they are continuous."""
    hidden: int = 64
    """Units in each of the two hidden layers of policy and value function."""


def default_config(algo: Algorithm) -> LearnerConfig:
    """The settings that an algorithm has unless told otherwise, the same for every task."""
    if algo == "trpo":  # the discount is shorter than the paper's .995: in short episodes that one learns slowly
        return LearnerConfig(algo)
    if algo == "sac":
        return LearnerConfig(algo, batch_size=256, hidden=256, learning_rate=3e-4)
    return LearnerConfig(algo)


class ControlLearner:
    """Learns a policy for one task with Stable-Baselines3.

    The learned reward is paid once a rollout (PPO, TRPO) or when a batch is sampled (SAC), so what is replayed is
    always paid by the newest reward. `check` is called at every step and may raise Interrupted.
    """

    def __init__(
        self, task: Task, config: LearnerConfig, *, seed: int, most_clips: int, check: Callable[[], None]
    ) -> None:
        self.task, self.config, self.seed, self.most_clips = task, config, seed, most_clips
        self.steps = 0  # environment steps so far
        self._calls = 0  # of rollout and learn: what their generators derive from
        self._reward: RewardFn | None = None
        self._check = _Check(check)
        on_policy = config.algo != "sac"
        self.venv = RecordingVecEnv(task.make, config.num_envs, normalize=on_policy)
        self._scaler = RunningMeanStd(shape=())
        self._discounted = np.zeros(config.num_envs)
        torch.manual_seed(seed)
        self.model = self._build()
        self.model.set_logger(Logger(folder=None, output_formats=[]))

    def _build(self) -> BaseAlgorithm:
        c = self.config
        shared: dict[str, Any] = {
            "learning_rate": c.learning_rate,
            "gamma": c.gamma,
            "seed": self.seed,
            "device": "cpu",
        }
        if c.algo == "sac":
            model: BaseAlgorithm = SAC(
                "MlpPolicy",
                self.venv,
                **shared,
                batch_size=c.batch_size,
                learning_starts=0,
                gradient_steps=-1,
                replay_buffer_class=PaidReplayBuffer,
                replay_buffer_kwargs={"pay": self._pay_transitions},
                policy_kwargs={"net_arch": [c.hidden, c.hidden]},
            )
            return model
        shared |= {
            "n_steps": c.rollout_steps,
            "batch_size": c.batch_size,
            "gae_lambda": c.gae_lambda,
            "rollout_buffer_class": PaidRolloutBuffer,
            "rollout_buffer_kwargs": {"pay": self._pay_rollout},
            "policy_kwargs": {"net_arch": [c.hidden, c.hidden], "log_std_init": c.initial_log_std},
        }
        if c.algo == "trpo":
            return TRPO("MlpPolicy", self.venv, **shared)
        return PPO("MlpPolicy", self.venv, **shared, n_epochs=c.epochs, ent_coef=c.entropy_bonus)

    @property
    def _replay(self) -> PaidReplayBuffer:
        assert isinstance(self.model, SAC)
        assert isinstance(self.model.replay_buffer, PaidReplayBuffer)
        return self.model.replay_buffer

    @property
    def discrete(self) -> bool:
        """Whether actions are numbered."""
        return isinstance(self.venv.action_space, spaces.Discrete)

    @property
    def obs_size(self) -> int:
        """Numbers in an observation."""
        return int(np.prod(self.venv.observation_space.shape or ()))

    @property
    def act_size(self) -> int:
        """Numbers in an action, or how many actions there are."""
        space = self.venv.action_space
        return int(space.n) if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or ()))

    # ---- acting and learning -------------------------------------------------------------------------------------

    def _begin(self, steps: int) -> np.random.Generator:
        """Start a call with generators of its own, so that it does not matter in which process the last one ran."""
        words = np.random.SeedSequence([self.seed, self._calls]).generate_state(3)
        self._calls += 1
        torch.manual_seed(int(words[0]))
        np.random.seed(int(words[1]))  # noqa: NPY002  Stable-Baselines3 shuffles with NumPy's global generator
        self.venv.restart(int(words[1]) % 2**31, math.ceil(steps / self.venv.num_envs))
        self._discounted[:] = 0.0
        return np.random.default_rng(words[2])

    def rollout(self, steps: int) -> Experience:
        """Act by the present policy, and learn only what observations look like."""
        rng = self._begin(steps)
        obs = self.venv.reset()
        for _ in range(math.ceil(steps / self.venv.num_envs)):
            self._check.check()
            actions, _ = self.model.predict(obs, deterministic=False)
            self.venv.step_async(actions)
            obs = self.venv.step_wait()[0]
        record = self.venv.record()
        self.venv.update_normalizer(len(record))
        if isinstance(self.model, SAC):
            self._replay.add_record(record, self.model.policy.scale_action)
        return self._experience(rng, None)

    def learn(self, steps: int, reward: RewardFn | None) -> Experience:
        """Act and learn for `steps` steps in all environments together, rounded up to whole rollouts.

        The environments begin anew.
        """
        rollout = self.venv.num_envs * (1 if self.config.algo == "sac" else self.config.rollout_steps)
        steps = rollout * math.ceil(steps / rollout)
        rng = self._begin(steps)
        self._reward = reward
        self.model.learn(steps, callback=self._check, reset_num_timesteps=True)
        return self._experience(rng, reward)

    def _experience(self, rng: np.random.Generator, reward: RewardFn | None) -> Experience:
        record = self.venv.record()
        self.steps += record.true_reward.size
        finished = self.venv.finished
        metrics = {
            "steps": float(self.steps),
            "true_return": float(np.mean(finished)) if finished else math.nan,
            "predicted_return": math.nan,
            "reward_correlation": math.nan,
            "reward_clip_correlation": math.nan,
            "newest_accuracy": math.nan,
        }
        clips = cut(record, self.task, rng, most=self.most_clips)
        if reward is not None:
            predicted = reward(as_batch(record)).numpy().T
            episodes = max(1, int(record.first.sum()))
            metrics["predicted_return"] = float(predicted.sum()) / episodes
            metrics["reward_correlation"] = correlation(predicted, record.true_reward)
            if clips:
                paid = reward(collate(clips)).sum(dim=1).numpy()
                true = np.array([true_reward(clip).sum() for clip in clips])
                metrics["reward_clip_correlation"] = correlation(paid, true)
                metrics["newest_accuracy"] = pairs_ordered_alike(torch.from_numpy(paid), torch.from_numpy(true))
        return Experience(clips, metrics)

    # ---- pay -----------------------------------------------------------------------------------------------------

    def _pay_rollout(self, steps: int) -> np.ndarray:
        """[steps, n] rewards of the newest steps, divided by the running standard deviation of discounted returns."""
        record = self.venv.record(newest=steps)
        if self._reward is None:
            rewards = record.true_reward
        else:
            rewards = self._reward(as_batch(record)).numpy().T.astype(np.float64)
        returns = np.empty_like(rewards)
        for t in range(steps):
            self._discounted = self._discounted * self.config.gamma * ~record.first[t] + rewards[t]
            returns[t] = self._discounted
        self._scaler.update(returns.ravel())
        self.venv.update_normalizer(steps)
        return np.asarray(rewards / np.sqrt(self._scaler.var + 1e-8))

    def _pay_transitions(self, obs: np.ndarray, actions: np.ndarray, true_reward: np.ndarray) -> np.ndarray:
        """[b] rewards of replayed transitions by the present reward function; actions are SAC's, in [-1, 1]."""
        if self._reward is None:
            return true_reward
        low, high = self.venv.action_space.low, self.venv.action_space.high  # type: ignore[attr-defined]
        act = torch.from_numpy(low + 0.5 * (actions + 1.0) * (high - low))[:, None]
        seen = torch.from_numpy(obs)[:, None]
        mask = torch.ones(seen.shape[:2], dtype=torch.bool)
        return self._reward(SegmentBatch(seen, act, mask, seen[:, :0], mask[:, :0])).numpy()[:, 0]

    # ---- state ---------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Policy, optimizers, normalizers, counters; for SAC also what it replays, each round in a file of its own."""
        state: dict[str, Any] = {"model": self.model.get_parameters(), "steps": self.steps, "calls": self._calls}
        state["scaler"] = _moments(self._scaler)
        if self.venv.normalizer is not None:
            state["normalizer"] = _moments(self.venv.normalizer)
        if isinstance(self.model, SAC):
            if self.model.log_ent_coef is not None:
                state["log_ent_coef"] = self.model.log_ent_coef
            self._replay.save(folder)
        save_state(folder, "learner", state)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        state = load_state(folder, "learner")
        self.model.set_parameters(state["model"])
        self.steps, self._calls = state["steps"], state["calls"]
        _set_moments(self._scaler, state["scaler"])
        if self.venv.normalizer is not None:
            _set_moments(self.venv.normalizer, state["normalizer"])
            self.venv.update_normalizer(0)
        if isinstance(self.model, SAC):
            if self.model.log_ent_coef is not None:
                self.model.log_ent_coef.data.copy_(state["log_ent_coef"])
            self._replay.load(folder)


class _Check(BaseCallback):
    """Lets Stable-Baselines3's loop be interrupted at any step."""

    def __init__(self, check: Callable[[], None]) -> None:
        super().__init__()
        self.check = check

    def _on_step(self) -> bool:
        self.check()
        return True


def _moments(statistics: RunningMeanStd) -> dict[str, Any]:
    return {
        "mean": torch.from_numpy(np.array(statistics.mean, np.float64)),
        "var": torch.from_numpy(np.array(statistics.var, np.float64)),
        "count": float(statistics.count),
    }


def _set_moments(statistics: RunningMeanStd, state: dict[str, Any]) -> None:
    statistics.mean, statistics.var = state["mean"].numpy(), state["var"].numpy()
    statistics.count = state["count"]
