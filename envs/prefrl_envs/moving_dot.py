"""MovingDot: a dot in a square that should come to the middle; the smallest world to learn preferences in."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

# action: stay, left, right, down, up
MOVES = np.array([[0.0, 0.0], [-0.1, 0.0], [0.1, 0.0], [0.0, -0.1], [0.0, 0.1]], dtype=np.float32)


class MovingDot(gymnasium.Env[np.ndarray, np.int64]):
    """The dot's position (x, y) in [-1, 1]^2 is observed; the reward of a step is -|x| - |y| after the move.

    A random policy earns about -1 a step; the best goes straight to the middle, in 10 steps on average, and stays.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}  # noqa: RUF012  as Gymnasium declares it

    def __init__(self, render_mode: str | None = None) -> None:
        self.observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(len(MOVES))
        self.render_mode = render_mode
        self._dot = np.zeros(2, np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._dot = self.np_random.uniform(-1.0, 1.0, 2).astype(np.float32)
        return self._dot.copy(), {}

    def step(self, action: np.int64) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._dot = np.clip(self._dot + MOVES[action], -1.0, 1.0)
        return self._dot.copy(), -float(np.abs(self._dot).sum()), False, False, {}

    def render(self) -> np.ndarray:
        """A [100, 100, 3] picture: the dot, light on dark, and a cross in the middle."""
        frame = np.full((100, 100, 3), 30, np.uint8)
        frame[49:51, 44:56] = frame[44:56, 49:51] = 120
        column, row = ((self._dot * [1, -1] + 1.0) * 47.0).astype(int)
        frame[row : row + 6, column : column + 6] = (230, 159, 0)
        return frame
