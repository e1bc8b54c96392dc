"""Fitting returns that were told: the ablation `target` of Christiano et al. 2017."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from fits import QUICK, WEIGHTS, clips, pairs, perceptrons, same

from prefrl.comparisons import Comparison
from prefrl.errors import PrefrlError
from prefrl.fitting import (
    fit,
    squared_error,
    standardized,
)
from prefrl.segments import collate


def told(comparisons: Sequence[Comparison], *, mu: tuple[float, ...] | None = None) -> list[Comparison]:
    """The same, with what the options return by WEIGHTS."""
    return [
        replace(c, mu=mu or c.mu, returns=tuple(float((o.obs @ WEIGHTS).sum()) for o in c.options)) for c in comparisons
    ]


def test_standardized_returns_by_hand() -> None:
    returns, steps = torch.tensor([1.0, 5.0, 6.0]), torch.tensor([1, 2, 3])  # 2 a step: -1, 1, 0
    expected = torch.tensor([-1.0, 1.0, 0.0]) / math.sqrt(2 / 3)
    torch.testing.assert_close(standardized(returns, steps), expected)
    torch.testing.assert_close(standardized(7 * returns + 3 * steps, steps), expected)  # another unit and zero
    assert standardized(2.0 * steps, steps).tolist() == [0, 0, 0]


def test_squared_error_by_hand() -> None:
    returns = torch.tensor([[[1.0, 2.0], [0.0, 99.0]]])
    want, exists = torch.tensor([[0.0, 4.0], [3.0, 0.0]]), torch.tensor([[True, True], [True, False]])
    assert squared_error(returns, want, exists).tolist() == [[2.5, 9.0]]


def test_told_returns_are_learned_where_answers_say_nothing() -> None:
    config = replace(QUICK, first_epochs=60, loss="squared_error", weight_decay=0.0)
    comparisons = told(pairs(100), mu=(0.5, 0.5))
    ensemble = perceptrons()
    report = fit(ensemble, comparisons, config, np.random.default_rng(0))
    new = clips(50, seed=9)
    predicted = ensemble.returns(collate(new)).mean(dim=0).detach().numpy()
    assert np.corrcoef(predicted, [(s.obs @ WEIGHTS).sum() for s in new])[0, 1] > 0.95
    assert report.loss < report.validation_loss < 0.5  # a constant would have 1
    ignored = perceptrons()  # the answers are not looked at
    fit(ignored, told(pairs(100)), config, np.random.default_rng(0))
    assert same(ensemble, ignored)


def test_a_fit_knows_only_what_was_told() -> None:
    """Not the true reward that segments carry."""
    config, comparisons, fitted = replace(QUICK, loss="squared_error"), told(pairs(20)), []
    for reward in (0.0, 1e30):
        ensemble = perceptrons()
        carrying = [
            replace(c, options=tuple(replace(o, true_reward=np.full(len(o), reward)) for o in c.options))
            for c in comparisons
        ]
        fit(ensemble, carrying, config, np.random.default_rng(0))
        fitted.append(ensemble)
    assert same(*fitted)


def test_what_nobody_told_cannot_be_fitted() -> None:
    with pytest.raises(PrefrlError, match="an answer tells no returns"):
        fit(perceptrons(), pairs(5), replace(QUICK, loss="squared_error"), np.random.default_rng(0))
    with pytest.raises(ValueError, match="as many finite numbers"):
        replace(pairs(1)[0], returns=(1.0,))
    with pytest.raises(ValueError, match="as many finite numbers"):
        replace(pairs(1)[0], returns=(1.0, math.nan))
