"""Numbers from a language model's trunk: rewards of answers, and values of their tokens."""

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from prefrl.segments import SegmentBatch
from prefrl.text.models import LanguageModel, trunk, twin
from prefrl.text.packing import Packed, pack, states_after, states_before

TOKENS = 2**14  # the most tokens read at once where nothing is learned


class TrunkReward(nn.Module):
    """E rewards of whole answers: linear heads on a language model's trunk, read at the answer's last token.

    InstructGPT, section 3.5: the layer over the vocabulary gives way to a projection to a scalar, N(0, 1 / (H + 1)) at
    first (Stiennon et al. 2020). Members share one trunk, or each has its own (`trunks` = `members`), which costs as
    many times the work and lets members disagree on more than their heads. On a shared trunk nothing is held out: what
    is outside of one member's bag shapes the trunk through the others, and `fit` validates too kindly. Results lie
    where the batch lies.
    """

    def __init__(self, lm: LanguageModel, *, members: int, trunks: int = 1, generator: torch.Generator) -> None:
        super().__init__()
        if trunks not in (1, members):
            raise ValueError(f"{members} members need 1 trunk or {members}, not {trunks}")
        self.members, self.device = members, lm.device
        self.trunks = nn.ModuleList(trunk(twin(lm).causal) for _ in range(trunks))
        heads = torch.randn(members, lm.width, generator=generator) / math.sqrt(lm.width + 1)
        self.heads, self.bias = nn.Parameter(heads), nn.Parameter(torch.zeros(members))
        self.to(self.device)
        self._autocast = lm.autocast
        leave_out_frozen(self)

    def forward(self, batch: SegmentBatch) -> Tensor:
        """[E, B, T] at every answer token the reward of an answer that ends there."""
        if torch.is_grad_enabled():
            return self._score(batch)
        rows = max(1, TOKENS // (batch.mask.shape[1] + batch.context_mask.shape[1]))
        return torch.cat([self._score(batch[start : start + rows]) for start in range(0, len(batch), rows)], dim=1)

    def _score(self, batch: SegmentBatch) -> Tensor:
        packed = pack(batch, self.device)
        heads = self.heads.chunk(len(self.trunks)), self.bias.chunk(len(self.trunks))
        rewards = []
        for part, head, bias in zip(self.trunks, *heads, strict=True):
            with self._autocast():
                states = states_after(part, packed).float()
            rewards.append((states @ head.T + bias).permute(2, 0, 1))
        return _as_long(torch.cat(rewards), packed).to(batch.obs.device)


class Critic(nn.Module):
    """What an answer will yet earn, before each of its tokens: a trunk and a head that starts at zero.

    Huang et al. 2023: a value head of zeros; Stiennon et al. 2020, appendix G.1: not on the policy's own trunk.
    """

    def __init__(self, part: nn.Module, lm: LanguageModel) -> None:
        super().__init__()
        self.device, self._autocast = lm.device, lm.autocast
        self.trunk = copy.deepcopy(part, {id(p): p for p in part.parameters() if not p.requires_grad})
        self.head = nn.Linear(lm.width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.to(self.device)
        leave_out_frozen(self)

    def forward(self, packed: Packed) -> Tensor:
        """[B, T] values, any number where masked."""
        with self._autocast():
            states = states_before(self.trunk, packed).float()
        return _as_long(self.head(states)[..., 0], packed)


def _as_long(values: Tensor, packed: Packed) -> Tensor:
    """[..., L] with zeros up to the batch's T steps."""
    return nn.functional.pad(values, (0, packed.mask.shape[1] - values.shape[-1]))


def leave_out_frozen(module: nn.Module) -> None:
    """Have a module's state hold only what may change: weights that never learn are the same after any load."""
    still = {name for name, parameter in module.named_parameters() if not parameter.requires_grad}
    if not still:
        return

    def saving(owner: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
        for name in still:
            state.pop(prefix + name, None)

    def loading(owner: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name, parameter in owner.named_parameters():
            if name in still:
                state.setdefault(prefix + name, parameter.detach())

    module.register_state_dict_post_hook(saving)
    module.register_load_state_dict_pre_hook(loading)
