"""Token sequences for the networks: from segments and back, and what a trunk makes of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import DynamicCache

from prefrl.errors import PrefrlError
from prefrl.segments import Segment, SegmentBatch, Text
from prefrl.text.llama import LeanLlama, rows
from prefrl.text.models import LanguageModel, trunk
from prefrl.text.products import linear

LOGITS = 2**23  # the most logits in memory at once


@dataclass(frozen=True, eq=False, slots=True)
class Packed:
    """Prompts and answers as networks read them: each prompt once, however many answers it has."""

    prompts: Tensor  # [G, P]  long, distinct; they end at the right
    real: Tensor  # [G, P]  bool
    which: Tensor  # [B]  the prompt of each answer
    act: Tensor  # [B, L]  long, the answers' tokens, L those of the longest
    mask: Tensor  # [B, T]  bool


def pack(batch: SegmentBatch, device: torch.device) -> Packed:
    """The distinct prompts of a batch and its answers, all as short as the longest."""
    given = torch.cat([batch.context, batch.obs[:, :1]], dim=1).long()
    real = torch.cat([batch.context_mask, torch.ones_like(batch.mask[:, :1])], dim=1)
    longest, steps = int(real.sum(dim=1).max()), int(batch.mask.sum(dim=1).max())
    given = given[:, -longest:].masked_fill(~real[:, -longest:], -1)
    prompts, which = torch.unique(given, dim=0, return_inverse=True)
    parts = (prompts.clamp(min=0), prompts >= 0, which, batch.act[:, :steps].long(), batch.mask)
    return Packed(*(part.to(device) for part in parts))


def states_before(part: nn.Module, packed: Packed) -> Tensor:
    """[B, L, H] hidden states of a trunk, each the one in which an answer's token is chosen."""
    first, later = _states(part, packed, packed.act[:, :-1])
    return torch.cat([first, later], dim=1)


def states_around(part: nn.Module, packed: Packed) -> tuple[Tensor, Tensor]:
    """[B, L, H] hidden states of a trunk before each of an answer's tokens, and after it, in one reading."""
    first, later = _states(part, packed, packed.act)
    return torch.cat([first, later[:, :-1]], dim=1), later


def _states(part: nn.Module, packed: Packed, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """[B, 1, H] at the end of each prompt, [B, L, H] at each of `tokens` [B, L]. Answers to a prompt share its reading.

    Padding on the left is masked; padding on the right is looked at by no real token. A Llama on a processor reads
    prompts and answers at once, other models one after the other.
    """
    if isinstance(part, LeanLlama) and part.written_for(tokens) and tokens.shape[1]:
        return part.read(packed.prompts, packed.real, packed.which, tokens)
    config: Any = part.config
    cache = DynamicCache(config=config.get_text_config())
    seen = packed.real.sum(dim=1)
    padded = not bool(packed.real.all())
    first: Tensor = part(
        input_ids=packed.prompts,
        attention_mask=packed.real if padded else None,
        position_ids=(packed.real.cumsum(dim=1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state[:, -1:]
    if tokens.shape[1] == 0:
        return first[packed.which], first.new_zeros(len(tokens), 0, first.shape[-1])
    cache.batch_select_indices(packed.which)
    everything = torch.cat([packed.real[packed.which], torch.ones_like(tokens, dtype=torch.bool)], dim=1)
    later: Tensor = part(
        input_ids=tokens,
        attention_mask=everything if padded else None,
        position_ids=seen[packed.which][:, None] + torch.arange(tokens.shape[1], device=tokens.device),
        past_key_values=cache,
        use_cache=True,
    ).last_hidden_state
    return first[packed.which], later


def as_segment(prompt: Sequence[int], answer: Sequence[int], view: Text, gold: float | None = None) -> Segment:
    """The segment of an answer: with P prompt tokens, context = ids[:P-1], obs = ids[P-1:-1], act = ids[P:].

    `gold` is what the whole answer is truly worth, at its last token. Raises PrefrlError for no prompt or no answer.
    """
    if not prompt or not answer:
        what = "prompt" if not prompt else "answer"
        raise PrefrlError(
            f"an {what} has no tokens: {(view.prompt if not prompt else view.answer)[:60]!r}; leave it out"
        )
    ids = np.array([*prompt, *answer], np.int32)
    start = len(prompt)
    true_reward = None
    if gold is not None:
        true_reward = np.zeros(len(answer), np.float32)
        true_reward[-1] = gold
    return Segment(ids[start - 1 : -1], ids[start:], ids[: start - 1], true_reward, view)


def token_ids(segment: Segment) -> tuple[list[int], list[int]]:
    """Prompt and answer of a segment."""
    return [*segment.context.tolist(), int(segment.obs[0])], segment.act.tolist()


# ---- log-probabilities -----------------------------------------------------------------------------------------------


def answer_log_probs(lm: LanguageModel, batch: SegmentBatch, *, temperature: float) -> Tensor:
    """[B, T] log-probability of every answer token under softmax(logits / temperature), zero where masked."""
    packed = pack(batch, lm.device)
    with lm.autocast():
        real = packed.mask[:, : packed.act.shape[1]]
        states = rows(states_before(trunk(lm.causal), packed).flatten(0, 1), real.flatten().nonzero()[:, 0])
        flat = chosen_log_probs(lm.causal.get_output_embeddings(), states, packed.act[real], temperature)
    return torch.zeros_like(packed.mask, dtype=torch.float32).masked_scatter(packed.mask, flat)


def chosen_log_probs(head: nn.Module, states: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """[M] log-probability of one token at each state: [M, H], [M] -> [M].

    In chunks, so that the logits of all tokens are never held at once, neither forward nor backward.
    """

    def chunk(part: Tensor, chosen: Tensor, whole: bool = False) -> Tensor:
        # A part is read once more on the way back, when nobody asks for rough gradients any more.
        logits: Tensor = (linear(head, part) if whole else head(part)).float()
        if temperature != 1.0:
            logits = logits / temperature
        return -nn.functional.cross_entropy(logits, chosen, reduction="none")

    size = max(1, LOGITS // int(head.out_features))  # type: ignore[arg-type]
    if len(states) <= size:
        return chunk(states, tokens, whole=True)
    pairs = zip(states.split(size), tokens.split(size), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([chunk(*pair) for pair in pairs])
    return torch.cat([checkpoint(chunk, *pair, use_reentrant=False) for pair in pairs])
