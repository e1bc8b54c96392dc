"""Environments side by side in one process that remember what happened and pay the learner nothing."""

import json
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils.seeding import np_random
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv

from prefrl.control.game_replay import GameLog
from prefrl.control.rendering import is_mujoco
from prefrl.errors import PrefrlError


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """What happened in the environments since `Recorder.restart`; L steps of n environments."""

    obs: np.ndarray  # [L, n, *obs]  as the environment gave it, before each action
    act: np.ndarray  # [L, n, *act]  as the environment took it
    next_obs: np.ndarray  # [L, n, *obs]  after each action, also where the episode then ended
    true_reward: np.ndarray  # [L, n]  float64
    oracle_reward: np.ndarray  # [L, n]  float64, what an oracle judges by
    first: np.ndarray  # [L, n]  bool, True where an episode begins
    last: np.ndarray  # [L, n]  bool, True where an episode ends
    terminated: np.ndarray  # [L, n]  bool, True where it ends by itself, not by its time limit
    states: np.ndarray | None  # [L, n, nq + nv]  simulator states before each action, where the simulator is MuJoCo
    # [L, n]  str where an episode begins: its generator's state before, as JSON, where an environment that is not
    # MuJoCo's can draw itself
    origins: np.ndarray | None = None
    games: GameLog | None = None  # where a game can be played once more
    begin: int = 0  # the first of these steps in `games`

    def __len__(self) -> int:
        return len(self.obs)

    def __getitem__(self, index: slice) -> "Record":
        """The steps from `index.start`, which is not negative."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen: dict[str, Any] = {
            n: value[index] if isinstance(value, np.ndarray) else value for n, value in values.items()
        }
        return Record(**chosen | {"begin": self.begin + (index.start or 0)})


class Recorder(VecEnv):
    """Stable-Baselines3's interface to n environments, all of whose steps it remembers.

    The reward that `step` returns is always 0 and the true one is kept in `record` and told in `infos`: whoever pays
    the learner does so once a rollout.
    """

    normalizer: RunningMeanStd | None = None  # of observations
    finished: list[float]  # true returns of the episodes that ended since `restart`
    _record: Record
    _filled: int

    def _start(self, steps: int) -> None:
        """Forget the record, and make room for `steps` steps of each environment."""
        raise NotImplementedError

    def reset(self) -> np.ndarray:
        """Begin anew; observations [n, *obs]."""
        raise NotImplementedError

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Observations, rewards (always 0), whether episodes ended, and infos, all [n]."""
        raise NotImplementedError

    def restart(self, seed: int, steps: int) -> None:
        """Forget the record, make room for `steps` steps of each environment, and seed the reset that follows."""
        self._start(steps)
        self.seed(seed)

    def record(self, newest: int | None = None) -> Record:
        """What happened since `restart`, or the newest steps of it; views, not copies."""
        start = 0 if newest is None else self._filled - newest
        return self._record[start : self._filled]

    def forget(self) -> None:
        """Drop what was recorded, so that there is room again; what the environments do goes on."""
        self._filled = 0

    @property
    def episodes(self) -> float:
        """How many began since `restart`."""
        raise NotImplementedError

    def story(self) -> dict[str, Any] | None:
        """What brings another Recorder to where this one goes on; None where each record begins anew."""
        return None

    def follow(self, story: dict[str, Any], steps: int, check: Callable[[], None]) -> None:
        """Come to where the Recorder that told this `story` was, if a record of `steps` steps would go on from there.

        `check` is called at every step, and may raise.
        """
        raise NotImplementedError

    def update_normalizer(self, newest: int) -> None:
        """Learn the statistics of observations from the newest steps, where there are any."""

    def normalized(self, obs: np.ndarray) -> np.ndarray:
        """What the policy sees of `obs` [..., *obs]."""
        return obs

    # What Stable-Baselines3 may ask of single copies: only whether they draw themselves, which they need not.

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [None for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        raise NotImplementedError

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise NotImplementedError

    def env_is_wrapped(
        self, wrapper_class: type[gymnasium.Wrapper[Any, Any, Any, Any]], indices: Any = None
    ) -> list[bool]:
        return [False for _ in self._get_indices(indices)]


class RecordingVecEnv(Recorder):
    """n copies of a Gymnasium environment that observes a vector.

    Observations reach the policy normalized by running statistics (mean 0, standard deviation 1,
    clipped at 10), which change only in `update_normalizer`, so that they stand still during a rollout.
    """

    def __init__(self, make: Callable[[], gymnasium.Env[Any, Any]], num_envs: int, *, normalize: bool) -> None:
        self.envs = [make() for _ in range(num_envs)]
        env = self.envs[0]
        self._raw_space = env.observation_space
        assert isinstance(self._raw_space, spaces.Box)
        self.normalizer = RunningMeanStd(shape=self._raw_space.shape) if normalize else None
        seen = spaces.Box(-10.0, 10.0, self._raw_space.shape, np.float32) if normalize else self._raw_space
        # A float64 Box (MuJoCo's) would make torch convert at every step.
        if seen.dtype == np.float64:
            seen = spaces.Box(seen.low.astype(np.float32), seen.high.astype(np.float32), dtype=np.float32)
        self._mujoco: list[Any] = [e.unwrapped for e in self.envs if is_mujoco(e.unwrapped)]
        self._replays = not self._mujoco and "rgb_array" in (env.metadata.get("render_modes") or ())
        self._origins = [""] * num_envs
        self._obs = np.zeros((num_envs, *self._raw_space.shape), np.float32)
        self._start(0)
        super().__init__(num_envs, seen, env.action_space)

    def _start(self, steps: int) -> None:
        shape = (steps, len(self.envs))
        env = self.envs[0]
        act_space = env.action_space
        self._mean_std()
        self._filled = 0
        self.finished = []
        self._returns = np.zeros(len(self.envs))
        true_reward = np.zeros(shape)
        self._record = Record(
            obs=np.zeros((*shape, *self._obs.shape[1:]), np.float32),
            act=np.zeros((*shape, *(act_space.shape or ())), act_space.dtype),
            next_obs=np.zeros((*shape, *self._obs.shape[1:]), np.float32),
            true_reward=true_reward,
            oracle_reward=true_reward,
            first=np.zeros(shape, np.bool_),
            last=np.zeros(shape, np.bool_),
            terminated=np.zeros(shape, np.bool_),
            states=np.zeros((*shape, self._state_size())) if self._mujoco else None,
            origins=np.full(shape, "", np.object_) if self._replays else None,
        )

    def _state_size(self) -> int:
        return int(self._mujoco[0].model.nq + self._mujoco[0].model.nv)

    @property
    def episodes(self) -> float:
        return float(self.record().first.sum())

    def update_normalizer(self, newest: int) -> None:
        if self.normalizer is not None:
            obs = self.record(newest).obs
            if obs.size > 0:  # the mean of nothing is NaN
                self.normalizer.update(obs.reshape(-1, *obs.shape[2:]).astype(np.float64))
            self._mean_std()

    def _mean_std(self) -> None:
        if self.normalizer is not None:
            self._mean = self.normalizer.mean.astype(np.float32)
            self._inverse_std = (1.0 / np.sqrt(self.normalizer.var + 1e-8)).astype(np.float32)

    def normalized(self, obs: np.ndarray) -> np.ndarray:
        if self.normalizer is None:
            return obs.copy()
        return np.asarray(np.clip((obs - self._mean) * self._inverse_std, -10.0, 10.0))

    def reset(self) -> np.ndarray:
        for i in range(self.num_envs):
            self._obs[i] = self._reset(i, self._seeds[i])
        self._seeds = [None] * self.num_envs
        self._returns[:] = 0.0
        self._begins = np.ones(self.num_envs, np.bool_)
        self._check_finite()
        return self.normalized(self._obs)

    def _reset(self, i: int, seed: int | None) -> Any:
        """Begin an episode, and remember what chance it began with."""
        env = self.envs[i]
        if self._replays:
            generator = env.unwrapped.np_random if seed is None else np_random(seed)[0]
            self._origins[i] = json.dumps(generator.bit_generator.state)
        return env.reset(seed=seed)[0]

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        t, record = self._filled, self._record
        rewards, dones = np.zeros(self.num_envs, np.float32), np.zeros(self.num_envs, np.bool_)
        infos: list[dict[str, Any]] = [{} for _ in self.envs]
        record.obs[t], record.act[t], record.first[t] = self._obs, self._actions, self._begins
        if record.origins is not None:
            record.origins[t, self._begins] = [self._origins[i] for i in np.flatnonzero(self._begins)]
        if record.states is not None:
            for i, simulator in enumerate(self._mujoco):
                nq = simulator.model.nq
                record.states[t, i, :nq], record.states[t, i, nq:] = simulator.data.qpos, simulator.data.qvel
        for i, env in enumerate(self.envs):
            obs, reward, terminated, truncated, _ = env.step(self._actions[i])
            self._obs[i] = obs
            record.true_reward[t, i] = infos[i]["true_reward"] = float(reward)
            self._returns[i] += float(reward)
            if terminated or truncated:
                record.next_obs[t, i], record.terminated[t, i], dones[i] = obs, terminated, True
                infos[i]["terminal_observation"] = self.normalized(self._obs[i])
                infos[i]["TimeLimit.truncated"] = truncated and not terminated
                self.finished.append(float(self._returns[i]))
                self._returns[i] = 0.0
                self._obs[i] = self._reset(i, None)
        # Where an episode ended its last observation is here, and the next one's first in _obs.
        self._check_finite(record.true_reward[t], record.next_obs[t, dones])
        np.copyto(record.next_obs[t], self._obs, where=~dones.reshape(-1, *[1] * (self._obs.ndim - 1)))
        record.last[t] = self._begins = dones
        self._filled = t + 1
        return self.normalized(self._obs), rewards, dones, infos

    def _check_finite(self, true_reward: np.ndarray | float = 0.0, last_obs: np.ndarray | float = 0.0) -> None:
        for what, values in (("an observation", self._obs), ("an observation", last_obs), ("a reward", true_reward)):
            if not np.isfinite(values).all():
                spec = self.envs[0].spec
                raise PrefrlError(
                    f"environment {spec.id if spec else self.envs[0]} gave {what} with NaN or infinity at step "
                    f"{self._filled} of this round; nothing can be learned from it: mend the environment, then resume"
                )

    def close(self) -> None:
        for env in self.envs:
            env.close()
