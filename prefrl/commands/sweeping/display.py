"""What a sweep shows while it goes on."""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from prefrl.commands.progress import duration, share
from prefrl.commands.sweeping.outcomes import steps_done
from prefrl.commands.sweeping.rows import Row


class Display:
    """A live table of the runs in a terminal; everywhere a line for each run that ends. Use as a context manager.

    Time left is by steps: those of all rows that are left over those of all processes a second so far.
    """

    def __init__(self, rows: Sequence[Row], runs: Path, *, clock: Callable[[], float] = time.perf_counter) -> None:
        """The rows to be run; `clock` tells seconds."""
        self._rows, self._runs, self._clock = rows, runs, clock
        self._console = Console(highlight=False)
        self._ended: set[str] = set()
        self._failed: set[str] = set()
        self._note = ""
        self._before = {row.name: steps_done(runs / row.name) for row in rows}  # by earlier sweeps
        self._started = clock()
        self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=1, transient=True)

    def __enter__(self) -> "Display":
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def ended(self, row: Row, what: str, *, failed: bool = False) -> None:
        """Say what came of a run."""
        self._ended.add(row.name)
        if failed:
            self._failed.add(row.name)
        done, left = len(self._ended), duration(self.seconds_left())
        self._console.print(f"[{done}/{len(self._rows)}, {left} left] {row.name}: {what}", markup=False, soft_wrap=True)

    def note(self, message: str) -> None:
        """Say what is waited for."""
        self._note = message
        self._console.print(message, markup=False, soft_wrap=True)

    def seconds_left(self) -> float:
        """An estimate; NaN while there is nothing to tell by."""
        rows = [row for row in self._rows if row.name not in self._failed]
        done = {row.name: self._share(row) for row in rows}
        gained = sum(done[row.name] * row.train.all_steps - self._before[row.name] for row in rows)
        missing = sum((1 - done[row.name]) * row.train.all_steps for row in rows)
        if missing == 0:
            return 0.0
        return missing * (self._clock() - self._started) / gained if gained > 0 else math.nan

    def _share(self, row: Row) -> float:
        """Of a run's steps that are done."""
        if row.name in self._ended:
            return 1.0
        return min(1.0, steps_done(self._runs / row.name) / row.train.all_steps)

    def _drawn(self) -> Group:
        shares = {row.name: self._share(row) for row in self._rows}
        table = Table.grid(padding=(0, 2))
        whole = sum(shares[row.name] * row.train.all_steps for row in self._rows)
        total = sum(row.train.all_steps for row in self._rows)
        table.add_row(ProgressBar(total=total, completed=whole, width=40), share(whole / total))
        for row in self._rows:
            if row.name not in self._ended and shares[row.name] > 0:
                bar = ProgressBar(total=1.0, completed=shares[row.name], width=40)
                table.add_row(bar, share(shares[row.name]), row.name)
        failed = f", {len(self._failed)} failed" if self._failed else ""
        so_far, left = duration(self._clock() - self._started), duration(self.seconds_left())
        line = f"{len(self._ended)} of {len(self._rows)} runs{failed}; {so_far} so far, {left} left"
        return Group(table, Text(line, style="dim"), Text(self._note, style="bold yellow"))
