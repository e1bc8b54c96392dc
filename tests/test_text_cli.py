"""`prefrl text ...` from end to end on tiny files, and what it says of files and models that are wrong."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pytest
import torch
from killing import Killed
from pyarrow import parquet
from text_worlds import WORDS, tiny

from prefrl.commands import main, training
from prefrl.commands.text.setup import memory
from prefrl.errors import PrefrlError
from prefrl.runs import Run, newest_checkpoint
from prefrl.store import PreferenceStore
from prefrl.text.data import read_comparisons, read_demonstrations, read_prompts
from prefrl.text.models import LanguageModel, save_model

GOLD = "text_worlds:count_gold"
QUICK = ["--threads", "1", "--device", "cpu"]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with documents, demonstrations, prompts, comparisons and a tiny model."""
    folder = tmp_path_factory.mktemp("files")
    prompts = [f"w{i} w{i + 1} w{i + 2}" for i in range(12)]
    write(
        folder / "docs.jsonl",
        [{"text": f"w{i % 20} w{(i + 1) % 20} w{(i + 2) % 20} w{(i * 7) % 20}"} for i in range(80)],
    )
    write(folder / "prompts.jsonl", [{"prompt": p} for p in prompts])
    write(folder / "demos.jsonl", [{"prompt": p, "answer": f"w{i % 5} w1"} for i, p in enumerate(prompts * 2)])
    write(
        folder / "comparisons.jsonl",
        [
            *({"prompt": p, "chosen": "w1 w2", "rejected": f"w{i} w9"} for i, p in enumerate(prompts, start=7)),
            *({"prompt": p, "answers": ["w12", "w1", "w15 w3", "w2 w4"], "ranks": [3, 1, 3, 2]} for p in prompts[:4]),
            {"prompt": prompts[0], "answers": ["w3", "w16"], "mu": [0.8, 0.2]},
            {"prompt": prompts[0], "answers": ["w17", "w18", "w0"], "choice": 2},
        ],
    )
    save_model(tiny(), folder / "model")
    return folder


def text(*arguments: object) -> int:
    return main(["text", *map(str, arguments)])


def train(files: Path, out: Path, *more: object) -> int:
    return text(
        *("train", "--model", files / "model", "--prompts", files / "prompts.jsonl", "--gold", GOLD, "--labels", 16),
        *("--steps", 96, "--batch-size", 32, "--minibatch-size", 16, "--batches", 1, "--most-tokens", 8),
        *("--members", 2, "--fit-updates", 3, "--best-of", 4, "--out", out, "--quiet", *QUICK, *more),
    )


# ---- from end to end -------------------------------------------------------------------------------------------------


