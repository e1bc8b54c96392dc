"""`prefrl text compare`."""

import itertools
import math
import string
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from prefrl.commands.devices import Device, find_device
from prefrl.commands.text.setup import find_gold, memory, open_model, processors
from prefrl.errors import PrefrlError, require

if TYPE_CHECKING:
    from prefrl.segments import Text


_LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Compare:
    """Which model gives better answers: win rates with intervals, at equal length too, and Bradley-Terry scores."""

    models: tyro.conf.Positional[tuple[str, ...]]
    """Two models or more; or files of answers to the same prompts, as `prefrl text sample` writes them (.jsonl)."""
    prompts: Path | None = None
    """What the models are asked: JSON lines or parquet with a field `prompt`."""
    gold: str | None = None
    """Let module:function of prompt and answer decide; this or --judge."""
    judge: str | None = None
    """Let a language model decide, which is shown both orders; this or --gold."""
    most_tokens: int = 48
    """Length at which an answer is cut off."""
    temperature: float = 1.0
    """0 always takes the likeliest token."""
    seed: int = 0
    """Of answers and intervals."""
    device: Device = "auto"
    """Where to compute."""
    threads: int | None = None
    """Processor threads; all by default."""

    def run(self) -> int:
        if len(self.models) < 2:
            raise PrefrlError(f"comparing takes at least 2 models or files of answers, got {len(self.models)}")
        if len(self.models) > len(_LETTERS):
            raise PrefrlError(f"comparing takes at most {len(_LETTERS)} models, got {len(self.models)}")
        if (self.gold is None) == (self.judge is None):
            raise PrefrlError("name either --gold module:function or --judge MODEL to decide which answer is better")
        require(self.most_tokens >= 1, "--most-tokens", "at least 1", self.most_tokens)
        require(0 <= self.temperature < math.inf, "--temperature", "at least 0 and finite", self.temperature)
        require(self.seed >= 0, "--seed", "at least 0", self.seed)
        import torch

        torch.set_num_threads(processors(self.threads))
        find_gold(self.gold)
        with memory("compare on fewer prompts"):
            answers = [self._answers(name) for name in self.models]
            prompts = [view.prompt for view in answers[0]]
            for name, views in zip(self.models, answers, strict=True):
                if [view.prompt for view in views] != prompts:
                    raise PrefrlError(
                        f"{name} answers other prompts than {self.models[0]}; compare answers to the same ones"
                    )
            self._print(answers)
        return 0

    def _answers(self, name: str) -> "list[Text]":
        from prefrl.segments import Text

        if name.endswith(".jsonl"):
            from prefrl.text.data import rows, text_field

            return [Text(text_field(r, "prompt"), text_field(r, "answer", empty=True)) for r in rows(Path(name))]
        if self.prompts is None:
            raise PrefrlError(f"{name} is a model: name the prompts it is to answer with --prompts")
        import torch

        from prefrl.text.data import read_prompts
        from prefrl.text.policy import answer

        lm = open_model(name, find_device(self.device))
        segments, _ = answer(
            lm,
            read_prompts(self.prompts, lm),
            most_tokens=self.most_tokens,
            temperature=self.temperature,
            generator=torch.Generator().manual_seed(self.seed),
        )
        return [s.view for s in segments if isinstance(s.view, Text)]

    def _wins(self, answers: "list[list[Text]]") -> dict[tuple[int, int], list[float]]:
        """For each two of the models what came out at each prompt: 1 the first won, .5 a tie, 0 it lost."""
        from prefrl.text.comparing import outcome

        pairs = list(itertools.combinations(range(len(answers)), 2))
        gold = find_gold(self.gold)
        if gold is not None:
            scores = [[gold(view.prompt, view.answer) for view in views] for views in answers]
            return {(i, j): [outcome(a, b) for a, b in zip(scores[i], scores[j], strict=True)] for i, j in pairs}
        from prefrl.text.judge import ModelLabeler, soft_answer

        assert self.judge is not None
        judge = ModelLabeler(open_model(self.judge, find_device(self.device)), f"judge:{self.judge}")
        wins: dict[tuple[int, int], list[float]] = {}
        for i, j in pairs:
            # Who answers the same has a tie, and of those a judge can only go by the place.
            told = [
                None if a.answer == b.answer else judge.both_orders(a, b)
                for a, b in zip(answers[i], answers[j], strict=True)
            ]
            judge.check_sides([both for both in told if both is not None])
            wins[i, j] = [0.5 if both is None else outcome(*soft_answer(*both)) for both in told]
        return wins

    def _print(self, answers: "list[list[Text]]") -> None:
        import numpy as np
        from rich import box
        from rich.console import Console
        from rich.table import Table

        from prefrl.text.comparing import bradley_terry, length_controlled, win_rate

        rng = np.random.default_rng(self.seed)
        wins = self._wins(answers)
        rates, games = np.full((len(answers), len(answers)), 0.5), np.zeros((len(answers), len(answers)))
        console = Console(highlight=False, markup=False)  # a model may lie in runs/[v2]
        for letter, name in zip(_LETTERS, self.models, strict=False):
            console.print(f"{letter}  {name}", soft_wrap=True)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("wins", "of prompts (95 % interval)", "at equal length", "prompts"):
            table.add_column(title, justify="left" if title == "wins" else "right", no_wrap=True)
        for (i, j), outcomes in wins.items():
            rate, low, high = win_rate(outcomes, rng=rng)
            longer = [
                len(a.answer.split()) - len(b.answer.split()) for a, b in zip(answers[i], answers[j], strict=True)
            ]
            equal = length_controlled(outcomes, longer)
            rates[i, j], rates[j, i], games[i, j], games[j, i] = rate, 1.0 - rate, len(outcomes), len(outcomes)
            table.add_row(
                f"{_LETTERS[i]} over {_LETTERS[j]}",
                f"{rate:.1%} ({low:.1%} to {high:.1%})",
                f"{equal:.1%}",
                str(len(outcomes)),
            )
        console.print(table)
        if len(answers) > 2:
            scores = bradley_terry(rates, games)
            for i in np.argsort(-scores):
                console.print(f"{scores[i]:+.2f}  {_LETTERS[i]}  {self.models[i]}", soft_wrap=True)
