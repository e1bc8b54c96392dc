"""Training, and a person at the labeling window while answers stream in, killed at any moment; what a run leaves."""

import csv
import hashlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from prefrl.runs import newest_checkpoint
from prefrl.store import PreferenceStore
from prefrl_labeling.session import LEASE_SECONDS

PERSON = """
import os, random, sys
from pathlib import Path
os.environ["SDL_VIDEODRIVER"] = "dummy"
import pygame
from prefrl.store import PreferenceStore
from prefrl_labeling import session, window
from prefrl_labeling.guide import Guide
from prefrl_labeling.keymap import default_keymap
session.GUARD_SECONDS = 0.0
original = window.render
def render(screen, size, scale):
    if screen.options is not None:
        os.write(1, f"{screen.answered}\\n".encode())  # what the person is told
        key = random.choice([pygame.K_LEFT, pygame.K_RIGHT, pygame.K_UP, pygame.K_DOWN])
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=0, unicode=""))
    return original(screen, size, scale)
window.render = render
for line in sys.stdin:  # each line opens the window once more, in a process that already has what it imports
    if (child := os.fork()) == 0:
        with PreferenceStore(Path(sys.argv[1])) as store:
            window.Window(Guide("t", "q", "g", "b"), "ann", default_keymap(), None).attend(store)
        os._exit(0)
    print(f"child {child}", flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""

TRAINING = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import torch, torch._dynamo  # which any optimizer imports
torch.set_num_threads(1)
exec(sys.argv[2])
for line in sys.stdin:
    if (child := os.fork()) == 0:
        exec(line)
        time.sleep(60)  # it waits for its kill
        os._exit(0)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Killed(BaseException):
    """Stands for SIGKILL within a process: nobody catches it."""


def outcome(folder: Path, rounds: int, *, true_return: bool = True) -> dict[str, Any]:
    """Everything that a run leaves behind but for times; without what the true reward shows in the log, if wished."""
    newest = newest_checkpoint(folder)
    assert newest is not None
    left: dict[str, Any] = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in newest.iterdir()
        if path.name not in ("manifest.json", "state.json") and (true_return or path.name != "segments.bin")
    }
    assert {"learner.safetensors", "learner.json", "ensemble.safetensors"} <= set(left)
    by_true_reward = {"true_return", "reward_correlation", "reward_clip_correlation", "newest_accuracy"}
    skipped = set() if true_return else by_true_reward
    with (folder / "metrics.csv").open(newline="") as file:
        left["metrics"] = [
            {k: v for k, v in row.items() if k not in skipped and not k.startswith("seconds")}
            for row in csv.DictReader(file)
        ]
    assert [int(row["round"]) for row in left["metrics"]] == list(range(rounds))
    if (folder / "preferences.db").exists():
        with PreferenceStore(folder / "preferences.db") as store:
            left["answers"] = [(answer.query_id, answer.mu) for answer in store.answers()]
    return left


class Training:
    """A process that has imported what training needs; what it is told it does in a copy of itself, which is killed.

    So a kill falls into the training, not into seconds of imports before it.
    """

    def __init__(self, imports: str) -> None:
        command = [sys.executable, "-c", TRAINING, str(Path(__file__).parent), imports]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, env=environment
        )

    def kill(self, code: str, *, times: int, within: float, rng: random.Random) -> None:
        """Run a line of Python so many times, each time killed `within` so many seconds after it began."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for _ in range(times):
            self._process.stdin.write(f"{code}\n")
            child = self._process.stdout.readline()
            assert child, "the process ended before it began to train"
            time.sleep(rng.uniform(0.0, within))
            os.kill(int(child), signal.SIGKILL)
            assert self._process.stdout.readline() == f"{-signal.SIGKILL}\n", "it failed before"

    def __enter__(self) -> "Training":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


class Found(NamedTuple):
    """What was looked at after each kill."""

    kills: int
    answers: int  # acknowledged in all
    lost: int  # times that an acknowledged answer was missing
    damaged: int  # times that the file was not whole
    stuck: int  # leases that lasted longer than they may


def kill_often(path: Path, *, kills: int, seed: int = 0) -> Found:
    """Open the window on a store so many times, and kill it at a random moment each time."""
    rng = random.Random(seed)
    acknowledged = lost = damaged = stuck = done = 0
    command = [sys.executable, "-c", PERSON, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as person:
        assert person.stdin is not None
        assert person.stdout is not None
        for _ in range(kills):
            person.stdin.write("open\n")
            person.stdin.flush()
            child = 0
            for line in person.stdout:
                if line.startswith("child"):
                    child = int(line.split()[1])
                elif line.strip().isdigit():
                    acknowledged = int(line)
                    if child and rng.random() < 0.1:
                        time.sleep(rng.uniform(0, 0.03))
                        os.kill(child, signal.SIGKILL)
                        child, done = 0, done + 1
                elif line.startswith("dead"):
                    break
            with PreferenceStore(path) as store:
                # The last one may lack only its acknowledgement.
                lost += len(store) not in (acknowledged, acknowledged + 1)
                damaged += store._file._pragma("integrity_check") != "ok"
                until = [row[0] for row in store._file.db.execute("SELECT until FROM leases")]
                stuck += sum(at > time.time() + LEASE_SECONDS for at in until)
        person.stdin.close()
    return Found(done, acknowledged, lost, damaged, stuck)
