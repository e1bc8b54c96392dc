"""The tables and plots that experiments make, from results worked out by hand."""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefrl.commands.sweeping.rows import read_grid

ROOT = Path(__file__).parent.parent
SWEEP = """
tasks = ["hopper", "cheetah"]
seeds = [0, 1]
[settings]
true = {reward = "true"}
700 = {labels = 700}
1400 = {labels = 1400}
"""
ABLATIONS = """
tasks = ["hopper"]
seeds = [0, 1]
[settings]
true = {reward = "true"}
700 = {labels = 700}
random-queries = {acquisition = "uniform"}
target = {acquisition = "entropy"}
"""


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(ROOT / "experiments"))
    return importlib.import_module("paper")


def result(task: str, true_return: float, *, random: float = 100.0) -> dict[str, Any]:
    curve = {"steps": [10, 20], "true_return": [0.0, true_return], "reward_accuracy": [None, 0.75]}
    curve["predicted_return"] = [None, 5.0]
    summary = {"task": task, "true_return": true_return, "random_return": random, "steps": 20}
    return {"config": {"commit": "abcdef" * 7}, "summary": summary, "curve": curve}


def study(paper: Any, folder: Path, text: str, returns: Mapping[str, float]) -> Any:
    path = folder / "sweep.toml"
    path.write_text(text)
    results = {name: result(name.split("-")[0], value) for name, value in returns.items()}
    return paper.Study(read_grid(path), results)


# Scores: (return - 100) / (300 - 100) for hopper, whose true reward brings 300 in the mean.
RETURNS = {"hopper-true-0": 200.0, "hopper-true-1": 400.0, "hopper-700-0": 280.0, "hopper-700-1": 320.0}


def test_figure_2_with_runs_missing(paper: Any, tmp_path: Path) -> None:
    found = study(paper, tmp_path, SWEEP, RETURNS)
    assert found.scores("hopper", "700") == [0.9, 1.1]
    lines = paper.figure2(found).splitlines()
    assert lines[0] == "| task | steps | random | true reward | 700 | 1,400 | n |"
    # Half the t-interval of two values is 12.706 times half their distance.
    assert lines[2] == "| hopper | 20 | 100 | 300 ± 1,271 | 1.00 ± 1.27 | - | 0-2 |"
    assert lines[3] == "| **mean** | | | | 1.00 [0.90, 1.10] | - | 0-1 tasks |"
    assert lines[4] == "| **mean, each at most 1** | | | | 0.95 [0.90, 1.00] | - | 0-1 tasks |"
    assert lines[5] == "| **interquartile mean** | | | | 1.00 [0.90, 1.10] | - | 0-1 tasks |"
    assert "Not run yet: cheetah." in lines[-1]
    assert "Commits abcdefabcdef; made by `prefrl sweep experiments/figure2.toml`" in lines[-1]


def test_the_share_of_the_true_reward_beside_the_public_one(paper: Any, tmp_path: Path) -> None:
    path, returns = tmp_path / "v5.toml", {"true-0": 1000.0, "true-1": 3000.0, "1400-0": 1500.0, "1400-1": 2500.0}
    path.write_text('tasks = ["Hopper-v5", "Ant-v5"]\nseeds = [0, 1]\n[settings]\ntrue = {reward = "true"}\n1400 = {}')
    results = {f"Hopper-v5-{name}": result("Hopper-v5", value) for name, value in returns.items()}
    lines = paper.early_ends(paper.Study(read_grid(path), results)).splitlines()
    # 1,500 and 2,500 of a mean of 2,000: .75 and 1.25; 2,007 / 3,294 = .61. Ant has no runs yet.
    assert lines[2] == "| Hopper-v5 | 2,000 ± 12,706 | 2,000 ± 6,353 | 1.00 ± 3.18 | 3,294 | 2,007 | 0.61 | 2 |"
    assert lines[3] == "| **mean** | | | 1.00 [0.75, 1.25] | | | 0.61 | 1 tasks |"
    assert lines[4] == ""


