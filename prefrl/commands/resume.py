"""`prefrl resume DIR`."""

from dataclasses import dataclass
from pathlib import Path

import tyro


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted run from its newest whole checkpoint; the result is that of a run never interrupted."""

    folder: tyro.conf.Positional[Path]
    """The run's folder."""

    quiet: bool = False
    """Print nothing but errors."""

    def run(self) -> int:
        from prefrl.commands.training import carry_out

        return carry_out(self.folder, quiet=self.quiet)
