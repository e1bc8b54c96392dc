"""Answers such as policies of mixed skill give, for measuring people and reward models before there is a policy."""

import numpy as np

from prefrl_envs.tiny_instruct.demonstrations import demonstration
from prefrl_envs.tiny_instruct.lexicon import vocabulary
from prefrl_envs.tiny_instruct.prompts import Prompt
from prefrl_envs.tiny_instruct.stories import invent, narrate

# kind of attempt: how often
SHARES = {"good": 0.3, "slips": 0.3, "neighbor": 0.15, "short": 0.1, "padded": 0.1, "repeated": 0.05}
_MOST_SLIPS = 4


def attempt(prompt: Prompt, neighbor: Prompt, rng: np.random.Generator) -> str:
    """An answer to the prompt: a demonstration, or one that is damaged, or one that fits `neighbor` instead.

    Of every 100: 30 demonstrations; 30 with one to four words dropped, replaced by any word or swapped; 15 answers to
    the neighbor; 10 cut off; 10 with a sentence that nobody asked for; 5 said twice.
    """
    kind = list(SHARES)[int(rng.choice(len(SHARES), p=list(SHARES.values())))]
    said = demonstration(neighbor if kind == "neighbor" else prompt, rng).split()
    if kind == "slips":
        for _ in range(int(rng.integers(1, _MOST_SLIPS + 1))):
            _slip(said, rng)
    elif kind == "short":
        said = said[: int(rng.integers(1, len(said)))] if len(said) > 1 else said
    elif kind == "padded":
        told = narrate(invent(rng), rng)
        said += told[: told.index(".") + 1]
    elif kind == "repeated":
        said += said
    return " ".join(said)


def pairs(asked: list[Prompt], rng: np.random.Generator) -> list[tuple[Prompt, tuple[str, str]]]:
    """For each prompt two different attempts; the neighbor is another prompt of the same kind where there is one."""
    by_kind: dict[str, list[Prompt]] = {}
    for prompt in asked:
        by_kind.setdefault(prompt.kind, []).append(prompt)
    found = []
    for prompt in asked:
        near = by_kind[prompt.kind]
        one = other = attempt(prompt, near[int(rng.integers(len(near)))], rng)
        while one == other:
            other = attempt(prompt, near[int(rng.integers(len(near)))], rng)
        found.append((prompt, (one, other)))
    return found


def _slip(said: list[str], rng: np.random.Generator) -> None:
    """Drop a word, replace it or swap it with the next, in place."""
    at, form = int(rng.integers(len(said))), int(rng.integers(3))
    if form == 0 and len(said) > 1:
        del said[at]
    elif form == 1:
        said[at] = vocabulary()[int(rng.integers(len(vocabulary())))]
    elif at + 1 < len(said):
        said[at], said[at + 1] = said[at + 1], said[at]
