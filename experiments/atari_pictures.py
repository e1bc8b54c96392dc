"""What is masked of the paper's seven Atari games: experiments/results/atari-masks.png.

    python experiments/atari_pictures.py

Each game after some random play: the screen, what people see of it, and what networks see before and after masking.
"""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from sweeping import RESULTS

from prefrl_envs.atari.emulator import Emulator
from prefrl_envs.atari.games import GAMES, SCREEN, Game, blacken
from prefrl_envs.atari.vector import AtariVector

STEPS = 400
TITLES = ("screen", "people see", "before masking", "networks see")


def moments(game: Game) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The screen [210, 160, 3], the same masked, the picture [84, 84], the same masked; all of one moment."""
    vectors = [AtariVector(game, 1, masked=masked) for masked in (False, True)]
    emulator, rng = Emulator(game), np.random.default_rng(0)
    (plain, infos), (masked, _) = (vector.reset(seed=1) for vector in vectors)
    screen = emulator.begin(int(infos["waited"][0]))
    for _ in range(STEPS):
        # Random play passes no car in Enduro: mostly full throttle.
        act = 1 if game.name == "enduro" and rng.random() < 0.9 else int(rng.integers(len(emulator.actions)))
        (plain, *_, infos), (masked, *_) = (vector.step(np.array([act])) for vector in vectors)
        screen = emulator.begin(int(infos["waited"][0])) if infos["episode_end"][0] else emulator.step(act)[-1]
    for vector in vectors:
        vector.close()
    hidden = screen.copy()
    blacken(np.moveaxis(hidden, -1, 0), game.masks)
    return screen, hidden, plain[0, -1], masked[0, -1]


def sheet() -> Figure:
    """A column for each game, a row for each of its pictures."""
    figure, axes = plt.subplots(4, len(GAMES), figsize=(2.0 * len(GAMES), 10.6), layout="constrained")
    for axis, title in zip(axes[:, 0], TITLES, strict=True):
        axis.set_ylabel(title)
    for column, game in zip(axes.T, GAMES.values(), strict=True):
        for axis, picture in zip(column, moments(game), strict=True):
            rows, columns = picture.shape[:2]
            by_row, by_column = rows / SCREEN[0], columns / SCREEN[1]
            axis.imshow(
                picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest", aspect=by_column / by_row
            )  # all in the shape of the screen
            axis.set_xticks([])
            axis.set_yticks([])
            if axis in (column[0], column[2]):
                for top, left, bottom, right in game.masks:
                    corner, width = (left * by_column - 0.5, top * by_row - 0.5), (right - left) * by_column
                    axis.add_patch(Rectangle(corner, width, (bottom - top) * by_row, fill=False, color="red"))
        column[0].set_title(game.name)
    return figure


if __name__ == "__main__":
    sheet().savefig(RESULTS / "atari-masks.png", dpi=100)
