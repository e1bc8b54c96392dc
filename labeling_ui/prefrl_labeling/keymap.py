"""Which key does what, and how a person changes that."""

import difflib
import string
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from prefrl.errors import PrefrlError


class Action(StrEnum):
    """Everything that a person can do; the value is its name in a keymap file."""

    LEFT_BETTER = "left-better"
    RIGHT_BETTER = "right-better"
    TIE = "tie"
    CANNOT_TELL = "cannot-tell"
    LEFT_MUCH_BETTER = "left-much-better"
    RIGHT_MUCH_BETTER = "right-much-better"
    RANK_1 = "rank-1"
    RANK_2 = "rank-2"
    RANK_3 = "rank-3"
    RANK_4 = "rank-4"
    RANK_5 = "rank-5"
    RANK_6 = "rank-6"
    RANK_7 = "rank-7"
    RANK_8 = "rank-8"
    RANK_9 = "rank-9"
    SAME_PLACE = "same-place"
    KEEP_RANKING = "keep-ranking"
    SKIP = "skip"
    UNDO = "undo"
    REDO = "redo"
    FLAG = "flag"
    PLAY = "play"
    REPLAY = "replay"
    SLOWER = "slower"
    FASTER = "faster"
    FRAME_BACK = "frame-back"
    FRAME_FORWARD = "frame-forward"
    SCROLL_UP = "scroll-up"
    SCROLL_DOWN = "scroll-down"
    LARGER = "larger"
    SMALLER = "smaller"
    THEME = "theme"
    HISTORY = "history"
    PRACTICE = "practice"
    HELP = "help"
    QUIT = "quit"


RANKS = (*(action for action in Action if action.startswith("rank-")),)  # the first option, the second, ...

EXPLAINED = {
    Action.LEFT_BETTER: "the left one is better",
    Action.RIGHT_BETTER: "the right one is better",
    Action.TIE: "equally good: both, or all that have no place",
    Action.CANNOT_TELL: "cannot tell: it teaches nothing",
    Action.LEFT_MUCH_BETTER: "the left one is much better",
    Action.RIGHT_MUCH_BETTER: "the right one is much better",
    **{
        action: f"of many, number {n} is the next best" if n > 2 else f"number {n} is the next best; of two, better"
        for n, action in enumerate(RANKS, 1)
    },
    Action.SAME_PLACE: "the next one shares the last place",
    Action.KEEP_RANKING: "keep the ranking",
    Action.SKIP: "skip: it comes again later",
    Action.UNDO: "take the last answer back",
    Action.REDO: "give it again",
    Action.FLAG: "flag with a note",
    Action.PLAY: "play or pause",
    Action.REPLAY: "replay from the start",
    Action.SLOWER: "slower",
    Action.FASTER: "faster",
    Action.FRAME_BACK: "one frame back",
    Action.FRAME_FORWARD: "one frame on",
    Action.SCROLL_UP: "scroll text up",
    Action.SCROLL_DOWN: "scroll text down",
    Action.LARGER: "larger letters",
    Action.SMALLER: "smaller letters",
    Action.THEME: "dark, light or high contrast",
    Action.HISTORY: "look through your answers, correct one",
    Action.PRACTICE: "drive the agent yourself for a while",
    Action.HELP: "show or hide the keys",
    Action.QUIT: "close; every answer is saved already",
}

# The four answers are the paper's keys (Christiano et al. 2017, appendix B).
DEFAULT: Mapping[Action, tuple[str, ...]] = {
    Action.LEFT_BETTER: ("left",),
    Action.RIGHT_BETTER: ("right",),
    Action.TIE: ("up", "0"),
    Action.CANNOT_TELL: ("down",),
    Action.LEFT_MUCH_BETTER: ("shift+left",),
    Action.RIGHT_MUCH_BETTER: ("shift+right",),
    **{action: (str(n),) for n, action in enumerate(RANKS, 1)},
    Action.SAME_PLACE: ("=",),
    Action.KEEP_RANKING: ("return",),
    Action.SKIP: ("s",),
    Action.UNDO: ("backspace", "ctrl+z"),
    Action.REDO: ("ctrl+shift+z",),
    Action.FLAG: ("f",),
    Action.PLAY: ("space",),
    Action.REPLAY: ("r",),
    Action.SLOWER: ("[",),
    Action.FASTER: ("]",),
    Action.FRAME_BACK: (",",),
    Action.FRAME_FORWARD: (".",),
    Action.SCROLL_UP: ("pageup",),
    Action.SCROLL_DOWN: ("pagedown",),
    Action.LARGER: ("+",),
    Action.SMALLER: ("-",),
    Action.THEME: ("t",),
    Action.HISTORY: ("h",),
    Action.PRACTICE: ("p",),
    Action.HELP: ("?", "f1"),
    Action.QUIT: ("escape", "ctrl+q"),
}

