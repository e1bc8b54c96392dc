"""`prefrl train TASK`."""

import math
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from prefrl.commands.devices import Device, find_device
from prefrl.commands.settings import PICTURES, VECTORS, Algorithm, Network, learner_config, settings_of
from prefrl.errors import PrefrlError, require

if TYPE_CHECKING:
    from prefrl.control.tasks import Task


@dataclass(frozen=True)
class Train:
    """Learn a task from comparisons of short clips, without ever seeing its reward."""

    task: tyro.conf.Positional[str]
    """hopper, walker, swimmer, cheetah, ant, reacher, double-pendulum, pendulum, hopper-backflip, cheetah-one-leg,
    moving-dot, or any Gymnasium id with vector observations and a Box or Discrete action space (Pusher-v5,
    module:Id-v0). Atari's pong, breakout, beamrider, enduro, qbert, seaquest, spaceinvaders, or any other of its games
    with --unmasked (ALE/Alien-v5)."""
    labels: int | None = None
    """How many questions to ask in all, 700 by default, in Atari 3,300. With --labels-from: how many of the recorded
    ones to learn from, the first ones asked; all by default."""
    labels_from: Path | None = None
    """Ask nobody: learn from the answers recorded in this run's folder or preferences.db. They are copied into the new
    run, all before its first round; the policy then learns from them alone."""
    options: int = 2
    """How many clips a question shows, 2 to 9: two are compared, more are ranked, ties allowed, by people and by the
    oracle. A ranking of K is learned from as K - 1 nested choices."""
    steps: int | None = None
    """Environment steps in all, rounded up to whole rounds; 1,000,000 by default, in Atari 4,000,000 of 4 frames."""
    seed: int = 0
    """Everything random derives from it."""
    reward: Literal["learned", "true"] = "learned"
    """`true` is the baseline: the same learner, steps and seeds on the environment's own reward."""
    labeler: Literal["oracle", "people"] = "oracle"
    """Who compares: an oracle that knows the true reward, or people at the labeling window."""
    when_short: Literal["block", "throttle", "continue"] = "block"
    """What to do while people have not answered: wait for all answers, wait while more than a quarter of all are
    missing, or learn on from what there is once there is a first answer."""
    open_window: bool = False
    """Open the labeling window, too."""
    algo: Algorithm | None = None
    """How the policy learns: trpo, the paper's and the default, ppo or sac; in Atari ppo, the default, or the paper's
    a2c."""
    network: Network | None = None
    """Policy network in Atari: small (Mnih et al. 2013), the default, or nature (Mnih et al. 2015), the paper's."""
    unmasked: bool = False
    """Take an Atari game as it is, with the score in its pictures, from which the reward may then be learned."""
    entropy_bonus: float | None = None
    """Weight of the policy's entropy (PPO, A2C; TRPO: of one dimension of the action), .01 by default; the one setting
    of the learner that the paper varied."""
    out: Path | None = None
    """The run's folder; runs/TASK-... by default."""
    acquisition: Literal["mixture", "disagreement", "entropy", "information-gain", "uniform"] = "mixture"
    """Which of 10 candidates becomes a question; mixture is half disagreement, half uniform. The first
    questions, before any fit, are drawn by lot."""
    members: int = 3
    """Reward functions in the ensemble."""
    clip_seconds: float | None = None
    """Length of a clip as it is shown, 1.5 by default, in Atari 25 steps: simulated time, slowed down where there are
    more than 40 steps in a second; at most half an episode."""
    clip_steps: int | None = None
    """Length of a clip in environment steps instead; 1 is the paper's ablation "no segments"."""
    upfront: float | None = None
    """Share of the comparisons that is asked before any learning; a quarter by default, in Atari 500 of them."""
    round_steps: int | None = None
    """Environment steps from one time of asking and fitting to the next, rounded up to whole updates of the policy and
    at least an episode; by default a 25th of all, at most 8,000, in Atari between 33,000 and 82,000. The longer, the
    more questions at a time."""
    fit: Literal["comparisons", "target"] = "comparisons"
    """What the reward is fitted to: who won; or, as the paper's ablation "target", the true return of each clip, which
    the oracle then tells."""
    regularization: bool = True
    """Weight decay of the reward functions, adapted to held-out answers; without it, as in the paper's ablation "no
    regularization", there is none."""
    noise: float = 0.1
    """Share of answers that the model of choice takes to be uniformly random."""
    oracle_beta: float = math.inf
    """The oracle's rationality: it draws answers from softmax(beta * return); inf takes the best."""
    oracle_gamma: float = 1.0
    """Below 1 the oracle is myopic: the end of a clip counts more."""
    oracle_mistake: float = 0.0
    """Chance that the oracle names another clip than the one it would have."""
    oracle_skip: float = 0.0
    """The oracle cannot tell where no clip returns this share of the mean; where that is negative, where all clips
    return as much less than the mean."""
    oracle_equal: float = 0.0
    """The oracle answers `tie` where returns differ by less than this share of the mean, whatever its sign."""
    fit_updates: int | None = None
    """Minibatches by which the reward is fitted in each round; by default in proportion to the round's steps."""
    pretraining: int | None = None
    """Passes over the first comparisons, before the policy learns anything."""
    threads: int | None = None
    """Processor threads; 1 by default, since small networks are slower with more, in Atari as many as there are."""
    device: Device = "auto"
    """Where networks are evaluated; `auto` is CUDA where there is one, for pictures: small networks over vectors are
    faster on a processor."""
    quiet: bool = False
    """Print nothing but errors."""

    def run(self) -> int:
        folder = self.out or Path("runs") / self._name()
        self.check()
        from prefrl.commands.training import FORMAT, carry_out
        from prefrl.provenance import provenance
        from prefrl.runs import create_folder

        config = {"format": FORMAT, **self.resolved(), **provenance()}
        create_folder(folder, config)
        if self.open_window:
            # In a session of its own: Ctrl-C here stops the training, not the person.
            subprocess.Popen([sys.executable, "-m", "prefrl", "label", str(folder)], start_new_session=True)
        return carry_out(folder, quiet=self.quiet)

    def _name(self) -> str:
        what = "true" if self.reward == "true" else f"{self._labels()}-{self._labeler()}"
        what += f"-of{self.options}" if self.options > 2 else ""
        algo = settings_of(self.task).algorithm(self.algo, self.task)
        return f"{self.task.replace(':', '-').replace('/', '-')}-{algo}-{what}-seed{self.seed}"

    @property
    def processors(self) -> int:
        """How many a training uses."""
        return self.threads or settings_of(self.task).processors

    @property
    def all_steps(self) -> int:
        """Environment steps in all."""
        return self.steps or settings_of(self.task).steps

    def _labeler(self) -> str:
        return self.labeler if self.labels_from is None else "recorded"

    def _labels(self) -> int:
        """How many questions there will be. Raises PrefrlError if fewer are recorded."""
        if self.labels_from is None:
            return settings_of(self.task).labels if self.labels is None else self.labels
        from prefrl.commands.labels import find_store
        from prefrl.store import PreferenceStore

        with PreferenceStore(find_store(self.labels_from)) as store:
            recorded = len(store)
        if recorded < (self.labels or 1):
            raise PrefrlError(f"{self.labels_from} holds {recorded} answers, but --labels asks for {self.labels or 1}")
        return self.labels or recorded

    def check(self) -> None:
        """Raise PrefrlError where options are out of their range, or contradict each other."""
        if self.labels_from is not None and (self.labeler != "oracle" or self.reward == "true"):
            raise PrefrlError(
                "--labels-from learns from recorded answers, so nobody is asked: leave out --labeler and --reward"
            )
        if not 2 <= self.options <= 9:
            raise PrefrlError(f"--options must be between 2 and 9, got {self.options}")
        if self.device == "cuda" and settings_of(self.task) is VECTORS:
            raise PrefrlError(
                f"--device cuda is for tasks that observe pictures: the small networks of {self.task!r} are faster on "
                "a processor; leave it out"
            )
        if self.open_window:
            if self.labeler != "people":
                raise PrefrlError("--open-window is for --labeler people; an oracle needs no window")
            from prefrl_labeling.screens import check_screen

            check_screen()
        for name, value, least in (
            ("labels", self.labels, 1),
            ("steps", self.steps, 1),
            ("seed", self.seed, 0),
            ("members", self.members, 1),
            ("threads", self.threads, 1),
            ("clip-steps", self.clip_steps, 1),
            ("round-steps", self.round_steps, 1),
            ("fit-updates", self.fit_updates, 1),
            ("pretraining", self.pretraining, 1),
        ):
            require(value is None or value >= least, f"--{name}", f"at least {least}", value)
        # NumPy's generator, which Stable-Baselines3 shuffles with, takes no more
        require(self.seed < 2**32, "--seed", f"below {2**32}", self.seed)
        bonus, upfront, seconds = self.entropy_bonus, self.upfront, self.clip_seconds
        require(bonus is None or 0 <= bonus < math.inf, "--entropy-bonus", "at least 0 and finite", bonus)
        require(0 <= self.noise < 1, "--noise", "at least 0 and below 1", self.noise)
        require(upfront is None or 0 <= upfront <= 1, "--upfront", "a share between 0 and 1", upfront)
        require(seconds is None or 0 < seconds < math.inf, "--clip-seconds", "above 0 and finite", seconds)
        if self.fit == "target" and (self._labeler() != "oracle" or self.reward == "true"):
            raise PrefrlError(
                "--fit target needs an oracle, who tells true returns: leave out --labeler, --labels-from and --reward"
            )

    def resolved(self) -> dict[str, Any]:
        """Everything that the run will need, worked out: what config.json holds."""
        from prefrl.control.tasks import find_task
        from prefrl.fitting import FitConfig
        from prefrl.labelers import Oracle
        from prefrl.loop import LoopConfig

        settings = settings_of(self.task)
        device = "cpu" if settings is VECTORS else find_device(self.device)
        algo = settings.algorithm(self.algo, self.task)
        total = self.all_steps
        clip_seconds = self.clip_seconds or settings.clip_seconds
        task = find_task(
            self.task,
            clip_seconds=clip_seconds,
            clip_steps=self.clip_steps,
            continuous=algo == "sac",
            masked=not self.unmasked,
        )
        learner = learner_config(settings, algo, self.network, task, device)
        if self.entropy_bonus is not None:
            learner = replace(learner, entropy_bonus=self.entropy_bonus)
        oracle = Oracle(
            seed=self.seed,
            beta=self.oracle_beta,
            gamma=self.oracle_gamma,
            mistake=self.oracle_mistake,
            skip=self.oracle_skip,
            equal=self.oracle_equal,
            tells_returns=self.fit == "target",
        )
        if oracle.tells_returns and oracle != Oracle(seed=self.seed, tells_returns=True):
            raise PrefrlError("--fit target learns from true returns, which have no errors: leave out --oracle-...")
        labels = self._labels()
        upfront = settings.upfront(labels) if self.upfront is None else self.upfront
        needed = 0 if self.labels_from is not None else labels * task.clip_steps
        if self.reward == "learned" and needed > total:
            affordable = total // task.clip_steps
            raise PrefrlError(
                f"{labels} comparisons of clips of {task.clip_steps} steps need {needed:,} steps, one new clip "
                f"each, but --steps is {total:,}: "
                + (f"ask --labels {affordable}" if affordable else "ask for shorter clips")
                + ", or train longer"
            )
        warmup, steps_per_round, rounds = settings.divide(
            total, task, learner, first=upfront * needed, round_steps=self.round_steps
        )
        if settings is PICTURES:
            learner = replace(learner, decay_steps=warmup + rounds * steps_per_round)
        updates = self.fit_updates or math.ceil(settings.updates_per_step * steps_per_round)
        fit = FitConfig(
            **settings.fit
            | {"noise": self.noise, "updates": updates}
            | {"loss": "squared_error" if self.fit == "target" else "choice"}
            | ({} if self.pretraining is None else {"first_epochs": self.pretraining})
            | ({} if self.regularization else {"weight_decay": 0.0})
        )
        loop = LoopConfig(warmup_steps=warmup, steps_per_round=steps_per_round, options=self.options, fit=fit)
        recorded = None
        if self.labels_from is not None:
            from prefrl.commands.labels import find_store

            recorded = find_store(self.labels_from)
            check_recorded(recorded, task)
        return {
            "task": self.task,
            "labels": labels,
            "labels_from": None if recorded is None else str(recorded.resolve()),
            "steps": total,
            "seed": self.seed,
            "reward": self.reward,
            "labeler": self._labeler(),
            "when_short": self.when_short,
            "algo": algo,
            "acquisition": self.acquisition,
            "members": self.members,
            "upfront": upfront,
            "noise": self.noise,
            "threads": self.processors,
            "device": device,
            **{key: value for key, value in asdict(task).items() if key != "name"},
            "clip_seconds": task.clip_steps / task.clip_fps if self.clip_steps else clip_seconds,
            "horizon": settings.horizon,
            "reward_std": settings.reward_std,
            "rounds": rounds,
            "oracle": asdict(oracle) | {"beta": str(oracle.beta)},  # JSON has no infinity
            "learner": asdict(learner),
            "loop": asdict(loop),
        }


