"""`prefrl report DIR ...`."""

from dataclasses import dataclass
from pathlib import Path

import tyro

from prefrl.errors import PrefrlError


@dataclass(frozen=True)
class Report:
    """Compare runs: learning curves, the reward model, and a table of outcomes, as a picture and as a page."""

    folders: tyro.conf.Positional[tuple[Path, ...]]
    """Runs, or folders that contain runs."""
    out: Path | None = None
    """Where report.png and report.html go; by default `report` in the folder, or here if there are several."""

    def run(self) -> int:
        if not self.folders:
            raise PrefrlError("name at least one run's folder, or a folder that contains runs")
        from prefrl.commands.page import page
        from prefrl.commands.plots import overview_figure, task_figure
        from prefrl.commands.results import find_runs, group_runs
        from prefrl.files import write_atomically

        groups = group_runs(find_runs(self.folders))
        tasks = [(task, [g for g in groups if g.task == task]) for task in dict.fromkeys(g.task for g in groups)]
        picture = task_figure(*tasks[0]) if len(tasks) == 1 else overview_figure(tasks)
        out = self.out or (self.folders[0] / "report" if len(self.folders) == 1 else Path("report"))
        try:
            out.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as error:
            raise PrefrlError(f"{out} is not a folder; name another with --out") from error
        write_atomically(out / "report.png", picture)
        write_atomically(out / "report.html", page(tasks))
        runs = [result for group in groups for result in group.results]
        unfinished = sum(result.summary is None for result in runs)
        note = f", {unfinished} of them unfinished" if unfinished else ""
        print(f"{len(runs)} run{'s' if len(runs) > 1 else ''}{note}: {out / 'report.html'}, {out / 'report.png'}")
        return 0
