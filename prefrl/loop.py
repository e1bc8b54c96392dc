"""The algorithm, on one screen."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from prefrl.acquisition import Acquisition
from prefrl.comparisons import propose, select
from prefrl.ensemble import RewardEnsemble, RewardFn
from prefrl.errors import PrefrlError
from prefrl.fitting import FitConfig, fit
from prefrl.labelers import Labeler
from prefrl.runs import Run
from prefrl.segments import Segment
from prefrl.store import PreferenceStore


class Experience(NamedTuple):
    """What a learner did: segments to ask about, and numbers for the log."""

    segments: list[Segment]
    metrics: dict[str, float]


class Learner(Protocol):
    """Acts, and learns from a reward; it decides what a segment is."""

    def rollout(self, steps: int) -> Experience:
        """Act, do not learn."""

    def learn(self, steps: int, reward: RewardFn | None) -> Experience:
        """Act and learn; without a reward function from the environment's own, which is the baseline."""

    def save(self, folder: Path) -> None:
        """Write all that `load` needs to go on exactly from here."""

    def load(self, folder: Path) -> None:
        """Go on from what `save` wrote."""


@dataclass(frozen=True)
class LoopConfig:
    """The loop's own settings."""

    warmup_steps: int
    steps_per_round: int
    candidates_per_query: int = 10
    options: int = 2
    fit: FitConfig = field(default_factory=FitConfig)


def train(
    learner: Learner,
    ensemble: RewardEnsemble,
    store: PreferenceStore,
    labeler: Labeler,
    *,
    plan: Sequence[int],
    acquisition: Acquisition,
    config: LoopConfig,
    run: Run,
) -> None:
    """Learn a reward from comparisons, and a policy from that reward (Christiano et al. 2017, section 2.2).

    `plan` says how many queries to ask in each round. Every generator of a round derives from the run's seed and the
    round, so that a round which was cut off is repeated exactly: its questions are found asked, and its answers given.
    """
    segments = run.restore(learner, ensemble)
    if store.asked < run.asked:
        raise PrefrlError(
            f"{store.path} holds {store.asked} questions, but {run.asked} were asked up to the checkpoint: "
            "restore a copy of the file, or begin a new run"
        )
    if run.next_round == 0:
        run.stage("acting, for the first questions")
        segments = learner.rollout(config.warmup_steps).segments
    for round_ in run.remaining(len(plan)):
        # Counted from the start, so that what one round could not ask the next one asks. A round that was cut off after
        # it had asked has nothing left to ask.
        cut_off = store.asked > run.asked
        wanted = 0 if cut_off else max(0, sum(plan[: round_ + 1]) - store.asked)
        run.stage(f"asking {wanted:,} questions")
        # Before the first fit the ensemble knows nothing to choose by.
        candidates = propose(
            segments,
            wanted * (config.candidates_per_query if round_ else 1),
            options=config.options,
            rng=run.generator(round_, 0),
        )
        store.ask(select(candidates, wanted, ensemble, acquisition, stride=config.fit.stride))
        labeler.attend(store)
        answers = store.comparisons()
        run.stage(f"fitting the reward to {len(answers):,} answers")
        fitted = fit(ensemble, answers, config.fit, run.generator(round_, 1), check=run.check)
        run.check()
        run.stage("acting and learning")
        segments, learned = learner.learn(config.steps_per_round, ensemble.reward)
        run.log(round_, {"labels": len(store), "asked": store.asked, **learned, **fitted.metrics})
        run.save(round_, learner, ensemble, segments, asked=store.asked)


def train_baseline(learner: Learner, ensemble: RewardEnsemble, *, rounds: int, config: LoopConfig, run: Run) -> None:
    """The same learner, steps and seeds on the environment's own reward; the ensemble stays as it is."""
    run.restore(learner, ensemble)
    if run.next_round == 0:
        run.stage("acting, before it learns")
        learner.rollout(config.warmup_steps)
    nothing = fit(ensemble, [], config.fit, run.generator(0, 1)).metrics
    for round_ in run.remaining(rounds):
        run.stage("acting and learning")
        segments, learned = learner.learn(config.steps_per_round, None)
        run.log(round_, {"labels": 0, "asked": 0, **learned, **nothing})
        run.save(round_, learner, ensemble, segments[:1], asked=0)
