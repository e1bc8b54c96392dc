"""`prefrl doctor`."""

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from prefrl.commands.devices import usable_processors

# What to say of each: fine, worth knowing, in the way.
Mark = Literal["ok", "note", "bad"]
_STYLES = {"ok": "green", "note": "yellow", "bad": "bold red"}
_DISK_WANTED = 2.0  # GiB


@dataclass(frozen=True)
class Finding:
    """One line of the table; `move` is what to do about it, if anything."""

    what: str
    found: str
    mark: Mark = "ok"
    move: str = ""


@dataclass(frozen=True)
class Doctor:
    """Say what is installed, what works here, and what to install for the rest."""

    def run(self) -> int:
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name in ("", "found", "what to do"):
            table.add_column(name, overflow="fold")
        for finding in examine():
            # Text, not markup: `prefrl[label]` would vanish.
            table.add_row(finding.what, Text(finding.found, style=_STYLES[finding.mark]), Text(finding.move))
        Console(highlight=False).print(table)
        return 0


def examine() -> Iterator[Finding]:
    """Everything that is worth a look, each as it is found."""
    yield Finding(
        "prefrl", f"{metadata.version('prefrl')}, Python {platform.python_version()}, {platform.platform(terse=True)}"
    )
    yield from packages()
    both = _installed("pygame"), _installed("pygame-ce")
    yield window(*both, winner=_winner() if all(both) else "")
    yield _renderer()
    yield _ffmpeg()
    yield _threads()
    yield disk(shutil.disk_usage(Path.cwd()).free / 2**30)
    yield _gpu()


def packages() -> Iterator[Finding]:
    """What prefrl's own metadata asks for: without an extra, then by extra."""
    needed: dict[str, list[str]] = {}
    for line in metadata.requires("prefrl") or []:
        requirement, _, marker = line.partition(";")
        only = re.search(r"extra\s*==\s*['\"]([\w-]+)['\"]", marker)
        name = re.split(r"[^\w.-]", requirement.strip())[0]
        if name != "prefrl":
            needed.setdefault(only[1] if only else "", []).append(name)
    yield _group("libraries", needed.pop("", []), "pip install --upgrade prefrl", "bad")
    for extra, names in sorted(needed.items()):
        if extra not in ("dev", "all"):
            yield _group(f"extra: {extra}", names, f"pip install 'prefrl[{extra}]'", "note")


def _group(what: str, names: list[str], command: str, mark: Mark) -> Finding:
    missing = [name for name in names if _installed(name) is None]
    found = ", ".join(f"{name} {_installed(name) or 'missing'}" for name in names)
    return Finding(what, found, mark if missing else "ok", command if missing else "")


def _installed(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _winner() -> str:
    """Which of the two is imported."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        return "neither can be imported"
    return f"{'pygame-ce' if getattr(pygame, 'IS_CE', False) else 'pygame'} wins"


def window(pygame: str | None, pygame_ce: str | None, *, winner: str = "") -> Finding:
    """pygame and pygame-ce share one import name: whichever came last has overwritten the other."""
    if pygame and pygame_ce:
        return Finding(
            "labeling window",
            f"pygame {pygame} and pygame-ce {pygame_ce} overwrite each other; {winner}",
            "bad",
            "pip uninstall -y pygame pygame-ce && pip install pygame-ce",
        )
    if pygame:
        move = "pip uninstall -y pygame && pip install 'prefrl[label]'"
        return Finding("labeling window", f"pygame {pygame} instead of pygame-ce", "note", move)
    screen = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY") or not sys.platform.startswith("linux")
    if pygame_ce is None:
        return Finding("labeling window", "no pygame-ce", "note", "pip install 'prefrl[label]'")
    return Finding(
        "labeling window", f"pygame-ce {pygame_ce}, {'a' if screen else 'no'} screen", "ok" if screen else "note"
    )


def _renderer() -> Finding:
    try:
        from prefrl.control.rendering import INSTALL_GL, choose_renderer
    except ImportError as error:
        return Finding("pictures", f"not possible: {error}", "bad", "pip install --upgrade prefrl")
    renderer = choose_renderer()
    if renderer == "software":
        return Finding(
            "pictures", "software drawing; no OpenGL works", "note", f"only if you want OpenGL, {INSTALL_GL}"
        )
    return Finding("pictures", f"software drawing; OpenGL by {renderer} works too")


def _ffmpeg() -> Finding:
    try:
        import imageio_ffmpeg

        return Finding("video", f"ffmpeg {imageio_ffmpeg.get_ffmpeg_version()}")
    except (ImportError, RuntimeError, OSError) as error:
        return Finding("video", f"no ffmpeg: {error}", "bad", "pip install --force-reinstall imageio-ffmpeg")


def _threads() -> Finding:
    limits = [f"{name}={os.environ[name]}" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ]
    uses = "training on vectors uses one, on pictures or text all"
    return Finding("processors", ", ".join([f"{usable_processors()} usable of {os.cpu_count()}; {uses}", *limits]))


def disk(free: float) -> Finding:
    """`free` is in GiB."""
    found = f"{free:,.1f} GiB free in {Path.cwd()}"
    if free < _DISK_WANTED:
        return Finding("disk", found, "bad", f"make room: long runs want {_DISK_WANTED:g} GiB")
    return Finding("disk", found)


def _gpu() -> Finding:
    try:
        answer = subprocess.run(
            ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return Finding("GPU", "none; control does not need one")
    return Finding("GPU", "; ".join(answer.stdout.split("\n")).strip("; "))
