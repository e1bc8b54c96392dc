"""Simulated people as labelers: any that can rank answers to a prompt, such as those of a text world."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from prefrl.comparisons import Judgment, Query, Ranking, reordered
from prefrl.errors import PrefrlError
from prefrl.segments import Text
from prefrl.store import PreferenceStore


@runtime_checkable
class Person(Protocol):
    """Somebody with taste and chance of their own."""

    @property
    def name(self) -> str:
        """Who signs the answers."""

    def rank(self, prompt: str, answers: Sequence[str], rng: np.random.Generator, /) -> list[int]:
        """The places of the answers in the order in which they are shown, the best first."""


@dataclass(frozen=True, eq=False)
class SimulatedPeople:
    """Each question is answered by one of several people, drawn by lot, who signs by name.

    Who answers, in which order the answers are shown and what the person says depend on `seed` and on the question
    alone, never on the order of questions or options, nor on an interruption. Two answers are compared, more ranked.
    """

    people: Sequence[Person]
    seed: int
    source: str  # what made them, kept with every answer

    def attend(self, store: PreferenceStore) -> None:
        """Answer all that is pending, the answers of one person in one transaction."""
        answered: dict[str, list[tuple[Query, Judgment]]] = defaultdict(list)
        for query in store.pending():
            person, judgment = self.judge(query)
            answered[person.name].append((query, judgment))
        for name, pairs in answered.items():
            store.answer_all(pairs, labeler=name, provenance={"simulated": self.source, "seed": self.seed})

    def judge(self, query: Query) -> tuple[Person, Judgment]:
        """Who answers a question, and what, in the order of its options."""
        rng = np.random.default_rng([self.seed, int(query.id, 16)])
        person = self.people[int(rng.integers(len(self.people)))]
        options = sorted(query.options, key=lambda option: option.id)
        shown = [options[i] for i in rng.permutation(len(options))]
        views = [option.view for option in shown if isinstance(option.view, Text)]
        if len(views) < len(shown):
            raise PrefrlError("simulated people read texts, and these options have none; let an oracle or people label")
        order = person.rank(views[0].prompt, [view.answer for view in views], rng)
        if sorted(order) != list(range(len(shown))):
            raise PrefrlError(
                f"{person.name} of {self.source} ranks {len(shown)} answers as {order}: not each place once"
            )
        ranks = tuple(order.index(i) for i in range(len(shown)))
        judgment: Judgment = Ranking(ranks) if len(shown) > 2 else tuple(float(rank == 0) for rank in ranks)
        return person, reordered(judgment, [option.id for option in shown], [option.id for option in query.options])
