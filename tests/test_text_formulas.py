"""The formulas of PPO, RLOO and DPO on tokens: numbers worked out by hand, then relations."""

import itertools
import math

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from prefrl.choice import choice_loss
from prefrl.text.advantages import end_penalty, generalized_advantages, leave_one_out, token_rewards, whiten
from prefrl.text.best_of import best_of_curve, best_of_n
from prefrl.text.kl import adapted_coefficient, best_of_n_kl, k1, k3
from prefrl.text.losses import implicit_returns, policy_loss, value_loss


def close(a: Tensor, b: Tensor | list[float] | list[list[float]]) -> bool:
    return torch.allclose(a, torch.as_tensor(b), atol=1e-6)


# ---- KL --------------------------------------------------------------------------------------------------------------


def test_kl_estimators_at_one_token() -> None:
    p, q = torch.tensor([0.5]).log(), torch.tensor([0.25]).log()
    assert close(k1(p, q), [math.log(2)])
    assert close(k3(p, q), [0.5 - 1 + math.log(2)])


def test_both_estimators_have_the_kl_as_their_mean() -> None:
    p, q = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.2, 0.3, 0.5])
    kl = (p * (p / q).log()).sum()
    for estimator in (k1, k3):
        assert close((p * estimator(p.log(), q.log())).sum(), kl)


@given(st.floats(-30, 0), st.floats(-30, 0))
@settings(max_examples=50, deadline=None)
def test_k3_is_never_negative_and_zero_for_equals(p: float, q: float) -> None:
    a, b = torch.tensor(p, dtype=torch.float64), torch.tensor(q, dtype=torch.float64)
    assert k3(a, b) >= 0
    assert k3(a, a) == 0 == k1(a, a)


def test_the_adaptive_coefficient() -> None:
    """Ziegler: an error of at most .2, times episodes over horizon."""
    assert adapted_coefficient(0.1, 6.6, target=6, episodes=512, horizon=5120) == pytest.approx(0.1 * 1.01)
    assert adapted_coefficient(0.1, 60, target=6, episodes=512, horizon=5120) == pytest.approx(0.1 * 1.02)
    assert adapted_coefficient(0.1, 0, target=6, episodes=512, horizon=5120) == pytest.approx(0.1 * 0.98)
    assert adapted_coefficient(0.1, 6, target=6, episodes=512, horizon=5120) == 0.1


def test_best_of_n_kl() -> None:
    assert best_of_n_kl(1) == 0
    assert best_of_n_kl(2) == pytest.approx(math.log(2) - 0.5)
    assert best_of_n_kl(1000) == pytest.approx(5.9088, abs=1e-4)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        best_of_n_kl(0)


# ---- rewards and advantages ------------------------------------------------------------------------------------------


def test_token_rewards_pay_kl_at_every_token_and_nothing_at_padding() -> None:
    score, kl = torch.tensor([[0.0, 2.0, 9.0]]), torch.tensor([[0.5, -1.0, 7.0]])
    mask = torch.tensor([[True, True, False]])
    assert close(token_rewards(score, kl, mask, coefficient=0.1), [[-0.05, 2.1, 0.0]])


def test_the_penalty_for_a_missing_end_is_at_the_last_real_token() -> None:
    mask = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    ended = torch.tensor([False, True, False])
    assert close(end_penalty(mask, ended, penalty=1.5), [[0, -1.5, 0], [0, 0, 0], [-1.5, 0, 0]])


def test_advantages_by_hand() -> None:
    """gamma 1, lambda .5: delta = (0 + 2 - 1, 4 - 2) = (1, 2); A = (1 + .5 * 2, 2). The second answer is one token."""
    rewards, values = torch.tensor([[0.0, 4.0], [3.0, 99.0]]), torch.tensor([[1.0, 2.0], [1.0, 55.0]])
    mask = torch.tensor([[True, True], [True, False]])
    got = generalized_advantages(rewards, values, mask, gamma=1.0, lam=0.5)
    assert close(got, [[2.0, 2.0], [2.0, 0.0]])


