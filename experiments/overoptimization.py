"""A policy driven too far: gold and predicted reward against the divergence, for PPO and for best-of-n.

python experiments/text_demo.py run 0 1 2              # first: the models this begins with, in runs/text-demo/SEED
python experiments/overoptimization.py run [SEED ...]  # every step is resumable; runs/overoptimization/SEED
python experiments/overoptimization.py table           # experiments/results/overoptimization.md
python experiments/overoptimization.py plot            # experiments/results/overoptimization.png

A reward model is fitted once to few or many comparisons of the supervised model's answers, by TinyInstruct's fifteen
training people, and stays as it is while PPO learns from it free of charge. `--quick` begins with the models of
`text_demo.py run --quick` and makes everything smaller: it shows that the steps work, not what they reach.
"""

import csv
import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from sweeping import RESULTS, ROOT, load, shown
from text_demo import GOLD, prefrl

from prefrl.commands.plots import picture
from prefrl.provenance import provenance
from prefrl_envs import tiny_instruct

COLUMNS = ("steps", "kl", "sqrt_kl", "true_return", "true_return_std", "predicted_return", "predicted_return_std",
           "newest_accuracy", "tokens", "ended")  # fmt: skip
SMOOTH = 9  # batches in a moving mean


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    labels: tuple[int, ...] = (250, 2000)
    answers: int = 20_480  # that the policy learns from
    kl_coefficient: float = 0.0
    prompts: int = 200  # of best-of-n
    most: int = 64
    reading: str = "mean"
    likelihood: float = 0.0  # what is fitted to comparisons alone, without the supervised model's own opinion


QUICK = Scale((100, 200), 4096, 0.0, 10, 8)


def compared(answers: Sequence[Mapping[str, Any]], seed: int) -> list[dict[str, str]]:
    """Comparisons of two answers to each prompt, each by one of the training people, drawn by lot.

    Equal answers, and those that say nothing, are left out.
    """
    rng, people, found = np.random.default_rng(seed), tiny_instruct.training_labelers(), []
    for first, second in zip(answers[::2], answers[1::2], strict=True):
        texts = [first["answer"], second["answer"]]
        if texts[0] == texts[1] or not all(text.strip() for text in texts):
            continue
        best = people[int(rng.integers(len(people)))].compare(first["prompt"], texts, rng)
        found.append({"prompt": first["prompt"], "chosen": texts[best], "rejected": texts[1 - best]})
    return found


