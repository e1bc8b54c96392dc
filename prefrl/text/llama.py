"""The Llama of transformers, same weights and same numbers to rounding, in fewer passes over memory on a processor.

There, with models of a million parameters, all that is no matrix product takes as long as the matrix products.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import embedding, scaled_dot_product_attention, silu
from transformers import Cache, LlamaModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRMSNorm, repeat_kv

from prefrl.text.products import learns_roughly, linear, rounded


def lean(model: nn.Module) -> None:
    """Have the Llamas in a model take the way of this module; models of other kinds stay as they are."""
    for part in model.modules():
        if type(part) is LlamaModel and part.config.hidden_act == "silu" and not part.config.attention_dropout:
            part.__class__ = LeanLlama


class LeanLlama(LlamaModel):
    """A LlamaModel, written out for a processor. What it is not written for goes the way of transformers.

    Under autocast it learns roughly: products are in bfloat16, what lies between them stays in 32 bits.
    """

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """[B, L, H] hidden states of ids [B, L]; the mask [B, K], if any, is for these and what the cache holds."""
        if (
            input_ids is None
            or not self.written_for(input_ids)
            or (past_key_values is None and use_cache is not False)
            or (attention_mask is not None and attention_mask.dim() != 2)
            or any(value is not None for value in kwargs.values())
        ):
            found: BaseModelOutputWithPast = super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                past_key_values=past_key_values,
                inputs_embeds=inputs_embeds,
                use_cache=use_cache,
                **kwargs,
            )
            return found
        held, steps = past_key_values.get_seq_length() if past_key_values is not None else 0, input_ids.shape[1]
        x: Tensor = self.embed_tokens(input_ids)
        if position_ids is None:
            position_ids = torch.arange(held, held + steps)[None]
        turn = tuple(part[:, :, None] for part in self.rotary_emb(x, position_ids=position_ids))
        mask = additive_mask(attention_mask, steps, held)
        layer: Any
        for i, layer in enumerate(self.layers):
            x = x + _attend(layer.self_attn, norm(layer.input_layernorm, x), turn, mask, past_key_values, i)
            x = x + feed_forward(layer.mlp, norm(layer.post_attention_layernorm, x))
        return BaseModelOutputWithPast(last_hidden_state=norm(self.norm, x), past_key_values=past_key_values)

    def written_for(self, ids: Tensor) -> bool:
        """Whether this module's way is taken: on a processor, keeping all that the way back needs, in its own types."""
        return ids.device.type == "cpu" and not self.gradient_checkpointing

    def read(self, prompts: Tensor, real: Tensor, which: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 1, H] at the end of each answer's prompt and [B, L, H] at the answers' tokens [B, L], L > 0.

        Of prompts [G, P], padded on the left where not `real`, answer b continues `which[b]`. All tokens are the rows
        of one reading; only attention tells prompts from answers.
        """
        (groups, held), (answers, steps) = prompts.shape, tokens.shape
        sizes = [prompts.numel(), tokens.numel()]

        def ends(part: Tensor) -> Tensor:
            """Of rows [G P + B L, ...] the last of each prompt and all of the answers: [G + B L, ...]."""
            before, after = part.split(sizes)
            return torch.cat([before.unflatten(0, (groups, held))[:, -1], after])

        x: Tensor = self.embed_tokens(torch.cat([prompts.flatten(), tokens.flatten()]))
        places = (real.cumsum(dim=1) - 1).clamp(min=0), real.sum(dim=1)[which][:, None] + torch.arange(steps)
        position = torch.cat([part.flatten() for part in places])[None]
        turn = tuple(part[0, :, None] for part in self.rotary_emb(x, position_ids=position))
        padded = not bool(real.all())
        seen = torch.cat([real[which], torch.ones_like(tokens, dtype=torch.bool)], dim=1)
        mask = additive_mask(real if padded else None, held, 0)
        later_mask = additive_mask(seen if padded else None, steps, held)
        layer: Any
        for i, layer in enumerate(self.layers):
            attention, y = layer.self_attn, norm(layer.input_layernorm, x)
            k, v = keys_and_values(attention, y, turn)
            if i + 1 == len(self.layers):  # the rest of a prompt has been seen by all who look at it
                x, y, turn = ends(x), ends(y), tuple(ends(part) for part in turn)
                mask = mask[..., -1:, :] if mask is not None else None
            q = queries(attention, y, turn)
            (q, later_q), (k, later_k), (v, later_v) = (
                (before.unflatten(0, (groups, -1)), after.unflatten(0, (answers, steps)))
                for before, after in (part.split([len(part) - sizes[1], sizes[1]]) for part in (q, k, v))
            )
            own = look(attention, q, k, v, mask)
            k, v = (torch.cat([rows(a, which), b], dim=1) for a, b in ((k, later_k), (v, later_v)))
            later = look(attention, later_q, k, v, later_mask)
            x = x + linear(attention.o_proj, torch.cat([own.flatten(0, 1), later.flatten(0, 1)]))
            x = x + feed_forward(layer.mlp, norm(layer.post_attention_layernorm, x))
        first, rest = norm(self.norm, x).split([groups, sizes[1]])
        return first[which][:, None], rest.view(answers, steps, -1)


def additive_mask(real: Tensor | None, steps: int, held: int) -> Tensor | None:
    """[B or 1, 1, L, K] to add to scores: the last L of K tokens look at real ones that are not later; None for none.

    Not minus infinity: what padding on the left sees is no number then, and nothing times no number is none.
    """
    if real is None and (steps == 1 or held == 0):
        return None  # for one step all is past; from the beginning attention knows itself what is not later
    seen = (torch.arange(held + steps) <= torch.arange(held, held + steps)[:, None])[None, None]
    if real is not None:
        seen = seen & real[:, None, None, :].bool()
    return torch.zeros(seen.shape).masked_fill_(~seen, torch.finfo(torch.float32).min)


def _attend(
    attention: LlamaAttention, x: Tensor, turn: Sequence[Tensor], mask: Tensor | None, cache: Cache | None, layer: int
) -> Tensor:
    """[B, L, H] of what was read before."""
    q, (k, v) = queries(attention, x, turn), keys_and_values(attention, x, turn)
    if cache is not None:
        k, v = (part.transpose(1, 2) for part in cache.update(k.transpose(1, 2), v.transpose(1, 2), layer))
    return linear(attention.o_proj, look(attention, q, k, v, mask))


def queries(attention: LlamaAttention, x: Tensor, turn: Sequence[Tensor]) -> Tensor:
    """[..., heads, D] of states [..., H], turned to their positions."""
    out: Tensor = _Turn.apply(linear(attention.q_proj, x).unflatten(-1, (-1, attention.head_dim)), *turn)  # type: ignore[no-untyped-call]
    return out


def keys_and_values(attention: LlamaAttention, x: Tensor, turn: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """[..., key heads, D] each of states [..., H], the keys turned to their positions."""
    k, v = (linear(part, x).unflatten(-1, (-1, attention.head_dim)) for part in (attention.k_proj, attention.v_proj))
    k = _Turn.apply(k, *turn)  # type: ignore[no-untyped-call]
    return k, v.to(k.dtype)


def rows(x: Tensor, which: Tensor) -> Tensor:
    """[B, ...] of x [G, ...]. An embedding's way back adds whole rows, that of indexing number by number."""
    out: Tensor = embedding(which, x.flatten(1)).unflatten(1, x.shape[1:])
    return out


