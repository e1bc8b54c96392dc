"""The whole picture, as a function of what is on it."""

from dataclasses import dataclass

import pygame

from prefrl_labeling.brush import Brush, Rect, Sign
from prefrl_labeling.contents import Content
from prefrl_labeling.guide import Guide
from prefrl_labeling.keymap import EXPLAINED, Action, Keymap
from prefrl_labeling.panes import draw_pane
from prefrl_labeling.playback import Playback
from prefrl_labeling.themes import THEMES, Color


@dataclass(frozen=True)
class Screen:
    """All that a person sees."""

    guide: Guide
    keymap: Keymap
    theme: str
    pair: tuple[Content, Content] | None  # from left to right; None: nothing to compare
    playback: Playback
    scroll: tuple[int, int]  # lines, left and right
    waiting: tuple[str, str, str]  # what is the matter, why, what happens next: shown where there is no pair
    answered: int
    target: int
    queue: int
    newest: float | None  # seconds since the last pair was asked
    rate: float | None  # answers a minute
    saved: str  # which answer was saved last
    trainer: str  # what it does
    note: str  # the flag of the current pair
    writing: bool = False  # the note is being typed
    help: bool = False
    trouble: str = ""
    pointer: tuple[int, int] = (-1, -1)


@dataclass(frozen=True)
class Button:
    """A place to click."""

    area: Rect
    action: Action


@dataclass(frozen=True)
class Layout:
    """Where everything is, in pixels."""

    question: Rect
    guide: Rect
    panes: tuple[Rect, Rect]
    answers: tuple[Rect, ...]
    controls: Rect
    footer: Rect