_MODIFIERS = ("ctrl", "alt", "shift")  # in the order in which a chord names them
NAMED = (
    *("left", "right", "up", "down", "space", "backspace", "escape", "tab", "return", "delete", "insert"),
    *("home", "end", "pageup", "pagedown", *(f"f{n}" for n in range(1, 13))),
)
_GLYPHS = {
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "escape": "Esc",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "return": "Enter",
}


@dataclass(frozen=True)
class Keymap:
    """The keys of every action. Raises PrefrlError if two actions share a key."""

    keys: Mapping[Action, tuple[str, ...]]

    def __post_init__(self) -> None:
        taken: dict[str, Action] = {}
        for action, chords in self.keys.items():
            for chord in chords:
                if (other := taken.setdefault(chord, action)) is not action:
                    raise PrefrlError(f"the key {chord!r} is given to both {other} and {action}; change one of them")

    def action(self, chord: str) -> Action | None:
        """What a chord does."""
        return next((action for action, chords in self.keys.items() if chord in chords), None)

    def shown(self, action: Action) -> str:
        """The first key of an action as a person reads it; nothing if it has none."""
        return written(self.keys[action][0]) if self.keys[action] else ""

    def every(self, action: Action) -> tuple[str, ...]:
        """All keys of an action as a person reads them."""
        return tuple(written(chord) for chord in self.keys[action])


def default_keymap() -> Keymap:
    """The keys of someone who has changed nothing."""
    return Keymap(DEFAULT)


def read_keymap(path: Path) -> Keymap:
    """The default keys, but for those actions that the file's table `[keys]` names: `tie = ["e", "up"]`.

    Raises PrefrlError for what is not TOML, for unknown names, and for a key that two actions share.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PrefrlError(f"cannot read the keymap {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PrefrlError(f"the keymap {path} is not TOML: {error}") from error
    if unknown := sorted(content.keys() - {"keys"}):
        raise PrefrlError(f"{path}: unknown name {unknown[0]!r}; a keymap has one table, [keys]")
    table = content.get("keys", {})
    if not isinstance(table, dict):
        raise PrefrlError(f'{path}: keys must be a table: [keys], then lines such as tie = ["e", "up"]')
    try:
        return Keymap({**DEFAULT, **dict(_entry(name, value) for name, value in table.items())})
    except PrefrlError as error:
        raise PrefrlError(f"{path}: {error}") from None


def _entry(name: str, value: object) -> tuple[Action, tuple[str, ...]]:
    if name not in [*Action]:
        near = difflib.get_close_matches(name, [*Action], n=1, cutoff=0.5)
        raise PrefrlError(f"no action {name!r}; " + (f"did you mean {str(near[0])!r}?" if near else _list(Action)))
    chords = [value] if isinstance(value, str) else value
    if not isinstance(chords, list) or not all(isinstance(chord, str) for chord in chords):
        raise PrefrlError(f'the keys of {name} must be text: {name} = ["s", "ctrl+s"]')
    return Action(name), tuple(_checked(chord) for chord in chords)


def _list(names: type[Action]) -> str:
    return f"the actions are {', '.join(names)}"


def _checked(chord: str) -> str:
    *modifiers, key = chord.lower().split("+") if chord != "+" else [chord]
    if wrong := [modifier for modifier in modifiers if modifier not in _MODIFIERS]:
        raise PrefrlError(f"no modifier {wrong[0]!r} in the key {chord!r}; there are {', '.join(_MODIFIERS)}")
    if key == " ":
        raise PrefrlError("the space bar is written 'space'")
    if key.isdigit() and "shift" in modifiers:
        raise PrefrlError(f"shift and {key} type a sign: give the sign itself instead of {chord!r}")
    if key not in NAMED and (len(key) != 1 or not key.isprintable()):
        near = difflib.get_close_matches(key, NAMED, n=1)
        raise PrefrlError(
            f"no key {key!r}; " + (f"did you mean {near[0]!r}?" if near else f"one letter, or {', '.join(NAMED)}")
        )
    return spelled(key, {*modifiers})


def spelled(key: str, modifiers: set[str]) -> str:
    """One spelling for one chord. A sign such as `?` is itself, with whatever keys a keyboard needs to type it."""
    if len(key) == 1 and key not in string.ascii_lowercase + string.digits:
        return key
    return "+".join([*(modifier for modifier in _MODIFIERS if modifier in modifiers), key])


def written(chord: str) -> str:
    """A chord as a person reads it: `ctrl+z` is `Ctrl+Z`."""
    if len(chord) == 1:
        return chord.upper()
    return "+".join(_GLYPHS.get(part, part.capitalize()) for part in chord.split("+"))
