"""What a reward learned from comparisons pays along an episode of a game, and what the game pays.

    python experiments/atari_reward.py RUN   # experiments/results/atari-reward.npz, by a run on this machine; then:
    python experiments/atari_reward.py       # experiments/results/atari-reward.png

The policy of the run's newest checkpoint plays one whole game; frames are shown where the learned reward is highest and
lowest. Names the run, its labels and the seed of the game.
"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import torch
import tyro
from curves import COLORS, DARK, PALE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from safetensors.torch import load_file
from sweeping import RESULTS

from prefrl.commands.control_run import build_ensemble, build_learner
from prefrl.commands.training import run_config
from prefrl.control.clips import as_batch
from prefrl.control.game_replay import replayed_game
from prefrl.control.pictures import GameVecEnv
from prefrl.control.tasks import AtariTask
from prefrl.control.vector import Record
from prefrl.errors import PrefrlError
from prefrl.runs import newest_checkpoint

DATA = RESULTS / "atari-reward.npz"
PEAKS, APART = 3, 60  # of each kind; steps between two
PART = (40, 300)  # steps that are drawn larger
LETTERS = "abcdefghij"
SMOOTH = 5  # steps: a point is scored in one, what leads to it takes some


def played(run: Path, seed: int) -> tuple[Record, np.ndarray, str]:
    """A whole game, what the run's reward predicts for its steps [L], and the run in words."""
    config, checkpoint = run_config(run), newest_checkpoint(run)
    if checkpoint is None or config["reward"] != "learned":
        raise PrefrlError(f"{run} has no learned reward yet; name a run that has fitted one")
    learner = build_learner(config, check=lambda: None)
    task = learner.task
    if not isinstance(task, AtariTask):
        raise PrefrlError(f"{run} trained {task.name}, which is no game; name a run of one")
    learner.load(checkpoint)
    ensemble = build_ensemble(config, learner)
    ensemble.load_state_dict(load_file(checkpoint / "ensemble.safetensors"))
    torch.manual_seed(seed)  # of the policy's actions
    venv = GameVecEnv(task.env_id, 1, masked=task.masked, endless=True, threads=1)
    try:
        venv.restart(seed, task.longest)
        obs = venv.reset()
        while not venv.finished and len(venv.record()) < task.longest:
            venv.step_async(learner.model.predict(obs, deterministic=task.deterministic)[0])
            obs = venv.step_wait()[0]
        record = venv.record()
    finally:
        venv.close()
        learner.venv.close()
    with torch.no_grad():
        predicted = ensemble.reward(as_batch(record))[0].numpy()
    words = f"{task.name}, {config['labels']:,} comparisons, {learner.steps:,} steps, seed {config['seed']}"
    return record, predicted, f"{words}; game of seed {seed}, {record.true_reward.sum():+.0f} points"


def peaks(values: np.ndarray) -> list[int]:
    """The steps of the highest values, each apart from the others."""
    chosen: list[int] = []
    for step in np.argsort(-values, kind="stable").tolist():
        if all(abs(step - other) >= APART for other in chosen):
            chosen.append(step)
        if len(chosen) == PEAKS:
            break
    return sorted(chosen)


def kept(record: Record, predicted: np.ndarray, title: str) -> dict[str, np.ndarray]:
    """What the picture needs: rewards by step, and the frames at their peaks."""
    smooth = np.convolve(predicted, np.ones(SMOOTH) / SMOOTH, mode="same")
    shown = sorted({*peaks(smooth), *peaks(-smooth)})
    log = record.games
    assert log is not None
    view = log.view(0, record.begin, record.begin + len(record), record.obs[0, 0, -1])
    wanted = {step * view.skip + view.skip - 1: step for step in shown}
    frames = [frame for i, frame in enumerate(replayed_game(view)) if i in wanted]
    return {
        "smooth": smooth,
        "true": record.true_reward[:, 0],
        "shown": np.array(shown),
        "frames": np.stack(frames),
        "title": np.array(title),
    }


def picture(data: Mapping[str, np.ndarray]) -> Figure:
    """Curves over the episode and a part of it, and frames at its peaks."""
    smooth, shown = data["smooth"], data["shown"].tolist()
    figure = plt.figure(figsize=(11.0, 5.8), layout="constrained")
    grid = figure.add_gridspec(2, 2 * len(shown), height_ratios=(1.4, 1.0))
    whole = figure.add_subplot(grid[0, : 2 * len(shown) - 4])
    part = figure.add_subplot(grid[0, 2 * len(shown) - 4 :], sharey=whole)
    draw(whole, data, range(len(smooth) + len(smooth) // 50))
    draw(part, data, range(*PART))
    whole.set_ylabel("reward of a step")
    whole.set_title(str(data["title"]), loc="left", fontsize=10)
    part.set_title("a part of it", loc="left", fontsize=10)
    whole.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.13), ncols=3)
    for column, (letter, step, frame) in enumerate(zip(LETTERS, shown, data["frames"], strict=False)):
        panel = figure.add_subplot(grid[1, 2 * column : 2 * column + 2])
        panel.imshow(frame, interpolation="nearest")
        panel.set_title(f"{letter}: step {step}, {smooth[step]:+.3f}", fontsize=9)
        panel.axis("off")
    return figure


def draw(axis: Axes, data: Mapping[str, np.ndarray], steps: range) -> None:
    """Predicted reward and points over some steps, with the letters of the frames."""
    smooth, true = data["smooth"], data["true"]
    every = np.arange(len(true))
    for sign, color, name in ((1, COLORS[2], "a point won"), (-1, COLORS[1], "a point lost")):
        where = every[np.sign(true) == sign]
        axis.vlines(
            where, 0, 1, color=color, linewidth=1.2, transform=axis.get_xaxis_transform(), alpha=0.5, label=name
        )
    axis.plot(every, smooth, color=COLORS[0], linewidth=1.0, label=f"predicted reward, mean of {SMOOTH} steps")
    axis.axhline(0.0, color=PALE, linewidth=0.8)
    axis.set_xlim(steps.start, steps.stop)
    axis.margins(y=0.15)
    axis.set_xlabel("step of 4 frames")
    for letter, step in zip(LETTERS, data["shown"].tolist(), strict=False):
        if step in steps:
            axis.annotate(
                letter,
                (step, smooth[step]),
                xytext=(0, 4 if smooth[step] > 0 else -10),
                textcoords="offset points",
                ha="center",
                fontsize=10,
                fontweight="bold",
                color=DARK,
            )


def main(run: tyro.conf.Positional[Path | None] = None, *, seed: int = 0) -> None:
    """Draw it from the data kept; with a run, make them anew first. `seed` is that of the game."""
    if run is not None:
        try:
            np.savez_compressed(DATA, **kept(*played(run, seed)))
        except PrefrlError as error:
            raise SystemExit(f"atari_reward: {error}") from error
    with np.load(DATA) as data:
        picture(data).savefig(RESULTS / "atari-reward.png", dpi=100)


if __name__ == "__main__":
    tyro.cli(main)
