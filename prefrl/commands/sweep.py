"""`prefrl sweep FILE`."""

import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from prefrl.errors import Interrupted, PrefrlError

if TYPE_CHECKING:
    from prefrl.commands.sweeping.engines import Job
    from prefrl.commands.sweeping.rows import Row


@dataclass(frozen=True)
class Sweep:
    """Run what is missing of many trainings that a file names, several at a time.

    The file is TOML: `tasks`, `seeds`, `[train]` with the options of `prefrl train` that all share, `[tasks]` and
    `[settings]` with those of each. Stopped or killed, the same command goes on where it was. Of each finished run, one
    small JSON file is kept: configuration, command, versions, commit, summary, curve. Exit code 1: some runs failed.
    """

    file: tyro.conf.Positional[Path]
    """The sweep file."""
    processes: int = 2
    """How many runs at a time, on this machine, whose processors they share."""
    cluster: str | None = None
    """Run on a Ray cluster instead: its address, or `auto` for the one this machine belongs to. Each run takes as many
    of its processors as it has --threads. All nodes must see the folders of runs and results."""
    results: Path | None = None
    """Where results are kept; the folder results/NAME beside NAME.toml by default."""
    runs: Path | None = None
    """Where the runs' own folders and logs are; runs/NAME by default."""
    show: Annotated[bool, tyro.conf.arg(name="list")] = False
    """Only print the command of each row."""

    def run(self) -> int:
        from prefrl.commands.sweeping.rows import read_grid

        if self.processes < 1:
            raise PrefrlError(f"--processes must be at least 1, got {self.processes}")
        grid = read_grid(self.file)
        if self.show:
            for row in grid.rows:
                print(shlex.join(["prefrl", "train", *row.arguments, "--out", str(self._runs / row.name)]))
            return 0
        from prefrl.commands.sweeping.outcomes import missing, of_former_defaults
        from prefrl.files import writing
        from prefrl.runs import only_process

        for folder in (self._runs, self._results):
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
        with only_process(self._runs):
            rows = missing(grid, self._runs, self._results)
            for row in {(row.task, row.setting): row for row in rows}.values():  # seeds differ in nothing to refuse
                row.check()
            done = len(grid.rows) - len(rows)
            print(f"{self.file}: {len(grid.rows)} runs, {done} done, {len(rows)} to do -> {self._results}", flush=True)
            # What is kept need not be run again; what is added to it should be of the same kind, and may not be.
            if rows and (former := of_former_defaults(grid, self._results)):
                print(
                    f"{len(former)} of the {done} learned, or had their clips cut, by former defaults and stay as they "
                    f"are; remove their files to run them anew: {', '.join(former)}",
                    flush=True,
                )
            failed = self._carry_out(rows) if rows else []
        if failed:
            print(f"{len(failed)} of {len(grid.rows)} runs failed:\n" + "\n".join(map(self._lament, failed)))
        return 1 if failed else 0

    @property
    def _runs(self) -> Path:
        return self.runs or Path("runs") / self.file.stem

    @property
    def _results(self) -> Path:
        return self.results or self.file.parent / "results" / self.file.stem

    def _carry_out(self, rows: Sequence["Row"]) -> list["Row"]:
        """Bring the rows to their ends; those that failed. Raises Interrupted when it is stopped."""
        from prefrl.commands.sweeping.display import Display
        from prefrl.commands.sweeping.engines import Cluster, Engine, Processes
        from prefrl.commands.sweeping.outcomes import keep

        engine: Engine = Cluster(self.cluster) if self.cluster else Processes(self.processes)
        waiting, failed = {row.name: row for row in rows}, []
        for row in rows:
            engine.start(self._job(row))
        with _asked_to_stop() as asked, Display(rows, self._runs) as display:
            while waiting and not asked():
                for name, code in engine.wait(0.5).items():
                    row = waiting.pop(name)
                    if code == 0:
                        display.ended(row, _said(keep(row, self._runs / name, self._results)))
                    else:
                        failed.append(row)
                        display.ended(row, f"FAILED with exit code {code}, see {self._job(row).log}", failed=True)
            if waiting:
                display.note("stopping; what is in progress is kept")
                engine.stop()
                display.note(f"stopped; {len(waiting)} to do. Go on with: {shlex.join(self._command())}")
                raise Interrupted
        return failed

    def _job(self, row: "Row") -> "Job":
        from prefrl.commands.devices import usable_processors
        from prefrl.commands.sweeping.engines import Job

        arguments, threads = row.arguments, row.train.processors
        share = max(1, usable_processors() // self.processes)
        if self.cluster is None and row.train.threads is None and share < threads:
            # Threads of several runs on the same processors wait for each other several times as long as they work.
            threads = share
            arguments += ["--threads", str(threads)]
        folder = (self._runs / row.name).absolute()
        return Job(row.name, folder, tuple(arguments), threads, Path.cwd())

    def _command(self) -> list[str]:
        """What this sweep was called with."""
        given = {"processes": self.processes, "cluster": self.cluster, "results": self.results, "runs": self.runs}
        pairs = [(f"--{name}", str(v)) for name, v in given.items() if v != getattr(Sweep, name)]
        return ["prefrl", "sweep", str(self.file), *(word for pair in pairs for word in pair)]

    def _lament(self, row: "Row") -> str:
        """Where to look and what to do about a run that failed."""
        from prefrl.commands.sweeping.child import command

        job = self._job(row)
        said = job.log.read_text(errors="replace").strip().splitlines()[-1:]
        again = shlex.join(["prefrl", *command(self._runs / row.name, row.arguments)])
        return "\n".join([row.name, *(f"  {line}" for line in said), f"  log: {job.log}", f"  again: {again}"])


@contextmanager
def _asked_to_stop() -> Iterator[Callable[[], bool]]:
    """Whether SIGINT or SIGTERM came; a second one ends the process at once."""
    numbers, asked = (signal.SIGINT, signal.SIGTERM), []

    def ask(number: int, _: object) -> None:
        asked.append(number)
        for each in numbers:
            signal.signal(each, signal.SIG_DFL)

    before = {number: signal.signal(number, ask) for number in numbers}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _said(kept: Mapping[str, Any]) -> str:
    return f"true return {kept['summary']['true_return']:,.1f}"