def rows_of(path: Path) -> list[dict[str, Any]]:
    """The rows of JSON lines."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(seed: int, scale: Scale, world: Path, folder: Path) -> dict[str, Any]:
    """The curves of one seed, for every number of labels."""
    sft, data = world / "sft", world / "data"
    if not (sft / "summary.json").exists():
        sys.exit(f"no {sft}: begin with `python experiments/text_demo.py run {seed}`")
    folder.mkdir(parents=True, exist_ok=True)
    asked = ["--prompts", data / "train.jsonl", "--seed", 1000 + seed]
    each = max(2, 2 * -(-max(scale.labels) * 5 // (4 * len(rows_of(data / "train.jsonl")))))
    prefrl("sample", "--model", sft, *asked, "--each", each, "--out", folder / "answers.jsonl")
    comparisons = compared(rows_of(folder / "answers.jsonl"), seed)
    order = np.random.default_rng(seed).permutation(len(comparisons))
    found: dict[str, Any] = {"seed": seed, "scale": asdict(scale), "arms": []}
    for labels in scale.labels:
        name = f"{labels}-labels"
        if labels > len(comparisons):
            sys.exit(f"{folder / 'answers.jsonl'} gives {len(comparisons)} comparisons, {labels} are wanted")
        chosen = [comparisons[i] for i in order[:labels]]
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in chosen))
        shown = ["--data", path, "--demonstrations", data / "demonstrations.jsonl"]
        shown += ["--reading", scale.reading, "--likelihood", scale.likelihood]
        reward, policy = folder / f"reward-{name}", folder / f"policy-{name}"
        prefrl("reward", "--model", sft, *shown, "--held-out", 0.2, "--seed", seed, "--out", reward)
        prefrl(
            *("train", "--model", sft, "--prompts", data / "train.jsonl", "--evaluation", data / "test.jsonl"),
            *("--gold", GOLD, "--labels", 0, "--reward-model", reward, "--kl-coefficient", scale.kl_coefficient),
            *("--steps", scale.answers, "--batches", 1, "--best-of", 0, "--seed", seed, "--out", policy),
        )
        measured = folder / f"best-of-{name}.json"
        prefrl(
            *("best-of", reward, "--prompts", data / "test.jsonl", "--gold", GOLD, "--first", scale.prompts),
            *("--most", scale.most, "--seed", seed, "--out", measured),
        )
        with (policy / "metrics.csv").open(newline="") as file:
            table_ = list(csv.DictReader(file))
        curve = {c: [round(float(row[c]), 4) if row[c] else None for row in table_] for c in COLUMNS}
        best_of = json.loads(measured.read_text())
        kept = {key: best_of[key] for key in ("prompts", "answers", "true_return_std", "predicted_return_std", "curve")}
        accuracy = json.loads((reward / "summary.json").read_text())["held_out_accuracy"]
        found["arms"].append({"labels": labels, "held_out_accuracy": accuracy, "policy": curve, "best_of": kept})
    found["provenance"] = {key: provenance()[key] for key in ("commit", "versions", "processors")}
    return found


def standardized(values: Sequence[float], std: float) -> np.ndarray:
    """How far above the first, in standard deviations of single answers."""
    return (np.asarray(values, np.float64) - values[0]) / std


def smooth(values: np.ndarray) -> np.ndarray:
    """A moving mean, over fewer values at the ends."""
    kernel = np.ones(min(SMOOTH, len(values)))
    shared = np.convolve(np.ones(len(values)), kernel, "same")
    return np.asarray(np.convolve(values, kernel, "same") / shared)


def policy_paths(arm: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Square root of the divergence, gold and prediction of a policy's batches; the first is the reference's."""
    curve = arm["policy"]
    gold, said = (standardized(curve[c], curve[f"{c}_std"][0]) for c in ("true_return", "predicted_return"))
    return smooth(np.asarray(curve["sqrt_kl"])), smooth(gold), smooth(said)


