"""The control learner: Stable-Baselines3's algorithms, paid by a learned reward."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import SAC
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from prefrl.choice import pairs_ordered_alike
from prefrl.control.algorithms import LearnerConfig, VectorPolicy, build_model, with_least_noise
from prefrl.control.buffers import PaidReplayBuffer
from prefrl.control.clips import as_batch, clip, spans, transitions
from prefrl.control.normalizing import RewardNormalizer, moments, set_moments
from prefrl.control.tasks import Task
from prefrl.ensemble import RewardFn
from prefrl.labelers import true_reward
from prefrl.loop import Experience
from prefrl.measuring import correlation
from prefrl.state_files import load_state, save_state


class ControlLearner:
    """Learns a policy for one task with Stable-Baselines3.

    The learned reward is paid once a rollout (TRPO, PPO, A2C) or when a batch is sampled (SAC), so what is replayed is
    always paid by the newest reward. `check` is called at every step and may raise Interrupted.
    """

    def __init__(
        self,
        task: Task,
        config: LearnerConfig,
        *,
        seed: int,
        most_clips: int,
        check: Callable[[], None],
        device: str = "cpu",
    ) -> None:
        self.task, self.config, self.seed, self.most_clips = task, config, seed, most_clips
        self.steps = 0  # environment steps so far
        self._calls = 0  # of rollout and learn: what their generators derive from
        self._story: dict[str, Any] | None = None  # of a checkpoint's environments, until they are wanted
        self._reward: RewardFn | None = None
        self._learning = False
        self._check = _Check(check, self._keep_noise)
        on_policy = config.algo != "sac"
        self.venv = task.vector(config.num_envs, normalize=on_policy)
        self._normalizer = RewardNormalizer(config.num_envs, config.gamma)
        self._predicted: list[np.ndarray] = []  # [rollout_steps, n] of each rollout of the present call
        torch.manual_seed(seed)
        self.model = build_model(
            config,
            self.venv,
            seed=seed,
            device=device,
            pay_rollout=self._pay_rollout,
            pay_transitions=self._pay_transitions,
            learning_rate=self._learning_rate,
        )
        self.model.set_logger(Logger(folder=None, output_formats=[]))

    @property
    def _replay(self) -> PaidReplayBuffer:
        assert isinstance(self.model, SAC)
        assert isinstance(self.model.replay_buffer, PaidReplayBuffer)
        return self.model.replay_buffer

    def _learning_rate(self, _: float) -> float:
        """The optimizer's step size, which falls in a straight line over the whole run where it falls at all."""
        c = self.config
        if c.decay_steps is None:
            return c.learning_rate
        done = self.steps + self.model.num_timesteps if self._learning else self.steps
        return c.learning_rate * max(0.0, 1.0 - done / c.decay_steps)

    # ---- acting and learning -------------------------------------------------------------------------------------

    def _begin(self, steps: int) -> np.random.Generator:
        """Start a call with generators of its own, so that it does not matter in which process the last one ran.

        Games that go on are played again first.
        """
        each = math.ceil(steps / self.venv.num_envs)
        if self._story is not None:
            self.venv.follow(self._story, each, self._check.check)
            self._story = None
        words = np.random.SeedSequence([self.seed, self._calls]).generate_state(3)
        self._calls += 1
        torch.manual_seed(int(words[0]))
        np.random.seed(int(words[1]))  # noqa: NPY002  Stable-Baselines3 shuffles with NumPy's global generator
        self.venv.restart(int(words[1]) % 2**31, each)
        self._normalizer.begin()
        return np.random.default_rng(words[2])

    def rollout(self, steps: int) -> Experience:
        """Act by the present policy, with its noise varied (`LearnerConfig.varied_noise`).

        Learns only what observations look like.
        """
        rng = self._begin(steps)
        chance = rng.spawn(1)[0]  # a child: `rng` itself goes on as it was
        space, varies = self.venv.action_space, self.config.varied_noise > 0.0
        obs, share = self.venv.reset(), self._shares_of_noise(chance, self.venv.num_envs)
        for _ in range(math.ceil(steps / self.venv.num_envs)):
            self._check.check()
            actions, _ = self.model.predict(obs, deterministic=False)
            if varies and isinstance(space, spaces.Box):
                mean, _ = self.model.predict(obs, deterministic=True)
                actions = np.clip(mean + share[:, None] * (actions - mean), space.low, space.high).astype(space.dtype)
            self.venv.step_async(actions)
            obs, _, ended, _ = self.venv.step_wait()
            anew = ended | (chance.random(len(share)) < 1.0 / self.task.clip_steps)
            share[anew] = self._shares_of_noise(chance, int(anew.sum()))
        record = self.venv.record()
        self.venv.update_normalizer(len(record))
        if isinstance(self.model, SAC):
            self._replay.add_record(record, self.model.policy.scale_action)
        return self._experience(rng, None)

    def _keep_noise(self) -> None:
        """What an update took too much of (`LearnerConfig.least_noise`) is back before the next step."""
        policy, space = self.model.policy, self.venv.action_space
        if self.config.least_noise and isinstance(policy, VectorPolicy) and isinstance(space, spaces.Box):
            log_std = policy.log_std.data
            low, high = (torch.from_numpy(bound).to(log_std) for bound in (space.low, space.high))
            log_std.copy_(with_least_noise(log_std, low, high, self.config.least_noise))

    def _shares_of_noise(self, chance: np.random.Generator, n: int) -> np.ndarray:
        """[n] how much of its noise the policy keeps in each of n environments."""
        return np.where(chance.random(n) < 0.5, 1.0, chance.uniform(0.0, self.config.varied_noise, n))

    def learn(self, steps: int, reward: RewardFn | None) -> Experience:
        """Act and learn for `steps` steps in all environments together, rounded up to whole rollouts.

        The environments begin anew, but for games, which go on.
        """
        rollout = self.venv.num_envs * (1 if self.config.algo == "sac" else self.config.rollout_steps)
        steps = rollout * math.ceil(steps / rollout)
        rng = self._begin(steps)
        self._reward, self._learning, self._predicted = reward, True, []
        self.model.learn(steps, callback=self._check, reset_num_timesteps=True)
        self._learning = False
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
        where = spans(record, self.task.clip_steps, rng, most=self.most_clips)
        clips = [clip(record, self.task, span) for span in where]
        if reward is not None:
            predicted = np.concatenate(self._predicted) if self._predicted else reward(as_batch(record)).numpy().T
            metrics["predicted_return"] = float(predicted.sum()) / max(1, self.venv.episodes)
            metrics["reward_correlation"] = correlation(predicted, record.true_reward)
            if clips:
                paid = np.array([predicted[start:stop, env].sum() for env, start, stop in where])
                true = np.array([true_reward(each).sum() for each in clips])
                metrics["reward_clip_correlation"] = correlation(paid, true)
                metrics["newest_accuracy"] = pairs_ordered_alike(torch.from_numpy(paid), torch.from_numpy(true))
        return Experience(clips, metrics)

    # ---- pay -----------------------------------------------------------------------------------------------------

    def _pay_rollout(self, steps: int) -> np.ndarray:
        """[steps, n] rewards of the newest steps."""
        record = self.venv.record(newest=steps)
        if self._reward is None:
            rewards = np.clip(record.true_reward, -1.0, 1.0) if self.config.clip_rewards else record.true_reward
        else:
            rewards = self._reward(as_batch(record)).numpy().T.astype(np.float64)
            self._predicted.append(rewards)  # for the log: what is scored once need not be scored again
        if not self.config.scale_rewards:
            return rewards
        self.venv.update_normalizer(steps)
        return self._normalizer(rewards, record)

    def _pay_transitions(self, obs: np.ndarray, actions: np.ndarray, true_reward: np.ndarray) -> np.ndarray:
        """[b] rewards of replayed transitions by the present reward function; actions are SAC's, in [-1, 1]."""
        if self._reward is None:
            return true_reward
        low, high = self.venv.action_space.low, self.venv.action_space.high  # type: ignore[attr-defined]
        return self._reward(transitions(obs, low + 0.5 * (actions + 1.0) * (high - low))).numpy()[:, 0]

    # ---- state ---------------------------------------------------------------------------------------------------

    def save(self, folder: Path) -> None:
        """Policy, optimizers, normalizers, counters; for SAC also what it replays, each round in a file of its own."""
        state: dict[str, Any] = {"model": self.model.get_parameters(), "steps": self.steps, "calls": self._calls}
        state["rewards"] = self._normalizer.state()
        if (story := self._story or self.venv.story()) is not None:
            state["story"] = story
        if self.venv.normalizer is not None:
            state["normalizer"] = moments(self.venv.normalizer)
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
        self._story = state.get("story")
        if "rewards" in state:  # an older checkpoint can still be watched
            self._normalizer.restore(state["rewards"])
        if self.venv.normalizer is not None:
            set_moments(self.venv.normalizer, state["normalizer"])
            self.venv.update_normalizer(0)
        if isinstance(self.model, SAC):
            if self.model.log_ent_coef is not None:
                self.model.log_ent_coef.data.copy_(state["log_ent_coef"])
            self._replay.load(folder)


class _Check(BaseCallback):
    """Lets Stable-Baselines3's loop be interrupted at any step, and the policy be mended before each rollout."""

    def __init__(self, check: Callable[[], None], before_rollout: Callable[[], None]) -> None:
        super().__init__()
        self.check, self.before_rollout = check, before_rollout

    def _on_rollout_start(self) -> None:
        self.before_rollout()

    def _on_step(self) -> bool:
        self.check()
        return True
