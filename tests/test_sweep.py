"""`prefrl sweep`: its file, its engines, what it keeps, and kills."""

import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st

from prefrl.commands import devices, main, settings
from prefrl.commands.results import read_run
from prefrl.commands.sweep import Sweep
from prefrl.commands.sweeping import engines, outcomes
from prefrl.commands.sweeping.display import Display
from prefrl.commands.sweeping.engines import Job, Processes
from prefrl.commands.sweeping.rows import Grid, Row, read_grid
from prefrl.commands.train import Train
from prefrl.errors import PrefrlError
from prefrl.runs import is_held

ROOT = Path(__file__).parent.parent
DOTS = """
tasks = ["moving-dot"]
seeds = [0, 1]
[train]
steps = 4000
labels = 20
[settings]
true = {reward = "true"}
learned = {}
"""
NAMES = ["moving-dot-true-0", "moving-dot-learned-0", "moving-dot-true-1", "moving-dot-learned-1"]


def write(folder: Path, text: str = DOTS) -> Path:
    path = folder / "dots.toml"
    path.write_text(text)
    return path


def grid(folder: Path, text: str = DOTS) -> Grid:
    return read_grid(write(folder, text))


# ---- the file --------------------------------------------------------------------------------------------------------


def test_rows_are_tasks_by_settings_by_seeds(tmp_path: Path) -> None:
    text = """
    seeds = [3, 4]
    [train]
    steps = 500
    labels = 7
    [tasks]
    hopper = {}
    "module:Id-v0" = {steps = 300}
    [settings]
    350 = {labels = 350}
    myopic = {oracle_gamma = 0.9, steps = 200, open_window = false}
    """
    rows = {row.name: row for row in grid(tmp_path, text).rows}
    assert list(rows)[:4] == ["hopper-350-3", "hopper-myopic-3", "module-Id-v0-350-3", "module-Id-v0-myopic-3"]
    assert len(rows) == 8
    assert rows["hopper-350-4"].train == Train("hopper", seed=4, steps=500, labels=350)
    # The nearer to the row, the stronger: a setting's own option over its task's over what all share.
    assert rows["module-Id-v0-350-3"].train == Train("module:Id-v0", seed=3, steps=300, labels=350)
    assert rows["module-Id-v0-myopic-3"].train.steps == 200
    words = "hopper --steps 200 --labels 7 --oracle-gamma 0.9 --no-open-window --seed 3"
    assert rows["hopper-myopic-3"].arguments == words.split()


def test_a_small_file_is_enough(tmp_path: Path) -> None:
    (row,) = grid(tmp_path, 'tasks = ["hopper"]').rows
    assert (row.name, row.train) == ("hopper-0", Train("hopper"))


def test_shared_options(tmp_path: Path) -> None:
    assert grid(tmp_path).shared == {"steps": 4000, "labels": 20}


options = st.fixed_dictionaries(
    {},
    optional={
        "labels": st.integers(1, 10**6),
        "steps": st.integers(1, 10**9),
        "reward": st.sampled_from(["learned", "true"]),
        "acquisition": st.sampled_from(["mixture", "information-gain"]),
        "oracle_beta": st.floats(0, allow_nan=False),
        "noise": st.floats(0, 0.5, exclude_min=True) | st.just(0),
        "entropy_bonus": st.floats(0, 1),
        "open_window": st.booleans(),
        "labels_from": st.text("abc /-'\"_.", min_size=1).filter(lambda text: not text.startswith("-")),
    },
)


@given(options, st.integers(0, 10**6))
def test_a_row_s_command_means_the_row(options: dict[str, Any], seed: int) -> None:
    """What --list prints and what a process gets is what was checked."""
    given = {name: Path(v) if name == "labels_from" else v for name, v in options.items()}
    row = Row("moving-dot", "x", seed, options, Train("moving-dot", seed=seed, **given))
    command = shlex.split(shlex.join(row.arguments))
    assert tyro.cli(Train, args=command) == row.train


