from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from worlds import Counter

from prefrl.control.tasks import TASKS, find_task, lifetime
from prefrl.errors import PrefrlError


class Spaces(gymnasium.Env[Any, Any]):
    """Nothing but spaces."""

    def __init__(self, seen: spaces.Space[Any], done: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = seen, done


VECTOR, BOX = spaces.Box(-1.0, 1.0, (3,)), spaces.Box(-1.0, 1.0, (2,))


@pytest.fixture
def refusal() -> Iterator[Any]:
    """Why an environment of these spaces is refused."""

    def why(seen: spaces.Space[Any], done: spaces.Space[Any]) -> str:
        gymnasium.registry.pop("Spaces-v0", None)
        gymnasium.register("Spaces-v0", Spaces, kwargs={"seen": seen, "done": done})
        with pytest.raises(PrefrlError) as caught:
            find_task("Spaces-v0", clip_seconds=1.5)
        return str(caught.value)

    yield why
    gymnasium.registry.pop("Spaces-v0", None)


# 1.5 seconds at no more than 40 steps a second, 10 of the pendulum, at most half an episode.
@pytest.mark.parametrize(
    ("name", "clip_steps", "episode_steps", "dt"),
    [
        ("hopper", 60, 1000, 0.008),
        ("walker", 60, 1000, 0.008),
        ("swimmer", 38, 1000, 0.04),
        ("cheetah", 30, 1000, 0.05),
        ("ant", 30, 1000, 0.05),
        ("reacher", 25, 50, 0.02),
        ("pendulum", 15, 100, 0.04),
        ("double-pendulum", 30, 100, 0.05),
        ("hopper-backflip", 60, 250, 0.008),
        ("cheetah-one-leg", 30, 1000, 0.05),
        ("moving-dot", 15, 50, 0.1),
        ("CartPole-v1", 60, 500, 0.02),
        ("Pusher-v5", 30, 100, 0.05),
    ],
)
def test_clips_last_as_long_as_the_paper_s(name: str, clip_steps: int, episode_steps: int, dt: float) -> None:
    task = find_task(name, clip_seconds=1.5)
    assert (task.clip_steps, task.episode_steps) == (clip_steps, episode_steps)
    assert task.fps == pytest.approx(1 / dt)
    env = task.make()
    assert env.spec is not None
    assert env.spec.id == task.env_id == TASKS.get(name, name)
    env.close()


@pytest.mark.parametrize(("ends", "lasts"), [(None, 60), (70, 60), (20, 15), (1, 1)])
def test_how_long_an_episode_lasts(ends: int | None, lasts: int) -> None:
    """In 60 steps, an episode's longest, one of 20 steps ends thrice: 60 / (1 + 3). A time limit is no end."""
    gymnasium.register("Counter-v0", lambda: Counter(ends), max_episode_steps=60)
    lifetime.cache_clear()
    try:
        assert lifetime(find_task("Counter-v0", clip_seconds=1.0)) == lasts
    finally:
        gymnasium.registry.pop("Counter-v0")
        lifetime.cache_clear()


def test_the_paper_s_tasks_never_end_by_themselves_and_gymnasium_s_walker_soon_does() -> None:
    lasts = {name: lifetime(find_task(name, clip_seconds=1.5)) for name in ("walker", "pendulum", "Walker2d-v5")}
    assert (lasts["walker"], lasts["pendulum"]) == (1000, 100)
    assert lasts["Walker2d-v5"] < 50


def test_a_clip_has_at_least_one_step() -> None:
    assert find_task("moving-dot", clip_seconds=1e-6).clip_steps == 1
    assert find_task("moving-dot", clip_seconds=1.5, clip_steps=1).clip_steps == 1
    assert find_task("moving-dot", clip_seconds=1.5, clip_steps=25).clip_steps == 25
    with pytest.raises(PrefrlError, match="clips of 26 steps are longer than half an episode of 'moving-dot', 25"):
        find_task("moving-dot", clip_seconds=1.5, clip_steps=26)


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("hoper", "'hopper'"),
        ("cheeta", "'cheetah'"),
        ("doublependulum", "'double-pendulum'"),
        ("Pushr-v5", "'Pusher-v5'"),
    ],
)
def test_an_unknown_task_suggests_the_nearest(name: str, suggestion: str) -> None:
    with pytest.raises(PrefrlError, match=f"no task '{name}'; did you mean .*{suggestion}"):
        find_task(name, clip_seconds=1.5)


