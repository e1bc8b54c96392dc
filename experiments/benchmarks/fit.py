"""How many comparisons a second the ensemble is fitted to, beside a plain loop and beside what the processor could do.

Three members, two hidden layers of 64, clips of 50 steps of 17 + 6 numbers, minibatches of 64 comparisons, one thread.
The loop does the same work as a straightforward program would: member by member, pair by pair, torch.nn.Linear layers
and Adam. The limit is the time of the multiplications alone, at the speed that this processor's matrix product reaches
at its best.

    python experiments/benchmarks/fit.py
"""

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import tyro
from torch import nn

from prefrl.commands.training import keep_freed_memory
from prefrl.comparisons import Comparison
from prefrl.control.networks import MLPReward
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import FitConfig, fit
from prefrl.provenance import provenance
from prefrl.segments import Segment

MEMBERS, HIDDEN, STEPS, OBS, ACT, BATCH, COMPARISONS = 3, 64, 50, 17, 6, 64, 700
RESULTS = Path(__file__).parent.parent / "results" / "fit.json"


@dataclass(frozen=True)
class Args:
    """Compare fitting speeds."""

    repeats: int = 5
    out: Path = RESULTS


def data(rng: np.random.Generator) -> list[Comparison]:
    """Comparisons of random clips by a linear reward."""
    weight = rng.normal(size=OBS)

    def segment() -> Segment:
        obs = rng.normal(size=(STEPS, OBS)).astype(np.float32)
        return Segment(obs, rng.uniform(-1, 1, (STEPS, ACT)).astype(np.float32), np.zeros((0, OBS), np.float32))

    pairs = [(segment(), segment()) for _ in range(COMPARISONS)]
    return [
        Comparison((a, b), (1.0, 0.0) if (a.obs @ weight).sum() > (b.obs @ weight).sum() else (0.0, 1.0))
        for a, b in pairs
    ]


def batched(comparisons: list[Comparison], updates: int) -> float:
    """Comparisons a second of `prefrl.fitting.fit`, all of it."""
    net = MLPReward(
        obs_size=OBS, act_size=ACT, discrete=False, members=MEMBERS, generator=torch.Generator().manual_seed(0)
    )
    ensemble = RewardEnsemble(net, credit="each_step")
    ensemble.fitted.fill_(True)
    rng = np.random.default_rng(0)
    return BATCH * updates / fit(ensemble, comparisons, FitConfig(updates=updates, batch_size=BATCH), rng).seconds


def looped(comparisons: list[Comparison], updates: int) -> float:
    """Comparisons a second of a loop over members and pairs."""
    nets = [
        nn.Sequential(
            nn.Linear(OBS + ACT, HIDDEN),
            nn.LeakyReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.LeakyReLU(),
            nn.Linear(HIDDEN, 1),
        )
        for _ in range(MEMBERS)
    ]
    optimizers = [torch.optim.Adam(net.parameters(), lr=1e-3) for net in nets]
    rng = np.random.default_rng(0)
    started = time.perf_counter()
    for _ in range(updates):
        for net, optimizer in zip(nets, optimizers, strict=True):
            losses = []
            for i in rng.integers(len(comparisons), size=BATCH):
                comparison = comparisons[i]
                returns = [
                    net(torch.cat([torch.from_numpy(s.obs.copy()), torch.from_numpy(s.act.copy())], dim=1)).sum()
                    for s in comparison.options
                ]
                probs = 0.9 * torch.softmax(torch.stack(returns), dim=0) + 0.05
                losses.append(-(torch.tensor(comparison.mu) * probs.log()).sum())
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
    return BATCH * updates / (time.perf_counter() - started)


def limit() -> float:
    """Comparisons a second if the products ran at this core's best speed and nothing else took time."""
    size = 1024
    a, b = torch.randn(size, size), torch.randn(size, size)
    fastest = min(_seconds(lambda: a @ b) for _ in range(20))
    flops = 2 * size**3 / fastest
    inputs, hidden, last = (OBS + ACT) * HIDDEN, HIDDEN * HIDDEN, HIDDEN
    # Forward, and backward for weights and for inputs; the first layer's inputs need no gradient.
    products = 2 * (2 * inputs + 3 * hidden + 3 * last)
    return flops / (products * MEMBERS * 2 * STEPS)


def _seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main(args: Args) -> None:
    """Measure in turns, print, keep."""
    torch.set_num_threads(1)
    keep_freed_memory()
    comparisons = data(np.random.default_rng(0))
    batched(comparisons, 20)
    turns = [
        {"prefrl": batched(comparisons, 100), "loop": looped(comparisons, 4), "limit": limit()}
        for _ in range(args.repeats)
    ]
    for turn in turns:
        print(", ".join(f"{name} {speed:,.0f} comparisons a second" for name, speed in turn.items()))
    ratios = {
        "prefrl / loop": statistics.median(turn["prefrl"] / turn["loop"] for turn in turns),
        "prefrl / limit": statistics.median(turn["prefrl"] / turn["limit"] for turn in turns),
    }
    for name, ratio in ratios.items():
        print(f"{name:15} {ratio:.2f}  (median of {len(turns)})")
    args.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"comparisons_per_second": turns, "ratios": ratios, **provenance()}
    args.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Args))
