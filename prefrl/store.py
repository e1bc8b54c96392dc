"""PreferenceStore: segments, queries and answers in one SQLite file, all that a trainer and a labeler share.

The file is in WAL mode with synchronous=FULL: an answer that was acknowledged is on the disk, and a reader never waits
for a writer. Keep it on a local disk, since WAL does not work over a network file system.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from prefrl.answers import Answer, Check, judgment_columns, judgment_of
from prefrl.comparisons import Comparison, Judgment, Query, check_judgment, choices, reordered
from prefrl.errors import PrefrlError
from prefrl.segment_bytes import decode_segment, encode_segment
from prefrl.segments import Segment
from prefrl.store_file import StoreFile

# What a labeler may be shown: nothing that this labeler has answered, and nothing that enough others have answered or
# are answering. What was taken back comes again to the one who took it back. What the labeler holds comes before all
# else: it is being looked at. Nobody is named NULL.
_FREE = """
    SELECT sequence FROM (
        SELECT queries.sequence AS sequence,
            (SELECT count(*) FROM standing WHERE query = queries.sequence) AS answers,
            (SELECT count(*) FROM leases
             WHERE query = queries.sequence AND until > :now AND labeler IS NOT :labeler) AS held,
            EXISTS (SELECT 1 FROM leases
             WHERE query = queries.sequence AND until > :now AND labeler = :labeler) AS mine,
            (SELECT withdrawn FROM answers WHERE query = queries.sequence AND labeler = :labeler
             ORDER BY answered_at DESC, sequence DESC LIMIT 1) AS own
        FROM queries
    )
    WHERE own IS NOT 0 AND held + CASE WHEN own = 1 THEN 0 ELSE answers END < :overlap
    ORDER BY mine DESC, CASE WHEN own = 1 THEN 0 ELSE answers END, sequence LIMIT :limit
