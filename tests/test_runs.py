import csv
import errno
import json
import math
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from killing import Killed

from prefrl import files, runs
from prefrl.errors import Interrupted, PrefrlError
from prefrl.files import write_atomically, write_json
from prefrl.provenance import provenance
from prefrl.runs import (
    Run,
    create_folder,
    newest_checkpoint,
    only_process,
    read_config,
)
from prefrl.segments import Frames, Segment, SimulatorStates


class Number:
    """A learner that is one number."""

    def __init__(self, value: int = 0) -> None:
        self.value = value

    def save(self, folder: Path) -> None:
        (folder / "learner.json").write_text(json.dumps(self.value))

    def load(self, folder: Path) -> None:
        self.value = json.loads((folder / "learner.json").read_text())


def linear(value: float) -> torch.nn.Module:
    model = torch.nn.Linear(2, 1)
    torch.nn.init.constant_(model.weight, value)
    torch.nn.init.constant_(model.bias, -value)
    return model


def segment(value: float, **settings: Any) -> Segment:
    return Segment(np.full((3, 2), value, np.float32), np.arange(3), np.zeros((0, 2), np.float32), **settings)


def run_in(folder: Path, seed: int = 0) -> Run:
    return Run(folder, seed=seed, say=lambda row: None, stage=lambda words: None)


def saved(folder: Path, rounds: int) -> Run:
    """A run of so many rounds; round r leaves the number r, weights of r and r segments."""
    run = run_in(folder)
    for round_ in run.remaining(rounds):
        run.log(round_, {"steps": 10 * (round_ + 1)})
        run.save(round_, Number(round_), linear(round_), [segment(i) for i in range(round_)], asked=5 * round_)
    return run


def restored(folder: Path) -> tuple[Run, int, float, int]:
    """The run, and what its learner, its ensemble and its segments came back as."""
    run, learner, model = run_in(folder), Number(-1), linear(-1)
    segments = run.restore(learner, model)
    assert [s.obs[0, 0] for s in segments] == list(range(len(segments)))
    return run, learner.value, float(next(model.parameters()).detach()[0, 0]), len(segments)


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# ---- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics_are_a_row_a_round(tmp_path: Path) -> None:
    said: list[Any] = []
    run = Run(tmp_path, seed=0, say=said.append, stage=lambda words: None)
    run.log(0, {"steps": 100.0, "true_return": math.nan, "labels": 3})
    run.log(1, {"steps": 200.0, "true_return": -1.5, "labels": 4})
    first, second = rows(tmp_path)
    assert list(first) == ["round", "steps", "true_return", "labels", "seconds"]
    assert (first["steps"], first["true_return"], first["labels"]) == ("100.0", "", "3")
    assert (second["round"], second["true_return"]) == ("1", "-1.5")
    assert float(second["seconds"]) >= float(first["seconds"]) >= 0
    assert [row["steps"] for row in said] == [100.0, 200.0]
    assert run.total("steps") == 300
    assert run.total("true_return") == -1.5


def test_the_columns_stay_those_of_the_first_round(tmp_path: Path) -> None:
    """A run that an older version began goes on in a newer one that measures more, or something less."""
    run = run_in(tmp_path)
    run.log(0, {"steps": 1.0, "old": 2.0})
    run.log(1, {"new": 3.0, "steps": 4.0})
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines[0] == "round,steps,old,seconds"
    assert [line.split(",")[:3] for line in lines[1:]] == [["0", "1.0", "2.0"], ["1", "4.0", ""]]


