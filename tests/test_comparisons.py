import itertools
import math
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from stores import numbers

from prefrl.acquisition import disagreement, entropy, information_gain, uniform
from prefrl.choice import choice_log_probs, choice_loss
from prefrl.comparisons import (
    Comparison,
    Query,
    Ranking,
    check_mu,
    choices,
    collate_answers,
    collate_options,
    from_ranking,
    propose,
    query_id,
    ranked_pairs,
    reordered,
    select,
)
from prefrl.segments import Segment, SegmentBatch, Text


def segment(number: float, *, context: float | None = None) -> Segment:
    given = np.zeros((0, 1)) if context is None else np.full((1, 1), context)
    return Segment(np.full((1, 1), number), np.zeros((1, 1)), given)


# Queries and comparisons


def test_what_several_questions_share_is_collated_once() -> None:
    a, b, c = segment(1), segment(2), segment(3)
    batch, places = collate_options([(b, a), (a, c, b)])
    assert batch.obs[:, 0, 0].tolist() == [2.0, 1.0, 3.0]
    assert places.tolist() == [[0, 1, -1], [1, 2, 0]]
    asked = [Comparison((b, a), (0.25, 0.75)), Comparison((a, c, b), (0.0, 1.0, 0.0))]
    assert collate_answers(asked).tolist() == [[0.25, 0.75, 0.0], [0.0, 1.0, 0.0]]


def test_a_query_is_the_set_of_its_options() -> None:
    a, b, c = segment(1), segment(2), segment(3)
    assert Query((a, b)).id == Query((b, a)).id == query_id([a.id, b.id])
    assert len({Query(q).id for q in [(a, b), (a, c), (b, c), (a, b, c)]}) == 4


def test_what_is_no_query() -> None:
    with pytest.raises(ValueError, match="at least 2 options, got 1"):
        Query((segment(1),))
    with pytest.raises(ValueError, match="the 3 options of a query must be distinct, 2 are"):
        Query((segment(1), segment(2), segment(1)))
    with pytest.raises(ValueError, match="must share one context, these have 2"):
        Query((segment(1, context=1), segment(2, context=2)))


@pytest.mark.parametrize("mu", [(1, 0), (0.5, 0.5), (0.73, 0.27), (1 / 3, 2 / 3)])
def test_an_answer_is_a_distribution(mu: tuple[float, ...]) -> None:
    assert Comparison((segment(1), segment(2)), mu).mu == mu


@pytest.mark.parametrize("mu", [(1,), (1, 0, 0), (1, 1), (1.5, -0.5), (math.nan, 1), (0, 0), (math.inf, 0)])
def test_what_is_no_answer(mu: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="answer"):
        check_mu(mu, 2)


# Proposing


@given(
    kinds=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 2)), max_size=12),
    n=st.integers(0, 40),
    options=st.integers(2, 4),
    seed=st.integers(0, 100),
)
def test_proposals_are_distinct_and_as_many_as_there_can_be(
    kinds: list[tuple[int, int]], n: int, options: int, seed: int
) -> None:
    segments = [segment(number, context=context) for number, context in kinds]
    queries = propose(segments, n, options=options, rng=np.random.default_rng(seed))
    pools = Counter(context for _, context in set(kinds))  # equal segments count once; contexts do not mix
    possible = sum(math.comb(size, options) for size in pools.values())
    assert len(queries) == len({query.id for query in queries}) == min(n, possible)
    for query in queries:
        assert len(query.options) == options == len({option.id for option in query.options})


def test_a_policy_that_repeats_itself_leaves_nothing_to_ask() -> None:
    rng = np.random.default_rng(0)
    assert propose([segment(1)] * 50, 10, rng=rng) == []
    assert propose([], 10, rng=rng) == []
    assert len(propose([segment(1), segment(2)] * 50, 10, rng=rng)) == 1


