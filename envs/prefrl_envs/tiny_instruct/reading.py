"""Reads a whole text: its sentences, what its pronouns mean, what happens in it and what is wrong with it."""

from functools import lru_cache
from typing import NamedTuple

from prefrl_envs.tiny_instruct.clauses import Clause
from prefrl_envs.tiny_instruct.lexicon import GROUND, NAMES, PLACES, THINGS
from prefrl_envs.tiny_instruct.parsing import Sentence, mend, split
from prefrl_envs.tiny_instruct.simulator import Context, World

ENTITIES = frozenset((*NAMES, *THINGS, *GROUND, *PLACES))


class Reading(NamedTuple):
    """A text as it was understood."""

    sentences: tuple[tuple[str, ...], ...]  # the words of each, with its mark
    parsed: tuple[Sentence | None, ...]  # what each says, slips mended; None where it is no sentence of the language
    formed: tuple[float, ...]  # how well each is formed, from 0 to 1: 1 without a slip
    clauses: tuple[tuple[Clause, ...], ...]  # of each sentence, pronouns resolved
    problems: tuple[str, ...]  # contradictions, pronouns that mean nobody
    world: World  # what is so at the end

    @property
    def flat(self) -> list[Clause]:
        """All clauses in order."""
        return [clause for clauses in self.clauses for clause in clauses]

    @property
    def tokens(self) -> int:
        """The number of words and marks."""
        return sum(len(sentence) for sentence in self.sentences)


@lru_cache(maxsize=1 << 12)
def read(text: str) -> Reading:
    """Understand a text over the vocabulary. Any text will do; what is no sentence is kept as such."""
    sentences = split(text.split())
    mended = [mend(sentence) for sentence in sentences]
    parsed, formed = tuple(said for said, _ in mended), tuple(well for _, well in mended)
    context, world = Context(), World()
    clauses, problems = [], list[str]()
    for sentence in parsed:
        told: list[Clause] = []
        if sentence is not None and sentence.form == "clause":
            for clause in context.understand(sentence.clauses):
                if clause is None:
                    problems.append("pronoun")
                else:
                    problems += world.tell(clause)
                    told.append(clause)
        clauses.append(tuple(told))
    return Reading(tuple(sentences), parsed, formed, tuple(clauses), tuple(problems), world)


def entities(text: str) -> frozenset[str]:
    """The names, things and places that a text speaks of."""
    return ENTITIES.intersection(text.split())
