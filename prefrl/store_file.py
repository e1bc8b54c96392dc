"""The store's file: opened or created, brought up to date, written all or nothing, and its faults explained."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from prefrl.errors import PrefrlError
from prefrl.store_format import APPLICATION_ID, BUSY_SECONDS, SCHEMA, UPGRADES, VERSION, explain


class StoreFile:
    """A connection to one SQLite file of our format, in WAL mode with synchronous=FULL.

    Raises PrefrlError where the file cannot be read or written: here, and within `reading` and `writing`.
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
        with self._explained():
            self.db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            try:
                self._open()
            except BaseException:
                self.db.close()
                raise

    def _open(self) -> None:
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("PRAGMA foreign_keys = ON")
        if self._pragma("application_id") == 0 and not self.db.execute("SELECT 1 FROM sqlite_schema").fetchone():
            self._retried("PRAGMA journal_mode = WAL")
            self.db.executescript(SCHEMA)
        if self._pragma("application_id") != APPLICATION_ID:
            raise PrefrlError(f"{self.path} is a database of another program; choose another path")
        if self._pragma("user_version") in UPGRADES:
            self._upgrade()
        if (version := self._pragma("user_version")) != VERSION:
            raise PrefrlError(
                f"{self.path} has format {version}, this prefrl reads format {VERSION}; "
                f"use the prefrl that wrote it, or choose another path"
            )
        if (fault := self._pragma("quick_check")) != "ok":
            raise PrefrlError(f"{self.path} is damaged ({fault}); restore a copy of it")

    def _upgrade(self) -> None:
        """Bring an older file to this format, once: another process may be doing the same."""
        with self.writing() as db:
            while (version := self._pragma("user_version")) in UPGRADES:
                for statement in UPGRADES[version]:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {version + 1}")

    def _pragma(self, name: str) -> Any:
        return self.db.execute(f"PRAGMA {name}").fetchone()[0]

    def _retried(self, statement: str) -> None:
        """SQLite does not wait by itself when two processes change the journal mode of a new file at once."""
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                self.db.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)

    def close(self) -> None:
        """Close the file."""
        with self._explained():
            self.db.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """All or nothing, with the write lock held from the start."""
        with self._explained():
            try:
                self.db.execute("BEGIN IMMEDIATE")
                yield self.db
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                raise

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """SQLite checks its own structure, not what we keep in it."""
        with self._explained():
            try:
                yield self.db
            except (ValueError, TypeError, KeyError, RecursionError) as error:
                raise PrefrlError(f"{self.path} is damaged ({error}); restore a copy of it") from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise PrefrlError(explain(error, self.path)) from error
        except UnicodeDecodeError as error:  # SQLite quotes a damaged schema, and Python cannot read the quotation
            raise PrefrlError(f"{self.path} is damaged ({error}); restore a copy of it") from error
