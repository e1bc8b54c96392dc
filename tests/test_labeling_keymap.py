"""Keys of the labeling window: the defaults, a file with others, and what is refused."""

import re
from pathlib import Path

import pytest

from prefrl.errors import PrefrlError
from prefrl_labeling.keymap import DEFAULT, EXPLAINED, Action, default_keymap, read_keymap, written
from prefrl_labeling.themes import THEMES, Color


def test_every_action_has_a_key_and_an_explanation() -> None:
    assert set(DEFAULT) == set(EXPLAINED) == set(Action)
    keymap = default_keymap()  # which refuses clashes
    for action, chords in DEFAULT.items():
        assert chords
        assert [keymap.action(chord) for chord in chords] == [action] * len(chords)
    assert keymap.action("x") is None


def test_a_file_changes_the_actions_that_it_names(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('[keys]\ntie = ["t", "UP"]\ntheme = "ctrl+T"\nredo = ["shift+ctrl+y"]\nhelp = []\n')
    keymap = read_keymap(path)
    assert keymap.keys[Action.TIE] == ("t", "up")
    assert keymap.action("ctrl+t") is Action.THEME
    assert keymap.action("ctrl+shift+y") is Action.REDO
    assert (keymap.action("?"), keymap.shown(Action.HELP)) == (None, "")
    assert keymap.keys[Action.UNDO] == DEFAULT[Action.UNDO]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ('[keys]\ntie = "left"', "the key 'left' is given to both left-better and tie; change one of them"),
        ('[keys]\nskip = "q"\nflag = "q"', "the key 'q' is given to both skip and flag"),
        ('[keys]\nte = "t"', "no action 'te'; did you mean 'tie'?"),
        ('[keys]\nqqqq = "t"', "no action 'qqqq'; the actions are left-better, right-better"),
        ('[keys]\nskip = "spcae"', "no key 'spcae'; did you mean 'space'?"),
        ('[keys]\nskip = "hyper+s"', "no modifier 'hyper' in the key 'hyper+s'; there are ctrl, alt, shift"),
        ('[keys]\nskip = " "', "the space bar is written 'space'"),
        ('[keys]\nskip = "shift+1"', "shift and 1 type a sign: give the sign itself instead of 'shift+1'"),
        ("[keys]\nskip = 3", "the keys of skip must be text"),
        ("keys = 3", "keys must be a table"),
        ('[kees]\nskip = "s"', "unknown name 'kees'"),
        ("[keys", "is not TOML"),
    ],
)
def test_bad_files_are_a_sentence(tmp_path: Path, content: str, complaint: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(content)
    with pytest.raises(PrefrlError, match=re.escape(complaint)) as error:
        read_keymap(path)
    assert str(path) in str(error.value)


def test_the_readme_s_keymap_is_accepted(tmp_path: Path) -> None:
    (example,) = re.findall(
        r"```toml\n(\[keys\].*?)```", (Path(__file__).parent.parent / "README.md").read_text(), re.DOTALL
    )
    (tmp_path / "keys.toml").write_text(example)
    assert read_keymap(tmp_path / "keys.toml").action("n") is Action.SKIP


def test_a_missing_file_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(PrefrlError, match=r"cannot read the keymap .*keys.toml: No such file"):
        read_keymap(tmp_path / "keys.toml")


def test_chords_are_written_for_people() -> None:
    shown = [written(c) for c in ("left", "ctrl+shift+z", "s", "?", "pageup", "f1", "space")]
    assert shown == ["←", "Ctrl+Shift+Z", "S", "?", "PgUp", "F1", "Space"]


def contrast(one: Color, other: Color) -> float:
    """How readable one color is on the other, from 1 to 21 (WCAG 2.2, "contrast ratio")."""
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: Color) -> float:
    """Relative luminance (WCAG 2.2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in color)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_contrast_by_hand() -> None:
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)  # WCAG's well-known gray


@pytest.mark.parametrize("name", THEMES)
def test_everything_is_readable(name: str) -> None:
    theme = THEMES[name]
    for color in ("text", "dim", "left", "right", "tie", "unsure", "good", "bad"):
        for background in (theme.background, theme.surface):
            assert contrast(getattr(theme, color), background) >= 4.5, color
