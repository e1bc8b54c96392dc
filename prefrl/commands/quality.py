"""What the provenance of answers says about how they were given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from prefrl.commands.statistics import wilson95

if TYPE_CHECKING:
    from prefrl.store import Answer

FAST_SECONDS = 0.7  # nobody has seen two clips and chosen in less
FAST_SHARE = 0.6  # of the longer clip, as it was played, that must have been seen


def side_bias(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many answers chose the left side, and among how many that chose a side and know where the options stood."""
    left = chosen = 0
    for answer in answers:
        shown = answer.provenance.get("shown")
        if answer.mu is None or not isinstance(shown, list) or len(shown) != 2 or set(shown) != set(answer.option_ids):
            continue
        weight = dict(zip(answer.option_ids, answer.mu, strict=True))
        if weight[shown[0]] != weight[shown[1]]:
            chosen += 1
            left += weight[shown[0]] > weight[shown[1]]
    return left, chosen


def too_fast(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many answers came before the clips can have been seen, and among how many whose time is known."""
    fast = timed = 0
    for answer in answers:
        seconds, clip = answer.provenance.get("seconds"), answer.provenance.get("clip_seconds", 0.0)
        if not isinstance(seconds, float | int) or not isinstance(clip, float | int):
            continue
        timed += 1
        speed = answer.provenance.get("speed", 1.0)
        needed = FAST_SHARE * clip / speed if isinstance(speed, float | int) and speed > 0 else 0.0
        fast += seconds < max(FAST_SECONDS, needed)
    return fast, timed


def remarks(name: str, answers: Sequence[Answer]) -> Iterator[str]:
    """Sentences about one labeler, as far as the answers were given at the labeling window."""
    left, chosen = side_bias(answers)
    if chosen:
        low, high = wilson95(left, chosen)
        odd = "" if low <= 0.5 <= high else ": more than chance explains"
        yield f"{name} chose the left side in {left} of {chosen}: {left / chosen:.1%} ({low:.1%} to {high:.1%}){odd}"
    fast, timed = too_fast(answers)
    if timed:
        yield f"{name} answered {fast} of {timed} before the clips can have been seen: {fast / timed:.1%}"
    if flagged := [answer for answer in answers if answer.provenance.get("note")]:
        yield f"{name} flagged {len(flagged)}: " + "; ".join(str(a.provenance["note"]) for a in flagged[:5])
