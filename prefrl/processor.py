"""What the processor of this machine is good at."""

import time
from functools import cache

import torch

SIZE, TURNS = 512, 5  # of the products that are timed: a few milliseconds each
WORTH = 0.8  # a precision is given up only for products that take less than this share of the time


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether it is a processor on which products of this format are faster than those of 32 bits."""
    return torch.device(device).type == "cpu" and torch.cpu._is_avx512_bf16_supported() and _wins()


def byte_weight(device: torch.device | str) -> int:
    """The largest whole number by which it multiplies pictures' bytes faster than in 32 bits; 0 if by none.

    With VNNI a processor adds such products up in 32 bits, so that weights may have 8 bits. Others with AVX2 add two of
    them in 16 bits, into which 2 * 255 * 64 fits.
    """
    # No public part of torch tells of VNNI, or has these products, so another version may lack them.
    if torch.device(device).type != "cpu" or not hasattr(torch.ops.onednn, "qconv_pointwise"):
        return 0
    if getattr(torch.cpu, "_is_vnni_supported", bool)():
        return 127
    return 64 if torch.backends.cpu.get_cpu_capability().startswith("AVX") else 0


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
@cache
def _wins() -> bool:
    """Measured once in a process, in about 30 ms, since what a processor says of itself does not tell.

    Of those with AVX512-BF16 and without AMX some need half of the time for such products, others twice as long. It is
    the time of the processor itself that counts, whatever else the machine is doing.
    """

    def seconds(matrix: torch.Tensor) -> float:
        started = time.thread_time()
        matrix @ matrix
        return time.thread_time() - started

    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        full = torch.ones(SIZE, SIZE)
        half = full.bfloat16()
        seconds(full), seconds(half)  # kernels are made at first
        turns = [(seconds(full), seconds(half)) for _ in range(TURNS)]
    return min(b for _, b in turns) < WORTH * min(a for a, _ in turns)
