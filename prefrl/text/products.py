"""Linear layers of which the way back is in bfloat16, where the processor multiplies it and whoever learns asks for it.

A gradient is then off by half a hundredth of itself, in no direction, which is little beside what minibatches differ
by. The way there stays in 32 bits: what log-probabilities differ by is paid for.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from prefrl.processor import multiplies_bfloat16

ROWS = 256  # for every new number of rows a kernel is made, which takes longer than its work: numbers are rounded up


_rough: ContextVar[bool] = ContextVar("rough gradients", default=False)


@contextmanager
def rough_gradients() -> Iterator[None]:
    """What is read meanwhile learns by them; so does what is read under autocast."""
    token = _rough.set(True)
    try:
        yield
    finally:
        _rough.reset(token)


def linear(part: nn.Module, x: Tensor) -> Tensor:
    """[..., N] of x [..., K] from any layer. Under autocast not only gradients are rough."""
    if learns_roughly(part, x):
        out: Tensor = _Linear.apply(x, part.weight, torch.is_autocast_enabled("cpu"))  # type: ignore[no-untyped-call]
    else:
        out = part(x)
    return out


def learns_roughly(part: nn.Module, x: Tensor) -> bool:
    """Whether gradients of a layer that reads x [..., K] are to be rough: it is plain, it learns, and rows are many."""
    if not (_rough.get() or torch.is_autocast_enabled("cpu")):
        return False
    if type(part) is not nn.Linear or part.bias is not None or part.weight.dtype != torch.float32:
        return False
    many = x.numel() >= ROWS * x.shape[-1]
    return many and torch.is_grad_enabled() and part.weight.requires_grad and multiplies_bfloat16(x.device)


def rounded(x: Tensor) -> Tensor:
    """[M rounded up, K] of x [M, K] in bfloat16, with zeros below."""
    out = x.new_empty(-len(x) // ROWS * -ROWS, x.shape[1], dtype=torch.bfloat16)
    out[: len(x)] = x
    out[len(x) :] = 0
    return out


class _Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, rough: bool) -> Tensor:
        rows, near = rounded(x.reshape(-1, x.shape[-1])), weight.bfloat16()
        ctx.save_for_backward(rows, near)
        if not rough:
            return nn.functional.linear(x, weight)
        return (rows @ near.T)[: x.shape[:-1].numel()].to(weight.dtype).view(*x.shape[:-1], -1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        rows, weight = ctx.saved_tensors
        dy = rounded(grad.reshape(-1, grad.shape[-1]))
        dx = (dy @ weight)[: grad.shape[:-1].numel()]
        return dx.to(grad.dtype).view(*grad.shape[:-1], -1), (dy.T @ rows).to(grad.dtype), None
