import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from stores import filled, query, segment

from prefrl.comparisons import Ranking
from prefrl.errors import PrefrlError
from prefrl.store import PreferenceStore
from prefrl.store_format import APPLICATION_ID, VERSION


def edited(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)
    return path


FORMAT_2 = (  # what format 3 brought, undone
    "DROP VIEW standing",
    "DROP INDEX answers_by_time",
    "DROP TABLE checks",
    "ALTER TABLE answers DROP COLUMN ranks",
    "DROP TABLE leases",
    "CREATE TABLE leases (query INTEGER PRIMARY KEY REFERENCES queries (sequence), labeler TEXT NOT NULL, "
    "until REAL NOT NULL) STRICT",
    "INSERT INTO leases VALUES (1, 'ann', 9e9)",
    "PRAGMA user_version = 2",
)
FORMAT_1 = (*FORMAT_2, "ALTER TABLE answers DROP COLUMN withdrawn", "DROP TABLE trainer", "PRAGMA user_version = 1")


@pytest.mark.parametrize("statements", [FORMAT_1, FORMAT_2])
def test_a_store_of_an_older_format_is_brought_up_to_date(tmp_path: Path, statements: tuple[str, ...]) -> None:
    path = filled(tmp_path / "store.sqlite")
    with PreferenceStore(path) as store:
        before = store.answers()
    edited(path, *statements)
    with PreferenceStore(path) as first, PreferenceStore(path) as second:
        assert first.answers() == second.answers() == before
        assert [len(first), len(second)] == [len(before)] * 2
        assert first._file._pragma("user_version") == VERSION
        assert second.trainer() is None
        first.ask([query(901, 902, 903)])
        first.answer(query(901, 902, 903), Ranking((0, 1, 1)), labeler="ann")
        assert len(second.comparisons()) == len(before) + 2
    with closing(sqlite3.connect(path)) as upgraded, closing(sqlite3.connect(filled(tmp_path / "new.sqlite"))) as new:
        shapes = [
            sorted((name, *row[1:3]) for (name,) in tables for row in db.execute(f"PRAGMA table_info({name})"))
            for db in (upgraded, new)
            for tables in [db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')").fetchall()]
        ]
        assert shapes[0] == shapes[1]
        others = [
            set(db.execute("SELECT type, name, tbl_name FROM sqlite_schema WHERE type IN ('index', 'trigger')"))
            for db in (upgraded, new)
        ]
        assert others[0] == others[1]


WRITER = """
import sys
from pathlib import Path
import numpy as np
from prefrl.comparisons import Query
from prefrl.segments import Segment
from prefrl.store import PreferenceStore
none = np.zeros((0, 1), np.float32)
segments = [Segment(np.full((1, 1), i, np.float32), np.zeros(1), none) for i in range(2000)]
with PreferenceStore(Path(sys.argv[1])) as store:
    for i in range(len(store), 1000):
        query = Query((segments[2 * i], segments[2 * i + 1]))
        store.ask([query])
        store.answer(query, (0.25, 0.75), labeler="ann")
        print(i, flush=True)
"""


def test_a_killed_labeler_loses_no_acknowledged_answer(tmp_path: Path) -> None:
    """kill -9 while it writes, at a random moment, three times over the same file."""
    rng, path, acknowledged = random.Random(0), tmp_path / "store.sqlite", -1
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            acknowledged = int(writer.stdout.readline())
            time.sleep(rng.uniform(0.0, 0.05))
            writer.send_signal(signal.SIGKILL)
            for line in writer.stdout:
                if line.endswith("\n"):
                    acknowledged = int(line)
        with PreferenceStore(path) as store:
            assert len(store) in (acknowledged + 1, acknowledged + 2)  # the last may lack only its acknowledgement
            assert [c.mu for c in store.comparisons()] == [(0.25, 0.75)] * len(store)
            assert store._file._pragma("integrity_check") == "ok"


def test_two_processes_may_create_the_same_store(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITER.replace("1000", "5"), str(tmp_path / "store.sqlite")]
    writers = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for _ in range(2)]
    for writer in writers:
        assert (writer.communicate()[1], writer.returncode) == (b"", 0)
    with PreferenceStore(tmp_path / "store.sqlite") as store:
        assert (store.asked, len(store)) == (5, 5)


# Faults: each is one sentence that names the file and the next move


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(PrefrlError, match=r"no folder .*nowhere to keep store.sqlite in; create it first"):
        PreferenceStore(tmp_path / "nowhere" / "store.sqlite")


def test_a_folder_is_no_store(tmp_path: Path) -> None:
    with pytest.raises(PrefrlError, match="choose another path"):
        PreferenceStore(tmp_path)


@pytest.mark.parametrize("content", [b"xy", b"not a database\n" * 1000, bytes(5000)])
def test_garbage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(PrefrlError, match=r"notes.txt is not a preference store .*; choose another path"):
        PreferenceStore(path)
    assert path.read_bytes() == content


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    path.touch()  # a process killed while it created the store leaves this
    assert len(filled(path).read_bytes()) > 0


@pytest.mark.parametrize("statements", [["CREATE TABLE t (x)"], ["PRAGMA application_id = 77"]])
def test_another_programs_database(tmp_path: Path, statements: list[str]) -> None:
    path = edited(tmp_path / "mail.sqlite", *statements)
    before = path.read_bytes()
    with pytest.raises(PrefrlError, match=r"mail.sqlite is a database of another program; choose another path"):
        PreferenceStore(path)
    assert path.read_bytes() == before


