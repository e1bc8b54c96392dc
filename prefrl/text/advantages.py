"""From rewards to advantages: B answers of T tokens, or G prompts with K answers each."""

import torch
from torch import Tensor

from prefrl.segments import last_steps


def token_rewards(score: Tensor, kl: Tensor, mask: Tensor, *, coefficient: float) -> Tensor:
    """Score [B, T] minus the price of the KL [B, T] at every token, zero where masked: [B, T].

    Ziegler et al. 2019, equation 2; InstructGPT, section 3.5.
    """
    return (score - coefficient * kl) * mask


def end_penalty(mask: Tensor, ended: Tensor, *, penalty: float) -> Tensor:
    """-penalty at the last token of every answer that never ended, zero elsewhere: [B, T], [B] -> [B, T].

    Huang et al. 2023, "The N implementation details of RLHF with PPO": the EOS trick.
    """
    return -penalty * (last_steps(mask) & ~ended[:, None]).to(torch.float32)


def generalized_advantages(rewards: Tensor, values: Tensor, mask: Tensor, *, gamma: float, lam: float) -> Tensor:
    """Generalized advantage estimates [B, T] of answers that end at their last real token, zero where masked.

    A_t = delta_t + gamma lam A_{t+1} with delta_t = r_t + gamma V_{t+1} - V_t (Schulman et al. 2016, equation 16).
    Padding is on the right.
    """
    keep = mask.to(rewards.dtype)
    rewards, values = rewards * keep, values * keep
    advantages = torch.zeros_like(rewards)
    after, value_after = torch.zeros_like(rewards[:, 0]), torch.zeros_like(rewards[:, 0])
    for t in range(rewards.shape[1] - 1, -1, -1):
        after = (rewards[:, t] + gamma * value_after - values[:, t] + gamma * lam * after) * keep[:, t]
        value_after = values[:, t]
        advantages[:, t] = after
    return advantages


def leave_one_out(returns: Tensor) -> Tensor:
    """Each answer's return minus the mean of the other answers to its prompt: [G, K] -> [G, K].

    Ahmadian et al. 2024 (RLOO), equation 8. Raises ValueError for fewer than 2 answers.
    """
    k = returns.shape[1]
    if k < 2:
        raise ValueError(f"leave-one-out needs at least 2 answers to a prompt, got {k}")
    return (returns - returns.mean(dim=1, keepdim=True)) * (k / (k - 1))


def whiten(values: Tensor, mask: Tensor) -> Tensor:
    """Scaled to mean 0 and variance 1 over the real entries; zero where masked. Any shape."""
    real = values[mask]
    return (values - real.mean()) * torch.rsqrt(real.var(correction=0) + 1e-8) * mask
