"""Twenty simulated people who compare answers: Bradley-Terry over the gold score, and each one's own taste.

Calibrated so that two of them agree about as often as InstructGPT's people (72.6 % among those who labeled for
training, 77.3 % among held-out ones; Ouyang et al. 2022, section 3.4). Measured on 6,000 pairs of `attempts`, seed 0,
with 95 % intervals over pairs: 75.1 +- 0.5 % among training people, 73.4 +- 0.5 % between a training and a held-out
person, 71.7 +- 0.5 % among held-out people; 79.5 % of the training people's choices follow the gold score.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from prefrl_envs.tiny_instruct.scoring import Assessment, assess

PEOPLE, HELD_OUT = 20, 5
_PARTS = ("instruction", "constraint", "grammar", "truth", "entities", "relevance")
_SHARPNESS = 4.8  # utility per point of gold: sets how often two people agree
_TASTE = 0.5  # standard deviation of a person's weight on a part
_SEED = 1952  # of the people, who are the same in every run


@dataclass(frozen=True)
class SimulatedLabeler:
    """A person: P(a before b) = sigmoid(u(a) - u(b)), u = sharpness * gold + taste * parts + length + position."""

    name: str
    held_out: bool
    sharpness: float
    weights: tuple[float, ...]  # on the parts of an assessment, in the order of _PARTS
    position: float  # added to the answer shown first; below 0 for who prefers the later one
    length: float  # added per 20 tokens, up to 40

    def utility(self, assessment: Assessment) -> float:
        """How much the person likes an answer, in nats, wherever it is shown."""
        taste = sum(w * float(getattr(assessment, part)) for w, part in zip(self.weights, _PARTS, strict=True))
        return self.sharpness * assessment.gold + taste + self.length * min(assessment.tokens, 40) / 20

    def rank(self, prompt_text: str, answers: Sequence[str], rng: np.random.Generator) -> list[int]:
        """The places of the answers, the best first (Plackett-Luce, drawn by Gumbel noise)."""
        utilities = np.array([self.utility(assess(prompt_text, answer)) for answer in answers])
        utilities[0] += self.position * (1 + rng.normal())
        return [int(i) for i in np.argsort(-(utilities + rng.gumbel(size=len(answers))), kind="stable")]

    def compare(self, prompt_text: str, answers: Sequence[str], rng: np.random.Generator) -> int:
        """The place of the answer that the person prefers."""
        return self.rank(prompt_text, answers, rng)[0]


@lru_cache(maxsize=1)
def labelers() -> tuple[SimulatedLabeler, ...]:
    """The twenty people, the last five held out."""
    rng, found = np.random.default_rng(_SEED), []
    for number in range(PEOPLE):
        found.append(
            SimulatedLabeler(
                name=f"person-{number:02d}",
                held_out=number >= PEOPLE - HELD_OUT,
                sharpness=_SHARPNESS * float(rng.lognormal(0.0, 0.2)),
                weights=tuple((_TASTE * rng.normal(size=len(_PARTS))).tolist()),
                position=float(0.15 * rng.normal()),
                length=float(0.15 + 0.1 * rng.normal()),
            )
        )
    return tuple(found)


def training_labelers() -> tuple[SimulatedLabeler, ...]:
    """The fifteen from whose answers rewards are learned."""
    return tuple(person for person in labelers() if not person.held_out)


def held_out_labelers() -> tuple[SimulatedLabeler, ...]:
    """The five whose answers nothing is learned from."""
    return tuple(person for person in labelers() if person.held_out)
