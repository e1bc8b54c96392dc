"""One clock for both clips."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrl_labeling.playback import HOLD_SECONDS, SPEEDS, Playback

START = Playback(seconds=1.5, fps=40.0)


def test_it_plays_holds_the_end_and_begins_again() -> None:
    assert START.advanced(1.0).time == 1.0
    held = START.advanced(1.6)
    assert (held.time, held.loops) == (1.6, 1)  # the end was seen
    again = held.advanced(HOLD_SECONDS)
    assert (again.time, again.loops) == (pytest.approx(0.1), 1)


@given(steps=st.lists(st.floats(0.001, 3.0), max_size=30))
def test_loops_do_not_depend_on_how_often_it_is_drawn(steps: list[float]) -> None:
    one_by_one = START
    for step in steps:
        one_by_one = one_by_one.advanced(step)
    at_once = START.advanced(sum(steps))
    assert abs(one_by_one.loops - at_once.loops) <= 1  # rounding at the very moment of the end
    assert 0 <= one_by_one.time < START.seconds + HOLD_SECONDS


def test_speed_pause_and_replay() -> None:
    assert START.sped(1).advanced(0.5).time == 1.0
    assert START.sped(-1).advanced(0.5).time == 0.25
    speeds = [START.sped(-9).speed, START.sped(9).speed]
    assert speeds == [SPEEDS[0], SPEEDS[-1]] == [0.25, 4.0]
    paused = START.advanced(0.5).toggled()
    assert paused.advanced(9.0) == paused
    replayed = paused.replayed()
    assert (replayed.time, replayed.playing, replayed.replays) == (0.0, True, 1)


def test_frames_one_by_one() -> None:
    at = START.advanced(0.51)  # frame 20
    assert at.stepped(1).time == pytest.approx(21 / 40)
    assert at.stepped(-1).time == pytest.approx(19 / 40)
    assert not at.stepped(1).playing
    there = START
    for _ in range(59):
        there = there.stepped(1)
    assert there.time == pytest.approx(59 / 40)
    assert there.stepped(1).time == there.time  # the last one
    assert START.stepped(-1).time == 0.0


def test_text_does_not_move() -> None:
    text = Playback(0.0, 0.0)
    assert text.advanced(1.0) == text.stepped(1) == text
