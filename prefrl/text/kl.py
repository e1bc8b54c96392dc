"""How far a policy has moved from its reference, and the price of it."""

import math

import torch
from torch import Tensor


def k1(log_probs: Tensor, reference: Tensor) -> Tensor:
    """log p - log q at tokens sampled from p: unbiased for KL(p || q), may be negative. Any shape.

    Ziegler et al. 2019, equation 2, pays it per token.
    """
    return log_probs - reference


def k3(log_probs: Tensor, reference: Tensor) -> Tensor:
    """(q / p - 1) - log(q / p) at tokens sampled from p: unbiased too, never negative, less variance. Any shape.

    Schulman 2020, "Approximating KL divergence".
    """
    log_ratio = reference - log_probs
    return torch.expm1(log_ratio) - log_ratio


def adapted_coefficient(coefficient: float, kl: float, *, target: float, episodes: int, horizon: float) -> float:
    """The KL coefficient after `episodes` answers whose mean KL was `kl` nats (Ziegler et al. 2019, section 2.2).

    beta (1 + clip(kl / target - 1, -.2, .2) episodes / horizon).
    """
    error = min(max(kl / target - 1.0, -0.2), 0.2)
    return coefficient * (1.0 + error * episodes / horizon)


def best_of_n_kl(n: int) -> float:
    """KL of best-of-n sampling from the policy it samples from, log n - (n - 1) / n nats (Stiennon et al. 2020)."""
    if n < 1:
        raise ValueError(f"best of n needs n of at least 1, got {n}")
    return math.log(n) - (n - 1) / n
