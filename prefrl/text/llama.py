"""The Llama of transformers, same weights and same numbers to rounding, in fewer passes over memory on a processor.

There, with models of a million parameters, all that is no matrix product takes as long as the matrix products.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import scaled_dot_product_attention, silu
from transformers import Cache, LlamaModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaMLP, LlamaRMSNorm, repeat_kv


def lean(model: nn.Module) -> None:
    """Have the Llamas in a model take the way of this module; models of other kinds stay as they are."""
    for part in model.modules():
        if type(part) is LlamaModel and part.config.hidden_act == "silu" and not part.config.attention_dropout:
            part.__class__ = LeanLlama


class LeanLlama(LlamaModel):
    """A LlamaModel, written out for a processor. What it is not written for goes the way of transformers."""

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
            or input_ids.device.type != "cpu"
            or (torch.is_autocast_enabled("cpu") and torch.is_grad_enabled())  # backward would leave autocast's types
            or self.gradient_checkpointing
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
    attention: LlamaAttention, x: Tensor, turn: tuple[Tensor, ...], mask: Tensor | None, cache: Cache | None, layer: int
) -> Tensor:
    """[B, L, H] of what was read before."""
    shape = (*x.shape[:2], -1, attention.head_dim)
    q, k = (_Turn.apply(part(x).view(shape), *turn) for part in (attention.q_proj, attention.k_proj))  # type: ignore[no-untyped-call]
    q, k, v = (part.transpose(1, 2) for part in (q, k, attention.v_proj(x).view(shape).to(q.dtype)))
    if cache is not None:
        k, v = cache.update(k, v, layer)
    k, v = (repeat_kv(part, attention.num_key_value_groups) for part in (k, v))
    causal = mask is None and x.shape[1] > 1
    seen = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=attention.scaling)
    out: Tensor = attention.o_proj(seen.transpose(1, 2).reshape(*x.shape[:2], -1))
    return out


class _Turn(torch.autograd.Function):
    """Rotary positions (Su et al. 2021): the halves of x [B, L, heads, D] as pairs, turned by angles [B, L, 1, D]."""

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
    """[B, L, heads, D] turned forward or back."""
    out, half = x * cos, x.shape[-1] // 2
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return out


def norm(part: LlamaRMSNorm, x: Tensor) -> Tensor:
    """The root mean square layer norm (Zhang and Sennrich 2019) of x [B, L, H]."""
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
    """SwiGLU (Shazeer 2020) of x [B, L, H]."""
    linear = (part.gate_proj, part.up_proj, part.down_proj)
    if not torch.is_grad_enabled():
        out: Tensor = part.down_proj(silu(part.gate_proj(x)).mul_(part.up_proj(x)))
    elif all(type(p) is nn.Linear and p.bias is None and p.weight.requires_grad for p in linear):
        out = _SwiGLU.apply(x, *(p.weight for p in linear))  # type: ignore[no-untyped-call]
    else:
        out = part(x)
    return out


class _SwiGLU(torch.autograd.Function):
    """Keeps two tensors for the way back where four would be kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, gate: Tensor, up: Tensor, down: Tensor) -> Tensor:
        rows = x.flatten(0, 1)
        gated, upped = rows @ gate.T, rows @ up.T
        ctx.save_for_backward(rows, gated, upped, gate, up, down)
        return (silu(gated).mul_(upped) @ down.T).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, gated, upped, gate, up, down = ctx.saved_tensors
        dy = grad.reshape(x.shape)
        open_ = silu(gated)
        ddown = dy.T @ (open_ * upped)
        dh = dy @ down
        dup = open_.mul_(dh)
        dgate = torch.ops.aten.silu_backward(dh.mul_(upped), gated)
        dx = (dgate @ gate).addmm_(dup, up)
        return dx.view(grad.shape), dgate.T @ x, dup.T @ x, ddown
