"""A run that learns from comparisons of answers."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from prefrl.commands.progress import Progress, duration, number, share
from prefrl.commands.text.reward_run import build_ensemble, load_ensemble
from prefrl.commands.text.setup import find_gold, find_people, memory, open_learning, open_model
from prefrl.commands.training import Parts, check_loop, train_on_preferences
from prefrl.ensemble import RewardEnsemble
from prefrl.files import write_json
from prefrl.labelers import Labeler
from prefrl.runs import Run
from prefrl.segments import Segment, Text, collate
from prefrl.store import PreferenceStore
from prefrl.text.best_of import best_of_curve
from prefrl.text.data import check_tokenizer, read_documents, read_prompts
from prefrl.text.heads import TrunkReward
from prefrl.text.judge import ModelLabeler
from prefrl.text.learner import TextLearner
from prefrl.text.models import LanguageModel, save_model
from prefrl.text.policy import Gold, Prompt, answer, check_lengths
from prefrl.text.settings import TextConfig
from prefrl.text.simulated import SimulatedPeople
from prefrl.text.supervised import blocks

UNIT = "answers"
EVALUATION_PROMPTS = 500  # at most
BEST_OF_PROMPTS = 64  # at most
BEST_OF = "best_of.json"  # in a run's folder, where `prefrl report` finds it


def check(config: dict[str, Any]) -> None:
    """See `Domain`."""
    TextConfig(**config["learner"])
    check_loop(config)


def heading(config: dict[str, Any]) -> str:
    """See `Domain`."""
    options = config["loop"].get("options", 2)
    asked = "comparisons" if options == 2 else f"rankings of {options}"
    what = f"{config['labels']} {asked} by {config['labeler']}"
    if config["reward"] == "true":
        what = "the gold standard (the upper bound)"
    elif not config["labels"]:
        what = f"the reward model {config['reward_model']}"
    return (
        f"{config['model']} answers {config['prompts']}, from {what}: {total(config):,} answers in "
        f"{config['rounds']} rounds, {config['algo'].upper()}, seed {config['seed']}"
    )


def total(config: dict[str, Any]) -> int:
    """See `Domain`."""
    return int(config["loop"]["warmup_steps"] + config["rounds"] * config["loop"]["steps_per_round"])


def lines(config: dict[str, Any], row: Mapping[str, float]) -> list[tuple[str, str]]:
    """See `Domain`."""
    shown = []
    if config["reward"] == "learned":
        asked, answered = int(row.get("asked", 0)), int(row.get("labels", 0))
        trusted = f"{share(row.get('reward_accuracy'))} of held-out answers predicted"
        if config["gold"] is not None:
            trusted += f", {share(row.get('newest_accuracy'))} of the newest policy's pairs ordered as gold does"
        shown += [
            ("comparisons", f"{asked} asked, {answered} answered, of {config['labels']}"),
            ("reward model", trusted),
            ("predicted reward", f"{row.get('predicted_return', math.nan):.2f}"),
        ]
    if config["gold"] is not None:
        shown.append(("gold", f"{row.get('true_return', math.nan):.3f}"))
    return [*shown, ("divergence", f"{number(row.get('kl'))} nats, {row.get('tokens', math.nan):.0f} tokens an answer")]


def train(run: Run, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """See `Domain`."""
    settings = TextConfig(**config["learner"])
    advice = f"try --minibatch-size {max(1, settings.minibatch_size // 2)} and --batch-size {settings.batch_size // 2}"
    with memory(advice):
        parts, done = train_on_preferences(
            run, config, progress, lambda store, check: _build(config, store, check, progress)
        )
        run.stage("measuring the final policy")
        learner = parts.learner
        assert isinstance(learner, TextLearner)
        averaged = learner.policy.averaged()
        measured = _evaluate(config, learner, averaged, parts.ensemble)
        if config.get("best_of") and config["gold"] is not None and config["reward"] == "learned":
            write_json(run.folder / BEST_OF, _best_of(config, learner, parts.ensemble))
    save_model(averaged, run.folder / "model")
    return {
        "task": config["task"],
        "reward": config["reward"],
        "algo": config["algo"],
        "labels": done["labels"],
        "asked": done["asked"],
        "steps": learner.steps,
        "seed": run.seed,
        **measured,
        "wall_seconds": done["wall_seconds"],
        "steps_per_second": learner.steps / done["wall_seconds"],
        "seconds_fitting": run.total("seconds_fitting"),
    }


def _build(config: dict[str, Any], store: PreferenceStore, check: Callable[[], None], progress: Progress) -> Parts:
    lm = open_learning(config)
    _check_store(lm, store)
    prompts = read_prompts(Path(config["prompts"]), lm)
    settings = TextConfig(**config["learner"])
    # What is needed only in the end is missed at once.
    check_lengths(lm, _evaluation_prompts(config, lm, prompts)[:EVALUATION_PROMPTS], settings.most_tokens)
    documents = []
    if settings.pretraining > 0 and config["documents"] is not None:
        documents = blocks(read_documents(Path(config["documents"]), lm), length=min(128, lm.context - 1))
    if config["reward_model"] is not None:
        ensemble = load_ensemble(Path(config["reward_model"]), lm)
    else:
        ensemble = build_ensemble(config, lm)
    assert isinstance(ensemble.net, TrunkReward)
    learner = TextLearner(
        lm,
        prompts,
        settings,
        seed=config["seed"],
        check=check,
        gold=find_gold(config["gold"]),
        critic_from=ensemble.net.trunks[0],
        comparisons=store.comparisons,
        documents=documents,
    )
    labeler: Labeler | None = None
    kind, _, who = config["labeler"].partition(":")
    if kind == "judge" and config["labels"]:
        labeler = _judge(config, learner, progress)
    elif kind == "simulated":
        labeler = SimulatedPeople(find_people(who), config["seed"], who)
    return Parts(learner, ensemble, labeler)


def _check_store(lm: LanguageModel, store: PreferenceStore) -> None:
    if answered := store.answers():
        check_tokenizer(lm, store.segment(answered[0].option_ids[0]), str(store.path))


def _judge(config: dict[str, Any], learner: TextLearner, progress: Progress) -> Labeler:
    """A model as labeler, whose agreement with the gold standard is said before it is used, where there is one."""
    from prefrl.comparisons import propose
    from prefrl.text.judge import agreement

    name = config["labeler"].removeprefix("judge:")
    judge = ModelLabeler(open_model(name, config["device"]), config["labeler"])
    if config["gold"] is None:
        return judge
    generator = torch.Generator().manual_seed(config["seed"])
    acted = learner.policy.act(learner.prompts[:50], 2, generator, lambda: None)
    queries = propose(acted.segments, 50, rng=np.random.default_rng(config["seed"]))
    golds = [[float(o.true_reward.sum()) for o in q.options if o.true_reward is not None] for q in queries]
    alike, decided = agreement(judge, queries, golds)
    if decided:
        progress.remark(
            f"the judge {name} agrees with the gold standard on {alike} of {decided} pairs ({alike / decided:.0%})"
        )
    return judge


def _evaluate(
    config: dict[str, Any], learner: TextLearner, averaged: LanguageModel, ensemble: RewardEnsemble
) -> dict[str, float]:
    """Gold and predicted reward of one answer to each prompt, of the averaged policy and of the reference."""
    prompts = _evaluation_prompts(config, learner.policy.lm, learner.prompts)[:EVALUATION_PROMPTS]
    reference = open_model(config["model"], config["device"])
    seed = _evaluation_seed(config, 0)
    measured: dict[str, float] = {"episodes": len(prompts)}
    for name, lm in (("", averaged), ("start_", reference)):
        segments = _answers(lm, prompts, learner.config, seed=seed, each=1)
        with torch.no_grad():
            measured[f"{name}predicted_return"] = float(ensemble.reward(collate(segments)).sum(dim=1).mean())
        true = _worth(segments, find_gold(config["gold"]))
        measured[f"{name}true_return"] = float(true.mean())
        measured[f"{name}true_return_std"] = float(true.std())
    return measured


def _evaluation_prompts(config: dict[str, Any], lm: LanguageModel, asked: Sequence[Prompt]) -> Sequence[Prompt]:
    return asked if config["evaluation"] is None else read_prompts(Path(config["evaluation"]), lm)


def _evaluation_seed(config: dict[str, Any], part: int) -> int:
    """One that no round draws."""
    return int(np.random.SeedSequence([config["seed"], 2**31]).generate_state(part + 1)[part])


def _best_of(config: dict[str, Any], learner: TextLearner, ensemble: RewardEnsemble) -> dict[str, Any]:
    """Best-of-n of the reference by the final reward."""
    prompts = _evaluation_prompts(config, learner.policy.lm, learner.prompts)[:BEST_OF_PROMPTS]
    reference, gold = open_model(config["model"], config["device"]), find_gold(config["gold"])
    return measure_best_of(
        reference, ensemble, prompts, gold, learner.config, most=config["best_of"], seed=_evaluation_seed(config, 1)
    )


def measure_best_of(
    lm: LanguageModel,
    ensemble: RewardEnsemble,
    prompts: Sequence[Prompt],
    gold: Gold | None,
    config: TextConfig,
    *,
    most: int,
    seed: int,
) -> dict[str, Any]:
    """What best-of-n by a reward comes to for n up to `most`, by the reward itself and by gold: for `best_of.json`.

    The standard deviations are those of single answers: in them predicted and true reward can be held side by side.
    """
    segments = _answers(lm, prompts, config, seed=seed, each=most)
    shape = (len(prompts), most)
    with torch.no_grad():
        predicted = ensemble.reward(collate(segments)).sum(dim=1).double().numpy().reshape(shape)
    true = _worth(segments, gold).reshape(shape)
    return {
        "prompts": len(prompts),
        "answers": most,
        "seed": seed,
        "predicted_return_std": float(predicted.std()),
        "true_return_std": float(true.std()),
        "curve": best_of_curve(predicted, true),
    }


def _answers(
    lm: LanguageModel, prompts: Sequence[Prompt], config: TextConfig, *, seed: int, each: int
) -> list[Segment]:
    """`each` answers to every prompt, as a run's policy gives them."""
    segments, _ = answer(
        lm,
        prompts,
        each=each,
        most_tokens=config.most_tokens,
        temperature=config.temperature,
        generator=torch.Generator().manual_seed(seed),
    )
    return segments


def _worth(segments: Sequence[Segment], gold: Gold | None) -> np.ndarray:
    """[n] what answers are truly worth; NaN without a gold standard."""
    views = [segment.view for segment in segments if isinstance(segment.view, Text)]
    return np.array([math.nan if gold is None else gold(view.prompt, view.answer) for view in views])


def ending(folder: Path, summary: Mapping[str, Any]) -> str:
    """See `Domain`."""
    before, after = summary["start_true_return"], summary["true_return"]
    if after is None or math.isnan(after):
        before, after, what = summary["start_predicted_return"], summary["predicted_return"], "predicted reward"
    else:
        what = "gold"
    return (
        f"{what} {after:.3f}, before {before:.3f}, on {summary['episodes']} prompts. "
        f"{summary['labels']} answers of labelers, {summary['steps']:,} of the policy in "
        f"{duration(summary['wall_seconds'])} ({summary['steps_per_second']:,.0f} a second).\n"
        f"See it: prefrl report {folder}   prefrl text sample --model {folder} --prompt '...'"
    )
