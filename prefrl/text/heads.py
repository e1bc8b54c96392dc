"""Numbers from a language model's trunk: rewards of answers, and values of their tokens."""

import copy
import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from prefrl.segments import SegmentBatch
from prefrl.text.models import LanguageModel, exact, trunk, twin
from prefrl.text.packing import Packed, chosen_log_probs, pack, states_around, states_before

Reading = Literal["last", "mean"]
TOKENS = 2**14  # the most tokens read at once where nothing is learned


class TrunkReward(nn.Module):
    """E rewards of whole answers: linear heads on a language model's trunk, read at the answer's last token.

    InstructGPT, section 3.5: the layer over the vocabulary gives way to a projection to a scalar, N(0, 1 / (H + 1)) at
    first (Stiennon et al. 2020). Members share one trunk, or each has its own (`trunks` = `members`), which costs as
    many times the work and lets members disagree on more than their heads. On a shared trunk nothing is held out: what
    is outside of one member's bag shapes the trunk through the others, and `fit` validates too kindly. Results lie
    where the batch lies.

    Where `reading` is "mean", the head is read at every token of the answer, and the reward is the mean: more of a
    small trunk's states have a say. With a `likelihood` above 0 a member keeps its trunk's layer over the vocabulary,
    and an answer earns that many log-odds for each nat of its mean log-probability per token besides (the
    length-normalized reward of SimPO, Meng et al. 2024): a trunk that learned from demonstrations begins
    with an opinion of answers, of which the state at the last token of a small one holds next to nothing.
    """

    def __init__(
        self,
        lm: LanguageModel,
        *,
        members: int,
        trunks: int = 1,
        reading: Reading = "last",
        likelihood: float = 0.0,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        if trunks not in (1, members):
            raise ValueError(f"{members} members need 1 trunk or {members}, not {trunks}")
        self.members, self.device, self.reading, self.likelihood = members, lm.device, reading, likelihood
        self.trunks = nn.ModuleList(trunk(twin(lm).causal) for _ in range(trunks))
        # Not tied to the embeddings, even where the policy's are: the file that holds a reward has no place for that.
        self.vocabularies = nn.ModuleList(
            _copy(lm.causal.get_output_embeddings()) for _ in range(trunks * (likelihood > 0))
        )
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
        mask = packed.mask[:, : packed.act.shape[1]]  # [B, L]
        heads, biases = self.heads.chunk(len(self.trunks)), self.bias.chunk(len(self.trunks))
        rewards = []
        for i, part in enumerate(self.trunks):
            with self._autocast():
                before, after = states_around(part, packed)
            with exact(self.device):
                scores = after.float() @ heads[i].T + biases[i]  # [B, L, members on this trunk]
            if self.reading == "mean":
                scores = running_mean(scores, mask)
            if self.likelihood:
                with exact(self.device), self._autocast():
                    flat = chosen_log_probs(self.vocabularies[i], before[mask], packed.act[mask])
                log_probs = torch.zeros_like(mask, dtype=torch.float32).masked_scatter(mask, flat)
                scores = scores + self.likelihood * running_mean(log_probs, mask)[..., None]
            rewards.append(scores.permute(2, 0, 1))
        return _as_long(torch.cat(rewards), packed).to(batch.obs.device)


class Critic(nn.Module):
    """What an answer will yet earn, before each of its tokens: a trunk and a head that starts at zero.

    Huang et al. 2023: a value head of zeros; Stiennon et al. 2020, appendix G.1: not on the policy's own trunk.
    """

    def __init__(self, part: nn.Module, lm: LanguageModel) -> None:
        super().__init__()
        self.device, self._autocast = lm.device, lm.autocast
        self.trunk = _copy(part)
        self.head = nn.Linear(lm.width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.to(self.device)
        leave_out_frozen(self)

    def forward(self, packed: Packed) -> Tensor:
        """[B, T] values, any number where masked."""
        with self._autocast():
            states = states_before(self.trunk, packed).float()
        with exact(self.device):
            return _as_long(self.head(states)[..., 0], packed)


def running_mean(values: Tensor, mask: Tensor) -> Tensor:
    """[B, T, ...] at every step the mean of the values [B, T, ...] up to and with it, over what is not masked."""
    counts = mask.cumsum(dim=1).clamp(min=1)
    shape = (*mask.shape, *[1] * (values.dim() - 2))
    return (values * mask.view(shape)).cumsum(dim=1) / counts.view(shape)


def _copy(part: nn.Module) -> nn.Module:
    """A copy whose weights learn by themselves; frozen ones are shared."""
    return copy.deepcopy(part, {id(p): p for p in part.parameters() if not p.requires_grad})


def _as_long(values: Tensor, packed: Packed) -> Tensor:
    """[..., L] with zeros up to the batch's T steps."""
    return nn.functional.pad(values, (0, packed.mask.shape[1] - values.shape[-1]))


def leave_out_frozen(module: nn.Module) -> None:
    """Have a module's state hold only what may change: weights that never learn are the same after any load."""
    # Trunks share what is frozen: each of its names is asked for, or only the first trunk's would be left out.
    still = {name for name, parameter in module.named_parameters(remove_duplicate=False) if not parameter.requires_grad}
    if not still:
        return

    def saving(owner: nn.Module, state: dict[str, Any], prefix: str, _: Any) -> None:
        for name in still:
            state.pop(prefix + name, None)

    def loading(owner: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
        for name, parameter in owner.named_parameters(remove_duplicate=False):
            if name in still:
                state.setdefault(prefix + name, parameter.detach())

    module.register_state_dict_post_hook(saving)
    module.register_load_state_dict_pre_hook(loading)
