"""What active queries save in labels on text: accuracy of the reward model against the number of labels.

python experiments/text_demo.py run 0 1 2          # first: the models this begins with, in runs/text-demo/SEED
python experiments/text_labels.py run [SEED ...]   # what is missing; nothing is lost by a kill but the rule at work
python experiments/text_labels.py table            # experiments/results/text_labels.md

There is no policy that learns: all questions are about answers that the supervised model gave once, chosen by the
core's `propose` and `select`, answered by TinyInstruct's fifteen training people, and learned from by `fit`, anew for
each number of labels. Accuracy is measured by the gold score on pairs of answers to prompts of other customers, which
nothing was trained on. `--quick` begins with the models of `text_demo.py run --quick`.
"""

import itertools
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sweeping import RESULTS, ROOT, load, shown

from prefrl.acquisition import Acquisition
from prefrl.choice import pairs_ordered_alike
from prefrl.commands.text.reward_run import build_ensemble, fit_config
from prefrl.commands.text.setup import open_model
from prefrl.commands.training import ACQUISITIONS
from prefrl.comparisons import propose, select
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import fit
from prefrl.provenance import provenance
from prefrl.segments import Segment, Text, collate
from prefrl.store import PreferenceStore
from prefrl.text.data import read_prompts
from prefrl.text.models import LanguageModel
from prefrl.text.policy import answer
from prefrl.text.settings import TextConfig
from prefrl.text.simulated import SimulatedPeople
from prefrl_envs import tiny_instruct

RULES = ("uniform", "disagreement", "mixture")
EACH = 4  # answers to a prompt


@dataclass(frozen=True)
class Scale:
    """How much of everything."""

    prompts: int = 2000  # whose answers are asked about
    held_out: int = 500  # whose answers accuracy is measured on
    labels: tuple[int, ...] = (250, 500, 1000, 2000)
    candidates: int = 4  # for each question that is asked
    epochs: int = 3
    members: int = 3
    reading: str = "mean"
    likelihood: float = 0.0  # what is fitted to comparisons alone, without the supervised model's own opinion


QUICK = Scale(40, 20, (20, 40), 4, 1, 2)


def answers_of(lm: LanguageModel, path: Path, prompts: int, seed: int) -> list[Segment]:
    """Answers to the first prompts of a file; those to one prompt lie together."""
    c, asked = TextConfig(), read_prompts(path, lm)[:prompts]
    generator = torch.Generator().manual_seed(seed)
    segments, _ = answer(
        lm, asked, each=EACH, most_tokens=c.most_tokens, temperature=c.temperature, generator=generator
    )
    return segments


def golds(segments: Sequence[Segment]) -> torch.Tensor:
    """[prompts, EACH] what the answers are truly worth."""
    worth = [tiny_instruct.gold(s.view.prompt, s.view.answer) for s in segments if isinstance(s.view, Text)]
    return torch.tensor(worth).view(-1, EACH)


def learn(
    lm: LanguageModel, pool: Sequence[Segment], held_out: Sequence[Segment], rule: Acquisition, scale: Scale, seed: int
) -> list[dict[str, float]]:
    """What the reward model comes to at each number of labels, the questions being chosen by one rule."""
    people = SimulatedPeople(tiny_instruct.training_labelers(), seed, "prefrl_envs.tiny_instruct:training_labelers")
    batch, gold, rows = collate(held_out), golds(held_out), []
    ensemble = new_ensemble(lm, scale, seed)
    with tempfile.TemporaryDirectory() as folder, PreferenceStore(Path(folder) / "preferences.db") as store:
        asked: set[str] = set()
        for stage, labels in enumerate(scale.labels):
            rng = np.random.default_rng([seed, stage])
            wanted = labels - len(asked)
            # Before the first fit the ensemble knows nothing to choose by.
            drawn = propose(pool, len(asked) + wanted * (scale.candidates if stage else 1), rng=rng)
            fresh = [query for query in drawn if query.id not in asked]
            chosen = select(fresh, wanted, ensemble, rule if stage else ACQUISITIONS["uniform"])
            store.ask(chosen)
            asked |= {query.id for query in chosen}
            people.attend(store)
            ensemble = new_ensemble(lm, scale, seed)
            fitted = fit(ensemble, store.comparisons(), fit_config(scale.epochs, 0, 32, 5e-4, 0.0), rng)
            predicted = ensemble.reward(batch).sum(dim=1).view(-1, EACH)
            accuracy = pairs_ordered_alike(predicted, gold)
            rows.append({"labels": len(store), "accuracy": accuracy, "answers_predicted": fitted.accuracy})
            print(f"  {len(store)} labels: {accuracy:.1%} of the held-out pairs ordered as gold does", flush=True)
    return rows


