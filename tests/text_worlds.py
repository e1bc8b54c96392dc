"""Tiny language models and prompts that several tests share."""

from collections.abc import Sequence

import torch

from prefrl.segments import SegmentBatch, Text, collate
from prefrl.text.generation import Answers
from prefrl.text.models import LanguageModel, TinyConfig, tiny_model
from prefrl.text.packing import as_segment

WORDS = [f"w{i}" for i in range(20)]


def tiny(seed: int = 0, words: Sequence[str] = WORDS, *, spread: float = 1.0) -> LanguageModel:
    """Two layers of 16 units; `spread` widens the weights, so that its distributions are far from uniform."""
    lm = tiny_model(words, TinyConfig(layers=2, hidden=16, heads=2, context=64), seed=seed)
    with torch.no_grad():
        for parameter in lm.model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(spread)
    return lm


def prompts_of(lengths: Sequence[int], seed: int = 0) -> list[list[int]]:
    """Random prompts without special tokens."""
    g = torch.Generator().manual_seed(seed)
    return [torch.randint(3, 3 + len(WORDS), (n,), generator=g).tolist() for n in lengths]


def as_batch(prompts: Sequence[Sequence[int]], answers: Answers, each: int = 1) -> SegmentBatch:
    """The answers as the networks see them."""
    rows = zip(answers.tokens, answers.mask.sum(dim=1).tolist(), strict=True)
    return collate([as_segment(prompts[i // each], t[:n].tolist(), Text("p", "a")) for i, (t, n) in enumerate(rows)])
