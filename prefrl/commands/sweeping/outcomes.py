"""What is kept of a run of a sweep: a small JSON file with its configuration, summary and curve."""

import json
import math
import shlex
from collections.abc import Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import tyro

from prefrl.commands.results import read_run
from prefrl.commands.settings import settings_of
from prefrl.commands.sweeping.rows import Grid, Row
from prefrl.commands.train import Train
from prefrl.errors import PrefrlError
from prefrl.files import write_atomically

FORMAT = 1  # of the files; those without a number are of this one
INCIDENTAL = {"out", "quiet", "threads", "open_window", "device"}  # which decide over nothing that is kept
WORKED_OUT = {"labels", "labels_from", "labeler", "clip_steps"}  # in config.json: not the option, but what came of it


def outcome(row: Row, folder: Path) -> dict[str, Any]:
    """What is kept of a finished run: `config`, `summary`, and `curve`, a list for each column of metrics.csv."""
    run = read_run(folder)
    curve = {
        column: [None if math.isnan(value) else round(value, 4) for value in values]
        for column, values in run.metrics.items()
        if column != "round"
    }
    # The folder is one machine's business.
    config = dict(run.config) | {"command": shlex.join(["prefrl", "train", *row.arguments])}
    return {"format": FORMAT, "config": config, "summary": run.summary, "curve": curve}


def keep(row: Row, folder: Path, results: Path) -> dict[str, Any]:
    """Write what is kept of a finished run among the results."""
    kept = outcome(row, folder)
    results.mkdir(parents=True, exist_ok=True)
    write_atomically(results / f"{row.name}.json", json.dumps(kept) + "\n")
    return kept


def load(results: Path) -> dict[str, dict[str, Any]]:
    """All results in a folder, by row's name. Raises PrefrlError where one is of another version, or none."""
    return {path.stem: _read(path) for path in sorted(results.glob("*.json"))}


def _read(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
        version = content.get("format", FORMAT)
    except (ValueError, AttributeError) as error:
        raise PrefrlError(f"{path} is not a result of a sweep ({error}); remove or restore it") from error
    if version != FORMAT:
        raise PrefrlError(
            f"{path.parent} holds results of format {version}, and this prefrl reads and writes {FORMAT}: use the "
            f"prefrl that wrote them, or name another folder with --results"
        )
    return content


def missing(grid: Grid, runs: Path, results: Path) -> list[Row]:
    """The rows without a result. Raises PrefrlError where a result, or a run begun, is one of other settings."""
    known = load(results)
    left = []
    for row in grid.rows:
        path = runs / row.name / "config.json"
        if row.name in known:
            _check_same(row, known[row.name].get("config", {}), results / f"{row.name}.json")
            continue
        if path.exists():
            _check_same(row, read_run(path.parent).config, path.parent)
        left.append(row)
    return left


def of_former_defaults(grid: Grid, results: Path) -> list[str]:
    """Names of the rows whose policy learned, whose reward was fitted, or whose clips were cut otherwise than now."""
    kept, now, names = load(results), dict[tuple[str, str], dict[str, Any]](), []
    for row in grid.rows:
        config = kept.get(row.name, {}).get("config", {})
        if "loop" not in config or "learner" not in config:
            continue
        key = row.task, row.setting  # seeds differ in nothing here
        if key not in now:
            now[key] = _defaults(row.train.resolved())
        if _defaults(config) != now[key]:
            names.append(row.name)
    return names


def _defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """What of a configuration the options leave to defaults that may change."""
    from prefrl.control.algorithms import LearnerConfig
    from prefrl.fitting import FitConfig

    # What is not in a configuration came later, and changed nothing where it was left out; precision is the machine's.
    defaults: dict[str, Any] = {"learner": asdict(LearnerConfig()) | config["learner"] | {"bfloat16": False}}
    if config["reward"] == "learned":
        defaults |= {"fit": asdict(FitConfig()) | config["loop"]["fit"], "clip_steps": config["clip_steps"]}
    return defaults


def _check_same(row: Row, config: Mapping[str, Any], where: Path) -> None:
    """A name that now means something else must not bring up what it meant before."""
    before = _begun_as(config)
    if before is None:
        raise PrefrlError(
            f"{where} was made by a command that this version does not know: {config.get('command')}; remove it to run "
            "the row anew"
        )
    before, now = _settled(before), _settled(row.train)
    names = [field.name for field in fields(Train) if field.name not in INCIDENTAL]
    differing = [
        f"{name} {getattr(before, name)}, now {getattr(now, name)}"
        for name in names
        if getattr(before, name) != getattr(now, name)
    ]
    if differing:
        raise PrefrlError(
            f"{where} was made with other settings ({'; '.join(differing)}): remove it to run the row anew, or give "
            "the setting another name"
        )


def _settled(train: Train) -> Train:
    """With what the kind of task decides where the options leave it open."""
    settings = settings_of(train.task)
    upfront = train.upfront
    if train.labels_from is not None:
        upfront = None  # all that was recorded is there before any learning
    elif upfront is None:
        upfront = settings.upfront(settings.labels if train.labels is None else train.labels)
    # Where clips have a number of steps, how long that is follows.
    clip_seconds = None if train.clip_steps else train.clip_seconds or settings.clip_seconds
    algo = train.algo or settings.algorithms[0]
    return replace(train, algo=algo, steps=train.all_steps, upfront=upfront, clip_seconds=clip_seconds)


def _begun_as(config: Mapping[str, Any]) -> Train | None:
    """The options of a run: what its command said, and the defaults of that time where its configuration holds them."""
    try:
        words = shlex.split(str(config.get("command")))
        train = tyro.cli(Train, args=words[words.index("train") + 1 :], console_outputs=False)
    except (ValueError, SystemExit):
        return None
    names = {field.name for field in fields(Train)} & config.keys() - WORKED_OUT
    return replace(train, **{name: config[name] for name in names})


def steps_done(folder: Path) -> float:
    """How far a run is; 0 where that cannot be told."""
    try:
        return read_run(folder).metrics["steps"][-1]
    except (PrefrlError, LookupError, OSError):
        return 0.0
