"""Memory stays bounded over a long run: clips are copies, and only what was asked about is kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

# The resident memory after each round, in MiB, of a run in a process of its own.
PROGRAM = """
import json, sys
from pathlib import Path
from prefrl.commands import progress
from prefrl.commands.train import Train

sizes = []

def say(self, row):
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    sizes.append(pages * 4096 / 2**20)

progress.Progress.say = say
Train(task="moving-dot", labels=500, steps=400_000, out=Path(sys.argv[1]), quiet=True).run()
print(json.dumps(sizes))
"""


@pytest.mark.slow
def test_memory_stays_bounded_over_a_long_run(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path / "run")], capture_output=True, text=True, check=True
    )
    sizes = json.loads(answer.stdout.splitlines()[-1])
    quarter = sizes[len(sizes) // 4 :]
    # 500 comparisons of 15 steps are under 1 MiB; what the allocator keeps settles in the first rounds.
    assert max(quarter) - quarter[0] < 25, sizes
