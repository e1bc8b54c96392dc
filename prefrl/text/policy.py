"""The language model that learns: its answers, its reference, its optimizer, and the average of its weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from prefrl.errors import PrefrlError
from prefrl.segments import Segment, SegmentBatch, Text, collate
from prefrl.text.generation import Answers, sample
from prefrl.text.models import LanguageModel, frozen, trainable, twin
from prefrl.text.packing import answer_log_probs, as_segment
from prefrl.text.prompts import decode_answers
from prefrl.text.settings import TextConfig

Gold = Callable[[str, str], float]  # prompt, answer -> what it is truly worth


@dataclass(frozen=True)
class Prompt:
    """What a policy is asked."""

    text: str  # as a person reads it
    ids: tuple[int, ...]  # as the model does, with all that its template adds


def answer(
    lm: LanguageModel,
    prompts: Sequence[Prompt],
    *,
    each: int = 1,
    most_tokens: int,
    temperature: float,
    generator: torch.Generator,
    gold: Gold | None = None,
    check: Callable[[], None] = lambda: None,
) -> tuple[list[Segment], Answers]:
    """`each` answers to every prompt, those to one prompt together, and how they came about.

    At temperature 0 they are the likeliest. With `gold` they carry what they are truly worth. Raises PrefrlError for a
    prompt after which the model cannot read as many tokens as an answer may have.
    """
    check_lengths(lm, prompts, most_tokens)
    ids = [prompt.ids for prompt in prompts]
    answers = sample(lm, ids, each=each, most=most_tokens, temperature=temperature, generator=generator, check=check)
    rows = [t[:n].tolist() for t, n in zip(answers.tokens, answers.mask.sum(dim=1).tolist(), strict=True)]
    segments = []
    for i, (tokens, text) in enumerate(zip(rows, decode_answers(lm, rows), strict=True)):
        prompt = prompts[i // each]
        worth = None if gold is None else gold(prompt.text, text)
        segments.append(as_segment(prompt.ids, tokens, Text(prompt.text, text), worth))
    return segments, answers


def check_lengths(lm: LanguageModel, prompts: Sequence[Prompt], most_tokens: int) -> None:
    """Raise PrefrlError for a prompt after which the model cannot read that many tokens more."""
    for prompt in prompts:
        if len(prompt.ids) + most_tokens > lm.context:
            raise PrefrlError(
                f"the prompt {prompt.text[:40]!r}... has {len(prompt.ids)} tokens; with {most_tokens} for the answer "
                f"that is more than the {lm.context} that the model reads: shorten it, or lower --most-tokens"
            )


@dataclass(frozen=True, eq=False)
class Acted:
    """A batch of answers: those to one prompt lie together."""

    segments: list[Segment]
    batch: SegmentBatch
    log_probs: Tensor  # [B, T]  of the policy that gave them
    ended: Tensor  # [B]  bool

    @property
    def gold(self) -> Tensor:
        """[B] what the answers are truly worth; NaN where nobody knows."""
        known = [s.true_reward for s in self.segments]
        return torch.tensor([float("nan") if r is None else float(r.sum()) for r in known])


class Policy:
    """A language model under training. Its distribution is softmax(logits / temperature), everywhere."""

    def __init__(self, lm: LanguageModel, config: TextConfig, *, gold: Gold | None) -> None:
        self.lm, self.config, self._gold = lm, config, gold
        self._reference = None if isinstance(lm.model, PeftModel) else frozen(lm)
        self.weights = trainable(lm.model)
        self.optimizer = adam(self.weights.values(), config.learning_rate)
        self.average = {name: weight.detach().clone() for name, weight in self.weights.items()}

    def act(self, prompts: Sequence[Prompt], each: int, generator: torch.Generator, check: Callable[[], None]) -> Acted:
        """`each` answers to every prompt."""
        segments, answers = answer(
            self.lm,
            prompts,
            each=each,
            most_tokens=self.config.most_tokens,
            temperature=self.config.temperature,
            generator=generator,
            gold=self._gold,
            check=check,
        )
        batch = collate(segments)
        # In 32 bits they are what a forward pass gives, to 1e-5; in 16 the ratio must be taken against the same pass.
        log_probs = answers.log_probs if self.lm.device.type == "cpu" else self.log_probs(batch)
        return Acted(segments, batch, log_probs, answers.ended)

    def log_probs(self, batch: SegmentBatch) -> Tensor:
        """[B, T] on the processor, without gradient."""
        return self._forced(self.lm, batch)

    def reference_log_probs(self, batch: SegmentBatch) -> Tensor:
        """[B, T] of the model as it was at first."""
        if self._reference is not None:
            return self._forced(self._reference, batch)
        with self.lm.without_adapter():
            return self._forced(self.lm, batch)

    @torch.no_grad()
    def _forced(self, lm: LanguageModel, batch: SegmentBatch) -> Tensor:
        parts = batch_parts(len(batch), self.config.minibatch_size)
        return torch.cat([answer_log_probs(lm, batch[p], temperature=self.config.temperature) for p in parts]).cpu()

    def step(self, batches: int) -> None:
        """Take one optimizer step along the gradients at hand; `batches` were learned from before."""
        take_step(self.optimizer, self.config.learning_rate, batches, self.config)
        with torch.no_grad():
            for name, weight in self.weights.items():
                self.average[name] = moving_average(self.average[name], weight, keep=self.config.moving_average)

    def averaged(self) -> LanguageModel:
        """A copy that holds the average of the weights, to be kept when training is over (InstructGPT, C.4)."""
        copy = twin(self.lm)
        with torch.no_grad():
            for name, weight in trainable(copy.model).items():
                weight.copy_(self.average[name])
        return copy

    def state(self) -> dict[str, Any]:
        """All that changes."""
        return {"weights": dict(self.weights), "average": self.average, "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(state["weights"][name])
                self.average[name] = state["average"][name].to(weight.device)
        self.optimizer.load_state_dict(state["optimizer"])


def moving_average(average: Tensor, new: Tensor, *, keep: float) -> Tensor:
    """keep * average + (1 - keep) * new."""
    return torch.lerp(new, average, keep)


def adam(parameters: Any, learning_rate: float) -> torch.optim.Optimizer:
    """InstructGPT's betas (appendix C)."""
    return torch.optim.Adam(parameters, lr=learning_rate, betas=(0.9, 0.95), fused=True)


def take_step(optimizer: torch.optim.Optimizer, learning_rate: float, batches: int, config: TextConfig) -> None:
    """One step of at most a given gradient norm; the step size rises from a tenth over the first batches."""
    (group,) = optimizer.param_groups
    group["lr"] = learning_rate * min(1.0, 0.1 + 0.9 * batches / max(1, config.warmup))
    nn.utils.clip_grad_norm_(group["params"], config.max_grad_norm)
    optimizer.step()
    optimizer.zero_grad()


def batch_parts(n: int, size: int) -> list[slice]:
    """Slices of at most `size` that cover n rows."""
    return [slice(start, start + size) for start in range(0, n, size)]
