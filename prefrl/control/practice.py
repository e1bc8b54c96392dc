"""A person drives an environment by keys."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from gymnasium import spaces

from prefrl.control.playing import make_drawable, picture_of
from prefrl.control.rendering import Renderer, Scene, is_mujoco
from prefrl.control.tasks import Task
from prefrl.errors import PrefrlError

# Discrete actions that have a direction; the action without a key, then key -> action.
_MOVES: dict[str, dict[str, int]] = {"prefrl/MovingDot-v0": {"": 0, "left": 1, "right": 2, "down": 3, "up": 4}}
_BY_COUNT: dict[int, dict[str, int]] = {2: {"left": 0, "right": 1}, 3: {"left": 0, "": 1, "right": 2}}
# Two keys for each number of a continuous action: less, more.
_AXES = (("left", "right"), ("down", "up"), ("a", "d"))


class Driving:
    """An environment in a person's hands. Raises PrefrlError if it has no sensible keys or no picture."""

    def __init__(self, task: Task, *, size: int, renderer: Renderer) -> None:
        self._env = make_drawable(task)
        try:
            simulated = is_mujoco(self._env.unwrapped)
            names = moved(self._env.unwrapped.model) if simulated else ()  # type: ignore[attr-defined]
            self.keys, self._act = keyboard(task, self._env.action_space, names)
            self._scene = Scene(task.env_id, size=(size, size), renderer=renderer) if simulated else None
        except BaseException:
            self._env.close()
            raise
        self.fps = task.clip_fps  # as slow as clips are

    def reset(self) -> np.ndarray:
        """Begin anew; the picture [H, W, 3]."""
        self._env.reset()
        return picture_of(self._env, self._scene)

    def step(self, held: frozenset[str]) -> np.ndarray:
        """One step with these keys held; the picture [H, W, 3]."""
        _, _, terminated, truncated, _ = self._env.step(self._act(held))
        if terminated or truncated:
            self._env.reset()
        return picture_of(self._env, self._scene)

    def close(self) -> None:
        """Give everything back."""
        if self._scene is not None:
            self._scene.close()
        self._env.close()


def moved(model: mujoco.MjModel) -> tuple[str, ...]:
    """What each actuator moves, by its own name or that of its joint; nothing for one that has neither."""
    names = []
    for i in range(model.nu):
        name = model.actuator(i).name
        if not name and model.actuator_trntype[i] == mujoco.mjtTrn.mjTRN_JOINT:
            name = model.joint(model.actuator_trnid[i, 0]).name
        names.append(name.removesuffix("_joint").replace("_", " "))
    return tuple(names)


def keyboard(
    task: Task, space: spaces.Space[Any], names: Sequence[str] = ()
) -> tuple[tuple[tuple[str, str], ...], Callable[[frozenset[str]], Any]]:
    """Keys with what they do, and the action for those that are held. Raises PrefrlError where that makes no sense.

    `names` says what each number of a continuous action moves, as far as that is known.
    """
    if isinstance(space, spaces.Discrete) and space.n <= 9:
        digits = {"": 0} | {str(i): i for i in range(1, int(space.n))}
        keys = _MOVES.get(task.env_id) or _BY_COUNT.get(int(space.n)) or digits
        last = [keys.get("", 0)]
        told = [(key, key if keys is _MOVES.get(task.env_id) else f"action {keys[key]}") for key in keys if key]
        return tuple(told), lambda held: _discrete(keys, held, last)
    if isinstance(space, spaces.Box) and space.shape is not None and int(np.prod(space.shape)) <= len(_AXES):
        axes = _AXES[: int(np.prod(space.shape))]
        unnamed = ["force"] if len(axes) == 1 else [f"joint {i + 1}" for i in range(len(axes))]
        whats = [name or other for name, other in zip(names or unnamed, unnamed, strict=True)]
        told = [
            (key, f"{what} {sign}")
            for what, axis in zip(whats, axes, strict=True)
            for key, sign in zip(axis, ("-", "+"), strict=True)
        ]
        return tuple(told), lambda held: _continuous(space, axes, held)
    size = space.n if isinstance(space, spaces.Discrete) else int(np.prod(space.shape or (0,)))
    kind = "actions to choose from" if isinstance(space, spaces.Discrete) else "joints to move at once"
    raise PrefrlError(f"{task.name} has {size} {kind}: too many to drive by keys.")


def _discrete(keys: Mapping[str, int], held: frozenset[str], last: list[int]) -> int:
    """The action of the first key that is held; with none the one of rest, or where there is none the last one."""
    pressed = next((action for key, action in keys.items() if key and key in held), None)
    last[0] = keys.get("", last[0]) if pressed is None else pressed
    return last[0]


def _continuous(space: spaces.Box, axes: tuple[tuple[str, str], ...], held: frozenset[str]) -> np.ndarray:
    """Each number at its lowest, at its highest, or at rest."""
    low, high = space.low.ravel(), space.high.ravel()
    rest = np.clip(0.0, low, high)
    values = [
        low[i] if less in held and more not in held else high[i] if more in held and less not in held else rest[i]
        for i, (less, more) in enumerate(axes)
    ]
    return np.array(values, space.dtype).reshape(space.shape)