def look(attention: LlamaAttention, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
    """[B, L, H] of what queries [B, L, heads, D] see of [B, K, key heads, D], without a mask what is not later."""
    q, k, v = (part.transpose(1, 2) for part in (q, k, v))
    k, v = (repeat_kv(part, attention.num_key_value_groups) for part in (k, v))
    if q.shape[2] == 1 and mask is None and not torch.is_grad_enabled():  # decoding, where this is faster
        far = torch.bmm(q.flatten(0, 1) * attention.scaling, k.flatten(0, 1).transpose(1, 2)).softmax(dim=-1)
        return torch.bmm(far, v.flatten(0, 1)).view(len(q), 1, -1)
    causal = mask is None and q.shape[2] > 1
    with torch.autocast("cpu", enabled=torch.is_autocast_enabled("cpu") and not torch.is_grad_enabled()):
        # Its way back takes six times as long in 16 bits.
        seen = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=attention.scaling)
    return seen.transpose(1, 2).flatten(2)


class _Turn(torch.autograd.Function):
    """Rotary positions (Su et al. 2021): the halves of x [..., heads, D] as pairs, turned by angles [..., 1, D]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return turned(x, cos, sin, 1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        cos, sin = ctx.saved_tensors
        return turned(grad, cos, sin, -1), None, None


def turned(x: Tensor, cos: Tensor, sin: Tensor, sign: int) -> Tensor:
    """[..., heads, D] turned forward or back."""
    out, half = x * cos, x.shape[-1] // 2
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return out


def norm(part: LlamaRMSNorm, x: Tensor) -> Tensor:
    """The root mean square layer norm (Zhang and Sennrich 2019) of x [..., H]."""
    out: Tensor = _RMSNorm.apply(x, part.weight, part.variance_epsilon)  # type: ignore[no-untyped-call]
    return out


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
        mean_square = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1])
        scale = mean_square.add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        out: Tensor = (x * scale).mul_(weight)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        # The gradient of a layer norm of mean 0, in one pass, and what that takes away for the mean's sake given back.
        x, weight, scale = ctx.saved_tensors
        needs = [True, ctx.needs_input_grad[1], False]
        zero = torch.zeros_like(scale)
        dx, dw, _ = torch.ops.aten.native_layer_norm_backward(
            grad.contiguous(), x, [x.shape[-1]], zero, scale, weight, None, needs
        )
        return dx.add_((grad @ weight)[..., None].mul_(scale).div_(x.shape[-1])), dw, None


def feed_forward(part: LlamaMLP, x: Tensor) -> Tensor:
    """SwiGLU (Shazeer 2020) of x [..., H]."""
    layers = (part.gate_proj, part.up_proj, part.down_proj)
    plain = all(type(layer) is nn.Linear and layer.bias is None and layer.weight.requires_grad for layer in layers)
    near, rough = all(learns_roughly(layer, x) for layer in layers), torch.is_autocast_enabled("cpu")
    if not torch.is_grad_enabled():
        out: Tensor = part.down_proj(silu(part.gate_proj(x)).mul_(part.up_proj(x)))
    elif plain and (near or not rough):
        out = _SwiGLU.apply(x, *(layer.weight for layer in layers), near, rough)  # type: ignore[no-untyped-call]
    else:
        out = part(x)
    return out


class _SwiGLU(torch.autograd.Function):
    """Keeps four tensors for the way back where five would be kept, in bfloat16 where gradients are `near`.

    Where it is `rough`, the way there is in bfloat16 as well.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, up: Tensor, down: Tensor, near: bool, rough: bool) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        weights = short = [w.bfloat16() for w in (gate, up, down)] if near else [gate, up, down]
        if rough:
            rows = rounded(rows)
        elif near:
            weights = [gate, up, down]
        gated, upped = rows @ weights[0].T, rows @ weights[1].T
        inner = silu(gated).mul_(upped)
        kept = [rows, gated, upped, inner]
        ctx.save_for_backward(*([rounded(part) for part in kept] if near and not rough else kept), *short)
        return (inner @ weights[2].T)[: x.shape[:-1].numel()].to(x.dtype).view(x.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, gated, upped, inner, gate, up, down = ctx.saved_tensors
        dy = grad.reshape(-1, grad.shape[-1])
        dy = rounded(dy) if x.dtype != dy.dtype else dy
        dh = dy @ down
        dup = silu(gated).mul_(dh)
        dgate = torch.ops.aten.silu_backward(dh.mul_(upped), gated)
        dx = (dgate @ gate).addmm_(dup, up)[: grad.shape[:-1].numel()].view(grad.shape)
        return *(part.to(grad.dtype) for part in (dx, dgate.T @ x, dup.T @ x, dy.T @ inner)), None, None
