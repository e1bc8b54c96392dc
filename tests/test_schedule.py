import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrl.errors import PrefrlError
from prefrl.schedule import label_plan


def test_by_hand() -> None:
    # 104 labels, 26 up front. Four rounds at T = 0, 1, 2, 3 horizons: ln 1, 2, 3, 4 = 0, .6931, 1.0986, 1.3863.
    # 78 * .6931 / 1.3863 = 39, 78 * 1.0986 / 1.3863 = 61.8 -> 62, 78: totals 26, 65, 88, 104.
    assert label_plan(104, 4000, 1000, horizon=1000.0) == [26, 39, 23, 16]


def test_the_papers_annealing() -> None:
    # 700 labels, 5e6 steps in 5 rounds, horizon 2e6: 175 up front, then 525 by ln(1 + T / 2e6) at T = 1, 2, 3, 4e6:
    # ln 1.5, 2, 2.5, 3 = .4055, .6931, .9163, 1.0986, as shares of the last .3691, .6309, .8340, 1:
    # 193.8, 331.2, 437.9, 525 -> 194, 331, 438, 525.
    assert label_plan(700, 5_000_000, 1_000_000) == [175, 194, 137, 107, 87]


def test_one_round_asks_everything() -> None:
    assert label_plan(10, 500, 1000) == [10]
    assert label_plan(10, 1000, 1000) == [10]
    assert label_plan(10, 1001, 1000) == [3, 7]  # 2.5 up front, rounded up


def test_everything_or_nothing_up_front() -> None:
    assert label_plan(8, 3000, 1000, upfront=1.0) == [8, 0, 0]
    assert label_plan(8, 3000, 1000, upfront=0.0, horizon=1e12) == [0, 4, 4]  # a far horizon is a constant rate


@given(
    labels=st.integers(1, 10_000),
    steps=st.integers(1, 10_000_000),
    rounds=st.integers(1, 300),
    upfront=st.floats(0, 1),
    horizon=st.floats(1.0, 1e9),
)
def test_the_plan_is_exact_and_within_one_of_its_due(
    labels: int, steps: int, rounds: int, upfront: float, horizon: float
) -> None:
    steps_per_round = -(-steps // rounds)
    plan = label_plan(labels, steps, steps_per_round, upfront=upfront, horizon=horizon)
    assert len(plan) == math.ceil(steps / steps_per_round)
    assert sum(plan) == labels
    assert min(plan) >= 0
    if len(plan) > 1:
        assert abs(plan[0] - labels * upfront) <= 0.5 + 1e-6
        end = math.log1p((len(plan) - 1) * steps_per_round / horizon)
        for r in range(1, len(plan)):
            due = plan[0] + (labels - plan[0]) * math.log1p(r * steps_per_round / horizon) / end
            assert abs(sum(plan[: r + 1]) - due) <= 0.5 + 1e-6


@given(labels=st.integers(100, 10_000), horizon=st.floats(1e3, 1e7))
def test_the_rate_falls(labels: int, horizon: float) -> None:
    plan = label_plan(labels, 1_000_000, 100_000, horizon=horizon)
    assert all(later <= earlier + 1 for earlier, later in itertools.pairwise(plan[1:]))  # 1 for rounding


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 10, 5), "labels must be at least 1, got 0"),
        ((10, -3, 5), "steps must be at least 1, got -3"),
        ((10, 10, 0), "steps per round must be at least 1, got 0"),
    ],
)
def test_what_cannot_be_planned(arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(PrefrlError, match=message):
        label_plan(*arguments)


def test_shares_and_horizons_are_checked() -> None:
    with pytest.raises(PrefrlError, match=r"between 0 and 1, got 1.5"):
        label_plan(10, 10, 5, upfront=1.5)
    with pytest.raises(PrefrlError, match="between 0 and 1, got nan"):
        label_plan(10, 10, 5, upfront=math.nan)
    for horizon in (0.0, -1.0, math.inf, math.nan):
        with pytest.raises(PrefrlError, match="horizon of the label schedule in steps must be above 0 and finite, got"):
            label_plan(10, 10, 5, horizon=horizon)
