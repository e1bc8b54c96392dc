"""Games side by side in ALE's C++ threads, remembered picture by picture."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from prefrl.control.game_replay import GameLog
from prefrl.control.vector import Record, Recorder
from prefrl.stacks import stacked
from prefrl_envs.atari.vector import STACK, AtariVector

LONGEST = 27_000  # steps that games go on without a seeded reset, as many as ALE lets one last: 108,000 frames


class GameVecEnv(Recorder):
    """n copies of an Atari game. Each picture is kept once, though a policy sees it in 4 observations.

    Endless, they are all that `AtariVector` makes of them for learning, and can be played once more to be drawn; they
    go on from one record to the next, so that games longer than a record come to their end. Otherwise episodes are
    games.
    """

    def __init__(self, env_id: str, num_envs: int, *, masked: bool, endless: bool, threads: int) -> None:
        self._env_id, self._masked, self._endless = env_id, masked, endless
        self._vector = vector = AtariVector(env_id, num_envs, masked=masked, num_threads=threads, endless=endless)
        self._frames = np.zeros((0, 0), np.uint8)
        self._log: GameLog | None = None
        self._seed = 0  # of the last reset
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
    def episodes(self) -> float:
        """How many games as long as those that ended the record holds, or, if none did, one a copy."""
        steps = self._filled * self.num_envs
        lengths = [] if self._log is None else self._log.lengths(since=self._record.begin)
        return steps * len(lengths) / sum(lengths) if lengths else float(self.num_envs)

    def restart(self, seed: int, steps: int) -> None:
        """As ever, but endless games go on at the reset that follows, unless they have for `LONGEST` steps."""
        self._start(steps)
        if self._log is None or not _goes_on(len(self._log), steps):
            self.seed(seed)

    def story(self) -> dict[str, Any] | None:
        if self._log is None:
            return None
        return {"seed": self._seed, "act": torch.from_numpy(self._log.act)}

    def follow(self, story: dict[str, Any], steps: int, check: Callable[[], None]) -> None:
        if not _goes_on(len(story["act"]), steps):
            return
        self._start(1)
        self.seed(story["seed"])
        self.reset()
        assert self._log is not None
        for act in story["act"].numpy():
            check()
            self._obs, _, terminated, truncated, happened = self._vector.step(act)
            self._begins = terminated | truncated
            self._log.add(act, happened)

    def forget(self) -> None:
        self._frames[:STACK] = self._frames[self._filled : self._filled + STACK]
        super().forget()

    def reset(self) -> np.ndarray:
        seed, self._seeds = self._seeds[0], [None] * self.num_envs
        if seed is not None or self._log is None:
            self._obs, infos = self._vector.reset(seed=seed)
            self._begins = np.ones(self.num_envs, np.bool_)
            if self._endless:
                assert seed is not None, "restart gives one"
                self._seed, steps = seed, max(self._steps, LONGEST)
                self._log = GameLog(self._env_id, infos, steps, masked=self._masked)
        if self._log is not None:
            self._record = replace(self._record, games=self._log, begin=len(self._log))
        self._frames[:STACK] = self._obs.swapaxes(0, 1)
        return self._obs

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions
        self._vector.send(actions)

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        self._obs, _, terminated, truncated, happened = self._vector.recv()
        t, record, dones = self._filled, self._record, terminated | truncated
        self._frames[t + STACK] = self._obs[:, -1]
        record.act[t], record.first[t], record.last[t], record.terminated[t] = (
            self._actions, self._begins, dones, terminated,
        )  # fmt: skip
        record.true_reward[t], record.oracle_reward[t] = happened["true_reward"], happened["oracle_reward"]
        if self._log is not None:
            self._log.add(self._actions, happened)
        self.finished.extend(happened["score"][happened["episode_end"]].tolist())
        self._begins, self._filled = dones, t + 1
        infos = [{"true_reward": reward} for reward in record.true_reward[t].tolist()]
        return self._obs, np.zeros(self.num_envs, np.float32), dones, infos

    def close(self) -> None:
        self._vector.close()


def _goes_on(done: int, steps: int) -> bool:
    """Whether games that were played for `done` steps go on for `steps` more."""
    return done + steps <= LONGEST
