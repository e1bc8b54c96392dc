import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from stores import numbers, query, segment

from prefrl.comparisons import Judgment, Query, Ranking
from prefrl.errors import PrefrlError
from prefrl.segments import Frames, Replay, SimulatorStates, Text, View
from prefrl.store import PreferenceStore

# What goes in comes out


def test_asks_answers_and_reads_back(store: PreferenceStore) -> None:
    assert store.ask([query(1, 2), query(3, 4), query(5, 6)]) == 3
    assert (store.asked, len(store)) == (3, 0)
    assert (store.newest_asked_at or "").endswith("+00:00")
    assert [numbers(q.options) for q in store.pending()] == [(1, 2), (3, 4), (5, 6)]
    assert [numbers(q.options) for q in store.pending(limit=2)] == [(1, 2), (3, 4)]
    store.answer(query(3, 4), (0.25, 0.75), labeler="ann", provenance={"seconds": 3.5})
    assert (store.asked, len(store)) == (3, 1)
    assert [numbers(q.options) for q in store.pending()] == [(1, 2), (5, 6)]
    (comparison,) = store.comparisons()
    assert (numbers(comparison.options), comparison.mu) == ((3, 4), (0.25, 0.75))
    (answer,) = store.answers()
    assert answer.query_id == query(3, 4).id
    assert answer.option_ids == (segment(3).id, segment(4).id)
    assert (answer.mu, answer.labeler, answer.provenance) == ((0.25, 0.75), "ann", {"seconds": 3.5})
    assert answer.answered_at.endswith("+00:00")


def test_asking_again_in_any_order_of_options_is_nothing_new(store: PreferenceStore) -> None:
    assert store.ask([query(1, 2), query(2, 1), query(1, 2, 3)]) == 2
    assert store.ask([query(2, 1), query(3, 1, 2), query(1, 3)]) == 1
    assert store.asked == 3


def test_segments_shared_by_queries_are_stored_once(store: PreferenceStore) -> None:
    store.ask([query(1, 2), query(1, 3), query(2, 3)])
    assert store._file.db.execute("SELECT count(*) FROM segments").fetchone() == (3,)


@pytest.mark.parametrize(
    "view",
    [
        None,
        SimulatorStates("prefrl/Hopper-v0", np.arange(6, dtype=np.float64).reshape(2, 3), 20.0),
        Frames(np.arange(24, dtype=np.uint8).reshape(2, 2, 2, 3), 15),
        Replay("prefrl/MovingDot-v0", '{"state": 1}', np.arange(5), 3, np.array([0.5, 0.25], np.float32), 20.0),
        Text("Once upon a time", "there was a \N{SNOWMAN}.\n"),
    ],
)
def test_every_view_survives(store: PreferenceStore, view: View | None) -> None:
    shown = segment(1, true_reward=7.0, view=view)
    store.ask([Query((shown, segment(2)))])
    again = store.segment(shown.id)
    assert again.true_reward is not None
    assert (again.true_reward == [0.0, 7.0]).all()
    assert type(again.view) is type(view)
    for name in getattr(type(view), "__slots__", ()):
        assert np.array_equal(getattr(again.view, name), getattr(view, name)), name
    assert store.pending()[0].options[0].view is not None or view is None
    store.answer(store.pending()[0], (1, 0), labeler="ann")
    assert store.comparisons()[0].options[0].view is None  # a model needs no pictures


# Answers


def test_mu_order_follows_the_query_object_not_the_stored_row(store: PreferenceStore) -> None:
    """Labels swapped against their clips are the classic silent bug: a query may be shown in another order."""
    store.ask([query(1, 2), query(3, 4, 5)])
    store.answer(query(2, 1), (0.9, 0.1), labeler="ann")  # 2 is better
    store.answer(query(5, 3, 4), (0.5, 0.2, 0.3), labeler="ann")
    pair, triple = store.comparisons()
    assert dict(zip(numbers(pair.options), pair.mu, strict=True)) == {1: 0.1, 2: 0.9}
    assert dict(zip(numbers(triple.options), triple.mu, strict=True)) == {3: 0.2, 4: 0.3, 5: 0.5}
    assert [answer.mu for answer in store.answers()] == [(0.1, 0.9), (0.2, 0.3, 0.5)]


