"""Driving the agent oneself, to see what is hard and what is not."""

from typing import Protocol

import numpy as np


class Practice(Protocol):
    """An environment that a person drives. It is not recorded, and nothing learns from it."""

    fps: float  # steps a second
    keys: tuple[tuple[str, str], ...]  # a key's name, as in a keymap, and what it does while it is held

    def reset(self) -> np.ndarray:
        """Begin anew; the picture [H, W, 3]."""

    def step(self, held: frozenset[str]) -> np.ndarray:
        """One step with these keys held; the picture [H, W, 3]. Begins anew by itself at an end."""

    def close(self) -> None:
        """Give everything back."""
