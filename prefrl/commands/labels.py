"""`prefrl labels DIR`."""

from __future__ import annotations

import itertools
import json
import statistics
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from prefrl.commands.quality import remarks
from prefrl.commands.statistics import wilson95
from prefrl.errors import PrefrlError

if TYPE_CHECKING:
    from prefrl.store import Answer, PreferenceStore

PAUSE_SECONDS = 300.0  # a longer silence between two answers of one labeler is a break, not slow work


@dataclass(frozen=True)
class Labels:
    """Count the answers of a run: by whom, how fast, how carefully, and how often they agree with the true reward."""

    store: tyro.conf.Positional[Path]
    """A run's folder, or a preferences.db."""
    export: Path | None = None
    """Write every answer to this file, one JSON object a line, the oldest first."""

    def run(self) -> int:
        path = self.store / "preferences.db" if self.store.is_dir() else self.store
        if not path.is_file():
            raise PrefrlError(f"no comparisons are stored at {path}; name a run's folder, or its preferences.db")
        from rich.console import Console

        from prefrl.store import PreferenceStore

        with PreferenceStore(path) as store:
            log = store.answers()
            newest = [a for a in {answer.query_id: answer for answer in log}.values() if not a.withdrawn]
            returns = true_returns(store, log)
            console = Console(highlight=False)
            _summarize(console, store.asked, log, newest)
            if newest:
                console.print(_by_labeler(newest, returns))
            for name in sorted({answer.labeler for answer in newest}):
                for remark in remarks(name, [answer for answer in newest if answer.labeler == name]):
                    console.print(remark, soft_wrap=True, markup=False)
            if self.export is not None:
                _export(self.export, log, newest, returns)
                console.print(f"{len(log)} answers written to {self.export}", soft_wrap=True)
        return 0


def true_returns(store: PreferenceStore, answers: list[Answer]) -> dict[str, float | None]:
    """The true return of every segment that was answered about; None where it is not known."""
    returns: dict[str, float | None] = {}
    for option in {option for answer in answers for option in answer.option_ids}:
        reward = store.segment(option).true_reward
        returns[option] = None if reward is None else float(reward.sum())
    return returns


def agreement(answers: list[Answer], returns: dict[str, float | None]) -> tuple[int, int]:
    """How many answers prefer the option of the highest true return, and among how many.

    Ties, "cannot tell" and options of equal or unknown return are left out.
    """
    agreed = judged = 0
    for answer in answers:
        values = [returns[option] for option in answer.option_ids]
        if answer.mu is None or any(value is None for value in values):
            continue
        known = [value for value in values if value is not None]
        liked, best = max(answer.mu), max(known)
        if answer.mu.count(liked) > 1 or known.count(best) > 1:
            continue
        judged += 1
        agreed += answer.mu.index(liked) == known.index(best)
    return agreed, judged


def seconds_per_answer(answers: list[Answer]) -> float | None:
    """The median time between two answers, breaks left out; None for fewer than two, or if all came at once."""
    times = sorted(datetime.fromisoformat(answer.answered_at).timestamp() for answer in answers)
    gaps = [b - a for a, b in itertools.pairwise(times) if 0 < b - a <= PAUSE_SECONDS]
    # An oracle answers a whole round in one transaction: that is no rate.
    return statistics.median(gaps) if len(gaps) >= max(1, len(times) // 2) else None


def _summarize(console: Any, asked: int, log: list[Answer], newest: list[Answer]) -> None:
    kinds = Counter("cannot tell" if a.mu is None else "tie" if len(set(a.mu)) == 1 else "decided" for a in newest)
    waiting = asked - len(newest)
    console.print(
        f"[bold]{asked}[/bold] asked, [bold]{len(newest)}[/bold] answered, {waiting} waiting\n"
        f"{kinds['decided']} decided, {kinds['tie']} ties, {kinds['cannot tell']} cannot tell"
    )
    if changed := len(log) - len(newest):
        console.print(f"{changed} more were changed or withdrawn later; only the newest answer to a query counts")


def _by_labeler(answers: list[Answer], returns: dict[str, float | None]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("labeler")
    for name in ("answers", "ties", "cannot tell", "seconds each", "agree with the true reward (95 % interval)"):
        table.add_column(name, justify="right")
    names = sorted({answer.labeler for answer in answers})
    for name in [*names, *(["all"] if len(names) > 1 else [])]:
        own = [answer for answer in answers if name in ("all", answer.labeler)]
        agreed, judged = agreement(own, returns)
        low, high = wilson95(agreed, judged)
        pace = None if name == "all" else seconds_per_answer(own)
        table.add_row(
            name,
            str(len(own)),
            str(sum(a.mu is not None and len(set(a.mu)) == 1 for a in own)),
            str(sum(a.mu is None for a in own)),
            "-" if pace is None else f"{pace:.1f}",
            f"{agreed} of {judged}: {agreed / judged:.1%} ({low:.1%} to {high:.1%})" if judged else "-",
        )
    return table


def _lines(log: list[Answer], newest: list[Answer], returns: dict[str, float | None]) -> Iterator[str]:
    counted = {id(answer) for answer in newest}
    for answer in log:
        yield json.dumps(
            {
                "query": answer.query_id,
                "options": answer.option_ids,
                "mu": answer.mu,
                "labeler": answer.labeler,
                "answered_at": answer.answered_at,
                "superseded": id(answer) not in counted,
                "withdrawn": answer.withdrawn,
                "true_returns": [returns[option] for option in answer.option_ids],
                "provenance": dict(answer.provenance),
            }
        )


def _export(path: Path, log: list[Answer], newest: list[Answer], returns: dict[str, float | None]) -> None:
    from prefrl.files import write_atomically

    if not path.parent.is_dir():
        raise PrefrlError(f"no folder {path.parent} to write {path.name} in; create it first")
    write_atomically(path, "".join(line + "\n" for line in _lines(log, newest, returns)))
