"""Pictures of learned behaviors for the README: moments of an episode side by side, and new behaviors in motion.

python experiments/pictures.py cheetah runs/learning/cheetah-trpo-learned-0   # results/cheetah.png
python experiments/pictures.py hopper-backflip runs/behaviors/hopper-backflip-1   # results/hopper-backflip.png, .gif
python experiments/pictures.py cheetah-one-leg runs/behaviors/cheetah-one-leg-1
python experiments/pictures.py hopper-backflip FOLDER OUT.png [FIRST [EVERY]]   # other moments, to look at
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from PIL import Image
from sweeping import RESULTS

from prefrl.commands.control_run import build_learner
from prefrl.commands.watch import deterministic
from prefrl.control.playing import picture_of, play
from prefrl.control.rendering import Scene
from prefrl.runs import newest_checkpoint, read_config


@dataclass(frozen=True)
class Sheet:
    """Which moments are shown."""

    first: int  # step of the first one
    every: int  # steps from one to the next
    rows: int = 1
    columns: int = 6
    size: int = 240  # pixels, width and height of one


SHEETS = {
    "cheetah": Sheet(200, 2),
    "hopper-backflip": Sheet(70, 10, rows=2, columns=9, size=150),
    "cheetah-one-leg": Sheet(200, 2, rows=2, size=200),
}
ANIMATED = {"hopper-backflip": 0, "cheetah-one-leg": 200}  # the first step that is shown
SECONDS, FPS, SIZE, SHADES = 4.0, 25, 200, 64  # of an animation


def sheet(folder: Path, wanted: Sheet) -> np.ndarray:
    """Moments of one episode: [rows * size, columns * size, 3]."""
    count = wanted.rows * wanted.columns
    pictures = [picture for picture, _ in islice(moments(folder, wanted.size, wanted.first, wanted.every), count)]
    if len(pictures) < count:
        sys.exit(
            f"the episode ended after {len(pictures)} of {count} pictures: begin earlier, or take them closer together"
        )
    rows = [pictures[i : i + wanted.columns] for i in range(0, len(pictures), wanted.columns)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


def animate(folder: Path, first: int, out: Path) -> None:
    """What comes after a step of one episode, at the speed at which it happens, as a GIF that begins again."""
    shown = list(islice(moments(folder, SIZE, first, None), round(SECONDS * FPS)))
    method = Image.Quantize.MAXCOVERAGE  # median cut spends its shades on the sky, and all bodies come out brown
    pictures = [Image.fromarray(picture).quantize(SHADES, method) for picture, _ in shown]
    times = np.array([time for _, time in shown])
    apart = round(1000 * float(np.diff(times).mean()))  # milliseconds
    pictures[0].save(out, save_all=True, append_images=pictures[1:], duration=apart, loop=0, optimize=True)


def moments(folder: Path, size: int, first: int, every: int | None) -> Iterator[tuple[np.ndarray, float]]:
    """Pictures [size, size, 3] of one episode, the policy acting deterministically, and their times in seconds.

    `every`: steps from one to the next; None: as many as make FPS pictures a second, or one.
    """
    torch.set_num_threads(1)
    learner = build_learner(read_config(folder), check=lambda: None)
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None, f"{folder} has no checkpoint"
    learner.load(checkpoint)
    env = learner.task.make()
    with Scene(learner.task.env_id, size=(size, size), renderer="software") as scene:
        every = every or max(1, round(scene.fps / FPS))
        for moment in play(env, deterministic(learner), learner.task, seed=0):
            if moment.step >= first and (moment.step - first) % every == 0:
                yield picture_of(env, scene), moment.step / scene.fps
            if moment.last:
                break


if __name__ == "__main__":
    match sys.argv[1:]:
        case [name, folder] if name in SHEETS:
            iio.imwrite(RESULTS / f"{name}.png", sheet(Path(folder), SHEETS[name]))
            if name in ANIMATED:
                animate(Path(folder), ANIMATED[name], RESULTS / f"{name}.gif")
        case [name, folder, out, *numbers] if name in SHEETS and len(numbers) <= 2:
            chosen = dict(zip(("first", "every"), map(int, numbers), strict=False))
            iio.imwrite(out, sheet(Path(folder), replace(SHEETS[name], **chosen)))
        case _:
            sys.exit(__doc__)
