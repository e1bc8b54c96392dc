"""Answers as lines of JSON: out of a store, and into one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import datetime
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
        lines = path.read_text(encoding="utf-8").splitlines()
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
        except (ValueError, KeyError, TypeError, AttributeError, PrefrlError) as error:
            said = f"{error} is missing" if isinstance(error, KeyError) else error
            raise PrefrlError(f"{path}, line {number}: {said}; nothing was taken over") from error
    return store.add_answers(answers), len(answers)


def _answer(entry: dict[str, Any], name: str) -> Answer:
    from prefrl.answers import Answer
    from prefrl.comparisons import check_judgment, query_id

    ids = tuple(map(str, entry["options"]))
    mu, ranks = entry.get("mu"), entry.get("ranks")
    answered_at = str(entry.get("answered_at", _UNKNOWN))
    datetime.fromisoformat(answered_at)
    answer = Answer(
        query_id(ids),
        ids,
        None if mu is None else tuple(map(float, mu)),
        str(entry.get("labeler", name)),
        answered_at,
        dict(entry.get("provenance", {})),
        bool(entry.get("withdrawn", False)),
        None if ranks is None else tuple(map(int, ranks)),
    )
    check_judgment(answer.judgment, len(ids))
    return answer


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
