import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from prefrl.choice import choice_correct, choice_log_probs, choice_loss, pairs_ordered_alike

finite = st.floats(-30, 30)


def double(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_by_hand() -> None:
    # Returns 0 and ln 3: softmax 1/4, 3/4. With a tenth uniform: .9 * .25 + .05 = .275 and .9 * .75 + .05 = .725.
    returns = double(0.0, math.log(3))
    assert choice_log_probs(returns, noise=0.0).exp().tolist() == pytest.approx([0.25, 0.75])
    assert choice_log_probs(returns).exp().tolist() == pytest.approx([0.275, 0.725])
    # Three options, weights 1, 2, 5 of 8: .9 * 1/8 + .1/3 = .14583, .9 * 2/8 + .1/3 = .25833, .9 * 5/8 + .1/3 = .59583.
    three = double(0.0, math.log(2), math.log(5))
    assert choice_log_probs(three).exp().tolist() == pytest.approx([0.1458333, 0.2583333, 0.5958333])


def test_loss_by_hand() -> None:
    returns = double(0.0, math.log(3))
    assert choice_loss(returns, double(0, 1), noise=0.0).item() == pytest.approx(-math.log(0.75))
    # A tie: -(.5 ln .275 + .5 ln .725) = .806284
    assert choice_loss(returns, double(0.5, 0.5)).item() == pytest.approx(0.806284, abs=1e-6)


@given(first=finite, second=finite)
def test_two_options_are_the_logistic(first: float, second: float) -> None:
    log_probs = choice_log_probs(double(first, second), noise=0.0)
    expected = torch.nn.functional.logsigmoid(double(first - second, second - first))
    assert torch.allclose(log_probs, expected)


@given(returns=st.lists(finite, min_size=2, max_size=5), noise=st.floats(0.01, 0.9))
def test_noise_mixes_with_the_uniform(returns: list[float], noise: float) -> None:
    given = double(*returns)
    expected = (1 - noise) * torch.softmax(given, -1) + noise / len(returns)
    assert torch.allclose(choice_log_probs(given, noise=noise).exp(), expected)
    assert choice_log_probs(given, noise=noise).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("mu", [(1, 0), (0, 1), (0.5, 0.5), (0.73, 0.27)])
def test_absent_options_change_nothing(noise: float, mu: tuple[float, float]) -> None:
    two = double(0.3, -1.2).requires_grad_()
    three = double(0.3, -math.inf, -1.2).requires_grad_()
    loss_two = choice_loss(two, double(*mu), noise=noise)
    loss_three = choice_loss(three, double(mu[0], 0, mu[1]), noise=noise)
    assert loss_three.item() == pytest.approx(loss_two.item(), rel=1e-12)
    (grad_two,) = torch.autograd.grad(loss_two, two)
    (grad_three,) = torch.autograd.grad(loss_three, three)
    assert grad_three.tolist() == pytest.approx([grad_two[0].item(), 0.0, grad_two[1].item()])
    assert choice_log_probs(three, noise=noise)[1].item() == -math.inf


def test_bug_10_noise_bounds_the_gradient_of_a_wrong_label() -> None:
    """Without the 10 % a label that contradicts a sure model pulls with gradient 1; with it, with almost none."""
    gradients = []
    for noise in (0.0, 0.1):
        returns = double(0.0, 20.0).requires_grad_()
        (gradient,) = torch.autograd.grad(choice_loss(returns, double(1, 0), noise=noise), returns)
        gradients.append(gradient[1].item())
    assert gradients[0] == pytest.approx(1.0)
    assert 0 < gradients[1] < 1e-6


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_far_returns_stay_finite(noise: float) -> None:
    returns = torch.tensor([1e4, -1e4, 0.0], requires_grad=True)
    loss = choice_loss(returns, torch.tensor([0.0, 1.0, 0.0]), noise=noise)
    (gradient,) = torch.autograd.grad(loss, returns)
    assert torch.isfinite(loss)
    assert torch.isfinite(gradient).all()


@given(returns=st.lists(finite, min_size=2, max_size=4), shift=finite)
def test_only_differences_matter(returns: list[float], shift: float) -> None:
    given = double(*returns)
    assert torch.allclose(choice_log_probs(given), choice_log_probs(given + shift))


def test_leading_dimensions_are_batches() -> None:
    returns = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    mu = torch.tensor([1.0, 0.0]).expand(5, 2)
    loss = choice_loss(returns, mu)
    assert loss.shape == (3, 5)
    assert loss[2, 4].item() == pytest.approx(choice_loss(returns[2, 4], mu[4]).item())


def test_correct_by_hand() -> None:
    returns = torch.tensor([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    mu = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.5, 0.5], [0.3, 0.7]])
    right, wrong, tie, soft = choice_correct(returns, mu).tolist()
    assert (right, wrong, soft) == (1, 0, 1)
    assert math.isnan(tie)
    three = choice_correct(torch.tensor([2.0, 1.0, -math.inf]), torch.tensor([0.4, 0.4, 0.2]))
    assert math.isnan(three.item())


def test_pairs_ordered_alike_by_hand() -> None:
    # Of 1, 2, 3 the prediction swaps the last two: (1, 2) and (1, 3) stand, (2, 3) does not.
    assert pairs_ordered_alike(double(0, 5, 4), double(1, 2, 3)) == pytest.approx(2 / 3)
    assert pairs_ordered_alike(double(0, 5, 4).requires_grad_(), double(1, 2, 3)) == pytest.approx(2 / 3)
    # (1, 2) is predicted to be a tie and counts one half; of the two 3s nobody is better: 4 and a half of 5 pairs.
    assert pairs_ordered_alike(double(1, 1, 7, 6), double(1, 2, 3, 3)) == pytest.approx(4.5 / 5)
    assert math.isnan(pairs_ordered_alike(double(1, 2), double(3, 3)))
    assert math.isnan(pairs_ordered_alike(double(1, 2), double(3, math.nan)))
    # Only pairs within a row: the first is right, the second wrong, and nothing is said across.
    assert pairs_ordered_alike(double(0, 1, 9, 8).view(2, 2), double(5, 6, 0, 1).view(2, 2)) == 0.5


@given(returns=st.lists(st.integers(-50, 50), min_size=2, max_size=6, unique=True))
def test_the_order_alone_counts(returns: list[int]) -> None:
    predicted = double(*map(float, returns))
    true = torch.exp(predicted / 10)
    assert pairs_ordered_alike(predicted, true) == 1
    assert pairs_ordered_alike(-predicted, true) == 0
    # With two options it is the accuracy of a pair.
    pair, mu = predicted[:2], (predicted[:2] == predicted[:2].max()).double()
    assert pairs_ordered_alike(pair, true[:2]) == choice_correct(pair, mu).item()
