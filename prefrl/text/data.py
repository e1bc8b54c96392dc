"""A user's own files: demonstrations, prompts, documents and comparisons as JSON lines or parquet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from prefrl.comparisons import Comparison, ranked_pairs
from prefrl.errors import PrefrlError
from prefrl.segments import Segment, Text
from prefrl.text.models import LanguageModel
from prefrl.text.packing import as_segment, token_ids
from prefrl.text.policy import Prompt
from prefrl.text.prompts import decode_answers, encode_answer, encode_prompt
from prefrl.text.supervised import Example


class Row(NamedTuple):
    """One record, and where it stands."""

    where: str  # path:line
    values: Mapping[str, Any]


def rows(path: Path) -> Iterator[Row]:
    """The records of a .jsonl or .parquet file. Raises PrefrlError with file and line for all that is none."""
    if not path.is_file():
        raise PrefrlError(f"no file {path}; name one of JSON lines (.jsonl) or parquet (.parquet)")
    if path.suffix == ".parquet":
        yield from _parquet(path)
        return
    if path.suffix not in (".jsonl", ".json", ".ndjson"):
        raise PrefrlError(f"{path} is neither .jsonl nor .parquet; a JSON object a line is what is read")
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            where = f"{path}:{number}"
            try:
                values = json.loads(line)
            except (ValueError, RecursionError) as error:
                what = "an empty line" if not line.strip() else f"no JSON ({error})"
                raise PrefrlError(f"{where} is {what}; expected one object a line") from error
            if not isinstance(values, dict):
                raise PrefrlError(f"{where} holds a {type(values).__name__}; expected an object")
            yield Row(where, values)


def _parquet(path: Path) -> Iterator[Row]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise PrefrlError(f"reading {path} needs pyarrow: pip install 'prefrl[text]'") from error
    try:
        table = parquet.read_table(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise PrefrlError(f"{path} is no parquet file ({error}); write it again, or name another") from error
    for number, values in enumerate(table.to_pylist(), start=1):
        yield Row(f"{path}:{number}", values)


def text_field(row: Row, *names: str, empty: bool = False) -> str:
    """The first of the fields that is there. Raises PrefrlError unless it is a text, and not empty."""
    for name in names:
        if name in row.values:
            value = row.values[name]
            if not isinstance(value, str):
                raise PrefrlError(f"{row.where}: `{name}` is {_kind(value)}; expected a text")
            if not value.strip() and not empty:
                raise PrefrlError(f"{row.where}: `{name}` is empty; fill it, or leave the line out")
            if any("\ud800" <= character <= "\udfff" for character in value):  # which JSON can write, and nobody read
                raise PrefrlError(f"{row.where}: `{name}` holds half a character (a surrogate); mend it")
            return value
    wanted = " or ".join(f"`{name}`" for name in names)
    raise PrefrlError(f"{row.where}: expected a field {wanted}, got {', '.join(row.values) or 'none'}")


def _kind(value: Any) -> str:
    return "missing" if value is None else f"a {type(value).__name__}"


def _some(found: list[Any], path: Path, what: str) -> list[Any]:
    if not found:
        raise PrefrlError(f"{path} is empty; expected at least one {what}")
    return found


# ---- what each command reads -----------------------------------------------------------------------------------------


def read_prompts(path: Path, lm: LanguageModel) -> list[Prompt]:
    """`{"prompt": ...}` a line, encoded; equal ones once."""
    texts = dict.fromkeys(text_field(row, "prompt") for row in rows(path))
    return _some([Prompt(text, tuple(encode_prompt(lm, text))) for text in texts], path, "prompt")


def read_texts(path: Path) -> list[str]:
    """`{"text": ...}` a line."""
    return _some([text_field(row, "text") for row in rows(path)], path, "document")


def read_documents(path: Path, lm: LanguageModel) -> list[list[int]]:
    """`{"text": ...}` a line, as tokens with one end token between two documents."""
    found: list[list[int]] = lm.tokenizer(read_texts(path))["input_ids"]
    return [ids if ids and ids[0] == lm.end else [*ids, lm.end] for ids in found]


def read_demonstrations(path: Path, lm: LanguageModel) -> list[Segment]:
    """`{"prompt": ..., "answer": ...}` a line (`completion` will do), as segments that end."""
    found = []
    for row in rows(path):
        prompt, answer = text_field(row, "prompt"), text_field(row, "answer", "completion")
        found.append(_segment(lm, row.where, prompt, answer))
    return _some(found, path, "demonstration")


def read_comparisons(path: Path, lm: LanguageModel) -> list[Comparison]:
    """Comparisons of answers to one prompt.

    `{"prompt", "chosen", "rejected"}`; or `{"prompt", "answers": [K texts]}` with one of `choice` (the place of the
    best, from 0), `mu` (K weights that sum to 1) or `ranks` (K numbers, 1 is best, equal ones tie), of which ranks
    become all their pairs. Equal answers cannot be told apart and are refused.
    """
    found: list[Comparison] = []
    for row in rows(path):
        prompt = _one_prompt(row)
        if "chosen" in row.values or "rejected" in row.values:
            answers = [text_field(row, "chosen"), text_field(row, "rejected")]
            given: dict[str, Any] = {"mu": [1.0, 0.0]}
        else:
            answers = _answers(row)
            given = {name: row.values[name] for name in ("choice", "mu", "ranks") if row.values.get(name) is not None}
        options = [_segment(lm, row.where, prompt, answer) for answer in answers]
        if len({option.id for option in options}) < len(options):
            raise PrefrlError(f"{row.where}: two of the {len(options)} answers are equal; leave one of them out")
        found += _told(row, options, given)
    return _some(found, path, "comparison that is no tie")


def _one_prompt(row: Row) -> str:
    prompts = row.values.get("prompt")
    if isinstance(prompts, list):
        if len(set(map(str, prompts))) != 1:
            raise PrefrlError(
                f"{row.where}: the answers have {len(set(map(str, prompts)))} different prompts; only answers to one "
                "prompt can be compared"
            )
        return text_field(Row(row.where, {"prompt": prompts[0]}), "prompt")
    return text_field(row, "prompt")


def _answers(row: Row) -> list[str]:
    answers = row.values.get("answers")
    if not isinstance(answers, list) or len(answers) < 2:
        raise PrefrlError(
            f"{row.where}: expected `chosen` and `rejected`, or `answers`, a list of at least 2; got "
            f"{', '.join(row.values)}"
        )
    return [text_field(Row(row.where, {f"answers[{i}]": a}), f"answers[{i}]") for i, a in enumerate(answers)]


def _told(row: Row, options: Sequence[Segment], given: Mapping[str, Any]) -> list[Comparison]:
    if len(given) != 1:
        raise PrefrlError(f"{row.where}: expected one of `choice`, `mu`, `ranks`; got {', '.join(given) or 'none'}")
    ((name, value),) = given.items()
    try:
        if name == "choice":
            if type(value) is not int or not 0 <= value < len(options):
                raise ValueError(f"it is {value!r}, not a place from 0 to {len(options) - 1}")
            return [Comparison(tuple(options), tuple(float(i == value) for i in range(len(options))))]
        numbers = [float(v) for v in value]
        if name == "mu":
            return [Comparison(tuple(options), tuple(numbers))]
        return ranked_pairs(options, numbers)
    except (ValueError, TypeError) as error:
        raise PrefrlError(f"{row.where}: `{name}` does not answer: {error}") from error


def _segment(lm: LanguageModel, where: str, prompt: str, answer: str) -> Segment:
    given, said = encode_prompt(lm, prompt), encode_answer(lm, answer)
    if len(given) + len(said) > lm.context:
        raise PrefrlError(
            f"{where}: prompt and answer have {len(given)} and {len(said)} tokens, more than the {lm.context} that the "
            "model reads; shorten them, or leave the line out"
        )
    return as_segment(given, said, Text(prompt, answer))


def as_example(segment: Segment) -> Example:
    """A demonstration of which the answer is learned."""
    prompt, answer = token_ids(segment)
    return Example((*prompt, *answer), len(prompt))


def check_tokenizer(lm: LanguageModel, segment: Segment, where: str) -> None:
    """Raise PrefrlError unless a stored answer, read with this tokenizer, is the text that was shown to people."""
    if not isinstance(segment.view, Text):
        raise PrefrlError(f"{where} holds no texts: it belongs to a run of another kind")
    ids = segment.act.tolist()
    size = int(lm.causal.get_input_embeddings().weight.shape[0])  # type: ignore[index]
    read = decode_answers(lm, [ids])[0] if max(ids) < size else None
    shown = segment.view.answer.strip()
    if read is None or read.split() != shown.split():
        raise PrefrlError(
            f"{where} was written with another tokenizer: its first answer is {shown[:60]!r}, which this model reads "
            f"as {(read or 'tokens that it does not have')[:60]!r}; use the model that wrote it, or another store"
        )
