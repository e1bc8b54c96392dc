"""What a training run shows while it goes on."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 10.0  # between lines where there is no terminal to draw in


class Progress:
    """A live display in a terminal; elsewhere a line every ten seconds. Use as a context manager."""

    def __init__(
        self,
        folder: Path,
        heading: str,
        *,
        total: int,
        rounds: int,
        unit: str,
        lines: Callable[[Mapping[str, float]], list[tuple[str, str]]],
        quiet: bool,
    ) -> None:
        """`lines` says a round's metrics; `total` and the metric `steps` are counted in `unit`."""
        self._folder, self._heading, self._total, self._rounds, self._unit = folder, heading, total, rounds, unit
        self._said = lines
        # Without markup: a folder may be called runs/[v2].
        self._console = Console(quiet=quiet, highlight=False, markup=False)
        self._row: Mapping[str, float] = {}
        self._first: tuple[float, float] | None = None  # (clock, steps) at the first row of this process
        self._spoke = -math.inf
        self._note = self._stage = ""
        self._clock = self._entered = time.perf_counter()  # of this process, and of the stage
        self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=2, transient=True)

    def __enter__(self) -> "Progress":
        self._console.print(f"{self._heading}\n  -> {self._folder}", soft_wrap=True)
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, row: Mapping[str, float]) -> None:
        """Show a round's metrics."""
        now = time.perf_counter()
        self._row, self._note = row, ""
        self._first = self._first or (now, row["steps"])
        if not self._console.is_terminal and now - self._spoke >= PLAIN_SECONDS:
            self._spoke = now
            self._console.print("; ".join(f"{name} {value}" for name, value in self._lines()), soft_wrap=True)

    def stage(self, message: str) -> None:
        """Show what the round is at. Where there is no terminal only until rounds tell: the first may take minutes."""
        self._stage, self._entered, self._note = message, time.perf_counter(), ""
        if not self._console.is_terminal and not self._row:
            self._console.print(message, soft_wrap=True)

    def remark(self, message: str) -> None:
        """Say something that stays."""
        self._console.print(message, soft_wrap=True)

    def note(self, message: str) -> None:
        """Say why nothing moves."""
        self._note = message
        if not self._console.is_terminal:
            self._console.print(message, soft_wrap=True)

    def interrupted(self, round_: int) -> None:
        """Say what is kept and how to go on."""
        self._live.stop()
        self._console.print(
            f"stopped in round {round_ + 1} of {self._rounds}; everything up to round {round_} and all "
            f"answers are kept. Go on with: prefrl resume {self._folder}",
            soft_wrap=True,
        )

    def finished(self, ending: str) -> None:
        """Show what came of it."""
        self._live.stop()
        self._console.print(ending, soft_wrap=True)

    def _lines(self) -> list[tuple[str, str]]:
        speed, left = self._speed()
        return [
            (self._unit, f"{self._row.get('steps', 0):,.0f} of {self._total:,}"),
            *self._said(self._row),
            ("speed", f"{number(speed)} {self._unit} a second, {duration(left)} left"),
        ]

    def _speed(self) -> tuple[float, float]:
        """Steps per second and seconds left; NaN until there are two rounds to tell by."""
        if self._first is None or self._row["steps"] <= self._first[1]:
            return math.nan, math.nan
        clock, steps = self._first
        speed = (self._row["steps"] - steps) / (time.perf_counter() - clock)
        return speed, (self._total - self._row["steps"]) / speed

    def _drawn(self) -> Group:
        table = Table.grid(padding=(0, 2))
        table.add_row("", ProgressBar(total=self._total, completed=self._row.get("steps", 0), width=50))
        for name, value in self._lines():
            table.add_row(Text(name, style="dim"), value)
        now = time.perf_counter()
        stage = f"; {self._stage}, {duration(now - self._entered)}" if self._stage else ""
        elapsed = Text(f"{duration(now - self._clock)} so far{stage}", style="dim")
        return Group(table, Text(self._note, style="bold yellow") if self._note else elapsed)


def number(value: float | None) -> str:
    """With a digit behind the point where that tells something."""
    return "-" if value is None or math.isnan(value) else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def share(value: float | None) -> str:
    """As a percentage."""
    return "-" if value is None or math.isnan(value) else f"{value:.0%}"


def duration(seconds: float) -> str:
    """As a clock shows it."""
    if math.isnan(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
