"""From nothing to an assistant on TinyInstruct: a tiny base model, demonstrations, comparisons, PPO.

python experiments/text_demo.py run [SEED ...]    # every step is resumable; runs/text-demo/SEED
python experiments/text_demo.py show [SEED]       # what the models answer to the same prompts
python experiments/text_demo.py table             # experiments/results/text_demo.md from the committed data

`--quick` makes everything twenty times smaller: it shows that the steps work, not what they reach.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from few_shot import best_shots
from sweeping import RESULTS, ROOT, load, shown

from prefrl.commands.text.setup import open_model
from prefrl.provenance import provenance
from prefrl_envs import tiny_instruct

GOLD = "prefrl_envs.tiny_instruct:gold"
ARMS = ("base", "few-shot", "sft", "ppo")
SHOTS = "q: {prompt} a: {answer} "
MOST_TOKENS = "48"


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    documents: int = 20_000
    demonstrations: int = 4_000
    prompts: int = 4_000
    test: int = 1_000
    pretraining_epochs: int = 3
    rankings: int = 3_000  # of four answers, at most: a prompt with fewer distinct answers is not asked about
    answers: int = 40_960
    hidden: int = 96
    layers: int = 3


QUICK = Scale(1500, 400, 300, 100, 3, 200, 2048, 48, 2)


def write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """JSON lines, unless they are there already."""
    if not path.exists():
        partial = path.with_suffix(".partial")
        partial.write_text("".join(json.dumps(row) + "\n" for row in rows))
        partial.rename(path)


def make_data(folder: Path, scale: Scale, seed: int) -> None:
    """Documents, demonstrations, and prompts of training, validation and test customers, none in two of them."""
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / "test.jsonl").exists():
        return
    rng = np.random.default_rng(seed)
    write(folder / "documents.jsonl", [{"text": text} for text in tiny_instruct.documents(scale.documents, rng)])
    shown = tiny_instruct.prompts(scale.demonstrations, rng, "train")
    rows = [{"prompt": prompt.text, "answer": tiny_instruct.demonstration(prompt, rng)} for prompt in shown]
    write(folder / "demonstrations.jsonl", rows)
    for split, n in (("train", scale.prompts), ("test", scale.test)):
        texts = dict.fromkeys(prompt.text for prompt in tiny_instruct.prompts(2 * n, rng, split))
        write(folder / f"{split}.jsonl", [{"prompt": text} for text in list(texts)[:n]])


def choose_shots(folder: Path, seed: int) -> None:
    """The demonstrations to put before a prompt of the base model: those that did best on prompts of training."""
    path = folder / "data" / "shots.jsonl"
    if path.exists():
        return
    rows = [json.loads(line) for line in (folder / "data" / "demonstrations.jsonl").read_text().splitlines()]
    short = sorted(((row["prompt"], row["answer"]) for row in rows), key=lambda shot: len(" ".join(shot)))
    asked = [json.loads(line)["prompt"] for line in (folder / "data" / "train.jsonl").read_text().splitlines()]
    shots, _ = best_shots(
        open_model(str(folder / "base"), "cpu"),
        short[: len(short) // 2],
        asked[:100],
        lambda prompt, text: tiny_instruct.gold(prompt, answer_alone(text)),
        template=SHOTS,
        rng=np.random.default_rng(seed),
        most_tokens=int(MOST_TOKENS),
    )
    write(path, [{"prompt": prompt, "answer": answer} for prompt, answer in shots])


def answer_alone(text: str) -> str:
    """An answer without what follows where a further turn begins."""
    return text.split(tiny_instruct.QUESTION)[0].strip()


def prefrl(*arguments: object) -> None:
    """Run `prefrl text ...`; a run that was begun before is resumed, one that is finished is left alone."""
    words = [str(argument) for argument in arguments]
    if "--out" in words and (out := Path(words[words.index("--out") + 1])).exists():
        if out.is_file() or (out / "summary.json").exists():
            return
        words = ["resume", str(out)]
    else:
        words = ["text", *words]
    if subprocess.run([sys.executable, "-m", "prefrl", *words], cwd=ROOT).returncode:
        sys.exit(f"prefrl {' '.join(words)} failed")


def run(seed: int, scale: Scale, folder: Path) -> dict[str, Any]:
    """All steps of one seed, and what the four models come to."""
    started = time.perf_counter()
    data = folder / "data"
    make_data(data, scale, seed)
    shape = ["--layers", scale.layers, "--hidden", scale.hidden, "--block", 250, "--context", 256]
    made = ["--epochs", scale.pretraining_epochs, "--batch-size", 8, "--seed", seed]
    prefrl("pretrain", "--documents", data / "documents.jsonl", "--out", folder / "base", *shape, *made)
    taught = ["--data", data / "demonstrations.jsonl", "--seed", seed]
    prefrl("sft", "--model", folder / "base", *taught, "--epochs", 6, "--out", folder / "sft")
    prefrl(
        *("train", "--model", folder / "sft", "--prompts", data / "train.jsonl", "--gold", GOLD),
        *("--evaluation", data / "test.jsonl", "--labels", scale.rankings, "--steps", scale.answers, "--seed", seed),
        *("--demonstrations", data / "demonstrations.jsonl", "--most-tokens", MOST_TOKENS),
        *("--options", 4, "--upfront", 0.5, "--members", 2, "--reading", "mean", "--likelihood", 3),
        *("--fit-epochs", 1, "--fit-batch-size", 16, "--batches", 8, "--kl-coefficient", 0.3, "--best-of", 0),
        *("--out", folder / "ppo"),
    )
    choose_shots(folder, seed)
    for arm in ARMS:
        model = folder / ("base" if arm == "few-shot" else arm)
        shots = ["--few-shot", data / "shots.jsonl", "--template", SHOTS] if arm == "few-shot" else []
        asked = ["--prompts", data / "test.jsonl", "--most-tokens", MOST_TOKENS, "--seed", seed]
        prefrl("sample", "--model", model, *asked, *shots, "--gold", GOLD, "--out", folder / f"{arm}.jsonl")
    answers = {arm: read(folder / f"{arm}.jsonl") for arm in ARMS}
    return {
        "gold": {arm: [round(row["gold"], 4) for row in rows] for arm, rows in answers.items()},
        "preferred_to_sft": {arm: preference(answers[arm], answers["sft"], seed) for arm in ARMS if arm != "sft"},
        "seed": seed,
        "scale": vars(scale),
        "seconds": time.perf_counter() - started,
        "provenance": {key: provenance()[key] for key in ("commit", "versions", "processors")},
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON lines; what an answer says after a further turn begins is not part of it."""
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    for row in rows:
        row["answer"] = answer_alone(row["answer"])
        row["gold"] = tiny_instruct.gold(row["prompt"], row["answer"])
    return rows