def test_rows_of_rounds_that_will_be_repeated_are_dropped(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    run_in(tmp_path).log(3, {"steps": 40})  # killed before its checkpoint was written
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,5")  # killed in the middle of a row
    run, *_ = restored(tmp_path)
    assert [row["round"] for row in rows(tmp_path)] == ["0", "1", "2"]
    run.log(3, {"steps": 41})
    assert [row["steps"] for row in rows(tmp_path)] == ["10", "20", "30", "41"]


def test_a_row_is_on_the_disk_before_the_checkpoint_of_its_round(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a power cut could lose it for good: the round is not repeated."""
    synced: list[Path] = []
    monkeypatch.setattr(runs, "sync", synced.append)
    run = run_in(tmp_path)
    for round_ in run.remaining(2):
        run.log(round_, {"steps": 1.0})
        assert tmp_path / "metrics.csv" in synced
        assert (tmp_path in synced) == (round_ == 0)  # the folder that has got a file
        synced.clear()
        run.save(round_, Number(), linear(0.0), [], asked=0)
        synced.clear()


def test_killed_in_the_first_round(tmp_path: Path) -> None:
    run_in(tmp_path).log(0, {"steps": 1})
    run, *_ = restored(tmp_path)
    assert run.next_round == 0
    run.log(0, {"steps": 2, "more": 1})
    assert [row["steps"] for row in rows(tmp_path)] == ["2"]


def test_time_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr(runs.time, "perf_counter", lambda: clock[0])
    run = run_in(tmp_path)
    clock[0] += 7
    run.save(0, Number(), linear(0), [], asked=0)
    clock[0] += 1000  # after the checkpoint, and while nothing ran
    again, *_ = restored(tmp_path)
    clock[0] += 2
    assert again.seconds == 9


# ---- checkpoints -----------------------------------------------------------------------------------------------------


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    saved(tmp_path, 3)
    run, learner, weight, segments = restored(tmp_path)
    assert (run.next_round, run.asked, learner, weight, segments) == (3, 10, 2, 2.0, 2)
    assert list(run.remaining(5)) == [3, 4]


def test_segments_come_back_with_all_that_they_had(tmp_path: Path) -> None:
    views = [
        None,
        SimulatorStates("World-v0", np.ones((3, 4), np.float32), 20.0),
        Frames(np.ones((3, 2, 2, 3), np.uint8), 5.0),
    ]
    given = [segment(i, true_reward=np.array([1.0, 2.0, i]), view=view) for i, view in enumerate(views)]
    run_in(tmp_path).save(0, Number(), linear(0), given, asked=0)
    back = run_in(tmp_path).restore(Number(), linear(0))
    assert [s.id for s in back] == [s.id for s in given]
    for a, b in zip(given, back, strict=True):
        assert b.true_reward is not None
        np.testing.assert_array_equal(a.true_reward, b.true_reward)
        assert type(a.view) is type(b.view)
    assert isinstance(back[1].view, SimulatorStates)
    assert back[1].view.env_id == "World-v0"


def test_the_newest_two_are_kept(tmp_path: Path) -> None:
    saved(tmp_path, 12)
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["000010", "000011"]


def test_no_checkpoint_yet(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path) is None
    run, learner, weight, segments = restored(tmp_path)
    assert (run.next_round, run.asked, learner, weight, segments) == (0, 0, -1, -1.0, 0)


FILES = ("learner.json", "ensemble.safetensors", "segments.bin", "state.json", "manifest.json")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("harm", ["truncated", "emptied", "missing", "flipped"])
def test_a_torn_checkpoint_is_passed_over(file: str, harm: str, tmp_path: Path) -> None:
    saved(tmp_path, 3)
    path = tmp_path / "checkpoints" / "000002" / file
    content = bytearray(path.read_bytes())
    if harm == "truncated":
        path.write_bytes(content[:-1])
    elif harm == "emptied":
        path.write_bytes(b"")
    elif harm == "missing":
        path.unlink()
    else:
        content[len(content) // 2] ^= 0x08
        path.write_bytes(content)
    run, learner, weight, segments = restored(tmp_path)
    assert (run.next_round, run.asked, learner, weight, segments) == (2, 5, 1, 1.0, 1)
    assert [row["round"] for row in rows(tmp_path)] == ["0", "1"]


def test_no_flipped_bit_is_ever_believed(tmp_path: Path) -> None:
    """Bytes of every file: each is either noticed or, as white space, of no consequence."""
    saved(tmp_path, 2)
    for file in FILES:
        path = tmp_path / "checkpoints" / "000001" / file
        content = path.read_bytes()
        for at in range(0, len(content), max(1, len(content) // 60)):
            path.write_bytes(content[:at] + bytes([content[at] ^ 0x04]) + content[at + 1 :])
            newest = newest_checkpoint(tmp_path)
            assert newest is not None
            if newest.name == "000001":
                assert file == "manifest.json"
                assert json.loads(path.read_text()) == json.loads(content)
        path.write_bytes(content)


def test_nothing_whole_begins_anew(tmp_path: Path) -> None:
    saved(tmp_path, 2)
    for name in ("000000", "000001"):
        (tmp_path / "checkpoints" / name / "manifest.json").write_text("{}")
    assert newest_checkpoint(tmp_path) is None


def test_killed_at_any_moment_of_a_save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint is there whole or not at all, and the one before it stays until then."""
    steps = ["mkdir", "rename", "write_text", "sync", "rmtree", "save_file"]
    for name in steps:
        for nth in range(1, 8):
            folder = tmp_path / f"{name}-{nth}"
            folder.mkdir()
            saved(folder, 2)
            calls = []
            with monkeypatch.context() as patch:
                of_path = name in ("mkdir", "rename", "write_text")
                owner: Any = Path if of_path else runs.shutil if name == "rmtree" else runs
                real = getattr(owner, name)

                def dies(*args: Any, **kwargs: Any) -> Any:
                    calls.append(1)  # noqa: B023
                    if len(calls) == nth:  # noqa: B023
                        raise Killed
                    return real(*args, **kwargs)  # noqa: B023

                patch.setattr(owner, name, dies)
                try:
                    run_in(folder).save(2, Number(2), linear(2), [segment(0), segment(1)], asked=10)
                except Killed:
                    pass
                else:
                    continue
            run, learner, weight, segments = restored(folder)
            assert (run.next_round, learner, weight, segments) in ((2, 1, 1.0, 1), (3, 2, 2.0, 2))
            # And it can be written again.
            run.save(2, Number(2), linear(2), [segment(0), segment(1)], asked=10)
            assert restored(folder)[1] == 2
            assert not list((folder / "checkpoints").glob("*.partial"))


def full(*args: Any, **kwargs: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("part", ["sync", "save_file", "encode_segment"])
def test_a_full_disk_keeps_the_last_checkpoint(part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved(tmp_path, 2)
    with monkeypatch.context() as patch:
        patch.setattr(runs, part, full)
        with pytest.raises(PrefrlError, match="No space left on device; the last whole"):
            run_in(tmp_path).save(2, Number(2), linear(2), [segment(0)], asked=0)
    assert restored(tmp_path)[1] == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_room_for_a_row(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").symlink_to("/dev/full")
    with pytest.raises(PrefrlError, match=r"cannot write .*metrics.csv: No space left on device"):
        run_in(tmp_path).log(0, {"steps": 1})


def test_a_learner_that_cannot_write_is_explained(tmp_path: Path) -> None:
    """safetensors wraps the system's error in its own."""

    class InTheWay(Number):
        def save(self, folder: Path) -> None:
            (folder / "ensemble.safetensors").mkdir()

    with pytest.raises(PrefrlError, match="cannot write"):
        run_in(tmp_path).save(0, InTheWay(), linear(0), [], asked=0)


# ---- files -----------------------------------------------------------------------------------------------------------


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "summary.json"
    write_atomically(path, "old")
    for error, expected in ((Killed(), Killed), (OSError(errno.ENOSPC, "full"), PrefrlError)):
        with monkeypatch.context() as patch:
            patch.setattr(files, "sync", lambda path, error=error: (_ for _ in ()).throw(error))
            with pytest.raises(expected):
                write_atomically(path, "new")
        assert path.read_text() == "old"
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["summary.json"]


def test_json_has_no_nan_and_no_infinity(tmp_path: Path) -> None:
    """A run whose loss went through the roof still has a summary in the end."""
    write_json(tmp_path / "a.json", {"a": math.nan, "b": 1.5, "c": None, "d": [{"e": math.inf}, "x"]})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": None, "b": 1.5, "c": None, "d": [{"e": None}, "x"]}


def test_an_existing_run_is_not_written_over(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    create_folder(folder, {"task": "x"})
    assert read_config(folder) == {"task": "x"}
    with pytest.raises(PrefrlError, match=rf"{folder} already exists: `prefrl resume {folder}` goes on with it"):
        create_folder(folder, {"task": "y"})
    assert read_config(folder) == {"task": "x"}
    (tmp_path / "other").mkdir()
    create_folder(tmp_path / "other", {})  # an empty one is fine
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(PrefrlError, match="full already exists: it is not empty; or name another with --out"):
        create_folder(tmp_path / "full", {})
    with pytest.raises(PrefrlError, match=r"thesis.tex already exists"):
        create_folder(tmp_path / "full" / "thesis.tex", {})
    with pytest.raises(PrefrlError, match="Not a directory"):
        create_folder(tmp_path / "full" / "thesis.tex" / "run", {})


def test_a_folder_that_is_read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o500)
    if os.geteuid() == 0:  # root may write anywhere

        def refused(*_: Any, **__: Any) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(PrefrlError, match=rf"cannot write {tmp_path}/run: Permission denied"):
        create_folder(tmp_path / "run", {})


def test_a_disk_too_full_to_begin_leaves_nothing_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full)
        with pytest.raises(PrefrlError, match=rf"cannot write {tmp_path}/run: No space left on device; make room"):
            create_folder(tmp_path / "run", {"task": "x"})
    assert not (tmp_path / "run").exists()
    create_folder(tmp_path / "run", {"task": "x"})


def test_a_configuration_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(PrefrlError, match=r"is not a run: it has no config.json; `prefrl train TASK --out"):
        read_config(tmp_path)
    for content in (b"", b'{"task": "hop', b"[1, 2]", b"\xff\xfe\x00"):
        (tmp_path / "config.json").write_bytes(content)
        with pytest.raises(PrefrlError, match=r"config.json is not a run's configuration \(.*\); restore it or begin"):
            read_config(tmp_path)


def test_provenance_says_how_a_result_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["/somewhere/bin/prefrl", "train", "hopper"])
    made = provenance()
    assert made["command"] == "prefrl train hopper"
    assert {"python", "prefrl", "torch", "gymnasium", "stable-baselines3"} <= set(made["versions"])
    assert made["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", made["commit"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", made["started"])
    json.dumps(made)


def test_without_git_there_is_no_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert provenance()["commit"] is None


# ---- randomness and stopping -----------------------------------------------------------------------------------------


def test_each_part_of_each_round_has_its_own_generator(tmp_path: Path) -> None:
    run, drawn = run_in(tmp_path, seed=3), {}
    for round_ in range(5):
        for part in range(3):
            drawn[round_, part] = run.generator(round_, part).integers(2**62)
    assert len(set(drawn.values())) == 15
    assert run_in(tmp_path, seed=3).generator(4, 2).integers(2**62) == drawn[4, 2]
    assert run_in(tmp_path, seed=4).generator(4, 2).integers(2**62) != drawn[4, 2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_for_a_stop_a_second_of_either_kind_stops_at_once(number: int, tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.catch_signals()
    run.check()
    os.kill(os.getpid(), number)
    with pytest.raises(Interrupted):
        run.check()
    with pytest.raises(Interrupted):
        list(run.remaining(3))
    with pytest.raises(Interrupted):
        run.pause(60.0)  # does not sleep through it
    assert signal.getsignal(signal.SIGINT) == signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_a_pause_lasts(tmp_path: Path) -> None:
    run_in(tmp_path).pause(0.001)


def test_a_run_is_held_by_one_process(tmp_path: Path) -> None:
    with (
        only_process(tmp_path),
        pytest.raises(PrefrlError, match="being trained by another process"),
        only_process(tmp_path),
    ):
        pass
    with only_process(tmp_path):  # free again
        pass
