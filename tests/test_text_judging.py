"""Models as labelers, win rates, and how far a reward model can be trusted."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from text_worlds import learner, tiny

from prefrl.comparisons import Query, propose
from prefrl.errors import PrefrlError
from prefrl.segments import Text
from prefrl.store import PreferenceStore
from prefrl.text.comparing import bradley_terry, length_controlled, outcome, win_rate
from prefrl.text.judge import ModelLabeler, agreement, one_sided, soft_answer
from prefrl.text.packing import as_segment

# ---- a model as labeler ----------------------------------------------------------------------------------------------

TEMPLATE = "{prompt} w10 {a} w11 {b} w12"


def judge(lm_seed: int = 0, spread: float = 6.0) -> ModelLabeler:
    return ModelLabeler(tiny(lm_seed, spread=spread), "judge:tiny", TEMPLATE, ("w13", "w14"))


def queries(n: int = 12) -> list[Query]:
    segments = learner().rollout(64).segments
    return propose(segments, n, rng=np.random.default_rng(0))


def test_a_soft_answer_by_hand() -> None:
    """.9 for the first in one order and .3 for the first in the other, which is .7 for it: .8 in the mean."""
    assert soft_answer(0.9, 0.3) == pytest.approx((0.8, 0.2))
    # It only likes the place: a tie to the last bit, since whoever is ahead by a rounding would have won.
    assert {soft_answer(p, p) for p in np.random.default_rng(0).random(1000).tolist()} == {(0.5, 0.5)}


def test_swapping_the_options_swaps_the_answer() -> None:
    j = judge()
    for query in queries(6):
        a, b = query.options
        first, swapped = (soft_answer(*j.first_is_better(options)) for options in ((a, b), (b, a)))
        assert first == pytest.approx(swapped[::-1], abs=1e-6)
        assert sum(first) == pytest.approx(1.0)


def test_the_probability_is_that_of_the_models_own_logits() -> None:
    j = judge()
    a, b = Text("w1", "w2 w3"), Text("w1", "w4")
    ids = j.lm.tokenizer("w1 w10 w2 w3 w11 w4 w12", return_tensors="pt")["input_ids"]
    logits = j.lm.model(input_ids=ids).logits[0, -1].detach()
    first, second = (j.lm.tokenizer(c, add_special_tokens=False)["input_ids"][0] for c in ("w13", "w14"))
    wanted = torch.softmax(logits[[first, second]], dim=0)[0]
    assert j.both_orders(a, b)[0] == pytest.approx(float(wanted), abs=1e-5)


@dataclass(frozen=True, eq=False)
class Biased(ModelLabeler):
    """Names A whatever stands there, more or less surely."""

    def _prefers_first(self, a: Text, b: Text) -> float:
        return 0.9


@dataclass(frozen=True, eq=False)
class Knows(ModelLabeler):
    """Likes the longer answer, with a slight liking for the first place."""

    def _prefers_first(self, a: Text, b: Text) -> float:
        return 1 / (1 + math.exp(-(len(a.answer) - len(b.answer) + 0.1)))


def test_a_judge_that_always_says_a_is_refused(tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "p.db") as store:
        store.ask(queries(12))
        with pytest.raises(PrefrlError, match=r"names A in both orders of 100% of 12 pairs"):
            Biased(tiny(), "judge:a", TEMPLATE, (" A", " B")).attend(store)
        assert len(store) == 0


def test_a_judge_answers_the_store_softly_and_its_agreement_is_measured(tmp_path: Path) -> None:
    j, asked = Knows(tiny(), "judge:long", TEMPLATE), queries(12)
    with PreferenceStore(tmp_path / "p.db") as store:
        store.ask(asked)
        j.attend(store)
        j.attend(store)  # nothing is left to do
        assert len(store) == len(asked)
        assert {a.labeler for a in store.answers()} == {"judge:long"}
        assert any(0 < c.mu[0] < 1 for c in store.comparisons())

    def lengths(query: Query) -> Sequence[float]:
        return [float(len(o.view.answer)) for o in query.options]  # type: ignore[union-attr]

    golds = [lengths(q) for q in asked]
    alike, decided = agreement(j, asked, golds)
    assert alike == decided == sum(a != b for a, b in golds)
    assert agreement(j, asked, [[-g for g in gold] for gold in golds]) == (0, decided)


def test_one_sidedness_by_hand() -> None:
    assert one_sided([(0.9, 0.8), (0.9, 0.1), (0.2, 0.3), (0.4, 0.6)]) == 0.5
    assert one_sided([]) == 0.0


def test_what_a_judge_cannot_do() -> None:
    options = tuple(as_segment([3], [k, 2], Text("p", f"a{k}")) for k in (4, 5, 6))
    with pytest.raises(PrefrlError, match="judges pairs, this question has 3 options"):
        judge().first_is_better(options)
    with pytest.raises(PrefrlError, match="cannot tell 'w1' from 'w1'"):
        ModelLabeler(tiny(), "judge:x", TEMPLATE, ("w1", "w1")).first_is_better(options[:2])
    with pytest.raises(PrefrlError, match="reads 64 tokens"):
        ModelLabeler(tiny(), "judge:x", "w1 " * 70 + TEMPLATE, ("w1", "w2")).first_is_better(options[:2])


# ---- win rates -------------------------------------------------------------------------------------------------------


def test_win_rates_and_their_intervals() -> None:
    rng = np.random.default_rng(0)
    rate, low, high = win_rate([1.0] * 60 + [0.0] * 30 + [0.5] * 10, rng=rng)
    assert rate == 0.65
    # A standard error of sqrt(.2025 / 100) = .045, times 1.96.
    assert (low, high) == pytest.approx((0.562, 0.738), abs=0.02)
    assert all(math.isnan(v) for v in win_rate([], rng=rng))
    assert [outcome(2, 1), outcome(1, 1), outcome(1, 2)] == [1.0, 0.5, 0.0]


def test_length_control_takes_away_what_length_explains() -> None:
    """Of pairs in which the longer one always won, nothing is left; of pairs in which length says nothing, all."""
    rng = np.random.default_rng(0)
    longer = rng.normal(1.0, 1.0, 2000)
    by_length = (rng.random(2000) < 1 / (1 + np.exp(-3 * np.tanh(longer / longer.std())))).astype(float)
    assert by_length.mean() > 0.7
    assert length_controlled(by_length.tolist(), longer.tolist()) == pytest.approx(0.5, abs=0.05)
    won = (rng.random(2000) < 0.7).astype(float)
    assert length_controlled(won.tolist(), longer.tolist()) == pytest.approx(won.mean(), abs=0.05)
    assert length_controlled([1.0, 0.0], [3.0, 3.0]) == pytest.approx(0.5)


def test_bradley_terry_finds_the_strengths_again() -> None:
    strengths = np.array([1.0, 0.0, -1.0])
    rates = 1 / (1 + np.exp(strengths[None, :] - strengths[:, None]))
    games = np.full((3, 3), 1e7) * (1 - np.eye(3))
    assert bradley_terry(rates, games) == pytest.approx(strengths, abs=1e-3)
    two = bradley_terry(np.array([[0.5, 0.75], [0.25, 0.5]]), np.array([[0.0, 1e7], [1e7, 0.0]]))
    assert two[0] - two[1] == pytest.approx(math.log(3), abs=1e-3)


def test_a_system_that_wins_everything_has_a_score() -> None:
    rates, games = np.array([[0.5, 1.0], [0.0, 0.5]]), np.array([[0.0, 2.0], [2.0, 0.0]])
    assert np.isfinite(bradley_terry(rates, games)).all()
