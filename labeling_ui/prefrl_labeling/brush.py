"""Shapes and letters of one theme at one scale."""

from collections.abc import Sequence
from typing import Literal

import pygame

from prefrl_labeling.themes import Color, Theme
from prefrl_labeling.typography import clipped, font, line, wrapped

Rect = pygame.Rect
Sign = Literal["left", "right", "tie", "unsure", "good", "bad", "wait"]


class Brush:
    """Draws on one surface; lengths that it is given as plain numbers are multiplied with the scale."""

    def __init__(self, surface: pygame.Surface, theme: Theme, scale: float) -> None:
        self.surface, self.theme, self.scale = surface, theme, scale

    def px(self, length: float) -> int:
        """A length in pixels."""
        return round(length * self.scale)

    def text(
        self,
        words: str,
        at: tuple[int, int],
        size: float,
        color: Color,
        *,
        bold: bool = False,
        align: float = 0.0,
        middle: bool = False,
        width: int | None = None,
    ) -> Rect:
        """One line that begins at `at`, or with `align` 1 ends there; `middle` puts its middle at that height."""
        height = max(6, self.px(size))
        if width is not None:
            words = clipped(words, height, width, bold)
        letters = line(words, height, color, bold)
        place = letters.get_rect(left=round(at[0] - align * letters.get_width()), top=at[1])
        if middle:
            place.centery = at[1]
        self.surface.blit(letters, place)
        return place

    def lines(self, words: str, area: Rect, size: float, color: Color) -> int:
        """As many wrapped lines as fit in; returns the height at which they end."""
        height = max(6, self.px(size))
        step = font(height, False).get_linesize()
        every = wrapped(words, height, max(1, area.width))
        fit = max(1, area.height // step)
        for i, words_ in enumerate(every[:fit]):
            more = i == fit - 1 and len(every) > fit
            shown = clipped(words_ + " …", height, area.width) if more else words_
            self.surface.blit(line(shown, height, color), (area.left, area.top + i * step))
        return area.top + min(fit, len(every)) * step

    def card(self, area: Rect, *, edge: Color, thick: float = 1) -> None:
        """A rounded plate."""
        radius = self.px(8)
        pygame.draw.rect(self.surface, self.theme.surface, area, border_radius=radius)
        pygame.draw.rect(self.surface, edge, area, max(1, self.px(thick)), border_radius=radius)

    def keycap(self, key: str, at: int, middle: int, *, from_left: bool = False) -> Rect:
        """A key that ends at `at`, or begins there."""
        letters = line(key, max(6, self.px(13)), self.theme.text, True)
        width = max(letters.get_width() + self.px(14), self.px(26))
        area = Rect(at if from_left else at - width, 0, width, self.px(24))
        area.centery = middle
        pygame.draw.rect(self.surface, self.theme.background, area, border_radius=self.px(5))
        pygame.draw.rect(self.surface, self.theme.dim, area, max(1, self.px(1)), border_radius=self.px(5))
        self.surface.blit(letters, letters.get_rect(center=area.center))
        return area

    def width(self, words: str, size: float, *, bold: bool = False) -> int:
        """Of a line of letters, in pixels."""
        return font(max(6, self.px(size)), bold).size(words)[0]

    def _cap_width(self, key: str) -> int:
        return max(self.width(key, 13, bold=True) + self.px(14), self.px(26)) + self.px(6)

    def small_width(self, words: str, keys: Sequence[str]) -> int:
        """Of a small button, in pixels."""
        return self.width(words, 14) + sum(self._cap_width(key) for key in keys) + self.px(20)

    def small_button(self, words: str, keys: Sequence[str], area: Rect, pointer: tuple[int, int]) -> tuple[Rect, ...]:
        """A button with its keys; where it is to be clicked: all of it, or with several keys each of these."""
        at = area.right - self.px(2) - sum(self._cap_width(key) for key in keys)
        places = []
        for key in keys:
            places.append(Rect(at, area.top, self._cap_width(key), area.height))
            at += self._cap_width(key)
        places = places if len(keys) > 1 else [area]
        hovered = any(place.collidepoint(pointer) for place in places)
        self.card(area, edge=self.theme.text if hovered else self.theme.edge)
        self.text(words, (area.left + self.px(10), area.centery), 14, self.theme.text, middle=True)
        at = area.right - self.px(5)
        for key in keys[::-1]:
            self.keycap(key, at, area.centery)
            at -= self._cap_width(key)
        return tuple(places)

    def bar(self, area: Rect, share: float, color: Color) -> None:
        """How far something is, from 0 to 1."""
        radius = max(1, area.height // 2)
        pygame.draw.rect(self.surface, self.theme.background, area, border_radius=radius)
        pygame.draw.rect(self.surface, self.theme.edge, area, max(1, self.px(1)), border_radius=radius)
        done = Rect(area.left, area.top, round(area.width * share), area.height)
        if done.width > 0:
            pygame.draw.rect(self.surface, color, done, border_radius=radius)

    def sign(self, kind: Sign, center: tuple[int, int], radius: int, color: Color) -> None:
        """A shape that says without color what the color says."""
        x, y = center
        r, thick = radius, max(2, radius // 3)
        draw, surface = pygame.draw, self.surface
        if kind in ("left", "right"):
            turn = -1 if kind == "left" else 1
            draw.polygon(surface, color, [(x + turn * r, y), (x - turn * r, y - r), (x - turn * r, y + r)])
        elif kind == "tie":
            for row in (-1, 1):
                draw.rect(surface, color, Rect(x - r, y + row * r // 2 - thick // 2, 2 * r, thick))
        elif kind == "unsure":
            mark = line("?", max(6, round(2.4 * r)), color, True)
            surface.blit(mark, mark.get_rect(center=center))
        elif kind == "good":
            draw.lines(
                surface, color, False, [(x - r, y), (x - r // 4, y + r * 3 // 4), (x + r, y - r * 3 // 4)], thick
            )
        elif kind == "bad":
            draw.line(surface, color, (x - r * 3 // 4, y - r * 3 // 4), (x + r * 3 // 4, y + r * 3 // 4), thick)
            draw.line(surface, color, (x - r * 3 // 4, y + r * 3 // 4), (x + r * 3 // 4, y - r * 3 // 4), thick)
        else:
            draw.circle(surface, color, center, r, max(2, thick * 2 // 3))
            draw.line(surface, color, center, (x, y - r * 2 // 3), max(2, thick * 2 // 3))
            draw.line(surface, color, center, (x + r // 2, y), max(2, thick * 2 // 3))

    def banner(self, words: str, within: Rect) -> None:
        """What went wrong, over everything in `within`."""
        height = max(6, self.px(16))
        every = wrapped(words, height, max(1, within.width - self.px(80)))
        area = Rect(
            within.left, within.top, within.width, len(every) * font(height, False).get_linesize() + self.px(28)
        )
        self.card(area, edge=self.theme.bad, thick=2)
        self.sign("bad", (area.left + self.px(26), area.top + self.px(24)), self.px(8), self.theme.bad)
        inside = Rect(area.left + self.px(52), area.top + self.px(13), area.width - self.px(80), area.height)
        self.lines(words, inside, 16, self.theme.text)

    def veil(self) -> None:
        """Take back everything drawn so far, so that what follows stands out."""
        veil = pygame.Surface(self.surface.get_size())
        veil.fill(self.theme.background)
        veil.set_alpha(190)
        self.surface.blit(veil, (0, 0))