def check_recorded(path: Path, task: "Task") -> None:
    """Raise PrefrlError unless what was answered about in a store is what is seen and done in a task."""
    from prefrl.segments import GameReplay
    from prefrl.store import PreferenceStore

    with PreferenceStore(path) as store:
        segment = store.segment(store.answers()[0].option_ids[0])
    venv = task.vector(1, normalize=False)
    wanted = venv.observation_space.shape, venv.action_space.shape
    venv.close()
    found = segment.obs.shape[1:], segment.act.shape[1:]
    if found != wanted:
        raise PrefrlError(
            f"{path} was answered about observations of shape {found[0]} and actions of shape {found[1]}, but "
            f"{task.name} has {wanted[0]} and {wanted[1]}: the answers belong to another task"
        )
    # All games look alike in shape.
    about = getattr(segment.view, "env_id", task.env_id)
    if about != task.env_id:
        raise PrefrlError(f"{path} was answered about {about}, but {task.name} is {task.env_id}; name answers about it")
    if isinstance(segment.view, GameReplay) and segment.view.masked != getattr(task, "masked", True):
        shown, move = ("masked", "leave --unmasked out") if segment.view.masked else ("shown", "add --unmasked")
        raise PrefrlError(f"{path} was answered about pictures with the score {shown}: {move}")
