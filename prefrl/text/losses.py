"""Losses of the policy, of its value function, and of preferences without a reward. B answers, T tokens."""

import torch
from torch import Tensor


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """The mean over real entries."""
    return (values * mask).sum() / mask.sum()


def policy_loss(
    log_probs: Tensor, old_log_probs: Tensor, advantages: Tensor, mask: Tensor, *, clip: float
) -> tuple[Tensor, Tensor]:
    """PPO's clipped loss, a mean over real tokens, and the share of tokens at which it is clipped: all [B, T].

    -min(r A, clip(r, 1 - clip, 1 + clip) A) with r = exp(log p - log p_old) (Schulman et al. 2017, equation 7).
    """
    ratio = torch.exp((log_probs - old_log_probs).masked_fill(~mask, 0.0))
    free, clipped = -advantages * ratio, -advantages * ratio.clamp(1.0 - clip, 1.0 + clip)
    share = masked_mean((clipped > free).to(ratio.dtype), mask)
    return masked_mean(torch.maximum(free, clipped), mask), share.detach()


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, *, clip: float) -> Tensor:
    """Half the squared error, a mean over real tokens, where a value gains nothing by moving further than `clip`.

    max((V - R)^2, (V_clipped - R)^2) / 2, as in OpenAI's baselines and Ziegler et al. 2019.
    """
    near = old_values + (values - old_values).clamp(-clip, clip)
    return 0.5 * masked_mean(torch.maximum((values - returns).square(), (near - returns).square()), mask)


def implicit_returns(log_probs: Tensor, reference: Tensor, *, beta: float) -> Tensor:
    """beta (log p - log q) of whole answers: the reward under which this policy is optimal, up to a constant a prompt.

    Rafailov et al. 2023 (DPO), equation 5. Their loss, equation 7, is the choice model's loss on these returns
    [N, K] without noise: for a pair -log sigmoid(difference).
    """
    return beta * (log_probs - reference)
