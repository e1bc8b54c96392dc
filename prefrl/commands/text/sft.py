"""`prefrl text sft`."""

from dataclasses import asdict, dataclass
from pathlib import Path

from prefrl.commands.devices import Device, find_device
from prefrl.commands.text.setup import begin, processors


@dataclass(frozen=True)
class SFT:
    """Fine-tune a language model on demonstrations (InstructGPT's first step)."""

    model: str
    """A folder, a run's folder, a .gguf file, or a hub id, which is downloaded."""
    data: Path
    """JSON lines or parquet with fields `prompt` and `answer`."""
    out: Path = Path("runs/sft")
    """The run's folder; the model is what it holds at the end."""
    template: str | None = None
    """Where a prompt stands, such as 'q: {prompt} a:'; saved with the model. By default the model's own chat template,
    or the prompt alone."""
    lora: int = 0
    """Rank of low-rank adapters to train instead of all weights; 0 trains all weights."""
    epochs: int = 3
    """Passes over the demonstrations."""
    batch_size: int = 32
    """Demonstrations in one update."""
    learning_rate: float = 1e-3
    """Adam's step size at its highest; 1e-5 to 1e-4 suits models of more than 100 million weights."""
    held_out: float = 0.05
    """Share of the demonstrations that is kept to measure by."""
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
        from prefrl.text.supervised import SupervisedConfig

        config = {
            "domain": "supervised",
            "task": "fine-tuning",
            "reward": "none",
            "labels": 0,
            "steps": 0,
            "model": self.model,
            "data": str(self.data),
            "template": self.template,
            "lora": self.lora,
            "held_out": self.held_out,
            "rounds": self.epochs,
            "learner": asdict(SupervisedConfig(self.epochs, self.batch_size, self.learning_rate)),
            "seed": self.seed,
            "device": find_device(self.device),
            "compile": self.compile,
            "threads": processors(self.threads),
        }
        return begin(self.out, config, quiet=self.quiet)
