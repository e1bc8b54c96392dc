"""`prefrl label DIR`."""

import getpass
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from prefrl.errors import PrefrlError, require

if TYPE_CHECKING:
    import numpy as np

    from prefrl.control.game_practice import GameDriving
    from prefrl.control.practice import Driving
    from prefrl.control.rendering import Renderer, Scene
    from prefrl.segments import Undrawn
    from prefrl.store import PreferenceStore

SILENT_SECONDS = 120.0  # a trainer says every few seconds that it is there, but for a long fit or a long save


@dataclass(frozen=True)
class Label:
    """Open the window in which a person compares clips: before, while or after a run trains."""

    run_folder: tyro.conf.Positional[Path]
    """The run's folder, or a preferences.db."""
    name: str = ""
    """Who answers; your user name by default. People who label at the same time need names of their own."""
    keymap: Path | None = None
    """A TOML file with other keys: a table [keys] with lines such as tie = ["e", "up"]."""
    theme: Literal["dark", "light", "contrast"] = "dark"
    """Colors; contrast is white and bright colors on black. The key T changes them, too."""
    scale: float = 1.0
    """Size of letters and of the window, 1 to 4. The keys + and - change the letters, too."""
    overlap: int = 1
    """How many people may answer one question. With more than 1 you also get what others have answered, after what
    nobody has; the mean of the answers trains, and `prefrl labels` says how far people agree."""
    repeats: float = 0.05
    """Share of questions that come a second time, at least 20 answers later and with sides swapped: to see how far a
    person agrees with themselves. They never train; 0 turns them off."""
    catches: float = 0.01
    """Share of showings that are one clip on both sides, which should be a tie. They never train; 0 turns them off."""
    size: int = 320
    """Width and height in pixels at which simulator states are drawn, before they are fitted into the window: larger is
    sharper and takes longer."""
    renderer: Literal["auto", "gl", "software"] = "auto"
    """What draws simulator states, as for `prefrl watch`."""

    def run(self) -> int:
        require(1 <= self.scale <= 4, "--scale", "between 1 and 4", self.scale)
        require(16 <= self.size <= 2048, "--size", "between 16 and 2048 pixels", self.size)
        require(self.overlap >= 1, "--overlap", "at least 1", self.overlap)
        for name, share in (("repeats", self.repeats), ("catches", self.catches)):
            require(0 <= share <= 0.5, f"--{name}", "a share between 0 and 0.5", share)
        store_path = self.run_folder if self.run_folder.is_file() else self.run_folder / "preferences.db"
        config = _config(store_path)
        os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
        if config.get("reward") in ("true", "none") or config.get("labels") == 0:
            true = config["reward"] == "true"
            why = "learns from the environment's own reward" if true else "is a run without labels"
            raise PrefrlError(
                f"{store_path.parent} {why}, so it asks nobody; label a run that was begun with --labeler people"
            )
        if self.renderer == "gl":
            from prefrl.control.rendering import renderer_for

            # Before the window opens: afterward there would be the same sentence in every pane.
            renderer_for("", "gl")
        try:
            import prefrl_labeling.window as window
        except ImportError as error:
            raise PrefrlError(f"the labeling window needs pygame-ce ({error}): pip install 'prefrl[label]'") from error
        from prefrl.answers import standing
        from prefrl.commands.guides import guide_of
        from prefrl.store import PreferenceStore
        from prefrl_labeling.keymap import default_keymap, read_keymap
        from prefrl_labeling.screens import check_screen

        check_screen()
        keymap = read_keymap(self.keymap) if self.keymap else default_keymap()
        opened = window.Window(
            guide=guide_of(str(config.get("task", "preferences")), config.get("domain", "control")),
            name=self.name or _user(),
            keymap=keymap,
            draw=DrawStates(self.size, self.renderer),
            target=config.get("labels") if config.get("reward") == "learned" else None,
            trainer=partial(describe_trainer, folder=store_path.parent),
            practice=partial(open_practice, config, self.size, self.renderer),
            overlap=self.overlap,
            repeats=self.repeats,
            catches=self.catches,
            theme=self.theme,
            scale=self.scale,
        )
        with PreferenceStore(store_path) as store:
            before = {answer.id for answer in standing(store.answers())}
            opened.attend(store)
            now = [answer for answer in standing(store.answers()) if answer.labeler == opened.name]
            kept = sum(answer.id not in before for answer in now)
            what = f"{kept} {'answer' if kept == 1 else 'answers'} by {opened.name}"
            print(f"{what} saved in {store_path}; {store.asked - len(store)} are waiting")
        return 0


def describe_trainer(store: "PreferenceStore", *, folder: Path) -> tuple[str, str]:
    """What a run's trainer does, in a few words, and what happens next or can be done."""
    match store.trainer():
        case None:
            return "", ""
        case ("finished", _):
            return "the run is finished", f"See what came of it: prefrl report {folder}, prefrl watch {folder}"
        case ("stopped", _):
            return "the trainer was stopped", f"To go on with it: prefrl resume {folder}"
        case (_, seconds) if seconds > SILENT_SECONDS:
            silent = f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.0f} hours"
            return f"no sign of the trainer for {silent}", f"If it has died: prefrl resume {folder}"
        case ("waiting", _):
            return "the trainer waits for answers", ""
        case _:
            return "the trainer is learning", "When this round is learned it asks about what the agent does then."


def open_practice(
    config: dict[str, Any], size: int, renderer: Literal["auto", "gl", "software"]
) -> "Driving | GameDriving":
    """The run's environment, to be driven. Raises PrefrlError with the reason where it cannot be."""
    from prefrl.control.game_practice import GameDriving
    from prefrl.control.practice import Driving
    from prefrl.control.rendering import renderer_for
    from prefrl.control.tasks import find_task

    if "env_id" not in config:
        raise PrefrlError("There is no environment here that could be driven.")
    if config["env_id"].startswith("ALE/"):
        return GameDriving(config["env_id"])
    task = find_task(config["task"], clip_seconds=float(config.get("clip_seconds", 1.5)))
    return Driving(task, size=size, renderer=renderer_for(task.env_id, renderer))


def _config(store_path: Path) -> dict[str, Any]:
    """The configuration beside a store; nothing for a store of its own."""
    from prefrl.runs import read_config

    folder = store_path.parent
    if (folder / "config.json").exists():
        return read_config(folder)
    if not store_path.is_file():
        raise PrefrlError(
            f"{folder} is not a run, so there is nothing to label; "
            f"`prefrl train TASK --labeler people --out {folder}` begins one"
        )
    return {}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        raise PrefrlError("this user has no name; say who answers with --name") from None


@dataclass
class DrawStates:
    """Draws simulator states, [size, size, 3] pictures, and replays in whatever size their environment draws."""

    size: int
    renderer: Literal["auto", "gl", "software"]
    _scenes: "dict[str, Scene]" = field(default_factory=dict)

    def __call__(self, view: "Undrawn") -> "Iterator[np.ndarray]":
        from prefrl.segments import GameReplay, Replay

        if isinstance(view, GameReplay):
            from prefrl.control.game_replay import replayed_game

            yield from replayed_game(view)
            return
        from prefrl.control.playing import replayed
        from prefrl.control.rendering import Scene, renderer_for

        if isinstance(view, Replay):
            yield from replayed(view)
            return
        if view.env_id not in self._scenes:
            renderer: Renderer = renderer_for(view.env_id, self.renderer)
            self._scenes[view.env_id] = Scene(view.env_id, size=(self.size, self.size), renderer=renderer)
        for state in view.states:
            yield self._scenes[view.env_id].frame(state.astype(float))
