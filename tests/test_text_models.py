"""Loading, making, copying and saving language models."""

import functools
import json
from pathlib import Path

import pytest
import torch
from text_worlds import WORDS, as_batch, gpt2, prompts_of, tiny

from prefrl.errors import PrefrlError
from prefrl.text.generation import sample
from prefrl.text.models import (
    LanguageModel,
    TinyConfig,
    compiled,
    frozen,
    hidden_states,
    load_model,
    save_model,
    tiny_model,
    trainable,
    trunk,
    twin,
    with_lora,
    word_tokenizer,
)
from prefrl.text.packing import answer_log_probs
from prefrl.text.prompts import encode_prompt


def logits(lm: LanguageModel) -> torch.Tensor:
    with torch.no_grad():
        out: torch.Tensor = lm.model(input_ids=torch.tensor(prompts_of([9]))).logits
    return out


def moved(lm: LanguageModel) -> None:
    """Change everything that learns."""
    with torch.no_grad():
        for parameter in trainable(lm.model).values():
            parameter.add_(0.1 * torch.randn_like(parameter))


# ---- tokenizer -------------------------------------------------------------------------------------------------------


def test_words_and_marks_between_spaces_are_tokens_and_come_back() -> None:
    tokenizer = word_tokenizer(["anna", "likes", "tea", ".", "?"], context=32)
    text = "anna likes tea . anna likes ?"
    ids = tokenizer(text)["input_ids"]
    assert ids == [2, 3, 4, 5, 6, 3, 4, 7]
    assert ids[0] == tokenizer.eos_token_id
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer("ben")["input_ids"][1:] == [tokenizer.unk_token_id]


# ---- folders ---------------------------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_the_same(tmp_path: Path) -> None:
    lm = tiny()
    save_model(lm, tmp_path)
    again = load_model(str(tmp_path))
    assert torch.equal(logits(lm), logits(again))
    assert again.tokenizer("w1 w2")["input_ids"] == lm.tokenizer("w1 w2")["input_ids"]
    assert (again.end, again.context) == (lm.end, 64)
    assert not list(tmp_path.glob("*.bin"))


def test_the_seed_makes_the_weights() -> None:
    assert torch.equal(logits(tiny(3)), logits(tiny(3)))
    assert not torch.equal(logits(tiny(3)), logits(tiny(4)))


