"""The labeling window under SDL's dummy driver: a scripted person sees what is drawn and presses keys."""

import sqlite3
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from killing import kill_often

from prefrl.comparisons import Query
from prefrl.errors import PrefrlError
from prefrl.segments import Frames, Segment, Text, View
from prefrl.store import PreferenceStore

pygame = pytest.importorskip("pygame")

from prefrl_labeling import session as session_module  # noqa: E402
from prefrl_labeling import window as window_module  # noqa: E402
from prefrl_labeling.contents import Film  # noqa: E402
from prefrl_labeling.guide import Guide  # noqa: E402
from prefrl_labeling.keymap import DEFAULT, Action, Keymap, default_keymap  # noqa: E402
from prefrl_labeling.screen import Screen, layout  # noqa: E402
from prefrl_labeling.window import Window  # noqa: E402

Script = Generator[None, Screen, None]
GUIDE = Guide("hopper", "Which one hops better?", "It hops.", "It falls.")


def clip(value: int, steps: int = 8) -> Frames:
    return Frames(np.full((steps, 20, 30, 3), value % 256, np.uint8), 20.0)


def segment(number: int, view: View | None) -> Segment:
    return Segment(np.full((2, 1), number, np.float32), np.zeros(2), np.zeros((0, 1), np.float32), view=view)


def query(*numbers: int, view: Callable[[int], View | None] = clip) -> Query:
    return Query(tuple(segment(number, view(number)) for number in numbers))


def brightness(content: object) -> int:
    assert isinstance(content, Film)
    return int(content.frames[0][0, 0, 0])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[PreferenceStore]:
    with PreferenceStore(tmp_path / "preferences.db") as opened:
        opened.ask([query(2 * i, 2 * i + 1) for i in range(10)])
        yield opened


