"""Pictures of learned behaviors for the README: moments of an episode, side by side.

python experiments/pictures.py cheetah runs/learning/cheetah-trpo-learned-0   # results/cheetah.png
python experiments/pictures.py hopper-backflip runs/behaviors/hopper-backflip-0         # results/hopper-backflip.png
python experiments/pictures.py cheetah-one-leg runs/behaviors/cheetah-one-leg-0
python experiments/pictures.py hopper-backflip FOLDER OUT.png [FIRST [EVERY]]   # other moments, to look at
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch
from sweeping import RESULTS

from prefrl.commands.control_run import build_learner
from prefrl.commands.watch import deterministic
from prefrl.control.playing import play
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


def sheet(folder: Path, wanted: Sheet) -> np.ndarray:
    """Moments of one episode, the policy acting deterministically: [rows * size, columns * size, 3]."""
    torch.set_num_threads(1)
    learner = build_learner(read_config(folder), check=lambda: None)
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None, f"{folder} has no checkpoint"
    learner.load(checkpoint)
    env, pictures = learner.task.make(), []
    with Scene(learner.task.env_id, size=(wanted.size, wanted.size), renderer="software") as scene:
        for moment in play(env, deterministic(learner), learner.task, seed=0):
            if moment.step >= wanted.first and (moment.step - wanted.first) % wanted.every == 0:
                data = env.unwrapped.data  # type: ignore[attr-defined]
                pictures.append(scene.frame(np.concatenate([data.qpos, data.qvel])))
            if len(pictures) == wanted.rows * wanted.columns:
                break
    rows = [pictures[i : i + wanted.columns] for i in range(0, len(pictures), wanted.columns)]
    return np.concatenate([np.concatenate(row, axis=1) for row in rows], axis=0)


if __name__ == "__main__":
    match sys.argv[1:]:
        case [name, folder] if name in SHEETS:
            iio.imwrite(RESULTS / f"{name}.png", sheet(Path(folder), SHEETS[name]))
        case [name, folder, out, *numbers] if name in SHEETS and len(numbers) <= 2:
            chosen = dict(zip(("first", "every"), map(int, numbers), strict=False))
            iio.imwrite(out, sheet(Path(folder), replace(SHEETS[name], **chosen)))
        case _:
            sys.exit(__doc__)
