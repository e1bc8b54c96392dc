import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefrl.acquisition import Acquisition, disagreement, entropy, information_gain, mixture, uniform

# Two members, three queries of two options. Log-odds of the first option, so P(first) = odds / (1 + odds):
#   query 0: both members 1/2             (unsure, agreeing)
#   query 1: 3/4 and 1/4                  (contradicting each other)
#   query 2: both 9/10                    (sure, agreeing)
ODDS = torch.tensor([[1.0, 3.0, 9.0], [1.0, 1 / 3, 9.0]], dtype=torch.float64)
RETURNS = torch.stack([ODDS.log(), torch.zeros_like(ODDS)], dim=-1)  # [E=2, N=3, K=2]


def bits(p: float) -> float:
    """Entropy, in nats, of a coin."""
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_disagreement_by_hand() -> None:
    # Variance of .75 and .25: ((.25)^2 + (.25)^2) / 2 = .0625.
    assert disagreement(RETURNS).tolist() == pytest.approx([0, 0.0625, 0])


def test_entropy_by_hand() -> None:
    # The means over members are .5, .5, .9.
    assert entropy(RETURNS).tolist() == pytest.approx([math.log(2), math.log(2), 0.325083])


def test_information_gain_by_hand() -> None:
    # Query 1: ln 2 - H(.25) = .693147 - .562335 = .130812.
    assert information_gain(RETURNS).tolist() == pytest.approx([0, math.log(2) - bits(0.25), 0], abs=1e-12)
    assert math.log(2) - bits(0.25) == pytest.approx(0.130812, abs=1e-6)


def test_three_options_by_hand() -> None:
    # Each member is certain, of options 0 and 1: variances .25, .25, 0, their mean 1/6. The answer tells
    # the member: ln 2.
    sure = torch.tensor([[[50.0, 0, 0]], [[0, 50.0, 0]]], dtype=torch.float64)
    assert disagreement(sure).item() == pytest.approx(1 / 6)
    assert entropy(sure).item() == pytest.approx(math.log(2))
    assert information_gain(sure).item() == pytest.approx(math.log(2))


returns = st.lists(
    st.lists(st.floats(-20, 20), min_size=6, max_size=6), min_size=1, max_size=4
).map(lambda rows: torch.tensor(rows, dtype=torch.float64).reshape(-1, 3, 2))  # fmt: skip


@given(given=returns)
def test_relations(given: torch.Tensor) -> None:
    one = given[:1]
    assert disagreement(one).tolist() == [0, 0, 0]  # an ensemble of one never disagrees
    assert torch.allclose(information_gain(one), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    agreeing = one.expand(3, -1, -1)
    assert torch.allclose(disagreement(agreeing), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    assert torch.allclose(information_gain(agreeing), torch.zeros(3, dtype=torch.float64), atol=1e-12)
    for rule in (disagreement, entropy, information_gain):
        scores = rule(given)
        assert scores.shape == (3,)
        assert (scores >= -1e-12).all()
        assert torch.allclose(scores, rule(given.flip(-1)))  # the order of options carries no meaning
        assert torch.allclose(scores, rule(given.flip(0)))  # nor does that of members
        assert torch.allclose(scores.flip(0), rule(given.flip(1)))
    assert (information_gain(given) <= entropy(given) + 1e-12).all()


def test_bug_9_entropy_is_of_each_query() -> None:
    """CleanRLHF's entropy sampler summed over the wrong axis: the score of one query depended on the others."""
    assert entropy(RETURNS[:, 1:2]).item() == entropy(RETURNS)[1].item()
    assert entropy(RETURNS).shape == (3,)


def test_uniform_keeps_the_random_order_of_the_candidates() -> None:
    assert order(uniform, 4) == [0, 1, 2, 3]
    assert torch.equal(uniform(RETURNS), uniform(RETURNS.flip(1)))  # whatever the ensemble predicts


def ascending(returns: torch.Tensor) -> torch.Tensor:
    return torch.arange(returns.shape[1], dtype=torch.float32)


def descending(returns: torch.Tensor) -> torch.Tensor:
    return -ascending(returns)


def order(rule: Acquisition, n: int) -> list[int]:
    places: list[int] = torch.argsort(rule(torch.zeros(1, n, 2)), descending=True).tolist()
    return places


def test_a_mixture_of_all_or_nothing_is_one_rule() -> None:
    assert order(mixture(ascending, descending, share=1.0), 5) == order(ascending, 5) == [4, 3, 2, 1, 0]
    assert order(mixture(ascending, descending, share=0.0), 5) == order(descending, 5) == [0, 1, 2, 3, 4]


def test_a_mixture_takes_turns() -> None:
    # floor((place + 1) / 4) rises at places 3 and 7: those turns take the highest left, the others the lowest left.
    assert order(mixture(ascending, descending, share=0.25), 8) == [0, 1, 2, 7, 3, 4, 5, 6]


@given(n=st.integers(1, 40), share=st.floats(0, 1))
def test_a_mixture_takes_each_query_once_and_its_share_of_each(n: int, share: float) -> None:
    taken = order(mixture(ascending, descending, share=share), n)
    assert sorted(taken) == list(range(n))
    half = taken[: n // 2]  # so early both rules still have their own
    assert abs(sum(place >= n - n // 2 for place in half) - share * len(half)) <= 1
