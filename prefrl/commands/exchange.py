"""Answers as lines of JSON: out of a store, and into one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefrl.errors import PrefrlError

if TYPE_CHECKING:
    from prefrl.answers import Answer
    from prefrl.store import PreferenceStore

_UNKNOWN = "1970-01-01T00:00:00.000+00:00"  # when an answer was given that does not say so: any other is newer


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write a file, whole or not at all. Raises PrefrlError if it cannot be written."""
    from prefrl.files import write_atomically

    if not path.parent.is_dir():
        raise PrefrlError(f"no folder {path.parent} to write {path.name} in; create it first")
    write_atomically(path, "".join(line + "\n" for line in lines))


def text_pairs(store: PreferenceStore, answers: Iterable[Answer]) -> Iterator[dict[str, str]]:
    """Each decided pair of texts as prompt, chosen and rejected; of a ranking every pair of unlike places.

    Ties, "cannot tell" and what is no text are left out.
    """
    from prefrl.commands.quality import preferred
    from prefrl.segments import Text

    for answer in answers:
        for better, worse in preferred(answer.option_ids, answer.judgment):
            views = store.segment(better).view, store.segment(worse).view
            if isinstance(views[0], Text) and isinstance(views[1], Text):
                yield {"prompt": views[0].prompt, "chosen": views[0].answer, "rejected": views[1].answer}


def read_answers(path: Path, store: PreferenceStore, *, name: str) -> tuple[int, int]:
    """Add the answers of a file to the queries of a store; returns how many were new, and how many were read.

    All or none. Raises PrefrlError, with the number of the line, for what is no answer to a query of the store.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not at what else ends a line: JSON may hold it
    except (OSError, UnicodeDecodeError) as error:
        raise PrefrlError(f"cannot read {path}: {error}") from error
    texts: dict[tuple[str, str], str] | None = None
    answers = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            if "chosen" in entry:
                texts = _texts(store) if texts is None else texts
                answers.append(_text_answer(entry, texts, name))
            else:
                answers.append(_answer(entry, name))
            if not store.has_query(answers[-1].query_id):
                raise PrefrlError("it answers a question that was not asked here; merge the store that asked it")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, PrefrlError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else error
            raise PrefrlError(f"{path}, line {number}: {said}; nothing was taken over") from error
    return store.add_answers(answers), len(answers)


def _answer(entry: dict[str, Any], name: str) -> Answer:
    from prefrl.answers import Answer
    from prefrl.comparisons import check_judgment, query_id

    ids = tuple(map(str, entry["options"]))
    mu, ranks, labeler = entry.get("mu"), entry.get("ranks"), str(entry.get("labeler", name))
    labeler.encode()  # half a character, which JSON can write, cannot be stored
    if ranks is not None and any(int(rank) != rank for rank in ranks):
        raise PrefrlError(f"places must be whole numbers, got {ranks}")
    answer = Answer(
        query_id(ids),
        ids,
        None if mu is None else tuple(map(float, mu)),
        labeler,
        _moment(str(entry.get("answered_at", _UNKNOWN))),
        _provenance(entry.get("provenance", {}), ids),
        bool(entry.get("withdrawn", False)),
        None if ranks is None else tuple(map(int, ranks)),
    )
    check_judgment(answer.judgment, len(ids))
    return answer


def _moment(said: str) -> str:
    """As a store writes it, in UTC, so that moments compare as their texts do; a time without a zone is UTC's."""
    moment = datetime.fromisoformat(said)
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    # A later answer counts for more, and no answer is stamped before the newest: one of the year 2099 would stay it.
    if not datetime.fromisoformat(_UNKNOWN) <= moment <= datetime.now(UTC) + timedelta(days=1):
        raise PrefrlError(f"answered_at {said} does not lie between 1970 and now")
    return moment.isoformat(timespec="milliseconds")


def _provenance(said: Any, ids: tuple[str, ...]) -> dict[str, Any]:
    """What is known of an answer to these options. What is read again must have its shape; all else may be said."""
    if not isinstance(said, dict):
        raise PrefrlError(f"provenance must hold names and values, got {said!r}")
    returns, shown = said.get("returns", {}), said.get("shown", [])
    if "returns" in said and not (
        isinstance(returns, dict)
        and set(ids) <= returns.keys()
        and all(isinstance(value, int | float) and math.isfinite(value) for value in returns.values())
    ):
        raise PrefrlError(f"provenance.returns must hold a number for each option, got {returns!r}")
    if not (isinstance(shown, list) and all(isinstance(name, str) for name in shown)):
        raise PrefrlError(f"provenance.shown must be a list of options, got {shown!r}")
    return said


def _texts(store: PreferenceStore) -> dict[tuple[str, str], str]:
    """Segment ids by what was asked (the prompt) and answered."""
    from prefrl.segments import Text

    found = {}
    for segment_id in store.segment_ids():
        view = store.segment(segment_id).view
        if isinstance(view, Text):
            found[view.prompt, view.answer] = segment_id
    return found


def _text_answer(entry: dict[str, Any], texts: dict[tuple[str, str], str], name: str) -> Answer:
    pair = [texts.get((entry["prompt"], entry[side])) for side in ("chosen", "rejected")]
    if None in pair:
        side = ("chosen", "rejected")[pair.index(None)]
        raise PrefrlError(f"the {side} text was not asked about here")
    return _answer({**entry, "options": pair, "mu": (1.0, 0.0)}, name)
