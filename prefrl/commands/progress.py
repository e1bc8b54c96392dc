"""What a training run shows while it goes on."""

import math
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

PLAIN_SECONDS = 10.0  # between lines where there is no terminal to draw in


class Progress:
    """A live display in a terminal; elsewhere a line every ten seconds. Use as a context manager."""

    def __init__(self, folder: Path, config: Mapping[str, Any], *, quiet: bool) -> None:
        self._folder, self._config = folder, config
        self._console = Console(quiet=quiet, highlight=False)
        loop = config["loop"]
        self._steps = loop["warmup_steps"] + config["rounds"] * loop["steps_per_round"]
        self._row: Mapping[str, float] = {}
        self._first: tuple[float, float] | None = None  # (clock, steps) at the first row of this process
        self._spoke = -math.inf
        self._note = ""
        self._clock = time.perf_counter()
        self._live = Live(console=self._console, get_renderable=self._drawn, refresh_per_second=2, transient=True)

    def __enter__(self) -> "Progress":
        c = self._config
        what = f"{c['labels']} comparisons by {c['labeler']} of clips of {c['clip_steps'] / c['fps']:.1f} s"
        if c["labeler"] == "recorded":
            what = f"{c['labels']} recorded answers of {c['labels_from']} (nobody is asked)"
        elif c["loop"].get("options", 2) > 2:
            what = f"{c['labels']} rankings of {c['loop']['options']}" + what.removeprefix(f"{c['labels']} comparisons")
        if c["reward"] == "true":
            what = "its own reward (the baseline)"
        self._console.print(
            f"[bold]{c['task']}[/bold] from {what}: {self._steps:,} steps in {c['rounds']} rounds, "
            f"{c['algo'].upper()} in {c['learner']['num_envs']} environments, seed {c['seed']}\n  -> {self._folder}",
            soft_wrap=True,
        )
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

    def note(self, message: str) -> None:
        """Say why nothing moves."""
        self._note = message
        if not self._console.is_terminal:
            self._console.print(message, soft_wrap=True)

    def interrupted(self, round_: int) -> None:
        """Say what is kept and how to go on."""
        self._live.stop()
        self._console.print(
            f"stopped in round {round_ + 1} of {self._config['rounds']}; everything up to round {round_} and all "
            f"answers are kept. Go on with: prefrl resume {self._folder}",
            soft_wrap=True,
        )

    def finished(self, summary: Mapping[str, Any]) -> None:
        """Show what came of it."""
        self._live.stop()
        self._console.print(
            f"[bold]true return {summary['true_return']:,.1f}[/bold] ± {summary['true_return_std']:,.1f} over "
            f"{summary['episodes']} fresh episodes; a random policy: {summary['random_return']:,.1f}. "
            f"{summary['labels']} answers, {summary['steps']:,} steps in {_duration(summary['wall_seconds'])} "
            f"({summary['steps_per_second']:,.0f} a second).\n"
            f"See it: prefrl report {self._folder}   prefrl watch {self._folder}",
            soft_wrap=True,
        )

    def _lines(self) -> list[tuple[str, str]]:
        row, config = self._row, self._config
        lines = [("steps", f"{row.get('steps', 0):,.0f} of {self._steps:,}")]
        if config["reward"] == "learned":
            asked, answered = int(row.get("asked", 0)), int(row.get("labels", 0))
            lines += [
                ("comparisons", f"{asked} asked, {answered} answered, of {config['labels']}"),
                ("reward model", f"{_share(row.get('reward_accuracy'))} of held-out answers predicted"),
                ("predicted return", _number(row.get("predicted_return"))),
            ]
        lines.append(("true return", _number(row.get("true_return"))))
        speed, left = self._speed()
        lines.append(("speed", f"{_number(speed)} steps a second, {_duration(left)} left"))
        return lines

    def _speed(self) -> tuple[float, float]:
        """Steps per second and seconds left; NaN until there are two rounds to tell by."""
        if self._first is None or self._row["steps"] <= self._first[1]:
            return math.nan, math.nan
        clock, steps = self._first
        speed = (self._row["steps"] - steps) / (time.perf_counter() - clock)
        return speed, (self._steps - self._row["steps"]) / speed

    def _drawn(self) -> Group:
        table = Table.grid(padding=(0, 2))
        table.add_row("", ProgressBar(total=self._steps, completed=self._row.get("steps", 0), width=50))
        for name, value in self._lines():
            table.add_row(Text(name, style="dim"), value)
        elapsed = Text(f"{_duration(time.perf_counter() - self._clock)} so far", style="dim")
        return Group(table, Text(self._note, style="bold yellow") if self._note else elapsed)


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:,.1f}" if abs(value) < 100 else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.0%}"


def _duration(seconds: float) -> str:
    if math.isnan(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
