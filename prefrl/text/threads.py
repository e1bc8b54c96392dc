"""Two works at the same time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

A = TypeVar("A")
B = TypeVar("B")


def at_once(first: Callable[[], A], second: Callable[[], B], device: torch.device) -> tuple[A, B]:
    """What two functions give that share nothing, each on half of a processor's threads; with one thread in turn.

    The operations of small models hardly gain by a second thread inside of them. Both end before an error is raised.
    """
    threads = torch.get_num_threads()
    if threads < 2 or device.type != "cpu":
        return first(), second()

    def aside() -> B:
        torch.set_num_threads(threads // 2)  # holds for the thread that says so
        return second()

    torch.set_num_threads(threads // 2)
    try:
        with ThreadPoolExecutor(1) as executor:
            later = executor.submit(aside)
            done = first()
        return done, later.result()
    finally:
        torch.set_num_threads(threads)