WRONG = {
    "seeds = [0": "is not a sweep file, which is TOML",
    "seed = [0]": r"no table 'seed' in a sweep file; did you mean 'seeds'\?",
    "seeds = [0]": "names no tasks",
    "seeds = 3\ntasks = ['hopper']": "seeds must be a list of different whole numbers from 0 on, got 3",
    "seeds = []\ntasks = ['hopper']": r"whole numbers from 0 on, got \[\]",
    "seeds = [1, 1]\ntasks = ['hopper']": r"got \[1, 1\]",
    "seeds = [-1]\ntasks = ['hopper']": r"got \[-1\]",
    "seeds = [true]\ntasks = ['hopper']": r"got \[True\]",
    "tasks = 'hopper'": "tasks must be a table",
    "tasks = [1]": "tasks must be a table",
    "tasks = ['hopper']\nsettings = [1]": "settings must be a table",
    "tasks = ['hopper']\n[settings]\na = 3": r"\[settings\] a must be a table of options of `prefrl train`, got 3",
    "tasks = ['hopper']\ntrain = 3": r"\[train\] must be a table of options",
    "tasks = ['hopper']\n[settings]\n'a/b' = {}": "part of file names, but 'a/b' cannot be",
    "tasks = ['hopper']\n[train]\nlables = 3": r"`prefrl train` has no option 'lables'; did you mean 'labels'\?",
    "tasks = ['hopper']\n[train]\nzzz = 3": "no option 'zzz'; there are labels, ",
    "tasks = ['hopper']\n[train]\nseed = 3": "`seed` is given by `seeds`",
    "tasks = ['hopper']\n[train]\nout = 'x'": "`out` is given by --runs",
    "tasks = ['hopper']\n[train]\nlabels = '3'": "labels must be a whole number, got '3'",
    "tasks = ['hopper']\n[train]\nsteps = 1e6": "steps must be a whole number, got 1000000.0",
    "tasks = ['hopper']\n[train]\nsteps = true": "steps must be a whole number, got True",
    "tasks = ['hopper']\n[train]\nnoise = 'much'": "noise must be a number, got 'much'",
    "tasks = ['hopper']\n[train]\nopen_window = 1": "open_window must be true or false, got 1",
    "tasks = ['hopper']\n[train]\nlabels_from = 1": "labels_from must be a path in quotes, got 1",
    "tasks = ['hopper']\n[train]\nalgo = 'dqn'": "algo must be one of trpo, ppo, sac, a2c, got 'dqn'",
    "tasks = ['hopper']\n[train]\nalgo = 'a2c'": "--algo a2c is not for tasks that observe vectors, as 'hopper' does",
    "tasks = ['a:b', 'a/b']": "several rows are called a-b-0",
    # What only `prefrl train` itself knows.
    "tasks = ['hoper']": r"hoper-0: no task 'hoper'; did you mean 'hopper'",
    "tasks = ['moving-dot']\n[settings]\nmany = {labels = 700, steps = 100}": "moving-dot-many-0: 700 comparisons",
    "tasks = ['moving-dot']\n[train]\nupfront = 2": "--upfront must be a share between 0 and 1, got 2",
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_said_before_anything_runs(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Job, "begin", None)
    assert main(["sweep", str(write(tmp_path, text))]) == 2
    assert re.search(WRONG[text], capsys.readouterr().err)


def test_no_file_and_no_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(tmp_path / "none.toml")]) == 2
    assert f"no sweep file {tmp_path / 'none.toml'}" in capsys.readouterr().err
    assert main(["sweep", str(tmp_path)]) == 2
    assert main(["sweep", str(write(tmp_path)), "--processes", "0"]) == 2
    assert "--processes must be at least 1, got 0" in capsys.readouterr().err


def test_a_cluster_without_ray(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PrefrlError, match=r"--cluster needs Ray: pip install 'prefrl\[cluster\]'"):
        engines.Cluster("auto")


