"""A run's folder: configuration, metrics, checkpoints, provenance, seeds, resume."""

import csv
import fcntl
import hashlib
import json
import math
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from prefrl.errors import Interrupted, PrefrlError
from prefrl.files import sync, write_atomically, write_json, writing
from prefrl.segment_bytes import decode_segment, encode_segment
from prefrl.segments import Segment

KEEP_CHECKPOINTS = 2
KEPT = (
    "the last whole checkpoint and all answers are kept: make room or mend the permissions, then run `prefrl resume` "
    "on the folder"
)


class Saves(Protocol):
    """What a checkpoint needs of a learner."""

    def save(self, folder: Path) -> None: ...
    def load(self, folder: Path) -> None: ...


class Run:
    """One training run in a folder of its own.

    `say` gets each round's metrics as they are logged, `stage` what a round is at, in words. After a signal, `check`
    raises Interrupted at the next safe place.
    """

    def __init__(
        self, folder: Path, *, seed: int, say: Callable[[Mapping[str, float]], None], stage: Callable[[str], None]
    ) -> None:
        self.folder, self.seed, self._say, self.stage = folder, seed, say, stage
        self.next_round = 0
        self.asked = 0  # questions by the newest checkpoint
        self._seconds_before = 0.0  # spent in earlier processes, up to the checkpoint
        self._started = time.perf_counter()
        self._stopping = False  # no Event: a handler that sets one while it is waited for waits for its lock

    # ---- randomness and time -------------------------------------------------------------------------------------

    def generator(self, round_: int, part: int) -> np.random.Generator:
        """The generator of one part of one round: the same in a run that was interrupted and in one that was not."""
        return np.random.default_rng(np.random.SeedSequence([self.seed, round_, part]))

    @property
    def seconds(self) -> float:
        """Time spent on this run, without the pauses between its processes."""
        return self._seconds_before + time.perf_counter() - self._started

    def remaining(self, rounds: int) -> Iterator[int]:
        """The rounds that are left; stops between rounds when asked to."""
        while self.next_round < rounds:
            self.check()
            yield self.next_round
            self.next_round += 1

    # ---- stopping ------------------------------------------------------------------------------------------------

    def catch_signals(self) -> None:
        """Let the first SIGINT or SIGTERM ask for a stop; a second one stops at once."""

        numbers = (signal.SIGINT, signal.SIGTERM)

        def ask(_: int, __: object) -> None:
            self._stopping = True
            for number in numbers:  # Ctrl-C, then `kill`, is a second one too
                signal.signal(number, signal.SIG_DFL)

        for number in numbers:
            signal.signal(number, ask)

    def check(self) -> None:
        """Raise Interrupted if a stop was asked for."""
        if self._stopping:
            raise Interrupted

    def pause(self, seconds: float) -> None:
        """Sleep, but not through a signal."""
        until = time.monotonic() + seconds
        while not self._stopping and (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.1))
        self.check()

    # ---- metrics -------------------------------------------------------------------------------------------------

    def log(self, round_: int, metrics: Mapping[str, float]) -> None:
        """Append one row to metrics.csv; NaN is an empty cell. It is on the disk when this returns.

        The columns stay those of the run's first round.
        """
        row = {"round": round_, **metrics, "seconds": round(self.seconds, 3)}
        path = self.folder / "metrics.csv"
        with writing(path, then=KEPT):
            new = not path.exists() or path.stat().st_size == 0
            # A run that an older version began may lack a column that this one measures.
            columns = list(row) if new else self._columns()
            with path.open("a", newline="") as file:
                writer = csv.DictWriter(file, fieldnames=columns, extrasaction="ignore")
                if new:
                    writer.writeheader()
                writer.writerow({k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()})
            sync(path)  # before the checkpoint of its round, with which a resumed run would not repeat it
            if new:
                sync(self.folder)
        self._say(row)

    def _columns(self) -> list[str]:
        with (self.folder / "metrics.csv").open(newline="") as file:
            return next(csv.reader(file))

    def total(self, metric: str) -> float:
        """The sum of a metric over all rounds so far."""
        with (self.folder / "metrics.csv").open(newline="") as file:
            return sum(float(row[metric] or 0.0) for row in csv.DictReader(file))

    def _forget_rows(self) -> None:
        """Drop the rows of rounds that are about to be repeated."""
        path = self.folder / "metrics.csv"
        if not path.exists():
            return
        with path.open(newline="") as file:
            lines = file.read().splitlines(keepends=True)
        # A row that a kill cut short has no line end.
        kept = [line for line in lines[1:] if line.endswith("\n") and int(line.split(",")[0]) < self.next_round]
        write_atomically(path, "".join([*lines[:1], *kept]) if kept else "")

    # ---- checkpoints ---------------------------------------------------------------------------------------------

    def save(
        self, round_: int, learner: Saves, ensemble: torch.nn.Module, segments: Sequence[Segment], *, asked: int
    ) -> None:
        """Write a checkpoint from which the next round can begin exactly; the newest two are kept.

        `asked` says how many questions were asked by then. A checkpoint is built under another name, synced, then
        renamed: one that has its name is whole.
        """
        folder = self.folder / "checkpoints"
        final, partial = folder / f"{round_:06d}", folder / f"{round_:06d}.partial"
        with writing(final, then=KEPT):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            learner.save(partial)
            save_file(dict(ensemble.state_dict()), partial / "ensemble.safetensors")
            with (partial / "segments.bin").open("wb") as file:
                for segment in segments:
                    for data in (segment.id.encode(), *encode_segment(segment)):
                        file.write(len(data or b"").to_bytes(8, "little") + (data or b""))
            state = {"round": round_, "seconds": self.seconds, "asked": asked}
            (partial / "state.json").write_text(json.dumps(state))
            (partial / "manifest.json").write_text(json.dumps({"sha256": _checksums(partial)}, indent=1))
            for path in partial.iterdir():
                sync(path)
            sync(partial)
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            sync(folder)
            for old in sorted(folder.iterdir())[:-KEEP_CHECKPOINTS]:
                shutil.rmtree(old)
        self.asked = asked

    def restore(self, learner: Saves, ensemble: torch.nn.Module) -> list[Segment]:
        """Load the newest whole checkpoint and return its segments; none yet: the run begins at round 0."""
        newest = newest_checkpoint(self.folder)
        segments: list[Segment] = []
        if newest is not None:
            state = json.loads((newest / "state.json").read_text())
            learner.load(newest)
            ensemble.load_state_dict(load_file(newest / "ensemble.safetensors"))
            self.next_round = state["round"] + 1
            self._seconds_before, self.asked = state["seconds"], state["asked"]
            parts = list(_parts((newest / "segments.bin").read_bytes()))
            for name, content, view in zip(parts[::3], parts[1::3], parts[2::3], strict=True):
                segments.append(decode_segment(name.decode(), content, view or None))
        self._started = time.perf_counter()
        self._forget_rows()
        return segments


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a run; torn ones, whose checksums disagree, are passed over."""
    checkpoints = folder / "checkpoints"
    for path in sorted(checkpoints.iterdir(), reverse=True) if checkpoints.is_dir() else ():
        try:
            if path.suffix == "" and json.loads((path / "manifest.json").read_text())["sha256"] == _checksums(path):
                return path
        except (OSError, ValueError, KeyError):
            continue
    return None


def _parts(data: bytes) -> Iterator[bytes]:
    """Byte strings, each behind its length in 8 bytes."""
    start = 0
    while start < len(data):
        stop = start + 8 + int.from_bytes(data[start : start + 8], "little")
        yield data[start + 8 : stop]
        start = stop


def _checksums(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Hold a run for this process alone; the system lets go of it however the process ends."""
    with writing(folder):
        file = (folder / "lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PrefrlError(f"{folder} is being trained by another process; wait for it, or stop it first") from None
        yield


def is_held(folder: Path) -> bool:
    """Whether a process holds the run."""
    try:
        with (folder / "lock").open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def create_folder(folder: Path, config: Mapping[str, Any]) -> None:
    """Make a new run's folder with its config.json. Raises PrefrlError if the folder holds anything already.

    A config.json that a kill left half written is nothing.
    """
    if folder.exists() and (not folder.is_dir() or any(p.name != "config.json.partial" for p in folder.iterdir())):
        hint = f"`prefrl resume {folder}` goes on with it" if (folder / "config.json").exists() else "it is not empty"
        raise PrefrlError(f"{folder} already exists: {hint}; or name another with --out")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "config.json", config)
    except (OSError, PrefrlError) as error:
        shutil.rmtree(folder, ignore_errors=True)  # it was not there or empty, and nothing has begun
        cause = error if isinstance(error, OSError) else error.__cause__
        raise PrefrlError(
            f"cannot write {folder}: {getattr(cause, 'strerror', None) or cause}; make room, mend the permissions, or "
            "name another folder with --out"
        ) from error


def read_config(folder: Path) -> dict[str, Any]:
    """A run's config.json. Raises PrefrlError if `folder` is no run."""
    path = folder / "config.json"
    if not path.exists():
        raise PrefrlError(
            f"{folder} is not a run: it has no config.json; `prefrl train TASK --out {folder}` begins one"
        )
    try:
        config: dict[str, Any] = json.loads(path.read_text())
        if not isinstance(config, dict):
            raise ValueError("it holds no object")
    except ValueError as error:
        raise PrefrlError(f"{path} is not a run's configuration ({error}); restore it or begin a new run") from error
    return config
