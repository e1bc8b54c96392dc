"""Draw what is about to be shown, in another process, so that a person never waits for a picture."""

import multiprocessing
import queue
import signal
import threading
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection

import numpy as np

from prefrl.errors import PrefrlError
from prefrl.segments import GameReplay, Segment, Undrawn
from prefrl_labeling.contents import Content, Draw, Film, Nothing, still

_Message = tuple[str, int, np.ndarray | str]  # id of the segment, how many pictures it has, one of them or what failed


class Ahead:
    """The contents of segments, drawn in the order in which they are wanted. A context manager."""

    def __init__(self, draw: Draw | None) -> None:
        self._draw = draw
        self._contents: dict[str, Content] = {}
        self._asked: dict[str, Undrawn] = {}
        self._partial: dict[str, list[np.ndarray]] = {}
        self._wire: Connection | None = None
        self._arrived: queue.SimpleQueue[_Message | None] = queue.SimpleQueue()
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
                assert isinstance(segment.view, Undrawn)
                self._send(name, segment.view)

    def content(self, segment: Segment) -> Content | None:
        """What to show; None while it is being drawn."""
        return self._contents.get(segment.id)

    def receive(self) -> None:
        """Take over what has been drawn by now."""
        with suppress(queue.Empty):
            while True:
                message = self._arrived.get_nowait()
                if message is None:
                    self._lost()
                else:
                    self._take(message)

    @property
    def busy(self) -> bool:
        """Whether something is being drawn."""
        return bool(self._asked)

    def _take(self, message: _Message) -> None:
        name, steps, picture = message
        if isinstance(picture, str):
            self._asked.pop(name)
            self._partial.pop(name, None)
            self._contents[name] = Nothing(picture)
            return
        frames = self._partial.setdefault(name, [])
        frames.append(picture)
        if len(frames) == steps:
            view = self._asked.pop(name)
            self._contents[name] = Film(tuple(self._partial.pop(name)), view.fps, sharp=isinstance(view, GameReplay))

    def _send(self, name: str, view: Undrawn) -> None:
        if self._wire is None:
            # Spawned, not forked: a fork would carry the window's connection to the screen and the open store along.
            context = multiprocessing.get_context("spawn")
            self._wire, theirs = context.Pipe()
            self._process = context.Process(target=_draw_all, args=(self._draw, theirs), daemon=True)
            self._process.start()
            theirs.close()
            # A pipe holds less than one picture: somebody must always read, or drawing waits for the window's clock.
            self._arrived = queue.SimpleQueue()
            threading.Thread(target=_read, args=(self._wire, self._arrived), daemon=True).start()
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
            self._process.terminate()  # which ends the thread that reads, too
            self._process.join(5.0)
        self._wire = self._process = None
        self._arrived = queue.SimpleQueue()  # what the process still sent is not waited for any more

    def __enter__(self) -> "Ahead":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _read(wire: Connection, arrived: "queue.SimpleQueue[_Message | None]") -> None:
    """Hand over what comes out of the pipe; at its end None."""
    with suppress(EOFError, OSError):
        while True:
            arrived.put(wire.recv())
    arrived.put(None)


def _draw_all(draw: Draw, wire: Connection) -> None:
    """What the other process does, until the window is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches both; the window ends this one
    with suppress(EOFError, OSError):
        while True:
            name, view = wire.recv()
            try:
                for picture in draw(view):
                    wire.send((name, len(view), picture))
            except (PrefrlError, ValueError, ImportError) as error:
                wire.send((name, 0, f"This clip cannot be drawn: {error}"))
