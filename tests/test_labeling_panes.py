"""What a pane draws is a function of its content and the time: compared with pictures in tests/pictures.

`python tests/test_labeling_panes.py` draws the pictures anew; look at them before they are committed.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
pygame = pytest.importorskip("pygame")

from prefrl.segments import Text  # noqa: E402
from prefrl_labeling import typography  # noqa: E402
from prefrl_labeling.brush import Brush, Rect  # noqa: E402
from prefrl_labeling.contents import Content, Film  # noqa: E402
from prefrl_labeling.draft import Draft  # noqa: E402
from prefrl_labeling.panes import draw_pane  # noqa: E402
from prefrl_labeling.playback import Playback  # noqa: E402
from prefrl_labeling.themes import THEMES  # noqa: E402

PICTURES = Path(__file__).parent / "pictures"
SHAPES = (("dark", 1.0), ("light", 1.5), ("contrast", 2.0))
CASES = [(kind, theme, scale) for kind in ("film", "text", "ranked") for theme, scale in SHAPES]


def ramp() -> Film:
    """A bright square that goes from left to right."""
    frames = np.zeros((10, 20, 30, 3), np.uint8)
    for t in range(10):
        frames[t, 5:15, 2 * t : 2 * t + 10] = (230, 159, 0)
    return Film(tuple(frames), 10.0, sharp=True)


def drawn(kind: str, theme: str, scale: float, time: float = 0.35) -> np.ndarray:
    """[H, W, 3] of one pane."""
    size = (round(220 * scale), round(150 * scale))
    surface = pygame.Surface(size)
    surface.fill(THEMES[theme].background)
    content: Content = (
        Text("Why is the sky blue?", "Because blue light is scattered most. " * 9) if kind == "text" else ramp()
    )
    draft, options = (Draft(((2,), (0, 1))), 3) if kind == "ranked" else (Draft(), 2)
    brush = Brush(surface, THEMES[theme], scale)
    draw_pane(brush, Rect(0, 0, *size), content, Playback(1.0, 10.0, time=time), 1, 1, options, draft)
    return np.ascontiguousarray(pygame.surfarray.array3d(surface).swapaxes(0, 1))


@pytest.fixture(scope="module", autouse=True)
def letters() -> Iterator[None]:
    pygame.font.init()
    yield
    typography.forget()
    pygame.quit()


@pytest.mark.parametrize(("kind", "theme", "scale"), CASES)
def test_panes_look_as_they_did(kind: str, theme: str, scale: float) -> None:
    committed = pygame.surfarray.array3d(pygame.image.load(PICTURES / f"{kind}-{theme}.png")).swapaxes(0, 1)
    now = drawn(kind, theme, scale)
    assert now.shape == committed.shape
    # Another version of the font's rasterizer may shade the edges of letters differently.
    assert np.abs(now.astype(int) - committed).mean() < 1.0


@pytest.mark.parametrize("width", [90, 120, 150, 220])
def test_a_place_is_never_written_over(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, Rect]] = []
    text = Brush.text

    def keep(self: Brush, words: str, *arguments: object, **options: object) -> Rect:
        written.append((words, text(self, words, *arguments, **options)))  # type: ignore[arg-type]
        return written[-1][1]

    monkeypatch.setattr(Brush, "text", keep)
    brush = Brush(pygame.Surface((width, 150)), THEMES["dark"], 1.0)
    draw_pane(brush, Rect(0, 0, width, 150), ramp(), Playback(1.0, 10.0), 0, 1, 3, Draft(((2,), (0, 1))))
    assert written[0][0] == ("Place 2 =" if width > 120 else "2 =")
    assert written[0][1].right < width
    assert not any(written[0][1].colliderect(other) for _, other in written[1:])


def test_time_moves_a_film_and_not_a_text() -> None:
    assert not np.array_equal(drawn("film", "dark", 1.0), drawn("film", "dark", 1.0, time=0.75))
    assert np.array_equal(drawn("film", "dark", 1.0), drawn("film", "dark", 1.0))
    assert np.array_equal(drawn("text", "dark", 1.0), drawn("text", "dark", 1.0, time=0.75))


if __name__ == "__main__":
    pygame.font.init()
    PICTURES.mkdir(exist_ok=True)
    for kind, theme, scale in CASES:
        picture = drawn(kind, theme, scale)
        pygame.image.save(pygame.surfarray.make_surface(picture.swapaxes(0, 1)), PICTURES / f"{kind}-{theme}.png")
