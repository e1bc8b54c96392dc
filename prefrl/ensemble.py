"""RewardEnsemble: E reward functions evaluated as one."""

import math
from collections.abc import Callable
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from prefrl.segments import SegmentBatch, last_steps

Credit = Literal["each_step", "last_step"]
RewardFn = Callable[[SegmentBatch], Tensor]  # -> [B, T], zero where masked
# Log-odds of a step. Rewards of a lower standard deviation order nothing; scaled up they would be noise. Ties, alone or
# with 1 % of other answers, left .00002 to .0004 (Enduro); what orders the clips of other games is .03 to .5.
TELLS = 3e-3


class RewardNet(Protocol):
    """A module that gives every member's reward of every step, [E, B, T]; padded steps may hold any finite number."""

    members: int

    def __call__(self, batch: SegmentBatch) -> Tensor: ...


class RewardEnsemble(nn.Module):
    """E learned reward functions over the same segments (Christiano et al. 2017, section 2.2.3).

    `forward` and `returns` are on the scale of the choice model, whose differences are log-odds. `reward` is what a
    policy learns from: each member shifted and scaled by `calibrate`, then averaged. With credit `last_step` only the
    last real step of a segment is rewarded, as a text's is. An ensemble of one is an ensemble.
    """

    shift: Tensor  # [E]
    scale: Tensor  # [E]
    weight_decay: Tensor  # []  the coefficient that `fit` adapts and finds again at its next call
    fitted: Tensor  # []  bool

    def __init__(self, net: RewardNet, *, credit: Credit, zero: SegmentBatch | None = None, std: float = 1.0) -> None:
        """`zero`: segments whose mean reward is to be 0, as InstructGPT's demonstrations are (section 3.5).

        `std`: the standard deviation of a step's calibrated reward, 1 in MuJoCo and .05 in Atari (Christiano et al.
        2017, appendix A).
        """
        super().__init__()
        assert isinstance(net, nn.Module)
        self.zero, self.std = zero, std
        self.net: nn.Module = net
        self.members: int = net.members
        self.credit = credit
        self.register_buffer("shift", torch.zeros(self.members))
        self.register_buffer("scale", torch.ones(self.members))
        self.register_buffer("weight_decay", torch.tensor(0.0))
        self.register_buffer("fitted", torch.tensor(False))
        self.eval()  # only `fit` trains: scoring must not change what a network has learned of its inputs

    def forward(self, batch: SegmentBatch) -> Tensor:
        """[E, B, T] rewards before calibration, zero where masked."""
        rewards: Tensor = self.net(batch)
        return rewards.masked_fill(~self.credited(batch), 0.0)

    def credited(self, batch: SegmentBatch) -> Tensor:
        """[B, T] bool: the steps that carry a reward."""
        if self.credit == "each_step":
            return batch.mask
        return last_steps(batch.mask)

    def returns(self, batch: SegmentBatch) -> Tensor:
        """[E, B] sums over each segment, undiscounted."""
        return self.forward(batch).sum(dim=-1)

    @torch.no_grad()
    def calibrate(self, batch: SegmentBatch) -> Tensor:
        """Make each member's reward have mean 0 and standard deviation `std` over the credited steps of `batch`.

        A member that is all but constant there, as after nothing but ties, pays nothing anywhere: what it says of other
        segments was never taught. Where there are segments whose reward is to be 0, the mean is taken over those. Where
        segments differ in how many steps are credited, as where episodes end by themselves, comparisons have told what
        a step more is worth, and the reward keeps its zero: moved to the mean it would pay for an early end. A constant
        tells something there, and keeps its scale. Returns what `returns(batch)` would, [E, B].
        """
        rewards, credited = self._in_pieces(batch), self.credited(batch)
        std = rewards[:, credited].std(dim=1, correction=0)
        lengths, of_constants = credited.sum(dim=1), math.inf
        if self.zero is not None:
            self.shift.copy_(self._in_pieces(self.zero)[:, self.credited(self.zero)].mean(dim=1))
        elif bool((lengths == lengths[:1]).all()):
            self.shift.copy_(rewards[:, credited].mean(dim=1))
        else:
            self.shift.zero_()
            of_constants = 1.0
        self.scale.copy_(torch.where(std > TELLS, std / self.std, of_constants))
        self.fitted.fill_(True)
        return rewards.sum(dim=-1)

    def _in_pieces(self, batch: SegmentBatch) -> Tensor:
        """`forward`, in pieces that fit a processor's cache: an experiment's comparisons can be a gigabyte."""
        return torch.cat([self.forward(piece) for piece in split(batch, steps=8192)], dim=1)

    @torch.no_grad()
    def reward(self, batch: SegmentBatch) -> Tensor:
        """[B, T] what the policy is paid: calibrated, averaged over members, zero where no reward is credited."""
        rewards = (self.forward(batch) - self.shift[:, None, None]) / self.scale[:, None, None]
        return rewards.mean(dim=0).masked_fill(~self.credited(batch), 0.0)


def split(batch: SegmentBatch, *, steps: int) -> list[SegmentBatch]:
    """Pieces of a batch of about that many steps each, at least one segment."""
    size = max(1, steps // batch.mask.shape[1])
    return [batch[start : start + size] for start in range(0, len(batch), size)]