@pytest.mark.parametrize("n", [3, 1])  # 10 possible: with 3 all are listed, with 1 pairs are drawn until they are new
def test_every_pair_is_equally_likely(n: int) -> None:
    segments, rng, drawn = [segment(i) for i in range(5)], np.random.default_rng(0), Counter[str]()
    for _ in range(4000 // n):
        drawn.update(query.id for query in propose(segments, n, rng=rng))
    assert set(drawn) == {Query(pair).id for pair in itertools.combinations(segments, 2)}
    assert max(abs(count / drawn.total() - 0.1) for count in drawn.values()) < 0.02  # sd .0047


def test_larger_contexts_are_asked_about_in_proportion() -> None:
    # 2 segments make 1 pair, 6 make 15: the second context gets 15/16 of the questions.
    segments = [segment(i, context=0) for i in range(2)] + [segment(i, context=1) for i in range(6)]
    rng = np.random.default_rng(0)
    asked = [propose(segments, 1, rng=rng)[0].options[0].context[0, 0] for _ in range(2000)]
    assert np.mean(asked) == pytest.approx(15 / 16, abs=0.025)  # sd .0054


def test_prompts_that_differ_in_their_last_token_are_not_mixed() -> None:
    def answer(prompt: str, tokens: list[int], said: str) -> Segment:
        ids = np.array([*tokens, 9 if said == "yes" else 8], np.int32)
        return Segment(ids[len(tokens) - 1 : -1], ids[len(tokens) :], ids[: len(tokens) - 1], view=Text(prompt, said))

    segments = [
        answer(prompt, tokens, said)
        for prompt, tokens in (("1 + 2", [1, 5, 2]), ("1 + 3", [1, 5, 3]), ("2", [2]), ("3", [3]))
        for said in ("yes", "no")
    ]
    asked = propose(segments, 100, rng=np.random.default_rng(0))
    views = [[option.view.prompt for option in q.options if isinstance(option.view, Text)] for q in asked]
    assert sorted(views) == [["1 + 2"] * 2, ["1 + 3"] * 2, ["2"] * 2, ["3"] * 2]


def test_bug_4_the_last_segment_is_proposed_too() -> None:
    """B-Pref's sampler could never draw the last place."""
    segments = [segment(i) for i in range(100)]
    asked = propose(segments, 400, rng=np.random.default_rng(0))
    assert {option.id for query in asked for option in query.options} == {s.id for s in segments}


# Selecting


class Table:
    """An ensemble whose members return the sum of obs * slope; counts the segments it was asked to score."""

    credit = "each_step"

    def __init__(self, *slopes: float) -> None:
        self.slopes, self.scored = slopes, 0

    def returns(self, batch: SegmentBatch) -> torch.Tensor:
        self.scored += len(batch)
        return torch.stack([batch.obs.sum(dim=(1, 2)) * slope for slope in self.slopes])


def test_select_takes_the_best_first_and_scores_each_segment_once() -> None:
    s = [segment(i) for i in range(4)]
    queries = [Query((s[0], s[1])), Query((s[0], s[3])), Query((s[1], s[3]))]
    # Members prefer opposite options, the more the further apart: differences 1, 3, 2.
    table = Table(1.0, -1.0)
    assert select(queries, 2, table, disagreement) == [queries[1], queries[2]]
    assert table.scored == 3  # segment 2 is in no query, 0, 1 and 3 are each in two
    assert select(queries, 9, table, entropy) == queries  # both means are 1/2: in the order given
    assert select(queries, 2, table, uniform) == queries[:2]
    assert select(queries, 0, table, disagreement) == []
    assert select([], 5, table, disagreement) == []


def test_a_segment_scored_once_is_scored_as_if_alone() -> None:
    s, table = [segment(i / 3) for i in range(5)], Table(1.0, -0.5, 2.0)
    queries = [Query(pair) for pair in itertools.combinations(s, 2)]
    together = select(queries, len(queries), table, information_gain)

    def alone(query: Query) -> float:
        returns = torch.tensor([[[slope * x for x in numbers(query.options)]] for slope in table.slopes])
        return information_gain(returns).item()

    scores = [alone(query) for query in together]
    assert scores == pytest.approx(sorted(map(alone, queries), reverse=True), abs=1e-6)
    assert scores[0] > scores[-1]


def of_steps(*steps: float) -> Segment:
    return Segment(np.array(steps, np.float32)[:, None], np.zeros((len(steps), 1), np.float32), np.zeros((0, 1)))


def returns_scored(query: Query, *, stride: int, credit: str = "each_step") -> list[float]:
    """The returns of a query's options that an acquisition gets to see."""
    seen: list[torch.Tensor] = []

    def acquisition(returns: torch.Tensor) -> torch.Tensor:
        seen.append(returns)
        return uniform(returns)

    table = Table(1.0)
    table.credit = credit
    assert select([query], 1, table, acquisition, stride=stride) == [query]
    returns: list[float] = seen[0][0, 0].tolist()
    return returns


def test_select_scores_by_one_step_in_a_stride() -> None:
    """Of three steps the second stands for all, of five the second and the fifth."""
    query = Query((of_steps(9, 1, -3), of_steps(0, 1, 0, 9, 3)))
    assert returns_scored(query, stride=1) == [7.0, 13.0]
    assert returns_scored(query, stride=3) == [3.0, 10.0]


def test_a_stride_of_scoring_is_at_most_the_shortest_segment() -> None:
    assert returns_scored(Query((of_steps(7), of_steps(1, 2, 3))), stride=3) == [7.0, 6.0]


def test_scoring_by_a_last_step_knows_no_stride() -> None:
    assert returns_scored(Query((of_steps(9, 1, -3), of_steps(0, 1, 0))), stride=3, credit="last_step") == [7.0, 1.0]


def test_select_takes_queries_of_more_options() -> None:
    s = [segment(i) for i in range(6)]
    near, far = Query((s[0], s[1], s[2])), Query((s[0], s[3], s[5]))
    assert select([near, far], 1, Table(1.0, -1.0), disagreement) == [far]


# Rankings


def test_a_ranking_is_its_nested_choices() -> None:
    s = (segment(0), segment(1), segment(2))
    first, second = from_ranking(s, [1, 2, 0])
    assert (numbers(first.options), first.mu) == ((2, 0, 1), (1, 0, 0))
    assert (numbers(second.options), second.mu) == ((0, 1), (1, 0))


@pytest.mark.parametrize(
    ("ranks", "expected"),
    [
        ([0, 1], [((0, 1), (1, 0))]),
        ([0, 0], [((0, 1), (0.5, 0.5))]),  # the paper's tie
        ([0, 0, 1], [((0, 1, 2), (0.5, 0.5, 0))]),
        ([0, 1, 1], [((0, 1, 2), (1, 0, 0)), ((1, 2), (0.5, 0.5))]),
        ([0, 0, 0], [((0, 1, 2), (1 / 3, 1 / 3, 1 / 3))]),
        ([1, 0, 1, 2], [((1, 0, 2, 3), (1, 0, 0, 0)), ((0, 2, 3), (0.5, 0.5, 0))]),
    ],
)
def test_those_who_share_a_place_share_a_choice(
    ranks: list[int], expected: list[tuple[tuple[float, ...], tuple[float, ...]]]
) -> None:
    made = from_ranking(tuple(segment(i) for i in range(len(ranks))), ranks)
    assert [(numbers(c.options), c.mu) for c in made] == expected


def test_plackett_luce_by_hand() -> None:
    # Weights exp(return) = 1, 2, 5 for options 0, 1, 2. The ranking 2 > 0 > 1 has probability 5/8 * 1/3 = 5/24.
    weight = {0.0: 1.0, 1.0: 2.0, 2.0: 5.0}
    log_prob = 0.0
    for comparison in from_ranking((segment(0), segment(1), segment(2)), [1, 2, 0]):
        returns = torch.tensor([math.log(weight[x]) for x in numbers(comparison.options)], dtype=torch.float64)
        log_prob -= choice_loss(returns, torch.tensor(comparison.mu, dtype=torch.float64), noise=0.0).item()
    assert math.exp(log_prob) == pytest.approx(5 / 24)


@given(returns=st.lists(st.floats(-5, 5), min_size=2, max_size=4))
def test_all_rankings_together_are_certain(returns: list[float]) -> None:
    options = tuple(segment(i) for i in range(len(returns)))
    total = 0.0
    for ranks in itertools.permutations(range(len(returns))):
        log_prob = 0.0
        for comparison in from_ranking(options, ranks):
            left = torch.tensor([returns[int(x)] for x in numbers(comparison.options)], dtype=torch.float64)
            log_prob += choice_log_probs(left, noise=0.0)[0].item()
        total += math.exp(log_prob)
    assert total == pytest.approx(1)


@pytest.mark.parametrize("ranks", [[0], [1, 1], [0, 2], [1, 0, 2], [-1, 0]])
def test_what_ranks_nothing(ranks: list[int]) -> None:
    with pytest.raises(ValueError, match=r"ranks nothing|do not rank 2 options"):
        from_ranking((segment(0), segment(1)), ranks)


def test_several_answers_to_one_question_count_once() -> None:
    s = (segment(0), segment(1), segment(2))
    (pair,) = choices(s[:2], [(1, 0), (0, 1), None, (1, 0), (0.5, 0.5)])
    assert (numbers(pair.options), pair.mu) == ((0, 1), (0.625, 0.375))
    assert choices(s[:2], [None, None]) == choices(s[:2], []) == []
    # 0 > 1 > 2 and 1 > 0 > 2 share the first choice and differ in what remains.
    first, second, third = choices(s, [Ranking((0, 1, 2)), Ranking((1, 0, 2))])
    assert (numbers(first.options), first.mu) == ((0, 1, 2), (0.5, 0.5, 0))
    assert [(numbers(c.options), c.mu) for c in (second, third)] == [((1, 2), (1, 0)), ((0, 2), (1, 0))]
    # What came of one question is fitted together: nothing held out from a member reaches it by another part.
    assert {c.ranking for c in (first, second, third)} == {query_id([option.id for option in s])}
    # As pairs they agree that both are better than 2, and differ in 0 and 1.
    pairs = {numbers(c.options): c.mu for c in choices(s, [Ranking((0, 1, 2)), Ranking((1, 0, 2))], pairs=True)}
    assert pairs == {(0, 1): (0.5, 0.5), (0, 2): (1, 0), (1, 2): (1, 0)}
    alone = choices(s, [Ranking((2, 0, 1))])
    assert [(c.options, c.mu) for c in alone] == [(c.options, c.mu) for c in from_ranking(s, (2, 0, 1))]


def test_a_judgment_follows_its_options() -> None:
    assert reordered((0.2, 0.8, 0.0), "abc", "cab") == (0.0, 0.2, 0.8)
    assert reordered(Ranking((1, 0, 2)), "abc", "cab") == Ranking((2, 1, 0))
    assert reordered(None, "ab", "ba") is None


# Rankings as pairs


def test_a_ranking_becomes_all_its_pairs_and_ties_are_dropped() -> None:
    a, b, c, d = options = [segment(i) for i in range(4)]
    pairs = ranked_pairs(options, [2, 1, 2, 4])  # b, then a and c, then d
    assert [p.options for p in pairs] == [(b, a), (b, c), (b, d), (a, d), (c, d)]
    assert {p.mu for p in pairs} == {(1.0, 0.0)}
    assert {p.ranking for p in pairs} == {Query((d, c, b, a)).id}
    assert len(ranked_pairs(options, [0, 1, 2, 3])) == 6
    assert ranked_pairs([a, b], [1, 1]) == []
    with pytest.raises(ValueError, match="one rank an option: 3 != 4"):
        ranked_pairs(options, [1, 2, 3])
