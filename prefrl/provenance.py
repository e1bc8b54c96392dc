"""What a result needs to be made again."""

import os
import platform
import shlex
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = (
    "prefrl",
    "torch",
    "numpy",
    "gymnasium",
    "mujoco",
    "ale-py",
    "stable-baselines3",
    "sb3-contrib",
    "transformers",
    "peft",
)


def provenance() -> dict[str, Any]:
    """What a result needs to be made again: command, versions, commit, machine."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return {
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "versions": {"python": platform.python_version(), **versions},
        "commit": _commit(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "processors": os.cpu_count(),
    }


def _commit() -> str | None:
    """The commit of the checkout that this code runs from, "-dirty" if files differ; None for an installed wheel."""
    try:
        answer = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
