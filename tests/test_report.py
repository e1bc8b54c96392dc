"""Reports: the statistics by hand, what is read from a run's folder, and what is made of it."""

import csv
import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from prefrl.commands.page import score_of
from prefrl.commands.plots import PANELS, averaged, draw_panel, paths
from prefrl.commands.report import Report
from prefrl.commands.results import find_runs, group_runs, read_run
from prefrl.commands.statistics import (
    interquartile_mean,
    normalized_score,
    spread,
    stratified_bootstrap,
    t95,
    wilson95,
)
from prefrl.errors import PrefrlError

COLUMNS = ("round", "labels", "asked", "steps", "true_return", "predicted_return", "reward_correlation", "reward_loss",
           "reward_validation_loss", "reward_accuracy", "seconds")  # fmt: skip


def make_run(folder: Path, *, true_return: float | None = 50.0, rows: int = 3, **config: Any) -> Path:
    settings = {"task": "hopper", "reward": "learned", "labels": 100, "steps": 1000, "seed": 0, "algo": "ppo"}
    settings |= {"command": "prefrl train hopper", "versions": {"prefrl": "0.1.0"}, "commit": "abc"} | config
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for i in range(rows):
            measured = ["", "", "", "", ""] if settings["reward"] == "true" else [i, 0.5, 0.6, 0.6, 0.7]
            writer.writerow([i, i, i, (i + 1) * 100 + settings["seed"], 10 * i, *measured, i])
    if true_return is not None:
        summary = {"true_return": true_return, "random_return": 10.0, "labels": 100, "wall_seconds": 60.0,
                   "steps_per_second": 17.0, "seconds_fitting": 6.0}  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def test_students_t_as_in_the_tables():
    assert t95(2) == 4.3027
    assert t95(40) == pytest.approx(2.0211, abs=1e-3)
    assert t95(10**6) == pytest.approx(1.95996, abs=1e-4)


def test_an_interval_by_hand():
    # Mean 2, standard deviation 1, so 4.3027 / sqrt(3) to each side.
    assert spread([1.0, 2.0, 3.0]) == pytest.approx((2 - 2.48416, 2 + 2.48416), abs=1e-4)
    assert spread([3.0, 1.0]) == (1.0, 3.0)
    assert spread([3.0]) == (3.0, 3.0)


def test_wilsons_interval_by_hand():
    assert wilson95(0, 0) == (0.0, 1.0)
    assert wilson95(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)  # as in Newcombe 1998's method 3
    assert wilson95(10, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)


def test_a_score_is_0_for_random_and_1_for_the_true_reward():
    assert normalized_score(10, random=10, best=50) == 0
    assert normalized_score(30, random=10, best=50) == 0.5
    assert normalized_score(90, random=10, best=50) == 2
    assert normalized_score(-30, random=-50, best=-10) == 0.5
    assert math.isnan(normalized_score(1, random=5, best=5))


def test_the_interquartile_mean_by_hand():
    assert interquartile_mean([8, -1000, 3, 4, 1000, 5, 6, 1]) == 4.5  # of 3, 4, 5, 6
    assert interquartile_mean([9, 1, 2, 3, 0]) == 2  # a quarter of five values is one
    assert interquartile_mean([0, 1, 8]) == 3  # of three none: the mean
    assert interquartile_mean([7]) == 7


@given(st.lists(st.integers(-100, 100), min_size=1), st.integers(-100, 100))
def test_the_interquartile_mean_moves_with_its_values(values: list[int], shift: int):
    moved = interquartile_mean([value + shift for value in reversed(values)])
    assert moved == pytest.approx(interquartile_mean(values) + shift)


def _pooled_mean(strata: Sequence[Sequence[float]]) -> float:
    return float(np.mean([value for stratum in strata for value in stratum]))


