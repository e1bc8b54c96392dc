"""Answers as a person reads them."""

from datetime import datetime

from prefrl.answers import Answer
from prefrl.comparisons import Judgment, Ranking, reordered
from prefrl_labeling.draft import spoken
from prefrl_labeling.keymap import Action
from prefrl_labeling.overlays import Past

_SAVED = {
    Action.LEFT_BETTER: "left is better",
    Action.RIGHT_BETTER: "right is better",
    Action.LEFT_MUCH_BETTER: "left is much better",
    Action.RIGHT_MUCH_BETTER: "right is much better",
    Action.TIE: "equally good",
    Action.CANNOT_TELL: "cannot tell",
}


def given_in_words(given: Action | Ranking) -> str:
    """What was just answered."""
    return spoken(given.ranks) if isinstance(given, Ranking) else _SAVED[given]


def said(judgment: Judgment, strength: object) -> str:
    """An answer in words; the options are as they stand on the screen."""
    if isinstance(judgment, Ranking):
        return spoken(judgment.ranks)
    if judgment is None:
        return "cannot tell"
    if len(judgment) != 2:
        return ", ".join(f"{weight:.0%}" for weight in judgment)
    if judgment[0] == judgment[1]:
        return "equally good"
    side = "left" if judgment[0] > judgment[1] else "right"
    return f"{side} is much better" if strength == 2 else f"{side} is better"


def past_in_words(answer: Answer) -> Past:
    """An earlier answer; the options are as they were shown."""
    shown = answer.provenance.get("shown")
    ids = shown if isinstance(shown, list) and {*shown} == {*answer.option_ids} else list(answer.option_ids)
    when = datetime.fromisoformat(answer.answered_at).astimezone().strftime("%Y-%m-%d  %H:%M:%S")
    words = said(reordered(answer.judgment, answer.option_ids, ids), answer.provenance.get("strength"))
    return Past(when, words, str(answer.provenance.get("note", "")))
