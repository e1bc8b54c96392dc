"""What a training on vectors and one on pictures are set to where the user says nothing: the paper's two halves.

Christiano et al. 2017, appendix A.1 (MuJoCo) and A.2 (Atari); no heavy import, because `--help` reads this, too.
"""

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from prefrl.commands.devices import usable_processors
from prefrl.errors import PrefrlError

if TYPE_CHECKING:
    from prefrl.control.algorithms import LearnerConfig
    from prefrl.control.tasks import Task

Algorithm = Literal["trpo", "ppo", "sac", "a2c"]
Network = Literal["small", "nature"]


@dataclass(frozen=True)
class Settings:
    """Of one kind of tasks."""

    observes: str
    algorithms: tuple[Algorithm, ...]  # the first is the default
    labels: int
    steps: int
    clip_seconds: float
    first_share: float  # of all labels, at most, asked before any learning
    first_labels: int | None  # as many of them, where that is less
    horizon: float  # of the label schedule, in steps
    reward_std: float  # of a step's learned reward
    updates_per_step: float  # minibatches of comparisons for each environment step
    shortest_round: int  # steps, unless the whole run is shorter
    longest_round: int  # steps, unless an episode is longer
    normalizes: bool  # observations by statistics, which want a whole round of the random policy
    clips_per_label: float  # new clips of the random policy for each of the first labels
    processors: int  # that a training uses
    fit: dict[str, Any] = field(default_factory=dict)  # of FitConfig

    def algorithm(self, wanted: Algorithm | None, task: str) -> Algorithm:
        """The one asked for, or the default. Raises PrefrlError if it does not fit."""
        if wanted is not None and wanted not in self.algorithms:
            raise PrefrlError(
                f"--algo {wanted} is not for tasks that observe {self.observes}, as {task!r} does: take --algo "
                + " or ".join(self.algorithms)
            )
        return wanted or self.algorithms[0]

    def upfront(self, labels: int) -> float:
        """The share of the labels that is asked before any learning."""
        if self.first_labels is None:
            return self.first_share
        return min(self.first_share, self.first_labels / labels)

    def divide(
        self, steps: int, task: "Task", learner: "LearnerConfig", *, first: float, round_steps: int | None = None
    ) -> tuple[int, int, int]:
        """Steps of the random policy, steps of a round, and rounds, for a training of so many steps in all.

        `first` steps are those of the clips of the first questions, one each; `round_steps` are wished for. Raises
        PrefrlError if there is not even time for a few clips.
        """
        # At least an episode, because environments begin anew with each round; some 25 rounds, so that questions follow
        # the policy, but none longer than need be.
        rollout = learner.num_envs * learner.rollout_steps
        shortest = max(1, math.ceil((task.episode_steps or 2 * task.clip_steps) / learner.rollout_steps))
        rollouts = max(shortest, min(self.longest_round, max(steps // 25, min(self.shortest_round, steps))) // rollout)
        # Enough clips of the random policy to ask about, but at most a tenth of the run.
        wanted = max(self.clips_per_label * first, rollout * rollouts if self.normalizes else 0)
        warmup = learner.num_envs * math.ceil(min(wanted, steps / 10) / learner.num_envs)
        warmup = max(warmup, 4 * task.clip_steps * learner.num_envs)
        if task.episode_steps is None and warmup > steps:
            raise PrefrlError(
                f"clips of {task.clip_steps} steps need {warmup:,} steps of the random policy before the first "
                f"question, but --steps is {steps:,}: ask for shorter clips, or train longer"
            )
        left = max(1, steps - warmup)
        if round_steps is not None:
            rollouts = max(shortest, math.ceil(min(round_steps, left) / rollout))
        rounds = math.ceil(left / (rollout * rollouts))
        if round_steps is None:  # as many, but no longer than need be
            rollouts = max(shortest, math.ceil(left / (rounds * rollout)))
        return warmup, rollout * rollouts, rounds


VECTORS = Settings(
    observes="vectors",
    algorithms=("trpo", "ppo", "sac"),
    labels=700,
    steps=1_000_000,
    clip_seconds=1.5,
    first_share=0.25,
    first_labels=None,
    horizon=2e6,
    reward_std=1.0,
    updates_per_step=90 / 8000,
    shortest_round=0,
    longest_round=8000,
    normalizes=True,
    clips_per_label=1.0,
    processors=1,  # small networks are slower with more
    fit={"warmup": 0.1},  # a step size that stays high leaves each fit with its noise
)
PICTURES = Settings(
    observes="pictures",
    algorithms=("ppo", "a2c"),
    labels=3300,
    steps=4_000_000,
    clip_seconds=25 / 15,
    first_share=0.5,
    first_labels=500,
    horizon=5e6,
    reward_std=0.05,
    updates_per_step=1 / 256,
    shortest_round=16 * 16 * 128,  # 1,300 clips, for what are often hundreds of questions
    longest_round=40 * 16 * 128,
    normalizes=False,
    clips_per_label=2.0,
    processors=usable_processors(),
    fit={
        "first_epochs": 80,
        "batch_size": 8,
        "learning_rate": 1e-3,
        "warmup": 0.1,  # few minibatches a round: at a step size that stays high they undo each other
        "newest": 3000,
        "stride": 4,  # of a stack of 4 frames: each frame is still read
        "measured": 256,
    },
)


def settings_of(task: str) -> Settings:
    """The settings of a task, by its name alone."""
    from prefrl.control.tasks import is_game

    return PICTURES if is_game(task) else VECTORS


def learner_config(
    settings: Settings, algo: Algorithm, network: Network | None, task: "Task", device: str
) -> "LearnerConfig":
    """The learner of a task. Raises PrefrlError for a network of pictures where there are none."""
    from prefrl.control.algorithms import default_config, picture_config
    from prefrl.control.tasks import lifetime

    if settings is PICTURES:
        return picture_config(algo, network or "small", device)
    if network is not None:
        raise PrefrlError(
            f"--network is for tasks that observe pictures, and {task.name!r} observes a vector: leave it out"
        )
    return default_config(algo, lifetime(task))
