"""Colors: those of Okabe and Ito, lighter or darker where a background asks for it. A shape always goes along."""

from dataclasses import dataclass

Color = tuple[int, int, int]


@dataclass(frozen=True)
class Theme:
    """What has which color. Everything from `text` on is readable on `background` and on `surface`."""

    background: Color
    surface: Color  # of buttons and cards
    edge: Color  # of cards; decoration only
    text: Color
    dim: Color  # of what matters less
    left: Color
    right: Color
    tie: Color
    unsure: Color
    good: Color
    bad: Color


THEMES = {
    "dark": Theme(
        background=(18, 21, 26),
        surface=(30, 35, 43),
        edge=(58, 66, 78),
        text=(240, 243, 246),
        dim=(170, 180, 192),
        left=(86, 180, 233),
        right=(230, 159, 0),
        tie=(64, 190, 150),
        unsure=(214, 148, 184),
        good=(64, 190, 150),
        bad=(240, 130, 64),
    ),
    "light": Theme(
        background=(244, 246, 248),
        surface=(255, 255, 255),
        edge=(205, 212, 219),
        text=(22, 25, 29),
        dim=(82, 91, 101),
        left=(0, 96, 152),
        right=(150, 74, 0),
        tie=(0, 108, 80),
        unsure=(146, 60, 110),
        good=(0, 108, 80),
        bad=(166, 62, 0),
    ),
    "contrast": Theme(
        background=(0, 0, 0),
        surface=(0, 0, 0),
        edge=(255, 255, 255),
        text=(255, 255, 255),
        dim=(255, 255, 255),
        left=(110, 200, 255),
        right=(255, 190, 40),
        tie=(90, 230, 180),
        unsure=(255, 170, 215),
        good=(90, 230, 180),
        bad=(255, 165, 100),
    ),
}
