"""Fitting rankings, whose parts are one element of a fit."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from fits import QUICK, Linear, answered, clips
from torch import Tensor

from prefrl.choice import choice_loss
from prefrl.comparisons import from_ranking, query_id, ranked_pairs
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import (
    FitConfig,
    bag_counts,
    fit,
)
from prefrl.segments import SegmentBatch, collate


def test_a_ranking_is_one_element_whose_loss_is_the_mean_over_its_pairs() -> None:
    """InstructGPT, equation 1: -1 / C(K, 2) sum log sigmoid(r_w - r_l), here beside a lone pair, without any step."""
    pool = clips(6)
    ranking, lone = ranked_pairs(pool[:4], [2, 0, 3, 1]), answered(pool[4:])
    ensemble = RewardEnsemble(Linear(8), credit="each_step")
    returns = ensemble.returns(collate(pool)).detach()
    config = FitConfig(first_epochs=1, batch_size=8, learning_rate=0.0, noise=0.0)
    report = fit(ensemble, [*ranking, lone], config, np.random.default_rng(0))
    wanted, weights = 0.0, 0.0
    bags = bag_counts([ranking[0].ranking, query_id([s.id for s in lone.options])], 8)
    order = [1, 3, 0, 2]  # best to worst
    for member in range(8):
        differences = [returns[member, order[i]] - returns[member, order[j]] for i in range(4) for j in range(i + 1, 4)]
        brute = -torch.stack(differences).sigmoid().log().mean()
        better, worse = returns[member, 4:] if lone.mu[0] == 1 else returns[member, 4:].flip(0)
        single = -(better - worse).sigmoid().log()
        wanted += float(bags[0, member] * brute + bags[1, member] * single)
        weights += float(bags[:, member].sum())
    assert len(ranking) == 6
    assert report.loss == pytest.approx(wanted / weights, rel=1e-5)


def test_the_gradient_of_a_ranking_is_that_of_its_mean_and_each_option_is_scored_once() -> None:
    pool, seen = clips(4), []

    class Spy(Linear):
        def forward(self, batch: SegmentBatch) -> Tensor:
            if self.training:
                seen.append(len(batch))
            return super().forward(batch)

    ensemble = RewardEnsemble(net := Spy(1), credit="each_step")
    while not bag_counts([(ranking := ranked_pairs(pool, [0, 1, 2, 3]))[0].ranking], 1)[0, 0]:
        pool = clips(4, seed=len(seen) + int(pool[0].id, 16) % 1000)
    before = net.weight.detach().clone()
    # Adam's first step is the sign of the gradient: two steps of one ranking tell whether it was kept whole.
    fit(ensemble, ranking, FitConfig(first_epochs=2, batch_size=1, noise=0.0), np.random.default_rng(0))
    assert seen == [4, 4]
    assert not torch.equal(net.weight, before)


def test_the_gradient_is_that_of_rankings_that_count_once_and_comparisons_as_often_as_drawn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    some = clips(12)
    comparisons = [*ranked_pairs(some[:4], [0, 1, 2, 3]), *(answered(some[i : i + 2]) for i in range(4, 12, 2))]
    ens = RewardEnsemble(Linear(8), credit="each_step")
    plain = ens.net.weight.detach().clone().requires_grad_()
    monkeypatch.setattr(torch.optim, "AdamW", lambda p, lr, **_: torch.optim.SGD(p, lr=lr))
    fit(
        ens,
        comparisons,
        FitConfig(first_epochs=1, batch_size=100, learning_rate=1.0, weight_decay=0.0),
        np.random.default_rng(0),
    )
    bags = bag_counts([c.ranking or query_id([s.id for s in c.options]) for c in comparisons], 8)
    assert bags.max() > 1
    loss = torch.zeros(())
    for m in range(8):
        for c, count in zip(comparisons, bags[:, m], strict=True):
            returns = torch.stack([(torch.tensor(s.obs) @ plain[m]).sum() for s in c.options])
            loss = loss + float(count) * (1 / 6 if c.ranking else 1.0) * choice_loss(returns, torch.tensor(c.mu)) / 5
    loss.backward()
    torch.testing.assert_close(ens.net.weight, plain - plain.grad, atol=1e-5, rtol=1e-5)


def test_a_minibatch_reads_its_own_options_alone() -> None:
    """Nested choices differ in how many options they have, and a network may learn from all inputs that it is given."""
    seen: list[list[str]] = []

    class Spy(Linear):
        def forward(self, batch: SegmentBatch) -> Tensor:
            if self.training:
                seen.append(sorted(map(str, batch.obs[:, 0, 0].tolist())))
            return super().forward(batch)

    pool = clips(6)
    halves = [pool[:3], pool[3:]]
    comparisons = [part for half in halves for part in from_ranking(half, (0, 1, 2))]
    fit(
        RewardEnsemble(Spy(1), credit="each_step"),
        comparisons,
        replace(QUICK, first_epochs=1, batch_size=1),
        np.random.default_rng(0),
    )
    assert sorted(seen) == sorted(sorted(map(str, collate(half).obs[:, 0, 0].tolist())) for half in halves)


def test_pairs_of_a_ranking_stay_in_one_bag() -> None:
    """Otherwise a member would be validated on answers that it was fitted to."""
    pool = clips(5)
    ranking = ranked_pairs(pool, [0, 1, 2, 3, 4])
    assert len({c.ranking for c in ranking}) == 1
    ensemble = RewardEnsemble(Linear(1), credit="each_step")
    report = fit(ensemble, ranking, QUICK, np.random.default_rng(0))
    assert math.isnan(report.loss) != math.isnan(report.validation_loss)  # all inside or all outside
