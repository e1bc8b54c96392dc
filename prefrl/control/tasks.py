"""Which environments there are, and whether this learner can use one."""

import difflib
import functools
import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces

import prefrl_envs  # noqa: F401  registers the tasks
from prefrl.control.vector import Recorder, RecordingVecEnv
from prefrl.errors import PrefrlError
from prefrl_envs.atari.games import GAMES, find_game, same_game

# The paper's eight and its new behaviors, and the smallest world of all.
TASKS = {
    "hopper": "prefrl/Hopper-v0",
    "walker": "prefrl/Walker-v0",
    "swimmer": "prefrl/Swimmer-v0",
    "cheetah": "prefrl/Cheetah-v0",
    "ant": "prefrl/Ant-v0",
    "reacher": "prefrl/Reacher-v0",
    "double-pendulum": "prefrl/DoublePendulum-v0",
    "pendulum": "prefrl/Pendulum-v0",
    "hopper-backflip": "prefrl/HopperBackflip-v0",
    "cheetah-one-leg": "prefrl/CheetahOneLeg-v0",
    "moving-dot": "prefrl/MovingDot-v0",
}


GAME_FPS = 15.0  # steps a second of a game: an action lasts 4 frames of 60

# Clips are shown at no more steps a second than this; a faster simulation is shown slowed down, as rl-teacher showed
# hopper. A second and a half of it would be 188 steps, thrice the paper's longest clip and thrice the work of a fit.
CLIP_FPS = 40.0
# Where all happens in half a second: shown slowed down, as by rl-teacher, so that a clip is 15 steps. In one of 38,
# which holds the pendulum's whole fall, standing always comes with falling, and neither was learned to be better.
SLOWED = {"pendulum": 10.0}


@dataclass(frozen=True)
class Task:
    """An environment that a policy can be trained in."""

    name: str
    env_id: str
    clip_steps: int  # steps in a clip, at most half an episode
    episode_steps: int | None  # the time limit, if there is one
    fps: float  # steps per second of simulated time

    @property
    def clip_fps(self) -> float:
        """Steps of a clip that are shown in a second."""
        return clip_fps(self.name, self.fps)

    @property
    def longest(self) -> int:
        """Steps after which an episode is cut off where it is watched or measured."""
        return self.episode_steps or 1000

    @property
    def deterministic(self) -> bool:
        """Whether the policy acts without its noise where it is watched or measured."""
        return True

    def make(self, **settings: Any) -> gymnasium.Env[Any, Any]:
        """A new copy of the environment."""
        return gymnasium.make(self.env_id, disable_env_checker=True, **settings)

    def vector(self, num_envs: int, *, normalize: bool, endless: bool = True) -> Recorder:
        """Copies of it side by side. `endless`: as for learning, where episodes of games are hidden."""
        return RecordingVecEnv(self.make, num_envs, normalize=normalize)


@dataclass(frozen=True)
class AtariTask(Task):
    """An Atari game: pictures, many copies in threads, and one endless episode of games."""

    masked: bool = True  # whether what shows the reward is blackened

    @property
    def longest(self) -> int:
        """Half an hour of a game, 108,000 frames, as is customary."""
        return 27_000

    @property
    def deterministic(self) -> bool:
        """No: a policy without noise can wait for ever."""
        return False

    def make(self, **settings: Any) -> gymnasium.Env[Any, Any]:
        """Gymnasium's environment of the game, with its score and as large as on a television; no sticky actions."""
        import ale_py

        gymnasium.register_envs(ale_py)
        return super().make(repeat_action_probability=0.0, **settings)

    def vector(self, num_envs: int, *, normalize: bool, endless: bool = True) -> Recorder:
        """See `Task`; pictures are not normalized by statistics."""
        from prefrl.control.pictures import GameVecEnv  # needs ale-py

        return GameVecEnv(self.env_id, num_envs, masked=self.masked, endless=endless, threads=torch.get_num_threads())


@functools.cache
def lifetime(task: Task) -> int:
    """Steps that an episode lasts while actions are drawn by chance; the longest where none ends by itself.

    Estimated from as many steps as the longest episode has: those, over one more than how often one ended by itself.
    """
    env = task.make()
    env.action_space.seed(0)
    env.reset(seed=0)
    ends = 0
    for _ in range(task.longest):
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        ends += bool(terminated)
        if terminated or truncated:
            env.reset()
    env.close()
    return math.ceil(task.longest / (1 + ends))


def clip_fps(name: str, fps: float) -> float:
    """Steps of a clip of a task that are shown in a second, of a simulation that makes `fps`."""
    return min(fps, SLOWED.get(name, CLIP_FPS))


def task_of(config: Mapping[str, Any]) -> Task:
    """The task of a run's configuration."""
    kind = AtariTask if "masked" in config else Task
    return kind(config["task"], **{f.name: config[f.name] for f in fields(kind) if f.name != "name"})


def is_game(name: str) -> bool:
    """Whether a task of that name would be one of Atari's games."""
    return name in GAMES or name.removeprefix("ale_py:").startswith("ALE/")


