"""Pictures of the labeling window for the README, without a screen.

    python experiments/window.py runs/keys    # a run that has been labeled

The pair is the newest one that was answered; what stands around it is made up.
"""

import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ["SDL_VIDEODRIVER"] = "dummy"

import numpy as np
import pygame
from PIL import Image

from prefrl.commands.guides import guide_of
from prefrl.commands.label import DrawStates
from prefrl.runs import read_config
from prefrl.segments import SimulatorStates
from prefrl.store import PreferenceStore
from prefrl_labeling.contents import Film
from prefrl_labeling.keymap import default_keymap
from prefrl_labeling.playback import Playback
from prefrl_labeling.screen import Screen, render
from prefrl_labeling.window import SIZE

RESULTS = Path(__file__).parent / "results"


def main(folder: Path) -> None:
    """Write label.png, label-keys.png and label-waiting.png."""
    pygame.display.init()
    pygame.font.init()
    pygame.display.set_mode(SIZE)
    draw = DrawStates(480, "software")
    with PreferenceStore(folder / "preferences.db") as store:
        views = [store.segment(option).view for option in store.answers()[-1].option_ids]
    films = [Film(tuple(draw(view)), view.fps) for view in views if isinstance(view, SimulatorStates)]
    screen = Screen(
        guide=guide_of(read_config(folder)["task"]),
        keymap=default_keymap(),
        theme="dark",
        options=(films[0], films[1]),
        playback=Playback(films[0].seconds, films[0].fps, time=0.6 * films[0].seconds),
        scroll=(0, 0),
        waiting=(
            "Nothing to compare just now",
            "All 175 pairs that were asked are answered. The trainer is learning.",
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
    quiet = replace(screen, options=None, answered=175, queue=0, trainer="the trainer is learning")
    for name, shown in (("label", screen), ("label-keys", replace(screen, help=True)), ("label-waiting", quiet)):
        picture = pygame.surfarray.array3d(render(shown, SIZE, 1.0)[0]).swapaxes(0, 1)
        Image.fromarray(np.ascontiguousarray(picture)).save(RESULTS / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
