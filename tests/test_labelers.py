import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefrl.comparisons import Query, Ranking
from prefrl.errors import Interrupted, PrefrlError
from prefrl.labelers import (
    Labeler,
    Oracle,
    People,
    Recorded,
    irrational_choice,
    irrational_choices,
    mean_return,
    ranks_of,
    teacher_return,
    thresholds,
)
from prefrl.segments import Segment
from prefrl.store import PreferenceStore


def segment(number: int, rewards: Sequence[float] | None) -> Segment:
    steps = 1 if rewards is None else len(rewards)
    return Segment(
        obs=np.full((steps, 1), number, np.float32),
        act=np.zeros(steps, np.int64),
        context=np.zeros((0, 1), np.float32),
        true_reward=None if rewards is None else np.array(rewards, np.float64),
    )


def pairs(n: int, *, first: float = 0.0, second: float = 0.0) -> list[Query]:
    """Queries of one-step segments that return `first` and `second`."""
    return [Query((segment(2 * i, [first]), segment(2 * i + 1, [second]))) for i in range(n)]


def answered(oracle: Oracle, queries: Sequence[Query]) -> list[tuple[float, ...] | None]:
    margin = mean_return([option for query in queries for option in query.options])
    return [oracle.judge(query, margin) for query in queries]


# Formulas


def test_teacher_return_by_hand() -> None:
    rewards = np.array([1.0, 2.0, 4.0])
    assert teacher_return(rewards, 1.0) == 7.0
    assert teacher_return(rewards, 0.5) == 0.25 * 1 + 0.5 * 2 + 4  # the last step weighs 1


def test_equal_rewards_in_another_order_return_the_same() -> None:
    assert 0.1 + 0.2 + 0.3 != 0.3 + 0.2 + 0.1
    assert teacher_return(np.array([0.1, 0.2, 0.3]), 1.0) == teacher_return(np.array([0.3, 0.2, 0.1]), 1.0)


def test_mean_return_counts_equal_segments_once() -> None:
    assert mean_return([segment(0, [1, 1]), segment(1, [4, 6]), segment(1, [4, 6])]) == 6.0


def choice(
    returns: Sequence[float], judged: Sequence[float] | None = None, **settings: Any
) -> tuple[float, ...] | None:
    exact = {"beta": math.inf, "mistake": 0.0, "skip_below": -math.inf, "equal_within": 0.0}
    rng = np.random.default_rng(settings.pop("seed", 0))
    return irrational_choice(np.array(returns), np.array(judged or returns), **(exact | settings), rng=rng)


def test_the_exact_choice() -> None:
    assert choice([1, 3, 2]) == (0, 1, 0)
    assert choice([3, 1, 3]) == (0.5, 0, 0.5)
    assert choice([2, 2]) == (0.5, 0.5)
    assert choice([5, 4], judged=[1, 2]) == (0, 1)  # a myopic teacher judges by its own returns


def test_skip_comes_before_everything() -> None:
    assert choice([1, 2], skip_below=2.5) is None
    assert choice([1, 3], skip_below=2.5) == (0, 1)  # one good option is enough
    assert choice([2, 2], skip_below=2.5, equal_within=1) is None


def test_equal_overwrites_a_mistake_and_a_myopic_judgment() -> None:
    assert choice([2.0, 2.4], judged=[9, 0], mistake=1.0, equal_within=0.5) == (0.5, 0.5)
    assert choice([2.0, 2.5], equal_within=0.5) == (0, 1)  # the difference must be less
    assert choice([2.0, 0.0, 1.9], equal_within=0.5) == (0.5, 0, 0.5)


def test_a_mistake_is_another_option() -> None:
    assert choice([1, 2], mistake=1.0) == (1, 0)
    assert choice([2, 2], mistake=1.0) == (0.5, 0.5)  # nothing else to answer
    drawn = {choice([1, 3, 2], mistake=1.0, seed=seed) for seed in range(30)}
    assert drawn == {(1, 0, 0), (0, 0, 1)}


def test_a_stochastic_teacher_draws_from_the_softmax() -> None:
    # beta 2, returns ln 1, ln 2: weights 1 and 4, so the second is chosen with 4 / 5. 2000 draws: sd = .009.
    chosen = [choice([0.0, math.log(2)], beta=2.0, seed=seed) for seed in range(2000)]
    assert set(chosen) == {(1, 0), (0, 1)}
    assert chosen.count((0, 1)) / 2000 == pytest.approx(0.8, abs=0.04)
    assert choice([-1e6, 1e6], beta=10.0) == (0, 1)  # no overflow


# The oracle


