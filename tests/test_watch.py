"""`prefrl watch`: a tiny run, then its video."""

import itertools
import json
import math
import shutil
from pathlib import Path

import gymnasium
import imageio_ffmpeg
import numpy as np
import pytest

from prefrl.commands.train import Train
from prefrl.commands.watch import Watch
from prefrl.control.playing import Film, play
from prefrl.control.tasks import find_task
from prefrl.errors import PrefrlError


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "dot"
    assert Train("moving-dot", labels=10, steps=6000, out=folder, quiet=True).run() == 0
    return folder


def size_and_seconds(path: Path) -> tuple[tuple[int, int], float]:
    reader = imageio_ffmpeg.read_frames(str(path))
    facts = next(reader)
    reader.close()
    return facts["size"], facts["duration"]


def test_a_video_of_some_seconds(run: Path, capsys: pytest.CaptureFixture[str]):
    assert Watch(run, seconds=2.0, size=200).run() == 0
    said = capsys.readouterr().out
    assert f"{run / 'video.mp4'}: 20 frames, 2.0 s" in said
    assert "true return after 6," in said
    assert size_and_seconds(run / "video.mp4") == ((200, 200), 2.0)


def test_a_video_of_some_episodes_elsewhere(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert Watch(run, episodes=2, size=100, out=tmp_path / "two.mp4").run() == 0
    assert "100 frames, 10.0 s" in capsys.readouterr().out
    assert (tmp_path / "two.mp4").exists()


def test_bad_input_is_a_sentence(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with pytest.raises(PrefrlError, match="is not a run"):
        Watch(tmp_path).run()
    copy = shutil.copytree(run, tmp_path / "copy")
    shutil.rmtree(copy / "checkpoints")
    with pytest.raises(PrefrlError, match="no whole checkpoint yet"):
        Watch(copy).run()
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"format": 99}))
    with pytest.raises(PrefrlError, match="another version"):
        Watch(copy).run()
    with pytest.raises(PrefrlError, match="--seconds must be above 0 and at most 3600, got 0"):
        Watch(run, seconds=0.0).run()
    with pytest.raises(PrefrlError, match="--seconds must be above 0 and at most 3600, got inf"):
        Watch(run, seconds=math.inf).run()
    with pytest.raises(PrefrlError, match="between 16 and 4096"):
        Watch(run, size=5).run()
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(PrefrlError, match="no screen"):
        Watch(run, window=True).run()


def test_a_window_where_there_is_a_screen(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    pytest.importorskip("pygame")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    assert Watch(run, window=True, seconds=0.5).run() == 0
    assert not capsys.readouterr().out.startswith("true return")  # no episode was seen to its end


def test_an_episode_ends_at_its_limit_and_the_next_begins():
    task = find_task("moving-dot", clip_seconds=1.5)
    with task.make() as env:
        moments = list(itertools.islice(play(env, lambda obs: np.int64(0), task, seed=3), 60))
    assert [m.last for m in moments] == [False] * 49 + [True] + [False] * 10
    assert moments[50].episode == 1
    assert moments[50].true_return > moments[49].true_return  # it begins at zero again


def test_mujoco_is_filmed_at_real_speed_and_plays_to_the_end_of_the_episode():
    task = find_task("hopper", clip_seconds=1.5)
    film = Film(lambda obs: np.zeros(3), task, seconds=0.2, episodes=None, size=32, seed=0, renderer="software")
    pictures = list(film)
    assert film.fps == pytest.approx(125 / 3)
    assert len(pictures) == 9  # 25 steps, every third
    assert pictures[0].shape == (32, 32, 3)
    assert len(film.returns) == 1
    assert film.returns[0] > 200  # a thousand steps, not 25


def test_what_cannot_be_drawn_is_said():
    gymnasium.register("test/Blind-v0", entry_point=Blind, max_episode_steps=5)
    film = Film(
        lambda obs: np.int64(0),
        find_task("test/Blind-v0", clip_seconds=1.5),
        seconds=1.0,
        episodes=None,
        size=32,
        seed=0,
        renderer="software",
    )
    with pytest.raises(PrefrlError, match="cannot draw itself: its render modes are none"):
        next(iter(film))


class Blind(gymnasium.Env[np.ndarray, np.int64]):
    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)
