"""One run of a sweep, in a process of its own: begun, or gone on with, and stopped when the sweep dies.

python -m prefrl.commands.sweeping.child PARENT FOLDER ARGUMENTS...
"""

import ctypes
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from prefrl.commands import main
from prefrl.runs import is_held

PR_SET_PDEATHSIG = 1


def command(folder: Path, arguments: Sequence[str]) -> list[str]:
    """The words after `prefrl` that bring a run to its end."""
    if (folder / "config.json").exists():
        return ["resume", str(folder)]
    return ["train", *arguments, "--out", str(folder)]


def stop_with(parent: int) -> None:
    """Get SIGTERM when the parent dies, however it does: what it began is then kept, and nothing goes on unseen."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we could ask
        sys.exit(75)


def run(parent: int, folder: Path, arguments: Sequence[str]) -> int:
    """Train to the end; the exit code is that of `prefrl`."""
    stop_with(parent)
    while is_held(folder):  # by a child of a sweep that was killed, which is about to stop, or by someone's own hand
        time.sleep(0.2)
    sys.argv = ["prefrl", *command(folder, arguments)]
    return main()


if __name__ == "__main__":
    sys.exit(run(int(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]))
