"""What a run says while it goes on."""

import re
from pathlib import Path

import pytest

from prefrl.commands.progress import Progress


def progress(folder: Path) -> Progress:
    said = [("score", "12")]
    return Progress(folder, "a run", total=100, rounds=2, unit="steps", lines=lambda row: said, quiet=False)


def test_stages_are_said_until_rounds_tell_where_there_is_no_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with progress(tmp_path) as shown:
        shown.stage("fitting the reward to 500 answers")
        shown.stage("acting and learning")
        shown.say({"steps": 50.0})
        shown.stage("fitting the reward to 600 answers")
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:4] == ["fitting the reward to 500 answers", "acting and learning"]
    assert lines[4].startswith("steps 50 of 100; score 12; ")
    assert len(lines) == 5


def test_a_terminal_shows_the_stage_and_for_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # taken for a terminal
    with progress(tmp_path) as shown:
        shown.say({"steps": 50.0})
        shown.note("waiting for 3 of 600 answers")
        shown.stage("fitting the reward to 600 answers")
    assert re.search(r"\d:\d\d so far; fitting the reward to 600 answers, \d:\d\d", capsys.readouterr().out)
