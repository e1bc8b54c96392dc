"""Games side by side in ALE's C++ threads, remembered picture by picture."""

from dataclasses import replace
from typing import Any

import numpy as np

from prefrl.control.game_replay import GameLog
from prefrl.control.vector import Record, Recorder
from prefrl.stacks import stacked
from prefrl_envs.atari.vector import STACK, AtariVector


class GameVecEnv(Recorder):
    """n copies of an Atari game. Each picture is kept once, though a policy sees it in 4 observations.

    Endless, they are all that `AtariVector` makes of them for learning, and can be played once more to be drawn;
    otherwise episodes are games.
    """

    def __init__(self, env_id: str, num_envs: int, *, masked: bool, endless: bool, threads: int) -> None:
        self._env_id, self._masked, self._endless = env_id, masked, endless
        self._vector = vector = AtariVector(env_id, num_envs, masked=masked, num_threads=threads, endless=endless)
        self._frames = np.zeros((0, 0), np.uint8)
        self._log: GameLog | None = None
        self._start(1)
        super().__init__(num_envs, vector.single_observation_space, vector.single_action_space)

    def _start(self, steps: int) -> None:
        envs, picture = self._vector.num_envs, self._vector.single_observation_space.shape or ()
        frames = (steps + STACK, envs, *picture[1:])
        if self._frames.shape != frames:  # half a gigabyte in a long round: it is used again
            self._frames = np.zeros(frames, np.uint8)
        self._steps, self._filled = steps, 0
        self.finished = []
        shape = (steps, envs)
        self._record = Record(
            obs=stacked(self._frames[:-1], STACK, axis=2),
            act=np.zeros(shape, np.int64),
            next_obs=stacked(self._frames[1:], STACK, axis=2),
            true_reward=np.zeros(shape),
            oracle_reward=np.zeros(shape),
            first=np.zeros(shape, np.bool_),
            last=np.zeros(shape, np.bool_),
            terminated=np.zeros(shape, np.bool_),
            states=None,
        )

    @property
    def episodes(self) -> int:
        """Games begun since `restart`; that a game ends inside the endless episode does not show in the record."""
        return self.num_envs + len(self.finished)

    def forget(self) -> None:
        self._frames[:STACK] = self._frames[self._filled : self._filled + STACK]
        super().forget()

    def reset(self) -> np.ndarray:
        obs, infos = self._vector.reset(seed=self._seeds[0])
        self._seeds = [None] * self.num_envs
        self._begins = np.ones(self.num_envs, np.bool_)
        self._frames[:STACK] = obs.swapaxes(0, 1)
        if self._endless:
            self._log = GameLog(self._env_id, infos, self._steps, masked=self._masked)
            self._record = replace(self._record, games=self._log)
        return obs

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions
        self._vector.send(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        obs, _, terminated, truncated, happened = self._vector.recv()
        t, record, dones = self._filled, self._record, terminated | truncated
        self._frames[t + STACK] = obs[:, -1]
        record.act[t], record.first[t], record.last[t], record.terminated[t] = (
            self._actions, self._begins, dones, terminated,
        )  # fmt: skip
        record.true_reward[t], record.oracle_reward[t] = happened["true_reward"], happened["oracle_reward"]
        if self._log is not None:
            self._log.add(self._actions, happened)
        self.finished.extend(happened["score"][happened["episode_end"]].tolist())
        self._begins, self._filled = dones, t + 1
        infos = [{"true_reward": reward} for reward in record.true_reward[t].tolist()]
        return obs, np.zeros(self.num_envs, np.float32), dones, infos

    def close(self) -> None:
        self._vector.close()
