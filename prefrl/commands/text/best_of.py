"""`prefrl text best-of`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from prefrl.commands.devices import Device, find_device
from prefrl.commands.text.setup import find_gold, memory, open_model, processors
from prefrl.errors import PrefrlError, require

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class BestOf:
    """What best-of-n by a reward model reaches, as it predicts itself and by gold, against its divergence."""

    reward_model: tyro.conf.Positional[Path]
    """A folder that `prefrl text reward` or `prefrl text train` made; what a run of the latter was asked and judged by
    need not be named again."""
    model: str | None = None
    """Who answers; by default the model whose trunk the reward model began with."""
    prompts: Path | None = None
    """What is asked: JSON lines or parquet with a field `prompt`."""
    gold: str | None = None
    """What an answer is truly worth, as module:function of prompt and answer; only predicted without."""
    first: int = 64
    """How many of the prompts are asked, from the first on."""
    most: int = 64
    """Answers to each prompt: n is 1, 2, 4, ... up to this."""
    most_tokens: int = 48
    """Length at which an answer is cut off."""
    temperature: float = 1.0
    """Of the model that answers."""
    out: Path | None = None
    """Where the numbers go; by default best_of.json in the reward model's folder, where `prefrl report` finds it."""
    seed: int = 0
    """Of the answers."""
    device: Device = "auto"
    """Where to compute."""
    threads: int | None = None
    """Processor threads; all by default."""

    def run(self) -> int:
        for name, value in (("first", self.first), ("most", self.most)):
            require(value >= 1, f"--{name}", "at least 1", value)
        import torch

        from prefrl.commands.text.text_run import BEST_OF
        from prefrl.files import write_json
        from prefrl.provenance import provenance
        from prefrl.runs import read_config

        torch.set_num_threads(processors(self.threads))
        config = read_config(self.reward_model)
        with memory("ask for fewer answers, with --first or --most"):
            found = self._measured(config)
        write_json(self.out or self.reward_model / BEST_OF, {**found, **provenance()})
        self._print(found["curve"])
        return 0

    def _measured(self, config: "Mapping[str, Any]") -> dict[str, Any]:
        from prefrl.commands.text.reward_run import load_ensemble
        from prefrl.commands.text.text_run import measure_best_of
        from prefrl.text.data import read_prompts
        from prefrl.text.settings import TextConfig

        prompts = self.prompts or config.get("evaluation") or config.get("prompts")
        if prompts is None:
            raise PrefrlError(f"{self.reward_model} tells of no prompts: name a file of them with --prompts")
        gold = find_gold(self.gold or config.get("gold"))
        model = self.model or config.get("model")
        if model is None:
            raise PrefrlError(f"{self.reward_model} holds no reward model; `prefrl text reward` makes one")
        lm = open_model(model, find_device(self.device))
        ensemble = load_ensemble(self.reward_model, lm)
        asked = read_prompts(Path(prompts), lm)[: self.first]
        settings = TextConfig(most_tokens=self.most_tokens, temperature=self.temperature)
        found = measure_best_of(lm, ensemble, asked, gold, settings, most=self.most, seed=self.seed)
        return {"model": model, "reward_model": str(self.reward_model), "prompts_file": str(prompts), **found}

    def _print(self, curve: "list[dict[str, float]]") -> None:
        from rich import box
        from rich.console import Console
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for title in ("best of", "divergence (nats)", "predicted reward", "gold"):
            table.add_column(title, justify="right", no_wrap=True)
        for row in curve:
            means = [
                f"{row[name]:.3f} ± {1.96 * row[f'{name}_error']:.3f}" for name in ("predicted_return", "true_return")
            ]
            table.add_row(f"{row['n']:.0f}", f"{row['kl']:.2f}", *(m.replace("nan ± nan", "-") for m in means))
        console = Console(highlight=False)
        console.print(table)
        console.print("± is half the 95 % interval over prompts")
