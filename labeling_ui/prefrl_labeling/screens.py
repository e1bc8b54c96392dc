"""Whether there is a screen; apart, since a trainer asks it without pygame."""

import os
import sys

from prefrl.errors import PrefrlError

NO_SCREEN = (
    "run it where there is a screen, or under xvfb-run, or copy the run's preferences.db to a machine with a screen "
    "and label it there"
)


def check_screen() -> None:
    """Raise PrefrlError where a window cannot be seen."""
    somewhere = any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"))
    if sys.platform.startswith("linux") and not somewhere:
        raise PrefrlError(f"there is no screen to open a window on (DISPLAY is not set); {NO_SCREEN}")
