"""Draw what is about to be shown, in another process, so that a person never waits for a picture."""

import multiprocessing
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from prefrl.errors import PrefrlError
from prefrl.segments import Segment, SimulatorStates
from prefrl_labeling.contents import Content, Draw, Film, Nothing, still

_PATIENCE = 0.004  # seconds that one call of `receive` may take: pictures never make the window stutter


class Ahead:
    """The contents of segments, drawn in the order in which they are wanted. A context manager."""

    def __init__(self, draw: Draw | None) -> None:
        self._draw = draw
        self._contents: dict[str, Content] = {}
        self._asked: dict[str, SimulatorStates] = {}
        self._partial: dict[str, list[np.ndarray]] = {}
        self._wire: Connection | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    def want(self, segments: Sequence[Segment]) -> None:
        """Have these ready, the first ones first; forget all others."""
        wanted = {segment.id: segment for segment in segments}
        self._contents = {name: content for name, content in self._contents.items() if name in wanted}
        for name, segment in wanted.items():
            if name in self._contents or name in self._asked:
                continue
            content = still(segment.view)
            if content is not None:
                self._contents[name] = content
            elif self._draw is None:
                self._contents[name] = Nothing("This clip is a list of simulator states, and nothing here draws them.")
            else:
                assert isinstance(segment.view, SimulatorStates)
                self._send(name, segment.view)

    def content(self, segment: Segment) -> Content | None:
        """What to show; None while it is being drawn."""
        return self._contents.get(segment.id)

    def receive(self) -> None:
        """Take over what has been drawn by now, for a few milliseconds at most."""
        until = time.perf_counter() + _PATIENCE
        try:
            while self._wire is not None and self._wire.poll() and time.perf_counter() < until:
                self._take(self._wire.recv())
        except (EOFError, OSError):
            self._lost()

    def _take(self, message: tuple[str, int, np.ndarray | str]) -> None:
        name, steps, picture = message
        if isinstance(picture, str):
            self._asked.pop(name)
            self._partial.pop(name, None)
            self._contents[name] = Nothing(picture)
            return
        frames = self._partial.setdefault(name, [])
        frames.append(picture)
        if len(frames) == steps:
            self._contents[name] = Film(tuple(self._partial.pop(name)), self._asked.pop(name).fps)

    def _send(self, name: str, view: SimulatorStates) -> None:
        if self._wire is None:
            # Spawned, not forked: a fork would carry the window's connection to the screen and the open store along.
            context = multiprocessing.get_context("spawn")
            self._wire, theirs = context.Pipe()
            self._process = context.Process(target=_draw_all, args=(self._draw, theirs), daemon=True)
            self._process.start()
            theirs.close()
        self._asked[name] = view
        try:
            self._wire.send((name, view))
        except OSError:
            self._lost()

    def _lost(self) -> None:
        """The process that draws has died: say so where its pictures would be; the next clip gets a new process."""
        for name in self._asked:
            self._contents[name] = Nothing("The process that draws clips has died while it drew this one.")
        self._asked.clear()
        self._partial.clear()
        self.close()

    def close(self) -> None:
        """End the other process."""
        if self._wire is not None and self._process is not None:
            self._wire.close()
            self._process.terminate()
            self._process.join(5.0)
        self._wire = self._process = None

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _draw_all(draw: Draw, wire: Connection) -> None:
    """What the other process does, until the window is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the window ends this one
    with suppress(EOFError, OSError):
        while True:
            name, view = wire.recv()
            try:
                for picture in draw(view):
                    wire.send((name, len(view.states), picture))
            except (PrefrlError, ValueError, ImportError) as error:
                wire.send((name, 0, f"This clip cannot be drawn: {error}"))
