"""The whole picture, as a function of what is on it."""

from dataclasses import dataclass, field

import pygame

from prefrl.segments import Text
from prefrl_labeling.brush import Brush, Rect, Sign
from prefrl_labeling.contents import Content
from prefrl_labeling.draft import Draft
from prefrl_labeling.guide import Guide
from prefrl_labeling.keymap import RANKS, Action, Keymap
from prefrl_labeling.overlays import Button, History, PracticeScreen, draw_help, draw_history, draw_note, draw_practice
from prefrl_labeling.panes import draw_pane
from prefrl_labeling.playback import Playback
from prefrl_labeling.themes import THEMES, Color


@dataclass(frozen=True)
class Screen:
    """All that a person sees."""

    guide: Guide
    keymap: Keymap
    theme: str
    options: tuple[Content, ...] | None  # [K]  from left to right, row by row; None: nothing to compare
    playback: Playback
    scroll: tuple[int, ...]  # [K]  lines of text
    waiting: tuple[str, str, str]  # what is the matter, why, what happens next: shown where there is no pair
    answered: int
    target: int
    queue: int
    newest: float | None  # seconds since the last pair was asked
    rate: float | None  # answers a minute
    saved: str  # which answer was saved last
    trainer: str  # what it does
    note: str  # the flag of the current pair
    draft: Draft = field(default_factory=Draft)  # the places given so far, where there are more than two options
    correcting: str = ""  # the answer that is being corrected, in words
    writing: bool = False  # the note is being typed
    help: bool = False
    history: History | None = None
    practice: PracticeScreen | None = None
    trouble: str = ""
    pointer: tuple[int, int] = (-1, -1)


@dataclass(frozen=True)
class Layout:
    """Where everything is, in pixels."""

    question: Rect
    guide: Rect
    panes: tuple[Rect, ...]  # [K]
    answers: tuple[Rect, ...]
    controls: Rect
    footer: Rect


# Columns for K options of text: as near to a square as reads well.
COLUMNS = {2: 2, 3: 3, 4: 2, 5: 3, 6: 3, 7: 4, 8: 4, 9: 3}


