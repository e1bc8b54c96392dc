"""A run on a Gymnasium task."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from prefrl.commands.progress import Progress, duration, number, share
from prefrl.commands.training import Parts, check_loop, train_on_preferences
from prefrl.control.algorithms import LearnerConfig
from prefrl.control.assessing import assess
from prefrl.control.evaluation import evaluate
from prefrl.control.learner import ControlLearner
from prefrl.control.networks import reward_network
from prefrl.control.tasks import task_of
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import FitConfig
from prefrl.labelers import Recorded
from prefrl.runs import Run
from prefrl.store import PreferenceStore

UNIT = "steps"
EVALUATION_EPISODES = 20


def check(config: dict[str, Any]) -> None:
    """See `Domain`."""
    task_of(config)
    LearnerConfig(**config["learner"])
    check_loop(config)


def heading(config: dict[str, Any]) -> str:
    """See `Domain`."""
    c = config
    clip = f"{c['clip_steps'] / c['fps']:.1f} s" if c["clip_steps"] > 1 else "1 step"
    what = f"{c['labels']} comparisons by {c['labeler']} of clips of {clip}"
    if c["labeler"] == "recorded":
        what = f"{c['labels']} recorded answers of {c['labels_from']} (nobody is asked)"
    elif c["loop"].get("options", 2) > 2:
        what = f"{c['labels']} rankings of {c['loop']['options']}" + what.removeprefix(f"{c['labels']} comparisons")
    if c["loop"]["fit"].get("loss") == "squared_error":
        what = f"the true returns of the clips of {what}"
    if c["reward"] == "true":
        what = "its own reward (the baseline)"
    return (
        f"{c['task']} from {what}: {total(c):,} steps in {c['rounds']} rounds, "
        f"{c['algo'].upper()} in {c['learner']['num_envs']} environments, seed {c['seed']}"
    )


def total(config: dict[str, Any]) -> int:
    """See `Domain`."""
    return int(config["loop"]["warmup_steps"] + config["rounds"] * config["loop"]["steps_per_round"])


def lines(config: dict[str, Any], row: Mapping[str, float]) -> list[tuple[str, str]]:
    """See `Domain`."""
    shown = []
    if config["reward"] == "learned":
        asked, answered = int(row.get("asked", 0)), int(row.get("labels", 0))
        shown += [
            ("comparisons", f"{asked} asked, {answered} answered, of {config['labels']}"),
            ("reward model", f"{share(row.get('reward_accuracy'))} of held-out answers predicted"),
            ("predicted return", number(row.get("predicted_return"))),
        ]
    return [*shown, ("true return", number(row.get("true_return")))]


def train(run: Run, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """See `Domain`."""

    def build(store: PreferenceStore, check: Callable[[], None]) -> Parts:
        learner = build_learner(config, device=config.get("device", "cpu"), check=check)
        recorded = None
        if config["labeler"] == "recorded":
            recorded = Recorded(Path(config["labels_from"]), config["labels"])
        return Parts(learner, build_ensemble(config, learner), recorded)

    parts, done = train_on_preferences(run, config, progress, build)
    run.stage("measuring the final policy")
    learner, task = parts.learner, task_of(config)
    assert isinstance(learner, ControlLearner)
    # Seeds that no round and no other run of these tasks draws: evaluation never meets a training episode.
    seed = int(np.random.SeedSequence([run.seed, 2**31]).generate_state(1)[0] % 2**31)
    final = evaluate(learner, task, episodes=EVALUATION_EPISODES, seed=seed)
    random = evaluate(None, task, episodes=EVALUATION_EPISODES, seed=seed)
    quality = assess(learner, parts.ensemble, seed=seed + 1) if config["reward"] == "learned" else {}
    # Fitted to returns, the differences of the reward's claim to be no log-odds.
    if quality and FitConfig(**config["loop"]["fit"]).loss != "choice":
        quality["policy_calibration_error"] = math.nan
    return {
        "task": config["task"],
        "reward": config["reward"],
        "algo": config["algo"],
        "labels": done["labels"],
        "asked": done["asked"],
        "steps": learner.steps,
        "seed": run.seed,
        "true_return": float(final.mean()),
        "true_return_std": float(final.std()),
        "random_return": float(random.mean()),
        "episodes": EVALUATION_EPISODES,
        "wall_seconds": done["wall_seconds"],
        "steps_per_second": learner.steps / done["wall_seconds"],
        "seconds_fitting": run.total("seconds_fitting"),
        **quality,
    }


def ending(folder: Path, summary: Mapping[str, Any]) -> str:
    """See `Domain`."""
    return (
        f"true return {summary['true_return']:,.1f} ± {summary['true_return_std']:,.1f} over "
        f"{summary['episodes']} fresh episodes; a random policy: {summary['random_return']:,.1f}. "
        f"{summary['labels']} answers, {summary['steps']:,} steps in {duration(summary['wall_seconds'])} "
        f"({summary['steps_per_second']:,.0f} a second).\n"
        f"See it: prefrl report {folder}   prefrl watch {folder}"
    )


def build_learner(config: dict[str, Any], *, device: str = "cpu", **settings: Any) -> ControlLearner:
    """The learner of a run, as it was before its first step, on any device."""
    return ControlLearner(
        task_of(config),
        LearnerConfig(**config["learner"]),
        seed=config["seed"],
        most_clips=1000,
        device=device,
        **settings,
    )


def build_ensemble(config: dict[str, Any], learner: ControlLearner) -> RewardEnsemble:
    """The reward ensemble of a run, as it was before its first fit, on the learner's device."""
    seed = int(np.random.SeedSequence([config["seed"], 2**31 + 1]).generate_state(1)[0])
    venv = learner.venv
    net = reward_network(
        venv.observation_space,
        venv.action_space,
        members=config["members"],
        seed=seed,
        bfloat16=learner.config.bfloat16,
    )
    net.to(learner.model.device)
    return RewardEnsemble(net, credit="each_step", std=config.get("reward_std", 1.0))