def layout(size: tuple[int, int], scale: float) -> Layout:
    """The places for a window of that size."""
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
    half = (inner - gap) // 2
    panes = tuple(Rect(margin + i * (half + gap), top, half, max(1, bottom - top)) for i in (0, 1))
    quarter = (inner - 3 * gap // 2) // 4
    places = tuple(Rect(margin + i * (quarter + gap // 2), answers.top, quarter, answers.height) for i in range(4))
    return Layout(question, guide, (panes[0], panes[1]), places, controls, footer)


def render(screen: Screen, size: tuple[int, int], scale: float) -> tuple[pygame.Surface, tuple[Button, ...]]:
    """The picture, and where it can be clicked. The same arguments always make the same picture."""
    surface = pygame.Surface(size)
    brush = Brush(surface, THEMES[screen.theme], scale)
    places = layout(size, scale)
    surface.fill(brush.theme.background)
    _draw_head(brush, screen, places)
    buttons: list[Button] = []
    if screen.pair is None:
        _draw_waiting(brush, screen, places)
    else:
        for side in (0, 1):
            draw_pane(brush, places.panes[side], screen.pair[side], screen.playback, screen.scroll[side], side)
        buttons += _draw_answers(brush, screen, places)
    buttons += _draw_controls(brush, screen, places.controls)
    _draw_footer(brush, screen, places.footer)
    if screen.trouble:
        brush.banner(screen.trouble, places.panes[0].union(places.panes[1]))
    if screen.writing:
        _draw_note(brush, screen, size)
    if screen.help:
        return surface, (_draw_help(brush, screen, size),)
    return surface, tuple(buttons)


def _draw_head(brush: Brush, screen: Screen, places: Layout) -> None:
    theme = brush.theme
    task = brush.text(screen.guide.task, places.question.topright, 13, theme.dim, align=1.0)
    brush.text(
        screen.guide.question,
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
        (Action.CANNOT_TELL, ("Cannot tell", "?"), theme.unsure, "unsure"),
        (Action.RIGHT_BETTER, ("Right is better", "Right"), theme.right, "right"),
    )
    buttons = []
    for area, (action, words, color, sign) in zip(places.answers, listed, strict=True):
        hovered = area.collidepoint(screen.pointer)
        brush.card(area, edge=color, thick=3 if hovered else 2)
        brush.sign(sign, (area.left + brush.px(24), area.centery), brush.px(9), color)
        key = screen.keymap.shown(action)
        cap = brush.keycap(key, area.right - brush.px(14), area.centery) if key else Rect(area.right, 0, 0, 0)
        room = cap.left - area.left - brush.px(50)
        said = next((word for word in words if brush.width(word, 17, bold=True) <= room), "")
        brush.text(said, (area.left + brush.px(44), area.centery), 17, theme.text, bold=True, middle=True)
        buttons.append(Button(area, action))
    return buttons


def _draw_controls(brush: Brush, screen: Screen, area: Rect) -> list[Button]:
    """A row of small buttons: each with its key, as many as fit."""
    playback = screen.playback
    playing = [
        (Action.PLAY, "Pause" if playback.playing else "Play"),
        (Action.REPLAY, "Replay"),
        (Action.SLOWER, "Slower"),
        (Action.FASTER, f"Faster ({playback.speed:g}x)"),
        (Action.FRAME_BACK, "Back"),
        (Action.FRAME_FORWARD, "Forward"),
    ]
    working = [(Action.SKIP, "Skip"), (Action.FLAG, "Flagged" if screen.note else "Flag")]
    always = [(Action.UNDO, "Undo"), (Action.HELP, "Keys")]
    shown = [*(working if screen.pair else []), *(playing if screen.pair and playback.seconds > 0 else [])]
    buttons, right, left = [], area.right, area.left
    for action, words in always[::-1]:  # at the right end, whatever else there is room for
        width = brush.small_width(words, key := screen.keymap.shown(action))
        right -= width
        place = Rect(right, area.top, width, area.height)
        brush.small_button(words, key, place, screen.pointer)
        buttons.append(Button(place, action))
        right -= brush.px(8)
    for action, words in shown:
        width = brush.small_width(words, key := screen.keymap.shown(action))
        if left + width > right:
            break
        place = Rect(left, area.top, width, area.height)
        brush.small_button(words, key, place, screen.pointer)
        buttons.append(Button(place, action))
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
    whole = places.panes[0].union(places.panes[1])
    whole.height = places.answers[0].bottom - whole.top
    brush.card(whole, edge=theme.edge)
    what, why, then = screen.waiting
    width = min(whole.width - brush.px(60), brush.px(760))
    left, top = whole.centerx - width // 2, whole.centery - brush.px(90)
    brush.sign("wait", (left + brush.px(14), top + brush.px(16)), brush.px(13), theme.left)
    brush.text(what, (left + brush.px(46), top), 26, theme.text, bold=True, width=width - brush.px(46))
    below = brush.lines(why, Rect(left, top + brush.px(60), width, brush.px(110)), 17, theme.text)
    brush.lines(then, Rect(left, below + brush.px(14), width, brush.px(110)), 17, theme.dim)


def _draw_note(brush: Brush, screen: Screen, size: tuple[int, int]) -> None:
    theme = brush.theme
    area = Rect(0, 0, min(size[0] - brush.px(40), brush.px(640)), brush.px(150))
    area.center = (size[0] // 2, size[1] // 2)
    brush.veil()
    brush.card(area, edge=theme.left, thick=2)
    inside = area.inflate(-brush.px(40), -brush.px(32))
    brush.text("What should be known about this pair?", inside.topleft, 17, theme.text, bold=True, width=inside.width)
    field = Rect(inside.left, inside.top + brush.px(34), inside.width, brush.px(36))
    brush.card(field, edge=theme.dim)
    brush.text(screen.note + "▏", (field.left + brush.px(10), field.centery), 16, theme.text, middle=True)
    hint = "Enter keeps it with your answer, an empty note removes the flag, Esc leaves it as it was"
    brush.text(hint, (inside.left, field.bottom + brush.px(12)), 13, theme.dim, width=inside.width)


def _draw_help(brush: Brush, screen: Screen, size: tuple[int, int]) -> Button:
    theme = brush.theme
    rows = (len(EXPLAINED) + 1) // 2
    # Smaller letters rather than a list that is cut off.
    brush.veil()
    brush = Brush(brush.surface, theme, min(brush.scale, size[0] / 900, size[1] / (30 * rows + 130)))
    row = brush.px(30)
    area = Rect(0, 0, min(size[0] - brush.px(24), brush.px(1080)), rows * row + brush.px(112))
    area.center = (size[0] // 2, size[1] // 2)
    brush.card(area, edge=theme.edge)
    inside = area.inflate(-brush.px(48), -brush.px(36))
    brush.text("Keys", inside.topleft, 22, theme.text, bold=True)
    half = inside.width // 2
    for i, (action, words) in enumerate(EXPLAINED.items()):
        left, top = inside.left + (i // rows) * half, inside.top + brush.px(48) + (i % rows) * row
        right = left
        for key in screen.keymap.every(action):
            cap = brush.keycap(key, right, top + row // 2, from_left=True)
            right = cap.right + brush.px(6)
        at = max(right + brush.px(6), left + brush.px(172))
        brush.text(words, (at, top + row // 2), 15, theme.text, middle=True, width=left + half - at - brush.px(8))
    hint = "Every button can be clicked, too. For other keys: prefrl label DIR --keymap FILE.toml"
    brush.text(hint, (inside.left, inside.bottom - brush.px(18)), 13, theme.dim, width=inside.width)
    return Button(Rect(0, 0, *size), Action.HELP)


def duration(seconds: float) -> str:
    """About how long, in a person's words."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} min" if minutes < 100 else f"{minutes / 60:.0f} hours"
