"""What the provenance of answers says about how they were given."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from prefrl.commands.statistics import wilson95

if TYPE_CHECKING:
    from prefrl.answers import Answer, Check
    from prefrl.comparisons import Judgment

PAUSE_SECONDS = 300.0  # a longer silence between two answers of one labeler is a break, not slow work
FAST_SECONDS = 0.7  # nobody has seen two clips and chosen in less
FAST_SHARE = 0.6  # of the longer clip, as it was played, that must have been seen


def side_bias(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many answers chose the left side, and among how many that chose a side and know where the options stood."""
    left = chosen = 0
    for answer in answers:
        shown = answer.provenance.get("shown")
        liked = liking(answer.judgment)
        if liked is None or not isinstance(shown, list) or len(shown) != 2 or set(shown) != set(answer.option_ids):
            continue
        weight = dict(zip(answer.option_ids, liked, strict=True))
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


def liking(judgment: Judgment) -> list[float] | None:
    """[K] how much each option is liked: weights as they are, places negated; None for "cannot tell"."""
    from prefrl.comparisons import Ranking

    if judgment is None:
        return None
    return [-float(rank) for rank in judgment.ranks] if isinstance(judgment, Ranking) else [float(w) for w in judgment]


def relations(ids: Sequence[str], judgment: Judgment) -> Iterator[tuple[str, str, int]]:
    """Every two options of an answer in the order of their ids: 1 the first is better, -1 the second, 0 a tie.

    Nothing for "cannot tell". A choice of the best of several says nothing of the others among themselves.
    """
    from prefrl.comparisons import Ranking

    liked = liking(judgment)
    if liked is None:
        return
    best = max(liked)
    for (a, x), (b, y) in itertools.combinations(sorted(zip(ids, liked, strict=True)), 2):
        if isinstance(judgment, Ranking) or len(liked) == 2 or best in (x, y):
            yield a, b, (x > y) - (x < y)


def preferred(ids: Sequence[str], judgment: Judgment) -> Iterator[tuple[str, str]]:
    """(better, worse) for every two options of an answer that are not equally good."""
    for a, b, sign in relations(ids, judgment):
        if sign:
            yield (a, b) if sign > 0 else (b, a)


def retest(answers: Sequence[Answer], checks: Sequence[Check]) -> tuple[int, int]:
    """How many repeated questions were answered as before, and how many were repeated, of one labeler.

    "Cannot tell" is as before if it was "cannot tell" before.
    """
    said = {frozenset(a.option_ids): sorted(relations(a.option_ids, a.judgment)) for a in answers}
    same = repeated = 0
    for check in checks:
        if check.kind == "repeat" and frozenset(check.shown) in said:
            repeated += 1
            same += sorted(relations(check.shown, check.judgment)) == said[frozenset(check.shown)]
    return same, repeated


def caught(checks: Sequence[Check]) -> tuple[int, int]:
    """How many catches, one clip on both sides, were called a tie or "cannot tell", and how many there were."""
    catches = [liking(check.judgment) for check in checks if check.kind == "catch"]
    return sum(liked is None or len(set(liked)) == 1 for liked in catches), len(catches)


def cyclic_triads(answers: Sequence[Answer]) -> tuple[int, int]:
    """How many triads contradict themselves (a over b, b over c, c over a), and how many were decided all round.

    Kendall and Babington Smith 1940. Where a labeler answered about two segments more than once, the newest counts.
    """
    over: dict[tuple[str, str], int] = {}
    near: dict[str, set[str]] = defaultdict(set)
    for answer in answers:
        for a, b, sign in relations(answer.option_ids, answer.judgment):
            over[a, b] = sign
            near[a].add(b)  # a < b
    cyclic = decided = 0
    for a, nexts in near.items():
        for b in nexts:
            for c in nexts & near.get(b, set()):
                signs = over[a, b], over[b, c], over[a, c]
                if 0 not in signs:
                    decided += 1
                    cyclic += signs[0] == signs[1] == -signs[2]
    return cyclic, decided


