"""What is drawn over everything else: the note of a flag, the keys, earlier answers, practice."""

from dataclasses import dataclass

import numpy as np
import pygame

from prefrl_labeling.brush import Brush, Rect
from prefrl_labeling.keymap import EXPLAINED, RANKS, Action, Keymap, written


@dataclass(frozen=True)
class Button:
    """A place to click; `row` is that of a list."""

    area: Rect
    action: Action
    row: int | None = None


@dataclass(frozen=True)
class Past:
    """One earlier answer in words."""

    when: str
    said: str
    note: str


@dataclass(frozen=True)
class History:
    """The earlier answers of one person, the newest first."""

    rows: tuple[Past, ...]
    chosen: int  # the row under the cursor


@dataclass(frozen=True, eq=False)
class PracticeScreen:
    """The agent in a person's hands, or why it cannot be."""

    picture: np.ndarray | None  # [H, W, 3]  uint8
    keys: tuple[tuple[str, str], ...]
    held: frozenset[str]
    why: str  # there is no picture


def draw_note(brush: Brush, note: str, size: tuple[int, int]) -> None:
    """The flag of the options on the screen, while it is being typed."""
    theme = brush.theme
    area = Rect(0, 0, min(size[0] - brush.px(40), brush.px(640)), brush.px(150))
    area.center = (size[0] // 2, size[1] // 2)
    brush.veil()
    brush.card(area, edge=theme.left, thick=2)
    inside = area.inflate(-brush.px(40), -brush.px(32))
    brush.text(
        "What should be known about this question?", inside.topleft, 17, theme.text, bold=True, width=inside.width
    )
    field = Rect(inside.left, inside.top + brush.px(34), inside.width, brush.px(36))
    brush.card(field, edge=theme.dim)
    brush.text(note + "▏", (field.left + brush.px(10), field.centery), 16, theme.text, middle=True)
    hint = "Enter keeps it with your answer, an empty note removes the flag, Esc leaves it as it was"
    brush.text(hint, (inside.left, field.bottom + brush.px(12)), 13, theme.dim, width=inside.width)


def draw_help(brush: Brush, keymap: Keymap, size: tuple[int, int]) -> Button:
    """Every key."""
    theme = brush.theme
    listed = [(keymap.every(action), words) for action, words in EXPLAINED.items() if action not in RANKS]
    ranks = [keymap.shown(action) for action in RANKS]
    listed.insert(6, ((ranks[0], "…", ranks[-1]), "the next best one; of two, 1 or 2 is better"))
    rows = (len(listed) + 1) // 2
    # Smaller letters rather than a list that is cut off.
    brush.veil()
    brush = Brush(brush.surface, theme, min(brush.scale, size[0] / 1000, size[1] / (30 * rows + 130)))
    row = brush.px(30)
    area = Rect(0, 0, min(size[0] - brush.px(24), brush.px(1120)), rows * row + brush.px(112))
    area.center = (size[0] // 2, size[1] // 2)
    brush.card(area, edge=theme.edge)
    inside = area.inflate(-brush.px(48), -brush.px(36))
    brush.text("Keys", inside.topleft, 22, theme.text, bold=True)
    half = inside.width // 2
    for i, (keys, words) in enumerate(listed):
        left, top = inside.left + (i // rows) * half, inside.top + brush.px(48) + (i % rows) * row
        right = left
        for key in keys:
            cap = brush.keycap(key, right, top + row // 2, from_left=True)
            right = cap.right + brush.px(6)
        at = max(right + brush.px(6), left + brush.px(172))
        brush.text(words, (at, top + row // 2), 15, theme.text, middle=True, width=left + half - at - brush.px(8))
    hint = "Every button can be clicked, too. For other keys: prefrl label DIR --keymap FILE.toml"
    brush.text(hint, (inside.left, inside.bottom - brush.px(18)), 13, theme.dim, width=inside.width)
    return Button(Rect(0, 0, *size), Action.HELP)


def draw_history(brush: Brush, history: History, size: tuple[int, int]) -> tuple[Button, ...]:
    """The list of earlier answers, with the one under the cursor in sight."""
    theme = brush.theme
    brush.veil()
    area = Rect(0, 0, min(size[0] - brush.px(40), brush.px(760)), size[1] - brush.px(100))
    area.center = (size[0] // 2, size[1] // 2)
    brush.card(area, edge=theme.edge)
    inside = area.inflate(-brush.px(48), -brush.px(36))
    brush.text(f"Your answers ({len(history.rows):,})", inside.topleft, 22, theme.text, bold=True)
    hint = "↑ ↓ choose, Enter shows it once more so that you can change it, Esc goes back to your work"
    brush.text(hint, (inside.left, inside.bottom - brush.px(16)), 13, theme.dim, width=inside.width)
    top, row = inside.top + brush.px(46), brush.px(34)
    fit = max(1, (inside.bottom - brush.px(30) - top) // row)
    first = max(0, min(history.chosen - fit // 2, len(history.rows) - fit))
    if not history.rows:
        brush.text("There are none yet.", (inside.left, top), 16, theme.dim, width=inside.width)
    buttons = []
    for i, past in enumerate(history.rows[first : first + fit], first):
        line = Rect(inside.left, top + (i - first) * row, inside.width, row - brush.px(4))
        if i == history.chosen:
            brush.card(line, edge=theme.left, thick=2)
            brush.sign("right", (line.left + brush.px(14), line.centery), brush.px(5), theme.left)
        at = line.left + brush.px(30)
        brush.text(past.when, (at, line.centery), 14, theme.dim, middle=True)
        brush.text(past.said, (at + brush.px(190), line.centery), 15, theme.text, middle=True, width=brush.px(230))
        room = line.right - at - brush.px(430)
        brush.text(past.note, (at + brush.px(424), line.centery), 14, theme.dim, middle=True, width=max(1, room))
        buttons.append(Button(line, Action.HISTORY, i))
    return tuple(buttons)


def draw_practice(brush: Brush, practice: PracticeScreen, keymap: Keymap, area: Rect) -> None:
    """The agent, and which keys move it."""
    theme = brush.theme
    brush.card(area, edge=theme.left, thick=2)
    inside = area.inflate(-brush.px(40), -brush.px(32))
    title = "No practice here" if practice.picture is None else "Practice: nothing here is recorded"
    brush.text(title, inside.topleft, 20, theme.text, bold=True, width=inside.width)
    bottom = inside.bottom - brush.px(24)
    key = keymap.shown(Action.PRACTICE)
    back = f"{key} or Esc goes back to your work" if key else "Esc goes back to your work"
    hint = f"R begins anew, {back}" if practice.picture is not None else back
    brush.text(hint, (inside.left, bottom), 14, theme.dim, width=inside.width)
    if practice.picture is None:
        place = Rect(inside.left, inside.top + brush.px(50), min(inside.width, brush.px(760)), inside.height)
        brush.lines(practice.why, place, 17, theme.text)
        return
    column = brush.px(250)
    room = Rect(inside.left, inside.top + brush.px(40), inside.width - column, bottom - inside.top - brush.px(56))
    height, width = practice.picture.shape[:2]
    factor = min(room.width / width, room.height / height)
    picture = pygame.image.frombuffer(np.ascontiguousarray(practice.picture).data, (width, height), "RGB")
    picture = pygame.transform.smoothscale(picture, (max(1, round(width * factor)), max(1, round(height * factor))))
    brush.surface.blit(picture, picture.get_rect(center=room.center))
    for i, (key, words) in enumerate(practice.keys):
        middle = room.top + brush.px(20) + i * brush.px(36)
        cap = brush.keycap(written(key), room.right + brush.px(16), middle, from_left=True)
        if key in practice.held:
            pygame.draw.rect(brush.surface, theme.left, cap, brush.px(3), border_radius=brush.px(5))
        at = max(cap.right + brush.px(10), room.right + brush.px(60))
        brush.text(words, (at, middle), 15, theme.text, middle=True, width=max(1, inside.right - at))
