"""One person's sitting at the store: what is shown next, what was answered, what is taken back. No pixels here."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np

from prefrl.answers import Answer, standing
from prefrl.comparisons import Judgment, Query, Ranking, reordered
from prefrl.errors import PrefrlError
from prefrl.segments import Segment
from prefrl.store import PreferenceStore
from prefrl_labeling.keymap import Action
from prefrl_labeling.playback import Playback

GUARD_SECONDS = 0.25  # an answer this soon after a new pair was meant for the one before
LEASE_SECONDS = 120.0
RENEW_SECONDS = 30.0
ABSENT_SECONDS = 300.0  # without any key: from then on others may have what is on the screen
AHEAD = 6  # options that are kept ready behind those that are shown, but at least one query
REPEAT_AFTER = 20  # answers that lie between a question and its repetition
_LEASED = 5  # queries at a time
_BREAK_SECONDS = 60.0  # a longer silence is a break and not part of the rate

# What each answer says of two options as they stand on the screen, from left to right, and how strongly.
ANSWERS: dict[Action, tuple[tuple[float, float] | None, int]] = {
    Action.LEFT_BETTER: ((1.0, 0.0), 1),
    Action.RIGHT_BETTER: ((0.0, 1.0), 1),
    Action.LEFT_MUCH_BETTER: ((1.0, 0.0), 2),
    Action.RIGHT_MUCH_BETTER: ((0.0, 1.0), 2),
    Action.TIE: ((0.5, 0.5), 0),
    Action.CANNOT_TELL: (None, 0),
}
# A question of the trainer; one that was answered some time ago; one segment as both options; an answer given again.
Kind = Literal["answer", "repeat", "catch", "correction"]


@dataclass(eq=False)
class Showing:
    """Some options on the screen."""

    query: Query
    number: int  # of the showing in its session, from 0
    options: tuple[Segment, ...]  # from left to right, row by row
    kind: Kind = "answer"
    before: Answer | None = None  # what is being corrected
    since: float | None = None  # when it became visible
    ignored: int = 0  # answers that came too soon


@dataclass(frozen=True, eq=False)
class Given:
    """An answer as it can be taken back, and given again."""

    showing: Showing
    said: Action | Ranking
    provenance: dict[str, Any]

    @property
    def judgment(self) -> Judgment:
        """In the order on the screen."""
        return judged(self.said, len(self.showing.options))


def judged(said: Action | Ranking, options: int) -> Judgment:
    """What a key, or a ranking, says of that many options."""
    if isinstance(said, Ranking):
        return said
    if options > 2 and said is Action.TIE:
        return Ranking((0,) * options)
    return ANSWERS[said][0]


@dataclass(frozen=True)
class Counts:
    """How far the work is."""

    asked: int
    answered: int  # by everybody
    newest: float | None = None  # seconds since the last question was asked


@dataclass
class Session:
    """Leases queries, stores answers, remembers them for undo. `now` is a clock in seconds.

    The options of what is shown as number n stand in the order `order(id, n, K)`. `repeats` and `catches` are shares of
    showings that are checks; `overlap` is how many people may answer a query.
    """

    store: PreferenceStore
    name: str
    now: Callable[[], float] = time.monotonic
    overlap: int = 1
    repeats: float = 0.0
    catches: float = 0.0
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.current: Showing | None = None
        self.counts = Counts(0, 0)
        self.notes: dict[str, str] = {}  # query id -> what its flag says
        self._queue: list[Query] = []  # what comes next, the current one not among them
        self._skipped: list[str] = []  # query ids, the first one comes back first
        self._given: list[Given] = []
        self._withdrawn: list[Given] = []  # that redo gives again
        self._check: Showing | None = None  # comes after the current one
        self._repeated: set[str] = set()  # query ids
        self._showings = 0
        self._gaps: deque[float] = deque(maxlen=20)  # seconds from one answer to the next
        self._last_answer: float | None = None
        self._renewed = -float("inf")
        self._touched = self.now()

    # What is shown

    def refresh(self, *, at_once: bool = False) -> None:
        """Look for new pairs and renew the leases of those at hand, if it is time to."""
        before, self.counts = self.counts, _count(self.store)
        unchanged = (before.asked, before.answered) == (self.counts.asked, self.counts.answered)
        enough = len(self._queue) >= self._ahead or (self.current is not None and unchanged)
        if not at_once and enough and self.now() - self._renewed < RENEW_SECONDS:
            return
        if self.now() - self._touched > ABSENT_SECONDS and self.current is not None:
            return
        wanted = max(_LEASED + len(self._skipped), 1 + len(self._queue))  # all that is at hand, and some more
        taken = self.store.lease(self.name, wanted, seconds=LEASE_SECONDS, overlap=self.overlap)
        leased = {query.id: query for query in taken}
        self._renewed = self.now()
        if wide := next((query for query in taken if len(query.options) > 9), None):
            raise PrefrlError(
                f"query {wide.id} has {len(wide.options)} options; this window shows at most 9: train with fewer"
            )
        if self.current is not None and self.current.kind == "answer" and self.current.query.id not in leased:
            self.current = None  # somebody else has answered it, or it is theirs by now
        shown = self.current.query.id if self.current is not None and self.current.kind == "answer" else None
        fresh = [query for name, query in leased.items() if name not in self._skipped]
        later = [leased[name] for name in self._skipped if name in leased]
        # Pairs that were taken back stand first, where `undo` has put them.
        first = [leased[query.id] for query in self._queue if query.id in leased]
        ordered = {query.id: query for query in [*first, *fresh, *later] if query.id != shown}
        self._queue = sorted(ordered.values(), key=lambda query: query.id in self._skipped)
        if self.current is None:
            self._next()

    def _next(self) -> None:
        self.current, check, self._check = None, self._check, None
        if not self._queue:
            return
        if check is not None:
            self.current = replace(check, number=self._showings)
        else:
            query = self._queue.pop(0)
            places = order(self.id, self._showings, len(query.options))
            self.current = Showing(query, self._showings, tuple(query.options[i] for i in places))
            self._check = self._planned()
        self._showings += 1

    def _planned(self) -> Showing | None:
        """The check that comes after the current query, if the dice want one: known ahead, so that it can be drawn."""
        chance = np.random.default_rng(np.random.SeedSequence([int(self.id, 16), self._showings, 1])).random()
        if self.current is not None and chance < self.catches and len(self.current.options) == 2:
            one = self.current.options[0]
            return Showing(self.current.query, 0, (one, one), "catch")
        if chance < self.catches + self.repeats:
            for given in self._given[: max(0, len(self._given) - REPEAT_AFTER)]:
                old = given.showing
                if old.kind == "answer" and old.query.id not in self._repeated:
                    return Showing(old.query, 0, old.options[::-1], "repeat")
        return None

    @property
    def _ahead(self) -> int:
        """Queries to keep ready."""
        return max(1, AHEAD // len(self._queue[0].options)) if self._queue else 1

    def near(self) -> list[Segment]:
        """What may be on the screen soon: the current options, a check, those behind them, and those answered last."""
        shown = [showing.options for showing in (self.current, self._check) if showing is not None]
        shown += [query.options for query in self._queue[: self._ahead]]
        shown += [given.showing.options for given in self._given[-1:]]
        return [segment for options in shown for segment in options]

    def touch(self) -> None:
        """The person is there."""
        self._touched = self.now()

    def visible(self) -> None:
        """The current pair has just become visible."""
        if self.current is not None and self.current.since is None:
            self.current.since = self.now()

    @property
    def guarded(self) -> bool:
        """Whether an answer would be too soon."""
        since = None if self.current is None else self.current.since
        return since is None or self.now() - since < GUARD_SECONDS

    # What a person does

    def answer(self, said: Action | Ranking, playback: Playback) -> bool:
        """Store an answer and go on to what is next; when this returns True, the answer is on the disk.

        False if there is nothing to answer, or if it came too soon. Raises PrefrlError, with the options still
        current, if the store cannot be written.
        """
        if self.current is None:
            return False
        if self.guarded:
            self.current.ignored += 1
            return False
        showing = self.current
        assert showing.since is not None
        provenance: dict[str, Any] = {
            "session": self.id,
            "showing": showing.number,
            "shown": [option.id for option in showing.options],
            "seconds": round(self.now() - showing.since, 3),
            "loops": playback.loops,
            "replays": playback.replays,
            "clip_seconds": round(playback.seconds, 3),
            "speed": playback.speed,
            "ignored": showing.ignored,
        }
        if not isinstance(said, Ranking) and ANSWERS[said][1]:
            provenance["strength"] = ANSWERS[said][1]
        if note := self.notes.get(showing.query.id):
            provenance["note"] = note
        if showing.before is not None:
            provenance["corrects"] = showing.before.answered_at
        self._store(Given(showing, said, provenance))
        self._withdrawn.clear()
        return True

    def _store(self, given: Given) -> None:
        showing = given.showing
        if showing.kind in ("repeat", "catch"):
            self._keep_check(given)
        else:
            shown = Query(showing.options)  # the store puts weights and places in its own order
            self.store.answer(shown, given.judgment, labeler=self.name, provenance=given.provenance)
        self._given.append(given)
        self.notes.pop(showing.query.id, None)
        if showing.query.id in self._skipped:
            self._skipped.remove(showing.query.id)
        if self._last_answer is not None and self.now() - self._last_answer < _BREAK_SECONDS:
            self._gaps.append(self.now() - self._last_answer)
        self._last_answer = self.now()
        self._next()
        with suppress(PrefrlError):  # the answer is stored; the next look at the store says it again
            self.refresh()

    def _keep_check(self, given: Given, *, withdrawn: bool = False) -> None:
        showing = given.showing
        assert showing.kind in ("repeat", "catch")
        name = f"{self.id}-{given.provenance['showing']}"
        self.store.check(
            *(name, "repeat" if showing.kind == "repeat" else "catch", showing.options, given.judgment),
            labeler=self.name,
            provenance=given.provenance,
            withdrawn=withdrawn,
        )
        if showing.kind == "repeat":
            self._repeated.add(showing.query.id)

    def skip(self) -> bool:
        """Put the current query behind all others; a check is dropped, and a correction leaves the answer as it was."""
        if self.current is None:
            return False
        if self.current.kind == "answer":
            name = self.current.query.id
            self._skipped = [*(other for other in self._skipped if other != name), name]
            self._queue.append(self.current.query)
        self._next()
        self.refresh(at_once=True)
        return True

    def undo(self) -> bool:
        """Take the last answer back and show its options again, in the same order. False if there is none.

        A correction that is taken back leaves the answer that it corrected.
        """
        if not self._given:
            return False
        given = self._given[-1]
        showing = given.showing
        if showing.kind in ("repeat", "catch"):
            self._keep_check(given, withdrawn=True)
        elif (before := showing.before) is not None:
            again = reordered(before.judgment, before.option_ids, [option.id for option in showing.query.options])
            self.store.answer(
                showing.query, again, labeler=self.name, provenance={**before.provenance, "session": self.id}
            )
        else:
            how = {"session": self.id}
            self.store.withdraw(showing.query, labeler=self.name, provenance=how, seconds=LEASE_SECONDS)
        self._given.pop()
        self._withdrawn.append(given)
        if note := given.provenance.get("note"):
            self.notes[showing.query.id] = note
        self._show_instead(showing.query, showing.options, showing.kind, showing.before)
        return True

    def _show_instead(self, query: Query, options: tuple[Segment, ...], kind: Kind, before: Answer | None) -> None:
        """Show something else now, and what was on the screen after it."""
        if self.current is not None and self.current.kind == "answer":
            self._queue.insert(0, self.current.query)
        elif self.current is not None and self.current.kind != "correction":
            self._check = self.current
        self.current = Showing(query, self._showings, options, kind, before)
        self._showings += 1
        with suppress(PrefrlError):  # what matters is stored; the next look at the store says it again
            self.refresh()

    def history(self) -> list[Answer]:
        """What this person has answered, in this sitting and before, the newest first."""
        return [answer for answer in standing(self.store.answers()) if answer.labeler == self.name][::-1]

    def correct(self, answer: Answer) -> None:
        """Show what was answered once more, as it stood then; another answer counts instead."""
        query = self.store.query(answer.query_id)
        by_id = {option.id: option for option in query.options}
        shown = answer.provenance.get("shown")
        known = isinstance(shown, list) and {*shown} == {*by_id}
        options = tuple(by_id[i] for i in shown) if known and shown is not None else query.options
        if note := answer.provenance.get("note"):
            self.notes[query.id] = str(note)
        self._show_instead(query, options, "correction", answer)

    def redo(self) -> bool:
        """Give the answer again that was taken back last."""
        if not self._withdrawn or self.current is None:
            return False
        given = self._withdrawn[-1]
        if given.showing.query.id != self.current.query.id:
            return False
        again = Given(given.showing, given.said, {**given.provenance, "again": True})
        self._store(again)
        self._withdrawn.pop()
        return True

    @property
    def last(self) -> Action | Ranking | None:
        """The answer that `undo` would take back."""
        return self._given[-1].said if self._given else None

    @property
    def given(self) -> int:
        """How many answers of this session stand."""
        return len(self._given)

    @property
    def rate(self) -> float | None:
        """Answers a minute, lately and without breaks; None until there are some to tell by."""
        return 60.0 * len(self._gaps) / sum(self._gaps) if len(self._gaps) >= 3 and sum(self._gaps) > 0 else None

    def close(self) -> None:
        """Let others have what is not answered."""
        self.store.release(self.name)


def _count(store: PreferenceStore) -> Counts:
    asked_at = store.newest_asked_at
    age = None if asked_at is None else datetime.now(UTC) - datetime.fromisoformat(asked_at)
    return Counts(store.asked, len(store), None if age is None else max(0.0, age.total_seconds()))


def order(session: str, showing: int, options: int) -> tuple[int, ...]:
    """Which option stands first, second, ... in one showing of a session: for two it is a fair coin."""
    rng = np.random.default_rng(np.random.SeedSequence([int(session, 16), showing]))
    return tuple(rng.permutation(options).tolist())