def rates(answers: Sequence[Answer], *, parts: int = 4) -> list[float]:
    """Answers a minute in each of so many equally long stretches of answers, longer silences left out.

    Empty for fewer than ten answers a stretch, and for an oracle, whose answers come all at once.
    """
    times = sorted(datetime.fromisoformat(answer.answered_at).timestamp() for answer in answers)
    gaps = [b - a for a, b in itertools.pairwise(times) if b - a <= PAUSE_SECONDS]
    size = len(gaps) // parts
    stretches = [gaps[i * size : (i + 1) * size] for i in range(parts)]
    # Half of the answers without any time between them: they were given in one go.
    if size < 10 or sum(gap == 0 for gap in gaps) > len(gaps) / 2:
        return []
    return [60 * len(stretch) / sum(stretch) if sum(stretch) else math.inf for stretch in stretches]


def agreement_between(answers: Sequence[Answer]) -> str:
    """How far labelers agree: Krippendorff's alpha of what they said of every two options, or why there is none."""
    units: dict[tuple[str, str, str], dict[str, int]] = defaultdict(dict)
    for answer in answers:
        for a, b, sign in relations(answer.option_ids, answer.judgment):
            units[answer.query_id, a, b][answer.labeler] = sign
    shared = [unit for unit in units.values() if len(unit) > 1]
    if not shared:
        return "agreement between labelers: unknown, because no two of them answered the same question (--overlap 2)"
    same = sum(len(set(unit.values())) == 1 for unit in shared)
    said = f"labelers agree on {same} of {len(shared)} pairs that several answered: {same / len(shared):.1%}"
    if len({sign for unit in shared for sign in unit.values()}) == 1:
        return f"{said}; Krippendorff's alpha is undefined where everybody said the same of every pair"
    try:
        import krippendorff
    except ImportError:
        return f"{said}; for Krippendorff's alpha: pip install 'prefrl[label]'"
    names = sorted({name for unit in shared for name in unit})
    table = [[float(unit.get(name, math.nan)) for unit in shared] for name in names]
    alpha = float(krippendorff.alpha(reliability_data=table, level_of_measurement="nominal"))
    return f"{said}; Krippendorff's alpha {alpha:.2f} (1 is agreement, 0 is what chance gives)"


def remarks(name: str, answers: Sequence[Answer], checks: Sequence[Check] = ()) -> Iterator[str]:
    """Sentences about one labeler, as far as the answers were given at the labeling window."""
    left, chosen = side_bias(answers)
    if chosen:
        low, high = wilson95(left, chosen)
        odd = "" if low <= 0.5 <= high else ": more than chance explains"
        yield f"{name} chose the left side in {left} of {chosen}: {left / chosen:.1%} ({low:.1%} to {high:.1%}){odd}"
    fast, timed = too_fast(answers)
    if timed:
        yield f"{name} answered {fast} of {timed} before the clips can have been seen: {fast / timed:.1%}"
    same, repeated = retest(answers, checks)
    if repeated:
        low, high = wilson95(same, repeated)
        share = f"{same / repeated:.1%} ({low:.1%} to {high:.1%})"
        yield f"{name} answered {same} of {repeated} repeated questions as before: {share}"
    ties, catches = caught(checks)
    if catches:
        yield f"{name} called {ties} of {catches} equal clips equal"
    cyclic, decided = cyclic_triads(answers)
    if decided:
        yield f"{name} contradicts themselves in {cyclic} of {decided} triads: {cyclic / decided:.1%}"
    if paces := rates(answers):
        said = ", ".join(f"{pace:.1f}" for pace in paces)
        yield f"{name} gave {said} answers a minute in the first to the last quarter"
    if flagged := [answer for answer in answers if answer.provenance.get("note")]:
        yield f"{name} flagged {len(flagged)}: " + "; ".join(str(a.provenance["note"]) for a in flagged[:5])
