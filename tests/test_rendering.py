"""Pictures of states: what is drawn, where it is drawn, and how it becomes a video."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import imageio_ffmpeg
import mujoco
import numpy as np
import pytest
from worlds import Counter

from prefrl.control.camera import Camera, camera_of
from prefrl.control.drawing import SoftwareDrawing
from prefrl.control.playing import captioned, enlarged, picture_of
from prefrl.control.rendering import Renderer, Scene, choose_renderer, gl_candidates, renderer_for, works
from prefrl.control.video import write_video
from prefrl.errors import PrefrlError


class Blind(Counter):
    def render(self) -> None:
        """Nothing."""


def frames(
    env_id: str, states: Sequence[np.ndarray] | np.ndarray, *, size: tuple[int, int], renderer: Renderer
) -> Iterator[np.ndarray]:
    """Pictures [H, W, 3], uint8, of states [T, nq + nv]; `size` is (width, height) in pixels."""
    with Scene(env_id, size=size, renderer=renderer) as scene:
        for state in states:
            yield scene.frame(np.asarray(state, np.float64))


def draw(geoms: str, camera: Camera, size: tuple[int, int] = (100, 80)) -> np.ndarray:
    model = mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{geoms}</worldbody></mujoco>")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return SoftwareDrawing(model, camera, size).frame(data)


def red(picture: np.ndarray) -> np.ndarray:
    return picture[..., 0].astype(int) - picture[..., 2] > 40


def test_a_ball_is_round_and_of_the_size_that_perspective_gives():
    picture = draw("<geom size='.5' rgba='1 0 0 1'/>", Camera(4.0, elevation=0.0, follows=False))
    radius = 40 / np.tan(np.radians(22.5)) * 0.5 / 4.0  # focal length in pixels * size / distance
    seen = red(picture)
    assert seen.sum() == pytest.approx(np.pi * radius**2, rel=0.05)
    rows, columns = np.nonzero(seen)
    assert rows.mean() == pytest.approx(39.5, abs=0.5)
    assert columns.mean() == pytest.approx(49.5, abs=0.5)


def test_right_and_up_are_right_and_up():
    ball = "<geom size='.1' pos='{} 0 {}' rgba='1 0 0 1'/>"
    rows, columns = np.nonzero(red(draw(ball.format(1, 0), Camera(4.0, elevation=0.0, follows=False))))
    assert columns.mean() > 60
    rows, columns = np.nonzero(red(draw(ball.format(0, 1), Camera(4.0, elevation=0.0, follows=False))))
    assert rows.mean() < 20


@pytest.mark.parametrize(
    "nearer", ["<geom size='.4' pos='0 -1 0'/>", "<geom type='box' size='.4 .4 .4' pos='0 -1 0'/>"]
)
def test_what_is_nearer_hides_what_is_behind(nearer: str):
    camera = Camera(4.0, elevation=0.0, follows=False)
    behind = "<geom size='.2' pos='0 1 0' rgba='1 0 0 1'/>"
    assert red(draw(behind, camera)).any()
    assert not red(draw(behind + nearer, camera)).any()
    assert not red(draw(nearer + behind, camera)).any()


@pytest.mark.parametrize(
    ("shape", "tall"),
    [
        ("type='capsule' size='.2 .5'", True),
        ("type='cylinder' size='.2 .7'", True),
        ("type='box' size='.2 .2 .7'", True),
        ("type='ellipsoid' size='.2 .2 .7'", True),
        ("type='sphere' size='.2'", False),
    ],
)
def test_every_shape_is_drawn(shape: str, tall: bool):
    rows, columns = np.nonzero(
        red(draw(f"<geom {shape} rgba='1 0 0 1'/>", Camera(4.0, elevation=-20.0, follows=False)))
    )
    assert 8 <= np.ptp(columns) + 1 <= 12  # .4 m at 4 m
    assert (np.ptp(rows) + 1 > 25) == tall


def test_the_floor_moves_under_a_runner_and_far_from_the_origin_is_as_sharp():
    with Scene("prefrl/Hopper-v0", size=(96, 96), renderer="software") as scene:
        state = np.zeros(12)
        state[1] = 1.25
        start = scene.frame(state)
        state[0] = 0.3
        assert np.abs(scene.frame(state).astype(int) - start).max() > 10
        state[0] = 2 * scene._drawing._tile * 10_000  # type: ignore[union-attr]  a whole number of pairs of tiles
        assert np.abs(scene.frame(state).astype(int) - start).max() <= 2


@pytest.mark.parametrize(
    "name", ["Hopper", "Walker", "Swimmer", "Cheetah", "Ant", "Reacher", "Pendulum", "DoublePendulum"]
)
def test_every_task_is_seen_near_the_middle(name: str):
    with Scene(f"prefrl/{name}-v0", size=(64, 64), renderer="software") as scene:
        qpos = scene.model.qpos0
        there = scene.frame(np.concatenate([qpos, np.zeros(scene.model.nv)]))
        scene.model.geom_rgba[:, 3] = 0.0
        scene._drawing = SoftwareDrawing(scene.model, scene._drawing.camera, (64, 64))
        gone = scene.frame(np.concatenate([qpos, np.zeros(scene.model.nv)]))
    assert (np.abs(there[16:48, 16:48].astype(int) - gone[16:48, 16:48]).max(axis=-1) > 30).sum() > 10


def test_other_mujoco_environments_get_gymnasiums_camera():
    with Scene("Pusher-v5", size=(32, 32), renderer="software") as scene:
        assert scene._drawing.camera.distance == 4.0
        assert not scene._drawing.camera.follows
    import gymnasium

    env = gymnasium.make("Humanoid-v5")
    assert camera_of("Humanoid-v5", env.unwrapped).follows
    env.close()


def test_frames_come_one_a_state():
    states = np.zeros((3, 12), np.float32)
    states[:, 1] = [1.2, 1.4, 1.2]
    first, second, third = frames("prefrl/Hopper-v0", states, size=(40, 30), renderer="software")
    assert first.shape == (30, 40, 3)
    assert first.dtype == np.uint8
    assert (first == third).all()
    assert (first != second).any()


def test_states_of_another_size_and_other_worlds_are_refused():
    with pytest.raises(ValueError, match="6 \\+ 6 numbers"):
        next(frames("prefrl/Hopper-v0", np.zeros((1, 4)), size=(16, 16), renderer="software"))
    with pytest.raises(PrefrlError, match="not a MuJoCo environment"):
        Scene("prefrl/MovingDot-v0", size=(16, 16), renderer="software")


def test_a_renderer_is_found_by_trying(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert gl_candidates() == ["osmesa"]
    monkeypatch.setenv("MUJOCO_GL", "disable")
    assert choose_renderer() == "software"
    with pytest.raises(PrefrlError, match="apt-get install"):
        renderer_for("prefrl/Hopper-v0", "gl")
    assert renderer_for("prefrl/Hopper-v0", "auto") == "software"
    assert not works("nothing")  # type: ignore[arg-type]  fails in a process of its own


def test_opengl_and_our_own_drawing_show_the_same():
    if not works("egl"):
        pytest.skip("no EGL here")
    state = np.zeros(12)
    state[1] = 1.25
    ours, theirs = (
        next(frames("prefrl/Hopper-v0", state[None], size=(96, 96), renderer=r)).astype(int)
        for r in ("software", "egl")
    )
    # The hopper is the only brown thing in either picture.
    brown = [picture[..., 0] - picture[..., 2] > 30 for picture in (ours, theirs)]
    assert (brown[0] & brown[1]).sum() / (brown[0] | brown[1]).sum() > 0.7


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # imageio leaves its pipes open
def test_a_video_has_every_frame_even_of_an_odd_size(tmp_path: Path):
    path = tmp_path / "a.mp4"
    pictures = [np.full((33, 35, 3), value, np.uint8) for value in (0, 100, 200)]
    assert write_video(path, iter(pictures), 12.5) == 3
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    assert facts["size"] == (36, 34)
    assert facts["fps"] == 12.5
    assert [np.frombuffer(frame, np.uint8).mean() for frame in reader] == pytest.approx([0, 100, 200], abs=4)


def test_a_video_that_fails_leaves_nothing(tmp_path: Path):
    def broken():
        yield np.zeros((16, 16, 3), np.uint8)
        raise RuntimeError("the policy broke")

    with pytest.raises(RuntimeError, match="the policy broke"):
        write_video(tmp_path / "a.mp4", broken(), 10)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(PrefrlError, match="no frames"):
        write_video(tmp_path / "a.mp4", [], 10)
    with pytest.raises(PrefrlError, match="create it first"):
        write_video(tmp_path / "none" / "a.mp4", [], 10)


def test_a_caption_is_in_the_lower_left_corner():
    plain = np.full((100, 200, 3), 90, np.uint8)
    changed = (captioned(plain, "hopper 12") != plain).any(axis=-1)
    assert changed[75:, :100].any()
    assert not changed[:75].any()
    assert not changed[:, 150:].any()


def test_an_environment_that_gives_no_picture_is_a_sentence() -> None:
    with pytest.raises(PrefrlError, match="the environment gave no picture but NoneType"):
        picture_of(Blind(), None)


def test_small_pictures_grow_by_whole_pixels() -> None:
    picture = np.array([[[1], [2]]], np.uint8)
    assert enlarged(picture, 5)[..., 0].tolist() == [[1, 1, 2, 2], [1, 1, 2, 2]]
    assert enlarged(picture, 1).tolist() == picture.tolist()