def test_the_oracle_answers_all_that_is_pending(store: PreferenceStore) -> None:
    high, low, also_high = segment(1, [1, 2]), segment(2, [2, 0]), segment(3, [3, 0])
    store.ask([Query((low, high)), Query((high, also_high)), Query((high, low, also_high))])
    labeler: Labeler = Oracle(seed=0)
    labeler.attend(store)
    assert [c.mu for c in store.comparisons()] == [(0, 1), (0.5, 0.5), (0.5, 0.5, 0)]
    assert [o.id for o in store.comparisons()[2].options] == [high.id, also_high.id, low.id]
    assert {answer.labeler for answer in store.answers()} == {"oracle"}
    labeler.attend(store)  # nothing is left
    assert len(store.answers()) == 3


def test_the_oracle_can_tell_returns_beside_its_answers(store: PreferenceStore) -> None:
    high, low, middle = segment(1, [1, 2]), segment(2, [2, -0.1]), segment(3, [0.7, 2])
    store.ask([Query((low, high)), Query((low, middle, high))])
    oracle = Oracle(seed=0, tells_returns=True)
    oracle.attend(store)
    worth = {high.id: 3.0, low.id: 1.9, middle.id: 2.7}
    told = store.comparisons()
    assert [c.mu for c in told] == [(0, 1), (1, 0, 0), (1, 0)]  # a ranking is nested choices, the best first
    assert [c.returns for c in told] == [tuple(worth[o.id] for o in c.options) for c in told]
    assert {answer.labeler for answer in store.answers()} == {"oracle:tells_returns=1"}
    with PreferenceStore(store.path.with_name("other.sqlite")) as other:
        other.merge(store)
        assert [c.returns for c in other.comparisons()] == [c.returns for c in told]
        other.ask([Query((high, middle))])
        Oracle(seed=0).attend(other)
        assert other.comparisons()[-1].returns is None  # this one tells none


def test_bug_2_exact_ties_are_ties(store: PreferenceStore) -> None:
    """B-Pref answers a tie with the first segment; the paper with .5, .5."""
    store.ask(pairs(5, first=1.0, second=1.0))
    Oracle(seed=0).attend(store)
    assert [c.mu for c in store.comparisons()] == [(0.5, 0.5)] * 5


def test_bug_1_eps_is_multiplied_once() -> None:
    """B-Pref's PEBBLE multiplied the margin by eps twice, so that nothing was skipped or equal at eps^2.

    Returns 10 and 12 in one pair, 0.5 and 0 in the other: margin (10 + 12 + .5 + 0) / 4 = 5.625, .1 of it .5625.
    """
    rich = Query((segment(0, [10]), segment(1, [12])))
    poor = Query((segment(2, [0.5]), segment(3, [0])))
    assert answered(Oracle(seed=0, skip=0.1), [rich, poor]) == [(0, 1), None]  # .5 < .5625, but not < .05625
    assert answered(Oracle(seed=0, equal=0.1), [rich, poor]) == [(0, 1), (0.5, 0.5)]


def test_thresholds_of_a_negative_margin_are_as_far_from_it() -> None:
    assert thresholds(8.0, skip=0.25, equal=0.5) == (2.0, 4.0)
    assert thresholds(-8.0, skip=0.25, equal=0.5) == (-14.0, 4.0)  # both skip what is 6 below the margin
    assert thresholds(-8.0, skip=1.0, equal=0.0) == (-8.0, 0.0)
    assert thresholds(0.0, skip=0.5, equal=0.5) == (0.0, 0.0)
    assert thresholds(-8.0, skip=0.0, equal=0.0) == (-math.inf, 0.0)


def test_an_oracle_skips_and_ties_as_often_where_rewards_are_negative() -> None:
    """Returns -10 and -12 in one pair, -19.5 and -20 in the other: margin -15.375, .1 of it 1.5375."""
    good = Query((segment(0, [-10]), segment(1, [-12])))
    bad = Query((segment(2, [-19.5]), segment(3, [-20])))
    assert answered(Oracle(seed=0, equal=0.1), [good, bad]) == [(1, 0), (0.5, 0.5)]
    assert answered(Oracle(seed=0, skip=0.1), [good, bad]) == [(1, 0), (1, 0)]  # -19.5 > -15.375 * 1.9
    assert answered(Oracle(seed=0, skip=0.8), [good, bad]) == [(1, 0), None]  # -19.5 < -15.375 * 1.2 = -18.45


def test_no_skipping_means_none_even_below_zero() -> None:
    assert answered(Oracle(seed=0), pairs(1, first=-5.0, second=-3.0)) == [(0, 1)]


def test_bug_9_a_stochastic_oracle_is_stochastic() -> None:
    """CleanRLHF's teacher with a finite beta never sampled."""
    chosen = answered(Oracle(seed=0, beta=1.0), pairs(400, first=0.0, second=1.0))
    # sigmoid(1) = .731, sd of 400 draws .022
    assert sum(mu == (0, 1) for mu in chosen) / 400 == pytest.approx(0.731, abs=0.09)


