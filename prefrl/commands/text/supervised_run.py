"""A run of supervised learning: pretraining or fine-tuning."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from prefrl.commands.progress import Progress, duration
from prefrl.commands.text.setup import be_quiet, memory, open_learning
from prefrl.errors import PrefrlError
from prefrl.runs import Run
from prefrl.text.data import as_example, read_demonstrations, read_texts
from prefrl.text.models import LanguageModel, TinyConfig, save_model, tiny_model
from prefrl.text.prompts import set_template
from prefrl.text.supervised import Example, Supervised, SupervisedConfig, blocks, mean_loss

UNIT = "epochs"


def check(config: dict[str, Any]) -> None:
    """See `Domain`."""
    SupervisedConfig(**config["learner"])
    if "tiny" in config:
        TinyConfig(**config["tiny"])


def heading(config: dict[str, Any]) -> str:
    """See `Domain`."""
    what = "a new model" if "tiny" in config else config["model"]
    return f"{config['task']} of {what} on {config['data']}: {config['rounds']} epochs"


def total(config: dict[str, Any]) -> int:
    """See `Domain`."""
    return int(config["rounds"])


def lines(config: dict[str, Any], row: Mapping[str, float]) -> list[tuple[str, str]]:
    """See `Domain`."""
    return [
        ("loss", f"{row.get('loss', math.nan):.3f} nats a token, held out {row.get('held_out_loss', math.nan):.3f}")
    ]


def train(run: Run, config: dict[str, Any], progress: Progress) -> dict[str, Any]:
    """See `Domain`."""
    lm, examples = _prepared(config)
    learned, kept = split_off(examples, config["held_out"], run.generator(0, 1))
    settings = SupervisedConfig(**config["learner"])
    learner = Supervised(lm, learned, settings)
    run.restore(learner, nn.Module())
    with memory(f"try --batch-size {max(1, settings.batch_size // 2)}"):
        for epoch in run.remaining(settings.epochs):
            run.stage(f"learning from {len(learned):,} examples")
            metrics = learner.epoch(run.generator(epoch, 0), run.check)
            held_out = mean_loss(lm, kept, batch_size=settings.batch_size)
            run.log(epoch, {"steps": epoch + 1.0, **metrics, "held_out_loss": held_out})
            run.save(epoch, learner, nn.Module(), [], asked=0)
    save_model(lm, run.folder / "model")
    return {
        "task": config["task"],
        "seed": run.seed,
        "parameters": sum(p.numel() for p in lm.model.parameters()),
        "examples": len(learned),
        "held_out_loss": mean_loss(lm, kept, batch_size=settings.batch_size),
        "wall_seconds": run.seconds,
    }


def _prepared(config: dict[str, Any]) -> tuple[LanguageModel, list[Example]]:
    if "tiny" in config:
        be_quiet()
        texts = read_texts(Path(config["documents"]))
        words = sorted({word for text in texts for word in text.split()})
        lm = tiny_model(words, TinyConfig(**config["tiny"]), seed=config["seed"])
        lm.model.to(config["device"])
        documents = lm.tokenizer(texts)["input_ids"]  # each begins with the end token of the one before
        found = blocks(documents, length=config["block"])
        if not found:
            raise PrefrlError(
                f"{config['documents']} holds {sum(map(len, documents))} tokens, less than the one block of "
                f"{config['block']} that is the least; bring more, or lower --block"
            )
        return lm, found
    lm = open_learning(config)
    if config["template"] is not None:
        set_template(lm, config["template"])
    examples = [as_example(segment) for segment in read_demonstrations(Path(config["data"]), lm)]
    return lm, examples


def split_off(
    examples: Sequence[Example], share: float, rng: np.random.Generator
) -> tuple[list[Example], list[Example]]:
    """What is learned from, and a share of all, drawn at random, that is not."""
    order = rng.permutation(len(examples))
    kept = min(len(examples) - 1, round(share * len(examples)))
    return [examples[i] for i in order[kept:]], [examples[i] for i in order[:kept]]


def ending(folder: Path, summary: Mapping[str, Any]) -> str:
    """See `Domain`."""
    held_out = summary["held_out_loss"]
    measured = "" if held_out is None or math.isnan(held_out) else f", {held_out:.3f} nats a token held out"
    return (
        f"{folder / 'model'}: {summary['parameters']:,} weights{measured}, "
        f"in {duration(summary['wall_seconds'])}\nTry it: prefrl text sample --model {folder} --prompt '...'"
    )
