"""A language model as labeler: it reads both orders of a pair, and its log-probabilities are the answer."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from prefrl.comparisons import Query
from prefrl.errors import PrefrlError
from prefrl.segments import Segment, Text
from prefrl.store import PreferenceStore
from prefrl.text.models import LanguageModel
from prefrl.text.prompts import encode_prompt

TEMPLATE = """Which answer to the instruction is better?
Instruction: {prompt}
Answer A: {a}
Answer B: {b}
The better answer is"""
MOST_ONE_SIDED = 0.95  # share of pairs at which a judge may name the same place in both orders
LEAST_PAIRS = 8  # before that is held against it


@dataclass(frozen=True, eq=False)
class ModelLabeler:
    """Answers pairs softly: P(A) in one order and P(B) in the other, averaged (Lee et al. 2023; Bai et al. 2022).

    A judge that names the same place whatever stands there knows nothing of the answers: it is refused, with the
    share of pairs at which it did.
    """

    lm: LanguageModel
    name: str
    template: str = TEMPLATE
    choices: tuple[str, str] = (" A", " B")

    def attend(self, store: PreferenceStore) -> None:
        """Answer all that is pending, in one transaction."""
        queries = store.pending()
        if not queries:
            return
        first = [self.first_is_better(q.options) for q in queries]
        self.check_sides(first)
        answers = [(q, soft_answer(*p)) for q, p in zip(queries, first, strict=True)]
        how: dict[str, Any] = {"template": self.template, "choices": list(self.choices)}
        store.answer_all(answers, labeler=self.name, provenance=how)

    def first_is_better(self, options: Sequence[Segment]) -> tuple[float, float]:
        """P(the answer named first is better) with the options in their order, and in the other."""
        if len(options) != 2:
            raise PrefrlError(f"a model judges pairs, this question has {len(options)} options; ask with 2")
        views = [option.view for option in options]
        if not all(isinstance(view, Text) for view in views):
            raise PrefrlError("a model judges texts, and these options have none; let an oracle or people label")
        a, b = (view for view in views if isinstance(view, Text))
        return self.both_orders(a, b)

    def both_orders(self, a: Text, b: Text) -> tuple[float, float]:
        """P(the answer named first is better) for a before b, and for b before a."""
        return self._prefers_first(a, b), self._prefers_first(b, a)

    @torch.no_grad()
    def _prefers_first(self, a: Text, b: Text) -> float:
        asked = encode_prompt(self.lm, self.template.format(prompt=a.prompt, a=a.answer, b=b.answer))
        if len(asked) >= self.lm.context:
            raise PrefrlError(
                f"the judge {self.name} reads {self.lm.context} tokens, a question has {len(asked)}; shorten the "
                "template"
            )
        with self.lm.autocast():
            out = self.lm.model(input_ids=torch.tensor([asked], device=self.lm.device), logits_to_keep=1)
        log_probs = torch.log_softmax(out.logits[0, -1].float(), dim=-1)
        first, second = log_probs[list(self._tokens())].tolist()
        return 1.0 / (1.0 + math.exp(second - first))

    def _tokens(self) -> tuple[int, int]:
        """The first token of each choice. Raises PrefrlError if they are the same."""
        first, second = (self.lm.tokenizer(c, add_special_tokens=False)["input_ids"][:1] for c in self.choices)
        if not first or not second or first == second:
            raise PrefrlError(
                f"the judge {self.name} cannot tell {self.choices[0]!r} from {self.choices[1]!r} by their first token; "
                "name other choices"
            )
        return int(first[0]), int(second[0])

    def check_sides(self, first: Sequence[tuple[float, float]]) -> None:
        """Raise PrefrlError if nearly all of these pairs were decided by place."""
        share = one_sided(first)
        if len(first) >= LEAST_PAIRS and share > MOST_ONE_SIDED:
            place = self.choices[0] if sum(p > 0.5 for p, _ in first) * 2 > len(first) else self.choices[1]
            raise PrefrlError(
                f"the judge {self.name} names {place.strip()} in both orders of {share:.0%} of {len(first)} pairs: it "
                "does not read the answers; use a larger model, or another template"
            )


def soft_answer(first_in_order: float, first_in_other: float) -> tuple[float, float]:
    """The answer to a pair from P(named first is better) in both orders: swapping the options swaps it.

    1/2 + (p - q) / 2, which is exactly 1/2 where the judge says the same in both orders.
    """
    lead = (first_in_order - first_in_other) / 2
    return 0.5 + lead, 0.5 - lead


def one_sided(first: Sequence[tuple[float, float]]) -> float:
    """Share of pairs at which the same place is named in both orders; 0 without any."""
    if not first:
        return 0.0
    return sum((p > 0.5) == (q > 0.5) for p, q in first) / len(first)


def agreement(labeler: ModelLabeler, queries: Sequence[Query], gold: Sequence[Sequence[float]]) -> tuple[int, int]:
    """How many pairs a judge and the gold standard decide alike, of how many that gold decides."""
    alike = decided = 0
    for query, (first, second) in zip(queries, gold, strict=True):
        if first == second:
            continue
        decided += 1
        mu = soft_answer(*labeler.first_is_better(query.options))
        alike += (mu[0] > mu[1]) == (first > second)
    return alike, decided