def new_ensemble(lm: LanguageModel, scale: Scale, seed: int) -> RewardEnsemble:
    """The reward ensemble before its first fit: the same each time."""
    shape = {"members": scale.members, "own_trunks": True, "reading": scale.reading, "likelihood": scale.likelihood}
    return build_ensemble({"seed": seed, "demonstrations": None, **shape}, lm)


def run(seed: int, scale: Scale, world: Path, kept: Path) -> None:
    """All rules of one seed that are missing."""
    missing = [rule for rule in RULES if not (kept / f"{rule}-{seed}.json").exists()]
    if not missing:
        return
    if not (world / "sft" / "summary.json").exists():
        sys.exit(f"no {world / 'sft'}: begin with `python experiments/text_demo.py run {seed}`")
    lm = open_model(str(world / "sft"), "cpu")
    pool = answers_of(lm, world / "data" / "train.jsonl", scale.prompts, seed)
    held_out = answers_of(lm, world / "data" / "test.jsonl", scale.held_out, seed)
    for rule in missing:
        print(f"seed {seed}, {rule}", flush=True)
        rows = learn(lm, pool, held_out, ACQUISITIONS[rule], scale, seed)
        made = {key: provenance()[key] for key in ("commit", "versions", "processors")}
        kept.mkdir(parents=True, exist_ok=True)
        result = {"rule": rule, "seed": seed, "scale": asdict(scale), "rows": rows, "provenance": made}
        (kept / f"{rule}-{seed}.json").write_text(json.dumps(result) + "\n")


def labels_to_reach(rows: Sequence[Mapping[str, float]], accuracy: float) -> float:
    """After how many labels an accuracy was first reached, between two numbers in proportion; NaN if never."""
    for before, after in itertools.pairwise(rows):
        if before["accuracy"] < accuracy <= after["accuracy"]:
            share = (accuracy - before["accuracy"]) / (after["accuracy"] - before["accuracy"])
            return before["labels"] + share * (after["labels"] - before["labels"])
    return rows[0]["labels"] if rows and rows[0]["accuracy"] >= accuracy else math.nan


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown: one row a number of labels, and what each rule needs for what uniform questions reach in the end."""
    by_rule = {rule: [r for r in results.values() if r["rule"] == rule] for rule in RULES}
    first = by_rule["uniform"][0]
    lines = [f"| labels | {' | '.join(RULES)} |", "| ---: |" + " ---: |" * len(RULES)]
    for i, labels in enumerate(first["scale"]["labels"]):
        cells = [shown([r["rows"][i]["accuracy"] for r in by_rule[rule]], ".1%") for rule in RULES]
        lines.append(f"| {labels:,} | {' | '.join(cells)} |")
    reached = {r["seed"]: r["rows"][-1]["accuracy"] for r in by_rule["uniform"]}
    cells = []
    for rule in RULES:
        needed = [labels_to_reach(r["rows"], reached[r["seed"]]) for r in by_rule[rule]]
        known = [n for n in needed if not math.isnan(n)]
        cells.append(f"{statistics.fmean(known):,.0f} ({len(known)} of {len(needed)} seeds)" if known else "never")
    lines.append(f"| for the accuracy of uniform in the end | {' | '.join(cells)} |")
    seeds = ", ".join(str(r["seed"]) for r in by_rule["uniform"])
    commits = ", ".join(sorted({str(r["provenance"]["commit"])[:12] for r in results.values()}))
    scale = first["scale"]
    lines += [
        "",
        f"Pairs of four answers to each of {scale['held_out']} prompts of customers that nothing was trained on: share "
        "that the reward model orders as the gold score does, by how the questions were chosen. Answers are those of "
        f"the supervised model to {scale['prompts']:,} prompts, labels of fifteen simulated people, a reward of "
        f"{scale['members']} members read as `--reading {scale['reading']} --likelihood {scale['likelihood']:g}`, "
        f"{scale['candidates']} candidates a question, the first {scale['labels'][0]} uniform for all. Means ± half "
        f"the 95 % t-interval over seeds {seeds}. Commits {commits}; made by `python experiments/text_labels.py run` "
        "and `table` from `experiments/results/text_labels/`.",
    ]
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str]) -> None:
    """See the head of this file."""
    quick = "--quick" in arguments
    match [word for word in arguments if word != "--quick"]:
        case ["run", *seeds]:
            for seed in map(int, seeds or ["0", "1", "2"]):
                world = ROOT / "runs" / ("text-demo-quick" if quick else "text-demo") / str(seed)
                kept = ROOT / "runs" / "text-labels-quick" if quick else RESULTS / "text_labels"
                run(seed, QUICK if quick else Scale(), world, kept)
                if quick:
                    found = [json.loads(path.read_text()) for path in sorted(kept.glob("*.json"))]
                    print("\n" + table({f"{r['rule']}-{r['seed']}": r for r in found}))
        case ["table"]:
            text = table(load("text_labels"))
            (RESULTS / "text_labels.md").write_text(text)
            print(text)
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