def test_ties_are_kept_and_cannot_tell_is_not(store: PreferenceStore) -> None:
    """Section 2.2.3 of the paper keeps ties at .5; rl-teacher discarded them."""
    store.ask([query(1, 2), query(3, 4)])
    store.answer(query(1, 2), (0.5, 0.5), labeler="ann")
    store.answer(query(3, 4), None, labeler="ann")
    assert [comparison.mu for comparison in store.comparisons()] == [(0.5, 0.5)]
    assert len(store) == 2
    assert store.pending() == []


def test_comparisons_come_in_the_order_of_asking(store: PreferenceStore) -> None:
    store.ask([query(1, 2), query(3, 4), query(5, 6)])
    for q in (query(5, 6), query(1, 2)):
        store.answer(q, (1, 0), labeler="ann")
    assert [numbers(c.options) for c in store.comparisons()] == [(1, 2), (5, 6)]
    store.answer(query(3, 4), (1, 0), labeler="bob")
    assert [numbers(c.options) for c in store.comparisons()] == [(1, 2), (3, 4), (5, 6)]
    assert [a.option_ids[0] for a in store.answers()] == [segment(n).id for n in (5, 1, 3)]


def test_a_labelers_newest_answer_counts_beside_those_of_others(store: PreferenceStore) -> None:
    store.ask([query(1, 2), query(3, 4)])
    store.answer_all([(query(1, 2), (1, 0)), (query(3, 4), (1, 0))], labeler="ann")
    assert [c.mu for c in store.comparisons()] == [(1, 0), (1, 0)]
    with PreferenceStore(store.path) as other:
        other.answer(query(1, 2), (0, 1), labeler="bob")
        other.answer(query(3, 4), None, labeler="bob")
    assert [c.mu for c in store.comparisons()] == [(0.5, 0.5), (1, 0)]
    store.answer(query(3, 4), (0.5, 0.5), labeler="ann")
    store.answer(query(1, 2), (0, 1), labeler="ann")
    assert [c.mu for c in store.comparisons()] == [(0, 1), (0.5, 0.5)]
    assert len(store.answers()) == 6
    assert len(store) == 2
    assert store.withdraw(query(1, 2), labeler="ann")
    assert [c.mu for c in store.comparisons()] == [(0, 1), (0.5, 0.5)]  # bob's stands


def test_a_ranking_is_kept_as_it_was_given(store: PreferenceStore) -> None:
    asked, shown = query(1, 2, 3, 4), query(4, 3, 2, 1)
    store.ask([asked])
    store.answer(shown, Ranking((1, 0, 1, 2)), labeler="ann")  # 3 is best, then 4 and 2, then 1
    (answer,) = store.answers()
    assert (answer.mu, answer.ranks, answer.judgment) == (None, (2, 1, 0, 1), Ranking((2, 1, 0, 1)))
    first, second = store.comparisons()
    assert (numbers(first.options), first.mu) == ((3, 2, 4, 1), (1, 0, 0, 0))
    assert (numbers(second.options), second.mu) == ((2, 4, 1), (0.5, 0.5, 0))
    with pytest.raises(ValueError, match="one place an option: 2 != 4"):
        store.answer(asked, Ranking((0, 1)), labeler="ann")


