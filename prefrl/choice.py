"""The model of a noisy choice among K options; Bradley-Terry is K = 2.

Returns of options that do not exist (choices of different K in one batch) are -inf.
"""

import math

import torch
from torch import Tensor


def choice_log_probs(returns: Tensor, *, noise: float = 0.1) -> Tensor:
    """Log-probability that each option is chosen, [..., K] -> [..., K].

    log((1 - noise) softmax(returns)_k + noise / K): with probability `noise` the labeler answers uniformly at random
    (Christiano et al. 2017, section 2.2.3; Luce's choice rule for K > 2). -inf for options that do not exist.
    """
    exists = torch.isfinite(returns)
    log_softmax = torch.log_softmax(returns, dim=-1)
    if noise == 0.0:
        return log_softmax
    options = exists.sum(dim=-1, keepdim=True)
    mixed = torch.logaddexp(math.log1p(-noise) + log_softmax, math.log(noise) - torch.log(options.to(returns.dtype)))
    return mixed.masked_fill(~exists, -math.inf)


def choice_loss(returns: Tensor, mu: Tensor, *, noise: float = 0.1) -> Tensor:
    """Cross-entropy of the answer `mu` under the choice model, -sum_k mu_k log P(k): [..., K], [..., K] -> [...].

    Christiano et al. 2017, section 2.2.3, with their 10 % of uniformly random answers.
    """
    log_probs = choice_log_probs(returns, noise=noise)
    # 0 log 0 = 0; masked before the product, so that no gradient becomes NaN.
    return -(mu * log_probs.masked_fill(mu == 0, 0.0)).sum(dim=-1)


def choice_correct(returns: Tensor, mu: Tensor) -> Tensor:
    """Was the option of the highest return the one chosen? 1 or 0, NaN for ties: [..., K], [..., K] -> [...]."""
    best = mu.max(dim=-1, keepdim=True).values
    decided = (mu == best).sum(dim=-1) == 1
    correct = (returns.argmax(dim=-1) == mu.argmax(dim=-1)).to(returns.dtype)
    return correct.masked_fill(~decided, math.nan)


def pairs_ordered_alike(predicted: Tensor, true: Tensor) -> float:
    """Share of the pairs, each within one context, that predicted returns order as true ones do: [..., K], [..., K].

    What a pairwise answer without error would be, held against the prediction. Pairs whose true returns are equal are
    left out, and an equal prediction counts one half. NaN if no pair is left or a true return is unknown.
    """
    i, j = torch.triu_indices(true.shape[-1], true.shape[-1], offset=1)
    predicted = predicted.detach()
    truly, said = torch.sign(true[..., i] - true[..., j]), torch.sign(predicted[..., i] - predicted[..., j])
    alike = (1.0 + truly * said) / 2
    return float(alike[truly != 0].mean())