def test_two_threads_train_to_the_end(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Policy and values learn side by side then, and only one of the two may look into the store."""
    monkeypatch.setattr(training, "BEAT_SECONDS", 0.0)  # at every check, or a run this short would never do
    threads = torch.get_num_threads()
    try:
        assert train(files, tmp_path / "run", "--threads", 2) == 0
    finally:
        torch.set_num_threads(threads)
    assert (tmp_path / "run" / "summary.json").is_file()


def test_the_three_steps_from_nothing(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, sft, reward, run = (tmp_path / name for name in ("base", "sft", "reward", "run"))
    shape = ["--layers", 1, "--hidden", 16, "--heads", 2, "--context", 48, "--block", 16, "--held-out", 0.2]
    assert text("pretrain", "--documents", files / "docs.jsonl", "--out", base, *shape, *QUICK) == 0
    assert text("sft", "--model", base, "--data", files / "demos.jsonl", "--out", sft, *QUICK) == 0
    said = capsys.readouterr().out
    assert "held out" in said
    assert re.search(r"^learning from \d+ examples$", said, re.MULTILINE)
    data = ["--data", files / "comparisons.jsonl", "--demonstrations", files / "demos.jsonl", "--held-out", 0.3]
    assert text("reward", "--model", sft, *data, "--epochs", 3, "--out", reward, *QUICK) == 0
    assert "of the answers to prompts held out predicted, calibration error" in capsys.readouterr().out
    small = ["--steps", 64, "--batch-size", 32, "--minibatch-size", 16, "--batches", 1, "--most-tokens", 8]
    prompts = ["--prompts", files / "prompts.jsonl"]
    given = ["--labels", 0, "--reward-model", reward, "--learner", "rloo", "--gold", GOLD, "--best-of", 0]
    assert text("train", "--model", sft, *prompts, *given, *small, "--out", run, *QUICK) == 0
    assert "gold" in capsys.readouterr().out
    assert not (run / "best_of.json").exists()
    assert json.loads((run / "summary.json").read_text())["labels"] == 0
    assert (
        text(
            "sample",
            "--model",
            run,
            *prompts,
            "--each",
            2,
            "--most-tokens",
            8,
            "--gold",
            GOLD,
            "--out",
            tmp_path / "a.jsonl",
        )
        == 0
    )
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert len(rows) == 24
    assert {"prompt", "answer", "gold"} == set(rows[0])
    shots = ["--few-shot", write(tmp_path / "shots.jsonl", [{"prompt": "w1", "answer": "w2"}])]
    template = ["--template", "{prompt} w0 {answer} w0 "]
    assert text("sample", "--model", base, "--prompt", "w3", *shots, *template, "--most-tokens", 4) == 0
    assert json.loads(capsys.readouterr().out)["prompt"] == "w3"
    assert text("compare", base, sft, run, *prompts, "--gold", GOLD, "--most-tokens", 8) == 0
    shown = capsys.readouterr().out
    assert "at equal length" in shown
    assert shown.count("%") >= 3
    likeliest = ["--most-tokens", 8, "--temperature", 0]
    assert text("compare", sft, sft, *prompts, "--gold", GOLD, *likeliest, "--seed", 1) == 0
    assert "50.0% (50.0% to 50.0%)" in capsys.readouterr().out


def test_the_whole_online_loop_and_its_report(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train(files, tmp_path / "run") == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["labels"], summary["asked"], summary["steps"]) == (16, 16, 128)
    with PreferenceStore(tmp_path / "run" / "preferences.db") as store:
        assert len(store) == 16
    header = (tmp_path / "run" / "metrics.csv").read_text().splitlines()[0].split(",")
    assert {"steps", "true_return", "predicted_return", "sqrt_kl", "kl", "ended", "seconds_generating"} <= set(header)
    assert {"newest_accuracy", "true_return_std", "predicted_return_std"} <= set(header)
    live = json.loads((tmp_path / "run" / "best_of.json").read_text())
    assert [row["n"] for row in live["curve"]] == [1, 2, 4]
    assert main(["report", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run" / "report" / "report.png").stat().st_size > 10_000
    assert text("reward", "--model", files / "model", "--data", tmp_path / "run" / "preferences.db", "--out",
                tmp_path / "again", "--quiet", *QUICK) == 0  # fmt: skip
    assert main(["resume", str(tmp_path / "run")]) == 0
    assert "finished already" in capsys.readouterr().out


def test_best_of_n(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the reward model of a run, which tells what it was asked and judged by, and of `prefrl text reward`."""
    small = ["--first", 3, "--most", 5, "--most-tokens", 6, *QUICK]
    assert train(files, tmp_path / "run") == 0
    assert text("best-of", tmp_path / "run", *small) == 0
    shown = capsys.readouterr().out
    assert "best of" in shown
    assert " - " not in shown
    found = json.loads((tmp_path / "run" / "best_of.json").read_text())
    assert (found["prompts"], found["answers"], found["seed"]) == (3, 5, 0)
    assert [row["n"] for row in found["curve"]] == [1, 2, 4, 5]
    predicted = [row["predicted_return"] for row in found["curve"]]
    assert predicted == sorted(predicted)
    assert text("reward", "--model", files / "model", "--data", files / "comparisons.jsonl", "--out",
                tmp_path / "reward", "--quiet", *QUICK) == 0  # fmt: skip
    assert text("best-of", tmp_path / "reward", *small) == 2
    assert "tells of no prompts" in capsys.readouterr().err
    out = tmp_path / "found.json"
    assert text("best-of", tmp_path / "reward", *small, "--prompts", files / "prompts.jsonl", "--out", out) == 0
    assert json.loads(out.read_text())["curve"][0]["true_return"] is None
    # A run learns on from the reward model of another.
    given = ["--labels", 0, "--reward-model", tmp_path / "run"]
    assert train(files, tmp_path / "next", *given) == 0
    assert text("best-of", tmp_path / "next", *small) == 0
    again = json.loads((tmp_path / "next" / "best_of.json").read_text())["curve"]
    assert [row["predicted_return"] for row in again] == pytest.approx(predicted, abs=1e-5)


def test_simulated_people_rank_in_the_loop(files: Path, tmp_path: Path) -> None:
    """Each question is answered by one of them; all pairs of a ranking are what the reward is fitted to."""
    people = ["--labeler", "simulated:text_worlds:fans", "--options", 4]
    assert train(files, tmp_path / "run", *people) == 0
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (config["loop"]["options"], config["pairs"]) == (4, True)
    with PreferenceStore(tmp_path / "run" / "preferences.db", pairs=True) as store:
        log = store.answers()
        assert {answer.labeler for answer in log} == {"zoe", "max"}
        assert len({answer.query_id for answer in log}) == len(log) == 16
        assert all(answer.ranks is not None and sorted(answer.ranks) == [0, 1, 2, 3] for answer in log)
        pairs = store.comparisons()
    assert len(pairs) == 16 * 6
    assert {len(pair.options) for pair in pairs} == {2}
    assert len({pair.ranking for pair in pairs}) == 16


@pytest.mark.parametrize("learner", ["dpo", "ppo"])
def test_adapters_and_dpo_in_the_loop(learner: str, files: Path, tmp_path: Path) -> None:
    lora = ["--lora", 2] if learner == "ppo" else []
    assert train(files, tmp_path / "run", "--learner", learner, *lora) == 0
    assert (tmp_path / "run" / "model" / "model.safetensors").exists()


def test_a_killed_command_is_resumed_and_comes_out_the_same(files: Path, tmp_path: Path) -> None:
    """`prefrl text train` in a process of its own, killed once it has a checkpoint, against one that was not."""
    assert train(files, tmp_path / "whole") == 0
    command = [sys.executable, "-c", "import sys; from test_text_cli import *; train(*map(Path, sys.argv[1:]))"]
    with subprocess.Popen([*command, str(files), str(tmp_path / "cut")], cwd=Path(__file__).parent) as process:
        deadline = time.monotonic() + 300
        while newest_checkpoint(tmp_path / "cut") is None:
            assert time.monotonic() < deadline, "no checkpoint after 300 s"
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert main(["resume", str(tmp_path / "cut"), "--quiet"]) == 0
    weights = [(tmp_path / name / "model" / "model.safetensors").read_bytes() for name in ("whole", "cut")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("verb", ["pretrain", "sft", "reward"])
def test_other_steps_are_resumed_too(verb: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the first checkpoint, or for a reward model, which is one fit, before the summary."""
    model = ["--model", files / "model", "--data"]
    arguments = {
        "pretrain": ["--documents", files / "docs.jsonl", "--layers", 1, "--hidden", 16, "--heads", 2, "--block", 16],
        "sft": [*model, files / "demos.jsonl", "--epochs", 2],
        "reward": [*model, files / "comparisons.jsonl", "--members", 2],
    }[verb]

    def carry_out(out: Path) -> int:
        return text(verb, *arguments, "--out", out, "--quiet", *QUICK)

    assert carry_out(tmp_path / "whole") == 0
    saved: list[int] = []
    real = Run.save

    def dies(self: Run, *rest: Any, **more: Any) -> None:
        real(self, *rest, **more)
        saved.append(1)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(Run, "save", dies)
        with pytest.raises(Killed):
            carry_out(tmp_path / "cut")
    assert main(["resume", str(tmp_path / "cut"), "--quiet"]) == 0
    name = "ensemble.safetensors" if verb == "reward" else "learner.safetensors"
    newest = [newest_checkpoint(tmp_path / run) for run in ("whole", "cut")]
    states = [(folder / name).read_bytes() for folder in newest if folder is not None]
    assert states[0] == states[1]
    summaries = [json.loads((tmp_path / run / "summary.json").read_text()) for run in ("whole", "cut")]
    for summary in summaries:
        del summary["wall_seconds"]
    assert summaries[0] == summaries[1]


# ---- files -----------------------------------------------------------------------------------------------------------


def test_parquet_reads_as_json_lines_do(files: Path, tmp_path: Path) -> None:
    lm = tiny()
    rows = [json.loads(line) for line in (files / "demos.jsonl").read_text().splitlines()]
    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "demos.parquet")
    a, b = (read_demonstrations(path, lm) for path in (files / "demos.jsonl", tmp_path / "demos.parquet"))
    assert [s.id for s in a] == [s.id for s in b]
    assert len(read_prompts(files / "prompts.jsonl", lm)) == 12


def test_comparisons_of_every_form(files: Path) -> None:
    found = read_comparisons(files / "comparisons.jsonl", tiny())
    assert len(found) == 12 + 4 * 5 + 2  # of six pairs one is a tie
    assert found[0].mu == (1.0, 0.0)
    assert [c.mu for c in found[-2:]] == [(0.8, 0.2), (0.0, 0.0, 1.0)]
    assert len({c.ranking for c in found[12:-2]}) == 4


BAD = {
    "no file": (None, "no file"),
    "empty": ("", "is empty; expected at least one"),
    "an empty line": ('{"prompt": "w1", "answer": "w2"}\n\n', "bad.jsonl:2 is an empty line"),
    "no JSON": ("{'prompt'", "bad.jsonl:1 is no JSON"),
    "a list": ("[1]", "bad.jsonl:1 holds a list; expected an object"),
    "no answer": ('{"prompt": "w1"}', "bad.jsonl:1: expected a field `answer` or `completion`, got prompt"),
    "an empty answer": ('{"prompt": "w1", "answer": " "}', "bad.jsonl:1: `answer` is empty"),
    "a number": ('{"prompt": 3, "answer": "w2"}', "bad.jsonl:1: `prompt` is a int; expected a text"),
    "too long": (json.dumps({"prompt": "w1 " * 70, "answer": "w2"}), "71 and 2 tokens, more than the 64"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_demonstrations(name: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content, reason = BAD[name]
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_text(content)
    assert text("sft", "--model", files / "model", "--data", path, "--out", tmp_path / "run", *QUICK) == 2
    error = capsys.readouterr().err
    assert reason in error
    assert "Traceback" not in error


BAD_COMPARISONS = [
    ({"prompt": "w1"}, "expected `chosen` and `rejected`, or `answers`"),
    ({"prompt": "w1", "answers": ["w2", "w3"]}, "expected one of `choice`, `mu`, `ranks`; got none"),
    ({"prompt": "w1", "answers": ["w2", "w2"], "choice": 0}, "two of the 2 answers are equal"),
    ({"prompt": "w1", "answers": ["w2", "w3"], "choice": 2}, "not a place from 0 to 1"),
    ({"prompt": "w1", "answers": ["w2", "w3"], "mu": [0.9, 0.9]}, "must be at least 0 and sum to 1"),
    ({"prompt": "w1", "answers": ["w2", "w3"], "ranks": [1]}, "one rank an option: 1 != 2"),
    ({"prompt": ["w1", "w4"], "answers": ["w2", "w3"], "choice": 0}, "the answers have 2 different prompts"),
    ({"prompt": "w1", "answers": ["w2", ""], "choice": 0}, "`answers[1]` is empty"),
]


@pytest.mark.parametrize(("row", "reason"), BAD_COMPARISONS)
def test_bad_comparisons(row: dict[str, Any], reason: str, tmp_path: Path) -> None:
    from prefrl.errors import PrefrlError

    path = write(tmp_path / "bad.jsonl", [row])
    with pytest.raises(PrefrlError) as caught:
        read_comparisons(path, tiny())
    assert reason in str(caught.value)
    assert "bad.jsonl:1" in str(caught.value)


def test_a_broken_parquet_file(tmp_path: Path) -> None:
    from prefrl.errors import PrefrlError

    (tmp_path / "bad.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(PrefrlError, match="is no parquet file"):
        read_prompts(tmp_path / "bad.parquet", tiny())
    (tmp_path / "bad.csv").write_text("a,b")
    with pytest.raises(PrefrlError, match=r"neither \.jsonl nor \.parquet"):
        read_prompts(tmp_path / "bad.csv", tiny())


# ---- options and models ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--gold", "no_such_module:gold"], "no gold standard no_such_module:gold"),
        (["--gold", "text_worlds:WORDS"], "is no function"),
        (["--labeler", "somebody"], "no labeler 'somebody'"),
        (["--labeler", "simulated:text_worlds:no_such"], "no simulated people text_worlds:no_such"),
        (["--labeler", "simulated:text_worlds:WORDS"], "text_worlds:WORDS gives no simulated people"),
        (["--labeler", "simulated:text_worlds:nobody"], "text_worlds:nobody gives no simulated people"),
        (["--options", "5"], "at most the 4 of --answers, got 5"),
        (["--options", "3", "--labeler", "judge:x"], "a model judges pairs"),
        (["--labels", "0"], "--labels must be at least 1, got 0"),
        (["--best-of", "-1"], "--best-of must be at least 0, got -1"),
        (["--most-tokens", "62"], "with 62 for the answer that is more than the 64"),
        (["--batch-size", "34"], "does not divide into prompts with 4 answers"),
        (["--model", "/no/such/model"], "no folder /no/such/model"),
        (["--evaluation", "/no/such/prompts.jsonl"], "no file /no/such/prompts.jsonl"),
        (["--reward-model", "/no/such/reward"], "is not a run"),
        (["--learner", "dpo", "--labels", "0", "--reward-model", "x"], "dpo learns from comparisons"),
    ],
)
def test_bad_options(
    more: list[str], reason: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(files, tmp_path / "run", *more) == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "run" / "metrics.csv").exists()  # it is said before anything is learned


def test_a_store_of_another_tokenizer_is_refused(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(files, tmp_path / "run") == 0
    save_model(tiny(words=[f"x{i}" for i in range(20)]), tmp_path / "other")
    store = tmp_path / "run" / "preferences.db"
    assert text("reward", "--model", tmp_path / "other", "--data", store, "--out", tmp_path / "r", *QUICK) == 2
    assert "was written with another tokenizer" in capsys.readouterr().err


def test_judges_in_the_loop(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One that does not know A from B, and one that always says the same; the agreement with gold is said first."""
    save_model(tiny(words=WORDS), tmp_path / "blind")
    stubborn = tiny(words=[*WORDS, "A", "B"], spread=6.0)
    with torch.no_grad():  # what it says depends on the last word alone, which is the template's
        for layer in stubborn.causal.base_model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    save_model(stubborn, tmp_path / "stubborn")
    assert train(files, tmp_path / "run", "--labeler", f"judge:{tmp_path / 'blind'}") == 2
    assert "cannot tell ' A' from ' B' by their first token" in capsys.readouterr().err
    judge = ["--labeler", f"judge:{tmp_path / 'stubborn'}"]
    small = ["--steps", 32, "--batch-size", 32, "--minibatch-size", 16, "--batches", 1, "--most-tokens", 8]
    given = ["--model", files / "model", "--prompts", files / "prompts.jsonl", "--gold", GOLD, "--labels", 64]
    assert text("train", *given, *judge, *small, "--out", tmp_path / "run", *QUICK) == 2
    shown = capsys.readouterr()
    assert "agrees with the gold standard on" in shown.out
    assert "in both orders" in shown.err
    for name, answers in (("a", [f"w{i}" for i in range(40)]), ("b", [f"w{i}" for i in range(39)] + ["w5"])):
        lines = [json.dumps({"prompt": f"w{i}", "answer": answer}) for i, answer in enumerate(answers)]
        (tmp_path / f"{name}.jsonl").write_text("\n".join(lines))
    # Who says the same has a tie, and a judge that goes by the place ties the rest.
    files_ = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    assert text("compare", *files_, "--judge", tmp_path / "stubborn") == 0
    assert "50.0% (50.0% to 50.0%)" in capsys.readouterr().out


def test_a_template_is_saved_with_the_model(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from prefrl.text.models import load_model
    from prefrl.text.prompts import encode_prompt

    def tune(template: str, out: Path) -> int:
        data = ["--data", files / "demos.jsonl", "--epochs", 1, "--template", template, "--out", out]
        return text("sft", "--model", files / "model", *data, "--quiet", *QUICK)

    assert tune("w9 {prompt} w8", tmp_path / "sft") == 0
    lm: LanguageModel = load_model(str(tmp_path / "sft"))
    assert encode_prompt(lm, "w1 w2") == [2, 12, 4, 5, 11]
    for template, reason in (("no slot", "needs {prompt} once"), ("{{x}} {prompt}", "no braces")):
        assert tune(template, tmp_path / "bad") == 2
        assert reason in capsys.readouterr().err


def cuda_is_full() -> None:
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def python_is_full() -> None:
    raise MemoryError


def torch_is_full() -> None:
    torch.empty(2**60)  # what torch itself says on a processor


@pytest.mark.parametrize("full", [cuda_is_full, python_is_full, torch_is_full])
@pytest.mark.parametrize(
    ("verb", "place", "advice"),
    [
        ("train", "prefrl.text.learner.improve", "try --minibatch-size 8 and --batch-size 16"),
        ("sft", "prefrl.text.supervised.Supervised.epoch", "try --batch-size 16"),
        ("reward", "prefrl.commands.text.reward_run.fit", "try --batch-size 16"),
        ("sample", "prefrl.text.policy.sample", "ask for fewer answers at once, with --each"),
    ],
)
def test_memory_that_is_exhausted(
    full: Callable[[], None], verb: str, place: str, advice: str, files: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A sentence that says what would fit; a folder in which nothing was done does not stand in the way of that."""
    monkeypatch.setattr(place, lambda *_, **__: full())
    model = ["--model", files / "model"]
    if verb == "train":
        code = train(files, tmp_path / "run", "--labels", 1, "--upfront", 0.0, "--steps", 32)
    elif verb == "sample":
        code = text("sample", *model, "--prompt", "w1", *QUICK)
    else:
        data = files / ("demos.jsonl" if verb == "sft" else "comparisons.jsonl")
        code = text(verb, *model, "--data", data, "--batch-size", 32, "--out", tmp_path / "run", "--quiet", *QUICK)
        assert not (tmp_path / "run").exists()
    assert code == 2
    error = capsys.readouterr().err
    assert f"out of memory; {advice}" in error
    assert "Traceback" not in error


def test_other_errors_of_torch_are_not_taken_for_memory() -> None:
    with pytest.raises(RuntimeError, match="shape"), memory("x"):
        torch.ones(2) @ torch.ones(3, 3)


def test_what_cannot_be_compiled_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(config.cpp, "cxx", (None, "no-such-compiler"))
    with (
        pytest.raises(PrefrlError, match=r"torch.compile failed: .*no-such-compiler.*; install a C compiler"),
        memory(""),
    ):
        torch.compile(lambda x: x.exp() + 1)(torch.ones(3))


def test_commands_that_lack_something(files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    half = tmp_path / "half.jsonl"
    half.write_text('{"prompt": "w1 \\ud800"}')
    for arguments, reason in (
        (["sample", "--model", files / "model"], "nothing to answer"),
        (["sample", "--model", files / "model", "--prompts", half], "half.jsonl:1: `prompt` holds half a character"),
        (["best-of", files / "none"], "is not a run"),
        (["best-of", files / "none", "--most", 0], "--most must be at least 1, got 0"),
        (["compare", files / "model"], "at least 2 models"),
        (["compare", files / "model", files / "model"], "name either --gold"),
        (["compare", files / "model", files / "model", "--gold", "./my.py:gold"], "no gold standard ./my.py:gold"),
        (
            ["compare", "a", "b", "--gold", GOLD, "--temperature", -1],
            "--temperature must be at least 0 and finite, got -1.0",
        ),
        (["compare", files / "model", files / "model", "--gold", GOLD], "name the prompts"),
        (["pretrain", "--documents", files / "docs.jsonl", "--block", 300, "--out", tmp_path / "x"], "--block must be"),
        (["pretrain", "--documents", files / "docs.jsonl", "--hidden", 30, "--out", tmp_path / "y"], "30 hidden units"),
    ):
        assert text(*arguments) == 2
        assert reason in capsys.readouterr().err


@pytest.mark.parametrize(
    ("verb", "more", "reason"),
    [
        ("pretrain", ["--seed", "-1"], "--seed must be at least 0 and below 4294967296, got -1"),
        ("pretrain", ["--batch-size", "0"], "--batch-size must be at least 1, got 0"),
        ("pretrain", ["--heads", "0"], "--heads must be at least 1, got 0"),
        ("pretrain", ["--layers", "-1"], "--layers must be at least 1, got -1"),
        ("pretrain", ["--epochs", "-1"], "--epochs must be at least 1, got -1"),
        ("sft", ["--learning-rate", "nan"], "--learning-rate must be above 0 and finite, got nan"),
        ("sft", ["--lora", "-1"], "--lora must be at least 0, got -1"),
        ("reward", ["--noise", "1"], "the share of random answers (noise) must be at least 0 and below 1, got 1.0"),
        ("reward", ["--batch-size", "0"], "comparisons in a minibatch of a fit must be at least 1, got 0"),
        ("reward", ["--epochs", "0"], "passes of the first fit must be at least 1, got 0"),
        ("train", ["--fit-batch-size", "0"], "--fit-batch-size must be at least 1, got 0"),
        ("train", ["--learning-rate", "inf"], "--learning-rate must be above 0 and finite, got inf"),
        ("train", ["--kl-target", "inf"], "--kl-target must be above 0 and finite, got inf"),
        ("train", ["--kl-coefficient", "nan"], "--kl-coefficient must be at least 0 and finite, got nan"),
    ],
)
def test_numbers_that_cannot_be(
    verb: str, more: list[str], reason: str, files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They are a sentence, and leave no folder in the way of the same command without the slip."""
    given: dict[str, list[object]] = {
        "pretrain": ["--documents", files / "docs.jsonl"],
        "sft": ["--model", files / "model", "--data", files / "no.jsonl"],
        "reward": ["--model", files / "model", "--data", files / "no.jsonl"],
        "train": ["--model", files / "model", "--prompts", files / "prompts.jsonl", "--gold", GOLD],
    }
    assert text(verb, *given[verb], *more, "--out", tmp_path / "run") == 2
    assert reason in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
