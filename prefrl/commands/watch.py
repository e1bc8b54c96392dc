"""`prefrl watch DIR`."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import tyro

from prefrl.errors import PrefrlError, require

if TYPE_CHECKING:
    from prefrl.control.game_film import GameFilm
    from prefrl.control.learner import ControlLearner
    from prefrl.control.playing import Film, Policy


@dataclass(frozen=True)
class Watch:
    """Make a video of a run's policy, as its newest checkpoint has it."""

    run_folder: tyro.conf.Positional[Path]
    """The run's folder."""
    seconds: float = 10.0
    """Simulated time to show, at real speed."""
    episodes: int | None = None
    """Show so many whole episodes instead."""
    out: Path | None = None
    """The video; video.mp4 in the run's folder by default."""
    size: int = 480
    """Width and height of the picture in pixels."""
    seed: int = 0
    """Of the first episode; the next has the next."""
    renderer: Literal["auto", "gl", "software"] = "auto"
    """gl is OpenGL with the model's own textures, software draws the same on every machine; auto is software, but gl
    for models with meshes."""
    window: bool = False
    """Show it in a window instead of writing a video."""

    def run(self) -> int:
        self._check()
        from prefrl.commands.control_run import build_learner
        from prefrl.commands.training import run_config
        from prefrl.runs import newest_checkpoint

        config = run_config(self.run_folder)
        if config.get("domain", "control") != "control":
            raise PrefrlError(
                f"{self.run_folder} trains a language model, which has no video; see what it answers: "
                f"prefrl text sample --model {self.run_folder} --prompt '...'"
            )
        checkpoint = newest_checkpoint(self.run_folder)
        if checkpoint is None:
            raise PrefrlError(f"{self.run_folder} has no whole checkpoint yet; one is written at the end of each round")
        import torch

        torch.set_num_threads(1)
        learner = build_learner(config, check=lambda: None)
        try:
            learner.load(checkpoint)
            returns = self._show(learner) if self.window else self._film(learner)
        finally:
            learner.venv.close()
        if returns:
            listed = ", ".join(f"{value:,.1f}" for value in returns[:10]) + (", ..." if len(returns) > 10 else "")
            mean = f", mean {sum(returns) / len(returns):,.1f}" if len(returns) > 1 else ""
            print(f"true return after {learner.steps:,} steps of training: {listed}{mean}")
        return 0

    def _check(self) -> None:
        require(0 < self.seconds <= 3600, "--seconds", "above 0 and at most 3600", self.seconds)
        require(self.episodes is None or self.episodes >= 1, "--episodes", "at least 1", self.episodes)
        require(16 <= self.size <= 4096, "--size", "between 16 and 4096 pixels", self.size)
        require(self.seed >= 0, "--seed", "at least 0", self.seed)
        linux = sys.platform.startswith("linux")
        if self.window and linux and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise PrefrlError(
                "there is no screen to open a window on (DISPLAY is not set); leave --window out for a video"
            )

    def _film(self, learner: "ControlLearner") -> list[float]:
        from prefrl.control.video import write_video

        out = self.out or self.run_folder / "video.mp4"
        film = self._film_of(learner)
        frames = write_video(out, film, film.fps)
        print(f"{out}: {frames} frames, {frames / film.fps:.1f} s")
        return film.returns

    def _film_of(self, learner: "ControlLearner") -> "Film | GameFilm":
        from prefrl.control.tasks import AtariTask

        task = learner.task
        if isinstance(task, AtariTask):
            import torch

            from prefrl.control.game_film import GameFilm

            torch.manual_seed(self.seed)
            return GameFilm(
                lambda obs: learner.model.predict(obs, deterministic=task.deterministic)[0],
                task,
                seconds=self.seconds,
                episodes=self.episodes,
                size=self.size,
                seed=self.seed,
            )
        from prefrl.control.playing import Film
        from prefrl.control.rendering import renderer_for

        return Film(
            deterministic(learner),
            task,
            seconds=self.seconds,
            episodes=self.episodes,
            size=self.size,
            seed=self.seed,
            renderer=renderer_for(task.env_id, self.renderer),
        )

    def _show(self, learner: "ControlLearner") -> list[float]:
        """In the window that Gymnasium opens, at the speed that it keeps."""
        from prefrl.control.playing import make_window, play
        from prefrl.control.tasks import AtariTask

        task = learner.task
        if isinstance(task, AtariTask):
            raise PrefrlError(
                f"{task.name} is shown as a video, since no window shows what the policy sees: leave --window out"
            )
        env = make_window(task)
        returns: list[float] = []
        try:
            for steps, moment in enumerate(play(env, deterministic(learner), task, seed=self.seed), start=1):
                if moment.last:
                    returns.append(moment.true_return)
                if len(returns) == self.episodes or (self.episodes is None and steps >= self.seconds * task.fps):
                    return returns
        except KeyboardInterrupt:
            pass
        finally:
            env.close()
        return returns


def deterministic(learner: "ControlLearner") -> "Policy":
    """The learner's policy without its noise."""

    def policy(obs: "object") -> "object":
        actions, _ = learner.model.predict(learner.venv.normalized(obs[None]), deterministic=True)  # type: ignore[index]
        return actions[0]

    return policy
