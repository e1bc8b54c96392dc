"""`prefrl doctor`."""

import sys
from types import SimpleNamespace

import pytest

from prefrl.commands import doctor


def test_it_always_ends_well(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")  # test_rendering tries the libraries
    monkeypatch.setenv("COLUMNS", "200")
    assert doctor.Doctor().run() == 0
    said = capsys.readouterr().out
    for word in ("prefrl", "stable-baselines3", "extra: text", "pictures", "ffmpeg", "processors", "GiB free", "GPU"):
        assert word in said
    assert "libegl1" in said


def test_a_missing_extra_comes_with_its_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    versions = {"ale-py": None}
    installed = doctor._installed
    monkeypatch.setattr(doctor, "_installed", lambda package: versions.get(package, installed(package)))
    found = {finding.what: finding for finding in doctor.packages()}
    assert found["extra: atari"].move == "pip install 'prefrl[atari]'"
    assert found["extra: atari"].mark == "note"
    assert found["libraries"].mark == "ok"
    monkeypatch.setattr(doctor, "examine", lambda: iter([found["extra: atari"]]))
    doctor.Doctor().run()
    assert "prefrl[atari]" in capsys.readouterr().out


def test_two_pygames_overwrite_each_other():
    assert doctor.window("2.6", "2.5").mark == "bad"
    assert "uninstall" in doctor.window("2.6", "2.5").move
    assert doctor.window("2.6", None).mark == "note"
    assert "prefrl[label]" in doctor.window(None, None).move


@pytest.mark.parametrize(
    ("imported", "said"),
    [
        (SimpleNamespace(IS_CE=1), "pygame-ce wins"),
        (SimpleNamespace(), "pygame wins"),
        (None, "neither can be imported"),
    ],
)
def test_it_says_which_pygame_wins(monkeypatch: pytest.MonkeyPatch, imported: object, said: str):
    monkeypatch.setitem(sys.modules, "pygame", imported)  # None: importing it fails
    monkeypatch.setattr(doctor, "_installed", {"pygame": "2.6", "pygame-ce": "2.5"}.get)
    monkeypatch.setattr(doctor, "packages", lambda: iter(()))
    monkeypatch.setattr(doctor, "_renderer", lambda: doctor.Finding("pictures", ""))
    (found,) = [finding for finding in doctor.examine() if finding.what == "labeling window"]
    assert found.found == f"pygame 2.6 and pygame-ce 2.5 overwrite each other; {said}"


def test_little_room_is_said():
    assert doctor.disk(0.5).mark == "bad"
    assert doctor.disk(50.0).mark == "ok"
