"""`prefrl text pretrain`."""

from dataclasses import asdict, dataclass
from pathlib import Path

from prefrl.commands.devices import Device, find_device
from prefrl.commands.text.setup import begin, processors


@dataclass(frozen=True)
class Pretrain:
    """Make a tiny Llama-shaped model from documents, with a tokenizer of their words."""

    documents: Path
    """JSON lines or parquet with a field `text`: words between spaces, marks being words too."""
    out: Path = Path("runs/base")
    """The run's folder; the model is what it holds at the end."""
    layers: int = 3
    """Layers of the model."""
    hidden: int = 64
    """Units in a hidden state."""
    heads: int = 4
    """Heads of attention."""
    context: int = 256
    """Tokens that the model can read."""
    epochs: int = 2
    """Passes over the documents."""
    batch_size: int = 32
    """Blocks of text in one update."""
    block: int = 128
    """Tokens in a block, at most the context."""
    learning_rate: float = 3e-3
    """Adam's step size at its highest."""
    held_out: float = 0.02
    """Share of the documents that is kept to measure by."""
    seed: int = 0
    """Everything random derives from it."""
    device: Device = "auto"
    """Where to compute."""
    threads: int | None = None
    """Processor threads; all by default."""
    quiet: bool = False
    """Print nothing but errors."""

    def run(self) -> int:
        from prefrl.errors import PrefrlError
        from prefrl.text.models import TinyConfig
        from prefrl.text.supervised import SupervisedConfig

        if not 1 <= self.block < self.context:
            raise PrefrlError(f"--block must be at least 1 and below the {self.context} of --context, got {self.block}")
        shape = TinyConfig(self.layers, self.hidden, self.heads, self.context)
        learner = SupervisedConfig(self.epochs, self.batch_size, self.learning_rate)
        config = {
            "domain": "supervised",
            "task": "pretraining",
            "reward": "none",
            "labels": 0,
            "steps": 0,
            "documents": str(self.documents),
            "data": str(self.documents),
            "tiny": asdict(shape),
            "block": self.block,
            "held_out": self.held_out,
            "rounds": self.epochs,
            "learner": asdict(learner),
            "seed": self.seed,
            "device": find_device(self.device),
            "threads": processors(self.threads),
        }
        return begin(self.out, config, quiet=self.quiet)
