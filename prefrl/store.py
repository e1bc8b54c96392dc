"""PreferenceStore: segments, queries and answers in one SQLite file, all that a trainer and a labeler share.

The file is in WAL mode with synchronous=FULL: an answer that was acknowledged is on the disk, and a reader never waits
for a writer. Keep it on a local disk, since WAL does not work over a network file system.
"""

import json
import os
import shutil
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from prefrl.comparisons import Comparison, Query, check_mu
from prefrl.errors import PrefrlError
from prefrl.segment_bytes import decode_segment, encode_segment
from prefrl.segments import Segment

APPLICATION_ID = 0x50524652  # "PRFR"
VERSION = 2  # 2 lets an answer be withdrawn, and the trainer say what it does
_BUSY_SECONDS = 20.0  # how long an operation waits for another process that is writing

_TRAINER = """
CREATE TABLE IF NOT EXISTS trainer (
    one INTEGER PRIMARY KEY CHECK (one = 1),  -- there is one row
    doing TEXT NOT NULL,
    at REAL NOT NULL  -- seconds since 1970
) STRICT
"""
_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS segments (
    id TEXT PRIMARY KEY,
    content BLOB NOT NULL,  -- context, obs, act, true_reward
    view BLOB               -- apart, since only people need it
) STRICT;
CREATE TABLE IF NOT EXISTS queries (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they were asked
    id TEXT NOT NULL UNIQUE,
    asked_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS options (
    query INTEGER NOT NULL REFERENCES queries (sequence),
    place INTEGER NOT NULL,
    segment TEXT NOT NULL REFERENCES segments (id),
    PRIMARY KEY (query, place)
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS leases (
    query INTEGER PRIMARY KEY REFERENCES queries (sequence),
    labeler TEXT NOT NULL,
    until REAL NOT NULL  -- seconds since 1970
) STRICT;
CREATE TABLE IF NOT EXISTS answers (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    query INTEGER NOT NULL REFERENCES queries (sequence),
    mu TEXT,  -- JSON list in the order of the options; NULL: cannot tell
    labeler TEXT NOT NULL,
    answered_at TEXT NOT NULL,
    provenance TEXT NOT NULL,  -- JSON object
    withdrawn INTEGER NOT NULL DEFAULT 0  -- 1: takes back what was answered before, so mu is NULL and means nothing
) STRICT;
{_TRAINER};
CREATE INDEX IF NOT EXISTS answers_by_query ON answers (query);
CREATE TRIGGER IF NOT EXISTS answers_are_not_changed BEFORE UPDATE ON answers
    BEGIN SELECT RAISE(ABORT, 'answers are never changed: add a newer one'); END;
CREATE TRIGGER IF NOT EXISTS answers_are_not_deleted BEFORE DELETE ON answers
    BEGIN SELECT RAISE(ABORT, 'answers are never deleted: add a newer one'); END;
-- INSERT OR REPLACE would delete without asking the trigger above.
CREATE TRIGGER IF NOT EXISTS answers_are_not_replaced BEFORE INSERT ON answers
    WHEN EXISTS (SELECT 1 FROM answers WHERE sequence = NEW.sequence)
    BEGIN SELECT RAISE(ABORT, 'answers are never replaced: add a newer one'); END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""

# 0 where the newest answer to a query stands, 1 where it was withdrawn, NULL where there never was one.
_WITHDRAWN = """
    (SELECT withdrawn FROM answers WHERE answers.query = queries.sequence ORDER BY answers.sequence DESC LIMIT 1)
"""

# A lease by :labeler does not keep a query from :labeler; nobody is named NULL.
_FREE = f"""
    SELECT sequence, id FROM queries
    WHERE {_WITHDRAWN} IS NOT 0
    AND NOT EXISTS (SELECT 1 FROM leases WHERE leases.query = queries.sequence
                    AND until > :now AND labeler IS NOT :labeler)
    ORDER BY sequence LIMIT :limit
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of the log of answers. A later answer to the same query, by anybody, supersedes it.

    A row that is `withdrawn` is no answer: it takes back what was answered before, and the query waits again.
    """

    query_id: str
    option_ids: tuple[str, ...]  # [K]
    mu: tuple[float, ...] | None  # [K], in the order of `option_ids`; None: cannot tell
    labeler: str
    answered_at: str  # UTC, ISO 8601
    provenance: Mapping[str, Any]  # whatever the labeler found worth keeping
    withdrawn: bool = False


class PreferenceStore:
    """One SQLite file, opened or created. Several processes may hold it at once; each opens its own.

    Every method raises PrefrlError when the file cannot be read or written (a full disk, a lock, damage); what was
    acknowledged before is still there, and the failed step left nothing behind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if sqlite3.sqlite_version_info < (3, 37):
            raise PrefrlError(f"SQLite {sqlite3.sqlite_version} is too old for {path}: prefrl needs 3.37 or newer")
        if not path.parent.is_dir():
            raise PrefrlError(f"no folder {path.parent} to keep {path.name} in; create it first")
        # SQLite would open a read-only file, refuse only the first answer, and leave read-only companions behind.
        for needed in (path.parent, path):
            if needed.exists() and not os.access(needed, os.W_OK):
                raise PrefrlError(
                    f"cannot write {needed}; make the file and its folder writable, or choose another path"
                )
        # What never changes once stored is kept in memory, so that a round reads only what is new.
        self._options: dict[int, tuple[str, ...]] = {}  # query -> segment ids
        self._segments: dict[str, Segment] = {}  # of comparisons only, and without views
        self._comparisons: dict[int, Comparison] = {}  # query -> its newest answer, where that is not "cannot tell"
        self._answers_seen = 0
        self._beat: tuple[str, float] | None = None  # what the trainer said last, and when
        with self._explained():
            self._db = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self._db.close()
                raise

    def _open(self) -> None:
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA foreign_keys = ON")
        if self._pragma("application_id") == 0 and not self._db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            self._retried("PRAGMA journal_mode = WAL")
            self._db.executescript(_SCHEMA)
        if self._pragma("application_id") != APPLICATION_ID:
            raise PrefrlError(f"{self.path} is a database of another program; choose another path")
        if self._pragma("user_version") == 1:
            self._upgrade()
        if (version := self._pragma("user_version")) != VERSION:
            raise PrefrlError(
                f"{self.path} has format {version}, this prefrl reads format {VERSION}; "
                f"use the prefrl that wrote it, or choose another path"
            )
        if (fault := self._pragma("quick_check")) != "ok":
            raise PrefrlError(f"{self.path} is damaged ({fault}); restore a copy of it")

    def _upgrade(self) -> None:
        """Bring a version 1 to this one, once: another process may be doing the same."""
        with self._writing() as db:
            if self._pragma("user_version") == 1:
                db.execute("ALTER TABLE answers ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0")
                db.execute(_TRAINER)
                db.execute(f"PRAGMA user_version = {VERSION}")

    def _pragma(self, name: str) -> Any:
        return self._db.execute(f"PRAGMA {name}").fetchone()[0]

    def _retried(self, statement: str) -> None:
        """SQLite does not wait by itself when two processes change the journal mode of a new file at once."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                self._db.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        """Close the file. Nothing depends on it: a killed process loses no acknowledged answer."""
        with self._explained():
            self._db.close()

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
        with self._writing() as db:
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
        with self._explained():
            return int(self._db.execute("SELECT count(*) FROM queries").fetchone()[0])

    # What the trainer does

    def beat(self, doing: str, *, every: float = 0.0) -> None:
        """Let labelers know what the trainer does; the same again is written once in `every` seconds."""
        now = time.monotonic()
        if self._beat is not None and self._beat[0] == doing and now - self._beat[1] < every:
            return
        with self._writing() as db:
            db.execute("INSERT OR REPLACE INTO trainer VALUES (1, ?, ?)", (doing, time.time()))
        self._beat = doing, now

    def trainer(self) -> tuple[str, float] | None:
        """What the trainer said that it does, and how many seconds ago; None if it never said anything."""
        with self._explained():
            row = self._db.execute("SELECT doing, at FROM trainer").fetchone()
        return None if row is None else (row[0], max(0.0, time.time() - row[1]))

    @property
    def newest_asked_at(self) -> str | None:
        """When the newest query was asked (UTC, ISO 8601); None if there is none."""
        with self._explained():
            row = self._db.execute("SELECT asked_at FROM queries ORDER BY sequence DESC LIMIT 1").fetchone()
        return None if row is None else str(row[0])

    # Labeling

    def pending(self, limit: int | None = None) -> list[Query]:
        """Queries without a standing answer that nobody has leased, the oldest first, with the views to show them."""
        with self._reading() as db:
            return self._free(db, None, limit)

    def lease(self, labeler: str, limit: int, *, seconds: float = 120.0) -> list[Query]:
        """Take at most `limit` pending queries for a labeler, so that others do not get them for that many seconds.

        Those that the same labeler holds already come again, renewed. An expired lease is free.
        """
        with self._writing() as db, self._reading():
            taken = self._free(db, labeler, limit)
            db.executemany(
                "INSERT INTO leases SELECT sequence, ?, ? FROM queries WHERE id = ? "
                "ON CONFLICT (query) DO UPDATE SET labeler = excluded.labeler, until = excluded.until",
                [(labeler, time.time() + seconds, query.id) for query in taken],
            )
        return taken

    def release(self, labeler: str) -> None:
        """Give back all that a labeler has leased."""
        with self._writing() as db:
            db.execute("DELETE FROM leases WHERE labeler = ?", (labeler,))

    def _free(self, db: sqlite3.Connection, labeler: str | None, limit: int | None) -> list[Query]:
        values = {"now": time.time(), "labeler": labeler, "limit": -1 if limit is None else limit}
        option_ids = [self._option_ids(sequence) for sequence, _ in db.execute(_FREE, values).fetchall()]
        segments = {segment_id: self.segment(segment_id) for ids in option_ids for segment_id in ids}
        return [Query(tuple(segments[segment_id] for segment_id in ids)) for ids in option_ids]

    def answer(
        self,
        query: Query,
        mu: Sequence[float] | None,
        *,
        labeler: str,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Append one answer; it is on the disk when this returns. See `answer_all`."""
        self.answer_all([(query, mu)], labeler=labeler, provenance=provenance)

    def answer_all(
        self,
        pairs: Sequence[tuple[Query, Sequence[float] | None]],
        *,
        labeler: str,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        """Append answers in one transaction, all or none; they are on the disk when this returns.

        `mu` weighs the options in the order in which `query.options` has them; None is "cannot tell". `provenance` is
        kept as JSON. The newest answer to a query counts, whoever gave it. Raises ValueError for a `mu` that is no
        distribution, and PrefrlError for a query that was never asked.
        """
        for query, mu in pairs:
            if mu is not None:
                check_mu(mu, len(query.options))
        now, how = _now(), json.dumps(dict(provenance or {}))
        with self._writing() as db:
            for query, mu in pairs:
                row = db.execute("SELECT sequence FROM queries WHERE id = ?", (query.id,)).fetchone()
                if row is None:
                    raise PrefrlError(
                        f"query {query.id} is none of the {self.asked} in {self.path}; ask it before you answer it"
                    )
                stored = None
                if mu is not None:  # the same query may come with its options in another order than the stored one
                    weight = {option.id: float(w) for option, w in zip(query.options, mu, strict=True)}
                    stored = json.dumps([weight[segment_id] for segment_id in self._option_ids(row[0])])
                db.execute(
                    "INSERT INTO answers (query, mu, labeler, answered_at, provenance) VALUES (?, ?, ?, ?, ?)",
                    (row[0], stored, labeler, now, how),
                )

    def withdraw(
        self,
        query: Query,
        *,
        labeler: str,
        provenance: Mapping[str, Any] | None = None,
        seconds: float = 120.0,
    ) -> bool:
        """Take back a labeler's own answer: the query is pending again, leased to that labeler for so many seconds.

        It is a row of its own in the log, which keeps the answer that was taken back; nothing older comes to count
        again. On the disk when this returns. False, and nothing is done, where no answer of this labeler stands.
        """
        with self._writing() as db:
            row = db.execute(
                "SELECT queries.sequence, labeler, withdrawn FROM queries "
                "JOIN answers ON answers.query = queries.sequence WHERE id = ? ORDER BY answers.sequence DESC LIMIT 1",
                (query.id,),
            ).fetchone()
            if row is None or row[1] != labeler or row[2]:
                return False
            db.execute(
                "INSERT INTO answers (query, mu, labeler, answered_at, provenance, withdrawn) "
                "VALUES (?, NULL, ?, ?, ?, 1)",
                (row[0], labeler, _now(), json.dumps(dict(provenance or {}))),
            )
            db.execute(
                "INSERT INTO leases VALUES (?, ?, ?) "
                "ON CONFLICT (query) DO UPDATE SET labeler = excluded.labeler, until = excluded.until",
                (row[0], labeler, time.time() + seconds),
            )
        return True

    # Reading

    def comparisons(self) -> list[Comparison]:
        """All answered queries in the order in which they were asked, without those that nobody could tell.

        The order does not depend on who answered what when, so a fit can be repeated. Segments come without views.
        Each call reads only what is new since the last one, also what other processes wrote.
        """
        with self._reading() as db:
            rows = db.execute(
                "SELECT sequence, query, mu FROM answers WHERE sequence > ? ORDER BY sequence", (self._answers_seen,)
            ).fetchall()
            for query, mu in {query: mu for _, query, mu in rows}.items():
                if mu is None:
                    self._comparisons.pop(query, None)
                else:
                    options = tuple(self._bare_segment(segment_id) for segment_id in self._option_ids(query))
                    self._comparisons[query] = Comparison(options, tuple(json.loads(mu)))
            if rows:
                self._answers_seen = rows[-1][0]
        return [self._comparisons[query] for query in sorted(self._comparisons)]

    def answers(self) -> list[Answer]:
        """The whole log, the oldest answer first, superseded ones included."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT queries.sequence, queries.id, mu, labeler, answered_at, provenance, withdrawn "
                "FROM answers JOIN queries ON queries.sequence = answers.query ORDER BY answers.sequence"
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
                )
                for sequence, query_id, mu, labeler, answered_at, provenance, withdrawn in rows
            ]

    def __len__(self) -> int:
        """How many queries have an answer, "cannot tell" included and withdrawn ones not."""
        with self._explained():
            return int(self._db.execute(f"SELECT count(*) FROM queries WHERE {_WITHDRAWN} IS 0").fetchone()[0])

    def segment(self, segment_id: str) -> Segment:
        """A stored segment with its view. Raises PrefrlError if there is none, or if its content is not what it was."""
        with self._reading() as db:
            row = db.execute("SELECT content, view FROM segments WHERE id = ?", (segment_id,)).fetchone()
            if row is None:
                raise PrefrlError(f"no segment {segment_id} in {self.path}")
            return decode_segment(segment_id, *row)

    def _bare_segment(self, segment_id: str) -> Segment:
        if segment_id not in self._segments:
            row = self._db.execute("SELECT content FROM segments WHERE id = ?", (segment_id,)).fetchone()
            self._segments[segment_id] = decode_segment(segment_id, *row)
        return self._segments[segment_id]

    def _option_ids(self, query: int) -> tuple[str, ...]:
        if query not in self._options:
            rows = self._db.execute("SELECT segment FROM options WHERE query = ? ORDER BY place", (query,))
            self._options[query] = tuple(segment_id for (segment_id,) in rows)
        return self._options[query]

    # Errors

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, with the write lock held from the start."""
        with self._explained():
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """SQLite checks its own structure, not what we keep in it."""
        with self._explained():
            try:
                yield self._db
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise PrefrlError(f"{self.path} is damaged ({error}); restore a copy of it") from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise PrefrlError(_explain(error, self.path)) from error
        except UnicodeDecodeError as error:  # SQLite quotes a damaged schema, and Python cannot read the quotation
            raise PrefrlError(f"{self.path} is damaged ({error}); restore a copy of it") from error


def _explain(error: sqlite3.Error, path: Path) -> str:
    """What happened to the file, and the next move."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the low byte is the kind, the rest says which call failed
        case sqlite3.SQLITE_FULL:
            free = shutil.disk_usage(path.parent).free // 2**20
            return f"no room to write {path} ({free} MiB free on its disk); free some, then go on: nothing was lost"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"cannot write {path} ({error}); make the file and its folder writable, or choose another path"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another program has kept {path} locked for {_BUSY_SECONDS:.0f} s; close it and try again"
        case sqlite3.SQLITE_NOTADB:
            return f"{path} is not a preference store ({error}); choose another path"
        case sqlite3.SQLITE_CORRUPT:
            return f"{path} is damaged ({error}); restore a copy of it"
        case _:
            return f"{path} cannot be used: {error}"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
