"""Answers of a labeler who likes a known reward, and ensembles to fit to them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from worlds import clip

from prefrl.comparisons import Comparison
from prefrl.control.networks import MLPReward
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import (
    FitConfig,
)
from prefrl.segments import Segment, SegmentBatch

WEIGHTS = np.array([2.0, -1.0, 0.0])  # what the synthetic labeler likes of an observation
QUICK = FitConfig(first_epochs=3, updates=4, batch_size=8, adaptation=1.0)


def clips(n: int, *, steps: int = 5, seed: int = 0) -> list[Segment]:
    rng = np.random.default_rng(seed)
    return [clip(rng.normal(size=(steps, 3))) for _ in range(n)]


def answered(options: Sequence[Segment]) -> Comparison:
    """The best by WEIGHTS."""
    best = int(np.argmax([(option.obs @ WEIGHTS).sum() for option in options]))
    return Comparison(tuple(options), tuple(float(i == best) for i in range(len(options))))


def pairs(n: int, *, seed: int = 0) -> list[Comparison]:
    rng, pool = np.random.default_rng(seed), clips(2 * n, seed=seed)
    return [answered([pool[i] for i in rng.choice(len(pool), 2, replace=False)]) for _ in range(n)]


def perceptrons(members: int = 3, *, seed: int = 0) -> RewardEnsemble:
    generator = torch.Generator().manual_seed(seed)
    net = MLPReward(obs_size=3, act_size=1, discrete=False, members=members, hidden=16, generator=generator)
    return RewardEnsemble(net, credit="each_step")


class Linear(nn.Module):
    """Rewards are linear in observations: gradients can be written out, and no statistics move. Counts its calls."""

    def __init__(self, members: int) -> None:
        super().__init__()
        self.members, self.calls = members, 0
        self.weight = nn.Parameter(torch.randn(members, 3, generator=torch.Generator().manual_seed(1)) * 0.1)

    def forward(self, batch: SegmentBatch) -> Tensor:
        self.calls += 1
        return torch.einsum("btd,ed->ebt", batch.obs, self.weight)


def same(a: RewardEnsemble, b: RewardEnsemble) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))
