"""A reward model from comparisons that are there already."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefrl.commands.progress import Progress, duration, share
from prefrl.commands.text.setup import memory, open_learning
from prefrl.comparisons import Comparison
from prefrl.ensemble import RewardEnsemble
from prefrl.errors import PrefrlError
from prefrl.fitting import FitConfig, fit
from prefrl.measuring import preferences_of, reliability
from prefrl.runs import Run, newest_checkpoint, read_config
from prefrl.segments import collate, content_id
from prefrl.store import PreferenceStore
from prefrl.text.data import check_tokenizer, read_comparisons, read_demonstrations
from prefrl.text.heads import TrunkReward
from prefrl.text.models import LanguageModel

UNIT = "fits"
MOST_AT_ZERO = 256  # demonstrations that the mean reward is measured on


def fit_config(epochs: int, updates: int, batch_size: int, learning_rate: float, noise: float) -> FitConfig:
    """How the reward of text is fitted: little weight decay, left as it is, for a trunk that knows something.

    Each fit's step size rises and falls, as InstructGPT's does.
    """
    return FitConfig(
        first_epochs=epochs,
        updates=updates,
        batch_size=batch_size,
        learning_rate=learning_rate,
        warmup=0.05,
        measured=512,
        noise=noise,
        weight_decay=0.01,
        adaptation=1.0,
    )


def check(config: dict[str, Any]) -> None:
    """See `Domain`."""
    FitConfig(**config["fit"])


def heading(config: dict[str, Any]) -> str:
    """See `Domain`."""
    return (
        f"reward model of {config['members']} members on {config['model']} from {config['data']}, seed {config['seed']}"
    )


def total(config: dict[str, Any]) -> int:
    """See `Domain`."""
    return 1


def lines(config: dict[str, Any], row: Mapping[str, float]) -> list[tuple[str, str]]:
    """See `Domain`."""
    return [("held out", f"{share(row.get('held_out_accuracy'))} of the answers predicted")]


def build_ensemble(config: dict[str, Any], lm: LanguageModel) -> RewardEnsemble:
    """The reward ensemble of a run on a model's trunk, as it was before its first fit."""
    seed = int(np.random.SeedSequence([config["seed"], 2**31 + 1]).generate_state(1)[0])
    net = TrunkReward(
        lm,
        members=config["members"],
        trunks=config["members"] if config["own_trunks"] else 1,
        reading=config.get("reading", "last"),  # runs from before there was a choice read that way
        likelihood=config.get("likelihood", 0.0),
        generator=torch.Generator().manual_seed(seed),
    )
    zero = None
    if config["demonstrations"] is not None:
        shown = read_demonstrations(Path(config["demonstrations"]), lm)
        chosen = np.random.default_rng(seed).permutation(len(shown))[:MOST_AT_ZERO]
        zero = collate([shown[i] for i in chosen])
    return RewardEnsemble(net, credit="last_step", zero=zero)


def load_ensemble(folder: Path, lm: LanguageModel) -> RewardEnsemble:
    """The reward model that `prefrl text reward` or `train` left, for a policy that reads with the same tokenizer."""
    config = read_config(folder)
    newest = newest_checkpoint(folder)
    if config.get("domain") not in ("reward", "text") or newest is None:
        raise PrefrlError(f"{folder} holds no finished reward model; `prefrl text reward` makes one")
    from safetensors.torch import load_file

    own = open_learning(config | {"device": str(lm.device)})
    if own.tokenizer.get_vocab() != lm.tokenizer.get_vocab():
        raise PrefrlError(
            f"the reward model {folder} reads with the tokenizer of {config['model']}, the policy with another; fit a "
            "reward model on the policy's own trunk"
        )
    if config.get("reward_model") is not None:  # a run that learned on from another reward model
        ensemble = load_ensemble(Path(config["reward_model"]), own)
    else:
        ensemble = build_ensemble(config, own)
    ensemble.load_state_dict(load_file(newest / "ensemble.safetensors"))
    if not bool(ensemble.fitted):
        raise PrefrlError(f"{folder} fitted no reward model: it learned from the true reward; name another")
    return ensemble


def train(run: Run, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """See `Domain`."""
    lm = open_learning(config)
    comparisons = _comparisons(Path(config["data"]), lm)
    ensemble = build_ensemble(config, lm)
    learned, kept = split_prompts(comparisons, config["held_out"], run.generator(0, 1))
    run.restore(_Nothing(), ensemble)
    settings = FitConfig(**config["fit"])
    for round_ in run.remaining(1):
        run.stage(f"fitting the reward to {len(learned):,} answers")
        with memory(f"try --batch-size {max(1, settings.batch_size // 2)}"):
            fitted = fit(ensemble, learned, settings, run.generator(round_, 0), check=run.check)
            row = {"steps": 1.0, **fitted.metrics, **measure(ensemble, kept)}
        run.log(round_, row)
        run.save(round_, _Nothing(), ensemble, [], asked=0)
    return {
        "task": config["task"],
        "seed": run.seed,
        "comparisons": len(comparisons),
        "wall_seconds": run.seconds,
        **measure(ensemble, kept),
    }


class _Nothing:
    """A learner's place in a checkpoint, where there is none."""

    def save(self, folder: Path) -> None: ...

    def load(self, folder: Path) -> None: ...


def _comparisons(path: Path, lm: LanguageModel) -> list[Comparison]:
    if path.suffix != ".db":
        return read_comparisons(path, lm)
    if not path.is_file():
        raise PrefrlError(f"no file {path}; a run's answers are in its preferences.db")
    with PreferenceStore(path, pairs=True) as store:
        found = store.comparisons()
        if not found:
            raise PrefrlError(f"{path} holds no answers yet; label first: prefrl label {path.parent}")
        check_tokenizer(lm, store.segment(found[0].options[0].id), str(path))
        return found


def split_prompts(
    comparisons: Sequence[Comparison], share_: float, rng: np.random.Generator
) -> tuple[list[Comparison], list[Comparison]]:
    """What is learned from, and all comparisons of a share of the prompts."""
    names = [content_id(c.options[0].context, c.options[0].obs[:1]) for c in comparisons]
    distinct = sorted(set(names))
    count = min(len(distinct) - 1, round(share_ * len(distinct)))
    kept = {distinct[i] for i in rng.permutation(len(distinct))[:count]}
    sides: tuple[list[Comparison], list[Comparison]] = ([], [])
    for comparison, name in zip(comparisons, names, strict=True):
        sides[name in kept].append(comparison)
    return sides


def measure(ensemble: RewardEnsemble, kept: Sequence[Comparison]) -> dict[str, float]:
    """Accuracy and calibration of the ensemble's mean preference on comparisons that it never saw; NaN without any."""
    if not kept:
        return {"held_out_accuracy": math.nan, "calibration_error": math.nan}
    accuracy, error = reliability(*preferences_of(ensemble, kept))
    return {"held_out_accuracy": accuracy, "calibration_error": error}


def ending(folder: Path, summary: Mapping[str, Any]) -> str:
    """See `Domain`."""
    return (
        f"{share(summary['held_out_accuracy'])} of the answers to prompts held out predicted, calibration "
        f"error {summary['calibration_error']:.3f}; {summary['comparisons']:,} comparisons in "
        f"{duration(summary['wall_seconds'])}\nLearn from it: prefrl text train --reward-model {folder} ..."
    )
