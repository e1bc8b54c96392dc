"""Token sequences for the networks: from segments and back, padded on the right so that no mask is needed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from prefrl.errors import PrefrlError
from prefrl.segments import Segment, SegmentBatch, Text
from prefrl.text.models import LanguageModel, hidden_states, trunk

LOGITS = 2**23  # the most logits in memory at once


@dataclass(frozen=True, eq=False, slots=True)
class Packed:
    """Whole token sequences, prompt and answer, without padding on the left."""

    ids: Tensor  # [B, L]  long; padding on the right is 0
    first: Tensor  # [B]  place of the answer's first token
    act: Tensor  # [B, T]  long, the answer's tokens
    mask: Tensor  # [B, T]  bool

    @property
    def before(self) -> Tensor:
        """[B, T] place of the state in which each token was chosen; any place where masked."""
        steps = torch.arange(self.act.shape[1], device=self.ids.device)
        return (self.first[:, None] - 1 + steps).clamp(max=self.ids.shape[1] - 1)


def pack(batch: SegmentBatch, device: torch.device) -> Packed:
    """The token sequences of a batch, as short as its longest."""
    given, steps = batch.context_mask.sum(dim=1), batch.mask.sum(dim=1)  # [B]
    everything = torch.cat([batch.context, batch.obs[:, :1], batch.act], dim=1).long()
    lengths = given + 1 + steps
    place = torch.arange(int(lengths.max()))
    source = (place + (batch.context.shape[1] - given)[:, None]).clamp(max=everything.shape[1] - 1)
    ids = everything.gather(1, source) * (place < lengths[:, None])
    return Packed(ids.to(device), (given + 1).to(device), batch.act.long().to(device), batch.mask.to(device))


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
        states = hidden_states(trunk(lm.causal), packed.ids)
        chosen = states.gather(1, packed.before[..., None].expand(-1, -1, states.shape[-1]))[packed.mask]
        flat = chosen_log_probs(lm.causal.get_output_embeddings(), chosen, packed.act[packed.mask], temperature)
    return torch.zeros_like(packed.mask, dtype=torch.float32).masked_scatter(packed.mask, flat)


def chosen_log_probs(head: nn.Module, states: Tensor, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """[M] log-probability of one token at each state: [M, H], [M] -> [M].

    In chunks, so that the logits of all tokens are never held at once, neither forward nor backward.
    """

    def chunk(part: Tensor, chosen: Tensor) -> Tensor:
        logits: Tensor = head(part).float() / temperature
        return logits.gather(1, chosen[:, None])[:, 0] - torch.logsumexp(logits, dim=1)

    size = max(1, LOGITS // int(head.out_features))  # type: ignore[arg-type]
    if len(states) <= size:
        return chunk(states, tokens)
    pairs = zip(states.split(size), tokens.split(size), strict=True)
    if not torch.is_grad_enabled():
        return torch.cat([chunk(*pair) for pair in pairs])
    return torch.cat([checkpoint(chunk, *pair, use_reentrant=False) for pair in pairs])
