"""One option: its picture or text, where it is in time, and how to choose it."""

from functools import lru_cache

import numpy as np
import pygame

from prefrl.segments import Text
from prefrl_labeling.brush import Brush, Rect
from prefrl_labeling.contents import Content, Film, Nothing
from prefrl_labeling.draft import Draft
from prefrl_labeling.playback import Playback
from prefrl_labeling.themes import Color
from prefrl_labeling.typography import font, wrapped


def draw_pane(
    brush: Brush,
    area: Rect,
    content: Content,
    playback: Playback,
    scroll: int,
    number: int,
    options: int,
    draft: Draft,
) -> None:
    """`scroll` is the first line of a text that is shown; `number` is that of the pane, from 0, among `options`."""
    theme = brush.theme
    color, name = _name(brush, area, number, options, draft)
    inside = Rect(area.left + brush.px(12), name.bottom + brush.px(7), area.width - brush.px(24), 0)
    inside.height = max(1, area.bottom - inside.top - brush.px(24))
    if isinstance(content, Film):
        picture = scaled(content, content.index(playback.time), inside.size)
        brush.surface.blit(picture, picture.get_rect(center=inside.center))
        share = min(1.0, playback.time / content.seconds)
        brush.bar(Rect(inside.left, inside.bottom + brush.px(9), inside.width, brush.px(6)), share, color)
        when = f"{min(playback.time, content.seconds):.1f} of {content.seconds:.1f} s"
        if inside.right - brush.width(when, 13) > name.right + brush.px(2):  # the name matters more
            brush.text(when, (inside.right, area.top + brush.px(11)), 13, theme.dim, align=1.0)
    elif isinstance(content, Text):
        _draw_text(brush, inside, content, scroll)
    elif isinstance(content, Nothing):
        brush.lines(content.why, inside.inflate(-brush.px(24), -brush.px(24)), 16, theme.dim)


def _name(brush: Brush, area: Rect, number: int, options: int, draft: Draft) -> tuple[Color, Rect]:
    """Draw the card and what the option is called: its side, or its number and the place that it has been given."""
    theme = brush.theme
    if options <= 2:
        color, words = (theme.left, "Left") if number == 0 else (theme.right, "Right")
        brush.card(area, edge=theme.edge)
        at = (area.left + brush.px(22), area.top + brush.px(19))
        brush.sign("left" if number == 0 else "right", at, brush.px(7), color)
        return color, brush.text(words, (area.left + brush.px(38), area.top + brush.px(9)), 16, color, bold=True)
    place = draft.label(number)
    color = theme.right if place else theme.left
    brush.card(area, edge=color if place else theme.edge, thick=2 if place else 1)
    cap = brush.keycap(str(number + 1), area.left + brush.px(10), area.top + brush.px(18), from_left=True)
    left, longest = cap.right + brush.px(10), "Place 9 ="
    name = cap.union(Rect(left, cap.top, brush.width(longest, 16, bold=True), cap.height))
    fits = name.right <= area.right - brush.px(8)
    if place:
        brush.text(f"Place {place}" if fits else place, (left, cap.centery), 16, color, bold=True, middle=True)
    return color, name  # as wide as any, so that all panes of one size show the same


@lru_cache(maxsize=24)
def scaled(film: Film, index: int, room: tuple[int, int]) -> pygame.Surface:
    """One picture as large as fits, its shape kept; a game's pixels stay squares unless the room is too small."""
    frame = film.frames[index]
    height, width = frame.shape[:2]
    picture = pygame.image.frombuffer(np.ascontiguousarray(frame).data, (width, height), "RGB")
    factor = min(room[0] / width, room[1] / height)
    if film.sharp and factor >= 1:
        return pygame.transform.scale_by(picture, int(factor))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return picture.copy() if size == (width, height) else pygame.transform.smoothscale(picture, size)


def _draw_text(brush: Brush, area: Rect, content: Text, scroll: int) -> None:
    size = max(6, brush.px(17))
    step = font(size, False).get_linesize() + brush.px(3)
    rows = text_rows(content, area.width, brush.scale)
    fit = max(1, area.height // step)
    first = min(max(0, scroll), max(0, len(rows) - fit))
    for i, (words, given) in enumerate(rows[first : first + fit]):
        color = brush.theme.dim if given else brush.theme.text
        brush.text(words, (area.left, area.top + i * step), 17, color)
    if len(rows) > fit:
        track = Rect(area.right - brush.px(5), area.top, brush.px(5), area.height)
        # An outline: in high contrast, edges and what is on them are equally bright.
        pygame.draw.rect(brush.surface, brush.theme.edge, track, max(1, brush.px(1)), border_radius=brush.px(3))
        thumb = Rect(track.left, 0, track.width, max(brush.px(12), track.height * fit // len(rows)))
        thumb.top = track.top + (track.height - thumb.height) * first // max(1, len(rows) - fit)
        pygame.draw.rect(brush.surface, brush.theme.dim, thumb, border_radius=brush.px(3))


def text_rows(content: Text, width: int, scale: float) -> list[tuple[str, bool]]:
    """The lines of a prompt (True), an empty one, and the lines of the answer (False)."""
    size, room = max(6, round(17 * scale)), max(1, width - round(14 * scale))
    prompt = [(words, True) for words in wrapped(content.prompt, size, room)] if content.prompt else []
    return [
        *prompt,
        *([("", True)] if prompt else []),
        *((words, False) for words in wrapped(content.answer, size, room)),
    ]


def text_page(area: Rect, scale: float) -> int:
    """How many lines of text a pane shows."""
    inside = area.height - round((9 + 16 * 1.2 + 7 + 24) * scale)
    return max(1, inside // (font(max(6, round(17 * scale)), False).get_linesize() + round(3 * scale)))
