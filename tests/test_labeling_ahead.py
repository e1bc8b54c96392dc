"""Clips are drawn in another process, ahead of being shown."""

import os
import signal
import time
from collections.abc import Iterator

import numpy as np
import pytest

from prefrl.errors import PrefrlError
from prefrl.segments import Segment, SimulatorStates, View

pytest.importorskip("pygame")

from prefrl_labeling.ahead import Ahead
from prefrl_labeling.contents import Film, Nothing


def draw(view: SimulatorStates) -> Iterator[np.ndarray]:
    """In the other process."""
    for state in view.states:
        if state[0] == 13:
            raise PrefrlError("it is unlucky")
        if state[0] == 99:
            os.kill(os.getpid(), signal.SIGKILL)
        yield np.full((4, 6, 3), int(state[0]), np.uint8)


def segment(number: int, view: View | None) -> Segment:
    return Segment(np.full((2, 1), number, np.float32), np.zeros(2), np.zeros((0, 1), np.float32), view=view)


def states(number: int) -> Segment:
    return segment(number, SimulatorStates("any/Thing-v0", np.full((5, 2), number, np.float32), 25.0))


def brightness(content: object) -> int:
    assert isinstance(content, Film)
    return int(content.frames[0][0, 0, 0])


def test_states_are_drawn_in_another_process_and_a_failure_is_said() -> None:
    with Ahead(draw) as ahead:
        wanted = [states(1), states(13), states(2)]
        ahead.want(wanted)

        def waited(segment: Segment) -> object:
            deadline = time.monotonic() + 20
            while ahead.content(segment) is None and time.monotonic() < deadline:
                ahead.receive()
                time.sleep(0.01)
            return ahead.content(segment)

        first = waited(wanted[0])
        assert isinstance(first, Film)
        assert (len(first.frames), first.fps, first.frames[0].shape, brightness(first)) == (5, 25.0, (4, 6, 3), 1)
        unlucky = waited(wanted[1])
        assert isinstance(unlucky, Nothing)
        assert "it is unlucky" in unlucky.why
        assert brightness(waited(wanted[2])) == 2
        ahead.want([wanted[2], killed := states(99)])
        assert ahead.content(wanted[0]) is None  # forgotten
        dead = waited(killed)
        assert isinstance(dead, Nothing)
        assert "has died" in dead.why
        ahead.want([states(3)])  # by a new process
        assert brightness(waited(states(3))) == 3


def test_pictures_of_a_process_that_died_are_not_waited_for() -> None:
    with Ahead(draw) as ahead:
        ahead.want([states(1)])
        assert ahead._process is not None
        deadline = time.monotonic() + 20
        while ahead._arrived.qsize() < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
        ahead._process.kill()
        ahead._process.join()
        ahead.want([states(1), states(2)])  # its pipe is broken
        ahead.receive()
        dead = ahead.content(states(1))
        assert isinstance(dead, Nothing)
        assert "has died" in dead.why


def test_what_cannot_be_shown_says_why() -> None:
    with Ahead(None) as ahead:
        ahead.want([segment(1, None), states(2)])
        for wanted, why in ((segment(1, None), "without a picture"), (states(2), "nothing here draws them")):
            content = ahead.content(wanted)
            assert isinstance(content, Nothing)
            assert why in content.why
