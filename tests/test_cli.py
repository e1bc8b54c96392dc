"""The command, end to end."""

import csv
import errno
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from prefrl.commands import main
from prefrl.commands.train import Train
from prefrl.runs import Run
from prefrl.schedule import label_plan
from prefrl.store import PreferenceStore
from prefrl.store_format import VERSION

PREFRL = [sys.executable, "-c", "import sys; from prefrl.commands import main; sys.exit(main())"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}
TINY = ["--labels", "20", "--steps", "4000"]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return content


# ---- help ------------------------------------------------------------------------------------------------------------


def processor_seconds() -> float:
    """Of all processes that were begun here and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_help_is_quick() -> None:
    """Under half a second of a processor, best of a few: other tests run beside this one."""
    seconds = []
    for _ in range(5):
        started = processor_seconds()
        done = subprocess.run([*PREFRL, "--help"], capture_output=True, text=True, env=ENVIRONMENT, check=True)
        seconds.append(processor_seconds() - started)
        assert "train" in done.stdout
        assert "resume" in done.stdout
        if seconds[-1] < 0.5:
            break
    assert min(seconds) < 0.5


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["resume", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from prefrl.commands import main\n"
        f"try: main({arguments})\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'gymnasium', 'stable_baselines3', 'numpy', 'matplotlib', 'mujoco'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, env=ENVIRONMENT)


def test_large_tensors_come_in_large_pages() -> None:
    """Pages of 4 KiB would be 16,384 for these 64 MiB."""
    kernel = Path("/sys/kernel/mm/transparent_hugepage/enabled")
    if not kernel.exists() or "[never]" in kernel.read_text():
        pytest.skip("this system has no large pages")
    code = (
        "import resource; from prefrl.commands import main\n"
        "assert main(['train', 'no-such-task']) == 2\n"
        "import torch\n"
        "faults = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "before = faults(); torch.ones(2**24); print(faults() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=ENVIRONMENT)
    assert int(done.stdout) < 4000


@pytest.mark.parametrize(
    ("environment", "count"),
    [({}, "10000"), ({"GOMP_SPINCOUNT": "77"}, "77"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_do_not_keep_processors_from_others(environment: dict[str, str], count: str) -> None:
    """As GNU's OpenMP says of itself when torch brings it in."""
    code = "from prefrl.commands import main; assert main(['train', 'no-such-task']) == 2; import torch"
    bare = {name: value for name, value in ENVIRONMENT.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=bare | environment | {"OMP_DISPLAY_ENV": "VERBOSE"},
    )
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch uses another OpenMP here")
    assert f"GOMP_SPINCOUNT = '{count}'" in done.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    with subprocess.Popen([*PREFRL, "train", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()


# ---- training --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli") / "run"
    assert main(["train", "moving-dot", *TINY, "--seed", "3", "--out", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped after its first round."""
    folder = tmp_path_factory.mktemp("cli") / "stopped"
    real = Run.save

    def save(run: Run, *args: Any, **kwargs: Any) -> None:
        real(run, *args, **kwargs)
        run._stopping = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", save)
        assert main(["train", "moving-dot", *TINY, "--seed", "3", "--out", str(folder), "--quiet"]) == 75
    return folder


@pytest.fixture
def stopped(interrupted: Path, tmp_path: Path) -> Path:
    """A copy of it, to be harmed."""
    return Path(shutil.copytree(interrupted, tmp_path / "stopped"))


def test_what_a_run_leaves(finished: Path) -> None:
    names = {path.name for path in finished.iterdir()}
    assert {"config.json", "metrics.csv", "summary.json", "preferences.db", "checkpoints"} <= names
    columns = {"steps", "labels", "true_return", "predicted_return", "reward_accuracy", "reward_loss", "seconds"}
    table = rows(finished)
    assert columns <= set(table[0])
    config = json.loads((finished / "config.json").read_text())
    assert len(table) == config["rounds"] >= 2
    assert {"task", "labels", "steps", "seed", "algo", "reward", "command", "versions", "commit"} <= set(config)
    assert (config["task"], config["labels"], config["seed"]) == ("moving-dot", 20, 3)
    result = summary(finished)
    expected = {"task", "reward", "labels", "steps", "seed", "true_return", "random_return", "wall_seconds"}
    assert expected | {"steps_per_second", "seconds_fitting"} <= set(result)
    assert 0 <= result["policy_accuracy"] <= 1
    assert result["epic_distance"] is None  # a dot has no simulator
    assert {"reward_calibration_error", "newest_accuracy", "reward_clip_correlation"} <= set(table[0])
    assert (result["task"], result["reward"], result["seed"], result["episodes"]) == ("moving-dot", "learned", 3, 20)
    assert result["steps"] == float(table[-1]["steps"]) >= 4000
    assert result["steps_per_second"] == pytest.approx(result["steps"] / result["wall_seconds"])
    assert result["seconds_fitting"] == pytest.approx(sum(float(row["seconds_fitting"]) for row in table))
    assert -60 < result["random_return"] < -45


def test_the_ablations_of_the_paper(tmp_path: Path) -> None:
    """All in one run: no ensemble, no online queries, no regularization, no segments, target."""
    out = tmp_path / "run"
    single = ["--members", "1", "--acquisition", "uniform", "--upfront", "1", "--no-regularization"]
    command = ["train", "moving-dot", *TINY, *single, "--clip-steps", "1", "--fit", "target", "--out", str(out)]
    assert main([*command, "--quiet"]) == 0
    config = json.loads((out / "config.json").read_text())
    assert (config["clip_steps"], config["clip_seconds"], config["members"], config["upfront"]) == (1, 1 / 10, 1, 1)
    assert config["loop"]["fit"]["loss"] == "squared_error"
    assert config["loop"]["fit"]["weight_decay"] == 0
    assert {(row["asked"], row["labels"], row["weight_decay"]) for row in rows(out)} == {("20", "20", "0.0")}
    with PreferenceStore(out / "preferences.db") as store:
        for comparison in store.comparisons():
            assert [len(option) for option in comparison.options] == [1, 1]
            assert comparison.returns == tuple(
                float(o.true_reward[0]) for o in comparison.options if o.true_reward is not None
            )


def test_recorded_answers_train_again_without_anybody(finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    command = ["train", "moving-dot", "--labels-from", str(finished), "--steps", "2000", "--out", str(out), "--quiet"]
    assert main(command) == 0
    config = json.loads((out / "config.json").read_text())
    assert (config["labels"], config["labeler"]) == (20, "recorded")
    with PreferenceStore(out / "preferences.db") as store, PreferenceStore(finished / "preferences.db") as source:
        assert store.answers() == source.answers()
        assert [c.mu for c in store.comparisons()] == [c.mu for c in source.comparisons()]
    assert {int(row["labels"]) for row in rows(out)} == {20}
    again = tmp_path / "once-more"  # from the copy: the same run, byte for byte
    command[3], command[7] = str(out), str(again)
    assert main([*command, "--labels", "20"]) == 0
    assert summary(again)["true_return"] == summary(out)["true_return"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["moving-dot", "--labels", "21"], "holds 20 answers, but --labels asks for 21"),
        (["pendulum"], "the answers belong to another task"),
        (["moving-dot", "--labeler", "people"], "nobody is asked"),
    ],
)
def test_recorded_answers_that_do_not_fit(
    finished: Path, tmp_path: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *arguments, "--labels-from", str(finished), "--out", str(tmp_path / "no")]) == 2
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_questions_of_several_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "four"
    command = ["train", "moving-dot", "--options", "4", "--labels", "8", "--steps", "2000", "--out", str(out)]
    assert main([*command, "--quiet"]) == 0
    with PreferenceStore(out / "preferences.db") as store:
        assert [len(answer.ranks or ()) for answer in store.answers()] == [4] * 8
        assert len(store.comparisons()) > 8
    assert main(["train", "moving-dot", "--options", "10", "--out", str(tmp_path / "ten")]) == 2
    assert "--options must be between 2 and 9, got 10" in capsys.readouterr().err


def test_labels_are_spent_exactly(finished: Path) -> None:
    with PreferenceStore(finished / "preferences.db") as store:
        assert store.asked == len(store) == 20
        assert {answer.labeler for answer in store.answers()} == {"oracle"}
    assert summary(finished)["labels"] == 20
    labels = [int(row["labels"]) for row in rows(finished)]
    assert labels == sorted(labels)
    assert labels[0] == 5  # a quarter up front
    assert labels[-1] == 20


def test_resuming_a_finished_run_says_so(finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (finished / "summary.json").read_bytes()
    assert main(["resume", str(finished)]) == 0
    assert "is finished already" in capsys.readouterr().out
    assert (finished / "summary.json").read_bytes() == before


def test_an_interrupted_run_resumes_to_the_same_end(finished: Path, stopped: Path) -> None:
    """The policy that comes of it is the same, so its evaluation is, too."""
    assert len(rows(stopped)) == 1
    assert main(["resume", str(stopped), "--quiet"]) == 0
    timed = {"wall_seconds", "steps_per_second", "seconds_fitting"}
    results = [{k: v for k, v in summary(folder).items() if k not in timed} for folder in (finished, stopped)]
    assert results[0] == results[1]


def test_the_baseline_asks_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "baseline"
    assert main(["train", "moving-dot", *TINY, "--reward", "true", "--out", str(folder), "--quiet"]) == 0
    result = summary(folder)
    assert (result["reward"], result["labels"], result["asked"]) == ("true", 0, 0)
    assert result["seconds_fitting"] == 0
    assert all(row["reward_accuracy"] == "" for row in rows(folder))


@pytest.mark.parametrize("arguments", [["--algo", "trpo"], ["--acquisition", "information-gain", "--members", "2"]])
def test_other_settings_train_too(arguments: list[str], tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert main(["train", "moving-dot", *TINY, *arguments, "--out", str(folder), "--quiet"]) == 0
    assert summary(folder)["labels"] == 20


def test_an_irrational_oracle(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ["--oracle-mistake", "1", "--oracle-gamma", "0.9", "--oracle-beta", "2"]
    assert main(["train", "moving-dot", *TINY, *settings, "--out", str(folder), "--quiet"]) == 0
    with PreferenceStore(folder / "preferences.db") as store:
        assert {answer.labeler for answer in store.answers()} == {"oracle:beta=2,gamma=0.9,mistake=1"}


def test_a_run_has_a_name_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["train", "prefrl/MovingDot-v0", *TINY, "--quiet"]) == 0
    assert (tmp_path / "runs" / "prefrl-MovingDot-v0-trpo-20-oracle-seed0" / "summary.json").exists()


def test_a_round_is_long_enough_for_its_clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also in a world without a time limit whose steps are short: else there would be nothing to ask about."""
    (tmp_path / "endless_world_of_a_test.py").write_text(
        "import gymnasium\n"
        "from prefrl_envs.moving_dot import MovingDot\n"
        "class Endless(MovingDot):\n"
        "    metadata = {'render_modes': [], 'render_fps': 1000}\n"
        "gymnasium.register('EndlessWorldOfATest-v0', Endless)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = Train("endless_world_of_a_test:EndlessWorldOfATest-v0", labels=10, clip_seconds=40.0).resolved()
    assert config["episode_steps"] is None
    assert config["clip_steps"] > 1000  # more than the steps of a round would otherwise be
    assert config["loop"]["steps_per_round"] / config["learner"]["num_envs"] >= 2 * config["clip_steps"]


def test_a_folder_may_have_any_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "[v2]"
    assert main(["train", "moving-dot", *TINY, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert f"-> {out}\n" in said
    assert "[bold]" not in said


@pytest.mark.parametrize(
    ("wished", "per_round", "rounds", "updates"),
    [
        (None, 8000, 62, 90),
        (1, 2000, 245, 23),
        (4001, 6000, 82, 68),
        (32_000, 32_000, 16, 360),
        (10**6, 490_000, 1, 5513),
    ],
)
def test_longer_rounds_are_fewer_and_ask_more_at_a_time(
    wished: int | None, per_round: int, rounds: int, updates: int
) -> None:
    """Whole episodes of all environments; what is asked and fitted before any learning stays as it is."""
    config = Train("hopper", steps=500_000, round_steps=wished).resolved()
    loop = config["loop"]
    assert (loop["warmup_steps"], loop["steps_per_round"], config["rounds"]) == (10_500, per_round, rounds)
    assert loop["fit"]["updates"] == updates
    plan = label_plan(700, rounds * per_round, per_round)
    assert sum(plan) == 700
    assert plan[0] == (175 if rounds > 1 else 700)


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Run a command that must fail with one sentence, and return it."""

    def run(*arguments: object) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        said = capsys.readouterr().err
        assert said.startswith("prefrl: ")
        assert said.count("\n") == 1
        assert "Traceback" not in said
        return said

    return run


def test_a_sentence_and_an_exit_code(tmp_path: Path) -> None:
    """In a process of its own: nothing else on stderr, and the folder does not exist."""
    arguments = [*PREFRL, "train", "hoper", "--out", str(tmp_path / "run")]
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("prefrl: no task 'hoper'; did you mean 'hopper'")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--labels", "0"], "--labels must be at least 1, got 0"),
        (["--labels", "-5"], "--labels must be at least 1, got -5"),
        (["--steps", "0"], "--steps must be at least 1, got 0"),
        (["--seed", "-1"], "--seed must be at least 0, got -1"),
        (["--seed", "4294967296"], "--seed must be below 4294967296, got 4294967296"),
        (["--members", "0"], "--members must be at least 1, got 0"),
        (["--threads", "0"], "--threads must be at least 1"),
        (["--fit-updates", "0"], "--fit-updates must be at least 1"),
        (["--noise", "1"], "--noise must be at least 0 and below 1, got 1"),
        (["--noise", "nan"], "--noise must be"),
        (["--upfront", "1.5"], "--upfront must be a share between 0 and 1, got 1.5"),
        (["--upfront", "nan"], "--upfront must be"),
        (["--clip-seconds", "0"], "--clip-seconds must be above 0 and finite, got 0"),
        (["--clip-seconds", "inf"], "--clip-seconds must be above 0 and finite, got inf"),
        (["--round-steps", "0"], "--round-steps must be at least 1, got 0"),
        (["--clip-steps", "0"], "--clip-steps must be at least 1, got 0"),
        (["--clip-steps", "26"], "clips of 26 steps are longer than half an episode of 'moving-dot', 25"),
        (["--fit", "target", "--labeler", "people"], "--fit target needs an oracle"),
        (["--fit", "target", "--reward", "true"], "--fit target needs an oracle"),
        (["--fit", "target", "--oracle-mistake", "0.1"], "leave out --oracle-..."),
        (["--oracle-mistake", "2"], "mistake of an oracle must be between 0 and 1, got 2"),
        (["--oracle-beta", "0"], "beta of an oracle must be above 0"),
        (
            ["--labels", "5000", "--steps", "1000"],
            "5000 comparisons of clips of 15 steps need 75,000 steps, one new clip each, but --steps is 1,000: "
            "ask --labels 66, or train longer",
        ),
        (
            ["--labels", "5", "--steps", "10"],
            "5 comparisons of clips of 15 steps need 75 steps, one new clip each, but --steps is 10: "
            "ask for shorter clips, or train longer",
        ),
    ],
)
def test_numbers_that_cannot_be(
    arguments: list[str], sentence: str, refused: Callable[..., str], tmp_path: Path
) -> None:
    assert sentence in refused("train", "moving-dot", *arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_existing_folder_is_left_alone(finished: Path, refused: Callable[..., str]) -> None:
    before = {path.name: path.stat().st_mtime_ns for path in finished.iterdir()}
    assert f"`prefrl resume {finished}` goes on with it" in refused("train", "moving-dot", *TINY, "--out", finished)
    assert {path.name: path.stat().st_mtime_ns for path in finished.iterdir()} == before


def test_sac_needs_continuous_actions(refused: Callable[..., str], tmp_path: Path) -> None:
    said = refused("train", "moving-dot", *TINY, "--algo", "sac", "--out", tmp_path / "run")
    assert "Discrete(5)" in said
    assert "--algo ppo" in said
    assert not (tmp_path / "run").exists()


def test_resume_of_what_is_no_run(refused: Callable[..., str], tmp_path: Path) -> None:
    assert "is not a run: it has no config.json" in refused("resume", tmp_path)
    assert "is not a run" in refused("resume", tmp_path / "nowhere")


def test_resume_of_a_torn_configuration(refused: Callable[..., str], stopped: Path) -> None:
    path = stopped / "config.json"
    path.write_text(path.read_text()[:100])
    assert "config.json is not a run's configuration" in refused("resume", stopped)


def test_resume_of_another_version_s_run(refused: Callable[..., str], stopped: Path) -> None:
    config = json.loads((stopped / "config.json").read_text())
    (stopped / "config.json").write_text(json.dumps({**config, "format": 99}))
    assert "was begun by another version of prefrl (format 99, this one" in refused("resume", stopped)


def test_resume_with_a_corrupt_store(refused: Callable[..., str], stopped: Path) -> None:
    path = stopped / "preferences.db"
    content = bytearray(path.read_bytes())
    content[4096:12288] = b"\xa5" * 8192
    path.write_bytes(content)
    for companion in ("-wal", "-shm"):
        path.with_name(path.name + companion).unlink(missing_ok=True)
    assert "damaged" in refused("resume", stopped)
    assert len(rows(stopped)) == 1


def test_resume_with_a_store_that_is_none(refused: Callable[..., str], stopped: Path) -> None:
    path = stopped / "preferences.db"
    path.write_text("Dear diary, today I learned to walk. " * 100)
    assert "is not a preference store" in refused("resume", stopped)
    assert path.read_text().startswith("Dear diary")
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE recipes (name)")
    assert "is a database of another program" in refused("resume", stopped)


def test_resume_with_another_version_s_store(refused: Callable[..., str], stopped: Path) -> None:
    with closing(sqlite3.connect(stopped / "preferences.db")) as store:
        store.execute("PRAGMA user_version = 99")
    assert f"has format 99, this prefrl reads format {VERSION}" in refused("resume", stopped)


def test_resume_without_its_store(refused: Callable[..., str], stopped: Path) -> None:
    """Not asked anew behind the user's back."""
    for path in stopped.glob("preferences.db*"):
        path.unlink()
    assert "holds 0 questions, but 5 were asked up to the checkpoint" in refused("resume", stopped)


def test_a_torn_checkpoint_is_no_obstacle(stopped: Path) -> None:
    (stopped / "checkpoints" / "000000" / "learner.safetensors").write_bytes(b"torn")
    assert main(["resume", str(stopped), "--quiet"]) == 0
    assert summary(stopped)["labels"] == 20


def test_a_full_disk(refused: Callable[..., str], stopped: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("prefrl.runs.save_file", full)
        said = refused("resume", stopped, "--quiet")
    assert "No space left on device; the last whole checkpoint and all answers are kept: make room" in said
    assert main(["resume", str(stopped), "--quiet"]) == 0  # with room again
    assert summary(stopped)["labels"] == 20


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_is_read_only(refused: Callable[..., str], tmp_path: Path, stopped: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    assert "Permission denied" in refused("train", "moving-dot", *TINY, "--out", tmp_path / "locked" / "run")
    for path in (stopped, stopped / "checkpoints"):
        path.chmod(0o500)
    assert "cannot write" in refused("resume", stopped)


def test_a_world_that_breaks(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "broken_world_of_a_test.py").write_text(
        "import gymnasium, numpy as np\n"
        "from prefrl_envs.moving_dot import MovingDot\n"
        "class Broken(MovingDot):\n"
        "    def step(self, action):\n"
        "        obs, reward, *rest = super().step(action)\n"
        "        return obs, float('nan'), *rest\n"
        "gymnasium.register('BrokenWorldOfATest-v0', Broken, max_episode_steps=50)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    said = refused("train", "broken_world_of_a_test:BrokenWorldOfATest-v0", *TINY, "--out", tmp_path / "run", "--quiet")
    assert "environment BrokenWorldOfATest-v0 gave a reward with NaN or infinity at step 0" in said


# ---- signals ---------------------------------------------------------------------------------------------------------


def started(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [*PREFRL, "train", "moving-dot", "--out", str(folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT)


def heed(number: signal.Signals) -> None:
    signal.signal(number, signal.SIG_DFL)


def wait_for(there: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not there():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_a_run_that_can_be_resumed(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(folder, "--labels", "20", "--steps", "12000") as process:
        wait_for((folder / "checkpoints" / "000000").exists, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 75, (out, err)
    assert f"Go on with: prefrl resume {folder}" in out
    assert err == ""
    assert not (folder / "summary.json").exists()
    before = len(rows(folder))
    assert before >= 1
    assert main(["resume", str(folder), "--quiet"]) == 0
    assert summary(folder)["labels"] == 20
    assert [int(row["round"]) for row in rows(folder)] == list(range(len(rows(folder))))


def test_kill_9_then_resume(finished: Path, tmp_path: Path) -> None:
    """Nothing can be caught, and nothing is lost: the same end as without."""
    folder = tmp_path / "run"
    with started(folder, *TINY, "--seed", "3") as process:
        wait_for((folder / "metrics.csv").exists, process)
        process.kill()
    assert not (folder / "summary.json").exists()
    assert main(["resume", str(folder), "--quiet"]) == 0
    timed = {"wall_seconds", "steps_per_second", "seconds_fitting"}
    results = [{k: v for k, v in summary(each).items() if k not in timed} for each in (finished, folder)]
    assert results[0] == results[1]


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    """Also while something long goes on that does not ask whether to stop."""
    code = (
        "import sys, time, prefrl.control.learner as learner\n"
        "from prefrl.commands import main\n"
        "def rollout(self, steps):\n"
        "    print('busy', flush=True)\n"
        "    time.sleep(60)\n"
        "learner.ControlLearner.rollout = rollout\n"
        f"main(['train', 'moving-dot', '--labels', '20', '--steps', '4000', '--out', {str(tmp_path / 'run')!r}])"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() != "busy\n":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == -signal.SIGTERM


def test_a_signal_while_it_starts_is_no_traceback(tmp_path: Path) -> None:
    command = [*PREFRL, "train", "moving-dot", "--out", str(tmp_path / "run"), *TINY]
    # SIGINT is ignored from birth where the tests themselves run in the background of a script.
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=ENVIRONMENT, preexec_fn=lambda: heed(signal.SIGINT)
    ) as process:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode in (75, 130, -signal.SIGINT)
    assert "Traceback" not in err or process.returncode == -signal.SIGINT  # before our first line ran


def test_a_signal_during_an_import_is_not_swallowed(tmp_path: Path) -> None:
    """Some modules catch all that is raised while they import another."""
    (tmp_path / "swallowing.py").write_text(
        "try:\n    import interrupting\nexcept BaseException as error:\n    print('swallowed', repr(error))\n"
    )
    (tmp_path / "interrupting.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    code = (
        "import sys, prefrl.commands.doctor as doctor\nfrom prefrl.commands import main\n"
        "def run(self):\n    import swallowing\n    return 0\n"
        "doctor.Doctor.run = run\nsys.exit(main(['doctor']))"
    )
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join([str(tmp_path), ENVIRONMENT.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment,
        preexec_fn=lambda: heed(signal.SIGINT),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "prefrl: stopped\n")


# ---- people ----------------------------------------------------------------------------------------------------------


def test_people_answer_from_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(folder, "--labels", "6", "--steps", "4000", "--labeler", "people") as process:
        assert process.stdout is not None
        lines = []
        while "waiting for" not in (line := process.stdout.readline()):
            assert line, process.communicate()
            lines.append(line)
        assert line == f"waiting for 2 of 2 answers; label them with: prefrl label {folder}\n"
        with PreferenceStore(folder / "preferences.db") as store:
            assert store.asked == 2
            while process.poll() is None:
                for query in store.pending():
                    store.answer(query, (0.0, 1.0), labeler="ada")
                time.sleep(0.05)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (out, err)
    assert summary(folder)["labels"] == 6
    assert json.loads((folder / "config.json").read_text())["labeler"] == "people"


def test_waiting_for_people_can_be_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with started(folder, *TINY, "--labeler", "people") as process:
        assert process.stdout is not None
        while "waiting for 5" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=10)
    assert process.returncode == 75, (out, err)
    assert "prefrl resume" in out


def test_a_run_looks_as_far_ahead_as_its_task_lasts() -> None:
    expected = {"swimmer": 0.999, "hopper-backflip": 0.996, "reacher": 0.99, "Walker2d-v5": 0.99}
    assert {name: Train(name).resolved()["learner"]["gamma"] for name in expected} == pytest.approx(expected)
