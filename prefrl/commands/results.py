"""Read what runs left in their folders, and tell which of them are repetitions of the same settings."""

import csv
import json
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prefrl.errors import PrefrlError

# What may differ between repetitions: chance, provenance and speed.
_INCIDENTAL = {"seed", "oracle.seed", "threads", "device", "command", "versions", "commit", "started", "processors"}
# What a learner that is paid the true reward never uses.
_OF_REWARD_MODEL = ("labels", "labeler", "acquisition", "members", "upfront", "noise", "clip_", "oracle.", "loop.")
_NEEDED = ("task", "reward", "labels", "steps", "seed")


@dataclass(frozen=True)
class Result:
    """One run, finished or not."""

    folder: Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any] | None  # None: unfinished
    metrics: Mapping[str, Sequence[float]]  # column -> one number a round, NaN where nothing was measured
    # The same by rising n of best-of-n, and `_std`.
    best_of: Mapping[str, Sequence[float]] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, Any]:
        """What decides over the outcome, with dotted names."""
        ignored = _OF_REWARD_MODEL if self.config["reward"] == "true" else ()
        return {
            key: value
            for key, value in _flat(self.config)
            if not {key, key.split(".")[0]} & _INCIDENTAL and not key.startswith(ignored)
        }

    def curve(self, column: str, against: str = "steps") -> tuple[list[float], list[float]]:
        """Steps, or another column, and values of the rounds in which both were measured."""
        return _measured(self.metrics, column, against)

    def best_of_curve(self, column: str) -> tuple[list[float], list[float]]:
        """Square root of the divergence, and values, of best-of-n."""
        return _measured(self.best_of, column, "sqrt_kl")


def _measured(table: Mapping[str, Sequence[float]], column: str, against: str) -> tuple[list[float], list[float]]:
    pairs = zip(table.get(against, ()), table.get(column, ()), strict=False)
    kept = [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]
    return [x for x, _ in kept], [y for _, y in kept]


@dataclass(frozen=True)
class Group:
    """Runs that differ by their seed alone."""

    task: str
    name: str  # what tells it from the other groups of its task
    results: tuple[Result, ...]

    @property
    def finished(self) -> tuple[Result, ...]:
        return tuple(result for result in self.results if result.summary is not None)

    @property
    def is_baseline(self) -> bool:
        """Whether it was paid the true reward."""
        return bool(self.results[0].config["reward"] == "true")


def find_runs(folders: Sequence[Path]) -> list[Result]:
    """Every run in the folders or below them. Raises PrefrlError if there is none, or if one cannot be read."""
    found: dict[Path, Result] = {}
    for folder in folders:
        if not folder.is_dir():
            raise PrefrlError(f"no folder {folder}; name a run's folder, or one that contains runs")
        for path in _run_folders(folder):
            found.setdefault(path.resolve(), read_run(path))
    if not found:
        raise PrefrlError(
            f"no runs in {', '.join(map(str, folders))}: no config.json anywhere below; `prefrl train` makes one"
        )
    return list(found.values())


def _run_folders(folder: Path) -> Iterator[Path]:
    for path, below, files in os.walk(folder):
        below.sort()
        if "config.json" in files:
            below.clear()
            yield Path(path)


def read_run(folder: Path) -> Result:
    """One run. Raises PrefrlError if its files are damaged or of another version."""
    config = _json(folder / "config.json")
    lacking = [key for key in _NEEDED if key not in config]
    if lacking:
        raise PrefrlError(
            f"{folder / 'config.json'} lacks {', '.join(lacking)}: another program or version of prefrl wrote it;"
            f" move it elsewhere, or name the runs' folders one by one"
        )
    summary = _json(folder / "summary.json") if (folder / "summary.json").exists() else None
    return Result(folder, config, summary, _metrics(folder / "metrics.csv"), _best_of(folder / "best_of.json"))


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (ValueError, UnicodeDecodeError) as error:
        raise PrefrlError(f"{path} is not valid JSON ({error}); restore it, or leave this run out") from error
    if not isinstance(content, dict):
        raise PrefrlError(f"{path} holds a {type(content).__name__}, not an object; restore it, or leave this run out")
    return content


def _best_of(path: Path) -> dict[str, list[float]]:
    """The columns of what `prefrl text best-of` measured; none yet is an empty table."""
    if not path.exists():
        return {}
    found = _json(path)
    try:
        names = list(found["curve"][0])
        table = {name: [_number(row[name]) for row in found["curve"]] for name in names}
        stds = ("predicted_return_std", "true_return_std")
        return table | {name: [_number(found[name])] * len(found["curve"]) for name in stds}
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise PrefrlError(
            f"{path} is damaged ({error!r}); `prefrl text best-of {path.parent}` makes it anew"
        ) from error


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)


def _metrics(path: Path) -> dict[str, list[float]]:
    """The columns of metrics.csv; none yet is an empty table. A last row that a kill cut short is left out."""
    if not path.exists():
        return {}
    with path.open(newline="", errors="replace") as file:
        text = file.read()
    rows = list(csv.reader(text.splitlines()))
    if not rows:
        return {}
    if "steps" not in rows[0]:
        raise PrefrlError(
            f"{path} has no column `steps` (it has {', '.join(rows[0]) or 'none'}); was its first line lost?"
        )
    table: dict[str, list[float]] = {name: [] for name in rows[0]}
    for number, row in enumerate(rows[1:], start=2):
        try:
            values = [float(cell) if cell else math.nan for cell in row]
            if len(values) != len(table):
                raise ValueError(f"{len(values)} cells under {len(table)} names")
        except ValueError as error:
            if number == len(rows):
                break
            raise PrefrlError(
                f"line {number} of {path} is damaged ({error}); delete that line, then try again"
            ) from error
        if number == len(rows) and not text.endswith(("\n", "\r")):
            break  # its last number may lack digits
        for name, value in zip(table, values, strict=True):
            table[name].append(value)
    return table


def group_runs(results: Sequence[Result]) -> list[Group]:
    """Runs by task and settings: baselines first, then by rising number of labels. Names are distinct within a task."""
    groups: dict[tuple[str, str], list[Result]] = defaultdict(list)
    for result in results:
        groups[result.config["task"], json.dumps(result.settings, sort_keys=True)].append(result)
    by_task: dict[str, list[list[Result]]] = defaultdict(list)
    for (task, _), members in sorted(groups.items(), key=lambda item: item[0]):
        by_task[task].append(sorted(members, key=lambda r: (r.config["seed"], str(r.folder))))
    named = []
    for task, sets in by_task.items():
        sets.sort(key=lambda members: _order(members[0]))
        names = _names([members[0] for members in sets])
        named += [Group(task, name, tuple(members)) for name, members in zip(names, sets, strict=True)]
    return named


def _order(result: Result) -> tuple[bool, float]:
    return result.config["reward"] != "true", float(result.config["labels"])


def _names(firsts: Sequence[Result]) -> list[str]:
    """The reward and the number of labels, then as few other settings as tell one from another."""
    names = ["true reward" if r.config["reward"] == "true" else f"{r.config['labels']} labels" for r in firsts]
    settings = [r.settings for r in firsts]
    keys = sorted({key for s in settings for key in s}, key=lambda key: (key != "algo", "." in key, key))
    for key in keys:
        for same in [[i for i, n in enumerate(names) if n == name] for name in dict.fromkeys(names)]:
            if len({json.dumps(settings[i].get(key)) for i in same}) > 1:
                for i in same:
                    names[i] += f", {key.rsplit('.', 1)[-1].replace('_', ' ')} {settings[i].get(key, '-')}"
    return names


def _flat(config: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