def test_the_stratified_bootstrap_by_hand():
    def interval(strata: list[list[float]], repetitions: int = 2000) -> tuple[float, float]:
        return stratified_bootstrap(strata, _pooled_mean, np.random.default_rng(0), repetitions=repetitions)

    # Two values give 0, 1/2, 1 in a quarter, half, a quarter of the repetitions.
    assert interval([[0.0, 1.0]]) == (0.0, 1.0)
    assert interval([[0.0, 1.0], [10.0]]) == pytest.approx((10 / 3, 12 / 3))
    # A task's values are never drawn for another: all the spread is between tasks, and none is left.
    assert interval([[0.0, 0.0], [1.0, 1.0]]) == (0.5, 0.5)
    # Of 20 coins, 2.5 % of the throws have at most 6 heads (P(X <= 5) = .021, P(X <= 6) = .058).
    assert interval([[0.0] * 10 + [1.0] * 10], 20_000) == pytest.approx((0.3, 0.7))


@pytest.mark.parametrize("curves", [[([0, 10, 20], [0, 10, 20]), ([5, 15], [15, 25])]])
def test_curves_of_other_steps_are_interpolated_where_all_have_values(
    curves: Sequence[tuple[list[float], list[float]]],
):
    grid, mean, low, high = averaged(curves)
    assert grid.tolist() == [5, 10, 15]
    assert mean.tolist() == [10, 15, 20]
    assert low.tolist() == [5, 10, 15]
    assert high.tolist() == [15, 20, 25]


def test_curves_without_common_steps_have_no_mean():
    assert [len(part) for part in averaged([([1.0, 2.0], [0.0, 0.0]), ([3.0], [1.0])])] == [0, 0, 0, 0]


def test_runs_that_differ_by_their_seed_alone_are_one_group(tmp_path: Path):
    for seed in range(3):
        make_run(tmp_path / f"a{seed}", seed=seed, oracle={"seed": seed, "beta": "inf"}, threads=seed)
    make_run(tmp_path / "deep" / "b", labels=200)
    make_run(tmp_path / "c", reward="true")
    make_run(tmp_path / "d", reward="true", labels=300, oracle={"seed": 9, "beta": "1"}, seed=1)
    make_run(tmp_path / "e", task="ant")
    groups = group_runs(find_runs([tmp_path, tmp_path / "deep"]))
    assert [(g.task, g.name, len(g.results)) for g in groups] == [
        ("ant", "100 labels", 1),
        ("hopper", "true reward", 2),
        ("hopper", "100 labels", 3),
        ("hopper", "200 labels", 1),
    ]


def test_names_say_what_differs_and_no_more(tmp_path: Path):
    make_run(tmp_path / "a", acquisition="uniform", loop={"fit": {"noise": 0.1}}, fps=5)
    make_run(tmp_path / "b", acquisition="entropy", loop={"fit": {"noise": 0.1}}, fps=5)
    make_run(tmp_path / "c", acquisition="entropy", loop={"fit": {"noise": 0.0}}, fps=5)
    names = [group.name for group in group_runs(find_runs([tmp_path]))]
    assert sorted(names) == [
        "100 labels, acquisition entropy, noise 0.0",
        "100 labels, acquisition entropy, noise 0.1",
        "100 labels, acquisition uniform",
    ]


def test_a_score_needs_a_baseline_of_the_same_steps(tmp_path: Path):
    make_run(tmp_path / "a", true_return=30.0)
    make_run(tmp_path / "b", true_return=30.0, steps=2000)
    make_run(tmp_path / "c", true_return=50.0, reward="true")
    groups = group_runs(find_runs([tmp_path]))
    scores = {(g.name.split(",")[0], g.results[0].config["steps"]): score_of(g, groups) for g in groups}
    assert scores == {("true reward", 1000): 1.0, ("100 labels", 1000): 0.5, ("100 labels", 2000): None}


def test_one_run_makes_a_page_that_needs_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = make_run(tmp_path / "<run>", command="prefrl train 'a&b'")
    assert Report((run,)).run() == 0
    assert "1 run: " in capsys.readouterr().out
    assert sorted(p.name for p in (run / "report").iterdir()) == ["report.html", "report.png"]
    assert (run / "report" / "report.png").read_bytes().startswith(b"\x89PNG")
    html = (run / "report" / "report.html").read_text()
    assert html.count("<img") == 6
    assert all(source.startswith("data:") for source in re.findall(r'(?:src|href)="([^"]*)"', html))
    assert "&lt;run&gt;" in html
    assert "a&amp;b" in html
    assert Report((run,)).run() == 0  # its own report is no run


