"""`prefrl label`: what it opens, and what it refuses."""

import json
import pickle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from prefrl.commands import main
from prefrl.commands.guides import guide_of
from prefrl.commands.label import DrawStates, Label, describe_trainer
from prefrl.commands.train import Train
from prefrl.comparisons import Query
from prefrl.control.tasks import TASKS
from prefrl.errors import PrefrlError
from prefrl.segments import Segment, SimulatorStates
from prefrl.store import PreferenceStore

pygame = pytest.importorskip("pygame")

from prefrl_labeling import window as window_module  # noqa: E402
from prefrl_labeling.contents import Film  # noqa: E402


def hopper(lean: float) -> Segment:
    states = np.zeros((6, 12), np.float32)
    states[:, 1], states[:, 2] = 1.25, lean
    obs = np.full((6, 11), lean, np.float32)
    view = SimulatorStates("prefrl/Hopper-v0", states, 40.0)
    return Segment(obs, np.zeros((6, 3), np.float32), obs[:0], view=view)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps({"task": "hopper", "labels": 7, "reward": "learned"}))
    with PreferenceStore(tmp_path / "preferences.db") as store:
        store.ask([Query((hopper(0.0), hopper(0.3)))])
    return tmp_path


def test_hoppers_are_drawn_and_answered(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    original, seen = window_module.render, []

    def render(screen, size, scale):  # type: ignore[no-untyped-def]
        key = None
        if screen.options is not None:
            seen.append(screen)
            key = pygame.K_RIGHT
        elif seen:
            key = pygame.K_ESCAPE
        if key is not None:
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=0, unicode=""))
        return original(screen, size, scale)

    monkeypatch.setattr(window_module, "render", render)
    assert main(["label", str(run), "--name", "ann", "--size", "64"]) == 0
    assert "1 answer by ann saved" in capsys.readouterr().out
    left, right = seen[0].options
    assert isinstance(left, Film)
    assert isinstance(right, Film)
    assert (len(left.frames), left.frames[0].shape, left.fps) == (6, (64, 64, 3), 40.0)
    assert not np.array_equal(left.frames[0], right.frames[0])
    assert seen[0].guide.question == "Which one hops forward better?"
    assert (seen[0].target, seen[0].queue) == (7, 1)
    with PreferenceStore(run / "preferences.db") as store:
        (answer,) = store.answers()
        assert answer.labeler == "ann"
        assert dict(zip(answer.option_ids, answer.mu or (), strict=True))[answer.provenance["shown"][1]] == 1.0


def test_what_draws_can_be_sent_to_another_process() -> None:
    draw = pickle.loads(pickle.dumps(DrawStates(32, "software")))
    view = hopper(0.1).view
    assert isinstance(view, SimulatorStates)
    assert [picture.shape for picture in draw(view)] == [(32, 32, 3)] * 6


def test_bad_input_is_a_sentence(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(PrefrlError, match=r"is not a run.*prefrl train TASK --labeler people"):
        Label(tmp_path / "nowhere").run()
    with pytest.raises(PrefrlError, match="--scale must be between 1 and 4, got 9"):
        Label(run, scale=9).run()
    with pytest.raises(PrefrlError, match="--size must be between 16 and 2048"):
        Label(run, size=1).run()
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(PrefrlError, match=r"no screen.*xvfb-run"):
        Label(run).run()
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with pytest.raises(PrefrlError, match="cannot read the keymap"):
        Label(run, keymap=tmp_path / "none.toml").run()


@pytest.mark.parametrize(
    ("config", "how"),
    [
        ({"labels": 7, "reward": "true"}, "learns from the environment's own reward"),
        ({"labels": 0, "reward": "none", "domain": "supervised"}, "is a run without labels"),
        ({"labels": 0, "reward": "learned", "domain": "text"}, "is a run without labels"),
    ],
)
def test_a_run_that_asks_nobody_says_so(tmp_path: Path, config: dict[str, object], how: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"task": "hopper", **config}))
    with pytest.raises(PrefrlError, match=f"{how}, so it asks nobody; label a run"):
        Label(tmp_path).run()
    assert not (tmp_path / "preferences.db").exists()


