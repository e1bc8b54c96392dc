"""What the processor of this machine is good at."""

import torch


def multiplies_bfloat16(device: torch.device | str) -> bool:
    """Whether it is a processor on which products of this format are faster than those of 32 bits."""
    return torch.device(device).type == "cpu" and torch.cpu._is_avx512_bf16_supported()
