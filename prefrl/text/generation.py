"""Sample answers with a cache of keys and values, and keep the log-probabilities they were sampled with."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from prefrl.text.models import LanguageModel

DROP = 7 / 8  # finished rows are dropped when at most this share goes on: to drop any, the others' cache is copied


@dataclass(frozen=True, eq=False, slots=True)
class Answers:
    """Sampled answers, in the order of their prompts; an end token that was sampled is the last real token."""

    tokens: Tensor  # [N, T]  long
    log_probs: Tensor  # [N, T]  under softmax(logits / temperature), zero where masked
    mask: Tensor  # [N, T]  bool
    ended: Tensor  # [N]  bool: the last token is the end token


@torch.no_grad()
def sample(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    *,
    each: int = 1,
    most: int,
    temperature: float = 1.0,
    batch: int = 256,
    generator: torch.Generator,
    check: Callable[[], None] = lambda: None,
) -> Answers:
    """`each` answers of at most `most` tokens to every prompt, from the whole distribution; temperature 0 is greedy.

    At most `batch` answers grow side by side, prompts of like length together; the answers to one prompt share its
    reading. Finished rows are dropped. Answers lie in the order of the prompts, those of one prompt together.
    """
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    tokens = torch.zeros(len(prompts) * each, most, dtype=torch.long)
    log_probs, lengths = torch.zeros(len(prompts) * each, most), torch.zeros(len(prompts) * each, dtype=torch.long)
    size = max(1, batch // each)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        rows = torch.tensor([i * each + k for i in chosen for k in range(each)])
        _decode(lm, [prompts[i] for i in chosen], each, rows, tokens, log_probs, lengths, temperature, generator, check)
    longest = int(lengths.max()) if len(lengths) else 0
    mask = torch.arange(longest) < lengths[:, None]
    last = tokens.gather(1, (lengths - 1).clamp(min=0)[:, None])[:, 0]
    return Answers(tokens[:, :longest], log_probs[:, :longest], mask, last == lm.end)


def _decode(
    lm: LanguageModel,
    prompts: Sequence[Sequence[int]],
    each: int,
    rows: Tensor,  # [n]  where each answer goes in what follows
    tokens: Tensor,
    log_probs: Tensor,
    lengths: Tensor,
    temperature: float,
    generator: torch.Generator,
    check: Callable[[], None],
) -> None:
    ids, mask = left_padded(prompts)
    cache = _cache(lm, ids.shape[1] + tokens.shape[1])
    logits = _forward(lm, ids, mask, (mask.cumsum(dim=1) - 1).clamp(min=0), cache)
    if each > 1:
        cache.batch_repeat_interleave(each)
        logits, mask = logits.repeat_interleave(each, dim=0), mask.repeat_interleave(each, dim=0)
    position = mask.sum(dim=1)  # [n]  of the token to come
    alive = torch.ones(len(rows), dtype=torch.bool)
    for t in range(tokens.shape[1]):
        check()
        scores = torch.log_softmax(logits / (temperature or 1.0), dim=-1)
        drawn = scores.argmax(dim=-1, keepdim=True) if temperature == 0 else draw(scores, generator)
        now = rows[alive]
        tokens[now, t], log_probs[now, t] = drawn[alive, 0], scores.gather(1, drawn)[alive, 0]
        lengths[now] = t + 1
        alive = alive & (drawn[:, 0] != lm.end)
        left = int(alive.sum())
        if left == 0 or t + 1 == tokens.shape[1]:
            return
        if left <= DROP * len(rows):
            going = torch.nonzero(alive)[:, 0]
            cache.batch_select_indices(going.to(lm.device))
            rows, drawn, mask, position, alive = (part[going] for part in (rows, drawn, mask, position, alive))
        mask = torch.cat([mask, torch.ones(len(mask), 1, dtype=torch.bool)], dim=1)
        logits = _forward(lm, drawn, mask, position[:, None], cache)
        position = position + 1


def draw(log_probs: Tensor, generator: torch.Generator) -> Tensor:
    """One token for each distribution, [n, V] -> [n, 1]: the first at which the cumulated probability passes a number.

    One random number a row; torch.multinomial takes one for every token.
    """
    cumulated = log_probs.exp().cumsum(dim=1, dtype=torch.float64)
    passed = torch.rand(len(log_probs), 1, dtype=torch.float64, generator=generator) * cumulated[:, -1:]
    return torch.searchsorted(cumulated, passed, right=True).clamp(max=log_probs.shape[1] - 1)


class _Roomy(DynamicLayer):
    """Keys and values with room for those to come, which are written in place instead of all being copied each time."""

    def __init__(self, room: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room = room
        self._whole: tuple[Tensor, ...] = ()  # keys and values, [n, heads, room, width]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """[n, heads, steps, width] more of each; all of them."""
        held, steps = self.get_seq_length(), key_states.shape[-2]
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._whole = tuple(s.new_empty(*s.shape[:2], self._room, s.shape[3]) for s in (key_states, value_states))
        for whole, new in zip(self._whole, (key_states, value_states), strict=True):
            whole[:, :, held : held + steps] = new
        return self._show(held + steps)

    def _show(self, steps: int) -> tuple[Tensor, Tensor]:
        keys, values = (whole[:, :, :steps] for whole in self._whole)
        self.keys, self.values = keys, values
        return keys, values

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Every row `repeats` times."""
        self.batch_select_indices(torch.arange(len(self._whole[0])).repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """These rows."""
        held, self._whole = self.get_seq_length(), tuple(whole[indices] for whole in self._whole)
        self._show(held)


def _cache(lm: LanguageModel, room: int) -> Cache:
    """A cache for `room` tokens; layers of kinds other than plain attention are as transformers has them."""
    cache = DynamicCache(config=lm.causal.config.get_text_config())
    cache.layers = [_Roomy(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _forward(lm: LanguageModel, ids: Tensor, mask: Tensor, position: Tensor, cache: Cache) -> Tensor:
    """[n, V] logits of the token that follows, on the processor, where tokens are drawn."""
    with lm.autocast():
        out = lm.model(
            input_ids=ids.to(lm.device),
            attention_mask=None if bool(mask.all()) else mask.to(lm.device),
            position_ids=position.to(lm.device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
    logits: Tensor = out.logits[:, -1].float().cpu()
    return logits


def left_padded(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """[n, P] ids and [n, P] mask, every prompt ending at the right."""
    longest = max(map(len, prompts))
    ids = torch.zeros(len(prompts), longest, dtype=torch.long)
    mask = torch.zeros(len(prompts), longest, dtype=torch.bool)
    for row, prompt in enumerate(prompts):
        ids[row, longest - len(prompt) :] = torch.tensor(list(prompt))
        mask[row, longest - len(prompt) :] = True
    return ids, mask