def find_task(
    name: str, *, clip_seconds: float, clip_steps: int | None = None, continuous: bool = False, masked: bool = True
) -> Task:
    """The task of that name, or the Gymnasium environment of that id ("Pusher-v5", "module:Id-v0", "ALE/Alien-v5").

    A clip lasts `clip_seconds` (1.5 in Christiano et al. 2017, appendix A.1) when it is shown, which is simulated time
    but where it is slowed down (`clip_fps`), and at most half an episode; or it is `clip_steps` long, if given. Raises
    PrefrlError if there is no such task, if half an episode is shorter than `clip_steps`, if its observations are no
    vector or its actions neither Box nor Discrete, or if they are Discrete where they must be `continuous`, as SAC's;
    or if a game is to be `masked` and nobody has looked where it shows the score.
    """
    if is_game(name):
        return _find_game(name, clip_steps or max(1, round(clip_seconds * GAME_FPS)), masked=masked)
    if not masked and not _game_meant(name):
        raise PrefrlError(f"--unmasked is for Atari's games; {name!r} is none and has no mask: leave it out")
    env_id = TASKS.get(name, name)
    module, colon, known = env_id.rpartition(":")
    if colon and not (known and all(part.isidentifier() for part in module.split("."))):
        raise PrefrlError(f"no task {name!r}: before the colon stands a module as it is imported, as in module:Id-v0")
    try:
        env = gymnasium.make(env_id, disable_env_checker=True)
    except (gymnasium.error.Error, ImportError) as error:
        raise PrefrlError(_unknown(name, error)) from error
    try:
        _check_spaces(name, env)
        if continuous and not isinstance(env.action_space, spaces.Box):
            raise PrefrlError(
                f"task {name!r} acts in {env.action_space}, but sac needs continuous actions; take --algo ppo or trpo"
            )
        limit = env.spec.max_episode_steps if env.spec else None
        dt = getattr(env.unwrapped, "dt", None)
        fps = 1.0 / float(dt) if isinstance(dt, float) else float(env.metadata.get("render_fps") or 20.0)
    finally:
        env.close()
    longest = max(1, limit // 2) if limit else math.inf
    if clip_steps is not None and clip_steps > longest:
        raise PrefrlError(
            f"clips of {clip_steps} steps are longer than half an episode of {name!r}, {longest}: ask for at most that"
        )
    steps = clip_steps or max(1, round(clip_seconds * clip_fps(name, fps)))
    return Task(name, env_id, int(min(steps, longest)), limit, fps)


def _find_game(name: str, clip_steps: int, *, masked: bool) -> AtariTask:
    try:
        game = find_game(name.removeprefix("ale_py:"))
        importlib.import_module("ale_py")
    except ValueError as error:
        raise PrefrlError(str(error)) from error
    except ImportError as error:
        raise PrefrlError(
            f"{name!r} is an Atari game and needs ale-py: pip install 'prefrl[atari]' ({error})"
        ) from error
    if masked and not game.masks:
        raise PrefrlError(
            f"nobody has looked where {game.ale_id} shows its score, so it cannot be masked, and the reward could be "
            f"read off the picture: train one of {', '.join(GAMES)}, or take it as it is with --unmasked"
        )
    task = AtariTask(name, game.ale_id, clip_steps, None, GAME_FPS, masked)
    if clip_steps > task.longest // 2:
        raise PrefrlError(
            f"clips of {clip_steps} steps are longer than half of the longest game, {task.longest // 2}: ask for at "
            "most that"
        )
    return task


def _unknown(name: str, error: Exception) -> str:
    # "Gymnasium knows it but a package is missing" is told apart from "nobody knows it".
    if isinstance(error, gymnasium.error.DependencyNotInstalled):
        return f"task {name!r} needs a package that is not installed: {error}"
    if isinstance(error, ModuleNotFoundError):
        # Gymnasium's own error does not name the module, the one behind it does: perhaps one that the world itself
        # needs.
        missing = error.name or getattr(error.__cause__, "name", None) or name.split(":")[0]
        return f"task {name!r}: no module {missing!r} can be imported; install it or set PYTHONPATH"
    if isinstance(error, ImportError):
        return f"task {name!r} cannot be imported: {error}"
    game = _game_meant(name)
    near = [game] if game else difflib.get_close_matches(name, [*TASKS, *GAMES, *gymnasium.registry], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"the tasks are {', '.join([*TASKS, *GAMES])}."
    return f"no task {name!r}; {hint} Any Gymnasium id works too, as Pusher-v5 or module:Id-v0."


def _game_meant(name: str) -> str | None:
    """`same_game`, where ale-py is installed."""
    try:
        return same_game(name)
    except ImportError:
        return None


def _check_spaces(name: str, env: gymnasium.Env[Any, Any]) -> None:
    seen, done = env.observation_space, env.action_space
    if not isinstance(seen, spaces.Box) or len(seen.shape) != 1:
        if game := _game_meant(name):  # ale-py registers other ids for it
            raise PrefrlError(f"no task {name!r}; did you mean {game!r}? Games are played by that name alone.")
        kind = f"images or arrays of shape {seen.shape}" if isinstance(seen, spaces.Box) else type(seen).__name__
        raise PrefrlError(
            f"task {name!r} observes {kind}; the control learner needs a vector (a one-dimensional Box): "
            "wrap it with gymnasium.wrappers.FlattenObservation and register the result"
        )
    if isinstance(done, spaces.Box) and len(done.shape) == 1 and np.isfinite([done.low, done.high]).all():
        return
    if not isinstance(done, spaces.Discrete) or done.start != 0:
        raise PrefrlError(
            f"task {name!r} acts in {done}; the control learner needs Discrete actions that begin at 0, or a "
            "one-dimensional Box with finite bounds: wrap it with gymnasium.wrappers.RescaleAction or the like"
        )
