"""Questions about segments, and their answers as the models see them."""

import itertools
import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from prefrl.acquisition import Acquisition
from prefrl.segments import Segment, SegmentBatch, collate, content_id


class ScoresSegments(Protocol):
    """What `select` needs of a reward ensemble."""

    def returns(self, batch: SegmentBatch) -> Tensor:
        """[E, B]"""


@dataclass(frozen=True, eq=False, slots=True)
class Query:
    """Which of these is best? Options share one context and are distinct; their order carries no meaning."""

    options: tuple[Segment, ...]  # K >= 2
    id: str = field(init=False)  # the same for the same options in any order

    def __post_init__(self) -> None:
        ids = [option.id for option in self.options]
        if len(ids) < 2:
            raise ValueError(f"a query needs at least 2 options, got {len(ids)}")
        if len(set(ids)) < len(ids):
            raise ValueError(f"the {len(ids)} options of a query must be distinct, {len(set(ids))} are")
        contexts = {content_id(option.context) for option in self.options}
        if len(contexts) > 1:
            raise ValueError(f"the options of a query must share one context, these have {len(contexts)}")
        object.__setattr__(self, "id", query_id(ids))


def query_id(option_ids: Sequence[str]) -> str:
    """32 hexadecimal digits that name a set of options."""
    return content_id(np.array(sorted(option_ids), dtype="S32"))


@dataclass(frozen=True, eq=False, slots=True)
class Comparison:
    """An answered query. `mu` is the answer as a distribution over options (Christiano et al. 2017, section 2.2.3)."""

    options: tuple[Segment, ...]  # K >= 2
    mu: tuple[float, ...]  # [K], sums to 1: (1, 0), (.5, .5), (.73, .27), (0, 1, 0, 0)
    ranking: str = ""  # names the ranking that this is one pair of; its pairs are fitted together and count as one

    def __post_init__(self) -> None:
        check_mu(self.mu, len(self.options))


def check_mu(mu: Sequence[float], options: int) -> None:
    """Raise ValueError unless `mu` is a distribution over that many options."""
    if len(mu) != options:
        raise ValueError(f"an answer needs one weight an option: {len(mu)} != {options}")
    if not all(math.isfinite(weight) and weight >= 0 for weight in mu) or abs(sum(mu) - 1) > 1e-6:
        raise ValueError(f"the weights of an answer must be at least 0 and sum to 1, got {tuple(mu)}")


def propose(segments: Sequence[Segment], n: int, *, options: int = 2, rng: np.random.Generator) -> list[Query]:
    """At most `n` different queries, drawn uniformly from all those that `segments` allow; perhaps none.

    A policy that repeats itself makes equal segments: they count once.
    """
    groups: dict[str, list[Segment]] = defaultdict(list)
    for segment in {s.id: s for s in segments}.values():
        groups[content_id(segment.context)].append(segment)
    pools = [pool for pool in groups.values() if len(pool) >= options]
    sizes = np.array([math.comb(len(pool), options) for pool in pools], dtype=np.float64)
    total = int(sizes.sum())
    if total <= 4 * n:  # few enough to list them all
        everything = [choice for pool in pools for choice in itertools.combinations(pool, options)]
        return [Query(everything[i]) for i in rng.permutation(len(everything))[:n]]
    drawn: dict[tuple[int, ...], Query] = {}
    while len(drawn) < n:  # at least three of four possible queries are still new, so this ends soon
        pool_index = int(rng.choice(len(pools), p=sizes / sizes.sum()))
        pool = pools[pool_index]
        members = tuple(sorted(int(i) for i in rng.choice(len(pool), options, replace=False)))
        if (pool_index, *members) not in drawn:
            drawn[pool_index, *members] = Query(tuple(pool[i] for i in members))
    return list(drawn.values())


def select(queries: Sequence[Query], n: int, ensemble: ScoresSegments, acquisition: Acquisition) -> list[Query]:
    """The `n` queries of the highest score, best first; each segment is scored once however many queries share it."""
    if not queries or n <= 0:
        return []
    unique = {option.id: option for query in queries for option in query.options}
    place = {segment_id: i for i, segment_id in enumerate(unique)}
    index = torch.tensor([[place[option.id] for option in query.options] for query in queries])  # [N, K]
    with torch.no_grad():
        returns = ensemble.returns(collate(list(unique.values())))  # [E, B]
        scores = acquisition(returns[:, index])
    order = torch.argsort(scores, descending=True, stable=True)[:n]
    return [queries[i] for i in order.tolist()]


def from_ranking(options: Sequence[Segment], best_to_worst: Sequence[int]) -> list[Comparison]:
    """A ranking as K - 1 nested choices, each the best of those that remain (Plackett-Luce).

    `best_to_worst` lists the places in `options`, the best first.
    """
    if sorted(best_to_worst) != list(range(len(options))) or len(options) < 2:
        raise ValueError(f"{list(best_to_worst)} does not rank {len(options)} options, each once, at least 2")
    ranked = tuple(options[i] for i in best_to_worst)
    return [Comparison(ranked[i:], (1.0,) + (0.0,) * (len(ranked) - i - 1)) for i in range(len(ranked) - 1)]


def ranked_pairs(options: Sequence[Segment], ranks: Sequence[float]) -> list[Comparison]:
    """A ranking as all its pairs, at most K (K - 1) / 2, which are fitted together (InstructGPT, section 3.5).

    `ranks` [K] gives each option's rank, the lowest is best; pairs of equal rank are dropped.
    """
    name = Query(tuple(options)).id
    if len(ranks) != len(options):
        raise ValueError(f"a ranking needs one rank an option: {len(ranks)} != {len(options)}")
    ordered = sorted(zip(ranks, range(len(options)), strict=True))
    return [
        Comparison((options[i], options[j]), (1.0, 0.0), ranking=name)
        for (better, i), (worse, j) in itertools.combinations(ordered, 2)
        if better < worse
    ]
