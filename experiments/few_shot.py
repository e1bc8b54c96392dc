"""Which demonstrations to put before a prompt, so that a base model without any training answers as well as it can.

InstructGPT's few-shot baseline uses the prefix that won a contest (section 3.5). Here the contest is between sets of
demonstrations drawn at random, on prompts of training customers, by the gold score:

    shots, scores = best_shots(lm, demonstrations, prompts, gold, template=SHOTS, rng=np.random.default_rng(seed))

`lm` is the base model (`open_model(folder, "cpu")`); `demonstrations` and `prompts` are training customers', never the
test's; `gold(prompt, answer)` must cut off by itself what a base model says after its answer (a next question). The
winner, written as JSON lines, is what `prefrl text sample --few-shot` reads.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch

from prefrl.text.generation import sample
from prefrl.text.models import LanguageModel
from prefrl.text.prompts import behind_shots, decode_answers

Shot = tuple[str, str]  # prompt, answer


def best_shots(
    lm: LanguageModel,
    demonstrations: Sequence[Shot],
    prompts: Sequence[str],
    gold: Callable[[str, str], float],
    *,
    template: str,
    rng: np.random.Generator,
    sets: int = 8,
    shots: int = 3,
    most_tokens: int = 48,
) -> tuple[list[Shot], list[float]]:
    """The set of demonstrations by which the model's answers to the prompts have the highest mean gold, and all scores.

    `sets` sets of `shots` are drawn; one that leaves too little of the context for the longest prompt and its answer is
    not tried. Scores are in the order of the sets, one answer to each prompt.
    """
    tried: list[list[Shot]] = []
    for _ in range(20 * sets):
        drawn = [demonstrations[i] for i in rng.choice(len(demonstrations), shots, replace=False)]
        longest = max(len(ids) for ids in _tokens(lm, template, drawn, prompts))
        if longest + most_tokens <= lm.context:
            tried.append(drawn)
        if len(tried) == sets:
            break
    if not tried:
        raise ValueError(f"no {shots} demonstrations leave room for a prompt and {most_tokens} of {lm.context} tokens")
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    scores = []
    for drawn in tried:
        answers = sample(lm, _tokens(lm, template, drawn, prompts), most=most_tokens, generator=generator)
        texts = decode_answers(lm, [t[m].tolist() for t, m in zip(answers.tokens, answers.mask, strict=True)])
        scores.append(float(np.mean([gold(prompt, text) for prompt, text in zip(prompts, texts, strict=True)])))
    return tried[int(np.argmax(scores))], scores


def _tokens(lm: LanguageModel, template: str, shots: Sequence[Shot], prompts: Sequence[str]) -> list[list[int]]:
    ids: list[list[int]] = lm.tokenizer([behind_shots(template, shots, prompt) for prompt in prompts])["input_ids"]
    return ids