def test_mistakes_come_at_their_rate() -> None:
    chosen = answered(Oracle(seed=0, mistake=0.1), pairs(1000, first=0.0, second=1.0))
    assert sum(mu == (1, 0) for mu in chosen) / 1000 == pytest.approx(0.1, abs=0.04)  # sd .0095


def test_a_myopic_oracle_prefers_the_recent() -> None:
    query = Query((segment(0, [10, 0, 0]), segment(1, [0, 0, 9])))
    assert answered(Oracle(seed=0), [query]) == [(1, 0)]
    assert answered(Oracle(seed=0, gamma=0.9), [query]) == [(0, 1)]  # 10 * .81 = 8.1 < 9


def test_more_than_two_options_are_ranked() -> None:
    asked = Query(tuple(segment(i, [float(reward)]) for i, reward in enumerate((3, 5, 3, 1))))
    assert Oracle(seed=0).judge(asked, 0.0) == Ranking((1, 0, 1, 2))
    assert Oracle(seed=0, equal=1.0).judge(asked, 2.5) == Ranking((0, 0, 0, 1))  # less than 2.5 below 5 are 3 and 3
    assert Oracle(seed=0, skip=1.0).judge(asked, 6.0) is None
    assert Oracle(seed=0, skip=1.0).judge(asked, 4.0) == Ranking((1, 0, 1, 2))  # of the whole question, not of its tail
    assert ranks_of([(0, 0.5, 0.5, 0), (1, 0, 0, 0)], 4) == (1, 0, 0, 2)


def test_a_stochastic_ranking_is_plackett_luce() -> None:
    """Weights exp(beta return) of 1, 2, 5: the ranking 2 > 0 > 1 has probability 5/8 * 1/3 = .208."""
    returns = np.log([1.0, 2.0, 5.0])
    rng = np.random.default_rng(0)
    settings = {"beta": 1.0, "mistake": 0.0, "skip_below": -math.inf, "equal_within": 0.0}
    drawn = [irrational_choices(returns, returns, **settings, rng=rng) for _ in range(4000)]
    share = np.mean([nested is not None and ranks_of(nested, 3) == (1, 2, 0) for nested in drawn])
    assert share == pytest.approx(5 / 24, abs=0.02)


@given(st.lists(st.integers(-3, 3), min_size=2, max_size=2), st.integers(0, 100))
def test_two_options_are_chosen_from_as_ever(returns: list[int], seed: int) -> None:
    both = np.array(returns, float)
    settings = {"beta": 1.0, "mistake": 0.3, "skip_below": 0.0, "equal_within": 0.5}
    one = irrational_choice(both, both, **settings, rng=np.random.default_rng(seed))
    nested = irrational_choices(both, both, **settings, rng=np.random.default_rng(seed))
    assert (nested and nested[0]) == one


def test_randomness_depends_on_the_query_alone(tmp_path: Path) -> None:
    oracle, queries = Oracle(seed=3, beta=1.0, mistake=0.2), pairs(40, first=0.0, second=1.0)
    with PreferenceStore(tmp_path / "at_once.sqlite") as store:
        store.ask(queries)
        oracle.attend(store)
        at_once = {a.query_id: dict(zip(a.option_ids, a.mu or (), strict=True)) for a in store.answers()}
    with PreferenceStore(tmp_path / "bit_by_bit.sqlite") as store:
        for query in reversed(queries):
            store.ask([Query(query.options[::-1])])
            oracle.attend(store)
        assert at_once == {a.query_id: dict(zip(a.option_ids, a.mu or (), strict=True)) for a in store.answers()}
    assert answered(oracle, queries) != answered(Oracle(seed=4, beta=1.0, mistake=0.2), queries)


def test_the_oracle_signs_with_its_settings(store: PreferenceStore) -> None:
    assert Oracle(seed=5).name == "oracle"
    oracle = Oracle(seed=5, beta=1.0, mistake=0.1)
    assert oracle.name == "oracle:beta=1,mistake=0.1"
    store.ask(pairs(1, first=1.0, second=3.0))
    oracle.attend(store)
    (answer,) = store.answers()
    assert answer.labeler == "oracle:beta=1,mistake=0.1"
    expected = {"seed": 5, "beta": 1.0, "gamma": 1.0, "mistake": 0.1, "skip": 0.0, "equal": 0.0, "margin": 2.0}
    assert answer.provenance == expected


def test_exact_provenance_is_plain_json(store: PreferenceStore) -> None:
    store.ask(pairs(1, first=1.0, second=3.0))
    Oracle(seed=0).attend(store)
    assert store.answers()[0].provenance["beta"] == "inf"
    assert "Infinity" not in str(store._file.db.execute("SELECT provenance FROM answers").fetchone())


