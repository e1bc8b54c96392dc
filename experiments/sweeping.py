"""Run what is missing of a list of runs, two at a time, and keep what came of it as data.

Runs live in runs/experiments (not committed); a run that was killed goes on where it was, one that failed is named
with its log. What is committed is a JSON file a run in experiments/results: settings, versions, commit, summary and
curve.
"""

import csv
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "runs" / "experiments"
RESULTS = Path(__file__).parent / "results"
# Two-sided 95 % quantiles of Student's t by degrees of freedom.
T95 = {1: 12.706, 2: 4.303, 3: 3.182, 4: 2.776, 5: 2.571, 6: 2.447, 7: 2.365, 8: 2.306, 9: 2.262}


def carry_out(experiment: str, rows: Mapping[str, Sequence[str]], *, processes: int) -> None:
    """Bring every run to its end: `rows` maps a run's name to the arguments of `prefrl train`."""
    missing = [name for name in rows if not (RESULTS / experiment / f"{name}.json").exists()]
    started, done = time.perf_counter(), 0

    def one(name: str) -> None:
        nonlocal done
        ended = _run(experiment, name, rows[name])
        done += 1
        left = (time.perf_counter() - started) / done * (len(missing) - done)
        print(f"[{done}/{len(missing)}, {left / 60:.0f} min left] {name}: {ended}", flush=True)

    with ThreadPoolExecutor(processes) as pool:
        list(pool.map(one, missing))


def _run(experiment: str, name: str, arguments: Sequence[str]) -> str:
    folder = RUNS / experiment / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    if (folder / "config.json").exists():
        command = ["resume", str(folder)]
    else:
        command = ["train", *arguments, "--out", str(folder)]
    log = folder.with_suffix(".log")
    with log.open("a") as file:
        code = subprocess.run([sys.executable, "-m", "prefrl", *command], stdout=file, stderr=file, cwd=ROOT).returncode
    if code != 0:
        return f"FAILED with exit code {code}, see {log}; again: prefrl {' '.join(command)}"
    result = _result(folder)
    path = RESULTS / experiment / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result) + "\n")
    return f"true return {result['summary']['true_return']:.1f}"


def _result(folder: Path) -> dict[str, Any]:
    config = json.loads((folder / "config.json").read_text())
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    columns = ("steps", "labels", "true_return", "predicted_return", "reward_accuracy", "reward_correlation")
    curve = {c: [round(float(row[c]), 4) if row[c] else None for row in rows] for c in columns}
    # The folder is this machine's business.
    config["command"] = config["command"].split(" --out")[0]
    return {"config": config, "summary": json.loads((folder / "summary.json").read_text()), "curve": curve}


def load(experiment: str) -> dict[str, dict[str, Any]]:
    """The committed results, by name."""
    return {path.stem: json.loads(path.read_text()) for path in sorted((RESULTS / experiment).glob("*.json"))}


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean and half width of its 95 % t-interval; NaN for fewer than two values."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, math.nan
    return mean, T95[len(values) - 1] * statistics.stdev(values) / math.sqrt(len(values))


def shown(values: Sequence[float], kind: str) -> str:
    """A mean and half its interval, where there is one, in a format."""
    mean, half = interval(values)
    return f"{mean:{kind}}" if len(values) < 2 else f"{mean:{kind}} ± {half:{kind}}"


def normalized(learned: Mapping[str, Any], baselines: Sequence[Mapping[str, Any]]) -> float:
    """(return - random) / (baseline's return - random): 0 is a random policy, 1 the mean true-reward baseline."""
    random = statistics.fmean(summary["random_return"] for summary in [learned, *baselines])
    best = statistics.fmean(summary["true_return"] for summary in baselines)
    return float((learned["true_return"] - random) / (best - random))
