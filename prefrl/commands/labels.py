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
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from prefrl.commands import exchange
from prefrl.commands.quality import PAUSE_SECONDS, agreement_between, liking, remarks
from prefrl.commands.statistics import wilson95
from prefrl.errors import PrefrlError

if TYPE_CHECKING:
    from prefrl.answers import Answer
    from prefrl.store import PreferenceStore


@dataclass(frozen=True)
class Labels:
    """Count the answers of a run: by whom, how fast, how carefully, how far people agree; merge, export and import."""

    store: tyro.conf.Positional[Path]
    """A run's folder, or a preferences.db."""
    merge: Path | None = None
    """Take over the questions and answers of another run's folder or preferences.db. Doing it twice changes nothing."""
    export: Path | None = None
    """Write every answer to this file, one JSON object a line, the oldest first."""
    import_: Annotated[Path | None, tyro.conf.arg(name="import")] = None
    """Read answers from such a file, or from lines of prompt, chosen and rejected whose texts were asked about here.
    Doing it twice changes nothing."""
    export_text: Path | None = None
    """Write decided comparisons of texts to this file, as lines of prompt, chosen and rejected."""
    name: str = "import"
    """Who gave imported answers that do not say so."""

    def run(self) -> int:
        path = find_store(self.store)
        from rich.console import Console

        from prefrl.store import PreferenceStore

        console = Console(highlight=False, markup=False)  # a labeler may be called [gpt]
        with PreferenceStore(path) as store:
            if self.merge is not None:
                with PreferenceStore(find_store(self.merge)) as other:
                    queries, answers, checks = store.merge(other)
                console.print(
                    f"merged {self.merge}: {queries} new questions, {answers} answers, {checks} checks", soft_wrap=True
                )
            if self.import_ is not None:
                new, read = exchange.read_answers(self.import_, store, name=self.name)
                console.print(f"{new} of {read} answers of {self.import_} are new here", soft_wrap=True)
            log = store.answers()
            _report(console, store, log)
            if self.export is not None:
                exchange.write_lines(self.export, _lines(log, true_returns(store, log)))
                console.print(f"{len(log)} answers written to {self.export}", soft_wrap=True)
            if self.export_text is not None:
                pairs = list(exchange.text_pairs(store, standing_of(log)))
                exchange.write_lines(self.export_text, map(json.dumps, pairs))
                console.print(f"{len(pairs)} comparisons of texts written to {self.export_text}", soft_wrap=True)
        return 0


def find_store(path: Path) -> Path:
    """The file of a run's folder, or the file itself. Raises PrefrlError if there is none."""
    found = path / "preferences.db" if path.is_dir() else path
    if not found.is_file():
        raise PrefrlError(f"no comparisons are stored at {found}; name a run's folder, or its preferences.db")
    return found


def standing_of(log: list[Answer]) -> list[Answer]:
    """The newest answer of each labeler to each query."""
    from prefrl.answers import standing

    return standing(log)


def _report(console: Any, store: PreferenceStore, log: list[Answer]) -> None:
    newest = standing_of(log)
    _summarize(console, store.asked, len(store), log, newest)
    if newest:
        console.print(_by_labeler(newest, true_returns(store, log)))
    checks = store.checks()
    for name in sorted({answer.labeler for answer in newest}):
        own = [answer for answer in newest if answer.labeler == name]
        for remark in remarks(name, own, [check for check in checks if check.labeler == name]):
            console.print(remark, soft_wrap=True)
    if len({answer.labeler for answer in newest}) > 1:
        console.print(agreement_between(newest), soft_wrap=True)


def true_returns(store: PreferenceStore, answers: list[Answer]) -> dict[str, float | None]:
    """The true return of every segment that was answered about; None where it is not known."""
    returns: dict[str, float | None] = {}
    for option in {option for answer in answers for option in answer.option_ids}:
        reward = store.segment(option).true_reward
        returns[option] = None if reward is None else float(reward.sum())
    return returns