def best_of_paths(arm: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The same of best-of-n."""
    rows, found = arm["best_of"]["curve"], arm["best_of"]
    gold, said = (
        standardized([row[c] for row in rows], found[f"{c}_std"]) for c in ("true_return", "predicted_return")
    )
    return np.array([row["sqrt_kl"] for row in rows]), gold, said


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: one row a number of labels."""
    runs = list(results.values())
    lines = [
        "| labels | held-out accuracy | best gold of PPO | at a divergence of | gold at the end | predicted at the end "
        "| divergence at the end | accuracy on its own pairs at the end | best of n: gold | predicted |",
        "| ---: |" + " ---: |" * 9,
    ]
    for i, arm in enumerate(runs[0]["arms"]):
        arms = [r["arms"][i] for r in runs]
        paths, best = [policy_paths(a) for a in arms], [best_of_paths(a) for a in arms]
        peaks = [int(gold.argmax()) for _, gold, _ in paths]
        last = [statistics.fmean(v for v in a["policy"]["newest_accuracy"][-SMOOTH:] if v is not None) for a in arms]
        cells = [
            ([a["held_out_accuracy"] for a in arms], ".0%"),
            ([gold[p] for (_, gold, _), p in zip(paths, peaks, strict=True)], ".2f"),
            ([root[p] ** 2 for (root, _, _), p in zip(paths, peaks, strict=True)], ".1f"),
            ([gold[-1] for _, gold, _ in paths], ".2f"),
            ([said[-1] for _, _, said in paths], ".2f"),
            ([root[-1] ** 2 for root, _, _ in paths], ".1f"),
            (last, ".0%"),
            ([gold[-1] for _, gold, _ in best], ".2f"),
            ([said[-1] for _, _, said in best], ".2f"),
        ]
        lines.append(
            f"| {arm['labels']} | " + " | ".join(shown([float(v) for v in c], kind) for c, kind in cells) + " |"
        )
    scale, seeds = runs[0]["scale"], ", ".join(str(r["seed"]) for r in runs)
    commits = ", ".join(sorted({str(r["provenance"]["commit"])[:12] for r in runs}))
    lines += [
        "",
        f"PPO with a KL coefficient of {scale['kl_coefficient']:g} on a reward model that stays as it is "
        f"(read as `--reading {scale['reading']} --likelihood {scale['likelihood']:g}`), {scale['answers']:,} answers; "
        f"best of {scale['most']} on {scale['prompts']} prompts of customers that nothing was trained on. Gold "
        "and predicted reward in standard deviations of the supervised model's answers above their mean; "
        f"moving means over {SMOOTH} batches of 256; divergence in nats an answer. Means ± half the "
        f"95 % t-interval over seeds {seeds}. Commits {commits}; made by "
        "`python experiments/overoptimization.py run` and `table` from `experiments/results/overoptimization/`.",
    ]
    return "\n".join(lines) + "\n"


def plot(results: Mapping[str, Mapping[str, Any]]) -> bytes:
    """A PNG: one picture a number of labels, with every seed's paths."""
    runs = list(results.values())
    arms = runs[0]["arms"]
    kinds = (("PPO", "#0072B2", policy_paths), ("best of n", "#D55E00", best_of_paths))

    def draw(figure: Figure) -> None:
        axes: list[Axes] = list(figure.subplots(1, len(arms), sharey=True, squeeze=False)[0])
        for i, (ax, arm) in enumerate(zip(axes, arms, strict=True)):
            for _, color, paths in kinds:
                for result in runs:
                    root, gold, said = paths(result["arms"][i])
                    ax.plot(root, gold, color=color, linewidth=1.5)
                    ax.plot(root, said, color=color, linewidth=1.2, linestyle=(0, (3, 2)))
            ax.set_title(f"{arm['labels']:,} labels")
            ax.set_xlabel("square root of the divergence in nats")
        axes[0].set_ylabel("standard deviations of an answer")
        keys = [Line2D([], [], color=color, label=f"{name}, gold") for name, color, _ in kinds]
        keys += [Line2D([], [], color=c, linestyle=(0, (3, 2)), label=f"{name}, predicted") for name, c, _ in kinds]
        axes[0].legend(handles=keys, loc="best")

    return picture(draw, (4.2 * len(arms), 3.6), "png")


def main(arguments: Sequence[str]) -> None:
    """See the head of this file."""
    quick = "--quick" in arguments
    kept = ROOT / "runs" / "overoptimization-quick" / "results" if quick else RESULTS / "overoptimization"
    match [word for word in arguments if word != "--quick"]:
        case ["run", *seeds]:
            for seed in map(int, seeds or ["0", "1", "2"]):
                world = ROOT / "runs" / ("text-demo-quick" if quick else "text-demo") / str(seed)
                folder = ROOT / "runs" / ("overoptimization-quick" if quick else "overoptimization") / str(seed)
                result = run(seed, QUICK if quick else Scale(), world, folder)
                kept.mkdir(parents=True, exist_ok=True)
                (kept / f"{seed}.json").write_text(json.dumps(result) + "\n")
                print("\n" + table({str(seed): result}))
        case ["table"]:
            text = table(load("overoptimization"))
            (RESULTS / "overoptimization.md").write_text(text)
            print(text)
        case ["plot"]:
            results = {p.stem: json.loads(p.read_text()) for p in sorted(kept.glob("*.json"))}
            target = kept.parent / "overoptimization.png"
            target.write_bytes(plot(results))
            print(target)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
