"""An oracle at the keyboard: label a run in a real window, by real key presses, and measure what a person would wait.

    xvfb-run python experiments/benchmarks/labeling_keys.py runs/keys    # a run that waits for people

It needs xdotool. The window is that of `prefrl label`; the oracle looks at what is on the screen, compares the true
returns of these clips or answers, and presses the arrow key of the better side, or the numbers of more than two from
the best to the worst, a moment after they have appeared. It ends when the run's target is reached.
`python experiments/labeling.py` does this together with all other measurements.
"""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from prefrl.commands.label import Label
from prefrl_labeling import window
from prefrl_labeling.screen import Screen

LOOK_SECONDS = 1.0  # that the oracle takes for each pair; a person takes 3 to 5


def keys_for(returns: Sequence[float]) -> list[str]:
    """What to press for options that are truly worth so much, in their order on the screen: X names of keys."""
    if len(returns) == 2:
        return ["Left" if returns[0] > returns[1] else "Right" if returns[1] > returns[0] else "Up"]
    order = sorted(range(len(returns)), key=lambda i: -returns[i])
    keys: list[str] = []
    for before, i in zip([None, *order], order, strict=False):
        if before is not None and returns[before] == returns[i]:
            keys.append("equal")
        keys.append(str(i + 1))
    return [*keys, "Return"]


def label_by_keys(folder: Path) -> dict[str, float]:
    """Label `folder` until its target is reached, and say what was measured."""
    original, sitting = window.render, window._Sitting
    opened: list[Any] = []
    waits: list[float] = []  # seconds from a key press to the next pair, where one was there to be shown
    seen: dict[str, float] = {"showing": -1.0, "since": 0.0, "pressed": 0.0, "pictures": 0, "visible": 0.0, "last": 0.0}

    def init(self: Any, *arguments: Any) -> None:
        original_init(self, *arguments)
        opened.append(self)

    def render(screen: Screen, size: tuple[int, int], scale: float) -> Any:
        now, session = time.perf_counter(), opened[0].session
        if screen.options is not None:
            if session.current.number != seen["showing"]:
                if seen["pressed"] and seen["more"]:
                    waits.append(now - seen["pressed"])
                seen.update(showing=session.current.number, since=now, pressed=0.0)
            elif not seen["pressed"]:
                seen["pictures"] += 1
                seen["visible"] += now - seen["last"]
                if now - seen["since"] > LOOK_SECONDS:
                    keys = keys_for([float(option.true_reward.sum()) for option in session.current.options])
                    seen["pressed"], seen["more"] = now, session.counts.asked > session.counts.answered + 1
                    subprocess.run(["xdotool", "key", "--delay", "40", *keys], check=True)
        elif screen.answered >= screen.target:
            opened[0].closing = True
        seen["last"] = now
        return original(screen, size, scale)

    original_init = sitting.__init__
    sitting.__init__ = init  # type: ignore[method-assign]
    window.render = render
    started = time.perf_counter()
    try:
        Label(folder, name="oracle-at-the-keys", repeats=0.0, catches=0.0).run()
    finally:
        sitting.__init__, window.render = original_init, original  # type: ignore[method-assign]
    seconds = time.perf_counter() - started
    return {
        "answers": opened[0].session.given,
        "seconds": round(seconds),
        "answers_per_minute": round(60 * opened[0].session.given / seconds, 1),
        "share_of_time_with_a_pair": round(seen["visible"] / seconds, 3),
        "pictures_per_second": round(seen["pictures"] / seen["visible"], 1),
        "ms_to_next_pair_median": round(1000 * statistics.median(waits), 1),
        "ms_to_next_pair_p95": round(1000 * sorted(waits)[int(0.95 * len(waits))], 1),
    }


if __name__ == "__main__":  # the process that draws imports this file
    print(json.dumps(label_by_keys(Path(sys.argv[1])), indent=1))
