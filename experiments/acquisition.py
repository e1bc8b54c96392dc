"""Which query to ask? The measurement behind the default of --acquisition.

python experiments/acquisition.py run
python experiments/acquisition.py table   # experiments/results/acquisition.md from the committed data
"""

import sys
from collections import defaultdict
from typing import Any

from sweeping import RESULTS, carry_out, interval, load

TASKS = ("cheetah", "hopper")
RULES = ("uniform", "disagreement", "entropy", "information-gain", "mixture")
SEEDS = range(3)
# Few comparisons, so that it matters which.
ROWS = {
    f"{task}-{rule}-{seed}": [task, "--steps", "200000", "--labels", "200", "--acquisition", rule, "--seed", str(seed)]
    for seed in SEEDS
    for rule in RULES
    for task in TASKS
}


def table(results: dict[str, dict[str, Any]]) -> str:
    """Markdown: one row a rule; returns are divided by their mean over all rules, so that tasks weigh the same."""
    returns: dict[tuple[str, str], dict[int, float]] = defaultdict(dict)
    correlation: dict[str, list[float]] = defaultdict(list)
    accuracy: dict[str, list[float]] = defaultdict(list)
    for result in results.values():
        config, summary = result["config"], result["summary"]
        gain = summary["true_return"] - summary["random_return"]
        returns[config["task"], config["acquisition"]][config["seed"]] = gain
        correlation[config["acquisition"]].append(result["curve"]["reward_correlation"][-1])
        accuracy[config["acquisition"]].append(result["curve"]["reward_accuracy"][-1])
    scale = {
        task: sum(sum(returns[task, rule].values()) for rule in RULES) / sum(len(returns[task, rule]) for rule in RULES)
        for task in TASKS
    }
    lines = [
        f"| rule | {' | '.join(TASKS)} | mean | held-out accuracy | correlation with the true reward | n |",
        "| --- |" + " ---: |" * (len(TASKS) + 4),
    ]
    for rule in RULES:
        cells, by_seed = [], defaultdict(list)
        for task in TASKS:
            shares = {seed: gain / scale[task] for seed, gain in returns[task, rule].items()}
            mean, half = interval(list(shares.values()))
            cells.append(f"{mean:.2f} ± {half:.2f}")
            for seed, share in shares.items():
                by_seed[seed].append(share)
        mean, half = interval([sum(shares) / len(shares) for shares in by_seed.values()])
        lines.append(
            f"| {rule} | {' | '.join(cells)} | **{mean:.2f}** ± {half:.2f} | {interval(accuracy[rule])[0]:.2f} | "
            f"{interval(correlation[rule])[0]:.2f} | {len(by_seed)} |"
        )
    commits = sorted({(r["config"]["commit"] or "?")[:12] for r in results.values()})
    lines += [
        "",
        "Return above random after 200,000 steps and 200 comparisons, divided by the mean over all rules of the same "
        f"task (1 is average); ± is half the 95 % t-interval over seeds {', '.join(map(str, SEEDS))}. "
        f"Commits {', '.join(commits)}; made by `python experiments/acquisition.py run` and `table` from "
        "`experiments/results/acquisition/`.",
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["run"]:
            carry_out("acquisition", ROWS, processes=2)
        case ["table"]:
            text = table(load("acquisition"))
            (RESULTS / "acquisition.md").write_text(text)
            print(text)
        case _:
            sys.exit(__doc__)
