"""Copies of a game side by side, as a learner sees them: endless, unpaid, without the score."""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from prefrl_envs.atari.games import SEEN, Game, blacken, find_game

STACK = 4  # pictures that a policy sees at once
FRAME_SKIP = 4  # frames that an action lasts
NO_OPS = 30  # at most so many frames without action begin a game
FPS = 60.0  # frames per second of a television


class AtariVector(VectorEnv[np.ndarray, np.ndarray, np.ndarray]):
    """ALE's C++ vector environment with the wrappers of Mnih et al. 2015 and the changes of Christiano et al. 2017.

    Observed are the newest 4 pictures [n, 4, 84, 84] in gray, the newest last, each the larger of an action's last two
    frames, the masks black. An action lasts 4 frames; a game begins with FIRE where there is such an action, and up to
    30 no-ops. There are no sticky actions and no lives that end anything.

    `step` pays nothing. `infos` holds, for each copy [n]:

    - `true_reward` float64: the points of this step.
    - `oracle_reward` float64: the points clipped to [-1, 1], less the game's penalty where it was over.
    - `episode_end` bool: whether a game was over with this step, or cut off after half an hour (108,000 frames); the
      next one has then begun.
    - `score` float64: points in the game of this step so far, so where it ended the whole game's.
    - `lives` int32: as the emulator counts them.
    - `game` int32, `waited` int32: how many games came before the one that goes on, and after how many frames of it
      the first observation was made. With the actions they are all that is needed to play it again (`emulator.py`).

    Endless, a game that is over is followed by the next one's pictures, and neither `terminated` nor `truncated` is
    ever true. Otherwise both are reported, and the first observation of each game is 4 times its first picture.

    Raises ValueError if there is no such game, or if it must be masked and nobody has looked where its score is.
    """

    def __init__(
        self, game: Game | str, num_envs: int, *, masked: bool = True, num_threads: int = 0, endless: bool = True
    ) -> None:
        self.game = find_game(game) if isinstance(game, str) else game
        if masked and not self.game.masks:
            raise ValueError(
                f"{self.game.ale_id} has no score mask: where its picture shows the score, the reward would be learned "
                "from that; ask for it unmasked to take it as it is"
            )
        from ale_py.vector_env import AtariVectorEnv

        self._masks = self.game.masks if masked else ()
        self._endless = endless
        self._ale = AtariVectorEnv(
            self.game.rom,
            num_envs,
            num_threads=num_threads,
            autoreset_mode=AutoresetMode.SAME_STEP,
            stack_num=1,  # its own stack is black where a game begins, which would tell that the last one ended
            frameskip=FRAME_SKIP,
            noop_max=NO_OPS + 1,  # it draws from 0 to one less
            reward_clipping=False,
            repeat_action_probability=0.0,
        )
        self.num_envs = num_envs
        self.metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space = spaces.Box(0, 255, (STACK, *SEEN), np.uint8)
        self.single_action_space = self._ale.single_action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin everything anew; whatever follows depends on the seed and on the actions alone."""
        super().reset(seed=seed)
        seeds = self.np_random.integers(2**31 - 1, size=self.num_envs)
        pictures, infos = self._ale.reset(seed=seeds)
        blacken(pictures, self._masks)
        self._stack = np.repeat(pictures, STACK, axis=1)
        self._score = np.zeros(self.num_envs)
        self._games = np.zeros(self.num_envs, np.int32)
        self._waited = infos["episode_frame_number"]
        return self._stack, {"lives": infos["lives"], "game": self._games, "waited": self._waited}

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One action of each copy: observations, rewards (always 0), terminated, truncated, infos."""
        self.send(actions)
        return self.recv()

    def send(self, actions: np.ndarray) -> None:
        """Let the copies act [n], and do not wait for them."""
        self._ale.send(np.asarray(actions, np.int64))

    def recv(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """What came of the actions sent."""
        pictures, points, terminated, truncated, ale = self._ale.recv()
        blacken(pictures, self._masks)
        ended = terminated | truncated
        # A new array each time, so that whoever keeps an observation keeps it.
        stack = np.empty_like(self._stack)
        stack[:, :-1], stack[:, -1:] = self._stack[:, 1:], pictures
        true_reward = points.astype(np.float64)
        score = self._score + true_reward
        infos = {
            "true_reward": true_reward,
            "oracle_reward": np.clip(true_reward, -1.0, 1.0) - self.game.end_penalty * terminated,
            "episode_end": ended,
            "score": score,
            "lives": ale["lives"],
        }
        self._score = score
        if ended.any():
            self._score = np.where(ended, 0.0, score)
            self._games = self._games + ended
            self._waited = np.where(ended, ale["episode_frame_number"], self._waited)
            if not self._endless:
                stack[ended] = pictures[ended]
        infos["game"], infos["waited"] = self._games, self._waited
        self._stack = stack
        if self._endless:
            terminated, truncated = np.zeros_like(terminated), np.zeros_like(truncated)
        return stack, np.zeros(self.num_envs), terminated, truncated, infos

    def close_extras(self, **_: Any) -> None:
        """End the emulators' threads."""
        del self._ale
