"""Carry out what a run's config.json says: the same for `prefrl train` and `prefrl resume`."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefrl.acquisition import Acquisition, disagreement, entropy, information_gain, mixture, uniform
from prefrl.commands.progress import Progress
from prefrl.control.evaluation import evaluate
from prefrl.control.learner import ControlLearner, LearnerConfig
from prefrl.control.networks import MLPReward
from prefrl.control.tasks import Task
from prefrl.ensemble import RewardEnsemble
from prefrl.errors import Interrupted, PrefrlError
from prefrl.files import write_json
from prefrl.fitting import FitConfig
from prefrl.labelers import Labeler, Oracle, People, Recorded
from prefrl.loop import LoopConfig, train, train_baseline
from prefrl.runs import Run, only_process, read_config
from prefrl.schedule import label_plan
from prefrl.store import PreferenceStore

FORMAT = 1  # of config.json; raised when an older run could no longer be resumed
EVALUATION_EPISODES = 20
BEAT_SECONDS = 5.0  # between two signs of life for those who label
ACQUISITIONS: dict[str, Acquisition] = {
    "disagreement": disagreement,
    "entropy": entropy,
    "information-gain": information_gain,
    "uniform": uniform,
    "mixture": mixture(disagreement, uniform, share=0.5),
}


def run_config(folder: Path) -> dict[str, Any]:
    """A run's config.json. Raises PrefrlError if it is none, of another version, or not as `prefrl train` wrote it."""
    config = read_config(folder)
    if config.get("format") != FORMAT:
        raise PrefrlError(
            f"{folder} was begun by another version of prefrl (format {config.get('format')}, this one writes "
            f"{FORMAT}): go on with prefrl {config.get('versions', {}).get('prefrl', 'of that time')}, or train anew"
        )
    try:
        build_task(config)
        LearnerConfig(**config["learner"])
        FitConfig(**LoopConfig(**config["loop"]).fit)  # type: ignore[arg-type]
        Oracle(**config["oracle"] | {"beta": float(config["oracle"]["beta"])})
    except (KeyError, TypeError, ValueError) as error:
        raise PrefrlError(f"{folder / 'config.json'} was changed: {error!r}; restore it, or train anew") from error
    return config


def carry_out(folder: Path, *, quiet: bool) -> int:
    """Train from the newest checkpoint, or from the start, to the summary. Returns the exit code."""
    config = run_config(folder)
    if (folder / "summary.json").exists():
        print(f"{folder} is finished already; see `prefrl report {folder}` or `prefrl watch {folder}`")
        return 0
    torch.set_num_threads(config["threads"])
    keep_freed_memory()
    with only_process(folder), Progress(folder, config, quiet=quiet) as progress:
        run = Run(folder, seed=config["seed"], say=progress.say)
        run.catch_signals()
        try:
            summary = _train(run, config, progress)
        except Interrupted:
            progress.interrupted(run.next_round)
            raise
        progress.finished(summary)
    return 0


def _train(run: Run, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    task = build_task(config)
    loop = LoopConfig(**config["loop"] | {"fit": FitConfig(**config["loop"]["fit"])})
    with PreferenceStore(run.folder / "preferences.db") as store, _told(store):

        def check() -> None:
            run.check()
            store.beat("learning", every=BEAT_SECONDS)

        learner = build_learner(config, check=check)
        ensemble = build_ensemble(config, learner)
        if config["reward"] == "true":
            train_baseline(learner, ensemble, rounds=config["rounds"], config=loop, run=run)
        else:
            labeler: Labeler = Oracle(**config["oracle"] | {"beta": float(config["oracle"]["beta"])})
            if config["labeler"] == "people":
                labeler = People(
                    f"prefrl label {run.folder}", run.pause, progress.note, config.get("when_short", "block")
                )
            rounds, per_round = config["rounds"], loop.steps_per_round
            plan = label_plan(config["labels"], rounds * per_round, per_round, upfront=config["upfront"])
            if config["labeler"] == "recorded":
                source, plan = Path(config["labels_from"]), [0] * rounds
                labeler = Recorded(source, config["labels"])
            train(
                learner,
                ensemble,
                store,
                labeler,
                plan=plan,
                acquisition=ACQUISITIONS[config["acquisition"]],
                config=loop,
                run=run,
            )
        labels, asked = len(store), store.asked
    seconds = run.seconds
    # Seeds that no round and no other run of these tasks draws: evaluation never meets a training episode.
    seed = int(np.random.SeedSequence([run.seed, 2**31]).generate_state(1)[0] % 2**31)
    final = evaluate(learner, task, episodes=EVALUATION_EPISODES, seed=seed)
    random = evaluate(None, task, episodes=EVALUATION_EPISODES, seed=seed)
    summary = {
        "task": config["task"],
        "reward": config["reward"],
        "algo": config["algo"],
        "labels": labels,
        "asked": asked,
        "steps": learner.steps,
        "seed": run.seed,
        "true_return": float(final.mean()),
        "true_return_std": float(final.std()),
        "random_return": float(random.mean()),
        "episodes": EVALUATION_EPISODES,
        "wall_seconds": seconds,
        "steps_per_second": learner.steps / seconds,
        "seconds_fitting": run.total("seconds_fitting"),
    }
    write_json(run.folder / "summary.json", summary)
    return summary


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


def build_task(config: dict[str, Any]) -> Task:
    """The task of a run."""
    return Task(config["task"], **{f.name: config[f.name] for f in fields(Task) if f.name != "name"})


def build_learner(config: dict[str, Any], **settings: Any) -> ControlLearner:
    """The learner of a run, as it was before its first step."""
    return ControlLearner(
        build_task(config), LearnerConfig(**config["learner"]), seed=config["seed"], most_clips=1000, **settings
    )


def build_ensemble(config: dict[str, Any], learner: ControlLearner) -> RewardEnsemble:
    """The reward ensemble of a run, as it was before its first fit."""
    seed = int(np.random.SeedSequence([config["seed"], 2**31 + 1]).generate_state(1)[0])
    net = MLPReward(
        obs_size=learner.obs_size,
        act_size=learner.act_size,
        discrete=learner.discrete,
        members=config["members"],
        generator=torch.Generator().manual_seed(seed),
    )
    return RewardEnsemble(net, credit="each_step")


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