def test_another_version(tmp_path: Path) -> None:
    path = edited(filled(tmp_path / "store.sqlite"), f"PRAGMA user_version = {VERSION + 6}")
    with pytest.raises(
        PrefrlError, match=f"has format {VERSION + 6}, this prefrl reads format {VERSION}; use the prefrl"
    ):
        PreferenceStore(path)


def test_the_file_says_whose_it_is(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.sqlite")
    with closing(sqlite3.connect(path)) as other:
        assert other.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert other.execute("PRAGMA user_version").fetchone() == (VERSION,)
        assert other.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_durable_settings(store: PreferenceStore) -> None:
    assert (store._file._pragma("synchronous"), store._file._pragma("foreign_keys")) == (2, 1)  # 2 is FULL
    assert store._file._pragma("busy_timeout") == 20_000


def test_a_truncated_file(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.sqlite")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2 // 4096 * 4096])
    with pytest.raises(PrefrlError, match=r"store.sqlite is damaged \(.*\); restore a copy of it"):
        PreferenceStore(path)


def test_overwritten_pages(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.sqlite")
    content = bytearray(path.read_bytes())
    content[4096 * 2 :] = os.urandom(len(content) - 4096 * 2)
    path.write_bytes(content)
    with pytest.raises(PrefrlError, match=r"store.sqlite is damaged \(.*\); restore a copy of it"):
        PreferenceStore(path)


@pytest.mark.parametrize("seed", range(20))
def test_flipped_bytes_are_never_a_traceback(tmp_path: Path, seed: int) -> None:
    """Anywhere in the file: either one of our errors, or every answer a distribution over what its ids name."""
    path, rng = filled(tmp_path / "store.sqlite"), random.Random(seed)
    content = bytearray(path.read_bytes())
    for _ in range(20):
        content[rng.randrange(100, len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)
    with suppress(PrefrlError), PreferenceStore(path) as store:
        store.pending(), len(store)
        assert all(answer.mu is None or abs(sum(answer.mu) - 1.0) < 1e-6 for answer in store.answers())
        store.comparisons()


def test_a_changed_segment_is_noticed(tmp_path: Path) -> None:
    path = filled(tmp_path / "store.sqlite")
    content = path.read_bytes()
    assert content.count(segment(7).obs.tobytes()) == 1
    path.write_bytes(content.replace(segment(7).obs.tobytes(), segment(7.5).obs.tobytes()))
    with PreferenceStore(path) as store:
        with pytest.raises(PrefrlError, match=rf"damaged .*not segment {segment(7).id}"):
            store.segment(segment(7).id)
        with pytest.raises(PrefrlError, match="damaged"):
            store.comparisons()
        with pytest.raises(PrefrlError, match="no segment 00 in"):
            store.segment("00")


@contextmanager
def without_privilege(folder: Path) -> Iterator[None]:
    """Root may write everywhere; whoever runs the tests, these lines run as somebody who may not."""
    if os.getuid() != 0:
        yield
        return
    for path in (folder, *folder.iterdir()):
        os.chown(path, 65534, 65534)
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_a_read_only_file_and_folder() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = filled(folder / "store.sqlite")
        with without_privilege(folder):
            path.chmod(0o444)
            with pytest.raises(PrefrlError, match=r"cannot write .*make the file and its folder writable"):
                PreferenceStore(path)
            assert list(folder.iterdir()) == [path]
            path.chmod(0o644)
            folder.chmod(0o555)
            for blocked in (path, folder / "new.sqlite"):
                with pytest.raises(PrefrlError, match=r"cannot write .*make the file and its folder writable"):
                    PreferenceStore(blocked)
            folder.chmod(0o755)
            with PreferenceStore(path) as store:
                assert len(store) == 40


def test_becoming_read_only_loses_nothing(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    store._file.db.execute("PRAGMA query_only = ON")
    with pytest.raises(PrefrlError, match=r"cannot write .*make the file and its folder writable"):
        store.answer(query(1, 2), (1, 0), labeler="ann")
    store._file.db.execute("PRAGMA query_only = OFF")
    assert len(store.pending()) == 1
    store.answer(query(1, 2), (1, 0), labeler="ann")


def test_a_full_disk_loses_nothing(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    store.answer(query(1, 2), (1, 0), labeler="ann")
    store._file.db.execute(f"PRAGMA max_page_count = {store._file._pragma('page_count')}")
    with pytest.raises(PrefrlError, match=r"no room to write .*\(\d+ MiB free on its disk\); free some"):
        store.ask([query(2 * i, 2 * i + 1) for i in range(2, 200)])
    with pytest.raises(PrefrlError, match="no room to write"):  # noqa: PT012
        for _ in range(1000):
            store.answer(query(1, 2), (0, 1), labeler="ann", provenance={"note": "x" * 1000})
    assert store.asked == 1
    acknowledged = len(store.answers())
    store._file.db.execute("PRAGMA max_page_count = 100000")
    store.answer(query(1, 2), (0.5, 0.5), labeler="ann")
    assert len(store.answers()) == acknowledged + 1
    assert store.comparisons()[0].mu == (0.5, 0.5)


def test_locked_by_another_program(store: PreferenceStore) -> None:
    store.ask([query(1, 2)])
    store._file.db.execute("PRAGMA busy_timeout = 20")
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(PrefrlError, match=r"another program has kept .* locked"):
            store.answer(query(1, 2), (1, 0), labeler="ann")
        assert len(store.pending()) == 1  # readers need not wait
    store.answer(query(1, 2), (1, 0), labeler="ann")


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = PreferenceStore(tmp_path / "store.sqlite")
    store.close()
    store.close()
    with pytest.raises(PrefrlError, match="cannot be used: Cannot operate on a closed database"):
        len(store)
