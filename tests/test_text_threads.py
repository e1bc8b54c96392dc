"""Two works at the same time give what they give one after the other, and leave the threads as they were."""

import threading
import time
from collections.abc import Iterator

import pytest
import torch

from prefrl.errors import Interrupted
from prefrl.text.threads import Check, at_once

HERE = torch.device("cpu")


def unchecked() -> None:
    """Nobody asks for a stop."""


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """How many there are, for a test's time."""
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_each_has_half_of_the_threads(threads: int) -> None:
    meeting = threading.Barrier(2)

    def work(name: str) -> tuple[str, int]:
        if threads > 1:
            meeting.wait(10.0)  # neither could pass it if one had to wait for the other
        return name, torch.get_num_threads()

    half = max(1, threads // 2)
    assert at_once(lambda _: work("a"), lambda _: work("b"), HERE, unchecked) == (("a", half), ("b", half))
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize("failing", [0, 1])
def test_what_one_raises_is_raised_when_the_other_has_ended(threads: int, failing: int) -> None:
    ended = []

    def work(i: int) -> None:
        if i == failing:
            raise ValueError(f"work {i}")
        ended.append(i)

    with pytest.raises(ValueError, match=f"work {failing}"):
        at_once(lambda _: work(0), lambda _: work(1), HERE, unchecked)
    assert ended == ([1 - failing] if threads > 1 or failing == 1 else [])
    assert torch.get_num_threads() == threads


def test_only_the_thread_that_asks_is_checked_and_the_other_hears_of_it(threads: int) -> None:
    """What is checked may belong to one thread, as an SQLite file does."""
    checked, told = [], threading.Event()

    def check() -> None:
        checked.append(threading.current_thread())
        raise Interrupted

    def first(check: Check) -> None:
        check()

    def second(check: Check) -> None:
        for _ in range(1000):
            try:
                check()
            except Interrupted:
                told.set()
                raise
            time.sleep(0.01)

    with pytest.raises(Interrupted):
        at_once(first, second, HERE, check)
    assert checked == [threading.current_thread()]
    assert told.is_set() == (threads > 1)
