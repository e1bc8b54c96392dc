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
from prefrl.segments import Segment, SegmentBatch, Text, collate, content_id, thinned


class ScoresSegments(Protocol):
    """What `select` needs of a reward ensemble."""

    @property
    def credit(self) -> str:
        """`each_step` or `last_step`, which is then the one that is read."""

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
    ranking: str = ""  # names the ranking that this is a part of; its parts are fitted together and count as one
    returns: tuple[float, ...] | None = None  # [K]  what each option is worth, where the labeler told that, too

    def __post_init__(self) -> None:
        check_mu(self.mu, len(self.options))
        if self.returns is not None and not (
            len(self.returns) == len(self.options) and all(map(math.isfinite, self.returns))
        ):
            raise ValueError(f"the returns told of {len(self.options)} options must be as many finite numbers")


@dataclass(frozen=True, slots=True)
class Ranking:
    """The raw answer of a labeler who put all options in order. Raises ValueError unless places are 0, 1, 2, ..."""

    ranks: tuple[int, ...]  # [K]  the place of each option: 0 is best, options of the same place are equally good

    def __post_init__(self) -> None:
        if len(self.ranks) < 2 or {*self.ranks} != {*range(max(self.ranks, default=0) + 1)}:
            raise ValueError(f"{self.ranks} ranks nothing: at least 2 places, 0 the best, none left out")


# The answer to a query: weights [K] that sum to 1 (the paper's mu), a ranking, or None, "cannot tell".
Judgment = Sequence[float] | Ranking | None


def check_judgment(judgment: Judgment, options: int) -> None:
    """Raise ValueError unless a judgment is one of that many options."""
    if isinstance(judgment, Ranking):
        if len(judgment.ranks) != options:
            raise ValueError(f"a ranking needs one place an option: {len(judgment.ranks)} != {options}")
    elif judgment is not None:
        check_mu(judgment, options)


def reordered(judgment: Judgment, ids: Sequence[str], wanted: Sequence[str]) -> Judgment:
    """A judgment of the options `ids` as one of the same options in the order `wanted`."""
    if judgment is None:
        return None
    values = judgment.ranks if isinstance(judgment, Ranking) else judgment
    by_id = dict(zip(ids, values, strict=True))
    moved = tuple(by_id[i] for i in wanted)
    return Ranking(tuple(int(v) for v in moved)) if isinstance(judgment, Ranking) else tuple(map(float, moved))


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
    groups: dict[tuple[str, str], list[Segment]] = defaultdict(list)
    for segment in {s.id: s for s in segments}.values():
        # The last token of a prompt is no context, since the first one of the answer is chosen by it.
        prompt = segment.view.prompt if isinstance(segment.view, Text) else ""
        groups[content_id(segment.context), prompt].append(segment)
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


def distinct_options(asked: Sequence[Sequence[Segment]]) -> tuple[list[Segment], Tensor]:
    """Each segment once, however many questions share it, and the places of their options: [N, K], -1 for no option."""
    distinct = {option.id: option for options in asked for option in options}
    place = {name: i for i, name in enumerate(distinct)}
    places = torch.full((len(asked), max(map(len, asked))), -1)
    for row, options in zip(places, asked, strict=True):
        row[: len(options)] = torch.tensor([place[option.id] for option in options])
    return list(distinct.values()), places


def collate_options(asked: Sequence[Sequence[Segment]]) -> tuple[SegmentBatch, Tensor]:
    """The same, with the segments as one batch."""
    distinct, places = distinct_options(asked)
    return collate(distinct), places


def collate_answers(comparisons: Sequence[Comparison]) -> Tensor:
    """[N, K] how the answers are shared out among the options, 0 where there are fewer than K."""
    mu = torch.zeros(len(comparisons), max(len(comparison.options) for comparison in comparisons))
    for row, comparison in zip(mu, comparisons, strict=True):
        row[: len(comparison.mu)] = torch.tensor(comparison.mu)
    return mu


def select(
    queries: Sequence[Query], n: int, ensemble: ScoresSegments, acquisition: Acquisition, *, stride: int = 1
) -> list[Query]:
    """The `n` queries of the highest score, best first; each segment is scored once however many queries share it.

    It is scored by one step in `stride`, as minibatches are fitted (`FitConfig.stride`).
    """
    if not queries or n <= 0:
        return []
    batch, places = collate_options([query.options for query in queries])
    stride = 1 if ensemble.credit == "last_step" else min(stride, int(batch.mask.sum(dim=1).min()))
    read, steps = thinned(batch, stride, stride // 2)
    with torch.no_grad():
        scores = acquisition((ensemble.returns(read) * steps)[:, places])
    order = torch.argsort(scores, descending=True, stable=True)[:n]
    return [queries[i] for i in order.tolist()]


def from_ranking(options: Sequence[Segment], ranks: Sequence[int]) -> list[Comparison]:
    """A ranking as nested choices, each the best of those that remain (Plackett-Luce; Plackett 1975, Luce 1959).

    `ranks` gives each option's place as `Ranking` does. Without ties that is K - 1 choices. Options that share a place
    share one choice among all that remain, evenly, and leave together: (0, 0, 1) is the one choice (.5, .5, 0), and of
    two options it is the paper's tie (.5, .5). A last place held by one option is no choice any more. The choices name
    their ranking, so that they are fitted together.
    """
    if len(Ranking(tuple(ranks)).ranks) != len(options):
        raise ValueError(f"{len(ranks)} ranks do not rank {len(options)} options")
    order = sorted(range(len(options)), key=lambda i: ranks[i])  # stable, so ties stay in the order of the options
    nested: list[Comparison] = []
    name = query_id([option.id for option in options])
    while len(order) > 1:
        best = sum(ranks[i] == ranks[order[0]] for i in order)
        mu = (1.0 / best,) * best + (0.0,) * (len(order) - best)
        nested.append(Comparison(tuple(options[i] for i in order), mu, ranking=name))
        order = order[best:]
    return nested


def choices(options: Sequence[Segment], judgments: Sequence[Judgment], *, pairs: bool = False) -> list[Comparison]:
    """What several labelers answered to one question, as what `fit` learns from; a question counts once.

    Each judgment is one labeler's, its weights or ranks in the order of `options`. A distribution is one choice, a
    ranking its nested ones, or all its `pairs`, "cannot tell" none. Choices among the same options become one, whose
    answer is the mean.
    """
    found: dict[str, list[Comparison]] = {}
    for judgment in judgments:
        if isinstance(judgment, Ranking):
            own = (ranked_pairs if pairs else from_ranking)(options, judgment.ranks)
        else:
            own = [] if judgment is None else [Comparison(tuple(options), tuple(judgment))]
        for choice in own:
            found.setdefault(query_id([option.id for option in choice.options]), []).append(choice)
    return [same[0] if len(same) == 1 else _mean(same) for same in found.values()]


def _mean(same: Sequence[Comparison]) -> Comparison:
    weights = [{option.id: w for option, w in zip(c.options, c.mu, strict=True)} for c in same]
    ids = [option.id for option in same[0].options]
    mean = tuple(sum(w[i] for w in weights) / len(weights) for i in ids)
    return Comparison(same[0].options, mu=mean, ranking=same[0].ranking)


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