def test_a_task_like_none_lists_them() -> None:
    listed = r"no task 'zzzzqq'; the tasks are hopper, .*, moving-dot, .*pong, .*\. Any Gymnasium id"
    with pytest.raises(PrefrlError, match=listed):
        find_task("zzzzqq", clip_seconds=1.5)


@pytest.mark.parametrize("name", ["./world.py:World-v0", ":World-v0", "a b:World-v0", "world:"])
def test_a_file_is_no_module(name: str) -> None:
    with pytest.raises(PrefrlError, match="before the colon stands a module"):
        find_task(name, clip_seconds=1.5)


def test_a_version_that_does_not_exist() -> None:
    with pytest.raises(PrefrlError, match="no task 'Pusher-v99'; did you mean 'Pusher-v5'"):
        find_task("Pusher-v99", clip_seconds=1.5)


def test_observations_that_are_no_vector(refusal: Any) -> None:
    assert "observes Dict; the control learner needs a vector" in refusal(spaces.Dict({"a": VECTOR}), BOX)
    image = spaces.Box(0, 255, (84, 84, 3), np.uint8)
    assert "observes images or arrays of shape (84, 84, 3)" in refusal(image, BOX)
    assert "observes Discrete" in refusal(spaces.Discrete(5), BOX)
    assert "FlattenObservation" in refusal(spaces.Tuple([VECTOR, VECTOR]), BOX)


def test_actions_that_cannot_be_learned(refusal: Any) -> None:
    unbounded = refusal(VECTOR, spaces.Box(-np.inf, np.inf, (2,)))
    assert "acts in Box(-inf, inf, (2,), float32); the control learner needs" in unbounded
    assert "RescaleAction" in unbounded
    assert "MultiDiscrete" in refusal(VECTOR, spaces.MultiDiscrete([2, 3]))
    assert "begin at 0" in refusal(VECTOR, spaces.Discrete(3, start=1))
    assert "one-dimensional" in refusal(VECTOR, spaces.Box(-1.0, 1.0, (2, 2)))


def test_a_task_of_another_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tiny_world_of_a_test.py").write_text(
        "import gymnasium\n"
        "from prefrl_envs.moving_dot import MovingDot\n"
        "gymnasium.register('TinyWorldOfATest-v0', MovingDot, max_episode_steps=8)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    task = find_task("tiny_world_of_a_test:TinyWorldOfATest-v0", clip_seconds=1.5)
    assert (task.clip_steps, task.episode_steps, task.fps) == (4, 8, 10.0)
    task.make().close()


def test_a_module_that_cannot_be_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PrefrlError, match="no module 'nowhere_to_be_found' can be imported"):
        find_task("nowhere_to_be_found:World-v0", clip_seconds=1.5)
    # The module is there, but one that it needs is not.
    (tmp_path / "needy_world_of_a_test.py").write_text("import a_simulator_nobody_has\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PrefrlError, match="no module 'a_simulator_nobody_has' can be imported"):
        find_task("needy_world_of_a_test:World-v0", clip_seconds=1.5)
    # Registered, but its entry point is missing.
    gymnasium.register("Lost-v0", "a_simulator_nobody_has:World")
    try:
        with pytest.raises(PrefrlError, match="no module 'a_simulator_nobody_has' can be imported"):
            find_task("Lost-v0", clip_seconds=1.5)
    finally:
        del gymnasium.registry["Lost-v0"]


@pytest.mark.filterwarnings("ignore:.*out of date:DeprecationWarning")
def test_an_environment_that_moved_away() -> None:
    with pytest.raises(PrefrlError, match=r"task 'Hopper-v3' cannot be imported: .* have been moved"):
        find_task("Hopper-v3", clip_seconds=1.5)


def test_a_package_that_is_missing() -> None:
    try:
        import Box2D  # noqa: F401
    except ImportError:
        with pytest.raises(PrefrlError, match="needs a package that is not installed: Box2D"):
            find_task("LunarLander-v3", clip_seconds=1.5)
