"""One person's sitting at the store: what is shown next, what was answered, what is taken back. No pixels here."""

import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import numpy as np

from prefrl.comparisons import Query
from prefrl.errors import PrefrlError
from prefrl.segments import Segment
from prefrl.store import PreferenceStore
from prefrl_labeling.keymap import Action
from prefrl_labeling.playback import Playback

GUARD_SECONDS = 0.25  # an answer this soon after a new pair was meant for the one before
LEASE_SECONDS = 120.0
RENEW_SECONDS = 30.0
ABSENT_SECONDS = 300.0  # without any key: from then on others may have what is on the screen
AHEAD = 3  # pairs that are kept ready behind the one that is shown
_LEASED = 5  # pairs at a time
_BREAK_SECONDS = 60.0  # a longer silence is a break and not part of the rate

# What each answer says of the options as they stand on the screen, from left to right, and how strongly.
ANSWERS: dict[Action, tuple[tuple[float, float] | None, int]] = {
    Action.LEFT_BETTER: ((1.0, 0.0), 1),
    Action.RIGHT_BETTER: ((0.0, 1.0), 1),
    Action.LEFT_MUCH_BETTER: ((1.0, 0.0), 2),
    Action.RIGHT_MUCH_BETTER: ((0.0, 1.0), 2),
    Action.TIE: ((0.5, 0.5), 0),
    Action.CANNOT_TELL: (None, 0),
}


@dataclass(eq=False)
class Showing:
    """One pair on the screen."""

    query: Query
    number: int  # of the showing in its session, from 0
    options: tuple[Segment, ...]  # from left to right
    since: float | None = None  # when it became visible
    ignored: int = 0  # answers that came too soon


@dataclass(frozen=True, eq=False)
class Given:
    """An answer as it can be taken back, and given again."""

    showing: Showing
    action: Action
    provenance: dict[str, Any]


@dataclass(frozen=True)
class Counts:
    """How far the work is."""

    asked: int
    answered: int  # by everybody
    newest: float | None = None  # seconds since the last question was asked


