"""Where networks are evaluated, and on how many processors."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from prefrl.errors import PrefrlError

Device = Literal["auto", "cpu", "cuda"]


def usable_processors() -> int:
    """As many as this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_device(wanted: Device) -> str:
    """`auto` is CUDA where there is one. Raises PrefrlError for a device that is not there."""
    import torch

    if wanted == "cuda" and not torch.cuda.is_available():
        raise PrefrlError("--device cuda, but torch sees no CUDA device here; leave it out, or use --device cpu")
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return wanted


def check_device(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise PrefrlError where a run was begun on a device that is not here: elsewhere it would not go on as it was."""
    import torch

    if config.get("device") == "cuda" and not torch.cuda.is_available():
        raise PrefrlError(
            f"{folder} was begun on a GPU, and torch sees no CUDA device here: resume it where there is one, or train "
            "anew with --device cpu"
        )
