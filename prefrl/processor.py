"""What the processor of this machine is good at."""

import time
from functools import cache

import torch

SIZE, TURNS = 512, 5  # of the products that are timed: a few milliseconds each
WORTH = 0.8  # a precision is given up only for products that take less than this share of the time


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether it is a processor on which products of this format are faster than those of 32 bits."""
    return torch.device(device).type == "cpu" and torch.cpu._is_avx512_bf16_supported() and _wins()


def multiplies_bytes(device: torch.device | str) -> bool:
    """Whether it is a processor that multiplies pictures' bytes by weights of 8 bits, four for one of 32 bits.

    Without VNNI sums of two products are kept in 16 bits, where those of bright pictures do not fit.
    """
    # No public parts of torch, so another version may lack them.
    has_vnni, known = getattr(torch.cpu, "_is_vnni_supported", bool), hasattr(torch.ops.onednn, "qconv_pointwise")
    return torch.device(device).type == "cpu" and has_vnni() and known


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