@dataclass
class Session:
    """Leases pairs, stores answers, remembers them for undo. `now` is a clock in seconds.

    The sides of the pair shown as number n are those of a fair coin: `sides(id, n)`.
    """

    store: PreferenceStore
    name: str
    now: Callable[[], float] = time.monotonic
    id: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.current: Showing | None = None
        self.counts = Counts(0, 0)
        self.notes: dict[str, str] = {}  # query id -> what its flag says
        self._queue: list[Query] = []  # what comes next, the current one not among them
        self._skipped: list[str] = []  # query ids, the first one comes back first
        self._given: list[Given] = []
        self._withdrawn: list[Given] = []  # that redo gives again
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
        enough = len(self._queue) >= AHEAD or (self.current is not None and unchanged)
        if not at_once and enough and self.now() - self._renewed < RENEW_SECONDS:
            return
        if self.now() - self._touched > ABSENT_SECONDS and self.current is not None:
            return
        wanted = _LEASED + len(self._skipped)
        leased = {query.id: query for query in self.store.lease(self.name, wanted, seconds=LEASE_SECONDS)}
        self._renewed = self.now()
        if wide := next((query for query in leased.values() if len(query.options) != 2), None):
            raise PrefrlError(
                f"query {wide.id} has {len(wide.options)} options; this window compares two: train with two options"
            )
        if self.current is not None and self.current.query.id not in leased:
            self.current = None  # somebody else has answered it, or it is theirs by now
        shown = None if self.current is None else self.current.query.id
        fresh = [query for name, query in leased.items() if name not in self._skipped]
        later = [leased[name] for name in self._skipped if name in leased]
        # Pairs that were taken back stand first, where `undo` has put them.
        first = [leased[query.id] for query in self._queue if query.id in leased]
        ordered = {query.id: query for query in [*first, *fresh, *later] if query.id != shown}
        self._queue = sorted(ordered.values(), key=lambda query: query.id in self._skipped)
        if self.current is None:
            self._next()

    def _next(self) -> None:
        self.current = None
        if self._queue:
            query = self._queue.pop(0)
            order = sides(self.id, self._showings)
            self.current = Showing(query, self._showings, tuple(query.options[i] for i in order))
            self._showings += 1

    def near(self) -> list[Segment]:
        """What may be on the screen soon: the current pair, those behind it, and the one answered last."""
        pairs = [*([self.current.options] if self.current else []), *(query.options for query in self._queue[:AHEAD])]
        pairs += [given.showing.options for given in self._given[-1:]]
        return [segment for pair in pairs for segment in pair]

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

    def answer(self, action: Action, playback: Playback) -> bool:
        """Store an answer and go on to the next pair; when this returns True, the answer is on the disk.

        False if there is no pair, or if it came too soon. Raises PrefrlError, with the pair still current, if the store
        cannot be written.
        """
        if self.current is None:
            return False
        if self.guarded:
            self.current.ignored += 1
            return False
        showing, (_, strength) = self.current, ANSWERS[action]
        assert showing.since is not None
        provenance = {
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
        if strength:
            provenance["strength"] = strength
        if note := self.notes.get(showing.query.id):
            provenance["note"] = note
        self._store(Given(showing, action, provenance))
        self._withdrawn.clear()
        return True

    def _store(self, given: Given) -> None:
        mu, _ = ANSWERS[given.action]
        shown = Query(given.showing.options)  # the store puts weights in its own order
        self.store.answer(shown, mu, labeler=self.name, provenance=given.provenance)
        self._given.append(given)
        self.notes.pop(given.showing.query.id, None)
        if given.showing.query.id in self._skipped:
            self._skipped.remove(given.showing.query.id)
        if self._last_answer is not None and self.now() - self._last_answer < _BREAK_SECONDS:
            self._gaps.append(self.now() - self._last_answer)
        self._last_answer = self.now()
        self._next()
        with suppress(PrefrlError):  # the answer is stored; the next look at the store says it again
            self.refresh()

    def skip(self) -> bool:
        """Put the current pair behind all others."""
        if self.current is None:
            return False
        name = self.current.query.id
        self._skipped = [*(other for other in self._skipped if other != name), name]
        self._queue.append(self.current.query)
        self._next()
        self.refresh(at_once=True)
        return True

    def undo(self) -> bool:
        """Take the last answer back and show its pair again, on the same sides.

        False if there is none; an answer that somebody else has overruled meanwhile is passed over.
        """
        while self._given:
            given = self._given[-1]
            mine = self.store.withdraw(
                given.showing.query, labeler=self.name, provenance={"session": self.id}, seconds=LEASE_SECONDS
            )
            self._given.pop()
            if mine:
                break
        else:
            return False
        self._withdrawn.append(given)
        if note := given.provenance.get("note"):
            self.notes[given.showing.query.id] = note
        if self.current is not None:
            self._queue.insert(0, self.current.query)
        self.current = Showing(given.showing.query, self._showings, given.showing.options)
        self._showings += 1
        with suppress(PrefrlError):  # what matters is stored; the next look at the store says it again
            self.refresh()
        return True

    def redo(self) -> bool:
        """Give the answer again that was taken back last."""
        if not self._withdrawn or self.current is None:
            return False
        given = self._withdrawn[-1]
        if given.showing.query.id != self.current.query.id:
            return False
        again = Given(given.showing, given.action, {**given.provenance, "again": True})
        self._store(again)
        self._withdrawn.pop()
        return True

    @property
    def last(self) -> Action | None:
        """The answer that `undo` would take back."""
        return self._given[-1].action if self._given else None

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


def sides(session: str, showing: int) -> tuple[int, int]:
    """Which of the two options stands left, then which right, in one showing of a session."""
    flip = bool(np.random.default_rng(np.random.SeedSequence([int(session, 16), showing])).integers(2))
    return (1, 0) if flip else (0, 1)
