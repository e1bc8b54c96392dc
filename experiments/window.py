"""Pictures of the labeling window for the README, without a screen.

    python experiments/window.py                # experiments/results/label*.png, in dark
    python experiments/window.py FOLDER THEME   # the same elsewhere, in another theme

The clips are drawn from random behavior of the hopper and in Pong; what stands around them is made up.
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

os.environ["SDL_VIDEODRIVER"] = "dummy"

import numpy as np
import pygame
from PIL import Image

from prefrl.commands.guides import guide_of
from prefrl.commands.label import DrawStates
from prefrl.control.algorithms import default_config
from prefrl.control.game_replay import GameLog, replayed_game
from prefrl.control.learner import ControlLearner
from prefrl.control.practice import Driving
from prefrl.control.tasks import find_task
from prefrl.segments import SimulatorStates, Text
from prefrl_envs.atari.vector import AtariVector
from prefrl_labeling.contents import Film
from prefrl_labeling.draft import Draft
from prefrl_labeling.guide import Guide
from prefrl_labeling.keymap import default_keymap
from prefrl_labeling.overlays import History, Past, PracticeScreen
from prefrl_labeling.playback import Playback
from prefrl_labeling.screen import Screen, render
from prefrl_labeling.window import SIZE

RESULTS = Path(__file__).parent / "results"
STORY = Text(
    "Write the beginning of a story about a lighthouse.",
    "The keeper had not spoken for eleven days when the light went out by itself. He climbed the stairs, counting them "
    "as he always did, and on the hundred and fourth he stopped, because there had never been more than a hundred and "
    "three.\n\nBelow him the sea went on as if nothing had happened.",
)
OTHER = Text(
    STORY.prompt,
    "Once upon a time there was a lighthouse. It was a very nice lighthouse. It had a light, and the light was very "
    "bright, and everybody said that it was the nicest and the brightest light of all lights. " * 6,
)


def films(n: int) -> list[Film]:
    """Clips of a hopper that acts at random."""
    task = find_task("hopper", clip_seconds=1.5)
    learner = ControlLearner(task, default_config("ppo", task.longest), seed=3, most_clips=1000, check=lambda: None)
    draw = DrawStates(480, "software")
    made = []
    for segment in learner.rollout(8000).segments[:n]:
        assert isinstance(segment.view, SimulatorStates)
        made.append(Film(tuple(draw(segment.view)), segment.view.fps))
    return made


def games(name: str, n: int) -> list[Film]:
    """Clips of a game that is played at random, each of another copy of it."""
    vector, steps, seen = AtariVector(name, n), 100, []
    obs, infos = vector.reset(seed=3)
    log, rng = GameLog(vector.game.ale_id, infos, steps, masked=True), np.random.default_rng(0)
    for _ in range(steps):
        act = rng.integers(vector.single_action_space.n, size=n)
        seen.append(obs[:, -1])
        obs, *_, infos = vector.step(act)
        log.add(act, infos)
    vector.close()
    views = [log.view(copy, steps - 25, steps, seen[-25][copy]) for copy in range(n)]
    return [Film(tuple(replayed_game(view)), view.fps, sharp=True) for view in views]


def screens(theme: str) -> Iterator[tuple[str, Screen]]:
    """Every screen of the window by the name of its picture."""
    clips = films(4)
    pair = Screen(
        guide=guide_of("hopper"),
        keymap=default_keymap(),
        theme=theme,
        options=(clips[0], clips[1]),
        playback=Playback(clips[0].seconds, clips[0].fps, time=0.25 * clips[0].seconds),
        scroll=(0, 0),
        waiting=(
            "Nothing to compare just now",
            "All 175 questions that were asked are answered. The trainer is learning.",
            "When this round is learned it asks about what the agent does then.",
        ),
        answered=37,
        target=700,
        queue=12,
        newest=180.0,
        rate=12.4,
        saved="left is better",
        trainer="the trainer waits for answers",
        note="",
    )
    yield "label", pair
    yield "label-ranking", replace(pair, options=tuple(clips), scroll=(0,) * 4, draft=Draft(((2,), (0, 3))))
    story = Guide("stories", "Which one is better written?", "Goes on in a way one wants to read.", "Repeats itself.")
    yield "label-text", replace(pair, guide=story, options=(STORY, OTHER), playback=Playback(0.0, 0.0), saved="")
    several = (STORY, OTHER, replace_answer("It was dark."), replace_answer("The light blinked twice, then thrice."))
    draft = Draft(((0,), (3,)))
    yield (
        "label-text-ranking",
        replace(pair, guide=story, options=several, scroll=(0,) * 4, playback=Playback(0.0, 0.0), draft=draft),
    )
    left, right = games("pong", 2)
    game = Playback(left.seconds, left.fps, time=0.6 * left.seconds)
    yield "label-game", replace(pair, guide=guide_of("pong"), options=(left, right), playback=game, target=3300)
    yield "label-keys", replace(pair, help=True)
    quiet = replace(pair, options=None, answered=175, queue=0, trainer="the trainer is learning")
    yield "label-waiting", quiet
    said = ("left is better", "equally good", "right is much better", "cannot tell", "2 > 1 = 3 > 4")
    rows = tuple(
        Past(f"2026-11-26  20:{59 - i:02}:{13 * i % 60:02}", said[i % 5], "the foot is in the floor" if i == 2 else "")
        for i in range(40)
    )
    yield "label-history", replace(pair, history=History(rows, 2))
    yield "label-correcting", replace(pair, correcting="left is better")
    yield "label-note", replace(pair, writing=True, note="the foot is in the floor")
    yield "label-trouble", replace(pair, trouble="no room to write runs/mine/preferences.db (0 MiB free on its disk); "
                                   "free some, then go on: nothing was lost")  # fmt: skip
    driving = Driving(find_task("hopper", clip_seconds=1.5), size=480, renderer="software")
    shown = PracticeScreen(driving.reset(), driving.keys, frozenset({"right", "up"}), "")
    yield "label-practice", replace(pair, practice=shown)
    driving.close()
    why = "ant has 8 joints to move at once: too many to drive by keys."
    yield "label-no-practice", replace(pair, practice=PracticeScreen(None, (), frozenset(), why))


def replace_answer(answer: str) -> Text:
    """Another answer to the same prompt."""
    return Text(STORY.prompt, answer)


def main(folder: Path, theme: str, *, kept: tuple[str, ...] = ()) -> None:
    """Write the pictures; only those in `kept`, if it names any."""
    pygame.display.init()
    pygame.font.init()
    pygame.display.set_mode(SIZE)
    folder.mkdir(parents=True, exist_ok=True)
    for name, shown in screens(theme):
        if not kept or name in kept:
            picture = pygame.surfarray.array3d(render(shown, SIZE, 1.0)[0]).swapaxes(0, 1)
            Image.fromarray(np.ascontiguousarray(picture)).save(folder / f"{name}.png", optimize=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            main(RESULTS, "dark", kept=("label", "label-game", "label-ranking", "label-text", "label-keys",
                                        "label-waiting", "label-history", "label-practice"))  # fmt: skip
        case [folder, theme]:
            main(Path(folder), theme)
        case _:
            sys.exit(__doc__)
