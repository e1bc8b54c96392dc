"""A person's sitting at the store, without a window."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from prefrl.comparisons import Query
from prefrl.errors import PrefrlError
from prefrl.segments import Segment
from prefrl.store import PreferenceStore
from prefrl_labeling.keymap import Action
from prefrl_labeling.playback import Playback
from prefrl_labeling.session import Session, order

SEEN = Playback(1.5, 40.0, loops=2, replays=1)


def segment(number: float) -> Segment:
    return Segment(np.full((2, 1), number, np.float32), np.zeros(2), np.zeros((0, 1), np.float32))


def query(*numbers: float) -> Query:
    return Query(tuple(segment(number) for number in numbers))


def number(option: Segment) -> float:
    return float(option.obs[0, 0])


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PreferenceStore]:
    with PreferenceStore(tmp_path / "store.sqlite") as opened:
        opened.ask([query(2 * i, 2 * i + 1) for i in range(10)])
        yield opened


def opened(store: PreferenceStore, name: str = "ann", clock: Clock | None = None) -> tuple[Session, Clock]:
    clock = clock or Clock()
    session = Session(store, name, now=clock)
    session.refresh()
    return session, clock


def answer(session: Session, clock: Clock, action: Action, seconds: float = 3.0) -> None:
    session.visible()
    clock.now += seconds
    assert session.answer(action, SEEN)


def test_an_answer_says_all_that_is_known_of_it(store: PreferenceStore) -> None:
    session, clock = opened(store)
    assert session.current is not None
    left, right = session.current.options
    assert {number(left), number(right)} == {0.0, 1.0}
    answer(session, clock, Action.RIGHT_MUCH_BETTER)
    (given,) = store.answers()
    assert dict(zip(given.option_ids, given.mu or (), strict=True)) == {left.id: 0.0, right.id: 1.0}
    assert given.labeler == "ann"
    assert given.provenance == {
        "session": session.id,
        "showing": 0,
        "shown": [left.id, right.id],
        "seconds": 3.0,
        "loops": 2,
        "replays": 1,
        "clip_seconds": 1.5,
        "speed": 1.0,
        "ignored": 0,
        "strength": 2,
    }
    assert session.counts.answered == 1
    assert {number(o) for o in session.current.options} == {2.0, 3.0}


def test_the_four_answers_stay_distinct(store: PreferenceStore) -> None:
    session, clock = opened(store)
    for action in (Action.LEFT_BETTER, Action.RIGHT_BETTER, Action.TIE, Action.CANNOT_TELL):
        answer(session, clock, action)
    stored = store.answers()
    by_place = [
        None if a.mu is None else tuple(dict(zip(a.option_ids, a.mu, strict=True))[i] for i in a.provenance["shown"])
        for a in stored
    ]
    assert by_place == [(1, 0), (0, 1), (0.5, 0.5), None]
    assert [a.provenance.get("strength") for a in stored] == [1, 1, None, None]


def test_sides_are_those_of_a_fair_coin_that_can_be_thrown_again() -> None:
    thrown = [order("00ff", n, 2) for n in range(2000)]
    assert thrown == [order("00ff", n, 2) for n in range(2000)]
    assert 900 < sum(pair == (0, 1) for pair in thrown) < 1100
    assert thrown[:50] != [order("01ff", n, 2) for n in range(50)]
    assert {sum(order("00ff", n, 9)) for n in range(50)} == {36}


def test_an_answer_that_comes_at_once_was_meant_for_the_pair_before(store: PreferenceStore) -> None:
    session, clock = opened(store)
    assert not session.answer(Action.TIE, SEEN)  # not even visible
    session.visible()
    clock.now += 0.2
    assert not session.answer(Action.TIE, SEEN)
    assert len(store) == 0
    clock.now += 0.1
    assert session.answer(Action.TIE, SEEN)
    assert store.answers()[0].provenance["ignored"] == 2


def test_undo_and_redo_as_far_as_one_likes(store: PreferenceStore) -> None:
    session, clock = opened(store)
    shown = []
    for action in (Action.LEFT_BETTER, Action.TIE, Action.RIGHT_BETTER):
        assert session.current is not None
        shown.append(session.current)
        answer(session, clock, action)
    for showing in reversed(shown):
        assert session.undo()
        assert session.current is not None
        assert session.current.query.id == showing.query.id
        assert session.current.options == showing.options  # on the same sides
    assert not session.undo()
    assert (len(store), len(store.comparisons())) == (0, 0)
    assert session.redo()
    assert session.redo()
    assert [c.mu for c in store.comparisons()] == [store.answers()[0].mu, (0.5, 0.5)]
    assert session.current.query.id == shown[2].query.id
    answer(session, clock, Action.CANNOT_TELL)  # another answer than before
    assert not session.redo()
    assert len(store) == 3
    assert [a.withdrawn for a in store.answers()] == [False] * 3 + [True] * 3 + [False] * 3
    assert {number(o) for o in session.current.options} == {6.0, 7.0}  # the next one; none was forgotten


def test_undo_takes_back_ones_own_and_leaves_what_somebody_else_answered(store: PreferenceStore) -> None:
    session, clock = opened(store)
    first = session.current
    answer(session, clock, Action.TIE)
    assert first is not None
    store.answer(first.query, (1.0, 0.0), labeler="bob")
    assert session.undo()
    assert session.current is not None
    assert session.current.query.id == first.query.id
    assert [c.mu for c in store.comparisons()] == [(1.0, 0.0)]
    clock.now += 31
    session.refresh()
    assert session.current.query.id == first.query.id  # whoever took an answer back may give another
    answer(session, clock, Action.TIE)
    assert [c.mu for c in store.comparisons()] == [(0.75, 0.25)]


def test_a_skipped_pair_comes_back_last(store: PreferenceStore) -> None:
    session, clock = opened(store)
    assert session.current is not None
    skipped = session.current.query.id
    assert session.skip()
    seen = []
    for _ in range(10):
        session.refresh()
        seen.append(session.current.query.id)
        answer(session, clock, Action.TIE)
    assert seen.index(skipped) == 9
    assert len(set(seen)) == 10
    assert session.current is None
    assert not session.skip()
    assert not session.answer(Action.TIE, SEEN)


def test_a_note_goes_with_the_answer_and_comes_back_with_undo(store: PreferenceStore) -> None:
    session, clock = opened(store)
    assert session.current is not None
    name = session.current.query.id
    session.notes[name] = "foot in the floor"
    answer(session, clock, Action.TIE)
    assert store.answers()[0].provenance["note"] == "foot in the floor"
    assert session.notes == {}
    session.undo()
    assert session.notes == {name: "foot in the floor"}


def test_two_people_never_see_one_pair_and_one_takes_over(store: PreferenceStore) -> None:
    ann, ann_clock = opened(store, "ann")
    bob, bob_clock = opened(store, "bob")
    for session, clock in ((ann, ann_clock), (bob, bob_clock)) * 4:
        assert session.current is not None
        answer(session, clock, Action.TIE)
    assert len(store) == len(store.answers()) == 8
    ann.close()
    bob.refresh(at_once=True)
    while bob.current is not None:
        answer(bob, bob_clock, Action.TIE)
        bob.refresh(at_once=True)
    assert len(store) == 10


def test_a_pair_that_somebody_else_has_answered_goes_away(store: PreferenceStore) -> None:
    session, clock = opened(store)
    assert session.current is not None
    theirs = session.current.query
    store.answer(theirs, None, labeler="bob")
    clock.now += 31  # leases are renewed
    session.refresh()
    assert session.current is not None
    assert session.current.query.id != theirs.id


def test_what_one_looks_at_stays_when_older_pairs_become_free(store: PreferenceStore) -> None:
    """A key meant for one pair must not answer another that took its place a moment before."""
    ann, _ = opened(store, "ann")
    bob, clock = opened(store, "bob")
    assert bob.current is not None
    theirs = bob.current.query.id
    ann.close()
    clock.now += 31  # leases are renewed
    bob.refresh()
    assert bob.current.query.id == theirs


def test_what_one_looks_at_stays_when_pairs_are_asked_that_fewer_have_answered(store: PreferenceStore) -> None:
    for pending in store.pending():
        store.answer(pending, None, labeler="bob")
    clock = Clock()
    ann = Session(store, "ann", overlap=2, now=clock)
    ann.refresh()
    assert ann.current is not None
    hers = ann.current.query.id
    store.ask([query(100 + i, 200 + i) for i in range(10)])
    clock.now += 31
    ann.refresh()
    assert ann.current.query.id == hers


def test_what_one_looks_at_stays_however_much_was_taken_back(store: PreferenceStore) -> None:
    session, clock = opened(store)
    for _ in range(6):
        assert session.skip()
    assert session.current is not None
    first = session.current.query.id  # six were asked before it
    for _ in range(10):
        answer(session, clock, Action.TIE)
        session.refresh(at_once=True)
    for _ in range(10):
        assert session.undo()
    clock.now += 31
    session.refresh()
    assert session.current.query.id == first


def test_who_has_gone_away_keeps_nothing_from_others(store: PreferenceStore) -> None:
    session, clock = opened(store)
    assert session.current is not None
    clock.now += 299
    session.refresh()
    kept = session._renewed
    assert kept == clock.now
    clock.now += 40
    session.refresh()
    assert session._renewed == kept  # the leases run out by themselves
    session.touch()
    session.refresh()
    assert session._renewed == clock.now


def test_the_rate_leaves_breaks_out(store: PreferenceStore) -> None:
    session, clock = opened(store)
    for seconds in (4.0, 4.0, 600.0, 4.0, 4.0):
        answer(session, clock, Action.TIE, seconds)
    assert session.rate == pytest.approx(15.0)


def test_ten_options_are_refused_with_a_reason(tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "ten.sqlite") as store:
        store.ask([query(*range(10))])
        with pytest.raises(PrefrlError, match="has 10 options; this window shows at most 9"):
            Session(store, "ann").refresh()


def test_a_store_that_cannot_be_written_keeps_the_pair(store: PreferenceStore) -> None:
    session, clock = opened(store)
    session.visible()
    clock.now += 1
    current = session.current
    store._file.db.execute("PRAGMA query_only = ON")
    with pytest.raises(PrefrlError, match="cannot write"):
        session.answer(Action.TIE, SEEN)
    assert session.current is current
    store._file.db.execute("PRAGMA query_only = OFF")
    assert session.answer(Action.TIE, SEEN)
    assert len(store) == 1


# Checks


def test_repeats_come_later_with_sides_swapped_and_never_train(tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "many.sqlite") as store:
        store.ask([query(2 * i, 2 * i + 1) for i in range(60)])
        clock = Clock()
        session = Session(store, "ann", now=clock, repeats=0.3, catches=0.1, id="00ff")
        session.refresh()
        seen: list[tuple[str, tuple[str, ...]]] = []
        kinds = []
        while session.current is not None:
            showing = session.current
            kinds.append(showing.kind)
            ids = tuple(option.id for option in showing.options)
            if showing.kind == "repeat":
                earlier = [i for i, (kind, shown) in enumerate(seen) if kind == "answer" and set(shown) == set(ids)]
                assert [seen[i][1] for i in earlier] == [ids[::-1]]
                assert len(seen) - earlier[0] > 20
            if showing.kind == "catch":
                assert ids[0] == ids[1]
            seen.append((showing.kind, ids))
            answer(session, clock, Action.LEFT_BETTER)
        assert min(kinds.count(kind) for kind in ("repeat", "catch")) > 2
        assert len(store) == len(store.comparisons()) == len(store.answers()) == 60
        assert [check.kind for check in store.checks()] == [kind for kind in kinds if kind != "answer"]
        assert len({check.shown for check in store.checks() if check.kind == "repeat"}) == kinds.count("repeat")
        session.undo()
        session.redo()
        last = store.checks()[-1] if kinds[-1] != "answer" else store.answers()[-1]
        assert last.provenance.get("again")


def test_a_check_can_be_taken_back(tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "many.sqlite") as store:
        store.ask([query(2 * i, 2 * i + 1) for i in range(5)])
        clock = Clock()
        session = Session(store, "ann", now=clock, catches=1.0)
        session.refresh()
        answer(session, clock, Action.TIE)
        assert session.current is not None
        assert session.current.kind == "catch"
        answer(session, clock, Action.LEFT_BETTER)
        assert (len(store.checks()), len(store)) == (1, 1)
        assert session.undo()
        assert session.current.kind == "catch"
        assert store.checks() == []
        answer(session, clock, Action.TIE)
        assert [check.judgment for check in store.checks()] == [(0.5, 0.5)]
