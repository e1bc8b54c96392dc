"""Let a policy act, and show it."""

import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from prefrl.control.rendering import Renderer, Scene, is_mujoco
from prefrl.control.tasks import Task
from prefrl.errors import PrefrlError
from prefrl.segments import Replay

Policy = Callable[[np.ndarray], Any]  # observation [*obs] -> action
MOST_FPS = 60.0


@dataclass(frozen=True)
class Moment:
    """One step of an episode."""

    episode: int  # from 0
    step: int  # from 0
    true_return: float  # up to here
    last: bool


def play(env: gymnasium.Env[Any, Any], policy: Policy, task: Task, *, seed: int) -> Iterator[Moment]:
    """Act in one episode after another, without end; the environment is in the state that each moment tells of."""
    episode = 0
    while True:
        obs, _ = env.reset(seed=seed + episode)
        total = 0.0
        for step in range(task.longest):
            obs, reward, terminated, truncated, _ = env.step(policy(np.asarray(obs, np.float32)))
            total += float(reward)
            last = terminated or truncated or step + 1 == task.longest
            yield Moment(episode, step, total, last)
            if last:
                break
        episode += 1


class Film:
    """Pictures of a policy acting, in real time; `returns` fills with the true return of each whole episode.

    Iterating draws `seconds` of simulated time, or `episodes` whole ones if given, and goes on without drawing to the
    end of the episode then begun. `size` is the picture's longer side in pixels.
    """

    def __init__(
        self,
        policy: Policy,
        task: Task,
        *,
        seconds: float,
        episodes: int | None,
        size: int,
        seed: int,
        renderer: Renderer,
    ) -> None:
        self._policy, self._task, self._seed = policy, task, seed
        self._seconds, self._episodes, self._size, self._renderer = seconds, episodes, size, renderer
        self._every = max(1, int(np.ceil(task.fps / MOST_FPS)))  # steps from one picture to the next
        self.fps = task.fps / self._every
        self.returns: list[float] = []

    def __iter__(self) -> Iterator[np.ndarray]:
        env = make_drawable(self._task)
        scene = None
        try:
            if is_mujoco(env.unwrapped):
                scene = Scene(self._task.env_id, size=(self._size, self._size), renderer=self._renderer)
            shown = 0
            for moment in play(env, self._policy, self._task, seed=self._seed):
                wanted = self._episodes is not None or shown * self._every < self._seconds * self._task.fps
                if wanted and moment.step % self._every == 0:
                    shown += 1
                    picture = picture_of(env, scene)
                    if scene is None:
                        picture = enlarged(picture, self._size)
                    said = f"step {moment.step + 1}   return {moment.true_return:,.1f}"
                    yield captioned(picture, f"{self._task.name}   {said}")
                if moment.last:
                    self.returns.append(moment.true_return)
                    enough = self._seconds * self._task.fps <= shown * self._every
                    if enough if self._episodes is None else len(self.returns) >= self._episodes:
                        return
        finally:
            if scene is not None:
                scene.close()
            env.close()


def picture_of(env: gymnasium.Env[Any, Any], scene: Scene | None) -> np.ndarray:
    """[H, W, 3] uint8 of an environment as it is now: by the scene of a MuJoCo model, or as it draws itself.

    Raises PrefrlError if it cannot.
    """
    if scene is not None:
        data = env.unwrapped.data  # type: ignore[attr-defined]
        return scene.frame(np.concatenate([data.qpos, data.qvel]))
    name = "the environment" if env.spec is None else env.spec.id
    try:
        picture = env.render()
    except gymnasium.error.DependencyNotInstalled as error:
        raise PrefrlError(f"{name} needs a package to draw itself: {error}") from error
    if not isinstance(picture, np.ndarray):
        raise PrefrlError(f"{name} gave no picture but {type(picture).__name__}")
    return np.asarray(picture, np.uint8)


def enlarged(picture: np.ndarray, size: int) -> np.ndarray:
    """[H, W, 3] so often as large that its longer side is at most `size`; whole pixels stay sharp."""
    grow = max(1, size // max(picture.shape[:2]))
    return np.repeat(np.repeat(picture, grow, axis=0), grow, axis=1)


def make_drawable(task: Task) -> gymnasium.Env[Any, Any]:
    """An environment that can be drawn: MuJoCo's from its states, others by themselves. Raises PrefrlError if not."""
    env = task.make()
    if is_mujoco(env.unwrapped):
        return env
    _check_modes(task, env)
    env.close()
    return task.make(render_mode="rgb_array")


def replayed(view: Replay) -> Iterator[np.ndarray]:
    """Act a clip once more and draw it: [H, W, 3] uint8 pictures before each of its actions.

    Raises PrefrlError if it does not come out as it was: the environment then draws chance from elsewhere.
    """
    try:
        env = gymnasium.make(view.env_id, disable_env_checker=True, render_mode="rgb_array")
    except (gymnasium.error.Error, ImportError) as error:
        raise PrefrlError(f"{view.env_id} cannot be made: {error}") from error
    try:
        bits = np.random.PCG64()
        bits.state = json.loads(view.origin)
        env.unwrapped.np_random = np.random.Generator(bits)
        obs, _ = env.reset()
        for step, action in enumerate(view.act):
            if step == view.start and not np.array_equal(np.asarray(obs, view.seen.dtype), view.seen):
                raise PrefrlError(f"{view.env_id} does not do the same again, so the clip cannot be drawn later")
            if step >= view.start:
                yield picture_of(env, None)
            obs = env.step(action)[0]
    except gymnasium.error.Error as error:
        raise PrefrlError(f"{view.env_id} cannot draw itself: {error}") from error
    finally:
        env.close()


def make_window(task: Task) -> gymnasium.Env[Any, Any]:
    """An environment that shows itself in a window while it is acted in. Raises PrefrlError if it cannot."""
    env = task.make()
    _check_modes(task, env)
    env.close()
    try:
        with warnings.catch_warnings():
            # Gymnasium warns when it opens the window itself for a world that only makes pictures.
            warnings.simplefilter("ignore", UserWarning)
            return task.make(render_mode="human")
    except gymnasium.error.Error as error:
        raise PrefrlError(f"{task.name} opens no window: {error}; leave --window out for a video") from error


def _check_modes(task: Task, env: gymnasium.Env[Any, Any]) -> None:
    modes = env.metadata.get("render_modes") or []
    if "rgb_array" not in modes:
        raise PrefrlError(f"{task.name} cannot draw itself: its render modes are {', '.join(modes) or 'none'}")


def captioned(picture: np.ndarray, caption: str) -> np.ndarray:
    """The picture [H, W, 3] with a small line of text in its lower left corner."""
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    size = max(10, picture.shape[0] // 28)
    font = ImageFont.load_default(size)
    place = (size * 0.7, picture.shape[0] - size * 1.8)
    draw.text(place, caption, font=font, fill=(255, 255, 255), stroke_width=max(1, size // 7), stroke_fill=(40, 48, 56))
    return np.asarray(image)
