"""Pictures of learned behaviors for the README: a strip of moments from one stride, or an episode.

python experiments/pictures.py cheetah runs/learning/cheetah-trpo-learned-0   # results/cheetah.png
"""

import sys
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

MOMENTS, FIRST, EVERY, SIZE = 6, 200, 2, 240


def strip(folder: Path) -> np.ndarray:
    """Moments of one episode side by side, the policy acting deterministically: [SIZE, MOMENTS * SIZE, 3]."""
    torch.set_num_threads(1)
    learner = build_learner(read_config(folder), check=lambda: None)
    checkpoint = newest_checkpoint(folder)
    assert checkpoint is not None, f"{folder} has no checkpoint"
    learner.load(checkpoint)
    env, pictures = learner.task.make(), []
    with Scene(learner.task.env_id, size=(SIZE, SIZE), renderer="software") as scene:
        for moment in play(env, deterministic(learner), learner.task, seed=0):
            if moment.step >= FIRST and (moment.step - FIRST) % EVERY == 0:
                data = env.unwrapped.data  # type: ignore[attr-defined]
                pictures.append(scene.frame(np.concatenate([data.qpos, data.qvel])))
            if len(pictures) == MOMENTS:
                return np.concatenate(pictures, axis=1)
    raise AssertionError("play never ends")


if __name__ == "__main__":
    match sys.argv[1:]:
        case [name, folder]:
            iio.imwrite(RESULTS / f"{name}.png", strip(Path(folder)))
        case _:
            sys.exit(__doc__)
