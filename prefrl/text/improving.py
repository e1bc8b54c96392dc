"""One batch of answers, or of comparisons, and what the policy makes of it: PPO, RLOO, DPO."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from prefrl.choice import choice_correct, choice_loss
from prefrl.comparisons import Comparison, collate_answers, collate_options
from prefrl.segments import SegmentBatch
from prefrl.text.advantages import end_penalty, generalized_advantages, leave_one_out, token_rewards, whiten
from prefrl.text.heads import Critic
from prefrl.text.kl import k1, k3
from prefrl.text.losses import implicit_returns, masked_mean, policy_loss, value_loss
from prefrl.text.models import rough
from prefrl.text.packing import answer_log_probs, pack
from prefrl.text.policy import Acted, Policy, batch_parts, take_step
from prefrl.text.products import rough_gradients
from prefrl.text.settings import TextConfig
from prefrl.text.threads import Check, at_once


@dataclass(frozen=True, eq=False, slots=True)
class Judged:
    """A batch of answers with all that is fixed while it is learned from."""

    batch: SegmentBatch
    old_log_probs: Tensor  # [B, T]
    advantages: Tensor  # [B, T]
    values: Tensor | None  # [B, T]  before learning; None without a critic
    returns: Tensor | None  # [B, T]  what values are fitted to


def judge(
    policy: Policy, critic: Critic | None, acted: Acted, score: Tensor, *, coefficient: float
) -> tuple[Judged, dict[str, float]]:
    """Advantages of every token from scores [B, T], the divergence from the reference, and what the critic expects.

    With a critic they are generalized advantage estimates (PPO), without one the whole answer's return against the
    other answers to its prompt (RLOO).
    """
    config, mask = policy.config, acted.batch.mask
    kl = k1(acted.log_probs, policy.reference_log_probs(acted.batch)) * mask
    paid = score + end_penalty(mask, acted.ended, penalty=config.missing_end_penalty)
    rewards = token_rewards(paid, kl, mask, coefficient=coefficient)
    values = returns = None
    if critic is None:
        totals = leave_one_out(rewards.sum(dim=1).view(-1, config.answers)).view(-1, 1)
        advantages = totals * mask
    else:
        values = critic_values(critic, acted.batch, config.minibatch_size) * mask
        advantages = generalized_advantages(rewards, values, mask, gamma=1.0, lam=config.gae_lambda)
        returns = advantages + values
    per_answer = kl.sum(dim=1)
    metrics = {
        "kl": float(per_answer.mean()),
        "kl_error": float(per_answer.std() / math.sqrt(len(per_answer))),
        "kl_coefficient": coefficient,
        "predicted_return": float(score.sum(dim=1).mean()),
        "tokens": float(mask.sum(dim=1).float().mean()),
        "ended": float(acted.ended.float().mean()),
        "entropy": float(-masked_mean(acted.log_probs, mask)),
    }
    return Judged(acted.batch, acted.log_probs, whiten(advantages, mask), values, returns), metrics


@torch.no_grad()
def critic_values(critic: Critic, batch: SegmentBatch, size: int) -> Tensor:
    """[B, T] on the processor."""
    with rough(critic.device):
        return torch.cat([critic(pack(batch[part], critic.device)) for part in batch_parts(len(batch), size)]).cpu()


def improve(
    policy: Policy,
    critic: Critic | None,
    critic_optimizer: torch.optim.Optimizer | None,
    judged: Judged,
    documents: Callable[[], Tensor] | None,
    *,
    batches: int,
    generator: torch.Generator,
    check: Callable[[], None],
) -> dict[str, float]:
    """Learn from one batch in minibatches: PPO's clipped losses, and language modeling where there are documents.

    `documents` draws the loss of a minibatch of them, whose gradient is added to the policy's (InstructGPT's ptx).
    """
    config = policy.config
    order = [
        chosen
        for _ in range(config.epochs)
        for chosen in shuffled(len(judged.batch), config.answers, generator).split(config.minibatch_size)
    ]

    def policy_losses(check: Check) -> list[tuple[float, ...]]:
        noted = []
        for chosen in order:
            check()
            noted.append(_improve_policy(policy, judged, chosen, documents, batches))
        return noted

    def value_losses(check: Check) -> list[float]:
        assert critic is not None
        assert critic_optimizer is not None
        losses = []
        for chosen in order:
            check()
            losses.append(_improve_values(critic, critic_optimizer, judged, chosen, config, batches))
        return losses

    if critic is None:
        noted, off = policy_losses(check), [math.nan]
    else:
        noted, off = at_once(policy_losses, value_losses, policy.lm.device, check)
    names, columns = ("policy_loss", "clip_share", "policy_kl"), list(zip(*noted, strict=True))
    means = {name: sum(column) / len(column) for name, column in zip(names, columns, strict=False)}
    return {**means, "value_loss": sum(off) / len(off), "first_ratio_error": columns[3][0]}


def _improve_policy(
    policy: Policy, judged: Judged, chosen: Tensor, documents: Callable[[], Tensor] | None, batches: int
) -> tuple[float, ...]:
    """The loss of a minibatch, the share clipped, how far the policy was from where it began, and how far at most."""
    config, device = policy.config, policy.lm.device
    part = judged.batch[chosen]
    old, advantages = judged.old_log_probs[chosen].to(device), judged.advantages[chosen].to(device)
    mask = part.mask.to(device)
    with rough_gradients():
        new = answer_log_probs(policy.lm, part, temperature=config.temperature)
    loss, clipped = policy_loss(new, old, advantages, mask, clip=config.clip)
    torch.autograd.backward(loss)
    if documents is not None:
        torch.autograd.backward(config.pretraining * documents())
    policy.step(batches)
    new = new.detach()
    ratio = (torch.exp(new - old) - 1.0).abs().mul(mask).max()
    return float(loss.detach()), float(clipped), float(masked_mean(k3(old, new), mask)), float(ratio)


def _improve_values(
    critic: Critic,
    optimizer: torch.optim.Optimizer,
    judged: Judged,
    chosen: Tensor,
    config: TextConfig,
    batches: int,
) -> float:
    """The loss of a minibatch."""
    assert judged.values is not None
    assert judged.returns is not None
    part, device = judged.batch[chosen], critic.device
    before, wanted = judged.values[chosen].to(device), judged.returns[chosen].to(device)
    with rough(device):
        values = critic(pack(part, device))
    loss = value_loss(values, before, wanted, part.mask.to(device), clip=config.value_clip)
    torch.autograd.backward(loss)
    take_step(optimizer, config.value_learning_rate, batches, config)
    return float(loss.detach())


def shuffled(n: int, each: int, generator: torch.Generator) -> Tensor:
    """[n] rows in random order but for the `each` answers to a prompt, which stay together: it is read once for all."""
    prompts = torch.randperm(n // each, generator=generator)
    return (prompts[:, None] * each + torch.arange(each)).flatten()


def fit_critic(
    critic: Critic,
    optimizer: torch.optim.Optimizer,
    batch: SegmentBatch,
    returns: Tensor,
    config: TextConfig,
    *,
    generator: torch.Generator,
    check: Callable[[], None],
) -> None:
    """Fit a new value function to what answers [B] came to, before any policy learns by it.

    A value function that knows nothing leaves the differences between prompts in the advantages, where they drown those
    between the answers to one prompt.
    """
    for _ in range(config.value_epochs):
        for chosen in shuffled(len(batch), config.answers, generator).split(config.minibatch_size):
            check()
            part, wanted = batch[chosen], returns[chosen, None].to(critic.device)
            with rough(critic.device):
                error = (critic(pack(part, critic.device)) - wanted).square()
            torch.autograd.backward(0.5 * masked_mean(error, part.mask.to(critic.device)))
            take_step(optimizer, config.value_learning_rate, config.warmup, config)


def improve_by_comparisons(
    policy: Policy,
    comparisons: Sequence[Comparison],
    answers: int,
    *,
    batches: int,
    generator: torch.Generator,
    check: Callable[[], None],
) -> dict[str, float]:
    """DPO (Rafailov et al. 2023): the choice model's loss, the policy itself being the reward; reads about `answers`.

    Without comparisons nothing changes.
    """
    config, size = policy.config, max(1, policy.config.minibatch_size // 2)
    losses: list[float] = []
    correct: list[float] = []
    left = answers
    while left > 0 and comparisons:
        for chosen in torch.randperm(len(comparisons), generator=generator).split(size):
            check()
            if left <= 0:
                break
            part = [comparisons[i] for i in chosen.tolist()]
            batch, places = collate_options([comparison.options for comparison in part])
            new = answer_log_probs(policy.lm, batch, temperature=config.temperature).sum(dim=1)
            old = policy.reference_log_probs(batch).sum(dim=1).to(new.device)
            implicit = implicit_returns(new, old, beta=config.dpo_beta)
            places, mu = places.to(new.device), collate_answers(part).to(new.device)
            returns = implicit[places].masked_fill(places < 0, -math.inf)
            loss = choice_loss(returns, mu, noise=0.0).mean()
            torch.autograd.backward(loss)
            policy.step(batches + (answers - left) // config.batch_size)
            losses.append(float(loss.detach()))
            correct += choice_correct(returns.detach(), mu).tolist()
            left -= len(batch)
    decided = [value for value in correct if not math.isnan(value)]
    return {
        "policy_loss": sum(losses) / len(losses) if losses else math.nan,
        "dpo_accuracy": sum(decided) / len(decided) if decided else math.nan,
    }
