"""`prefrl labels`: counts, agreement and export."""

import json
from pathlib import Path

import numpy as np
import pytest

from prefrl.commands.labels import Labels, agreement, seconds_per_answer
from prefrl.commands.quality import remarks, side_bias, too_fast
from prefrl.comparisons import Query
from prefrl.errors import PrefrlError
from prefrl.segments import Segment
from prefrl.store import Answer, PreferenceStore


def segment(value: float, reward: float | None) -> Segment:
    obs = np.full((2, 1), value, np.float32)
    return Segment(obs, obs, obs[:0], true_reward=None if reward is None else np.full(2, reward))


def answer(mu: tuple[float, ...] | None, at: str = "2030-01-01T00:00:00.000+00:00") -> Answer:
    return Answer("q", ("a", "b", "c")[: 2 if mu is None else len(mu)], mu, "x", at, {})


def test_agreement_by_hand():
    returns = {"a": 1.0, "b": 2.0, "c": 2.0}
    assert agreement([answer((0, 1)), answer((0.7, 0.3)), answer((0.2, 0.8))], returns) == (2, 3)
    assert agreement([answer((0.5, 0.5)), answer(None)], returns) == (0, 0)  # a tie, cannot tell
    assert agreement([answer((0, 1, 0))], returns) == (0, 0)  # two options are equally good
    assert agreement([answer((0, 1))], {"a": None, "b": 1.0}) == (0, 0)


def shown(mu: tuple[float, ...] | None, sides: str, **provenance: object) -> Answer:
    return Answer("q", ("a", "b"), mu, "x", "2030-01-01T00:00:00.000+00:00", {"shown": list(sides), **provenance})


def test_side_bias_by_hand():
    left, right = shown((1, 0), "ab"), shown((1, 0), "ba")
    assert side_bias([left, right, left, shown((0, 1), "ba")]) == (3, 4)
    assert side_bias([shown(None, "ab"), shown((0.5, 0.5), "ab"), shown((1, 0), "ac"), answer((1, 0))]) == (0, 0)
    assert any("more than chance" in remark for remark in remarks("ann", [left] * 10))
    assert not any("more than chance" in remark for remark in remarks("ann", [left, right] * 5))


def test_too_fast_by_hand():
    assert too_fast([shown((1, 0), "ab", seconds=s) for s in (0.6, 0.8)]) == (1, 2)
    assert too_fast([shown(None, "ab", seconds=s, clip_seconds=2.0, speed=1.0) for s in (1.1, 1.3)]) == (1, 2)
    assert too_fast([shown(None, "ab", seconds=1.1, clip_seconds=2.0, speed=2.0)]) == (0, 1)
    assert too_fast([answer((1, 0))]) == (0, 0)
    assert list(remarks("ann", [shown((1, 0), "ab", note="odd")]))[-1] == "ann flagged 1: odd"
    assert list(remarks("oracle", [answer((1, 0))])) == []


def test_the_pace_leaves_breaks_out_and_knows_no_oracle():
    times = ("00:00:00", "00:00:04", "00:00:10", "01:00:00", "01:00:05")
    assert seconds_per_answer([answer((0, 1), f"2030-01-01T{t}.000+00:00") for t in times]) == 5
    assert seconds_per_answer([answer((0, 1))] * 3) is None
    assert seconds_per_answer([]) is None


def test_counts_and_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    good, bad, unknown = segment(1, 5.0), segment(2, 0.0), segment(3, None)
    first, second, third = Query((good, bad)), Query((bad, unknown)), Query((good, unknown))
    with PreferenceStore(tmp_path / "preferences.db") as store:
        store.ask([first, second, third])
        store.answer(first, (0.0, 1.0), labeler="ann")
        store.answer(first, (1.0, 0.0), labeler="ann")
        store.answer(second, None, labeler="bob")
    assert Labels(tmp_path, export=tmp_path / "out.jsonl").run() == 0
    said = capsys.readouterr().out
    assert "3 asked, 2 answered, 1 waiting" in said
    assert "1 decided, 0 ties, 1 cannot tell" in said
    assert "1 more were changed or withdrawn later" in said
    assert "ann" in said
    assert "1 of 1" in said
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [line["superseded"] for line in lines] == [True, False, False]
    assert lines[1] | {"answered_at": 0} == {
        "query": first.id,
        "options": [good.id, bad.id],
        "mu": [1.0, 0.0],
        "labeler": "ann",
        "answered_at": 0,
        "superseded": False,
        "withdrawn": False,
        "true_returns": [10.0, 0.0],
        "provenance": {},
    }
    assert lines[2]["mu"] is None
    assert lines[2]["true_returns"] == [0.0, None]


def test_an_empty_store_is_counted_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    PreferenceStore(tmp_path / "any.db").close()
    assert Labels(tmp_path / "any.db").run() == 0
    assert "0 asked, 0 answered" in capsys.readouterr().out


def test_bad_input_is_a_sentence_and_makes_no_store(tmp_path: Path):
    with pytest.raises(PrefrlError, match="no comparisons are stored"):
        Labels(tmp_path).run()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "text.db").write_text("this is not a database, although it is long enough for a header")
    with pytest.raises(PrefrlError, match="not a preference store"):
        Labels(tmp_path / "text.db").run()
    PreferenceStore(tmp_path / "any.db").close()
    with pytest.raises(PrefrlError, match="create it first"):
        Labels(tmp_path / "any.db", export=tmp_path / "none" / "out.jsonl").run()
