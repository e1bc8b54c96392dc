"""A game in color and frame by frame, in step with what a copy in AtariVector plays."""

import numpy as np

from prefrl_envs.atari.games import SEEN, Game
from prefrl_envs.atari.vector import FRAME_SKIP


class Emulator:
    """Plays the games of one copy again: told how each began and every action, it does the same.

    A copy begins anew with each seeded reset, and all that chance does after that is how long a game waits for its
    first action. The emulator draws a number of its own at each game's start, always the same ones: hence `skip`.
    """

    def __init__(self, game: Game) -> None:
        import ale_py
        from ale_py import roms

        ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
        self._ale = ale_py.ALEInterface()
        self._ale.setFloat("repeat_action_probability", 0.0)
        self._ale.setInt("random_seed", 0)  # decides sticky actions, of which there are none
        self._ale.loadROM(str(roms.get_rom_path(game.rom)))
        self.actions = self._ale.getMinimalActionSet()
        self._fire = ale_py.Action.FIRE in self.actions
        self._no_op, self._fires = ale_py.Action.NOOP, ale_py.Action.FIRE

    def skip(self, games: int) -> None:
        """Leave out so many games."""
        for _ in range(games):
            self._ale.reset_game()

    def begin(self, waited: int) -> np.ndarray:
        """Begin the next game and wait so many frames; the picture [rows, columns, 3]."""
        self._ale.reset_game()
        for frame in range(waited):
            self._ale.act(self._fires if self._fire and frame == 0 else self._no_op)
        self._gray = [self._ale.getScreenGrayscale()]
        return self._ale.getScreenRGB()

    def run(self, action: int) -> float:
        """One step, unseen; the points."""
        return float(sum(self._ale.act(self.actions[action]) for _ in range(FRAME_SKIP)))

    def step(self, action: int) -> np.ndarray:
        """One step; the pictures [4, rows, columns, 3] of its frames. After a game's end its last picture stays."""
        pictures, self._gray = [], []
        for _ in range(FRAME_SKIP):
            pictures.append(self.frame(action))
            self._gray.append(self._ale.getScreenGrayscale())
        return np.stack(pictures)

    def frame(self, action: int) -> np.ndarray:
        """One frame of an action; its picture [rows, columns, 3]."""
        self._ale.act(self.actions[action])
        return self._ale.getScreenRGB()

    @property
    def over(self) -> bool:
        """Whether the game has ended."""
        return bool(self._ale.game_over())

    def observation(self) -> np.ndarray:
        """[84, 84] what AtariVector shows of the step just made, or of the start, to within one shade of gray."""
        return shrunk(np.max(self._gray[-2:], axis=0))


def shrunk(picture: np.ndarray) -> np.ndarray:
    """[84, 84] a picture [rows, columns], each pixel the mean of the area that it covers."""
    rows, columns = (_shares(size, seen) for size, seen in zip(picture.shape, SEEN, strict=True))
    return np.asarray(np.rint(rows @ picture.astype(np.float64) @ columns.T), np.uint8)


def _shares(size: int, seen: int) -> np.ndarray:
    """[seen, size] how much of each of `size` pixels lies in each of `seen` wider ones; rows sum to 1."""
    edges = np.arange(seen + 1) * (size / seen)
    below = np.clip(edges[:, None] - np.arange(size), 0.0, 1.0)  # of each pixel, left of each edge
    return np.asarray((below[1:] - below[:-1]) * (seen / size))