def test_a_clock_that_is_set_back_changes_no_order(store: PreferenceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.ask([query(1, 2)])
    for at, mu in (("2030-01-02", (1, 0)), ("2030-01-01", (0, 1))):
        monkeypatch.setattr("prefrl.store._now", lambda at=at: f"{at}T00:00:00.000+00:00")
        store.answer(query(1, 2), mu, labeler="ann")
    assert [c.mu for c in store.comparisons()] == [(0, 1)]


# Several people


def test_overlap_lets_so_many_people_answer(store: PreferenceStore) -> None:
    store.ask([query(1, 2), query(3, 4)])
    store.answer(query(1, 2), (1, 0), labeler="ann")
    assert [numbers(q.options) for q in store.lease("bob", 9)] == [(3, 4)]
    store.release("bob")
    assert [numbers(q.options) for q in store.lease("bob", 9, overlap=2)] == [(3, 4), (1, 2)]  # the unanswered first
    assert [numbers(q.options) for q in store.lease("ann", 9, overlap=2)] == [(3, 4)]  # her own are done
    assert store.lease("eve", 9, overlap=2) == []  # two hold one, one has answered and one holds the other
    store.answer(query(3, 4), (1, 0), labeler="bob")
    assert [numbers(q.options) for q in store.lease("eve", 9, overlap=3)] == [(1, 2), (3, 4)]


def test_what_was_taken_back_comes_again_although_others_have_answered(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    for name in ("ann", "bob"):
        store.answer(query(1, 2), (1, 0), labeler=name)
    assert store.withdraw(query(1, 2), labeler="ann")
    assert store.lease("eve", 1) == []
    assert len(store.lease("ann", 1)) == 1


def test_a_check_is_no_answer(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    left, right = query(1, 2).options
    store.check("s-1", "repeat", (right, left), (0, 1), labeler="ann", provenance={"seconds": 2})
    store.check("s-2", "catch", (left, left), (0.5, 0.5), labeler="ann")
    assert (len(store), store.comparisons(), store.answers()) == (0, [], [])
    repeat, catch = store.checks()
    assert (repeat.kind, repeat.shown, repeat.judgment) == ("repeat", (right.id, left.id), (0, 1))
    assert (catch.name, catch.shown, repeat.provenance) == ("s-2", (left.id, left.id), {"seconds": 2})
    store.check("s-1", "repeat", (right, left), None, labeler="ann", withdrawn=True)
    assert [check.name for check in store.checks()] == ["s-2"]


def test_merging_is_idempotent_and_works_both_ways(tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "a.db") as a, PreferenceStore(tmp_path / "b.db") as b:
        a.ask([query(1, 2), query(1, 2, 3)])
        b.ask([query(2, 1), query(5, 6)])  # the first one is in both
        a.answer(query(1, 2), (1, 0), labeler="ann")
        a.answer(query(1, 2, 3), Ranking((0, 0, 1)), labeler="ann")
        b.answer(query(1, 2), (0, 1), labeler="bob")
        b.answer(query(5, 6), (1, 0), labeler="bob")
        b.withdraw(query(5, 6), labeler="bob")
        b.check("s", "catch", query(5, 6).options, None, labeler="bob")
        assert a.merge(b) == (1, 3, 1)
        assert b.merge(a) == (1, 2, 0)
        assert a.merge(b) == b.merge(a) == (0, 0, 0)
        for store in (a, b):
            assert (store.asked, len(store), len(store.checks())) == (3, 2, 1)
            assert sorted(answer.id for answer in store.answers()) == sorted(answer.id for answer in a.answers())
            weights = [dict(zip(numbers(c.options), c.mu, strict=True)) for c in store.comparisons()]
            assert {1: 0.5, 2: 0.5} in weights
            assert {1: 0.5, 2: 0.5, 3: 0} in weights
        with pytest.raises(PrefrlError, match="cannot be merged with itself"):
            a.merge(a)


def test_an_older_answer_that_comes_later_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with PreferenceStore(tmp_path / "a.db") as a, PreferenceStore(tmp_path / "b.db") as b:
        for store, at, mu in ((b, "2030-01-01", (1, 0)), (a, "2030-01-02", (0, 1))):
            monkeypatch.setattr("prefrl.store._now", lambda at=at: f"{at}T00:00:00.000+00:00")
            store.ask([query(1, 2)])
            store.answer(query(1, 2), mu, labeler="ann")
        assert a.merge(b) == (0, 1, 0)
        assert [c.mu for c in a.comparisons()] == [(0, 1)]
        assert [answer.mu for answer in a.answers()] == [(1, 0), (0, 1)]


def test_only_what_was_answered_comes_over_if_wanted(tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "a.db") as a, PreferenceStore(tmp_path / "b.db") as b:
        b.ask([query(1, 2), query(3, 4), query(5, 6)])
        for q in (query(5, 6), query(3, 4)):
            b.answer(q, (1, 0), labeler="ann")
        assert a.merge(b, most=1) == (1, 1, 0)
        assert [numbers(c.options) for c in a.comparisons()] == [(3, 4)]  # the first one asked


def test_only_new_answers_are_read(store: PreferenceStore) -> None:
    store.ask([query(1, 2), query(1, 3)])
    store.answer(query(1, 2), (1, 0), labeler="ann")
    before = store.comparisons()
    store.answer(query(1, 3), (1, 0), labeler="ann")
    statements: list[str] = []
    store._file.db.set_trace_callback(statements.append)
    after = store.comparisons()
    assert after[0] is before[0]
    assert after[1].options[0] is before[0].options[0]
    assert sum("FROM segments" in statement for statement in statements) == 1


def test_answers_are_all_or_none(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    with pytest.raises(PrefrlError, match=r"query \w{32} is none of the 1 in .*store.sqlite; ask it before"):
        store.answer_all([(query(1, 2), (1, 0)), (query(8, 9), (1, 0))], labeler="ann")
    with pytest.raises(ValueError, match="sum to 1"):
        store.answer_all([(query(1, 2), (1, 0)), (query(1, 2), (1, 1))], labeler="ann")
    assert len(store) == 0
    assert store.answers() == []


@pytest.mark.parametrize("table", ["answers", "checks"])
@pytest.mark.parametrize(
    "statement", ["UPDATE {0} SET mu = NULL", "DELETE FROM {0}", "INSERT OR REPLACE INTO {0} SELECT * FROM {0}"]
)
def test_what_was_said_is_append_only(store: PreferenceStore, statement: str, table: str) -> None:
    store.ask([query(1, 2)])
    store.answer(query(1, 2), (1, 0), labeler="ann")
    store.check("s-1", "catch", (segment(1), segment(1)), (0.5, 0.5), labeler="ann")
    store.close()
    with (
        closing(sqlite3.connect(store.path)) as other,
        pytest.raises(sqlite3.IntegrityError, match=f"{table} are never"),
    ):
        other.execute(statement.format(table))


# Leases


def test_leased_queries_go_to_one_labeler(store: PreferenceStore) -> None:
    store.ask([query(1, 2), query(3, 4), query(5, 6)])
    assert [numbers(q.options) for q in store.lease("ann", 2)] == [(1, 2), (3, 4)]
    assert [numbers(q.options) for q in store.lease("bob", 2)] == [(5, 6)]
    assert store.pending() == []
    assert [numbers(q.options) for q in store.lease("ann", 9)] == [(1, 2), (3, 4)]  # renewed
    store.answer(query(1, 2), (1, 0), labeler="ann")
    store.release("ann")
    assert [numbers(q.options) for q in store.pending()] == [(3, 4)]
    assert [numbers(q.options) for q in store.lease("bob", 9)] == [(5, 6), (3, 4)]  # what he is looking at first


def test_an_expired_lease_is_free(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    assert len(store.lease("ann", 1, seconds=0.5)) == 1  # long enough for a busy machine to look before it ends
    assert store.pending() == []
    time.sleep(0.55)
    assert len(store.pending()) == 1
    assert len(store.lease("bob", 1)) == 1
    store.answer(query(1, 2), (1, 0), labeler="ann")  # late, and welcome
    assert len(store) == 1


# Taking an answer back


def test_a_withdrawn_answer_is_pending_again_and_stays_in_the_log(store: PreferenceStore) -> None:
    store.ask([query(1, 2), query(3, 4)])
    store.answer(query(1, 2), (1, 0), labeler="ann")
    assert len(store.comparisons()) == 1
    store.withdraw(query(2, 1), labeler="ann", provenance={"session": "x"})
    assert (len(store), store.comparisons()) == (0, [])
    assert [numbers(q.options) for q in store.pending()] == [(3, 4)]  # ann is about to answer it again
    assert [numbers(q.options) for q in store.lease("ann", 5)] == [(1, 2), (3, 4)]
    store.answer(query(1, 2), (0, 1), labeler="ann")
    assert (len(store), [c.mu for c in store.comparisons()]) == (1, [(0.0, 1.0)])
    assert [(a.mu, a.withdrawn) for a in store.answers()] == [((1.0, 0.0), False), (None, True), ((0.0, 1.0), False)]
    assert store.answers()[1].provenance == {"session": "x"}


def test_only_a_standing_answer_of_ones_own_is_withdrawn(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    assert not store.withdraw(query(1, 2), labeler="ann")
    assert not store.withdraw(query(7, 8), labeler="ann")  # never asked
    store.answer(query(1, 2), None, labeler="bob")
    assert not store.withdraw(query(1, 2), labeler="ann")
    assert store.withdraw(query(1, 2), labeler="bob")
    assert not store.withdraw(query(1, 2), labeler="bob")
    assert len(store.answers()) == 2


def test_the_trainer_says_what_it_does(store: PreferenceStore) -> None:
    assert store.trainer() is None
    store.beat("learning")
    with PreferenceStore(store.path) as other:
        doing, ago = other.trainer() or ("", -1.0)
        assert (doing, 0 <= ago < 5) == ("learning", True)
        store._file.db.execute("UPDATE trainer SET at = at - 1000")
        store.beat("learning", every=100.0)  # too soon to say it again
        assert (other.trainer() or ("", 0.0))[1] > 999
        store.beat("waiting", every=100.0)
        assert (other.trainer() or ("", 9.0))[0] == "waiting"


# A plain-dict model of the same thing

QUERIES = [query(1, 2), query(2, 3), query(1, 3), query(1, 2, 3), query(4, 5)]
LABELERS = st.sampled_from(["ann", "bob", "eve"])
ANSWERS = st.sampled_from([None, 0, 1, "tie", "ranking"])


class StoreAgainstModel(RuleBasedStateMachine):
    """Three labelers at one store. The model keeps each labeler's standing answer and the leases, in plain dicts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.order: list[str] = []
        self.said: dict[str, dict[str, dict[str, float] | None]] = {}  # query -> labeler -> weights or places
        self.owed: set[tuple[str, str]] = set()  # (query, labeler) of answers that were taken back
        self.leases: set[tuple[str, str]] = set()  # (query, labeler)
        self.log = 0

    @initialize()
    def open(self) -> None:
        self.store = PreferenceStore(Path(self.folder.name) / "store.sqlite")

    def teardown(self) -> None:
        self.store.close()
        self.folder.cleanup()

    @rule()
    def reopen(self) -> None:
        self.store.close()
        self.open()

    @rule(chosen=st.lists(st.sampled_from(QUERIES), max_size=3), backwards=st.booleans())
    def ask(self, chosen: list[Query], backwards: bool) -> None:
        new = list(dict.fromkeys(q.id for q in chosen if q.id not in self.order))
        asked = [Query(q.options[::-1]) if backwards else q for q in chosen]
        assert self.store.ask(asked) == len(new)
        self.order += new

    def free(self, labeler: str | None, overlap: int) -> list[str]:
        found = []
        for i in self.order:
            answers = 0 if (i, labeler) in self.owed else len(self.said.get(i, {}))
            held = sum(query == i and holder != labeler for query, holder in self.leases)
            if labeler not in self.said.get(i, {}) and answers + held < overlap:
                found.append(((i, labeler) not in self.leases, answers, self.order.index(i), i))
        return [i for *_, i in sorted(found)]

    @rule(labeler=LABELERS, limit=st.integers(0, 3), lasts=st.booleans(), overlap=st.integers(1, 3))
    def lease(self, labeler: str, limit: int, lasts: bool, overlap: int) -> None:
        free = self.free(labeler, overlap)[:limit]
        taken = self.store.lease(labeler, limit, seconds=1000.0 if lasts else 0.0, overlap=overlap)
        assert [q.id for q in taken] == free
        self.leases -= {(query_id, labeler) for query_id in free}
        if lasts:
            self.leases |= {(query_id, labeler) for query_id in free}

    @rule(labeler=LABELERS)
    def release(self, labeler: str) -> None:
        self.store.release(labeler)
        self.leases = {lease for lease in self.leases if lease[1] != labeler}

    @rule(chosen=st.lists(st.tuples(st.sampled_from(QUERIES), ANSWERS), min_size=1, max_size=2), labeler=LABELERS)
    def answer(self, chosen: list[tuple[Query, int | str | None]], labeler: str) -> None:
        pairs: list[tuple[Query, Judgment]] = []
        for q, kind in chosen:
            size = len(q.options)
            one_hot = [float(i == kind) for i in range(size)]
            special = {None: None, "tie": [1 / size] * size, "ranking": Ranking(tuple(range(size)))}
            pairs.append((q, special.get(kind, one_hot)))  # type: ignore[arg-type]
        if any(q.id not in self.order for q, _ in pairs):
            with pytest.raises(PrefrlError, match="is none of the"):
                self.store.answer_all(pairs, labeler=labeler)
            return
        self.store.answer_all(pairs, labeler=labeler)
        for q, judgment in pairs:
            ids = [option.id for option in q.options]
            values = judgment.ranks if isinstance(judgment, Ranking) else judgment
            weights = None if values is None else {"ranked": 1.0} if isinstance(judgment, Ranking) else {}
            self.said.setdefault(q.id, {})[labeler] = (
                None if weights is None or values is None else weights | dict(zip(ids, values, strict=True))
            )
            self.owed.discard((q.id, labeler))
            self.leases.discard((q.id, labeler))
            self.log += 1

    @rule(q=st.sampled_from(QUERIES), labeler=LABELERS)
    def withdraw(self, q: Query, labeler: str) -> None:
        stands = labeler in self.said.get(q.id, {})
        assert self.store.withdraw(q, labeler=labeler, seconds=1000.0) == stands
        if not stands:
            return
        del self.said[q.id][labeler]
        self.owed.add((q.id, labeler))
        self.leases.add((q.id, labeler))
        self.log += 1

    @rule(q=st.sampled_from(QUERIES), labeler=LABELERS)
    def check(self, q: Query, labeler: str) -> None:
        self.store.check("s", "repeat", q.options, None, labeler=labeler)  # changes nothing that is seen below

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "store"):
            return
        answered = [i for i in self.order if self.said.get(i)]
        assert (self.store.asked, len(self.store)) == (len(self.order), len(answered))
        assert [q.id for q in self.store.pending()] == self.free(None, 1)
        assert len(self.store.answers()) == self.log
        weights = [{o.id: w for o, w in zip(c.options, c.mu, strict=True)} for c in self.store.comparisons()]
        for i in answered:  # answers that are all weights, or one ranking of two, are one comparison: their mean
            told = [said for said in self.said[i].values() if said is not None]
            if told and not any("ranked" in said for said in told):
                mean = {o: sum(said[o] for said in told) / len(told) for o in told[0]}
                assert sum(w == pytest.approx(mean) for w in weights) >= 1
        if all(said is None for i in answered for said in self.said[i].values()):
            assert weights == []


TestStoreAgainstModel = StoreAgainstModel.TestCase
TestStoreAgainstModel.settings = settings(
    max_examples=30, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
