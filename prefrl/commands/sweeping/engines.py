"""Where the runs of a sweep run: processes of this machine, or a Ray cluster."""

import os
import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from prefrl.errors import PrefrlError

INTERRUPTED = 75


@dataclass(frozen=True)
class Job:
    """A run to be brought to its end."""

    name: str
    folder: Path  # absolute, and seen by every machine that runs it
    arguments: tuple[str, ...]  # of `prefrl train`
    threads: int
    directory: Path  # to run in, for paths among the arguments

    @property
    def log(self) -> Path:
        """What the run says."""
        return self.folder.with_name(self.folder.name + ".log")

    def begin(self) -> "subprocess.Popen[bytes]":
        """Start the process that runs it, in a session of its own: Ctrl-C is for the sweep, which passes it on."""
        words = [sys.executable, "-m", "prefrl.commands.sweeping.child"]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [*words, str(os.getpid()), str(self.folder), *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
                start_new_session=True,
            )


class Engine(Protocol):
    """Runs jobs. A job ends with an exit code: 0 done, 75 stopped and resumable, anything else failed."""

    def start(self, job: Job) -> None:
        """Take a job, to be begun as soon as there is room."""

    def wait(self, seconds: float) -> dict[str, int]:
        """Exit codes of the jobs that ended since, by name; at most so many seconds later, perhaps none."""

    def stop(self) -> None:
        """Begin nothing more, and have what runs keep what it can; returns when it has ended."""


class Processes:
    """Processes of this machine, at most so many at a time."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._queue: deque[Job] = deque()
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, job: Job) -> None:
        self._queue.append(job)

    def wait(self, seconds: float) -> dict[str, int]:
        until = time.monotonic() + seconds
        while True:
            ended = {name: code for name, p in self._running.items() if (code := p.poll()) is not None}
            for name in ended:
                del self._running[name]
            while self._queue and len(self._running) < self._most:
                job = self._queue.popleft()
                self._running[job.name] = job.begin()
            if ended or time.monotonic() >= until:
                return ended
            time.sleep(0.05)

    def stop(self) -> None:
        self._queue.clear()
        for process in self._running.values():
            process.terminate()
        while self._running:
            self._running.popitem()[1].wait()


class Cluster:
    """A Ray cluster whose nodes have prefrl installed and see the runs' folder. Ray starts a run whose node was lost
    again on another node, where it goes on from its newest checkpoint."""

    def __init__(self, address: str) -> None:
        try:
            import ray
        except ImportError as error:
            raise PrefrlError("--cluster needs Ray: pip install 'prefrl[cluster]'") from error
        try:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise PrefrlError(
                f"no Ray cluster at {address!r} ({error}); `ray start --head` begins one, and says its address"
            ) from error
        self._ray = ray
        self._jobs: dict[Any, Job] = {}

    def start(self, job: Job) -> None:
        task = self._ray.remote(_execute).options(name=job.name, num_cpus=job.threads)
        self._jobs[task.remote(job)] = job

    def wait(self, seconds: float) -> dict[str, int]:
        if not self._jobs:
            return {}
        done, _ = self._ray.wait(list(self._jobs), num_returns=1, timeout=seconds)
        return {self._jobs[task].name: self._code(task, self._jobs.pop(task)) for task in done}

    def _code(self, task: Any, job: Job) -> int:
        try:
            return int(self._ray.get(task))
        except self._ray.exceptions.TaskCancelledError:
            return INTERRUPTED
        except self._ray.exceptions.RayError as error:  # what Ray itself could not do: our own failures have a code
            with job.log.open("a") as log:
                log.write(f"prefrl: {getattr(error, 'cause', None) or error}\n")
            return 1

    def stop(self) -> None:
        for task in self._jobs:
            self._ray.cancel(task)
        if self._jobs:
            self._ray.wait(list(self._jobs), num_returns=len(self._jobs))
        self._jobs.clear()


def _execute(job: Job) -> int:
    """On a node: the job from begin to end."""
    if not job.log.parent.is_dir():
        raise PrefrlError(f"this node does not see {job.log.parent}; the runs' folder must be one that all nodes share")
    process = job.begin()
    try:
        while (code := process.poll()) is None:  # not wait(), which Ray's cancel could not end
            time.sleep(0.1)
        return code
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