def test_how_far_rewards_can_be_trusted(paper: Any, tmp_path: Path) -> None:
    returns = {"hopper-700-0": 280.0, "hopper-700-1": 320.0, "hopper-1400-0": 400.0, "hopper-1400-1": 300.0}
    found = study(paper, tmp_path, SWEEP, returns)
    for name, epic in zip(returns, (0.5, 0.3, 0.2, 0.1), strict=True):
        found.results[name]["summary"] |= {"epic_distance": epic, "clip_correlation": None}
    found.results["hopper-700-0"]["summary"]["policy_calibration_error"] = 0.0  # a measure, not its lack
    lines = paper.trust(found).splitlines()
    assert lines[0].endswith("| the policy's pairs | calibration error | correlation by clip | EPIC distance | n |")
    # Half the t-interval of .5 and .3 is 12.706 times .1; of all four answers held out, three of four were predicted.
    assert lines[2] == "| hopper | 0.75 ± 0.00 | - | - | 0.00 | - | 0.40 ± 1.27 | 2 |"
    assert lines[3] == "| cheetah | - | - | - | - | - | - | 0 |"
    assert lines[5] == "| **all, 1,400** | 0.75 ± 0.00 | - | - | - | - | 0.15 ± 0.64 | 2 |"
    # Ranks of EPIC 3, 2, 1, 0 and of returns 0, 2, 3, 1: 1 - 6 (9 + 0 + 4 + 1) / 60 = -.4; what never differs has none.
    assert lines[6] == "| **rank correlation with the return** | - | - | - | - | - | -0.40 | 0-1 tasks |"


def test_a_score_needs_a_baseline(paper: Any, tmp_path: Path) -> None:
    found = study(paper, tmp_path, SWEEP, {"cheetah-700-0": 280.0})
    assert found.scores("cheetah", "700") == []
    assert "| cheetah | 20 | 100.00 | - | - | - | 0-1 |" in paper.figure2(found)


def test_an_ablation_is_compared_with_the_whole_method(paper: Any, tmp_path: Path) -> None:
    ablations = {"hopper-random-queries-0": 180.0, "hopper-random-queries-1": 200.0, "hopper-target-0": 300.0}
    lines = paper.effects(study(paper, tmp_path, ABLATIONS, RETURNS | ablations), "figure5").splitlines()
    assert lines[2] == "| 700 comparisons | 1.00 ± 1.27 | 1.00 [0.90, 1.10] |  | - | 0.75 | - | 2 |"
    assert lines[3] == (
        "| random queries | 0.45 ± 0.64 | 0.45 [0.40, 0.50] | -0.55 [-0.70, -0.40] worse | little | 0.75 | - | 2 |"
    )
    assert lines[4] == "| target | 1.00 | - | +0.00 [-0.10, +0.10] not told apart | worse | 0.75 | - | 1 |"


def test_the_plot_has_a_panel_for_each_task(paper: Any, tmp_path: Path) -> None:
    figure = paper.plot(study(paper, tmp_path, SWEEP, RETURNS), ("true", "700", "1400"))
    hopper, cheetah = figure.axes
    assert [line.get_label() for line in hopper.get_lines()] == ["true reward", "700 comparisons", "random"]
    assert hopper.get_lines()[1].get_ydata().tolist() == [0.0, 300.0]
    assert [text.get_text() for text in cheetah.texts] == ["no runs yet"]
    figure.savefig(tmp_path / "figure.png")


def test_true_and_predicted_return_have_a_scale_each(paper: Any, tmp_path: Path) -> None:
    figure = paper.predicted(study(paper, tmp_path, SWEEP, RETURNS))
    hopper, cheetah, of_hopper = figure.axes  # the panels, then the second scale of those that have runs
    assert [text.get_text() for text in cheetah.texts] == ["no runs yet"]
    assert hopper.get_lines()[0].get_ydata().tolist() == [0.0, 300.0]
    assert of_hopper.get_lines()[0].get_ydata().tolist() == [5.0]
    figure.savefig(tmp_path / "figure.png")


def test_how_far_clips_with_a_point_are_told_from_those_without(paper: Any) -> None:
    refitting = importlib.import_module("refitting")
    rewards = [np.array(each) for each in ([0.0, 0.0], [0.0, 0.0], [1.0, 0.0], [0.0, -1.0])]
    # Without a point: mean 1, standard deviation 1.
    figures = refitting.figures(np.array([0.0, 2.0, 5.0, -2.0]), rewards)
    assert (figures["won_apart"], figures["lost_apart"], figures["ordered"]) == (4.0, 3.0, 1.0)
    # The lost one before one of the two without: 4 of 5 pairs.
    assert refitting.figures(np.array([0.0, 2.0, 5.0, 1.0]), rewards)["ordered"] == 0.8
