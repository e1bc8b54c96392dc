"""What a pane shows of an option."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from prefrl.segments import Frames, Text, Undrawn, View

# Draws a clip: `len` of it [H, W, 3] uint8 pictures. It runs in a process of its own, so it can be pickled.
Draw = Callable[[Undrawn], Iterator[np.ndarray]]


@dataclass(frozen=True, eq=False, slots=True)
class Film:
    """Pictures that move."""

    frames: tuple[np.ndarray, ...]  # T of [H, W, 3]  uint8
    fps: float
    sharp: bool = False  # a game's pixels: grown to whole multiples, not smoothed

    @property
    def seconds(self) -> float:
        return len(self.frames) / self.fps

    def index(self, time: float) -> int:
        """The picture at a time; the last one stays."""
        return min(int(time * self.fps + 1e-6), len(self.frames) - 1)


@dataclass(frozen=True, slots=True)
class Nothing:
    """Why there is nothing to see."""

    why: str


Content = Film | Text | Nothing


def still(view: View | None) -> Content | None:
    """The content of a view that needs no drawing; None for one that does."""
    if view is None:
        return Nothing("This clip was stored without a picture: its environment cannot draw itself.")
    if isinstance(view, Frames):
        return Film(tuple(view.frames), view.fps, sharp=True)
    return view if isinstance(view, Text) else None
