"""Reward networks for control."""

import math

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor, nn

from prefrl.control.conv_reward import ConvReward
from prefrl.segments import SegmentBatch


def reward_network(
    observations: spaces.Space[np.ndarray],
    actions: spaces.Space[np.ndarray],
    *,
    members: int,
    seed: int,
    bfloat16: bool = False,
) -> "MLPReward | ConvReward":
    """The paper's network for what is observed: convolutions for pictures [channels, height, width], else perceptrons.

    Only perceptrons see actions, too; only convolutions are done in bfloat16.
    """
    generator = torch.Generator().manual_seed(seed)
    shape = observations.shape or ()
    if len(shape) == 3:
        return ConvReward(shape=shape, members=members, generator=generator, bfloat16=bfloat16)
    return MLPReward(
        obs_size=int(np.prod(shape)),
        act_size=int(actions.n) if isinstance(actions, spaces.Discrete) else int(np.prod(actions.shape or ())),
        discrete=isinstance(actions, spaces.Discrete),
        members=members,
        generator=generator,
    )


class MLPReward(nn.Module):
    """E perceptrons with two hidden layers over (observation, action), as one stack of weights.

    Christiano et al. 2017, appendix A.1: 64 units, leaky ReLU of slope .01. Inputs are normalized by running
    statistics of the batches seen in training mode, as a batch norm without parameters would; discrete actions are
    one-hot.
    """

    mean: Tensor  # [D]
    variance: Tensor  # [D]
    batches: Tensor  # []

    def __init__(
        self,
        *,
        obs_size: int,
        act_size: int,
        discrete: bool,
        members: int,
        hidden: int = 64,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.members, self.act_size, self.discrete = members, act_size, discrete
        size = obs_size + act_size

        def weight(fan_in: int, fan_out: int) -> nn.Parameter:
            bound = 1.0 / math.sqrt(fan_in)  # torch.nn.Linear's own initialization
            return nn.Parameter((torch.rand(members, fan_in, fan_out, generator=generator) * 2 - 1) * bound)

        self.w1, self.b1 = weight(size, hidden), nn.Parameter(torch.zeros(members, 1, hidden))
        self.w2, self.b2 = weight(hidden, hidden), nn.Parameter(torch.zeros(members, 1, hidden))
        self.w3, self.b3 = weight(hidden, 1), nn.Parameter(torch.zeros(members, 1, 1))
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("variance", torch.ones(size))
        self.register_buffer("batches", torch.tensor(0))

    def forward(self, batch: SegmentBatch) -> Tensor:
        """[E, B, T]"""
        act = nn.functional.one_hot(batch.act.long(), self.act_size) if self.discrete else batch.act
        inputs = torch.cat([batch.obs.float(), act.float()], dim=-1)  # [B, T, D]
        if self.training:
            self._observe(inputs[batch.mask])
        # Observations far outside of what was compared would be extrapolated without end.
        inputs = ((inputs - self.mean) * torch.rsqrt(self.variance + 1e-6)).clamp(-10.0, 10.0).flatten(0, 1)
        # Member by member: what a layer makes of all steps then stays near the processor, where three members at once
        # drive each other out of its cache, and one product for all of them took 1.4 times as long to fit.
        stacks, rewards = (self.w1, self.b1, self.w2, self.b2, self.w3, self.b3), []
        for w1, b1, w2, b2, w3, b3 in zip(*map(Tensor.unbind, stacks), strict=True):
            layer = nn.functional.leaky_relu(torch.addmm(b1, inputs, w1), inplace=True)
            layer = nn.functional.leaky_relu(torch.addmm(b2, layer, w2), inplace=True)
            rewards.append(torch.addmm(b3, layer, w3))
        return torch.stack(rewards).view(self.members, *batch.mask.shape)

    @torch.no_grad()
    def _observe(self, inputs: Tensor) -> None:
        """Move the statistics toward those of `inputs` [steps, D]: a mean over batches at first, then exponential."""
        self.batches += 1
        rate = 1.0 / min(int(self.batches), 100)
        self.mean += rate * (inputs.mean(dim=0) - self.mean)
        self.variance += rate * ((inputs - self.mean).square().mean(dim=0) - self.variance)
