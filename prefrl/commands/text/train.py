"""`prefrl text train`."""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from prefrl.commands.devices import Device, find_device
from prefrl.commands.text.setup import begin, find_gold, find_people, processors
from prefrl.errors import PrefrlError, require


@dataclass(frozen=True)
class TrainText:
    """Learn from comparisons of answers: sample, ask, fit the reward, improve the policy (InstructGPT's third step)."""

    model: str
    """The policy at first, and the reference: a folder, a run's folder, a .gguf file, or a hub id, which is
    downloaded."""
    prompts: Path
    """What is asked: JSON lines or parquet with a field `prompt`."""
    labels: int = 1000
    """How many comparisons to ask for in all; 0 learns from the --reward-model as it is."""
    steps: int = 20_000
    """Answers to learn from in all, rounded up to whole rounds."""
    labeler: str = "oracle"
    """Who compares: `oracle`, which knows --gold; `people`, at the labeling window; `judge:MODEL`, a language model
    that is shown both orders; or `simulated:module:function`, people that the function returns, of whom one, drawn by
    lot, answers each question under a name of their own."""
    options: int = 2
    """How many answers a question shows, 2 to 9: two are compared, more are ranked, and all pairs of a ranking are
    fitted as one element of a minibatch."""
    gold: str | None = None
    """What an answer is truly worth, as module:function of prompt and answer; for the oracle and for plots, never for
    the learner."""
    reward: Literal["learned", "true"] = "learned"
    """`true` pays by --gold, the upper bound."""
    learner: Literal["ppo", "rloo", "dpo"] = "ppo"
    """How the policy learns; dpo learns from the comparisons themselves."""
    evaluation: Path | None = None
    """Prompts for the evaluation at the end, that nothing was trained on; by default those that were."""
    best_of: int = 64
    """Where there is a --gold, best-of-n of the reference by the learned reward is measured at the end, on 64 prompts,
    for n up to this; 0 leaves that out."""
    reward_model: Path | None = None
    """A folder that `prefrl text reward` or `prefrl text train` made: the reward to begin with."""
    demonstrations: Path | None = None
    """Answers whose mean reward is to be 0: a file as `prefrl text sft` reads it."""
    documents: Path | None = None
    """Texts for --pretraining: JSON lines or parquet with a field `text`."""
    out: Path = Path("runs/text")
    """The run's folder; the model is what it holds at the end."""
    seed: int = 0
    """Everything random derives from it."""
    batch_size: int = 256
    """Answers between two rounds of updates."""
    minibatch_size: int = 64
    """Answers in one update."""
    answers: int = 4
    """Answers to each prompt of a batch."""
    batches: int = 4
    """Batches in a round, between two rounds of questions."""
    epochs: int = 1
    """Times that each batch is learned from."""
    value_epochs: int = 2
    """Passes over the first answers, before PPO begins, by which its value function learns what they earn."""
    most_tokens: int = 48
    """Length at which an answer is cut off."""
    temperature: float = 1.0
    """Of the policy: answers are drawn and learned from at this temperature."""
    learning_rate: float = 3e-4
    """Adam's step size; 1e-6 to 1e-5 suits models of more than 100 million weights, 10 times that with --lora."""
    kl_coefficient: float = 0.05
    """Price of a nat of divergence from the reference, in standard deviations of the reward."""
    kl_target: float | None = None
    """Nats an answer that the coefficient is steered to; left as it is by default."""
    missing_end_penalty: float = 1.0
    """What an answer without an end loses, in standard deviations of the reward."""
    pretraining: float = 0.0
    """Weight of language modeling on --documents (PPO-ptx)."""
    dpo_beta: float = 0.1
    """How strongly DPO holds to the reference."""
    lora: int = 0
    """Rank of low-rank adapters to train instead of all weights; 0 trains all weights."""
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
    acquisition: Literal["mixture", "disagreement", "entropy", "information-gain", "uniform"] = "mixture"
    """Which of the candidates becomes a question; mixture is half disagreement, half uniform."""
    upfront: float = 0.25
    """Share of the comparisons that is asked before any learning."""
    noise: float = 0.0
    """Share of answers that the model of choice takes to be uniformly random."""
    fit_epochs: int = 2
    """Passes over the comparisons in the first fit."""
    fit_updates: int | None = None
    """Minibatches of each later fit; by default as many as read every comparison --fit-epochs times in the whole run,
    since more overfit."""
    fit_batch_size: int = 32
    """Comparisons in a minibatch of a fit."""
    fit_learning_rate: float = 5e-4
    """Adam's step size in a fit."""
    oracle_beta: float = math.inf
    """The oracle's rationality: it draws answers from softmax(beta * gold); inf takes the best."""
    oracle_mistake: float = 0.0
    """Chance that the oracle names another answer than the one it would have."""
    when_short: Literal["block", "throttle", "continue"] = "block"
    """What to do while people have not answered: wait for all answers, wait while more than a quarter of all are
    missing, or learn on from what there is once there is a first answer."""
    device: Device = "auto"
    """Where to compute."""
    compile: bool = False
    """Have torch.compile translate the model: minutes at the start; for large models on CUDA; needs a C compiler."""
    threads: int | None = None
    """Processor threads; all by default."""
    quiet: bool = False
    """Print nothing but errors."""

    def run(self) -> int:
        self._check()
        return begin(self.out, self._resolved(), quiet=self.quiet)

    def _check(self) -> None:
        kind, _, who = self.labeler.partition(":")
        if self.labeler not in ("oracle", "people") and (kind not in ("judge", "simulated") or not who):
            raise PrefrlError(
                f"no labeler {self.labeler!r}; choose oracle, people, judge:MODEL, or simulated:module:function"
            )
        if kind == "simulated":
            find_people(who)
        if not 2 <= self.options <= 9 or self.options > self.answers:
            raise PrefrlError(
                f"--options must be between 2 and 9 and at most the {self.answers} of --answers, got {self.options}"
            )
        if kind == "judge" and self.options > 2:
            raise PrefrlError(f"a model judges pairs: leave --options {self.options} out, or let others label")
        if find_gold(self.gold) is None and (self.reward == "true" or (self.labels and self.labeler == "oracle")):
            who = "the true reward" if self.reward == "true" else "an oracle"
            raise PrefrlError(f"{who} needs a gold standard: name it with --gold module:function")
        for name, value, least in (
            ("labels", self.labels, 0 if self.reward_model is not None or self.reward == "true" else 1),
            ("steps", self.steps, 1),
            ("batches", self.batches, 1),
            ("best-of", self.best_of, 0),
            ("fit-batch-size", self.fit_batch_size, 1),
            ("fit-updates", 0 if self.fit_updates is None else self.fit_updates, 0),
        ):
            require(value >= least, f"--{name}", f"at least {least}", value)
        if self.learner == "dpo" and (self.labels == 0 or self.reward == "true"):
            raise PrefrlError(
                "--learner dpo learns from comparisons: ask for some with --labels, and leave --reward out"
            )
        require(0 <= self.noise < 1, "--noise", "at least 0 and below 1", self.noise)
        require(0 <= self.upfront <= 1, "--upfront", "a share between 0 and 1", self.upfront)

    def _resolved(self) -> dict[str, Any]:
        """Everything that the run will need, worked out: what config.json holds."""
        from prefrl.commands.text.reward_run import fit_config
        from prefrl.labelers import Oracle
        from prefrl.loop import LoopConfig
        from prefrl.text.settings import TextConfig

        learner = TextConfig(
            self.learner,
            batch_size=self.batch_size,
            minibatch_size=self.minibatch_size,
            answers=self.answers,
            epochs=self.epochs,
            value_epochs=self.value_epochs,
            most_tokens=self.most_tokens,
            temperature=self.temperature,
            learning_rate=self.learning_rate,
            value_learning_rate=self.learning_rate,
            kl_coefficient=self.kl_coefficient,
            kl_target=self.kl_target,
            missing_end_penalty=self.missing_end_penalty,
            pretraining=self.pretraining,
            dpo_beta=self.dpo_beta,
        )
        oracle = Oracle(seed=self.seed, beta=self.oracle_beta, mistake=self.oracle_mistake)
        per_round = self.batches * self.batch_size
        rounds = math.ceil(self.steps / per_round)
        updates = self.fit_updates
        if updates is None:
            later = self.fit_epochs * self.labels * (1.0 - self.upfront) / max(1, rounds - 1)
            updates = math.ceil(later / self.fit_batch_size)
        fit = fit_config(self.fit_epochs, updates, self.fit_batch_size, self.fit_learning_rate, self.noise)
        # As many answers as the first questions take if none shares an answer with another.
        warmup = self.batch_size * max(1, math.ceil(self.options * self.upfront * self.labels / self.batch_size))
        loop = LoopConfig(
            warmup_steps=warmup, steps_per_round=per_round, candidates_per_query=4, options=self.options, fit=fit
        )
        paths = {
            name: None if path is None else str(path)
            for name, path in (
                ("prompts", self.prompts),
                ("evaluation", self.evaluation),
                ("reward_model", self.reward_model),
                ("demonstrations", self.demonstrations),
                ("documents", self.documents),
            )
        }
        return {
            "domain": "text",
            "task": self.prompts.stem,
            "model": self.model,
            "labels": self.labels,
            "steps": self.steps,
            "seed": self.seed,
            "labeler": self.labeler,
            "gold": self.gold,
            "reward": self.reward,
            "algo": self.learner,
            **paths,
            "best_of": self.best_of,
            "lora": self.lora,
            "members": self.members,
            "own_trunks": self.own_trunks,
            "reading": self.reading,
            "likelihood": self.likelihood,
            "acquisition": self.acquisition,
            "upfront": self.upfront,
            "when_short": self.when_short,
            "rounds": rounds,
            "horizon": float(self.steps),
            "oracle": asdict(oracle) | {"beta": str(oracle.beta)},  # JSON has no infinity
            "learner": asdict(learner),
            "pairs": True,
            "loop": asdict(loop),
            "device": find_device(self.device),
            "compile": self.compile,
            "threads": processors(self.threads),
        }
