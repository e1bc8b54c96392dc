"""What is there of the paper's sweeps, and the scores that come of it."""

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
    """The results of a sweep, among them those on the true reward, by which its scores are normalized."""

    grid: Grid
    results: Results

    def of(self, task: str, setting: str) -> list[Mapping[str, Any]]:
        """The results of a task and setting, one a seed, as many as there are."""
        return [self.results[r.name] for r in self.grid.rows
                if (r.task, r.setting) == (task, setting) and r.name in self.results]  # fmt: skip

    def true(self, task: str) -> list[Mapping[str, Any]]:
        """The summaries on the true reward."""
        return [result["summary"] for result in self.of(task, "true")]

    def scores(self, task: str, setting: str) -> list[float]:
        """Normalized scores, one a seed; none without a baseline."""
        true = self.true(task)
        return [normalized(result["summary"], true) for result in self.of(task, setting)] if true else []

    def strata(self, setting: str, tasks: Sequence[str] | None = None) -> list[list[float]]:
        """Scores of each task that has any."""
        return [scores for task in tasks or self.grid.tasks if (scores := self.scores(task, setting))]


def studies() -> dict[str, Study]:
    """All that there is, by name of the sweep."""
    names = ("figure2", "figure5", "beyond", "v5")
    return {name: Study(grid(name), results) for name in names if (results := load(name))}
