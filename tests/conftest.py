import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from prefrl.store import PreferenceStore

# A property holds or not; how long an example takes depends on what else the machine does.
settings.register_profile("prefrl", deadline=None)
settings.load_profile("prefrl")
# Tensors are tiny here. With a thread a core, one test took 40 times as long while other programs used the machine.
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """A training in this process sets threads of its own, and sums differ by their number; one comes back."""
    yield
    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    """Training catches signals; the tests' own handling comes back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PreferenceStore]:
    with PreferenceStore(tmp_path / "store.sqlite") as opened:
        yield opened
