"""Tiny language models and prompts that several tests share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from transformers import GPT2Config, GPT2LMHeadModel

from prefrl.comparisons import Comparison
from prefrl.ensemble import RewardEnsemble
from prefrl.segments import SegmentBatch, Text, collate
from prefrl.text.generation import Answers
from prefrl.text.heads import TrunkReward
from prefrl.text.learner import TextLearner
from prefrl.text.models import LanguageModel, TinyConfig, tiny_model
from prefrl.text.packing import as_segment
from prefrl.text.policy import Gold, Prompt
from prefrl.text.settings import Algorithm, TextConfig

WORDS = [f"w{i}" for i in range(20)]


def tiny(seed: int = 0, words: Sequence[str] = WORDS, *, spread: float = 1.0) -> LanguageModel:
    """Two layers of 16 units; `spread` widens the weights, so that its distributions are far from uniform."""
    lm = tiny_model(words, TinyConfig(layers=2, hidden=16, heads=2, context=64), seed=seed)
    with torch.no_grad():
        for parameter in lm.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(spread)
    return lm


def gpt2(seed: int = 0, *, spread: float = 1.0) -> GPT2LMHeadModel:
    """The same of another kind, which tells positions by learned vectors; it has dropout, which must stay off."""
    torch.manual_seed(seed)
    size = len(WORDS) + 3
    config = GPT2Config(vocab_size=size, n_positions=64, n_embd=16, n_layer=2, n_head=2, bos_token_id=2, eos_token_id=2)
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(spread)
    return model


def prompts_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Random prompts without special tokens."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 3 + len(WORDS), (n,), generator=g).tolist() for n in lengths]


def as_batch(prompts: Sequence[Sequence[int]], answers: Answers, each: int = 1) -> SegmentBatch:
    """The answers as the networks see them."""
    rows = zip(answers.tokens, answers.mask.sum(dim=1).tolist(), strict=True)
    return collate([as_segment(prompts[i // each], t[:n].tolist(), Text("p", "a")) for i, (t, n) in enumerate(rows)])


def count_gold(prompt: str, answer: str) -> float:
    """What the tests' world likes: w0 to w4. A word drawn at random is worth nothing, and so is ending early."""
    return float(sum(3 if w in WORDS[:5] else -1 for w in answer.split())) / 8


def small(algo: Algorithm = "ppo", **settings: Any) -> TextConfig:
    """A learner that is quick to run."""
    return replace(
        TextConfig(
            algo,
            batch_size=32,
            minibatch_size=16,
            most_tokens=8,
            learning_rate=3e-3,
            value_learning_rate=3e-3,
            missing_end_penalty=0.0,
        ),
        **settings,
    )


def learner(
    algo: Algorithm = "ppo",
    *,
    lm: LanguageModel | None = None,
    seed: int = 0,
    gold: Gold = count_gold,
    comparisons: Callable[[], Sequence[Comparison]] | None = None,
    critic_from: torch.nn.Module | None = None,
    **settings: Any,
) -> TextLearner:
    """A small learner over 12 prompts."""
    prompts = [Prompt(f"p{i}", tuple(ids)) for i, ids in enumerate(prompts_of([2, 3, 4, 5] * 3))]
    return TextLearner(
        lm or tiny(seed),
        prompts,
        small(algo, **settings),
        seed=seed,
        check=lambda: None,
        gold=gold,
        comparisons=comparisons,
        critic_from=critic_from,
    )


def text_ensemble(lm: LanguageModel, *, members: int = 3, seed: int = 0) -> RewardEnsemble:
    """A reward ensemble on a copy of a model's trunk, untrained."""
    net = TrunkReward(lm, members=members, generator=torch.Generator().manual_seed(seed))
    return RewardEnsemble(net, credit="last_step")


@dataclass(frozen=True)
class Fan:
    """A simulated person who likes one word, and what is shown first where that decides nothing."""

    name: str
    word: str

    def rank(self, prompt: str, answers: Sequence[str], rng: np.random.Generator, /) -> list[int]:
        """The places of the answers, those with the word first."""
        return sorted(range(len(answers)), key=lambda i: self.word not in answers[i].split())


def fans() -> list[Fan]:
    """Two people."""
    return [Fan("zoe", "w1"), Fan("max", "w1")]


def nobody() -> list[Fan]:
    """No people."""
    return []
