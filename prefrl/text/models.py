"""Causal language models: from a folder, a hub, a GGUF file, or made tiny from a configuration."""

import copy
import os
import re
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from prefrl.errors import PrefrlError, require
from prefrl.processor import multiplies_bfloat16
from prefrl.text.llama import lean

UNKNOWN, PAD, END = "<unk>", "<pad>", "<end>"


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A causal language model in 32 bits and its tokenizer, which has an end token and a padding token."""

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.model.parameters()).device

    @property
    def end(self) -> int:
        """The token that ends an answer."""
        return int(self.tokenizer.eos_token_id)

    @property
    def width(self) -> int:
        """Numbers in a hidden state."""
        return int(self.causal.get_input_embeddings().weight.shape[1])  # type: ignore[index]

    @property
    def context(self) -> int:
        """The most tokens that it can read."""
        return int(getattr(self.model.config.get_text_config(), "max_position_embeddings", 2**31))

    @property
    def causal(self) -> PreTrainedModel:
        """The model without peft's wrapping; adapters stay where they are."""
        model: Any = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        assert isinstance(model, PreTrainedModel)
        return model

    def without_adapter(self) -> AbstractContextManager[None]:
        """The reference of a model with LoRA: the same weights, the adapter switched off."""
        assert isinstance(self.model, PeftModel)
        return self.model.disable_adapter()

    def autocast(self) -> AbstractContextManager[Any]:
        """bfloat16 for matrix products on CUDA; weights stay in 32 bits."""
        return torch.autocast("cuda", torch.bfloat16) if self.device.type == "cuda" else nullcontext()


def rough(device: torch.device) -> AbstractContextManager[Any]:
    """bfloat16 for the matrix products of a trunk whose numbers need not be exact, on a processor that multiplies it.

    A reward of standard deviation 1 moves by a hundredth. Not for log-probabilities: what they differ by is paid for.
    """
    return torch.autocast("cpu", torch.bfloat16) if multiplies_bfloat16(device) else nullcontext()


def exact(device: torch.device) -> AbstractContextManager[Any]:
    """32 bits, in the middle of what is rough."""
    return torch.autocast(device.type, enabled=False)


def trunk(model: PreTrainedModel) -> nn.Module:
    """The part that gives hidden states, without the layer over the vocabulary."""
    part: nn.Module = model.base_model
    return part


def hidden_states(part: nn.Module, ids: Tensor) -> Tensor:
    """[B, L, H] of token ids [B, L] that are padded on the right: no real token ever looks at padding."""
    states: Tensor = part(input_ids=ids, use_cache=False).last_hidden_state
    return states


def compiled(lm: LanguageModel) -> LanguageModel:
    """The model, whose trunk and all copies of it torch.compile translates when they first read, shapes left open.

    Its class is changed and not the object, because copies of an object forget that it was compiled. With or without
    gradient, padding, a cache, a single row: each is a translation of its own, and more of them than torch allows.
    """
    torch._dynamo.config.recompile_limit = 64
    part = trunk(lm.causal)
    plain = type(part)
    part.__class__ = type(plain.__name__, (plain,), {"forward": torch.compile(plain.forward, dynamic=True)})
    return lm


def twin(lm: LanguageModel) -> LanguageModel:
    """A copy with trainable weights of its own; frozen ones, as LoRA's base has, are shared."""
    shared: dict[int, Any] = {id(p): p for p in lm.model.parameters() if not p.requires_grad}
    return LanguageModel(copy.deepcopy(lm.model, shared), lm.tokenizer)


def frozen(lm: LanguageModel) -> LanguageModel:
    """A copy that never learns."""
    still = twin(lm)
    still.model.requires_grad_(False)
    return LanguageModel(still.model.eval(), lm.tokenizer)


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


# ---- loading and saving ----------------------------------------------------------------------------------------------


def load_model(name: str, *, device: str = "cpu") -> LanguageModel:
    """A model from a folder, a `.gguf` file, or, only if neither is there, the hub that transformers knows.

    Weights are read from safetensors or GGUF alone, which hold no code, and no code of the model's own is run. Raises
    PrefrlError for everything that is not a causal language model with a tokenizer.
    """
    path = Path(name)
    if path.suffix == ".gguf":
        if not path.is_file():
            raise PrefrlError(f"no file {name}; name a .gguf file, a model's folder, or a hub id")
        where, extra = str(path.parent), {"gguf_file": path.name}
    elif path.is_dir():
        if (path / "model" / "config.json").is_file():  # a run's folder
            path = path / "model"
        if not (path / "config.json").is_file():
            raise PrefrlError(f"{name} is no model: it has no config.json; `prefrl text pretrain` or `sft` make one")
        where, extra = str(path), {}
    elif path.exists():
        raise PrefrlError(f"{name} is neither a folder nor a .gguf file; name a model's folder")
    elif not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", name):
        raise PrefrlError(f"no folder {name}; name a model's folder, a .gguf file, or a hub id")
    else:
        where, extra = name, {}
    model = _read("model", name, AutoModelForCausalLM, where, dtype=torch.float32, use_safetensors=True, **extra)
    tokenizer = _read("tokenizer", name, AutoTokenizer, where, **extra)
    lm = LanguageModel(model.eval(), _with_special_tokens(tokenizer, name))
    if lm.tokenizer.vocab_size > model.get_input_embeddings().num_embeddings:
        raise PrefrlError(
            f"the tokenizer of {name} knows {lm.tokenizer.vocab_size} tokens, the model only "
            f"{model.get_input_embeddings().num_embeddings}: it belongs to another model"
        )
    _check_head(lm, name)
    lean(model)
    model.to(torch.device(device))
    return lm