def test_a_folder_that_is_no_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PrefrlError, match=r"is no model: it has no config\.json"):
        load_model(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no-such-model"}))
    with pytest.raises(PrefrlError, match=r"cannot read the model of .*no-such-model"):
        load_model(str(tmp_path))


def test_a_model_without_tokenizer_or_of_another_is_refused(tmp_path: Path) -> None:
    lm = tiny()
    lm.causal.save_pretrained(tmp_path)
    with pytest.raises(PrefrlError, match="cannot read the tokenizer of"):
        load_model(str(tmp_path))
    word_tokenizer([f"x{i}" for i in range(100)], context=64).save_pretrained(tmp_path)
    with pytest.raises(PrefrlError, match="knows 103 tokens, the model only 23"):
        load_model(str(tmp_path))


def test_names_that_are_nothing_are_refused_without_asking_a_hub(tmp_path: Path) -> None:
    for name, reason in (
        (str(tmp_path / "gone"), "no folder .*gone"),
        (str(tmp_path / "gone.gguf"), r"no file .*gone\.gguf"),
        ("no such model", "no folder no such model"),
    ):
        with pytest.raises(PrefrlError, match=reason):
            load_model(name)
    (tmp_path / "weights.bin").write_bytes(b"\x80\x04")
    with pytest.raises(PrefrlError, match=r"neither a folder nor a \.gguf file"):
        load_model(str(tmp_path / "weights.bin"))


def test_other_architectures_are_read_and_capped_logits_are_refused(tmp_path: Path) -> None:
    """GPT-2 has learned positions and a head of its own; Gemma 2 caps its logits."""
    from transformers import Gemma2Config, Gemma2ForCausalLM, GPT2Config, GPT2LMHeadModel

    save_model(LanguageModel(gpt2(), tiny().tokenizer), tmp_path / "gpt2")
    again = load_model(str(tmp_path / "gpt2"))
    assert isinstance(again.causal, GPT2LMHeadModel)
    assert isinstance(again.causal.config, GPT2Config)
    assert again.width == 16
    config = Gemma2Config(
        vocab_size=23,
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        final_logit_softcapping=0.01,
        pad_token_id=1,
        bos_token_id=2,
        eos_token_id=2,
    )
    save_model(LanguageModel(Gemma2ForCausalLM(config), tiny().tokenizer), tmp_path / "gemma")
    with pytest.raises(PrefrlError, match="caps or scales"):
        load_model(str(tmp_path / "gemma"))


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    lm = tiny()
    save_model(lm, tmp_path)
    torch.save(lm.causal.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(PrefrlError, match="safetensors"):
        load_model(str(tmp_path))


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(PrefrlError, match="30 hidden units do not divide into 4 heads"):
        tiny_model(WORDS, TinyConfig(hidden=30), seed=0)


# ---- copies and adapters ---------------------------------------------------------------------------------------------


def test_a_twin_starts_the_same_and_then_goes_its_own_way() -> None:
    lm = tiny()
    before, copy = logits(lm), twin(lm)
    assert torch.equal(before, logits(copy))
    moved(copy)
    assert torch.equal(before, logits(lm))
    assert not torch.equal(before, logits(copy))
    assert trainable(frozen(lm).model) == {}


def test_an_adapter_starts_as_no_change_and_is_the_reference_when_switched_off() -> None:
    lm = with_lora(tiny(), rank=4, seed=0)
    before = logits(lm)
    assert torch.equal(before, logits(tiny()))
    moved(lm)
    assert not torch.allclose(before, logits(lm))
    with lm.without_adapter():
        assert torch.equal(before, logits(lm))


def test_twins_with_adapters_share_the_frozen_weights_alone() -> None:
    lm = with_lora(tiny(), rank=4, seed=0)
    copy = twin(lm)
    mine, its = dict(lm.model.named_parameters()), dict(copy.model.named_parameters())
    learning = trainable(lm.model)
    assert learning
    assert sum(p.numel() for p in learning.values()) < sum(p.numel() for p in mine.values())
    for name, parameter in mine.items():
        assert (parameter is its[name]) == (name not in learning)
    moved(copy)
    assert torch.equal(logits(lm), logits(tiny()))


def test_adapters_are_merged_into_what_is_saved(tmp_path: Path) -> None:
    lm = with_lora(tiny(), rank=4, seed=0)
    moved(lm)
    wanted = logits(lm)
    save_model(lm, tmp_path)
    assert torch.allclose(logits(load_model(str(tmp_path))), wanted, atol=1e-5)
    assert torch.equal(logits(lm), wanted)  # saving changed nothing
    with lm.without_adapter():
        assert torch.equal(logits(lm), logits(tiny()))


# ---- compiling -------------------------------------------------------------------------------------------------------


def test_copies_of_a_compiled_model_share_its_translation(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    translated = []

    def backend(graph: torch.fx.GraphModule, _: list[torch.Tensor]) -> torch.fx.GraphModule:
        translated.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    ours = compiled(LanguageModel(gpt2(), tiny().tokenizer))
    for lm in (ours, twin(ours)):
        for shape in ((2, 5), (3, 7)):
            ids = torch.arange(6, 6 + shape[0] * shape[1]).view(shape) % len(WORDS)
            with torch.no_grad():
                wanted = gpt2().transformer(input_ids=ids, use_cache=False).last_hidden_state
                assert torch.allclose(hidden_states(trunk(lm.causal), ids), wanted, atol=1e-5)
    assert len(translated) == 1
    save_model(ours, tmp_path)
    assert load_model(str(tmp_path)).causal.state_dict().keys() == gpt2().state_dict().keys()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")  # dynamo looks
def test_compiled_it_says_and_learns_the_same_and_so_do_its_copies() -> None:
    """With adapters, padding, a cache, one row, with and without gradient: each is translated by itself."""
    torch._dynamo.reset()
    frames = torch._dynamo.utils.counters["frames"]
    frames.clear()

    def made() -> LanguageModel:
        return with_lora(LanguageModel(gpt2(spread=3.0), tiny().tokenizer), rank=2, seed=0)

    plain, ours = made(), compiled(made())
    found = []
    for lm in (plain, ours, twin(ours)):
        told = []
        for lengths in ([3, 3], [2, 5, 1], [4]):
            prompts = prompts_of(lengths)
            answers = sample(lm, prompts, most=5, each=2, generator=torch.Generator().manual_seed(0))
            log_probs = answer_log_probs(lm, as_batch(prompts, answers, each=2), temperature=1.0)
            log_probs.sum().backward()  # type: ignore[no-untyped-call]
            told += [answers.tokens, answers.log_probs, log_probs.detach()]
        found.append([*told, *(p.grad for p in trainable(lm.model).values() if p.grad is not None)])
    wanted, *others = found
    assert len(wanted) > 9
    for told in others:
        assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-5) for a, b in zip(wanted, told, strict=True))
    assert frames["ok"] == frames["total"] > 3


def test_a_prompt_of_no_tokens_is_refused() -> None:
    """As an empty one is to tokenizers that begin no text with a token of their own."""

    class Bare:
        chat_template, eos_token_id = None, 0

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": [7 for _ in text.split()]}

    lm = LanguageModel(tiny().causal, Bare())  # type: ignore[arg-type]
    assert encode_prompt(lm, "one two") == [7, 7]
    with pytest.raises(PrefrlError, match="the prompt '' has no tokens"):
        encode_prompt(lm, "")