"""


class PreferenceStore:
    """One SQLite file, opened or created. Several processes may hold it at once; each opens its own.

    Every method raises PrefrlError when the file cannot be read or written (a full disk, a lock, damage); what was
    acknowledged before is still there, and the failed step left nothing behind.
    """

    def __init__(self, path: Path, *, pairs: bool = False) -> None:
        """`pairs`: rankings are compared as all their pairs (InstructGPT, section 3.5), not as nested choices."""
        self.path, self._pairs = path, pairs
        self._file = StoreFile(path)
        # What never changes once stored is kept in memory, so that a round reads only what is new.
        self._options: dict[int, tuple[str, ...]] = {}  # query -> segment ids
        self._segments: dict[str, Segment] = {}  # of comparisons only, and without views
        self._comparisons: dict[int, list[Comparison]] = {}  # query -> what its standing answers say
        self._answers_seen = 0
        self._beat: tuple[str, float] | None = None  # what the trainer said last, and when

    def close(self) -> None:
        """Close the file. Nothing depends on it: a killed process loses no acknowledged answer."""
        self._file.close()

    def __enter__(self) -> "PreferenceStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Asking

    def ask(self, queries: Iterable[Query]) -> int:
        """Store queries in one transaction and return how many were new; the order of options makes no new query."""
        new, now = 0, _now()
        with self._file.writing() as db:
            for query in queries:
                row = db.execute(
                    "INSERT INTO queries (id, asked_at) VALUES (?, ?) ON CONFLICT (id) DO NOTHING RETURNING sequence",
                    (query.id, now),
                ).fetchone()
                if row is None:
                    continue
                new += 1
                for place, option in enumerate(query.options):
                    if not db.execute("SELECT 1 FROM segments WHERE id = ?", (option.id,)).fetchone():
                        db.execute("INSERT INTO segments VALUES (?, ?, ?)", (option.id, *encode_segment(option)))
                    db.execute("INSERT INTO options VALUES (?, ?, ?)", (row[0], place, option.id))
        return new

    @property
    def asked(self) -> int:
        """How many queries were asked."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(*) FROM queries").fetchone()[0])

    # What the trainer does

    def beat(self, doing: str, *, every: float = 0.0) -> None:
        """Let labelers know what the trainer does; the same again is written once in `every` seconds."""
        now = time.monotonic()
        if self._beat is not None and self._beat[0] == doing and now - self._beat[1] < every:
            return
        with self._file.writing() as db:
            db.execute("INSERT OR REPLACE INTO trainer VALUES (1, ?, ?)", (doing, time.time()))
        self._beat = doing, now

    def trainer(self) -> tuple[str, float] | None:
        """What the trainer said that it does, and how many seconds ago; None if it never said anything."""
        with self._file.reading() as db:
            row = db.execute("SELECT doing, at FROM trainer").fetchone()
        return None if row is None else (row[0], max(0.0, time.time() - row[1]))

    @property
    def newest_asked_at(self) -> str | None:
        """When the newest query was asked (UTC, ISO 8601); None if there is none."""
        with self._file.reading() as db:
            row = db.execute("SELECT asked_at FROM queries ORDER BY sequence DESC LIMIT 1").fetchone()
        return None if row is None else str(row[0])

    # Labeling

    def pending(self, limit: int | None = None) -> list[Query]:
        """Queries without a standing answer that nobody has leased, the oldest first, with the views to show them."""
        with self._file.reading() as db:
            return self._free(db, None, 1, limit)

    def lease(self, labeler: str, limit: int, *, seconds: float = 120.0, overlap: int = 1) -> list[Query]:
        """Take at most `limit` queries for a labeler, so that others do not get them for that many seconds.

        Those that the same labeler holds already come first, renewed. An expired lease is free. A query is for
        `overlap` labelers: then come those with the fewest answers.
        """
        with self._file.writing() as db, self._file.reading():
            taken = self._free(db, labeler, overlap, limit)
            db.executemany(
                "INSERT INTO leases SELECT sequence, ?, ? FROM queries WHERE id = ? "
                "ON CONFLICT (query, labeler) DO UPDATE SET until = excluded.until",
                [(labeler, time.time() + seconds, query.id) for query in taken],
            )
        return taken

    def release(self, labeler: str) -> None:
        """Give back all that a labeler has leased."""
        with self._file.writing() as db:
            db.execute("DELETE FROM leases WHERE labeler = ?", (labeler,))

    def _free(self, db: sqlite3.Connection, labeler: str | None, overlap: int, limit: int | None) -> list[Query]:
        values = {
            "now": time.time(),
            "labeler": labeler,
            "overlap": overlap,
            "limit": -1 if limit is None else limit,
        }
        option_ids = [self._option_ids(sequence) for (sequence,) in db.execute(_FREE, values).fetchall()]
        segments = {segment_id: self.segment(segment_id) for ids in option_ids for segment_id in ids}
        return [Query(tuple(segments[segment_id] for segment_id in ids)) for ids in option_ids]

    def answer(
        self,
        query: Query,
        judgment: Judgment,
        *,
        labeler: str,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one answer; it is on the disk when this returns. See `answer_all`."""
        self.answer_all([(query, judgment)], labeler=labeler, provenance=provenance)

    def answer_all(
        self,
        pairs: Sequence[tuple[Query, Judgment]],
        *,
        labeler: str,
        provenance: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        """Append answers in one transaction, all or none; they are on the disk when this returns.

        A judgment weighs or ranks the options in the order in which `query.options` has them; None is "cannot tell".
        `provenance` is kept as JSON, one for all or one each; what it says under `returns`, {segment id: number}, is
        told of the options beside the answer (`Comparison.returns`). A labeler's newest answer to a query counts,
        beside those of other labelers.
        Raises ValueError for a judgment that is none, and PrefrlError for a query that was never asked.
        """
        for query, judgment in pairs:
            check_judgment(judgment, len(query.options))
        each = [provenance or {}] * len(pairs) if isinstance(provenance, Mapping | None) else provenance
        with self._file.writing() as db:
            now = self._clock()
            for (query, judgment), how in zip(pairs, each, strict=True):
                # The same query may come with its options in another order than the stored one.
                ids = [option.id for option in query.options]
                self._append(db, query.id, ids, judgment, labeler, now, how)

    def _append(
        self,
        db: sqlite3.Connection,
        query_id: str,
        option_ids: Sequence[str],
        judgment: Judgment,
        labeler: str,
        answered_at: str,
        provenance: Mapping[str, Any],
        withdrawn: bool = False,
    ) -> None:
        row = db.execute("SELECT sequence FROM queries WHERE id = ?", (query_id,)).fetchone()
        if row is None:
            raise PrefrlError(
                f"query {query_id} is none of the {self.asked} in {self.path}; ask it before you answer it"
            )
        db.execute(
            "INSERT INTO answers (query, mu, ranks, labeler, answered_at, provenance, withdrawn) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                row[0],
                *judgment_columns(reordered(judgment, option_ids, self._option_ids(row[0]))),
                labeler,
                answered_at,
                json.dumps(dict(provenance)),
                int(withdrawn),
            ),
        )
        if not withdrawn:
            db.execute("DELETE FROM leases WHERE query = ? AND labeler = ?", (row[0], labeler))

    def _clock(self) -> str:
        """Now, but never before the newest answer: a computer's clock may be set back."""
        (newest,) = self._file.db.execute("SELECT max(answered_at) FROM answers").fetchone()
        return max(_now(), newest or "")

    def withdraw(
        self,
        query: Query,
        *,
        labeler: str,
        provenance: Mapping[str, Any] | None = None,
        seconds: float = 120.0,
    ) -> bool:
        """Take back a labeler's own answer: the query waits for that labeler, leased for so many seconds.

        It is a row of its own in the log, which keeps the answer that was taken back; nothing older comes to count
        again. On the disk when this returns. False, and nothing is done, where no answer of this labeler stands.
        """
        with self._file.writing() as db:
            row = db.execute(
                "SELECT queries.sequence FROM queries JOIN standing ON standing.query = queries.sequence "
                "WHERE queries.id = ? AND labeler = ?",
                (query.id, labeler),
            ).fetchone()
            if row is None:
                return False
            ids = [option.id for option in query.options]
            self._append(db, query.id, ids, None, labeler, self._clock(), provenance or {}, withdrawn=True)
            db.execute(
                "INSERT INTO leases VALUES (?, ?, ?) ON CONFLICT (query, labeler) DO UPDATE SET until = excluded.until",
                (row[0], labeler, time.time() + seconds),
            )
        return True

    def check(
        self,
        name: str,
        kind: Literal["repeat", "catch"],
        shown: Sequence[Segment],
        judgment: Judgment,
        *,
        labeler: str,
        provenance: Mapping[str, Any] | None = None,
        withdrawn: bool = False,
    ) -> None:
        """Keep what a labeler said to a check, beside the answers; a later one of the same name counts instead."""
        check_judgment(judgment, len(shown))
        ids = json.dumps([segment.id for segment in shown])
        with self._file.writing() as db:
            db.execute(
                "INSERT INTO checks (name, kind, shown, mu, ranks, labeler, answered_at, provenance, withdrawn) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(name, kind, ids, *judgment_columns(judgment), labeler, self._clock()),
                    *(json.dumps(dict(provenance or {})), int(withdrawn)),
                ),
            )

    # Reading

    def comparisons(self) -> list[Comparison]:
        """What the answers say, in the order in which the queries were asked, without those that nobody could tell.

        A query is one comparison, or those of a ranking, however many labelers answered it: see `choices`.

        The order does not depend on who answered what when, so a fit can be repeated. Segments come without views.
        Each call reads only what is new since the last one, also what other processes wrote.
        """
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT sequence, query FROM answers WHERE sequence > ? ORDER BY sequence", (self._answers_seen,)
            ).fetchall()
            for query in {query for _, query in rows}:
                said = db.execute(
                    "SELECT mu, ranks, provenance FROM standing WHERE query = ? ORDER BY labeler", (query,)
                ).fetchall()
                judgments = [judgment_of(mu, ranks) for mu, ranks, _ in said]
                told: dict[str, float] = {}
                for _, _, how in said:
                    told |= dict(json.loads(how).get("returns", {}))
                if all(judgment is None for judgment in judgments):
                    self._comparisons.pop(query, None)
                else:
                    options = tuple(self._bare_segment(segment_id) for segment_id in self._option_ids(query))
                    self._comparisons[query] = [
                        replace(choice, returns=tuple(told[s.id] for s in choice.options)) if told else choice
                        for choice in choices(options, judgments, pairs=self._pairs)
                    ]
            if rows:
                self._answers_seen = rows[-1][0]
        return [choice for query in sorted(self._comparisons) for choice in self._comparisons[query]]

    def answers(self) -> list[Answer]:
        """The whole log, the oldest answer first, superseded ones included."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT queries.sequence, queries.id, mu, ranks, labeler, answered_at, provenance, withdrawn "
                "FROM answers JOIN queries ON queries.sequence = answers.query ORDER BY answered_at, answers.sequence"
            ).fetchall()
            return [
                Answer(
                    query_id,
                    self._option_ids(sequence),
                    None if mu is None else tuple(json.loads(mu)),
                    labeler,
                    answered_at,
                    json.loads(provenance),
                    bool(withdrawn),
                    None if ranks is None else tuple(json.loads(ranks)),
                )
                for sequence, query_id, mu, ranks, labeler, answered_at, provenance, withdrawn in rows
            ]

    def checks(self) -> list[Check]:
        """What labelers said to checks, the oldest first, without those that were taken back or given anew."""
        with self._file.reading() as db:
            rows = db.execute(
                "SELECT name, kind, shown, mu, ranks, labeler, answered_at, provenance, withdrawn "
                "FROM checks ORDER BY answered_at, sequence"
            ).fetchall()
            newest = {
                name: Check(
                    *(name, kind, tuple(json.loads(shown)), judgment_of(mu, ranks), labeler, answered_at),
                    *(json.loads(provenance), bool(withdrawn)),
                )
                for name, kind, shown, mu, ranks, labeler, answered_at, provenance, withdrawn in rows
            }
        return [check for check in newest.values() if not check.withdrawn]

    def __len__(self) -> int:
        """How many queries have an answer, "cannot tell" included and withdrawn ones not."""
        with self._file.reading() as db:
            return int(db.execute("SELECT count(DISTINCT query) FROM standing").fetchone()[0])

    def has_query(self, query_id: str) -> bool:
        """Whether a query was asked."""
        with self._file.reading() as db:
            return db.execute("SELECT 1 FROM queries WHERE id = ?", (query_id,)).fetchone() is not None

    def segment_ids(self) -> list[str]:
        """All segments that were asked about."""
        with self._file.reading() as db:
            return [segment_id for (segment_id,) in db.execute("SELECT id FROM segments ORDER BY id")]

    def query(self, query_id: str) -> Query:
        """A query with its views, as it was asked. Raises PrefrlError if it was not."""
        with self._file.reading() as db:
            row = db.execute("SELECT sequence FROM queries WHERE id = ?", (query_id,)).fetchone()
            if row is None:
                raise PrefrlError(f"no query {query_id} in {self.path}")
            return Query(tuple(self.segment(segment_id) for segment_id in self._option_ids(row[0])))

    def segment(self, segment_id: str) -> Segment:
        """A stored segment with its view. Raises PrefrlError if there is none, or if its content is not what it was."""
        with self._file.reading() as db:
            row = db.execute("SELECT content, view FROM segments WHERE id = ?", (segment_id,)).fetchone()
            if row is None:
                raise PrefrlError(f"no segment {segment_id} in {self.path}")
            return decode_segment(segment_id, *row)

    def _bare_segment(self, segment_id: str) -> Segment:
        if segment_id not in self._segments:
            row = self._file.db.execute("SELECT content FROM segments WHERE id = ?", (segment_id,)).fetchone()
            self._segments[segment_id] = decode_segment(segment_id, *row)
        return self._segments[segment_id]

    def _option_ids(self, query: int) -> tuple[str, ...]:
        if query not in self._options:
            rows = self._file.db.execute("SELECT segment FROM options WHERE query = ? ORDER BY place", (query,))
            self._options[query] = tuple(segment_id for (segment_id,) in rows)
        return self._options[query]

    # Bringing stores together

    def merge(self, other: "PreferenceStore", *, most: int | None = None) -> tuple[int, int, int]:
        """Take over what another store has and this one has not, in one transaction; doing it twice changes nothing.

        Returns how many queries, answers and checks were new. With `most`, only the first so many queries that
        somebody has answered come over, with their answers. The other store is only read. Raises PrefrlError for a
        store that is this one.
        """
        if other.path.resolve() == self.path.resolve():
            raise PrefrlError(f"{self.path} cannot be merged with itself; name another store")
        with other._file.reading() as source:
            rows = source.execute("SELECT sequence, id, asked_at FROM queries ORDER BY sequence").fetchall()
            if most is not None:
                answered = {query for (query,) in source.execute("SELECT DISTINCT query FROM standing")}
                rows = [row for row in rows if row[0] in answered][:most]
        wanted = {query_id for _, query_id, _ in rows}
        answers = [answer for answer in other.answers() if answer.query_id in wanted]
        with self._file.writing() as db, self._file.reading():
            new = sum(self._take(db, other, *row) for row in rows)
            given = self._add(db, answers)
            checks = 0 if most is not None else self._add_checks(db, other)
        return new, given, checks

    def _take(self, db: sqlite3.Connection, other: "PreferenceStore", sequence: int, name: str, asked_at: str) -> bool:
        """Copy one query with its segments; False if it is here already."""
        if db.execute("SELECT 1 FROM queries WHERE id = ?", (name,)).fetchone():
            return False
        query = db.execute("INSERT INTO queries (id, asked_at) VALUES (?, ?)", (name, asked_at)).lastrowid
        for place, segment_id in enumerate(other._option_ids(sequence)):
            if not db.execute("SELECT 1 FROM segments WHERE id = ?", (segment_id,)).fetchone():
                # Decoded on the way, so that damage does not spread.
                db.execute(
                    "INSERT INTO segments VALUES (?, ?, ?)", (segment_id, *encode_segment(other.segment(segment_id)))
                )
            db.execute("INSERT INTO options VALUES (?, ?, ?)", (query, place, segment_id))
        return True

    def add_answers(self, answers: Iterable[Answer]) -> int:
        """Append answers given elsewhere to queries of this store, all or none; returns how many were new."""
        with self._file.writing() as db, self._file.reading():
            return self._add(db, answers)

    def _add(self, db: sqlite3.Connection, answers: Iterable[Answer]) -> int:
        known = {answer.id for answer in self.answers()}
        new = {name: answer for answer in answers if (name := answer.id) not in known}
        for a in new.values():
            self._append(
                db, a.query_id, a.option_ids, a.judgment, a.labeler, a.answered_at, a.provenance, withdrawn=a.withdrawn
            )
        return len(new)

    def _add_checks(self, db: sqlite3.Connection, other: "PreferenceStore") -> int:
        columns = "name, kind, shown, mu, ranks, labeler, answered_at, provenance, withdrawn"
        known = set(db.execute(f"SELECT {columns} FROM checks"))
        with other._file.reading() as source:
            new = [row for row in source.execute(f"SELECT {columns} FROM checks") if row not in known]
        db.executemany(f"INSERT INTO checks ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", new)
        return len(new)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
