"""The reward network for pictures."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from prefrl.ensemble import split
from prefrl.processor import byte_weight
from prefrl.segments import SegmentBatch
from prefrl.stacks import channels_last

LAYERS = ((7, 3), (5, 2), (3, 1), (3, 1))  # (kernel size, stride)
FILTERS, HIDDEN, SLOPE = 16, 64, 0.01
PIECE = 256  # pictures scored at once: what a layer makes of them should stay near the processor


class ConvReward(nn.Module):
    """E convolutional networks over stacks of pictures, as one network whose convolutions are grouped by member.

    Christiano et al. 2017, appendix A.2: 4 layers of 16 filters with batch norm and leaky ReLU of slope .01, then 64
    units; without their dropout of .5, with which nothing was learned of 400 comparisons of Pong in 260 updates, where
    without it nine of ten held-out answers were predicted. Pictures are uint8 and scaled to [0, 1]; actions are not
    seen.

    Where nothing is learned and the processor can, the first layer, two thirds of all products, multiplies the
    pictures' bytes by weights rounded to 8 bits, or 7, for less than half of the time.
    """

    def __init__(
        self, *, shape: tuple[int, ...], members: int, generator: torch.Generator, bfloat16: bool = False
    ) -> None:
        """`shape`: channels, height and width of an observation. `bfloat16`: convolve at that precision."""
        super().__init__()
        self.members, self.dtype = members, torch.bfloat16 if bfloat16 else torch.float32
        channels, height, width = shape
        # All members see the same picture, so the first layer is one convolution for all of them.
        convolutions = []
        for i, (kernel, stride) in enumerate(LAYERS):
            groups = 1 if i == 0 else members
            inputs = channels if i == 0 else members * FILTERS
            convolutions.append(nn.Conv2d(inputs, members * FILTERS, kernel, stride, groups=groups, bias=False))
            height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
        self.convolutions = nn.ModuleList(convolutions)
        self.norms = nn.ModuleList(nn.BatchNorm2d(members * FILTERS) for _ in LAYERS)
        self.w1 = nn.Parameter(torch.empty(members, FILTERS * height * width, HIDDEN))
        self.b1 = nn.Parameter(torch.zeros(members, 1, HIDDEN))
        self.w2 = nn.Parameter(torch.empty(members, HIDDEN, 1))
        self.b2 = nn.Parameter(torch.zeros(members, 1, 1))
        with torch.no_grad():  # torch's own initialization, from a generator of its own
            for weight in (*(layer.weight for layer in convolutions), self.w1, self.w2):
                fan_in = weight.shape[1] if weight.dim() == 3 else weight[0].numel()
                weight.uniform_(-1.0 / math.sqrt(fan_in), 1.0 / math.sqrt(fan_in), generator=generator)

    def forward(self, batch: SegmentBatch) -> Tensor:
        """[E, B, T]"""
        pieces = [batch] if self.training else split(batch, steps=PIECE)
        return torch.cat([self._piece(piece) for piece in pieces], dim=1)

    def _piece(self, batch: SegmentBatch) -> Tensor:
        if bool(batch.mask.all()):
            return self._score(batch.obs.flatten(0, 1)).view(self.members, *batch.mask.shape)
        # Batch norm must not see padding.
        pictures = batch.obs[batch.mask]
        scores = self._score(pictures)
        rewards = scores.new_zeros(self.members, *batch.mask.shape)
        rewards[:, batch.mask] = scores
        return rewards

    def _score(self, pictures: Tensor) -> Tensor:
        """[E, M] from pictures [M, channels, height, width], uint8, which may be on another device."""
        layer = channels_last(pictures.to(self.w1.device))
        # No gradient passes through rounded weights.
        largest = 0 if self.training or torch.is_grad_enabled() else byte_weight(layer.device)
        for convolution, norm in zip(self.convolutions, self.norms, strict=True):
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, nn.BatchNorm2d)
            weight, bias = convolution.weight, None
            if not self.training:  # what batch norm does is then fixed, and part of the convolution
                weight, bias = _fused(weight, norm)
            if layer.dtype == torch.uint8:  # from 0, ..., 255 to [0, 1], for less than dividing every picture
                weight = weight / 255.0
            if layer.dtype == torch.uint8 and largest:
                assert bias is not None
                layer = convolve_bytes(layer, weight, bias, convolution.stride, self.dtype, largest=largest)
            else:
                layer = functional.conv2d(
                    layer.to(self.dtype),
                    weight.to(self.dtype, memory_format=torch.channels_last),
                    None if bias is None else bias.to(self.dtype),
                    convolution.stride,
                    groups=convolution.groups,
                )
            if self.training:
                layer = norm(layer)
            layer = functional.leaky_relu(layer, SLOPE, inplace=True)
        flat = layer.flatten(1).float().view(len(pictures), self.members, -1).transpose(0, 1)  # [E, M, features]
        flat = functional.leaky_relu(torch.baddbmm(self.b1, flat, self.w1), SLOPE)
        return torch.baddbmm(self.b2, flat, self.w2).squeeze(-1).to(pictures.device)


def convolve_bytes(
    pictures: Tensor, weight: Tensor, bias: Tensor, stride: Sequence[int], dtype: torch.dtype, *, largest: int
) -> Tensor:
    """The convolution [M, F, height, width] of uint8 pictures [M, C, ...] by rounded weights [F, C, k, k].

    Each filter's are made whole multiples of one number, the largest weight `largest` times that. Sums are exact, if
    that is at most the processor's `byte_weight`.
    """
    scale = weight.abs().amax(dim=(1, 2, 3)).clamp(min=1e-12) / largest
    rounded = torch.round(weight / scale[:, None, None, None]).to(torch.int8)
    no_padding, no_dilation, groups = [0, 0], [1, 1], 1
    shape, zeros = list(pictures.shape), torch.zeros_like(scale, dtype=torch.int64)
    packed = torch.ops.onednn.qconv_prepack(rounded, scale, 1.0, 0, stride, no_padding, no_dilation, groups, shape)
    convolved: Tensor = torch.ops.onednn.qconv_pointwise(
        *(pictures, 1.0, 0, packed, scale, zeros, bias, stride, no_padding, no_dilation, groups),
        *(1.0, 0, dtype, "none", [], ""),  # how to round and change the result: not at all
    )
    return convolved


def _fused(weight: Tensor, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution and the batch norm after it, which no longer learns."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    return weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale
