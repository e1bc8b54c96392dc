"""Letters: one bundled font, so that every machine shows the same."""

from functools import lru_cache
from pathlib import Path

import pygame

from prefrl_labeling.themes import Color

_FONTS = Path(__file__).parent / "fonts"


@lru_cache(maxsize=64)
def font(size: int, bold: bool) -> pygame.font.Font:
    """DejaVu Sans at a height in pixels."""
    return pygame.font.Font(_FONTS / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"), size)


@lru_cache(maxsize=512)
def line(words: str, size: int, color: Color, bold: bool = False) -> pygame.Surface:
    """One line of letters."""
    return font(size, bold).render(words, True, color)


def forget() -> None:
    """Fonts do not outlive `pygame.quit`."""
    font.cache_clear()
    line.cache_clear()
    wrapped.cache_clear()


def clipped(words: str, size: int, width: int, bold: bool = False) -> str:
    """As much of a line as fits, with an ellipsis where something is missing."""
    letters = font(size, bold)
    if letters.size(words)[0] <= width:
        return words
    while words and letters.size(words + "…")[0] > width:
        words = words[:-1]
    return words.rstrip() + "…" if words else ""


@lru_cache(maxsize=64)
def wrapped(words: str, size: int, width: int, bold: bool = False) -> tuple[str, ...]:
    """Lines no wider than `width`; a word that is wider by itself is broken."""
    letters, lines = font(size, bold), []
    for paragraph in words.expandtabs(4).split("\n"):
        current = ""
        for word in paragraph.split(" "):
            attempt = f"{current} {word}" if current else word
            if letters.size(attempt)[0] <= width:
                current = attempt
                continue
            if current:
                lines.append(current)
            while letters.size(word)[0] > width and len(word) > 1:
                fits = max(1, next((n for n in range(1, len(word)) if letters.size(word[: n + 1])[0] > width), 1))
                lines.append(word[:fits])
                word = word[fits:]
            current = word
        lines.append(current)
    return tuple(lines)
