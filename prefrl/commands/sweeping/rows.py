"""What a sweep file says: tasks x settings x seeds, each a row of `prefrl train`, checked before anything runs."""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from prefrl.commands.train import Train
from prefrl.errors import PrefrlError

TABLES = ("seeds", "train", "tasks", "settings")
OF_THE_SWEEP = {"task": "[tasks]", "seed": "`seeds`", "out": "--runs", "quiet": "the sweep, which keeps each run's log"}
_KINDS = {int: "a whole number", float: "a number", str: "a text", Path: "a path in quotes", bool: "true or false"}


@dataclass(frozen=True)
class Row:
    """One training run of a sweep."""

    task: str
    setting: str  # its name in the file; "" where the file names none
    seed: int
    options: Mapping[str, Any]  # of `prefrl train`, those that the file gives
    train: Train  # the same with all defaults

    @property
    def name(self) -> str:
        """What its files are called."""
        task = re.sub(r"[:/]", "-", self.task)
        return "-".join(part for part in (task, self.setting, str(self.seed)) if part)

    @property
    def arguments(self) -> list[str]:
        """What to give `prefrl train`, without the run's folder."""
        return [self.task, *flags(self.options), "--seed", str(self.seed)]

    def check(self) -> None:
        """Raise PrefrlError unless `prefrl train` would begin it."""
        try:
            self.train.check()
            self.train.resolved()
        except PrefrlError as error:
            raise PrefrlError(f"{self.name}: {error}") from error


@dataclass(frozen=True)
class Grid:
    """A sweep file."""

    path: Path
    tasks: tuple[str, ...]
    settings: tuple[str, ...]
    seeds: tuple[int, ...]
    rows: tuple[Row, ...]  # by seed, so that there is something of everything early

    @property
    def shared(self) -> dict[str, Any]:
        """The options that are the same in all rows."""
        first = self.rows[0].options
        return {name: v for name, v in first.items() if all(row.options.get(name) == v for row in self.rows)}


def flags(options: Mapping[str, Any]) -> list[str]:
    """Options as they are typed."""
    words: list[str] = []
    for name, value in options.items():
        flag = name.replace("_", "-")
        words += [f"--{'' if value else 'no-'}{flag}"] if isinstance(value, bool) else [f"--{flag}", str(value)]
    return words


def read_grid(path: Path) -> Grid:
    """Read a sweep file. Raises PrefrlError where it is none, or names an option that `prefrl train` does not have."""
    try:
        content = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise PrefrlError(f"no sweep file {path}") from None
    except (IsADirectoryError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise PrefrlError(f"{path} is not a sweep file, which is TOML: {error}") from error
    for name in content:
        if name not in TABLES:
            raise PrefrlError(f"{path}: no table {name!r} in a sweep file; {_nearest(name, TABLES)}")
    seeds = content.get("seeds", [0])
    if not _are_seeds(seeds):
        raise PrefrlError(f"{path}: seeds must be a list of different whole numbers from 0 on, got {seeds!r}")
    tasks, settings = _named(path, content, "tasks"), _named(path, content, "settings")
    if not tasks:
        raise PrefrlError(f'{path} names no tasks; write tasks = ["hopper"], or [tasks] with the options of each')
    shared = _options(f"{path}, [train]", content.get("train", {}))
    rows = tuple(
        _row(path, task, setting, seed, shared | of_task | of_setting)
        for seed in seeds
        for task, of_task in tasks.items()
        for setting, of_setting in (settings or {"": {}}).items()
    )
    names = [row.name for row in rows]
    if twice := {name for name in names if names.count(name) > 1}:
        raise PrefrlError(f"{path}: several rows are called {', '.join(sorted(twice))}; give a setting another name")
    return Grid(path, tuple(tasks), tuple(settings), tuple(seeds), rows)


def _are_seeds(value: object) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(seed) is int and seed >= 0 for seed in value)
        and len(set(value)) == len(value)
    )


def _named(path: Path, content: Mapping[str, Any], table: str) -> dict[str, dict[str, Any]]:
    """The options by name of task or setting; tasks without options of their own may be a list."""
    value = content.get(table, {})
    if table == "tasks" and isinstance(value, list) and all(isinstance(task, str) for task in value):
        value = {task: {} for task in value}
    if not isinstance(value, dict):
        raise PrefrlError(f"{path}: {table} must be a table, as [{table}] with lines NAME = {{labels = 350}}")
    for name in value:
        if table == "settings" and not re.fullmatch(r"[\w.][\w.-]*", name):
            raise PrefrlError(f"{path}: a setting's name is part of file names, but {name!r} cannot be")
    return {name: _options(f"{path}, [{table}] {name}", options) for name, options in value.items()}


def _options(where: str, options: object) -> dict[str, Any]:
    """Options of `prefrl train`, checked for name and kind."""
    if not isinstance(options, dict):
        raise PrefrlError(f"{where} must be a table of options of `prefrl train`, got {options!r}")
    kinds = get_type_hints(Train)
    allowed = [field.name for field in fields(Train) if field.name not in OF_THE_SWEEP]
    for name, value in options.items():
        if name in OF_THE_SWEEP:
            raise PrefrlError(f"{where}: `{name}` is given by {OF_THE_SWEEP[name]}, not as an option")
        if name not in allowed:
            raise PrefrlError(
                f"{where}: `prefrl train` has no option {name!r}; {_nearest(name, allowed)} `prefrl train --help` "
                "explains all."
            )
        if not _fits(value, kinds[name]):
            raise PrefrlError(f"{where}: {name} must be {_said(kinds[name])}, got {value!r}")
    return dict(options)


def _fits(value: object, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if _is_union(kind):
        return any(_fits(value, part) for part in get_args(kind))
    if kind is float:
        return type(value) in (int, float)
    return type(value) is (str if kind is Path else kind)  # a bool is no int here


def _is_union(kind: Any) -> bool:
    return isinstance(kind, UnionType) or get_origin(kind) is Union  # `Literal[...] | None` is the latter


def _said(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    if _is_union(kind):
        return " or ".join(_said(part) for part in get_args(kind) if part is not type(None))
    return _KINDS[kind]


def _row(path: Path, task: str, setting: str, seed: int, options: dict[str, Any]) -> Row:
    given: dict[str, Any] = {name: Path(v) if name == "labels_from" else v for name, v in options.items()}
    return Row(task, setting, seed, options, Train(task, seed=seed, **given))


def _nearest(name: str, names: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
