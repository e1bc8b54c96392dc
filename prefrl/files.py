"""Files that are whole or absent, and the sentence for a disk that is full or read-only."""

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefrl.errors import PrefrlError


class writing:
    """Turns a full disk or a read-only folder into a sentence."""

    def __init__(self, path: Path, *, then: str = "make room or mend the permissions, then try again") -> None:
        self.path, self.then = path, then

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        # safetensors wraps the system's error in its own.
        if isinstance(error, OSError) or type(error).__name__ == "SafetensorError":
            raise PrefrlError(
                f"cannot write {self.path}: {getattr(error, 'strerror', None) or error}; {self.then}"
            ) from error


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write under another name, sync, rename: `path` holds either the old content or the new, whole."""
    with writing(path):
        partial = path.with_name(path.name + ".partial")
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        sync(partial)
        partial.rename(path)
        sync(path.parent)


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """`write_atomically` of JSON; NaN and infinities, which JSON lacks, become null."""
    write_atomically(path, json.dumps(_finite(content), indent=2, allow_nan=False) + "\n")


def _finite(content: Any) -> Any:
    if isinstance(content, Mapping):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def sync(path: Path) -> None:
    """Have a file or folder reach the disk before going on."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