@pytest.mark.parametrize("path", sorted((ROOT / "experiments").glob("*.toml")), ids=lambda path: path.stem)
def test_the_experiments_could_begin(path: Path) -> None:
    for row in {(row.task, row.setting): row for row in read_grid(path).rows}.values():
        row.check()


# ---- carrying out, with a process that only pretends ----------------------------------------------------------------

PRETENDED = """
import json, sys, pathlib
folder, steps, fails = pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
print("a line\\nprefrl: no room" if fails else "all is well")
if fails: sys.exit(3)
folder.mkdir(exist_ok=True)
command = "prefrl train " + " ".join(sys.argv[4:])
reward, seed = "true" if "true" in sys.argv else "learned", int(sys.argv[-1])
config = dict(task="moving-dot", reward=reward, labels=20, steps=steps, seed=seed, command=command, commit="abc")
(folder / "config.json").write_text(json.dumps(config))
(folder / "metrics.csv").write_text(f"round,steps,true_return\\n0,{steps // 2},1.23456\\n1,{steps},\\n")
(folder / "summary.json").write_text(json.dumps({"true_return": 7.0, "random_return": 1.0}))
"""


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Runs that end at once; the one named fails."""

    def install(failing: str = "") -> None:
        def begin(job: Job) -> "subprocess.Popen[bytes]":
            words = [str(job.folder), "4000", "x" if job.name == failing else "", *job.arguments]
            with job.log.open("ab") as log:
                return subprocess.Popen([sys.executable, "-c", PRETENDED, *words], stdout=log)

        monkeypatch.setattr(Job, "begin", begin)

    return install


def sweep(folder: Path, *more: str) -> int:
    return main(["sweep", str(folder / "dots.toml"), "--runs", str(folder / "runs"), *more])


def test_results_are_kept_and_made_once(
    tmp_path: Path, pretend: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    pretend("")
    assert sweep(tmp_path) == 0
    said = capsys.readouterr().out
    assert "4 runs, 0 done, 4 to do" in said
    assert "[4/4, 0:00 left]" in said
    assert "moving-dot-true-0: true return 7.0" in said
    results = outcomes.load(tmp_path / "results" / "dots")
    assert sorted(results) == sorted(NAMES)
    kept = results["moving-dot-learned-1"]
    assert kept["format"] == 1
    assert kept["config"]["command"] == "prefrl train moving-dot --steps 4000 --labels 20 --seed 1"
    assert kept["config"]["commit"] == "abc"
    assert kept["summary"]["true_return"] == 7.0
    assert kept["curve"] == {"steps": [2000.0, 4000.0], "true_return": [1.2346, None]}
    assert sweep(tmp_path) == 0
    assert "4 runs, 4 done, 0 to do" in capsys.readouterr().out


def test_what_failed_is_listed_and_the_rest_goes_on(
    tmp_path: Path, pretend: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    pretend("moving-dot-true-0")
    assert sweep(tmp_path, "--processes", "1") == 1
    said = capsys.readouterr().out
    folder = tmp_path / "runs" / "moving-dot-true-0"
    assert f"moving-dot-true-0: FAILED with exit code 3, see {folder}.log" in said
    assert said.endswith(
        f"1 of 4 runs failed:\nmoving-dot-true-0\n  prefrl: no room\n  log: {folder}.log\n"
        f"  again: prefrl train moving-dot --steps 4000 --labels 20 --reward true --seed 0 --out {folder}\n"
    )
    assert len(outcomes.load(tmp_path / "results" / "dots")) == 3
    pretend("")
    assert sweep(tmp_path) == 0  # what failed is run again
    assert "4 runs, 3 done, 1 to do" in capsys.readouterr().out


def test_list_prints_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path)
    assert sweep(tmp_path, "--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[1] == (
        f"prefrl train moving-dot --steps 4000 --labels 20 --seed 0 --out {tmp_path}/runs/moving-dot-learned-0"
    )
    assert not (tmp_path / "runs").exists()


def test_results_of_other_settings_are_never_taken_for_the_row_s(
    tmp_path: Path, pretend: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    pretend("")
    assert sweep(tmp_path) == 0
    write(tmp_path, DOTS.replace("learned = {}", "learned = {noise = 0.2}"))
    assert sweep(tmp_path) == 2
    said = capsys.readouterr().err
    assert "moving-dot-learned-0.json was made with other settings (noise 0.1, now 0.2): remove it" in said
    for path in (tmp_path / "results" / "dots").glob("*learned*"):
        path.unlink()
    assert sweep(tmp_path) == 2  # nor is a run that was begun with them gone on with
    assert "runs/moving-dot-learned-0 was made with other settings" in capsys.readouterr().err
    write(
        tmp_path, DOTS.replace("[settings]", "noise = 0.1\nthreads = 2\n[settings]")
    )  # the default said aloud, and speed
    assert sweep(tmp_path) == 0


def test_defaults_of_an_earlier_time_are_told_apart(tmp_path: Path) -> None:
    """The command leaves the algorithm to the default, but the configuration holds what that was."""
    results = tmp_path / "results"
    results.mkdir()
    rows = grid(tmp_path).rows
    config = {"command": "__main__.py train moving-dot --labels 20 --steps 4000 --seed 0", "algo": "ppo", "labels": 20}
    (results / "moving-dot-learned-0.json").write_text(json.dumps({"config": config}))
    with pytest.raises(PrefrlError, match=r"other settings \(algo ppo, now trpo\)"):
        outcomes.missing(grid(tmp_path), tmp_path / "runs", results)
    (results / "moving-dot-learned-0.json").write_text(json.dumps({"config": config | {"algo": "trpo"}}))
    left = outcomes.missing(grid(tmp_path), tmp_path / "runs", results)
    assert [row.name for row in left] == [row.name for row in rows if row.name != "moving-dot-learned-0"]


def test_results_of_former_defaults_are_named(
    tmp_path: Path, pretend: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """They stay, and nobody takes them for what is run beside them; nothing is said where nothing is added."""
    results = tmp_path / "results"
    results.mkdir()
    row = grid(tmp_path).rows[1]
    config = row.train.resolved() | {"command": shlex.join(["prefrl", "train", *row.arguments])}
    path = results / f"{row.name}.json"
    path.write_text(json.dumps({"config": config}))
    assert outcomes.of_former_defaults(grid(tmp_path), results) == []
    del config["loop"]["fit"]["measured"]  # a field that was not there then
    path.write_text(json.dumps({"config": config}))
    assert outcomes.of_former_defaults(grid(tmp_path), results) == []
    for changed in (
        config | {"clip_steps": 38},
        config | {"learner": config["learner"] | {"rollout_steps": 250}},
        config | {"loop": {"fit": config["loop"]["fit"] | {"updates": 1}}},
        config | {"loop": {"fit": {k: v for k, v in config["loop"]["fit"].items() if k != "warmup"}}},
    ):
        path.write_text(json.dumps({"config": changed}))
        assert outcomes.of_former_defaults(grid(tmp_path), results) == [row.name]
    kept = tmp_path / "results" / "dots"
    kept.mkdir()
    path.rename(kept / path.name)
    pretend("")
    assert sweep(tmp_path) == 0
    assert "1 of the 1 learned, or had their clips cut, by former defaults" in capsys.readouterr().out
    assert sweep(tmp_path) == 0
    assert "former defaults" not in capsys.readouterr().out


def test_how_rewards_are_fitted_does_not_matter_to_the_true_one(tmp_path: Path) -> None:
    results = tmp_path / "results"
    results.mkdir()
    row = next(row for row in grid(tmp_path).rows if row.setting == "true")
    config = row.train.resolved()
    config["loop"]["fit"]["updates"] = 1
    (results / f"{row.name}.json").write_text(json.dumps({"config": config}))
    assert outcomes.of_former_defaults(grid(tmp_path), results) == []
    config["learner"]["rollout_steps"] = 250
    (results / f"{row.name}.json").write_text(json.dumps({"config": config}))
    assert outcomes.of_former_defaults(grid(tmp_path), results) == [row.name]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            '{"format": 2}',
            r"results/dots holds results of format 2, and this prefrl reads and writes 1: use the prefrl",
        ),
        ('{"for', "moving-dot-true-0.json is not a result of a sweep"),
        ("[1]", "moving-dot-true-0.json is not a result of a sweep"),
        ('{"config": {"command": "prefrl fly"}}', "by a command that this version does not know: prefrl fly"),
    ],
)
def test_results_that_are_none_are_refused(
    content: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path)
    (tmp_path / "results" / "dots").mkdir(parents=True)
    (tmp_path / "results" / "dots" / "moving-dot-true-0.json").write_text(content)
    assert sweep(tmp_path) == 2
    assert message in capsys.readouterr().err.replace("\\", "")


def test_time_left_is_by_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    rows = grid(tmp_path, DOTS.replace("learned = {}", "learned = {steps = 12000}")).rows  # 4000, 12000, 4000, 12000

    def steps(row: Row, n: int) -> None:
        folder = tmp_path / row.name
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(dict.fromkeys(("task", "reward", "labels", "steps", "seed"), 0)))
        (folder / "metrics.csv").write_text(f"round,steps\n0,{n}\n")

    steps(rows[1], 3000)  # in an earlier sweep
    with Display(rows, tmp_path, clock=lambda: now) as display:
        now = 110.0
        assert display.seconds_left() != display.seconds_left()  # NaN: nothing gained yet
        steps(rows[1], 6000)
        display.ended(rows[0], "done")
        # 3000 + 4000 steps in 10 s; 6000 + 4000 + 12000 are left.
        assert display.seconds_left() == pytest.approx(10 / 7000 * 22000)
        display.ended(rows[3], "FAILED", failed=True)  # takes no more time, and says nothing about speed
        assert display.seconds_left() == pytest.approx(10 / 7000 * 10000)
    assert "[2/4, 0:14 left] moving-dot-learned-1: FAILED" in capsys.readouterr().out


# ---- processes -------------------------------------------------------------------------------------------------------


def job(folder: Path, name: str) -> Job:
    return Job(name, folder / name, (), 1, folder)


@pytest.mark.parametrize(
    ("how", "given", "threads"),
    [
        ({"processes": 1}, "", 8),
        ({"processes": 3}, "", 2),
        ({"processes": 9}, "", 1),
        ({"processes": 3}, "threads = 5", 5),
        ({"cluster": "auto"}, "", 8),
    ],
)
def test_runs_at_a_time_share_the_processors(
    how: dict[str, Any], given: str, threads: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of eight, which games would each take; a hopper takes one."""
    monkeypatch.setattr(settings, "PICTURES", replace(settings.PICTURES, processors=8))
    monkeypatch.setattr(devices, "usable_processors", lambda: 8)
    file = tmp_path / "two.toml"
    file.write_text(f"tasks = ['pong', 'hopper']\nseeds = [0]\n[train]\n{given}\n")
    rows, its = read_grid(file).rows, Sweep(file, **how)
    jobs = {row.task: its._job(row) for row in rows}
    assert jobs["pong"].threads == threads
    told = dict(itertools.pairwise(jobs["pong"].arguments)).get("--threads")
    assert told == (str(threads) if given or threads < 8 else None)
    assert jobs["hopper"].threads == (5 if given else 1)


