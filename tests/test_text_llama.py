"""The Llama written out for a processor says what transformers' own does, forward and backward."""

import copy
from unittest.mock import patch

import pytest
import torch
from text_worlds import prompts_of, tiny
from torch import nn
from transformers import DynamicCache, LlamaConfig, LlamaForCausalLM, LlamaModel

from prefrl.text import products
from prefrl.text.generation import left_padded
from prefrl.text.llama import LeanLlama, lean
from prefrl.text.models import LanguageModel, trunk, with_lora
from prefrl.text.packing import Packed, states_around, states_before
from prefrl.text.products import rough_gradients


def both(kv_heads: int) -> tuple[LlamaForCausalLM, LlamaForCausalLM]:
    """As transformers has it, and the lean one, of weights that leave nothing at its first value."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=kv_heads,
        max_position_embeddings=64,
        tie_word_embeddings=True,
    )
    plain = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for weight in plain.parameters():
            weight.add_(0.3 * torch.randn(weight.shape))
    ours = copy.deepcopy(plain)
    lean(ours)
    return plain, ours


def read(model: LlamaForCausalLM, *, padded: bool, cached: bool) -> torch.Tensor:
    """[4, L, V] logits at real tokens of prompts and of what follows them."""
    ids, mask = left_padded(prompts_of([9, 4, 7, 1] if padded else [6] * 4))
    more = torch.randint(3, 20, (4, 5), generator=torch.Generator().manual_seed(0))
    real = torch.cat([mask, torch.ones_like(more, dtype=torch.bool)], dim=1)
    position = (real.cumsum(dim=1) - 1).clamp(min=0)
    if not cached:
        whole, attention = torch.cat([ids, more], dim=1), real if padded else None
        return model(input_ids=whole, attention_mask=attention, position_ids=position, use_cache=False).logits[real]
    cache, found, start = DynamicCache(config=model.config), [], 0
    for part in (ids, more[:, :4], more[:, 4:]):  # several tokens, several after others, one after others
        end = start + part.shape[1]
        out = model(
            input_ids=part,
            attention_mask=real[:, :end] if padded else None,
            position_ids=position[:, start:end],
            past_key_values=cache,
            use_cache=True,
        )
        found.append(out.logits)
        start = end
    return torch.cat(found, dim=1)[real]


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("cached", [False, True])
def test_the_same_logits_and_gradients(kv_heads: int, padded: bool, cached: bool) -> None:
    found = []
    for model in both(kv_heads):
        logits = read(model, padded=padded, cached=cached)
        weights = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
        (logits * weights).sum().backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            still = read(model, padded=padded, cached=cached)
        assert torch.allclose(still, logits, atol=1e-5)
        found.append((logits.detach(), {name: p.grad for name, p in model.named_parameters()}))
    (wanted, wanted_grads), (got, got_grads) = found
    assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-5)
    assert got_grads.keys() == wanted_grads.keys()
    for name, wanted_grad in wanted_grads.items():
        assert wanted_grad is not None
        scale = float(wanted_grad.abs().max())
        assert torch.allclose(got_grads[name], wanted_grad, rtol=1e-4, atol=1e-5 * scale), name  # type: ignore[arg-type]


def adapted(slow: bool) -> tuple[LanguageModel, nn.Module]:
    """A model with adapters that do something, and its trunk, read by transformers where it is to be slow."""
    lm = with_lora(tiny(spread=3.0), rank=2, seed=0)
    with torch.no_grad():
        for weight in lm.model.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(2)))
    part = trunk(lm.causal)
    assert type(part) is LeanLlama
    if slow:
        part.__class__ = LlamaModel
    return lm, part


def test_adapters_learn_the_same() -> None:
    """Where the linear layers are wrapped, and most weights do not learn."""
    found = []
    for slow in (True, False):
        lm, _ = adapted(slow)
        logits = lm.model(input_ids=torch.tensor(prompts_of([9] * 3)), use_cache=False).logits
        logits.square().sum().backward()
        found.append([logits.detach(), *(p.grad for p in lm.model.parameters() if p.grad is not None)])
    assert len(found[0]) == len(found[1]) > 1
    for wanted, got in zip(*found, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))


def sequences(lengths: list[int], steps: int) -> Packed:
    """Seven answers, in mixed order, to three prompts, of which none begins at one place with another."""
    prompts, real = left_padded(prompts_of(lengths))
    act = torch.randint(3, 20, (7, steps), generator=torch.Generator().manual_seed(0))
    return Packed(prompts, real, torch.tensor([2, 0, 1, 1, 0, 2, 0]), act, torch.ones_like(act, dtype=torch.bool))


def gradients(part: nn.Module, packed: Packed) -> list[torch.Tensor]:
    """The states around the answers' tokens, and the gradient of a sum of them by each weight that learns."""
    states = torch.stack(states_around(part, packed))
    weights = torch.randn(states.shape, generator=torch.Generator().manual_seed(1))
    learning = [p for p in part.parameters() if p.requires_grad]
    return [states.detach(), *torch.autograd.grad((states * weights).sum(), learning)]


