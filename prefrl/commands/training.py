"""Carry out what a run's config.json says: the same for the commands that begin a run and for `prefrl resume`."""

import ctypes
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from prefrl.acquisition import Acquisition, disagreement, entropy, information_gain, mixture, uniform
from prefrl.commands.devices import check_device
from prefrl.commands.progress import Progress
from prefrl.ensemble import RewardEnsemble
from prefrl.errors import Interrupted, PrefrlError
from prefrl.files import write_json
from prefrl.fitting import FitConfig
from prefrl.labelers import Labeler, Oracle, People
from prefrl.loop import Learner, LoopConfig, train, train_baseline
from prefrl.runs import Run, only_process, read_config
from prefrl.schedule import label_plan
from prefrl.store import PreferenceStore

FORMAT = 1  # of config.json; raised when an older run could no longer be resumed
BEAT_SECONDS = 5.0  # between two signs of life for those who label
MUJOCO_HORIZON = 2e6  # of the label schedule, in steps
ACQUISITIONS: dict[str, Acquisition] = {
    "disagreement": disagreement,
    "entropy": entropy,
    "information-gain": information_gain,
    "uniform": uniform,
    "mixture": mixture(disagreement, uniform, share=0.5),
}


class Domain(Protocol):
    """What the kinds of runs do each in their own way; a module is one."""

    UNIT: str  # what is counted

    def check(self, config: dict[str, Any]) -> None:
        """Raise KeyError, TypeError or ValueError where a configuration is not what the command wrote."""

    def heading(self, config: dict[str, Any]) -> str:
        """What is about to happen, in a line."""

    def total(self, config: dict[str, Any]) -> int:
        """How much is to be done, in units."""

    def lines(self, config: dict[str, Any], row: Mapping[str, float]) -> list[tuple[str, str]]:
        """A round's metrics as a person reads them."""

    def train(self, run: Run, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
        """From the newest checkpoint to the end; returns the summary."""

    def ending(self, folder: Path, summary: Mapping[str, Any]) -> str:
        """What came of it."""


def domain_of(config: Mapping[str, Any]) -> Domain:
    """How to carry out a run. Imports what that needs and no more."""
    match config.get("domain", "control"):
        case "control":
            from prefrl.commands import control_run

            return control_run
        case "text":
            from prefrl.commands.text import text_run

            return text_run
        case "supervised":
            from prefrl.commands.text import supervised_run

            return supervised_run
        case "reward":
            from prefrl.commands.text import reward_run

            return reward_run
    raise ValueError(f"no domain {config['domain']!r}")


def run_config(folder: Path) -> dict[str, Any]:
    """A run's config.json. Raises PrefrlError if it is none, of another version, or not as `prefrl` wrote it."""
    config = read_config(folder)
    if config.get("format") != FORMAT:
        raise PrefrlError(
            f"{folder} was begun by another version of prefrl (format {config.get('format')}, this one writes "
            f"{FORMAT}): go on with prefrl {config.get('versions', {}).get('prefrl', 'of that time')}, or train anew"
        )
    try:
        domain_of(config).check(config)
    except (KeyError, TypeError, ValueError) as error:
        raise PrefrlError(f"{folder / 'config.json'} was changed: {error!r}; restore it, or train anew") from error
    return config


def carry_out(folder: Path, *, quiet: bool) -> int:
    """Train from the newest checkpoint, or from the start, to the summary. Returns the exit code."""
    config = run_config(folder)
    domain = domain_of(config)
    if (folder / "summary.json").exists():
        print(f"{folder} is finished already; see `prefrl report {folder}` or `prefrl watch {folder}`")
        return 0
    check_device(folder, config)
    torch.set_num_threads(config["threads"])
    torch.backends.cudnn.deterministic = True  # a GPU, too, must do again what it did
    keep_freed_memory()
    shown = Progress(
        folder,
        domain.heading(config),
        total=domain.total(config),
        rounds=config["rounds"],
        unit=domain.UNIT,
        lines=lambda row: domain.lines(config, row),
        quiet=quiet,
    )
    with only_process(folder), shown as progress:
        run = Run(folder, seed=config["seed"], say=progress.say, stage=progress.stage)
        run.catch_signals()
        try:
            summary = domain.train(run, config, progress)
        except Interrupted:
            progress.interrupted(run.next_round)
            raise
        write_json(run.folder / "summary.json", summary)
        progress.finished(domain.ending(folder, summary))
    return 0


class Parts(NamedTuple):
    """What the loop puts together."""

    learner: Learner
    ensemble: RewardEnsemble
    labeler: Labeler | None = None  # where neither an oracle nor people answer: a model, or what was recorded


def check_loop(config: Mapping[str, Any]) -> None:
    """Raise KeyError, TypeError or ValueError unless the loop and the oracle are configured."""
    FitConfig(**LoopConfig(**config["loop"]).fit)  # type: ignore[arg-type]
    oracle_of(config)


def oracle_of(config: Mapping[str, Any]) -> Oracle:
    """The oracle of a run."""
    return Oracle(**config["oracle"] | {"beta": float(config["oracle"]["beta"])})


def train_on_preferences(
    run: Run,
    config: dict[str, Any],
    progress: Progress,
    build: Callable[[PreferenceStore, Callable[[], None]], Parts],
) -> tuple[Parts, dict[str, Any]]:
    """The loop of a run of any domain, from its newest checkpoint to its last round; what it asked, and how long."""
    loop = LoopConfig(**config["loop"] | {"fit": FitConfig(**config["loop"]["fit"])})
    with PreferenceStore(run.folder / "preferences.db", pairs=config.get("pairs", False)) as store, _told(store):

        def check() -> None:
            run.check()
            store.beat("learning", every=BEAT_SECONDS)

        parts = build(store, check)
        rounds, per_round = config["rounds"], loop.steps_per_round
        if config["reward"] == "true":
            train_baseline(parts.learner, parts.ensemble, rounds=rounds, config=loop, run=run)
        else:
            plan = [0] * rounds
            if config["labels"] and config["labeler"] != "recorded":
                horizon = config.get("horizon", MUJOCO_HORIZON)
                plan = label_plan(
                    config["labels"], rounds * per_round, per_round, upfront=config["upfront"], horizon=horizon
                )
            train(
                parts.learner,
                parts.ensemble,
                store,
                _labeler(run, config, progress, parts),
                plan=plan,
                acquisition=ACQUISITIONS[config["acquisition"]],
                config=loop,
                run=run,
            )
        return parts, {"labels": len(store), "asked": store.asked, "wall_seconds": run.seconds}


def _labeler(run: Run, config: dict[str, Any], progress: Progress, parts: Parts) -> Labeler:
    if config["labeler"] == "people":
        return People(f"prefrl label {run.folder}", run.pause, progress.note, config.get("when_short", "block"))
    return parts.labeler or oracle_of(config)


@contextmanager
def _told(store: PreferenceStore) -> Iterator[None]:
    """Let labelers know how the training ended."""
    store.beat("learning")
    try:
        yield
    except BaseException:
        with suppress(PrefrlError):  # the reason why it ends says more
            store.beat("stopped")
        raise
    store.beat("finished")


def keep_freed_memory() -> None:
    """Ask the C library to keep what is freed, instead of handing every large array back to the system.

    Fitting makes and frees the same arrays all the time; without this a third of its time went into page faults. Only
    glibc has the setting.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, mmap_threshold = -1, -3  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD
    mallopt(mmap_threshold, 1 << 30)
    mallopt(trim_threshold, 1 << 30)