def test_segments_without_true_reward_are_refused(store: PreferenceStore) -> None:
    store.ask([*pairs(1), Query((segment(8, None), segment(9, None)))])
    with pytest.raises(PrefrlError, match="has no true reward, so no oracle can judge it"):
        Oracle(seed=0).attend(store)
    assert len(store) == 0


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("seed", -1),
        ("beta", 0.0),
        ("beta", math.nan),
        ("gamma", 0.0),
        ("gamma", 1.1),
        ("mistake", -0.1),
        ("mistake", 1.5),
        ("skip", -1.0),
        ("equal", math.inf),
    ],
)
def test_settings_are_checked(setting: str, value: float) -> None:
    settings: dict[str, Any] = {"seed": 0, setting: value}
    with pytest.raises(PrefrlError, match=rf"{setting} of an oracle must be .*, got {value}"):
        Oracle(**settings)


# People


class Clock:
    """Lets a person answer while the trainer waits."""

    def __init__(self, store: PreferenceStore, answers_at: dict[float, Sequence[Query]]) -> None:
        self.store, self.answers_at, self.now = store, dict(answers_at), 0.0
        self.said: list[tuple[float, str]] = []

    def pause(self, seconds: float) -> None:
        assert 0 < seconds <= 1
        self.now += seconds
        if self.now > 1000:
            raise Interrupted
        for at in [at for at in self.answers_at if at <= self.now]:
            self.store.answer_all([(query, (1, 0)) for query in self.answers_at.pop(at)], labeler="ann")

    def say(self, text: str) -> None:
        self.said.append((self.now, text))


def test_people_are_waited_for(store: PreferenceStore) -> None:
    queries = pairs(40)
    store.ask(queries)
    clock = Clock(store, {10.0: queries[:28], 200.0: queries[28:]})
    People("prefrl label runs/x", clock.pause, clock.say).attend(store)
    assert len(store) == 40
    assert clock.now == 200.0
    rest = "waiting for 12 of 40 answers; label them with: prefrl label runs/x"
    first = "waiting for 40 of 40 answers; label them with: prefrl label runs/x"
    # At once, when the number changes, and each minute after that.
    assert clock.said == [(0.0, first), (10.0, rest), (70.0, rest), (130.0, rest), (190.0, rest)]


@pytest.mark.parametrize(("when_short", "goes_on_at"), [("block", 200.0), ("throttle", 10.0), ("continue", 5.0)])
def test_who_is_short_of_answers_waits_as_long_as_told(
    store: PreferenceStore, when_short: Literal["block", "throttle", "continue"], goes_on_at: float
) -> None:
    queries = pairs(40)
    store.ask(queries)
    clock = Clock(store, {5.0: queries[:1], 10.0: queries[1:30], 200.0: queries[30:]})
    people = People("label", clock.pause, clock.say, when_short)
    people.attend(store)
    assert clock.now == goes_on_at
    people.attend(store)
    assert clock.now == goes_on_at


def test_a_leased_query_is_waited_for(store: PreferenceStore) -> None:
    queries = pairs(1)
    store.ask(queries)
    store.lease("ann", 1)
    clock = Clock(store, {2.0: queries})
    People("label", clock.pause, clock.say).attend(store)
    assert len(store) == 1


def test_nothing_pending_is_no_wait(store: PreferenceStore) -> None:
    clock = Clock(store, {})
    People("label", clock.pause, clock.say).attend(store)
    assert (clock.now, clock.said) == (0.0, [])


def test_the_wait_can_be_interrupted(store: PreferenceStore) -> None:
    store.ask(pairs(1))
    clock = Clock(store, {})
    with pytest.raises(Interrupted):
        People("label", clock.pause, clock.say).attend(store)


# Answers of another run


def test_recorded_answers_are_copied_once(tmp_path: Path, store: PreferenceStore) -> None:
    asked = pairs(3)
    with PreferenceStore(tmp_path / "other.db") as other:
        other.ask(asked)
        other.answer(asked[2], (1, 0), labeler="ann")
        other.answer(asked[1], None, labeler="bob")
    recorded: Labeler = Recorded(tmp_path / "other.db", 2)
    recorded.attend(store)
    assert (store.asked, len(store), len(store.comparisons()), store.pending()) == (2, 2, 1, [])
    (tmp_path / "other.db").unlink()
    recorded.attend(store)  # needs the other no more
    assert len(store) == 2


def test_too_few_recorded_answers_are_said(tmp_path: Path, store: PreferenceStore) -> None:
    PreferenceStore(tmp_path / "other.db").close()
    with pytest.raises(PrefrlError, match="holds 0 answers, 5 are wanted: ask for fewer"):
        Recorded(tmp_path / "other.db", 5).attend(store)