@given(st.integers(0, 10_000), st.floats(0.5, 1.0), st.floats(0.0, 1.0))
@settings(max_examples=30, deadline=None)
def test_advantages_equal_the_closed_form(seed: int, gamma: float, lam: float) -> None:
    """A_t = sum_l (gamma lam)^l delta_{t + l} over the answer's own tokens."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 7, (5,), generator=g)
    mask = torch.arange(6) < lengths[:, None]
    rewards, values = torch.randn(5, 6, generator=g).double(), torch.randn(5, 6, generator=g).double()
    got = generalized_advantages(rewards, values, mask, gamma=gamma, lam=lam)
    for b, length in enumerate(lengths.tolist()):
        v = [*values[b, :length].tolist(), 0.0]
        delta = [float(rewards[b, t]) + gamma * v[t + 1] - v[t] for t in range(length)]
        expected = [sum((gamma * lam) ** (s - t) * delta[s] for s in range(t, length)) for t in range(length)]
        assert got[b].tolist() == pytest.approx(expected + [0.0] * (6 - length))


def test_at_gamma_and_lambda_one_advantage_plus_value_is_the_return_to_go() -> None:
    rewards, values = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.3, -0.2, 0.7]])
    advantages = generalized_advantages(rewards, values, torch.ones(1, 3, dtype=torch.bool), gamma=1.0, lam=1.0)
    assert close(advantages + values, [[7.0, 6.0, 4.0]])


def test_leave_one_out_by_hand() -> None:
    """1 - (2 + 6) / 2, 2 - (1 + 6) / 2, 6 - (1 + 2) / 2."""
    assert close(leave_one_out(torch.tensor([[1.0, 2.0, 6.0]])), [[-3.0, -1.5, 4.5]])
    with pytest.raises(ValueError, match="at least 2 answers to a prompt, got 1"):
        leave_one_out(torch.ones(3, 1))


def test_leave_one_out_does_not_see_what_a_prompt_adds() -> None:
    returns, added = torch.randn(4, 3), torch.randn(4, 1)
    assert torch.allclose(leave_one_out(returns + added), leave_one_out(returns), atol=1e-5)
    assert torch.allclose(leave_one_out(returns).sum(dim=1), torch.zeros(4), atol=1e-5)


def test_whitening_by_hand() -> None:
    """1 and 3 have mean 2 and standard deviation 1; the third entry is padding."""
    values, mask = torch.tensor([[1.0, 3.0, 500.0]]), torch.tensor([[True, True, False]])
    assert close(whiten(values, mask), [[-1.0, 1.0, 0.0]])


def test_whitening_undoes_scale_and_shift() -> None:
    values, mask = torch.randn(4, 5), torch.rand(4, 5) > 0.3
    assert torch.allclose(whiten(3 * values + 2, mask), whiten(values, mask), atol=1e-5)


# ---- losses ----------------------------------------------------------------------------------------------------------


def test_the_policy_loss_by_hand() -> None:
    """Ratios 2 and .5 at clip .2: for A = 1 it pays 1.2 and .5, for A = -1 it costs 2 and .8."""
    old = torch.zeros(1, 4)
    new = torch.tensor([[2.0, 0.5, 2.0, 0.5]]).log()
    advantages = torch.tensor([[1.0, 1.0, -1.0, -1.0]])
    loss, clipped = policy_loss(new, old, advantages, torch.ones(1, 4, dtype=torch.bool), clip=0.2)
    assert close(loss, (-1.2 - 0.5 + 2.0 + 0.8) / 4)
    assert close(clipped, 0.5)


def test_at_equal_policies_the_gradient_is_that_of_reinforce() -> None:
    """-A grad log p; padding, however wild, adds nothing."""
    new = torch.tensor([[-1.0, -2.0, 300.0]], requires_grad=True)
    mask = torch.tensor([[True, True, False]])
    loss, clipped = policy_loss(new, new.detach() * mask, torch.tensor([[0.5, -3.0, 7.0]]), mask, clip=0.2)
    loss.backward()
    assert new.grad is not None
    assert close(new.grad, [[-0.25, 1.5, 0.0]])
    assert clipped == 0


def test_the_value_loss_by_hand() -> None:
    """From 0 toward 1: at .1 it is free, (.9)^2 / 2; at .5 it counts as .2, (.8)^2 / 2; from the wrong side as is."""
    mask = torch.ones(1, 1, dtype=torch.bool)
    old, returns = torch.zeros(1, 1), torch.ones(1, 1)
    for value, loss in ((0.1, 0.405), (0.5, 0.32), (-0.5, 1.125)):
        assert close(value_loss(torch.tensor([[value]]), old, returns, mask, clip=0.2), loss)


def test_a_value_that_went_too_far_gets_no_gradient() -> None:
    value = torch.tensor([[0.5]], requires_grad=True)
    mask = torch.ones(1, 1, dtype=torch.bool)
    value_loss(value, torch.zeros(1, 1), torch.ones(1, 1), mask, clip=0.2).backward()
    assert value.grad == 0


def test_dpo_by_hand() -> None:
    """beta .1; the chosen gained 2 nats, the rejected lost 1: -log sigmoid(.3)."""
    returns = implicit_returns(torch.tensor([[-8.0, -6.0]]), torch.tensor([[-10.0, -5.0]]), beta=0.1)
    loss = choice_loss(returns, torch.tensor([[1.0, 0.0]]), noise=0.0)
    assert close(loss, [math.log(1 + math.exp(-0.3))])


def test_dpo_at_the_reference_is_undecided_and_a_tie_has_no_gradient() -> None:
    log_probs = torch.tensor([[-3.0, -4.0]], requires_grad=True)
    returns = implicit_returns(log_probs, log_probs.detach(), beta=0.1)
    loss = choice_loss(returns, torch.tensor([[0.5, 0.5]]), noise=0.0)
    loss.sum().backward()
    assert close(loss, [math.log(2)])
    assert log_probs.grad is not None
    assert close(log_probs.grad, [[0.0, 0.0]])


def test_best_of_n_by_hand() -> None:
    # Liked 1, 2, 3 and worth 10, 20, 60: of the pairs the best are worth 20, 60 and 60.
    liked, worth = np.array([[1.0, 2.0, 3.0]]), np.array([[10.0, 20.0, 60.0]])
    assert best_of_n(liked, worth, 1).tolist() == pytest.approx([30])
    assert best_of_n(liked, worth, 2).tolist() == pytest.approx([140 / 3])
    assert best_of_n(liked, worth, 3).tolist() == pytest.approx([60])
    # Two that are liked as much: the better one of {1, 2}, {1, 3}, {2, 3} is 2, 3, and either.
    assert best_of_n(np.array([[1.0, 2.0, 2.0]]), worth, 2).tolist() == pytest.approx([(20 + 60 + 40) / 3])
    with pytest.raises(ValueError, match="best of 4 of 3"):
        best_of_n(liked, worth, 4)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6])
def test_best_of_n_is_the_mean_over_all_choices_of_n(n: int) -> None:
    rng = np.random.default_rng(n)
    liked, worth = rng.integers(0, 4, (3, 6)).astype(float), rng.normal(size=(3, 6))
    expected = []
    for by, values in zip(liked, worth, strict=True):
        best = [[i for i in some if by[i] == max(by[list(some)])] for some in itertools.combinations(range(6), n)]
        expected.append(np.mean([np.mean([values[i] for i in those]) for those in best]))
    assert best_of_n(liked, worth, n).tolist() == pytest.approx(expected)
    order = rng.permutation(6)
    assert best_of_n(liked[:, order], worth[:, order], n).tolist() == pytest.approx(expected)


def test_the_curve_of_best_of_n() -> None:
    predicted, true = np.array([[0.0, 1.0, 2.0], [3.0, 3.0, 3.0]]), np.array([[4.0, 0.0, 2.0], [1.0, 1.0, 1.0]])
    rows = best_of_curve(predicted, true)
    assert [row["n"] for row in rows] == [1, 2, 3]
    assert [row["true_return"] for row in rows] == pytest.approx([1.5, (4 / 3 + 1) / 2, 1.5])
    assert [row["predicted_return"] for row in rows] == pytest.approx([2, (5 / 3 + 3) / 2, 2.5])
    assert rows[2]["kl"] == pytest.approx(best_of_n_kl(3))
    assert rows[0]["true_return_error"] == pytest.approx(0.5)  # of means 2 and 1, over the root of 2
    assert all(math.isnan(row["true_return"]) for row in best_of_curve(predicted, np.full((2, 3), math.nan)))
