"""Driving an environment by keys: which keys there are, what they do, and where there are none."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from gymnasium import spaces

from prefrl.control.practice import Driving, keyboard, moved
from prefrl.control.tasks import TASKS, Task, find_task
from prefrl.errors import PrefrlError

SOMETHING = Task("something", "Something-v0", clip_steps=5, episode_steps=None, fps=200.0)
DOT = replace(SOMETHING, name="moving-dot", env_id="prefrl/MovingDot-v0")


def box(n: int, low: float = -1.0, high: float = 1.0) -> spaces.Box:
    return spaces.Box(low, high, (n,), np.float32)


def test_each_number_of_an_action_has_two_keys() -> None:
    keys, act = keyboard(SOMETHING, box(3, -2.0, 4.0))
    assert keys[:4] == (("left", "joint 1 -"), ("right", "joint 1 +"), ("down", "joint 2 -"), ("up", "joint 2 +"))
    assert keys[4:] == (("a", "joint 3 -"), ("d", "joint 3 +"))
    assert act(frozenset()).tolist() == [0.0, 0.0, 0.0]
    assert act(frozenset({"left", "up"})).tolist() == [-2.0, 4.0, 0.0]
    assert act(frozenset({"left", "right", "d", "q"})).tolist() == [0.0, 0.0, 4.0]  # both at once: neither
    assert box(3, -2.0, 4.0).contains(act(frozenset({"a"})))


def test_rest_is_zero_or_what_is_nearest_to_it() -> None:
    keys, act = keyboard(SOMETHING, box(1, 0.5, 2.0))
    assert [what for _, what in keys] == ["force -", "force +"]
    assert act(frozenset()).tolist() == [0.5]


def test_keys_are_called_after_what_they_move() -> None:
    keys, _ = keyboard(SOMETHING, box(2), ("thigh", ""))
    assert [what for _, what in keys] == ["thigh -", "thigh +", "joint 2 -", "joint 2 +"]


def test_an_actuator_is_called_by_its_own_name_or_its_joint_s() -> None:
    model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><geom size='.1'/><joint name='upper_arm_joint'/><joint name='elbow'/><joint/>"
        "</body></worldbody><actuator><motor joint='upper_arm_joint'/><motor name='bend' joint='elbow'/></actuator>"
        "</mujoco>"
    )
    assert moved(model) == ("upper arm", "bend")


@pytest.mark.parametrize(
    ("task", "n", "keys", "rest"),
    [
        (DOT, 5, (("left", "left"), ("right", "right"), ("down", "down"), ("up", "up")), 0),
        (SOMETHING, 3, (("left", "action 0"), ("right", "action 2")), 1),
        (SOMETHING, 4, (("1", "action 1"), ("2", "action 2"), ("3", "action 3")), 0),
    ],
)
def test_actions_to_choose_from(task: Task, n: int, keys: tuple[tuple[str, str], ...], rest: int) -> None:
    told, act = keyboard(task, spaces.Discrete(n))
    assert told == keys
    assert act(frozenset()) == rest
    assert {act(frozenset({key})) for key, _ in keys} | {rest} == set(range(n))
    assert act(frozenset()) == rest  # a key that is let go is over


def test_without_an_action_of_rest_the_last_one_goes_on() -> None:
    _, act = keyboard(SOMETHING, spaces.Discrete(2))
    assert [act(frozenset({key} if key else ())) for key in ("", "right", "", "left", "")] == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("space", "why"), [(spaces.Discrete(10), "10 actions to choose from"), (box(4), "4 joints to move at once")]
)
def test_too_much_for_keys_says_so(space: spaces.Space[object], why: str) -> None:
    with pytest.raises(PrefrlError, match=f"something has {why}: too many to drive by keys"):
        keyboard(SOMETHING, space)


def test_a_hopper_is_driven_and_drawn() -> None:
    driving = Driving(find_task("hopper", clip_seconds=1.5), size=48, renderer="software")
    try:
        assert [what for _, what in driving.keys[::2]] == ["thigh -", "leg -", "foot -"]
        assert driving.fps == 40.0  # it makes 125 steps a second
        before = driving.reset()
        assert before.shape == (48, 48, 3)
        after = [driving.step(frozenset({"right", "up"})) for _ in range(300)]  # over several falls
        assert {picture.shape for picture in after} == {(48, 48, 3)}
        assert not np.array_equal(before, after[20])
    finally:
        driving.close()


def test_a_dot_is_driven_where_the_keys_say() -> None:
    driving = Driving(find_task("moving-dot", clip_seconds=1.5), size=48, renderer="software")

    def centre(picture: np.ndarray) -> tuple[float, float]:
        rows, columns = np.nonzero(picture[..., 0] == 230)  # the dot, not the cross
        return float(columns.mean()), float(rows.mean())

    try:
        driving.reset()
        for key, axis, sign in (("right", 0, 1), ("left", 0, -1), ("up", 1, -1), ("down", 1, 1)):
            driving._env.unwrapped._dot = np.zeros(2, np.float32)  # type: ignore[attr-defined]  not at a wall
            start = centre(driving.step(frozenset()))
            assert sign * (centre(driving.step(frozenset({key})))[axis] - start[axis]) in (4, 5), (
                key
            )  # a tenth of 47 pixels
    finally:
        driving.close()


@pytest.mark.parametrize("name", TASKS)
def test_every_task_can_be_driven_or_says_why_not(name: str) -> None:
    task = find_task(name, clip_seconds=1.5)
    if name in ("walker", "cheetah", "ant", "cheetah-one-leg"):
        with pytest.raises(PrefrlError, match=f"{name} has [68] joints .*too many to drive by keys"):
            Driving(task, size=32, renderer="software")
    else:
        Driving(task, size=32, renderer="software").close()