def test_many_runs_make_a_table_and_mark_the_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]):  # fmt: skip
    monkeypatch.chdir(tmp_path)
    for seed in range(3):
        make_run(tmp_path / f"a{seed}", seed=seed, true_return=[30.0, 40.0, None][seed])
        make_run(tmp_path / f"b{seed}", seed=seed, true_return=50.0, reward="true")
    make_run(tmp_path / "c", task="ant", rows=0, true_return=None)
    assert Report((tmp_path / "a0", tmp_path), out=None).run() == 0
    assert "7 runs, 2 of them unfinished" in capsys.readouterr().out
    html = (tmp_path / "report" / "report.html").read_text()
    assert "+ 1 unfinished" in html
    assert "62%" in html  # (35 - 10) / (50 - 10)
    assert "30 to 40" in html
    assert "Nothing was measured yet" in html
    assert "300 steps so far" not in html
    assert "302 steps so far" in html


def test_how_good_rewards_are(tmp_path: Path):
    measured = {
        "policy_accuracy": 0.81,
        "policy_calibration_error": None,
        "clip_correlation": 0.9,
        "epic_distance": 0.3,
    }
    for seed, more in enumerate((measured, measured | {"epic_distance": 0.4})):
        run = make_run(tmp_path / f"{seed}", seed=seed)
        summary = json.loads((run / "summary.json").read_text())
        (run / "summary.json").write_text(json.dumps(summary | more))
    make_run(tmp_path / "baseline", reward="true")
    assert Report((tmp_path,)).run() == 0
    html = (tmp_path / "report" / "report.html").read_text()
    (row,) = re.findall(r"<tr><td>hopper</td><td>100 labels</td>(.*?)</tr>", html.split("Is the reward any good?")[1])
    assert re.findall(r">([^<]+)<", row) == ["2", "0.70", "-", "0.81", "-", "0.90", "0.35"]


def test_no_two_settings_look_alike(tmp_path: Path):
    for reward in ("true", "learned"):
        for algo in ("ppo", "trpo", "sac", "a2c"):
            make_run(tmp_path / f"{reward}-{algo}", reward=reward, algo=algo)
    groups = group_runs(find_runs((tmp_path,)))
    axis = Figure().subplots()
    draw_panel(axis, groups, PANELS[0])
    lines = [line for line in axis.get_lines() if "n = 1" in str(line.get_label())]
    looks = {str(line.get_label()): (line.get_color(), str(line.get_linestyle())) for line in lines}
    assert len(looks) == len(set(looks.values())) == 8
    assert {style for name, (_, style) in looks.items() if "true" not in name} == {"-"}


def test_nothing_is_said_of_rewards_that_were_not_measured(tmp_path: Path):
    assert Report((make_run(tmp_path / "a"),)).run() == 0
    assert "any good" not in (tmp_path / "a" / "report" / "report.html").read_text()


def test_a_row_that_a_kill_cut_short_is_left_out(tmp_path: Path):
    run = make_run(tmp_path / "a")
    with (run / "metrics.csv").open("a") as file:
        file.write("3,3,3,400,30,1,0.5,0.")
    assert read_run(run).curve("true_return") == ([100, 200, 300], [0, 10, 20])
    with (run / "metrics.csv").open("a") as file:
        file.write("6,0.6,0.7,1")  # all cells, but no line end
    assert len(read_run(run).metrics["steps"]) == 3


def test_what_was_not_measured_is_no_point(tmp_path: Path):
    assert read_run(make_run(tmp_path / "a", reward="true")).curve("reward_accuracy") == ([], [])
    assert read_run(make_run(tmp_path / "b")).curve("no such column") == ([], [])