def test_so_many_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gates = {name: tmp_path / f"{name}.gate" for name in "abc"}
    wait = "import sys, pathlib, time\nwhile not pathlib.Path(sys.argv[1]).exists(): time.sleep(0.01)\nsys.exit(4)"
    begun: list[str] = []

    def begin(job: Job) -> "subprocess.Popen[bytes]":
        begun.append(job.name)
        return subprocess.Popen([sys.executable, "-c", wait, str(gates[job.name])])

    monkeypatch.setattr(Job, "begin", begin)
    pool = Processes(2)
    for name in "abc":
        pool.start(job(tmp_path, name))
    assert pool.wait(0.1) == {}
    assert begun == ["a", "b"]
    gates["b"].touch()
    assert pool.wait(60) == {"b": 4}
    assert pool.wait(0.1) == {}
    assert begun == ["a", "b", "c"]
    started = time.monotonic()
    pool.stop()
    assert time.monotonic() - started < 60
    assert pool.wait(0) == {}


# ---- kills, with runs that learn -------------------------------------------------------------------------------------

SLOW = """
tasks = ["moving-dot"]
[train]
steps = 8_000
labels = 20
"""
PREFRL = [sys.executable, "-m", "prefrl"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The results of a sweep that nobody interrupts."""
    folder = tmp_path_factory.mktemp("whole")
    write(folder, SLOW)
    assert sweep(folder) == 0
    return outcomes.load(folder / "results" / "dots")


def until(condition: Callable[[], bool]) -> None:
    """Wait, as long as the test may take."""
    while not condition():
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_sweep_that_was_stopped_goes_on(number: int, whole: dict[str, dict[str, Any]], tmp_path: Path) -> None:
    """Its children stop with it, and what they had done is in the result."""
    write(tmp_path, SLOW)
    runs = tmp_path / "runs"
    first = runs / "moving-dot-0"
    command = [*PREFRL, "sweep", "dots.toml", "--runs", "runs"]
    with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        until(lambda: any(first.glob("checkpoints/00000?")) or process.poll() is not None)
        process.send_signal(number)
        said, _ = process.communicate()
    assert process.returncode == (75 if number == signal.SIGTERM else -number)
    if number == signal.SIGTERM:
        assert said.endswith("stopped; 1 to do. Go on with: prefrl sweep dots.toml --runs runs\n")
    until(lambda: not is_held(first))
    assert read_run(first).summary is None  # stopped by far too early, and nobody goes on with it
    assert sweep(tmp_path) == 0
    results = outcomes.load(tmp_path / "results" / "dots")
    assert {name: _told(result) for name, result in results.items()} == {n: _told(r) for n, r in whole.items()}
    log = (runs / "moving-dot-0.log").read_text()
    assert log.count("moving-dot from 20 comparisons") == 2  # one process went on where another had been


def _told(result: dict[str, Any]) -> dict[str, Any]:
    """What does not hang on the clock."""
    curve = {name: values for name, values in result["curve"].items() if not name.startswith("seconds")}
    return {"curve": curve, "true": result["summary"]["true_return"], "command": result["config"]["command"]}


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_a_cluster_of_two_nodes_of_which_one_dies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same file on Ray; the run of the node that was lost goes on on the other."""
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    write(tmp_path, "seeds = [0, 1]" + SLOW.replace("8_000", "12_000"))
    node = {"num_cpus": 1, "object_store_memory": 80_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node | {"include_dashboard": False})
    try:
        second = cluster.add_node(**node)
        command = [*PREFRL, "sweep", "dots.toml", "--runs", "runs", "--cluster", cluster.address]
        with subprocess.Popen(command, cwd=tmp_path, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
            runs = tmp_path / "runs"
            # Both nodes are at work, and neither is done.
            until(lambda: len(list(runs.glob("*/checkpoints/000000"))) == 2 or process.poll() is not None)
            cluster.remove_node(second, allow_graceful=False)
            said, _ = process.communicate()
        assert process.returncode == 0, said
    finally:
        cluster.shutdown()
    results = outcomes.load(tmp_path / "results" / "dots")
    assert len(results) == 2
    logs = [(runs / f"{name}.log").read_text() for name in results]
    assert sorted(log.count("moving-dot from 20 comparisons") for log in logs) == [1, 2]