def layout(size: tuple[int, int], scale: float, options: int = 2, *, films: bool = True) -> Layout:
    """The places for a window of that size and so many options; `films` want squares as large as can be."""
    width, height = size
    u = scale
    margin = round(20 * u)
    inner = max(1, width - 2 * margin)
    question = Rect(margin, round(14 * u), inner, round(32 * u))
    guide = Rect(margin, question.bottom + round(4 * u), inner, round(42 * u))
    footer = Rect(margin, height - round(40 * u), inner, round(28 * u))
    controls = Rect(margin, footer.top - round(38 * u), inner, round(30 * u))
    answers = Rect(margin, controls.top - round(62 * u), inner, round(52 * u))
    top, bottom = guide.bottom + round(8 * u), answers.top - round(14 * u)
    gap = round(16 * u)
    space = gap if options <= 2 else gap // 2

    def pane(columns: int) -> tuple[int, int]:
        rows = -(-options // columns)
        return (inner - (columns - 1) * space) // columns, (bottom - top - (rows - 1) * space) // rows

    def square(columns: int) -> int:
        wide, high = pane(columns)
        return min(wide - round(24 * u), high - round(60 * u))

    columns = max(range(2, options + 1), key=square) if films else COLUMNS[options]
    wide, high = pane(columns)
    panes = tuple(
        Rect(margin + i % columns * (wide + space), top + i // columns * (high + space), wide, max(1, high))
        for i in range(options)
    )
    quarter = (inner - 3 * gap // 2) // 4
    places = tuple(Rect(margin + i * (quarter + gap // 2), answers.top, quarter, answers.height) for i in range(4))
    return Layout(question, guide, panes, places, controls, footer)


def render(screen: Screen, size: tuple[int, int], scale: float) -> tuple[pygame.Surface, tuple[Button, ...]]:
    """The picture, and where it can be clicked. The same arguments always make the same picture."""
    surface = pygame.Surface(size)
    brush = Brush(surface, THEMES[screen.theme], scale)
    count = 2 if screen.options is None else len(screen.options)
    places = layout(size, scale, count, films=films(screen.options))
    surface.fill(brush.theme.background)
    _draw_head(brush, screen, places)
    buttons: list[Button] = []
    if screen.practice is not None:
        draw_practice(
            brush, screen.practice, screen.keymap, places.panes[0].unionall(list(places.panes)).union(places.answers[0])
        )
        return surface, (Button(Rect(0, 0, *size), Action.PRACTICE),)
    if screen.options is None:
        _draw_waiting(brush, screen, places)
    else:
        for i, (area, content) in enumerate(zip(places.panes, screen.options, strict=True)):
            draw_pane(brush, area, content, screen.playback, screen.scroll[i], i, count, screen.draft)
        if count > 2:
            buttons += [Button(area, action) for area, action in zip(places.panes, RANKS, strict=False)]
        buttons += _draw_answers(brush, screen, places)
    buttons += _draw_controls(brush, screen, places.controls)
    _draw_footer(brush, screen, places.footer)
    if screen.trouble:
        brush.banner(screen.trouble, places.panes[0].unionall(list(places.panes)))
    if screen.writing:
        draw_note(brush, screen.note, size)
    if screen.history is not None:
        return surface, draw_history(brush, screen.history, size)
    if screen.help:
        return surface, (draw_help(brush, screen.keymap, size),)
    return surface, tuple(buttons)


def films(options: tuple[Content, ...] | None) -> bool:
    """Whether there is something to see but no text."""
    return not any(isinstance(option, Text) for option in options or ())


def _draw_head(brush: Brush, screen: Screen, places: Layout) -> None:
    theme = brush.theme
    task = brush.text(screen.guide.task, places.question.topright, 13, theme.dim, align=1.0)
    question = screen.guide.question
    if screen.correcting:
        question = f"Your answer was: {screen.correcting}. What is it now?"
    elif screen.options is not None and len(screen.options) > 2:
        question = f"{screen.guide.question} The best one first."
    brush.text(
        question,
        places.question.topleft,
        22,
        theme.text,
        bold=True,
        width=places.question.width - task.width - brush.px(16),
    )
    half = (places.guide.width - brush.px(16)) // 2
    kinds: tuple[tuple[Sign, str, Color], ...] = (
        ("good", screen.guide.good, theme.good),
        ("bad", screen.guide.bad, theme.bad),
    )
    for i, (sign, words, color) in enumerate(kinds):
        left = places.guide.left + i * (half + brush.px(16))
        brush.sign(sign, (left + brush.px(8), places.guide.top + brush.px(9)), brush.px(6), color)
        word = brush.text(sign.capitalize(), (left + brush.px(22), places.guide.top), 14, color, bold=True)
        brush.lines(
            words,
            Rect(word.right + brush.px(10), places.guide.top, left + half - word.right - brush.px(10), brush.px(42)),
            14,
            theme.dim,
        )


def _draw_answers(brush: Brush, screen: Screen, places: Layout) -> list[Button]:
    theme = brush.theme
    listed: tuple[tuple[Action, tuple[str, str], Color, Sign], ...] = (
        (Action.LEFT_BETTER, ("Left is better", "Left"), theme.left, "left"),
        (Action.TIE, ("Equally good", "Tie"), theme.tie, "tie"),
        (Action.CANNOT_TELL, ("Cannot tell", "Unsure"), theme.unsure, "unsure"),
        (Action.RIGHT_BETTER, ("Right is better", "Right"), theme.right, "right"),
    )
    if screen.options is not None and len(screen.options) > 2:
        draft = screen.draft
        done = draft.ranks(len(screen.options)) is not None
        joins = ("And beside it", "Beside") if draft.joins else ("Next shares place", "Beside")
        listed = (
            (Action.SAME_PLACE, joins, theme.left, "tie"),
            (Action.TIE, ("The rest is equal" if draft.groups else "All are equal", "Equal"), theme.tie, "tie"),
            (Action.CANNOT_TELL, ("Cannot tell", "Unsure"), theme.unsure, "unsure"),
            (Action.KEEP_RANKING, ("Keep ranking", "Keep"), theme.right if done else theme.edge, "good"),
        )
    buttons = []
    for area, (action, words, color, sign) in zip(places.answers, listed, strict=True):
        hovered = area.collidepoint(screen.pointer)
        pressed = action is Action.SAME_PLACE and screen.draft.joins
        brush.card(area, edge=color, thick=4 if pressed else 3 if hovered else 2)
        brush.sign(sign, (area.left + brush.px(24), area.centery), brush.px(9), color)
        key = screen.keymap.shown(action)
        cap = brush.keycap(key, area.right - brush.px(14), area.centery) if key else Rect(area.right, 0, 0, 0)
        room = cap.left - area.left - brush.px(50)
        said = next((word for word in words if brush.width(word, 17, bold=True) <= room), "")
        brush.text(said, (area.left + brush.px(44), area.centery), 17, theme.text, bold=True, middle=True)
        buttons.append(Button(area, action))
    return buttons


def _draw_controls(brush: Brush, screen: Screen, area: Rect) -> list[Button]:
    """A row of small buttons: each with its key, or two opposite ones with theirs; as many as fit."""
    playback = screen.playback
    playing = [
        ("Pause" if playback.playing else "Play", [Action.PLAY]),
        ("Replay", [Action.REPLAY]),
        (f"Speed {playback.speed:g}x", [Action.SLOWER, Action.FASTER]),
        ("Frame", [Action.FRAME_BACK, Action.FRAME_FORWARD]),
    ]
    working = [("Skip", [Action.SKIP]), ("Flagged" if screen.note else "Flag", [Action.FLAG])]
    always = [("Undo", [Action.UNDO]), ("History", [Action.HISTORY]), ("Keys", [Action.HELP])]
    shown = [*(working if screen.options else []), *(playing if screen.options and playback.seconds > 0 else [])]
    if not screen.options:
        shown = [("Practice", [Action.PRACTICE])]
    buttons: list[Button] = []

    def keys_of(actions: list[Action]) -> list[str]:
        keys = [screen.keymap.shown(action) for action in actions]
        return [key or sign for key, sign in zip(keys, "-+", strict=True)] if len(keys) > 1 else [*filter(None, keys)]

    def put(words: str, actions: list[Action], left: int, width: int) -> None:
        place = Rect(left, area.top, width, area.height)
        clicked = brush.small_button(words, keys_of(actions), place, screen.pointer)
        buttons.extend(Button(at, action) for at, action in zip(clicked, actions, strict=True))

    right, left = area.right, area.left
    for words, actions in always[::-1]:  # at the right end, whatever else there is room for
        width = brush.small_width(words, keys_of(actions))
        right -= width
        put(words, actions, right, width)
        right -= brush.px(8)
    for words, actions in shown:
        width = brush.small_width(words, keys_of(actions))
        if left + width > right:
            break
        put(words, actions, left, width)
        left += width + brush.px(8)
    return buttons


def _draw_footer(brush: Brush, screen: Screen, area: Rect) -> None:
    theme = brush.theme
    share = min(1.0, screen.answered / screen.target) if screen.target else 0.0
    brush.bar(Rect(area.left, area.top, area.width, brush.px(5)), share, theme.good)
    words = [f"{screen.answered:,} of {screen.target:,} answered"]
    if screen.rate:
        words.append(f"{screen.rate:.1f} a minute")
        if screen.target > screen.answered:
            words.append(f"about {duration(60 * (screen.target - screen.answered) / screen.rate)} left")
    if screen.queue:
        age = "" if screen.newest is None else f", the newest asked {duration(screen.newest)} ago"
        words.append(f"{screen.queue:,} waiting{age}")
    else:
        words.append("none waiting")
    if screen.trainer:
        words.append(screen.trainer)
    top = area.top + brush.px(12)
    end = area.right
    if screen.saved:
        saved = brush.text(f"saved: {screen.saved}", (area.right, top), 14, theme.good, align=1.0)
        brush.sign("good", (saved.left - brush.px(12), saved.centery), brush.px(6), theme.good)
        end = saved.left - brush.px(32)
    brush.text("   ·   ".join(words), (area.left, top), 14, theme.dim, width=end - area.left)


def _draw_waiting(brush: Brush, screen: Screen, places: Layout) -> None:
    theme = brush.theme
    whole = places.panes[0].unionall(list(places.panes))
    whole.height = places.answers[0].bottom - whole.top
    brush.card(whole, edge=theme.edge)
    what, why, then = screen.waiting
    width = min(whole.width - brush.px(60), brush.px(760))
    left, top = whole.centerx - width // 2, whole.centery - brush.px(90)
    brush.sign("wait", (left + brush.px(14), top + brush.px(16)), brush.px(13), theme.left)
    brush.text(what, (left + brush.px(46), top), 26, theme.text, bold=True, width=width - brush.px(46))
    below = brush.lines(why, Rect(left, top + brush.px(60), width, brush.px(110)), 17, theme.text)
    brush.lines(then, Rect(left, below + brush.px(14), width, brush.px(110)), 17, theme.dim)


def duration(seconds: float) -> str:
    """About how long, in a person's words."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.0f} hours"
