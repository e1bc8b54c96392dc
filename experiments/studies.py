"""What is there of the paper's sweeps, and the scores that come of it."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeping import grid, load, normalized

from prefrl.commands.sweeping.rows import Grid

WHOLE = "700"  # the setting that ablations are compared with
NAMES = {"true": "true reward", "350": "350 comparisons", "700": "700 comparisons", "1400": "1,400 comparisons"}
Results = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Study:
    """The results of a sweep, and the runs on the true reward by which its scores are normalized."""

    grid: Grid
    results: Results
    baselines: Results  # of the setting "true"
    sweep: Grid  # that of the baselines

    def of(self, task: str, setting: str) -> list[Mapping[str, Any]]:
        """The results of a task and setting, one a seed, as many as there are."""
        return [self.results[r.name] for r in self.grid.rows
                if (r.task, r.setting) == (task, setting) and r.name in self.results]  # fmt: skip

    def true(self, task: str) -> list[Mapping[str, Any]]:
        """The summaries on the true reward."""
        rows = [row for row in self.sweep.rows if (row.task, row.setting) == (task, "true")]
        return [self.baselines[row.name]["summary"] for row in rows if row.name in self.baselines]

    def scores(self, task: str, setting: str) -> list[float]:
        """Normalized scores, one a seed; none without a baseline."""
        true = self.true(task)
        return [normalized(result["summary"], true) for result in self.of(task, setting)] if true else []

    def strata(self, setting: str, tasks: Sequence[str] | None = None) -> list[list[float]]:
        """Scores of each task that has any."""
        return [scores for task in tasks or self.grid.tasks if (scores := self.scores(task, setting))]


def studies() -> dict[str, Study]:
    """All that there is, by name of the sweep."""
    found = {name: Study(grid(name), results, results, grid(name))
             for name in ("figure2", "figure5", "v5") if (results := load(name))}  # fmt: skip
    if (results := load("beyond")) and "figure5" in found:
        baselines = found["figure5"].results
        for result in results.values():
            _check_steps("beyond", result["summary"], "figure5", baselines)
        found["beyond"] = Study(grid("beyond"), results, baselines, grid("figure5"))
    return found


def _check_steps(name: str, summary: Mapping[str, Any], whole: str, baselines: Results) -> None:
    """What is compared must have learned equally long."""
    for other in (result["summary"] for result in baselines.values()):
        shorter, longer = sorted((other["steps"], summary["steps"]))
        if other["task"] == summary["task"] and shorter < 0.9 * longer:
            sys.exit(f"{name}: {summary['task']} learned for {summary['steps']:,} steps, {whole} {other['steps']:,}")
