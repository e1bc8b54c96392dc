"""Two works at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

import torch

from prefrl.errors import Interrupted

A = TypeVar("A")
B = TypeVar("B")
Check = Callable[[], None]


def at_once(
    first: Callable[[Check], A], second: Callable[[Check], B], device: torch.device, check: Check
) -> tuple[A, B]:
    """What two functions give that share nothing, each on half of a processor's threads; with one thread in turn.

    The operations of small models hardly gain by a second thread inside of them. Each is given what it is to call now
    and then: `check`, which stays in the thread that asks, and for the second, aside, one that raises Interrupted when
    the first has failed. Both end before an error is raised.
    """
    threads = torch.get_num_threads()
    if threads < 2 or device.type != "cpu":
        return first(check), second(check)
    failed = Event()

    def check_aside() -> None:
        if failed.is_set():
            raise Interrupted

    def aside() -> B:
        torch.set_num_threads(threads // 2)  # holds for the thread that says so
        return second(check_aside)

    torch.set_num_threads(threads // 2)
    try:
        with ThreadPoolExecutor(1) as executor:
            later = executor.submit(aside)
            try:
                done = first(check)
            except BaseException:
                failed.set()
                raise
        return done, later.result()
    finally:
        torch.set_num_threads(threads)