class Desk:
    """Where the scripted person sits."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch

    def work(self, store: PreferenceStore, script: Script, **settings: Any) -> Window:
        """Open the window, let the script see each picture and press keys, close the window at its end."""
        window = Window(**{"guide": GUIDE, "name": "ann", "keymap": default_keymap(), "draw": None, **settings})
        next(script)
        deadline = time.monotonic() + 20

        def render(screen: Screen, size: tuple[int, int], scale: float) -> Any:
            made = original(screen, size, scale)
            self.buttons = {button.action: button.area for button in made[1]}
            assert time.monotonic() < deadline, "the script never came to its end"
            try:
                script.send(screen)
            except StopIteration:
                press("escape")
            return made

        original = window_module.render
        with self._patch.context() as patch:
            patch.setattr(window_module, "render", render)
            window.attend(store)
        return window


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    monkeypatch.setattr(session_module, "GUARD_SECONDS", 0.02)
    return Desk(monkeypatch)


@pytest.mark.parametrize(
    ("key", "mod", "typed", "chord"),
    [
        (pygame.K_s, 0, "s", "s"),
        (pygame.K_s, pygame.KMOD_SHIFT, "S", "shift+s"),
        (pygame.K_z, pygame.KMOD_CTRL, "\x1a", "ctrl+z"),
        (pygame.K_1, 0, "1", "1"),
        (pygame.K_1, pygame.KMOD_SHIFT, "!", "!"),  # on an American keyboard
        (pygame.K_AMPERSAND, pygame.KMOD_SHIFT, "1", "1"),  # on a French one
        (pygame.K_KP1, pygame.KMOD_NUM, "1", "1"),
        (pygame.K_KP1, 0, "", None),  # it moves, then
        (pygame.K_KP_ENTER, 0, "\r", "return"),
        (ord("ö"), pygame.KMOD_SHIFT, "Ö", "ö"),
        (pygame.K_s, 0, "ы", "s"),  # where two alphabets share a key the Latin one counts
        (pygame.K_LSHIFT, pygame.KMOD_SHIFT, "", None),
    ],
)
def test_keys_of_any_keyboard(key: int, mod: int, typed: str, chord: str | None) -> None:
    assert window_module.chord_of(pygame.event.Event(pygame.KEYDOWN, key=key, mod=mod, unicode=typed)) == chord


def press(key: str, mod: int = 0, unicode: str = "") -> None:
    code = getattr(pygame, f"K_{key}" if len(key) == 1 else f"K_{key.upper()}")
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=code, mod=mod, unicode=unicode))


def click(desk: Desk, action: Action) -> None:
    place = desk.buttons[action].center
    pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=place))


def pair(unlike: object = None) -> Generator[None, Screen, Screen]:
    """Wait for a pair, another than `unlike`, that is past the guard."""
    while (screen := (yield)).options is None or (isinstance(unlike, Screen) and screen.options == unlike.options):
        pass
    yield  # what was seen first may not have been on the screen yet
    until = time.monotonic() + 0.03
    while time.monotonic() < until:
        screen = yield
    return screen


def looks(n: int = 2) -> Generator[None, Screen, Screen]:
    """Let it be drawn some times, so that what was pressed has had its effect."""
    for _ in range(n):
        screen = yield
    return screen


def test_the_arrow_keys_answer_what_is_on_the_screen(desk: Desk, store: PreferenceStore) -> None:
    chosen: list[tuple[int, int]] = []

    def script() -> Script:
        seen = None
        for key, mod in (("left", 0), ("right", 0), ("up", 0), ("down", 0), ("left", 1), ("right", 2)):
            seen = yield from pair(seen)
            assert seen.options is not None
            chosen.append((brightness(seen.options[0]), brightness(seen.options[1])))
            press(key, mod)
        seen = yield from pair(seen)
        assert (seen.answered, seen.queue, seen.saved) == (6, 4, "right is much better")

    desk.work(store, script())
    stored = store.answers()
    as_seen = []
    for answer, (left, right) in zip(stored, chosen, strict=True):
        shown = [store.segment(i).view for i in answer.provenance["shown"]]
        assert [int(view.frames[0, 0, 0, 0]) for view in shown if isinstance(view, Frames)] == [left, right]
        weight = dict(zip(answer.option_ids, answer.mu or (None, None), strict=True))
        as_seen.append(tuple(weight[i] for i in answer.provenance["shown"]))
    assert as_seen == [(1, 0), (0, 1), (0.5, 0.5), (None, None), (1, 0), (0, 1)]
    assert [answer.provenance.get("strength") for answer in stored] == [1, 1, None, None, 2, 2]
    assert all(answer.provenance["seconds"] >= 0.02 for answer in stored)
    assert store.pending() != []  # the leases were given back


def test_the_answer_is_stored_before_the_next_pair_shows(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        seen = yield from pair()
        for count in range(1, 6):
            press("right")
            before = seen
            while (seen := (yield)).options == before.options:
                pass
            with closing(sqlite3.connect(store.path)) as other:  # as another process sees it
                assert other.execute("SELECT count(*) FROM answers").fetchone() == (count,)
            seen = yield from looks(3)

    desk.work(store, script())


def test_a_key_pressed_twice_answers_once(desk: Desk, store: PreferenceStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "GUARD_SECONDS", 0.25)

    def script() -> Script:
        seen = yield from pair()
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            yield
        press("up")
        yield from pair(seen)
        press("up")  # 30 ms after the next pair appeared
        yield from looks(5)

    desk.work(store, script())
    assert len(store) == 1


def test_undo_redo_and_skip(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        first = yield from pair()
        press("left")
        second = yield from pair(first)
        press("backspace")
        back = yield from pair(second)
        assert first.options is not None
        assert back.options is not None
        assert [brightness(c) for c in back.options] == [brightness(c) for c in first.options]
        assert (back.answered, back.saved) == (0, "the last answer is withdrawn")
        press("z", pygame.KMOD_LCTRL | pygame.KMOD_LSHIFT)
        again = yield from pair(back)
        assert (again.answered, again.saved) == (1, "left is better")
        press("s")
        yield from pair(again)
        press("z", pygame.KMOD_LCTRL)
        yield from looks()

    desk.work(store, script())
    assert [a.withdrawn for a in store.answers()] == [False, True, False, True]
    assert (len(store), len(store.pending())) == (0, 10)


def test_the_mouse_does_what_the_keys_do(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        seen = yield from pair()
        for action in (Action.RIGHT_BETTER, Action.TIE, Action.CANNOT_TELL, Action.LEFT_BETTER):
            click(desk, action)
            seen = yield from pair(seen)
        click(desk, Action.PLAY)
        seen = yield from looks()
        assert not seen.playback.playing
        click(desk, Action.HELP)
        assert (yield from looks()).help
        click(desk, Action.HELP)
        yield from looks()
        click(desk, Action.UNDO)
        yield from looks()

    desk.work(store, script())
    assert len(store) == 3


def test_playing(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        seen = yield from pair()
        assert seen.playback.playing
        press("space")
        seen = yield from looks()
        at = seen.playback.time
        assert not seen.playback.playing
        assert (yield from looks(5)).playback.time == at
        press("period", unicode=".")
        seen = yield from looks()
        assert seen.playback.time != at
        press("r")
        seen = yield from looks()
        assert (seen.playback.playing, seen.playback.replays) == (True, 1)
        press("rightbracket", unicode="]")
        assert (yield from looks()).playback.speed == 2.0
        while seen.playback.loops < 2:
            seen = yield
        press("up")
        seen = yield from pair(seen)
        assert seen.playback.speed == 2.0  # stays
        assert (seen.playback.loops, seen.playback.replays) == (0, 0)

    desk.work(store, script())
    provenance = store.answers()[0].provenance
    assert provenance["loops"] >= 2
    assert provenance["replays"] == 1


def test_two_keys_of_one_button_are_clicked_apart(desk: Desk, store: PreferenceStore) -> None:
    keymap = Keymap({**DEFAULT, Action.SLOWER: ()})  # an action without a key can still be clicked

    def script() -> Script:
        yield from pair()
        for action, speed in ((Action.FASTER, 2.0), (Action.SLOWER, 1.0), (Action.SLOWER, 0.5)):
            click(desk, action)
            assert (yield from looks()).playback.speed == speed
        press("space")
        at = (yield from looks()).playback.time
        click(desk, Action.FRAME_FORWARD)
        assert (yield from looks()).playback.time != at
        assert not desk.buttons[Action.FRAME_FORWARD].colliderect(desk.buttons[Action.FRAME_BACK])

    desk.work(store, script(), keymap=keymap)


def test_no_answer_behind_the_list_of_keys(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        seen = yield from pair()
        press("slash", pygame.KMOD_LSHIFT, "?")
        assert (yield from looks()).help
        press("left")
        seen = yield from looks()
        assert not seen.help
        assert seen.answered == 0

    desk.work(store, script())


def test_a_flag_with_a_note(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        seen = yield from pair()
        press("f", unicode="f")
        assert (yield from looks()).writing
        for letter in "odd s":
            press("space" if letter == " " else letter, unicode=letter)
        press("backspace")
        press("return", unicode="\r")
        seen = yield from looks(3)
        assert (seen.writing, seen.note, seen.answered) == (False, "odd", 0)
        press("down")
        seen = yield from pair(seen)
        assert seen.note == ""

    desk.work(store, script())
    assert [a.provenance.get("note") for a in store.answers()] == ["odd"]


def test_it_waits_with_a_reason_and_goes_on_when_asked(desk: Desk, tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "preferences.db") as store:

        def script() -> Script:
            seen = yield from looks()
            assert seen.options is None
            assert seen.waiting[0] == "No pair to compare yet"
            assert "It explores." in seen.waiting[1]
            assert seen.waiting[2] == "Then it asks."
            with PreferenceStore(store.path) as trainer:
                trainer.ask([query(1, 2)])
            seen = yield from pair()
            press("up")
            while seen.options is not None:
                seen = yield
            assert seen.waiting[0] == "Nothing to compare just now"
            with PreferenceStore(store.path) as trainer:
                trainer.ask([query(3, 4)])
                trainer.lease("bob", 1)
            while seen.waiting[0] != "Others are answering what is left":
                seen = yield

        desk.work(store, script(), target=700, trainer=lambda store: ("it explores", "Then it asks."))


def test_a_store_that_cannot_be_written_is_said_and_ends_with_the_reason(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        seen = yield from pair()
        store._file.db.execute("PRAGMA query_only = ON")
        press("left")
        seen = yield from looks()
        assert "cannot write" in seen.trouble
        store._file.db.execute("PRAGMA query_only = OFF")
        press("left")
        seen = yield from pair(seen)
        assert (seen.trouble, seen.answered) == ("", 1)
        store._file.db.execute("PRAGMA query_only = ON")
        press("left")
        yield from looks()
        store._file.db.execute("PRAGMA query_only = OFF")

    with pytest.raises(PrefrlError, match="cannot write"):
        desk.work(store, script())
    assert len(store) == 1


def test_text_is_scrolled_and_answered(desk: Desk, tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "preferences.db") as store:
        store.ask([query(1, 2, view=lambda i: Text("Write.", "word " * 3000 if i == 1 else "short"))])

        def script() -> Script:
            seen = yield from pair()
            press("pagedown")
            seen = yield from looks()
            assert seen.options is not None
            long = [isinstance(c, Text) and len(c.answer) > 10 for c in seen.options]
            assert [at > 0 for at in seen.scroll] == long
            pygame.event.post(pygame.event.Event(pygame.MOUSEWHEEL, y=99, x=0))
            assert (yield from looks()).scroll == (0, 0)
            press("left")
            while seen.options is not None:
                seen = yield

        desk.work(store, script())
        assert len(store) == 1


def test_four_options_are_ranked_by_keys_and_by_mouse(desk: Desk, tmp_path: Path) -> None:
    with PreferenceStore(tmp_path / "preferences.db") as store:
        store.ask([query(1, 2, 3, 4), query(5, 6, 7, 8), query(9, 10, 11, 12)])
        shown: list[list[int]] = []

        def script() -> Script:
            seen = yield from pair()
            assert seen.options is not None
            shown.append([brightness(content) for content in seen.options])
            press("3")
            press("1")
            press("return")  # too soon: two have no place yet
            seen = yield from looks()
            assert (seen.answered, seen.draft.groups) == (0, ((2,), (0,)))
            press("backspace")
            press("equals", unicode="=")
            press("4")
            press("2")
            press("return")
            seen = yield from pair(seen)
            assert seen.saved == "3 = 4 > 2 > 1"
            assert seen.options is not None
            shown.append([brightness(content) for content in seen.options])
            press("left")  # of four options none is the left one
            for action in (Action.RANK_2, Action.RANK_4, Action.RANK_2):  # the second loses its place again
                pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=desk.buttons[action].center))
            assert (yield from looks()).draft.groups == ((3,),)
            pygame.event.post(pygame.event.Event(pygame.MOUSEBUTTONDOWN, button=1, pos=desk.buttons[Action.TIE].center))
            seen = yield from pair(seen)
            assert seen.saved == "4 > 1 = 2 = 3"
            press("up")
            while seen.options is not None:
                seen = yield

        desk.work(store, script())
        by_side = [dict(zip(a.option_ids, a.ranks or (), strict=True)) for a in store.answers()]
        placed = [tuple(r[i] for i in a.provenance["shown"]) for a, r in zip(store.answers(), by_side, strict=True)]
        assert placed == [(2, 1, 0, 0), (1, 1, 1, 0), (0, 0, 0, 0)]
        for answer, bright in zip(store.answers(), shown, strict=False):
            views = [store.segment(i).view for i in answer.provenance["shown"]]
            assert [int(view.frames[0, 0, 0, 0]) for view in views if isinstance(view, Frames)] == bright


def test_numbers_answer_pairs_too(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        seen = yield from pair()
        for key in "12":
            press(key)
            seen = yield from pair(seen)
        press("3")
        press("return")
        yield from looks()

    desk.work(store, script())
    chosen = [dict(zip(a.option_ids, a.mu or (), strict=True))[a.provenance["shown"][0]] for a in store.answers()]
    assert chosen == [1.0, 0.0]


def test_an_earlier_answer_is_corrected(desk: Desk, store: PreferenceStore) -> None:
    with PreferenceStore(store.path) as before:  # yesterday
        (old,) = before.pending(1)
        before.answer(old, (1, 0), labeler="ann")

    def script() -> Script:
        working = yield from pair()
        press("h")
        seen = yield from looks()
        assert seen.history is not None
        assert [row.said for row in seen.history.rows] == ["left is better"]
        press("left")  # answers nothing here
        press("down")
        press("return")
        seen = yield from pair(working)
        assert (seen.correcting, seen.history) == ("left is better", None)
        press("right")
        seen = yield from pair(seen)
        assert {*seen.options} == {*working.options}  # what was on the screen comes back, sides drawn by lot anew
        assert seen.answered == 1
        press("backspace")  # takes the correction back, not the answer
        seen = yield from pair(seen)
        assert (seen.answered, seen.correcting) == (1, "left is better")
        press("z", pygame.KMOD_LCTRL | pygame.KMOD_LSHIFT)
        yield from pair(seen)
        press("h")
        yield from looks()
        press("escape")
        yield from looks()

    desk.work(store, script())
    assert [c.mu for c in store.comparisons()] == [(0, 1)]
    assert [answer.mu for answer in store.answers()] == [(1, 0), (0, 1), (1, 0), (0, 1)]
    assert store.answers()[1].provenance["corrects"] == store.answers()[0].answered_at


class Cart:
    """Goes a pixel to the right while a key is held."""

    fps, keys = 50.0, (("right", "push"),)

    def __init__(self) -> None:
        self.at, self.closed = 0, False

    def reset(self) -> np.ndarray:
        self.at = 0
        return self.picture()

    def step(self, held: frozenset[str]) -> np.ndarray:
        self.at += "right" in held
        return self.picture()

    def picture(self) -> np.ndarray:
        return np.full((4, 4, 3), min(self.at, 255), np.uint8)

    def close(self) -> None:
        self.closed = True


def test_practice_is_driven_by_keys_and_answers_nothing(desk: Desk, store: PreferenceStore) -> None:
    cart = Cart()

    def script() -> Script:
        seen = yield from pair()
        press("p")
        press("right")
        while seen.practice is None or cart.at < 3:
            seen = yield
        assert seen.practice.held == {"right"}
        pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_RIGHT, mod=0))
        seen = yield from looks(3)
        at = cart.at
        assert (yield from looks(5)).practice is not None
        assert cart.at == at
        press("r")
        yield from looks(3)
        assert cart.at == 0
        press("escape")
        seen = yield from looks()
        assert (seen.practice, seen.answered, cart.closed) == (None, 0, True)

    desk.work(store, script(), practice=lambda: cart)


def test_practice_says_why_there_is_none(desk: Desk, store: PreferenceStore) -> None:
    def refuse() -> Cart:
        raise PrefrlError("it has 8 joints")

    def script() -> Script:
        yield from pair()
        press("p")
        seen = yield from looks()
        assert seen.practice is not None
        assert (seen.practice.picture, seen.practice.why) == (None, "it has 8 joints")
        press("p")
        assert (yield from looks()).practice is None

    desk.work(store, script(), practice=refuse)


def test_larger_letters_other_colors_and_sizes(desk: Desk, store: PreferenceStore) -> None:
    def script() -> Script:
        yield from pair()
        for _ in range(3):
            press("t")
            yield from looks()
        for _ in range(9):
            press("plus", unicode="+")
            yield from looks()
        for size in ((600, 450), (1920, 1080)):
            pygame.display.set_mode(size, pygame.RESIZABLE)
            yield from looks()
        press("up")
        yield from looks()

    desk.work(store, script(), theme="light", scale=1.5)
    assert len(store) == 1


def test_without_a_screen_it_says_how(monkeypatch: pytest.MonkeyPatch, store: PreferenceStore) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    window = Window(GUIDE, "ann", default_keymap(), None)
    with pytest.raises(PrefrlError, match=r"no screen.*xvfb-run"):
        window.attend(store)
    monkeypatch.setenv("SDL_VIDEODRIVER", "nonsense")
    with pytest.raises(PrefrlError, match=r"no window can be opened .*xvfb-run"):
        window.attend(store)


# Pictures


def test_the_same_screen_is_the_same_picture_and_time_moves_it(desk: Desk, store: PreferenceStore) -> None:
    seen: list[Screen] = []

    def script() -> Script:
        seen.append((yield from pair()))

    desk.work(store, script())
    pygame.display.init()
    pygame.font.init()
    try:
        shapes = (((1180, 820), 1.0, "dark"), ((900, 700), 1.5, "light"), ((1000, 800), 1.0, "contrast"))
        for size, scale, theme in shapes:
            screen = replace(seen[0], theme=theme, playback=replace(seen[0].playback, time=0.1))
            one, other = (window_module.render(screen, size, scale)[0] for _ in range(2))
            assert one.get_size() == size
            assert pygame.image.tobytes(one, "RGB") == pygame.image.tobytes(other, "RGB")
            assert screen.options is not None
            for content, pane in zip(screen.options, layout(size, scale).panes, strict=True):
                assert one.get_at(pane.center)[:3] == (brightness(content),) * 3
            later = window_module.render(replace(screen, playback=replace(screen.playback, time=0.3)), size, scale)[0]
            assert pygame.image.tobytes(later, "RGB") != pygame.image.tobytes(one, "RGB")
            panes = layout(size, scale).panes
            assert panes[0].size == panes[1].size
    finally:
        window_module.typography.forget()
        pygame.quit()


# Killed at any moment


def test_kill_9_at_any_moment_loses_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "preferences.db"
    with PreferenceStore(path) as store:
        store.ask([query(2 * i, 2 * i + 1) for i in range(1000)])
    found = kill_often(path, kills=10)
    assert found.kills == 10
    assert (found.lost, found.damaged, found.stuck) == (0, 0, 0)
    assert found.answers > found.kills