def preference(rows: Sequence[Mapping[str, Any]], others: Sequence[Mapping[str, Any]], seed: int) -> float:
    """Share of the test prompts at which the held-out people prefer the first answers, both orders shown."""
    rng = np.random.default_rng(seed)
    people = [person for person in tiny_instruct.labelers() if person.held_out]
    won = []
    for row, other in zip(rows, others, strict=True):
        if row["answer"] == other["answer"]:
            won.append(0.5)
            continue
        for person in people:
            won.append(float(person.compare(row["prompt"], [row["answer"], other["answer"]], rng) == 0))
            won.append(float(person.compare(row["prompt"], [other["answer"], row["answer"]], rng) == 1))
    return statistics.fmean(won)


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: one row a model."""
    runs = list(results.values())
    lines = [
        "| model | gold score | more than SFT | held-out people prefer it to SFT |",
        "| --- | ---: | ---: | ---: |",
    ]
    for arm in ARMS:
        golds = [[statistics.fmean(r["gold"][which]) for which in (arm, "sft")] for r in runs]
        cells = [shown([gold for gold, _ in golds], 3), "-", "-"]
        if arm != "sft":
            cells[1] = shown([gold - sft for gold, sft in golds], 3)
            cells[2] = shown([r["preferred_to_sft"][arm] for r in runs], ".1%")
        lines.append(f"| {arm} | {' | '.join(cells)} |")
    seeds = ", ".join(str(r["seed"]) for r in runs)
    commits = ", ".join(sorted({str(r["provenance"]["commit"])[:12] for r in runs}))
    prompts, scale = len(runs[0]["gold"]["sft"]), runs[0]["scale"]
    lines += [
        "",
        f"Means over seeds {seeds}, one answer to each of {prompts:,} prompts of customers that nothing was trained "
        f"on; ± is half the 95 % t-interval over seeds. A Llama of {scale['layers']} layers of {scale['hidden']} "
        f"units; {scale['documents']:,} documents, {scale['demonstrations']:,} demonstrations, at most "
        f"{scale['rankings']:,} rankings of four answers by the oracle, {scale['answers']:,} answers of PPO. Commits "
        f"{commits}; made by `python experiments/text_demo.py run` and `table` from `experiments/results/text_demo/`.",
    ]
    return "\n".join(lines) + "\n"


def show(folder: Path, n: int = 6) -> None:
    """What each model answers to the same prompts."""
    answers = {arm: read(folder / f"{arm}.jsonl") for arm in ARMS}
    for i in range(n):
        print(f"\n> {answers['sft'][i]['prompt']}")
        for arm in ARMS:
            print(f"  {arm:9} {answers[arm][i]['gold']:.2f}  {answers[arm][i]['answer']}")


def main(arguments: Sequence[str]) -> None:
    """See the head of this file."""
    quick = "--quick" in arguments
    words = [word for word in arguments if word != "--quick"]
    base = ROOT / "runs" / ("text-demo-quick" if quick else "text-demo")
    match words:
        case ["run", *seeds]:
            for seed in map(int, seeds or ["0"]):
                result = run(seed, QUICK if quick else Scale(), base / str(seed))
                kept = base / "results" if quick else RESULTS / "text_demo"
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{seed}.json").write_text(json.dumps(result) + "\n")
                show(base / str(seed))
                print("\n" + table({str(seed): result}))
        case ["show", *seeds]:
            show(base / (seeds[0] if seeds else "0"))
        case ["table"]:
            text = table(load("text_demo"))
            (RESULTS / "text_demo.md").write_text(text)
            print(text)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
