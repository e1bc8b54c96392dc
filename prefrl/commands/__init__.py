"""The `prefrl` command: one file a verb. Nothing heavy is imported before a verb runs."""

import errno
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import tyro

from prefrl.commands.doctor import Doctor
from prefrl.commands.label import Label
from prefrl.commands.labels import Labels
from prefrl.commands.report import Report
from prefrl.commands.resume import Resume
from prefrl.commands.sweep import Sweep
from prefrl.commands.text import Text
from prefrl.commands.train import Train
from prefrl.commands.watch import Watch
from prefrl.errors import Interrupted, PrefrlError

Verb = (
    Annotated[Train, tyro.conf.subcommand("train", prefix_name=False)]
    | Annotated[Resume, tyro.conf.subcommand("resume", prefix_name=False)]
    | Annotated[Sweep, tyro.conf.subcommand("sweep", prefix_name=False)]
    | Annotated[Report, tyro.conf.subcommand("report", prefix_name=False)]
    | Annotated[Watch, tyro.conf.subcommand("watch", prefix_name=False)]
    | Annotated[Label, tyro.conf.subcommand("label", prefix_name=False)]
    | Annotated[Labels, tyro.conf.subcommand("labels", prefix_name=False)]
    | Annotated[Text, tyro.conf.subcommand("text", prefix_name=False)]
    | Annotated[Doctor, tyro.conf.subcommand("doctor", prefix_name=False)]
)


def _interrupted(_: int, frame: FrameType | None) -> None:
    """Ctrl-C raises KeyboardInterrupt, but while a module is imported it ends the process at once.

    Raised there it may be swallowed, or leave half a module behind: both were seen, in NumPy and in pybind11.
    """
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            os.write(2, b"prefrl: stopped\n")
            os._exit(130)
        frame = frame.f_back
    raise KeyboardInterrupt


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C stop imports, too; where SIGINT is ignored, as in a background job of a script, it stays ignored."""
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, _interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Exit codes: 0 done, 2 the user can mend it, 75 interrupted and resumable."""
    with _interruptible():
        return _run(arguments)


def _prepare_torch() -> None:
    """Tell torch, which reads it when it is imported or first used, what it cannot be told later."""
    # It then asks for large tensors' memory in pages of 2 MiB instead of 4 KiB. It gives such memory back each time,
    # and being handed it anew was half of what fitting a game's reward took.
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    # Its threads wait for each other by counting to 300,000, which keeps a processor from whoever else wants it, and so
    # from the thread that is waited for: of two runs at a time each was ten times slower than alone.
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def _run(arguments: Sequence[str] | None) -> int:
    _prepare_torch()
    try:
        verb = tyro.cli(
            Verb,
            prog="prefrl",
            description="Learn a reward from comparisons, and a policy from that reward.",
            args=arguments,
        )
        return int(verb.run())
    except PrefrlError as error:
        print(f"prefrl: {error}", file=sys.stderr)
        return 2
    except Interrupted:
        return 75
    except KeyboardInterrupt:  # before training began, which catches the signal itself, or in another verb
        print("prefrl: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output has had enough, as `head` has
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        # What a full disk or a missing permission stopped, wherever it happened; anything else is a bug of ours.
        if error.errno not in (errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT):
            raise
        print(f"prefrl: {error.strerror}: {error.filename}; make room or mend the permissions", file=sys.stderr)
        return 2
