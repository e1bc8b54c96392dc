"""How well a game's reward, fitted in one way or another, tells the clips that a run asked about later.

    python experiments/refitting.py RUN [--stride 1] [--batch-size 16] [--updates 107] [--first-epochs 20] ...

Fits the run's answers round by round as the run did, but for what is given, and after some of the rounds predicts the
clips of the next 150 questions, which come of a policy that the reward has not met yet. Adds its figures to
experiments/results/refitting.csv; four rows of Pong took a processor 200 seconds, or 530 with 80 passes
and 321 minibatches of 8.
"""

import csv
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from sweeping import RESULTS

from prefrl.choice import pairs_ordered_alike
from prefrl.commands.control_run import build_ensemble, build_learner
from prefrl.commands.results import read_run
from prefrl.commands.training import run_config
from prefrl.comparisons import distinct_options
from prefrl.errors import PrefrlError
from prefrl.fitting import FitConfig, fit
from prefrl.labelers import true_reward
from prefrl.measuring import correlation
from prefrl.provenance import provenance
from prefrl.segments import collate
from prefrl.store import PreferenceStore

DATA = RESULTS / "refitting.csv"
LATER = 150  # questions


def figures(predicted: np.ndarray, rewards: Sequence[np.ndarray]) -> dict[str, float]:
    """How well the predicted returns [B] of clips tell those in which points were won, lost, and neither.

    `rewards`: of each clip's steps. `won_apart` and `lost_apart`: by how many standard deviations of clips without a
    point those with one differ.
    """
    true = np.array([each.sum() for each in rewards])
    neutral = predicted[[not each.any() for each in rewards]]
    return {
        "ordered": pairs_ordered_alike(torch.from_numpy(predicted), torch.from_numpy(true)),
        "correlation": correlation(predicted, true),
        "won_apart": float((predicted[true > 0].mean() - neutral.mean()) / neutral.std()),
        "lost_apart": float((neutral.mean() - predicted[true < 0].mean()) / neutral.std()),
    }


def main(
    run: tyro.conf.Positional[Path],
    /,
    rounds: tuple[int, ...] = (2, 4, 5, 6),
    stride: int | None = None,
    batch_size: int | None = None,
    updates: int | None = None,
    first_epochs: int | None = None,
    learning_rate: float | None = None,
) -> None:
    """Refit a run's answers with other settings."""
    config = run_config(run)
    learner = build_learner(config, check=lambda: None)
    if learner.venv.observation_space.dtype != np.uint8 or not (run / "metrics.csv").exists():
        raise PrefrlError(f"{run} is no run of a game that has come to its first round; name one")
    given: dict[str, Any] = {
        "stride": stride,
        "batch_size": batch_size,
        "updates": updates,
        "first_epochs": first_epochs,
        "learning_rate": learning_rate,
    }
    settings = replace(
        FitConfig(**config["loop"]["fit"]), **{name: value for name, value in given.items() if value is not None}
    )
    torch.set_num_threads(1)
    ensemble = build_ensemble(config, learner)
    with PreferenceStore(run / "preferences.db") as store:
        comparisons = store.comparisons()
    labels = [int(count) for count in read_run(run).metrics["labels"]]
    if max(rounds) >= len(labels) or labels[max(rounds)] + LATER > len(comparisons):
        raise PrefrlError(f"{run} has {len(labels)} rounds, with {LATER} questions after the last of {rounds} too few")
    seconds = time.process_time()
    for round_ in range(max(rounds) + 1):
        known = comparisons[: labels[round_]]
        report = fit(ensemble, known, settings, np.random.default_rng([config["seed"], round_]))
        if round_ not in rounds:
            continue
        clips, _ = distinct_options([c.options for c in comparisons[labels[round_] : labels[round_] + LATER]])
        predicted = ensemble.reward(collate(clips)).sum(dim=1).numpy()
        row = {
            "task": config["task"],
            "seed": config["seed"],
            "round": round_,
            "labels": labels[round_],
            **{name: asdict(settings)[name] for name in given},
            **figures(predicted, [true_reward(clip) for clip in clips]),
            "weight_decay": report.weight_decay,
            "processor_seconds": round(time.process_time() - seconds),
            "commit": provenance()["commit"],
        }
        new = not DATA.exists()
        with DATA.open("a", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        print({name: round(value, 3) if isinstance(value, float) else value for name, value in row.items()}, flush=True)


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except PrefrlError as error:
        sys.exit(str(error))
