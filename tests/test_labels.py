"""`prefrl labels`: counts, agreement and export."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from prefrl.answers import Answer, Check, standing
from prefrl.commands.labels import Labels, agreement, seconds_per_answer
from prefrl.commands.quality import (
    agreement_between,
    caught,
    cyclic_triads,
    preferred,
    rates,
    relations,
    remarks,
    retest,
    side_bias,
    too_fast,
)
from prefrl.comparisons import Judgment, Query, Ranking
from prefrl.errors import PrefrlError
from prefrl.segments import Segment, Text
from prefrl.store import PreferenceStore


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


def said(ids: str, judgment: Judgment, labeler: str = "x") -> Answer:
    at = "2030-01-01T00:00:00.000+00:00"
    if isinstance(judgment, Ranking):
        return Answer("".join(sorted(ids)), tuple(ids), None, labeler, at, {}, ranks=judgment.ranks)
    mu = None if judgment is None else tuple(judgment)
    return Answer("".join(sorted(ids)), tuple(ids), mu, labeler, at, {})


def check(kind: str, shown: str, judgment: Judgment) -> Check:
    return Check("n", kind, tuple(shown), judgment, "x", "2030-01-01T00:00:00.000+00:00", {})  # type: ignore[arg-type]


def test_what_an_answer_says_of_every_two_options():
    assert list(relations("ba", (1, 0))) == [("a", "b", -1)]
    assert list(relations("ab", (0.5, 0.5))) == [("a", "b", 0)]
    assert list(relations("ab", None)) == []
    assert list(relations("cab", Ranking((0, 1, 1)))) == [("a", "b", 0), ("a", "c", -1), ("b", "c", -1)]
    assert list(relations("abc", (0, 1, 0))) == [("a", "b", -1), ("b", "c", 1)]  # the best of three
    assert list(preferred("cab", Ranking((0, 1, 1)))) == [("c", "a"), ("c", "b")]


def test_test_retest_and_catches_by_hand():
    answers = [said("ab", (1, 0)), said("cd", (0.5, 0.5)), said("ef", None)]
    repeats = [("ba", (0, 1)), ("dc", (0, 1)), ("fe", None), ("xy", (1, 0))]  # as before, not, as before, unknown
    assert retest(answers, [check("repeat", shown, mu) for shown, mu in repeats]) == (2, 3)
    catches = [check("catch", "aa", mu) for mu in ((1, 0), (0.5, 0.5), None)]
    assert caught(catches) == (2, 3)
    assert retest(answers, catches) == (0, 0)


def test_cyclic_triads_by_hand():
    circle = [said("ab", (1, 0)), said("bc", (1, 0)), said("ca", (1, 0))]
    assert cyclic_triads(circle) == (1, 1)
    assert cyclic_triads([*circle, said("ac", (1, 0))]) == (0, 1)  # changed
    assert cyclic_triads([*circle[:2], said("ca", (0.5, 0.5))]) == (0, 0)
    assert cyclic_triads([said("abcd", Ranking((3, 0, 2, 1)))]) == (0, 4)
    assert cyclic_triads([said("abc", Ranking((0, 1, 2))), said("cd", (1, 0)), said("db", (1, 0))]) == (1, 2)


def test_the_rate_over_time_by_hand():
    def given(seconds: list[float]) -> list[Answer]:
        at = [sum(seconds[:i]) for i in range(len(seconds) + 1)]
        times = [f"2030-01-01T{int(t // 3600):02}:{int(t // 60 % 60):02}:{int(t % 60):02}.000+00:00" for t in at]
        return [answer((1, 0), time) for time in times]

    assert rates(given([3] * 10 + [4] * 10 + [5] * 10 + [6] * 10)) == pytest.approx([20, 15, 12, 10])
    assert rates(given([3] * 20 + [3000] + [4] * 20)) == pytest.approx([20, 20, 15, 15])  # a break
    assert rates(given([3] * 30)) == rates([answer((1, 0))] * 100) == []


def test_agreement_between_labelers():
    """Of 4 pairs ann and bob say 1 1 1 -1 and 1 1 -1 -1. Values: five times 1, three times -1, of 8.

    Observed disagreement 1/4; expected 2 * 5 * 3 / (8 * 7) = 30/56; alpha = 1 - .25 * 56 / 30 = .533.
    """
    mus = ((1, 0), (0, 1))
    ann = [said(ids, mus[i], "ann") for ids, i in zip(("ab", "cd", "ef", "gh"), (0, 0, 0, 1), strict=True)]
    bob = [said(ids, mus[i], "bob") for ids, i in zip(("ab", "cd", "ef", "gh"), (0, 0, 1, 1), strict=True)]
    assert "agree on 3 of 4" in agreement_between([*ann, *bob])
    assert "alpha 0.53" in agreement_between([*ann, *bob])
    assert "no two of them answered the same" in agreement_between([*ann, said("xy", (1, 0), "bob")])
    assert "undefined where everybody said the same" in agreement_between([*ann[:2], *bob[:2]])


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
        "ranks": None,
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


def test_merging_by_command_is_idempotent(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    asked = Query((segment(1, 5.0), segment(2, 0.0)))
    for name in ("a", "b"):
        with PreferenceStore(tmp_path / f"{name}.db") as store:
            store.ask([asked])
            store.answer(asked, (1.0, 0.0), labeler=name)
    for expected in ("0 new questions, 1 answers, 0 checks", "0 new questions, 0 answers, 0 checks"):
        assert Labels(tmp_path / "a.db", merge=tmp_path / "b.db").run() == 0
        assert expected in (out := capsys.readouterr().out)
        assert "1 answers are second opinions" in out
    with pytest.raises(PrefrlError, match="merged with itself"):
        Labels(tmp_path / "a.db", merge=tmp_path / "a.db").run()
    with pytest.raises(PrefrlError, match="no comparisons are stored"):
        Labels(tmp_path / "a.db", merge=tmp_path / "c.db").run()


def test_exported_answers_come_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    pair, three = Query((segment(1, 5.0), segment(2, 0.0))), Query(tuple(segment(i, None) for i in (3, 4, 5)))
    for name in ("a", "b"):
        with PreferenceStore(tmp_path / f"{name}.db") as store:
            store.ask([pair, three])
    with PreferenceStore(tmp_path / "a.db") as store:
        store.answer(pair, (0.0, 1.0), labeler="ann", provenance={"seconds": 2.5})
        store.withdraw(pair, labeler="ann")
        store.answer(three, Ranking((1, 0, 1)), labeler="bob")
        before = store.answers()
    assert Labels(tmp_path / "a.db", export=tmp_path / "out.jsonl").run() == 0
    for expected in ("3 of 3 answers", "0 of 3 answers"):
        assert Labels(tmp_path / "b.db", import_=tmp_path / "out.jsonl").run() == 0
        assert expected in capsys.readouterr().out
    with PreferenceStore(tmp_path / "b.db") as store:
        assert store.answers() == before
    (tmp_path / "bad.jsonl").write_text('{"options": ["x", "y"], "mu": [1, 0]}\n')
    with pytest.raises(PrefrlError, match=r"bad.jsonl, line 1: it answers a question that was not asked here"):
        Labels(tmp_path / "b.db", import_=tmp_path / "bad.jsonl").run()
    for line in ("[]", "{", '{"options": [1]}', '{"options": ["x", "y"], "mu": [1, 1]}', '{"chosen": "x"}'):
        (tmp_path / "bad.jsonl").write_text(f"\n{line}\n")
        with pytest.raises(PrefrlError, match=r"bad.jsonl, line 2: .*nothing was taken over"):
            Labels(tmp_path / "b.db", import_=tmp_path / "bad.jsonl").run()


@pytest.fixture
def imported(tmp_path: Path) -> Callable[..., list[Answer]]:
    """Import answers about one pair, given by what differs from a plain answer; the log that came of it."""
    pair = Query((segment(1, 5.0), segment(2, 0.0)))
    with PreferenceStore(tmp_path / "a.db") as store:
        store.ask([pair])

    def run(*entries: dict[str, Any]) -> list[Answer]:
        plain = {"options": [option.id for option in pair.options], "mu": [1, 0]}
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(plain | entry) + "\n" for entry in entries))
        assert Labels(tmp_path / "a.db", import_=tmp_path / "in.jsonl").run() == 0
        with PreferenceStore(tmp_path / "a.db") as store:
            store.comparisons()
            return store.answers()

    return run


def test_times_of_any_zone_are_compared_as_times(imported: Callable[..., list[Answer]]) -> None:
    log = imported(
        {"answered_at": "2026-07-01T12:30:00+02:00", "labeler": "ann", "mu": [1, 0]},  # 10:30 in UTC
        {"answered_at": "2026-07-01T11:00:00Z", "labeler": "ann", "mu": [0, 1]},
        {"answered_at": "20260701T105959", "labeler": "ann", "mu": [0.5, 0.5]},
    )
    assert [answer.answered_at for answer in log] == [
        "2026-07-01T10:30:00.000+00:00",
        "2026-07-01T10:59:59.000+00:00",
        "2026-07-01T11:00:00.000+00:00",
    ]
    assert [answer.mu for answer in standing(log)] == [(0, 1)]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"answered_at": "0001-01-01"}, "answered_at 0001-01-01 does not lie between 1970 and now"),
        ({"answered_at": "2999-01-01"}, "answered_at 2999-01-01 does not lie between 1970 and now"),
        ({"answered_at": "9999-12-31T23:00:00-05:00"}, "nothing was taken over"),
        ({"provenance": {"returns": None}}, "provenance.returns must hold a number for each option, got None"),
        ({"provenance": {"returns": {"x": 1.0}}}, "provenance.returns must hold a number for each option"),
        ({"provenance": {"shown": [[1], [2]]}}, r"provenance.shown must be a list of options, got \[\[1\], \[2\]\]"),
        ({"provenance": [1]}, r"provenance must hold names and values, got \[1\]"),
        ({"mu": None, "ranks": [0.9, 1.2]}, r"places must be whole numbers, got \[0.9, 1.2\]"),
        ({"mu": None, "ranks": [math.inf, 0]}, "nothing was taken over"),
        ({"labeler": "\ud800"}, "nothing was taken over"),
    ],
)
def test_what_would_damage_a_store_is_not_taken_over(
    entry: dict[str, Any], said: str, imported: Callable[..., list[Answer]]
) -> None:
    with pytest.raises(PrefrlError, match=f"in.jsonl, line 1: .*{said}"):
        imported(entry)
    assert len(imported({}, {})) == 1  # the same line twice is one answer


def test_a_labeler_may_have_any_name(imported: Callable[..., list[Answer]], capsys: pytest.CaptureFixture[str]) -> None:
    imported({"labeler": "[/ann]"}, {"labeler": "[gpt]"}, {"labeler": "all"})
    table = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert [row for row in table if row and row[0] in ("[/ann]", "[gpt]", "all")] == [
        ["[/ann]", "1"], ["[gpt]", "1"], ["all", "1"], ["all", "3"],
    ]  # fmt: skip


def test_texts_go_out_and_in_as_prompt_chosen_and_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    def text(number: int) -> Segment:
        obs = np.full((2, 1), number)
        return Segment(obs, obs, obs[:0], view=Text("Why?", f"Because of {number}."))

    three, pair = Query((text(1), text(2), text(3))), Query((text(1), text(2)))
    with PreferenceStore(tmp_path / "a.db") as store:
        store.ask([three, pair])
        store.answer(three, Ranking((1, 0, 1)), labeler="ann")
    assert Labels(tmp_path / "a.db", export_text=tmp_path / "out.jsonl").run() == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(line["prompt"], line["chosen"]) for line in lines] == [("Why?", "Because of 2.")] * 2
    assert {line["rejected"] for line in lines} == {"Because of 1.", "Because of 3."}
    (tmp_path / "in.jsonl").write_text(json.dumps(next(x for x in lines if "1" in x["rejected"])) + "\n")
    for expected in ("1 of 1", "0 of 1"):
        Labels(tmp_path / "a.db", import_=tmp_path / "in.jsonl", name="bob").run()
        assert expected in capsys.readouterr().out
    with PreferenceStore(tmp_path / "a.db") as store:
        (given,) = [a for a in store.answers() if a.labeler == "bob"]
        assert dict(zip(given.option_ids, given.mu or (), strict=True)) == {text(2).id: 1.0, text(1).id: 0.0}
    unescaped = json.dumps({"prompt": "Why?", "chosen": "A\u2028line.", "rejected": "B"}, ensure_ascii=False)
    (tmp_path / "in.jsonl").write_text(unescaped)
    with pytest.raises(PrefrlError, match="line 1: the chosen text was not asked about here"):
        Labels(tmp_path / "a.db", import_=tmp_path / "in.jsonl").run()
    (tmp_path / "in.jsonl").write_text('{"prompt": "Why?", "chosen": "No.", "rejected": "Because of 1."}')
    with pytest.raises(PrefrlError, match="line 1: the chosen text was not asked about here"):
        Labels(tmp_path / "a.db", import_=tmp_path / "in.jsonl").run()