def test_bad_input_is_a_sentence(tmp_path: Path):
    with pytest.raises(PrefrlError, match="name at least one"):
        Report(()).run()
    with pytest.raises(PrefrlError, match="no folder"):
        Report((tmp_path / "none",)).run()
    with pytest.raises(PrefrlError, match="no runs in"):
        Report((tmp_path,)).run()
    run = make_run(tmp_path / "a")
    (run / "metrics.csv").write_text("round,steps\n0,100\n1,x\n2,300\n")
    with pytest.raises(PrefrlError, match=r"line 3 of .*damaged"):
        Report((run,)).run()
    (run / "metrics.csv").write_text("round,true_return\n0,100\n")
    with pytest.raises(PrefrlError, match="no column `steps`"):
        Report((run,)).run()
    (run / "metrics.csv").unlink()
    (run / "summary.json").write_text('{"true_return": ')
    with pytest.raises(PrefrlError, match="not valid JSON"):
        Report((run,)).run()
    (run / "config.json").write_text('{"name": "something else"}')
    with pytest.raises(PrefrlError, match="lacks task, reward"):
        Report((run,)).run()
    (run / "config.json").write_text("[]")
    with pytest.raises(PrefrlError, match="holds a list"):
        Report((run,)).run()
    (tmp_path / "file").write_text("")
    with pytest.raises(PrefrlError, match="is not a folder"):
        Report((make_run(tmp_path / "b"),), out=tmp_path / "file").run()


def text_run(folder: Path, **config: Any) -> Path:
    """A run of a language model: gold 2, 3, 1 while the prediction rises; best of 1, 2 and 4."""
    run = make_run(folder, domain="text", algo="ppo", **config)
    names = ("round", "steps", "true_return", "true_return_std", "predicted_return", "predicted_return_std", "kl",
             "sqrt_kl", "newest_accuracy", "reward_accuracy")  # fmt: skip
    rows = [(0, 100, 2, 0.5, 0, 2, 1, 1, 0.7, 0.7), (1, 200, 3, 0.4, 4, 1, 4, 2, 0.6, 0.8),
            (2, 300, 1, 0.3, 6, 1, 9, 3, 0.4, "")]  # fmt: skip
    (run / "metrics.csv").write_text("".join(",".join(map(str, row)) + "\n" for row in [names, *rows]))
    curve = [
        {"n": n, "sqrt_kl": root, "true_return": gold, "predicted_return": said}
        for n, root, gold, said in ((1, 0.0, 2.0, 0.0), (2, 0.44, 2.5, 1.0), (4, 0.8, None, 2.0))
    ]
    found = {"predicted_return_std": 2.0, "true_return_std": 0.5, "curve": curve}
    (run / "best_of.json").write_text(json.dumps(found))
    return run


def test_over_optimization_is_drawn_from_0_in_standard_deviations(tmp_path: Path):
    result = read_run(text_run(tmp_path / "run"))
    (_, _, policy), (_, _, best) = paths(result, "true_return", "sqrt_kl")
    assert policy == ([1, 2, 3], [0, 2, -2])  # of gold in units of .5
    assert best == ([0.0, 0.44], [0, 1])  # what is unknown is no point
    (_, _, policy), (_, _, best) = paths(result, "predicted_return", "sqrt_kl")
    assert policy == ([1, 2, 3], [0, 2, 3])
    assert best == ([0.0, 0.44, 0.8], [0, 0.5, 1])
    (run := tmp_path / "run" / "best_of.json").unlink()
    assert [kind for kind, _, _ in paths(read_run(run.parent), "true_return", "sqrt_kl")] == ["policy"]


def test_a_report_of_a_language_model(tmp_path: Path):
    run = text_run(tmp_path / "run")
    assert Report((run,)).run() == 0
    html = (run / "report" / "report.html").read_text()
    assert "Over-optimization against divergence" in html
    assert "Pairs predicted against steps" in html
    (run / "best_of.json").write_text('{"curve": [{"n": 1}]}')
    with pytest.raises(PrefrlError, match=r"best_of.json is damaged .*prefrl text best-of"):
        Report((run,)).run()