@pytest.mark.parametrize("kv_heads", [4, 2])
@pytest.mark.parametrize("lengths", [[6, 6, 6], [9, 4, 1], [1, 1, 1]])
@pytest.mark.parametrize("steps", [5, 1])
def test_prompts_and_answers_in_one_reading_say_the_same(kv_heads: int, lengths: list[int], steps: int) -> None:
    plain, ours = (trunk(model) for model in both(kv_heads))
    packed = sequences(lengths, steps)
    wanted, got = gradients(plain, packed), gradients(ours, packed)
    assert len(wanted) == len(got) == 1 + 2 * 9 + 2
    for a, b in zip(wanted, got, strict=True):
        assert torch.allclose(b, a, rtol=1e-5, atol=1e-5 * max(1.0, float(a.abs().max())))
    with torch.no_grad():
        assert torch.allclose(states_before(ours, packed), got[0][0], rtol=1e-5, atol=1e-5)
        assert torch.allclose(states_before(plain, packed), got[0][0], rtol=1e-5, atol=1e-5)


def test_in_one_reading_adapters_learn_the_same() -> None:
    found = []
    for slow in (True, False):
        _, part = adapted(slow)
        found.append(gradients(part, sequences([9, 4, 1], 5)))
    assert len(found[0]) == 1 + 2 * 2 * 7
    for wanted, got in zip(*found, strict=True):
        assert torch.allclose(got, wanted, rtol=1e-5, atol=1e-5 * max(1.0, float(wanted.abs().max())))


@pytest.mark.parametrize("lengths", [[6, 6, 6], [9, 4, 1]])
def test_in_one_reading_what_is_rough_is_near(lengths: list[int]) -> None:
    part, packed = trunk(tiny(spread=3.0).causal), sequences(lengths, 5)
    with torch.no_grad():
        exact = states_before(part, packed)
        with torch.autocast("cpu", torch.bfloat16):
            near = states_before(part, packed)
    assert near.dtype == torch.float32
    assert 0 < float((near - exact).abs().max()) < 0.05 * float(exact.abs().max())


@pytest.mark.parametrize("rough", [False, True])
@pytest.mark.parametrize("lengths", [[6, 6, 6], [9, 4, 1]])
def test_of_many_rows_gradients_are_near_and_the_way_there_is_exact(
    lengths: list[int], rough: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless the way there is to be rough as well; more rows than a kernel takes at once, and no whole number of it."""
    monkeypatch.setattr(products, "multiplies_bfloat16", lambda device: True)
    part, packed = trunk(tiny(spread=3.0).causal), sequences(lengths, 41)
    states, *wanted = gradients(part, packed)  # in 32 bits, where nobody asks for less
    with torch.autocast("cpu", torch.bfloat16) if rough else rough_gradients():
        moved, *got = gradients(part, packed)
    assert moved.dtype == torch.float32
    assert torch.equal(moved, states) != rough
    assert torch.allclose(moved, states, atol=0.05 * float(states.abs().max()))
    for a, b in zip(wanted, got, strict=True):
        assert b.dtype == torch.float32
        assert float((b - a).norm()) < (0.05 if rough else 0.015) * float(a.norm())
    assert sum(float((b - a).norm()) > 0 for a, b in zip(wanted, got, strict=True)) > len(wanted) / 2


def test_few_rows_learn_roughly_too_where_all_is_rough() -> None:
    part, packed = trunk(tiny(spread=3.0).causal), sequences([9, 4, 1], 5)
    wanted = gradients(part, packed)
    with torch.autocast("cpu", torch.bfloat16):
        got = gradients(part, packed)
    for a, b in zip(wanted, got, strict=True):
        assert b.dtype == torch.float32
        assert float((b - a).norm()) < 0.05 * float(a.norm())


def test_one_reading_is_taken_where_it_can_be() -> None:
    part, packed = trunk(tiny().causal), sequences([9, 4, 1], 5)
    with patch.object(LeanLlama, "read", autospec=True, side_effect=LeanLlama.read) as read_:
        one = states_before(part, packed)
        assert read_.call_count == 1
        assert states_before(part, sequences([9, 4, 1], 1)).shape == (7, 1, 16)  # of one token nothing comes after
        part.gradient_checkpointing = True  # type: ignore[assignment]
        assert torch.allclose(states_before(part, packed), one, atol=1e-5)
        assert read_.call_count == 1


def test_what_it_is_not_written_for_goes_the_way_of_transformers() -> None:
    plain, ours = both(4)
    embedded = torch.randn(3, 9, 32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(plain(inputs_embeds=embedded).logits, ours(inputs_embeds=embedded).logits)
    assert ours(input_ids=torch.tensor(prompts_of([9]))).past_key_values.get_seq_length() == 9
