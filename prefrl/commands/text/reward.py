"""`prefrl text reward`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from prefrl.commands.devices import Device, find_device
from prefrl.commands.text.setup import begin, processors


@dataclass(frozen=True)
class Reward:
    """Fit a reward model to comparisons, from a file or from a run's store (InstructGPT's second step)."""

    model: str
    """Whose trunk it begins with: a folder, a run's folder, a .gguf file, or a hub id, which is downloaded."""
    data: Path
    """JSON lines or parquet with `prompt` and `chosen`, `rejected`; or with `answers` and one of `choice`, `mu`,
    `ranks`; or a preferences.db."""
    out: Path = Path("runs/reward")
    """The run's folder."""
    demonstrations: Path | None = None
    """Answers whose mean reward is to be 0: a file as `prefrl text sft` reads it."""
    members: int = 3
    """Reward functions in the ensemble."""
    own_trunks: bool = True
    """Every member reads with a trunk of its own, at as many times the cost. On a shared one, members disagree less,
    and what one of them never saw has still shaped the trunk through the others: held-out figures flatter it."""
    reading: Literal["last", "mean"] = "last"
    """Where the head reads an answer: at its last token, as InstructGPT's does, or at each, for their mean."""
    likelihood: float = 0.0
    """Log-odds that a nat of an answer's mean log-probability by the reward's own trunk counts besides; about 3, with
    `--reading mean`, serves a small model that learned from demonstrations."""
    lora: int = 0
    """Rank of low-rank adapters to train instead of all weights; 0 trains all weights."""
    epochs: int = 2
    """Passes over the comparisons; more than a few overfit (InstructGPT, appendix C.2)."""
    batch_size: int = 32
    """Comparisons, or whole rankings, in one update."""
    learning_rate: float = 5e-4
    """Adam's step size; 1e-5 to 1e-4 suits models of more than 100 million weights."""
    noise: float = 0.0
    """Share of answers that the model of choice takes to be uniformly random."""
    held_out: float = 0.1
    """Share of the prompts whose comparisons are kept to measure by."""
    seed: int = 0
    """Everything random derives from it."""
    device: Device = "auto"
    """Where to compute."""
    compile: bool = False
    """Have torch.compile translate the model: minutes at the start; for large models on CUDA; needs a C compiler."""
    threads: int | None = None
    """Processor threads; all by default."""
    quiet: bool = False
    """Print nothing but errors."""

    def run(self) -> int:
        from prefrl.commands.text.reward_run import fit_config

        config = {
            "domain": "reward",
            "task": "reward model",
            "reward": "learned",
            "labels": 0,
            "steps": 0,
            "model": self.model,
            "data": str(self.data),
            "demonstrations": None if self.demonstrations is None else str(self.demonstrations),
            "members": self.members,
            "own_trunks": self.own_trunks,
            "reading": self.reading,
            "likelihood": self.likelihood,
            "lora": self.lora,
            "held_out": self.held_out,
            "rounds": 1,
            "fit": asdict(fit_config(self.epochs, 0, self.batch_size, self.learning_rate, self.noise)),
            "seed": self.seed,
            "device": find_device(self.device),
            "compile": self.compile,
            "threads": processors(self.threads),
        }
        return begin(self.out, config, quiet=self.quiet)
