"""The format of the store's file: its tables, and how an older file is brought up to date."""

import shutil
import sqlite3
from pathlib import Path

APPLICATION_ID = 0x50524652  # "PRFR"
VERSION = 3  # 2: answers can be withdrawn, the trainer says what it does; 3: rankings, several labelers, checks
BUSY_SECONDS = 20.0  # how long an operation waits for another process that is writing

_TRAINER = """
CREATE TABLE IF NOT EXISTS trainer (
    one INTEGER PRIMARY KEY CHECK (one = 1),  -- there is one row
    doing TEXT NOT NULL,
    at REAL NOT NULL  -- seconds since 1970
) STRICT
"""
_LEASES = """
CREATE TABLE IF NOT EXISTS leases (
    query INTEGER NOT NULL REFERENCES queries (sequence),
    labeler TEXT NOT NULL,
    until REAL NOT NULL,  -- seconds since 1970
    PRIMARY KEY (query, labeler)
) STRICT, WITHOUT ROWID
"""
_CHECKS = """
CREATE TABLE IF NOT EXISTS checks (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL,   -- of the showing; a later row of the same name counts instead
    kind TEXT NOT NULL,   -- repeat: a question asked before; catch: one segment as both options
    shown TEXT NOT NULL,  -- JSON list of segment ids, from left to right
    mu TEXT,              -- as in answers, but in the order of `shown`
    ranks TEXT,
    labeler TEXT NOT NULL,
    answered_at TEXT NOT NULL,
    provenance TEXT NOT NULL,
    withdrawn INTEGER NOT NULL DEFAULT 0
) STRICT
"""
# The newest answer of each labeler to each query, but for those that were taken back. Times order the rows, because a
# store may have been merged with another; in one store they never run backward.
_STANDING = """
CREATE VIEW IF NOT EXISTS standing AS SELECT * FROM answers AS a WHERE withdrawn = 0 AND NOT EXISTS (
    SELECT 1 FROM answers AS b WHERE b.query = a.query AND b.labeler = a.labeler
    AND (b.answered_at, b.sequence) > (a.answered_at, a.sequence))
"""
_BY_TIME = "CREATE INDEX IF NOT EXISTS answers_by_time ON answers (answered_at)"


def _append_only(table: str) -> tuple[str, ...]:
    """Triggers that let rows be added to a table and nothing else."""
    # INSERT OR REPLACE would delete without asking the trigger for that.
    return tuple(
        f"CREATE TRIGGER IF NOT EXISTS {table}_are_not_{done} BEFORE {when}\n"
        f"    BEGIN SELECT RAISE(ABORT, '{table} are never {done}: add a newer one'); END"
        for done, when in (
            ("changed", f"UPDATE ON {table}"),
            ("deleted", f"DELETE ON {table}"),
            ("replaced", f"INSERT ON {table}\n    WHEN EXISTS (SELECT 1 FROM {table} WHERE sequence = NEW.sequence)"),
        )
    )


SCHEMA = f"""
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
{_LEASES};
-- An answer is either weights or ranks, JSON lists in the order of the options; both NULL: cannot tell. Where
-- `withdrawn` is 1 a labeler takes back what was answered before.
CREATE TABLE IF NOT EXISTS answers (
    sequence INTEGER PRIMARY KEY AUTOINCREMENT,
    query INTEGER NOT NULL REFERENCES queries (sequence),
    mu TEXT,
    labeler TEXT NOT NULL,
    answered_at TEXT NOT NULL,
    provenance TEXT NOT NULL,  -- JSON object
    withdrawn INTEGER NOT NULL DEFAULT 0,
    ranks TEXT
) STRICT;
{_TRAINER};
{_CHECKS};
CREATE INDEX IF NOT EXISTS answers_by_query ON answers (query);
{_BY_TIME};
{_STANDING};
{";".join((*_append_only("answers"), *_append_only("checks")))};
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""

# From each older format to the one after it.
UPGRADES: dict[int, tuple[str, ...]] = {
    1: ("ALTER TABLE answers ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0", _TRAINER),
    # Leases last two minutes: none is missed.
    2: (
        "ALTER TABLE answers ADD COLUMN ranks TEXT",
        "DROP TABLE leases",
        _LEASES,
        _CHECKS,
        *_append_only("checks"),
        _BY_TIME,
        _STANDING,
    ),
}


def explain(error: sqlite3.Error, path: Path) -> str:
    """What happened to the file, and the next move."""
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:  # the low byte is the kind, the rest says which call failed
        case sqlite3.SQLITE_FULL:
            free = shutil.disk_usage(path.parent).free // 2**20
            return f"no room to write {path} ({free} MiB free on its disk); free some, then go on: nothing was lost"
        case sqlite3.SQLITE_READONLY | sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_PERM:
            return f"cannot write {path} ({error}); make the file and its folder writable, or choose another path"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return f"another program has kept {path} locked for {BUSY_SECONDS:.0f} s; close it and try again"
        case sqlite3.SQLITE_NOTADB:
            return f"{path} is not a preference store ({error}); choose another path"
        case sqlite3.SQLITE_CORRUPT:
            return f"{path} is damaged ({error}); restore a copy of it"
        case _:
            return f"{path} cannot be used: {error}"
