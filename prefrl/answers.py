"""What labelers said: the rows of a store's logs, and which of them count."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from prefrl.comparisons import Judgment, Ranking, reordered


@dataclass(frozen=True, slots=True)
class Answer:
    """One row of the log of answers. A later answer of the same labeler to the same query supersedes it.

    A row that is `withdrawn` is no answer: it takes back what its labeler answered before. With neither `mu` nor
    `ranks` an answer is "cannot tell".
    """

    query_id: str
    option_ids: tuple[str, ...]  # [K]
    mu: tuple[float, ...] | None  # [K], in the order of `option_ids`
    labeler: str
    answered_at: str  # UTC, ISO 8601
    provenance: Mapping[str, Any]  # whatever the labeler found worth keeping
    withdrawn: bool = False
    ranks: tuple[int, ...] | None = None  # [K], in the order of `option_ids`: 0 is best, equal places are ties

    @property
    def judgment(self) -> Judgment:
        """The answer as it was given."""
        return self.mu if self.ranks is None else Ranking(self.ranks)

    @property
    def id(self) -> str:
        """32 hexadecimal digits that name the content: the same row in two stores is one answer."""
        order = sorted(self.option_ids)
        said = reordered(self.judgment, self.option_ids, order)
        values = list(said.ranks) if isinstance(said, Ranking) else None if said is None else list(said)
        kind = "ranks" if isinstance(said, Ranking) else "mu"
        given = (order, kind, values, self.labeler, self.answered_at, dict(self.provenance), self.withdrawn)
        return hashlib.blake2b(json.dumps(given, sort_keys=True).encode(), digest_size=16).hexdigest()


@dataclass(frozen=True, slots=True)
class Check:
    """A question asked to see how careful a labeler is. It is no answer, so it never trains anything."""

    name: str  # of the showing
    kind: Literal["repeat", "catch"]  # a question this labeler has answered before; one segment as both options
    shown: tuple[str, ...]  # [K]  segment ids from left to right
    judgment: Judgment  # in the order of `shown`
    labeler: str
    answered_at: str
    provenance: Mapping[str, Any]
    withdrawn: bool = False


def standing(log: Iterable[Answer]) -> list[Answer]:
    """The newest answer of each labeler to each query in a log that has the oldest first, without withdrawn ones."""
    newest: dict[tuple[str, str], Answer] = {}
    for answer in log:
        newest.pop((answer.query_id, answer.labeler), None)  # so that the order stays that of the log
        newest[answer.query_id, answer.labeler] = answer
    return [answer for answer in newest.values() if not answer.withdrawn]


def judgment_columns(judgment: Judgment) -> tuple[str | None, str | None]:
    """A judgment as the columns mu and ranks."""
    if isinstance(judgment, Ranking):
        return None, json.dumps(judgment.ranks)
    return None if judgment is None else json.dumps([float(weight) for weight in judgment]), None


def judgment_of(mu: str | None, ranks: str | None) -> Judgment:
    """The judgment in the columns mu and ranks."""
    if ranks is not None:
        return Ranking(tuple(json.loads(ranks)))
    return None if mu is None else tuple(json.loads(mu))