def test_a_store_of_another_version_and_a_keymap_clash_end_with_2_before_a_window_opens(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    (run / "keys.toml").write_text('[keys]\ntie = "s"\n')
    assert main(["label", str(run), "--keymap", str(run / "keys.toml")]) == 2
    assert "the key 's' is given to both tie and skip" in capsys.readouterr().err
    with PreferenceStore(run / "preferences.db") as store:
        store._file.db.execute("PRAGMA user_version = 9")
    assert main(["label", str(run)]) == 2
    assert "has format 9, this prefrl reads format 3" in capsys.readouterr().err


def test_opengl_that_does_not_draw_is_said_before_a_window_opens(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setenv("MUJOCO_GL", "disabled")
    with pytest.raises(PrefrlError, match=r"no OpenGL library draws here.*libegl1.*libosmesa6"):
        Label(run, renderer="gl").run()


def test_a_disk_that_fills_up_while_answering_ends_with_2_and_keeps_what_was_answered(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    with PreferenceStore(run / "preferences.db") as store:
        store.ask([Query((hopper(0.1), hopper(0.2))), Query((hopper(0.4), hopper(0.5)))])
    original, opened, seen = window_module.render, [], set()

    def sit(self, window, session, ahead):  # type: ignore[no-untyped-def]
        opened.append(session)
        original_init(self, window, session, ahead)

    def render(screen, size, scale):  # type: ignore[no-untyped-def]
        seen.add(screen.trouble)
        if screen.options is not None:
            if opened[0].given == 1:  # no page more than there are
                pages = opened[0].store._file._pragma("page_count")
                opened[0].store._file.db.execute(f"PRAGMA max_page_count = {pages}")
                opened[0].notes[opened[0].current.query.id] = "long " * 5000
            key = pygame.K_ESCAPE if screen.trouble else pygame.K_RIGHT
            pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, mod=0, unicode=""))
        return original(screen, size, scale)

    original_init = window_module._Sitting.__init__
    monkeypatch.setattr(window_module._Sitting, "__init__", sit)
    monkeypatch.setattr(window_module, "render", render)
    arguments = ["--name", "ann", "--size", "32", "--repeats", "0", "--catches", "0"]
    assert main(["label", str(run), *arguments]) == 2
    said = capsys.readouterr().err
    assert "no room to write" in said
    assert "nothing was lost" in said
    assert said.removeprefix("prefrl: ").strip() in seen
    with PreferenceStore(run / "preferences.db") as store:
        assert len(store) == len(store.answers()) == 1
        assert store._file._pragma("integrity_check") == "ok"


def test_what_the_trainer_does_is_said(run: Path) -> None:
    with PreferenceStore(run / "preferences.db") as store:
        assert describe_trainer(store, folder=run) == ("", "")
        for doing, said in (("learning", "is learning"), ("waiting", "waits for answers"), ("finished", "is finished")):
            store.beat(doing)
            assert said in describe_trainer(store, folder=run)[0]
        store.beat("stopped")
        assert describe_trainer(store, folder=run)[1] == f"To go on with it: prefrl resume {run}"
        store.beat("learning")
        store._file.db.execute("UPDATE trainer SET at = at - 600")
        assert describe_trainer(store, folder=run)[0] == "no sign of the trainer for 10 minutes"


def test_the_trainer_opens_the_window(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[list[str]] = []
    popen = SimpleNamespace(Popen=lambda command, **_: opened.append(command))
    monkeypatch.setattr("prefrl.commands.train.subprocess", popen)
    monkeypatch.setattr("prefrl.commands.training.carry_out", lambda folder, quiet: 0)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    out = tmp_path / "run"
    train = Train("moving-dot", labeler="people", open_window=True, when_short="throttle", out=out)
    assert train.run() == 0
    assert opened[0][1:] == ["-m", "prefrl", "label", str(out)]
    config = json.loads((out / "config.json").read_text())
    assert config["when_short"] == "throttle"
    assert "open_window" not in config
    with pytest.raises(PrefrlError, match="an oracle needs no window"):
        Train("moving-dot", open_window=True, out=tmp_path / "other").run()
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(PrefrlError, match="no screen"):
        Train("moving-dot", labeler="people", open_window=True, out=tmp_path / "other").run()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_words_of_its_own(task: str) -> None:
    guide = guide_of(task)
    assert guide != guide_of("Pusher-v5")
    assert guide.question.endswith("?")
    assert guide.good
    assert guide.bad


def test_answers_of_a_language_model_are_asked_about_as_such() -> None:
    assert guide_of("prompts", "text").question == "Which answer is better?"
    assert guide_of("prompts").question != guide_of("prompts", "text").question