def agreement(answers: list[Answer], returns: dict[str, float | None]) -> tuple[int, int]:
    """How many answers prefer the option of the highest true return, and among how many.

    Of a ranking it is the first place that counts. Ties, "cannot tell" and options of equal or unknown return are left
    out.
    """
    agreed = judged = 0
    for answer in answers:
        values = [returns[option] for option in answer.option_ids]
        weights = liking(answer.judgment)
        if weights is None or any(value is None for value in values):
            continue
        known = [value for value in values if value is not None]
        liked, best = max(weights), max(known)
        if weights.count(liked) > 1 or known.count(best) > 1:
            continue
        judged += 1
        agreed += weights.index(liked) == known.index(best)
    return agreed, judged


def seconds_per_answer(answers: list[Answer]) -> float | None:
    """The median time between two answers, breaks left out; None for fewer than two, or if all came at once."""
    times = sorted(datetime.fromisoformat(answer.answered_at).timestamp() for answer in answers)
    gaps = [b - a for a, b in itertools.pairwise(times) if 0 < b - a <= PAUSE_SECONDS]
    # An oracle answers a whole round in one transaction: that is no rate.
    return statistics.median(gaps) if len(gaps) >= max(1, len(times) // 2) else None


def _kind(answer: Answer) -> str:
    if answer.ranks is not None:
        return "ranking"
    return "cannot tell" if answer.mu is None else "tie" if len(set(answer.mu)) == 1 else "decided"


def _summarize(console: Any, asked: int, answered: int, log: list[Answer], newest: list[Answer]) -> None:
    kinds = Counter(map(_kind, newest))
    rankings = f", {kinds['ranking']} rankings" if kinds["ranking"] else ""
    console.print(
        f"{asked} asked, {answered} answered, {asked - answered} waiting\n"
        f"{kinds['decided']} decided, {kinds['tie']} ties, {kinds['cannot tell']} cannot tell{rankings}"
    )
    if more := len(newest) - answered:
        console.print(f"{more} answers are second opinions on what others have answered; the mean of them trains")
    if changed := len(log) - len(newest):
        console.print(f"{changed} more were changed or withdrawn later; a labeler's newest answer to a query counts")


def _by_labeler(answers: list[Answer], returns: dict[str, float | None]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("labeler")
    for name in ("answers", "ties", "cannot tell", "seconds each", "agree with the true reward (95 % interval)"):
        table.add_column(name, justify="right")
    names = sorted({answer.labeler for answer in answers})
    rows = [(name, [answer for answer in answers if answer.labeler == name]) for name in names]
    rows += [("all", answers)] if len(names) > 1 else []
    for number, (name, own) in enumerate(rows):
        agreed, judged = agreement(own, returns)
        low, high = wilson95(agreed, judged)
        pace = seconds_per_answer(own) if number < len(names) else None
        table.add_row(
            name,
            str(len(own)),
            str(sum(_kind(a) == "tie" for a in own)),
            str(sum(_kind(a) == "cannot tell" for a in own)),
            "-" if pace is None else f"{pace:.1f}",
            f"{agreed} of {judged}: {agreed / judged:.1%} ({low:.1%} to {high:.1%})" if judged else "-",
        )
    return table


def _lines(log: list[Answer], returns: dict[str, float | None]) -> Iterator[str]:
    counted = {answer.id for answer in standing_of(log)}
    for answer in log:
        yield json.dumps(
            {
                "query": answer.query_id,
                "options": answer.option_ids,
                "mu": answer.mu,
                "ranks": answer.ranks,
                "labeler": answer.labeler,
                "answered_at": answer.answered_at,
                "superseded": answer.id not in counted,
                "withdrawn": answer.withdrawn,
                "true_returns": [returns[option] for option in answer.option_ids],
                "provenance": dict(answer.provenance),
            }
        )
