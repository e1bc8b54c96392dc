"""Which precisions this processor is asked to multiply in."""

from collections.abc import Iterator

import pytest
import torch

from prefrl import processor
from prefrl.processor import byte_weight, multiplies_bfloat16


@pytest.fixture(autouse=True)
def not_yet_measured(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    processor._wins.cache_clear()
    yield
    processor._wins.cache_clear()


def clock(monkeypatch: pytest.MonkeyPatch, *, full: float, half: float) -> list[float]:
    """Let products of 32 and of 16 bits take so long in turns, the first of each a second more; what it read."""
    read = [0.0]

    def now() -> float:
        turn = len(read) - 1
        taken = (full, half)[turn // 2 % 2] + (turn < 4) if turn % 2 else 0.0
        read.append(read[-1] + taken)
        return read[-1]

    monkeypatch.setattr(processor.time, "thread_time", now)
    return read


@pytest.mark.parametrize(("half", "wins"), [(0.2, True), (0.79, True), (0.81, False), (2.0, False)])
def test_16_bits_are_taken_where_they_save_a_fifth(half: float, wins: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clock(monkeypatch, full=1.0, half=half)
    assert multiplies_bfloat16("cpu") == wins


def test_it_is_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read = clock(monkeypatch, full=1.0, half=0.5)
    assert multiplies_bfloat16("cpu")
    before = len(read)
    assert multiplies_bfloat16(torch.device("cpu"))
    assert len(read) == before > 1


def test_neither_autocast_nor_chance_has_to_do_with_it() -> None:
    state = torch.get_rng_state()
    plain = multiplies_bfloat16("cpu")
    processor._wins.cache_clear()
    with torch.autocast("cpu", torch.bfloat16):  # under which both products would be of 16 bits
        assert multiplies_bfloat16("cpu") == plain
    assert torch.equal(torch.get_rng_state(), state)


def test_nothing_is_measured_for_a_gpu_or_a_processor_without_such_products(monkeypatch: pytest.MonkeyPatch) -> None:
    read = clock(monkeypatch, full=1.0, half=0.5)
    assert not multiplies_bfloat16("cuda")
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    assert not multiplies_bfloat16("cpu")
    assert len(read) == 1


@pytest.mark.parametrize(
    ("vnni", "capability", "largest"),
    [(True, "AVX512", 127), (False, "AVX512", 64), (False, "AVX2", 64), (False, "DEFAULT", 0)],
)
def test_bytes_are_multiplied_by_what_fits(
    vnni: bool, capability: str, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: vnni)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    assert byte_weight("cpu") == largest
    assert byte_weight("cuda") == 0
