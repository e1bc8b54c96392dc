"""Supervised learning: language modeling on documents, and imitation of demonstrations."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from prefrl.errors import require
from prefrl.fitting import cosine_schedule
from prefrl.state_files import load_state, save_state
from prefrl.text.models import LanguageModel, hidden_states, trainable, trunk
from prefrl.text.packing import chosen_log_probs
from prefrl.text.policy import adam


class Example(NamedTuple):
    """Tokens of which those from `first` on are learned; the ones before are given."""

    ids: tuple[int, ...]
    first: int  # at least 1: the first token of all follows nothing


def blocks(documents: Sequence[Sequence[int]], *, length: int) -> list[Example]:
    """Documents, end to end, cut into blocks of one length, of which every token but the first is learned.

    Blocks overlap by one token, so that each token of the documents is learned once; a rest too short is dropped.
    """
    stream = [token for document in documents for token in document]
    starts = range(0, max(0, len(stream) - length), length)
    return [Example(tuple(stream[start : start + length + 1]), 1) for start in starts]


def example_loss(lm: LanguageModel, examples: Sequence[Example]) -> tuple[Tensor, int]:
    """Sum of -log p over the learned tokens, in nats, and how many there are."""
    longest = max(len(example.ids) for example in examples)
    ids = torch.zeros(len(examples), longest, dtype=torch.long)
    learned = torch.zeros(len(examples), longest, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        learned[row, example.first : len(example.ids)] = True
    ids, learned = ids.to(lm.device), learned.to(lm.device)
    with lm.autocast():
        states = hidden_states(trunk(lm.causal), ids[:, :-1])[learned[:, 1:]]
        log_probs = chosen_log_probs(lm.causal.get_output_embeddings(), states, ids[learned])
    return -log_probs.sum(), int(learned.sum())


def document_loss(lm: LanguageModel, examples: Sequence[Example], n: int, rng: np.random.Generator) -> Tensor:
    """Mean -log p of a token in `n` examples drawn at random."""
    loss, tokens = example_loss(lm, [examples[i] for i in rng.integers(len(examples), size=n)])
    return loss / tokens


@dataclass(frozen=True)
class SupervisedConfig:
    """How a language model is fitted to texts."""

    epochs: int = 3
    """Passes over the texts."""
    batch_size: int = 32
    """Texts in one update."""
    learning_rate: float = 1e-3
    """Adam's step size at its highest; it falls to a tenth along a cosine (InstructGPT, appendix C.1)."""
    warmup: float = 0.05
    """Share of the updates over which the step size rises."""
    max_grad_norm: float = 1.0

    def __post_init__(self) -> None:
        require(self.epochs >= 1, "--epochs", "at least 1", self.epochs)
        require(self.batch_size >= 1, "--batch-size", "at least 1", self.batch_size)
        require(0 < self.learning_rate < math.inf, "--learning-rate", "above 0 and finite", self.learning_rate)


class Supervised:
    """A language model under supervised learning, pass by pass."""

    def __init__(self, lm: LanguageModel, examples: Sequence[Example], config: SupervisedConfig) -> None:
        self.lm, self.examples, self.config = lm, examples, config
        self.weights = trainable(lm.model)
        self._optimizer = adam(self.weights.values(), config.learning_rate)
        self.updates = 0
        self.total = config.epochs * math.ceil(len(examples) / config.batch_size)

    def epoch(self, rng: np.random.Generator, check: Callable[[], None]) -> dict[str, float]:
        """One pass in random order; texts of like length lie together, so that little is padded."""
        (group,) = self._optimizer.param_groups
        losses, tokens = 0.0, 0
        torch.manual_seed(int(rng.integers(2**31)))  # of dropout, where a model has any
        self.lm.model.train()
        for chosen in self._minibatches(rng):
            check()
            group["lr"] = self.config.learning_rate * cosine_schedule(self.updates, self.total, self.config.warmup)
            loss, count = example_loss(self.lm, [self.examples[i] for i in chosen])
            torch.autograd.backward(loss / count)
            nn.utils.clip_grad_norm_(group["params"], self.config.max_grad_norm)
            self._optimizer.step()
            self._optimizer.zero_grad()
            self.updates += 1
            losses, tokens = losses + float(loss.detach()), tokens + count
        self.lm.model.eval()
        return {"updates": float(self.updates), "loss": losses / tokens, "tokens": float(tokens)}

    def _minibatches(self, rng: np.random.Generator) -> list[np.ndarray]:
        order = rng.permutation(len(self.examples))
        size = self.config.batch_size
        pools = [order[start : start + 16 * size] for start in range(0, len(order), 16 * size)]
        lengths = np.array([len(example.ids) for example in self.examples])
        sorted_pools = [pool[np.argsort(lengths[pool], kind="stable")] for pool in pools]
        parts = [pool[start : start + size] for pool in sorted_pools for start in range(0, len(pool), size)]
        return [parts[i] for i in rng.permutation(len(parts))]

    def save(self, folder: Path) -> None:
        """Weights, optimizer, counter."""
        state = {"weights": dict(self.weights), "optimizer": self._optimizer.state_dict(), "updates": self.updates}
        save_state(folder, "learner", state)

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""
        state = load_state(folder, "learner")
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
        self._optimizer.load_state_dict(state["optimizer"])
        self.updates = state["updates"]


@torch.no_grad()
def mean_loss(lm: LanguageModel, examples: Sequence[Example], *, batch_size: int) -> float:
    """Nats a learned token, over all examples; NaN without any."""
    losses, tokens = 0.0, 0
    for start in range(0, len(examples), batch_size):
        loss, count = example_loss(lm, examples[start : start + batch_size])
        losses, tokens = losses + float(loss), tokens + count
    return losses / tokens if tokens else math.nan
