"""The settings of the text learner."""

import math
from dataclasses import dataclass
from typing import Literal

from prefrl.errors import PrefrlError, require

Algorithm = Literal["ppo", "rloo", "dpo"]


@dataclass(frozen=True)
class TextConfig:
    """How a language model learns from a reward, or for `dpo` from the comparisons themselves.

    The numbers are those of InstructGPT (appendix C.4) where they do not hang on the size of the model.
    """

    algo: Algorithm = "ppo"
    batch_size: int = 256
    """Answers between two rounds of updates."""
    minibatch_size: int = 64
    """Answers in one update of the weights; for dpo half as many pairs."""
    answers: int = 4
    """Answers to each prompt of a batch: they are what questions are made of."""
    epochs: int = 1
    """Times that each batch is learned from."""
    most_tokens: int = 48
    """Length at which an answer is cut off."""
    temperature: float = 1.0
    """Of the policy itself: answers are drawn and learned from at this temperature."""
    learning_rate: float = 3e-4
    value_learning_rate: float = 3e-4
    value_epochs: int = 2
    """Passes over the answers of the warmup, before PPO begins, by which its value function learns what they earn."""
    kl_coefficient: float = 0.05
    """Price of a nat of divergence from the reference, in standard deviations of the reward."""
    kl_target: float | None = None
    """Nats an answer that the coefficient is steered to (Ziegler et al. 2019); None leaves it fixed."""
    kl_horizon: float = 10_000.0
    """Answers in which a coefficient that is steered may change by a fifth."""
    clip: float = 0.2
    value_clip: float = 0.2
    gae_lambda: float = 0.95
    missing_end_penalty: float = 1.0
    """What an answer without an end token loses, in standard deviations of the reward."""
    moving_average: float = 0.992
    """How much of the averaged weights each update keeps."""
    warmup: int = 10
    """Batches over which the step size rises from a tenth."""
    max_grad_norm: float = 1.0
    pretraining: float = 0.0
    """Weight of the language modeling loss on documents (PPO-ptx); 0 for none."""
    dpo_beta: float = 0.1
    """How strongly DPO holds to the reference (Rafailov et al. 2023)."""

    def __post_init__(self) -> None:
        for name, good, rule in (
            ("batch-size", self.batch_size >= 1, "at least 1"),
            ("minibatch-size", 1 <= self.minibatch_size <= self.batch_size, "between 1 and the batch size"),
            ("answers", self.answers >= 2, "at least 2, so that there is something to compare"),
            ("epochs", self.epochs >= 1, "at least 1"),
            ("value-epochs", self.value_epochs >= 0, "at least 0"),
            ("most-tokens", self.most_tokens >= 1, "at least 1"),
            ("temperature", 0 < self.temperature < math.inf, "above 0"),
            ("learning-rate", 0 < self.learning_rate < math.inf, "above 0 and finite"),
            ("kl-coefficient", 0 <= self.kl_coefficient < math.inf, "at least 0 and finite"),
            ("missing-end-penalty", math.isfinite(self.missing_end_penalty), "finite"),
            ("pretraining", 0 <= self.pretraining < math.inf, "at least 0 and finite"),
            ("dpo-beta", 0 < self.dpo_beta < math.inf, "above 0 and finite"),
            ("kl-target", self.kl_target is None or 0 < self.kl_target < math.inf, "above 0 and finite"),
            ("moving-average", 0 <= self.moving_average < 1, "at least 0 and below 1"),
        ):
            require(good, f"--{name}", rule, getattr(self, name.replace("-", "_")))
        if self.batch_size % self.answers:
            raise PrefrlError(
                f"a batch of {self.batch_size} answers does not divide into prompts with {self.answers} answers each; "
                f"make --batch-size a multiple of {self.answers}"
            )