@torch.no_grad()
def _check_head(lm: LanguageModel, name: str) -> None:
    """Log-probabilities are taken from hidden states, chunk by chunk; some models cap or scale their logits further."""
    ids = torch.tensor([[lm.end, 0]])
    plain = lm.causal.get_output_embeddings()(hidden_states(trunk(lm.causal), ids))
    if not torch.allclose(plain, lm.causal(input_ids=ids, use_cache=False).logits, rtol=1e-3, atol=1e-3):
        raise PrefrlError(
            f"the logits of {name} are not a linear layer on its hidden states (it caps or scales them), which is all "
            "that can be trained here; name another model"
        )


def _read(what: str, name: str, kind: Any, where: str, **settings: Any) -> Any:
    try:
        return kind.from_pretrained(where, trust_remote_code=False, **settings)
    # transformers raises whatever its parts raise.
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        hint = "name a causal language model's folder, with weights in safetensors, or a .gguf file"
        if not os.path.exists(where):
            hint = f"there is no such folder either; {hint}"
        raise PrefrlError(f"cannot read the {what} of {name}: {reason}; {hint}") from error


def _with_special_tokens(tokenizer: PreTrainedTokenizerBase, name: str) -> PreTrainedTokenizerBase:
    if tokenizer.eos_token_id is None:
        raise PrefrlError(f"the tokenizer of {name} has no end token, so no answer could end; set its eos_token")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def save_model(lm: LanguageModel, folder: Path) -> None:
    """Write a folder that transformers loads: weights as safetensors, adapters merged into them, the tokenizer."""
    model: Any = lm.model
    if isinstance(model, PeftModel):
        # A deep copy, because merging changes weights that others may share.
        model = copy.deepcopy(model).merge_and_unload()
    if getattr(model.config, "quantization_config", None) is not None:  # read from GGUF, and not quantized any more
        config = copy.deepcopy(model.config)
        del config.quantization_config
        plain = type(model)(config)
        plain.load_state_dict(model.state_dict())
        plain.tie_weights()
        model = plain
    model.save_pretrained(folder)
    lm.tokenizer.save_pretrained(folder)


# ---- making ----------------------------------------------------------------------------------------------------------


def with_lora(lm: LanguageModel, *, rank: int, seed: int) -> LanguageModel:
    """The model frozen, with low-rank adapters at every linear layer that start as no change (Hu et al. 2021)."""
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM")
    with warnings.catch_warnings():  # peft asks transformers by names that it will change one day
        warnings.simplefilter("ignore", FutureWarning)
        warnings.filterwarnings("ignore", "fan_in_fan_out")  # it finds out by itself how GPT-2's layers lie
        return LanguageModel(get_peft_model(lm.causal, config).eval(), lm.tokenizer)


@dataclass(frozen=True)
class TinyConfig:
    """The shape of a small Llama."""

    layers: int = 3
    hidden: int = 64
    heads: int = 4
    context: int = 256

    def __post_init__(self) -> None:
        for name, value in (("layers", self.layers), ("hidden", self.hidden), ("heads", self.heads)):
            require(value >= 1, f"--{name}", "at least 1", value)


def tiny_model(vocabulary: Sequence[str], config: TinyConfig, *, seed: int) -> LanguageModel:
    """A Llama-shaped model of random weights that reads whole words of `vocabulary`."""
    if config.hidden % config.heads or (config.hidden // config.heads) % 2:
        raise PrefrlError(
            f"{config.hidden} hidden units do not divide into {config.heads} heads of even size; choose a multiple of "
            f"{2 * config.heads}"
        )
    tokenizer = word_tokenizer(vocabulary, context=config.context)
    torch.manual_seed(seed)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.hidden,
            intermediate_size=4 * config.hidden,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.eos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    lean(model)
    return LanguageModel(model.eval(), tokenizer)


def word_tokenizer(vocabulary: Sequence[str], *, context: int) -> PreTrainedTokenizerFast:
    """A token for each word between spaces, marks being words too; the end token also begins every text."""
    words = [UNKNOWN, PAD, END, *(word for word in dict.fromkeys(vocabulary) if word not in (UNKNOWN, PAD, END))]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{END} $A", special_tokens=[(END, 2)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token=UNKNOWN,
        pad_token=PAD,
        bos_token=END,
        eos_token=END,
        model_max_length=context,
        clean_up_tokenization_spaces=False,
    )
