"""`prefrl text sample`."""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from prefrl.commands.devices import Device, find_device
from prefrl.commands.text.setup import find_gold, memory, open_model, processors
from prefrl.errors import PrefrlError, require

if TYPE_CHECKING:
    from prefrl.segments import Text


@dataclass(frozen=True)
class Sample:
    """Let a model answer prompts; JSON lines with prompt and answer go to the terminal or to a file."""

    model: str
    """A folder, a run's folder, a .gguf file, or a hub id, which is downloaded."""
    prompt: tuple[str, ...] = ()
    """One prompt or more."""
    prompts: Path | None = None
    """A file of them: JSON lines or parquet with a field `prompt`."""
    each: int = 1
    """Answers to each prompt."""
    most_tokens: int = 48
    """Length at which an answer is cut off."""
    temperature: float = 1.0
    """0 always takes the likeliest token."""
    few_shot: Path | None = None
    """Demonstrations that are put before each prompt, as text: a file as `prefrl text sft` reads it."""
    template: str = "{prompt}\n{answer}\n\n"
    """How each of --few-shot is written, up to {answer} also the prompt itself."""
    gold: str | None = None
    """Also say what each answer is worth, by module:function of prompt and answer."""
    out: Path | None = None
    """Write to this file instead."""
    seed: int = 0
    """Of the draw."""
    device: Device = "auto"
    """Where to compute."""
    threads: int | None = None
    """Processor threads; all by default."""

    def run(self) -> int:
        if not self.prompt and self.prompts is None:
            raise PrefrlError("nothing to answer: name --prompt 'a text', or --prompts a file")
        require(self.each >= 1, "--each", "at least 1", self.each)
        require(self.most_tokens >= 1, "--most-tokens", "at least 1", self.most_tokens)
        require(0 <= self.temperature < math.inf, "--temperature", "at least 0 and finite", self.temperature)
        import torch

        from prefrl.files import write_atomically

        torch.set_num_threads(processors(self.threads))
        gold = find_gold(self.gold)
        with memory("ask for fewer answers at once, with --each"):
            views = self._answers()
        rows = []
        for view in views:
            worth = {} if gold is None else {"gold": gold(view.prompt, view.answer)}
            rows.append({"prompt": view.prompt, "answer": view.answer, **worth})
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        if self.out is None:
            sys.stdout.write(text)
        else:
            write_atomically(self.out, text)
        return 0

    def _answers(self) -> "list[Text]":
        import torch

        from prefrl.segments import Text
        from prefrl.text.data import read_prompts, rows, text_field
        from prefrl.text.policy import Prompt, answer
        from prefrl.text.prompts import behind_shots, encode_prompt

        lm = open_model(self.model, find_device(self.device))
        asked = [Prompt(text, tuple(encode_prompt(lm, text))) for text in self.prompt]
        asked += read_prompts(self.prompts, lm) if self.prompts is not None else []
        if self.few_shot is not None:
            shots = [
                (text_field(row, "prompt"), text_field(row, "answer", "completion")) for row in rows(self.few_shot)
            ]
            texts = [behind_shots(self.template, shots, prompt.text) for prompt in asked]
            asked = [
                Prompt(prompt.text, tuple(lm.tokenizer(text)["input_ids"]))
                for prompt, text in zip(asked, texts, strict=True)
            ]
        segments, _ = answer(
            lm,
            asked,
            each=self.each,
            most_tokens=self.most_tokens,
            temperature=self.temperature,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return [segment.view for segment in segments if isinstance(segment.view, Text)]
