"""The labeling window: a Labeler that lasts until the person closes it."""

import math
import os
import string
import time
from collections.abc import Callable
from dataclasses import dataclass

import pygame

from prefrl.answers import Answer
from prefrl.comparisons import Ranking, reordered
from prefrl.errors import PrefrlError
from prefrl.segments import Text
from prefrl.store import PreferenceStore
from prefrl_labeling import typography
from prefrl_labeling.ahead import Ahead
from prefrl_labeling.contents import Content, Draw, Film
from prefrl_labeling.draft import Draft
from prefrl_labeling.drive import Drive
from prefrl_labeling.guide import Guide
from prefrl_labeling.keymap import NAMED, RANKS, Action, Keymap, spelled
from prefrl_labeling.overlays import Button, History
from prefrl_labeling.panes import text_page, text_rows
from prefrl_labeling.playback import Playback
from prefrl_labeling.practice import Practice
from prefrl_labeling.screen import Screen, films, layout, render
from prefrl_labeling.screens import NO_SCREEN, check_screen
from prefrl_labeling.session import ANSWERS, Session
from prefrl_labeling.themes import THEMES
from prefrl_labeling.words import given_in_words, past_in_words, said

SIZE = (1180, 820)  # of the window at scale 1
SMALLEST = (560, 420)
SCALES = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0)
_TICK = 1 / 60
_IDLE_TICK = 0.1
_POLL_SECONDS = 0.5  # between looks at the store
_STUTTER = 0.25  # a longer pause between two pictures (a busy machine, a sleeping one) does not move the clips on
_NAMES = {
    **{getattr(pygame, f"K_{letter}"): letter for letter in string.ascii_lowercase + string.digits},
    **{getattr(pygame, f"K_{name.upper()}"): name for name in NAMED},
    pygame.K_KP_ENTER: "return",
}


@dataclass
class Window:
    """Shows pairs to a person and stores what is answered.

    `draw` draws simulator states, in another process. `target` is how many answers are wanted in all; without one it is
    what has been asked. `trainer` says in a few words what the trainer does, and what a person can do about it.
    `practice` opens the environment for a person to drive; it raises PrefrlError with the reason where that makes no
    sense. `overlap`, `repeats` and `catches` are those of `Session`.
    """

    guide: Guide
    name: str
    keymap: Keymap
    draw: Draw | None
    target: int | None = None
    trainer: Callable[[PreferenceStore], tuple[str, str]] = lambda store: ("", "")
    practice: Callable[[], Practice] | None = None
    overlap: int = 1
    repeats: float = 0.0
    catches: float = 0.0
    theme: str = "dark"
    scale: float = 1.0

    def attend(self, store: PreferenceStore) -> None:
        """Open the window and return when the person has closed it. Raises PrefrlError if there is no screen."""
        check_screen()
        # The picture is made here, so that a texture for it costs more than it saves: most of a core without a
        # graphics card.
        os.environ.setdefault("SDL_FRAMEBUFFER_ACCELERATION", "0")
        try:
            pygame.display.init()
            pygame.font.init()
            size = (round(SIZE[0] * self.scale), round(SIZE[1] * self.scale))
            pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            pygame.quit()
            raise PrefrlError(f"no window can be opened ({error}); {NO_SCREEN}") from error
        pygame.display.set_caption(f"prefrl label: {self.guide.task}")
        pygame.key.set_repeat()  # off: a key that is held down answers once
        try:
            with Ahead(self.draw) as ahead:
                session = Session(store, self.name, overlap=self.overlap, repeats=self.repeats, catches=self.catches)
                sitting = _Sitting(self, session, ahead)
                try:
                    sitting.run()
                finally:
                    sitting.stop_practice()
                    session.close()
        finally:
            typography.forget()
            pygame.quit()


def chord_of(event: pygame.event.Event) -> str | None:
    """The chord of a key event, spelled as in a keymap; None for a key that no keymap can name."""
    typed = getattr(event, "unicode", "")
    if len(typed) == 1 and typed.isprintable() and not typed.isalnum() and not typed.isspace():
        return str(typed)  # whatever keys a keyboard needs for it
    if event.key not in _NAMES:
        # Digits of a keypad, or those for which a keyboard needs shift; letters of other alphabets.
        return typed.lower() if len(typed) == 1 and typed.isalnum() else None
    held = (("ctrl", pygame.KMOD_CTRL | pygame.KMOD_META), ("alt", pygame.KMOD_ALT), ("shift", pygame.KMOD_SHIFT))
    return spelled(_NAMES[event.key], {name for name, mask in held if event.mod & mask})


class _Sitting:
    """One opening of the window."""

    def __init__(self, window: Window, session: Session, ahead: Ahead) -> None:
        self.window, self.session, self.ahead = window, session, ahead
        self.playback = Playback(0.0, 0.0)
        self.speed = 1.0
        self.scroll: tuple[int, ...] = ()
        self.contents: tuple[Content, ...] | None = None
        self.draft = Draft()
        self.past: list[Answer] | None = None  # while earlier answers are looked through
        self.row = 0
        self.drive: Drive | None = None  # while the agent is in the person's hands
        self.shown: int | None = None  # number of the showing whose contents these are
        self.saved = ""
        self.help = self.writing = self.closing = False
        self.note = ""
        self.trouble = ""
        self.trainer = ("", "")
        self.buttons: tuple[Button, ...] = ()
        self.theme, self.scale = window.theme, window.scale
        self._looked = -math.inf
        self._blind = ""  # why the last look at the store failed

    def run(self) -> None:
        before = time.monotonic()
        self._look()
        while not self.closing:
            now = time.monotonic()
            self.ahead.receive()
            if now - self._looked >= _POLL_SECONDS:
                self._look()
            self._settle()
            elapsed, before = now - before, now
            if elapsed < _STUTTER and not self._covered:
                self.playback = self.playback.advanced(elapsed)
            if self.drive is not None:
                self.drive.advance(now)
            self._draw()
            rest = (_TICK if self._moving() else _IDLE_TICK) - (time.monotonic() - now)
            # A timeout of 0 would wait for ever.
            first = pygame.event.wait(max(1, round(1000 * rest)))
            for event in [first, *pygame.event.get()]:
                self._handle(event)
        if self.trouble or self._blind:
            raise PrefrlError(self.trouble or self._blind)

    @property
    def _covered(self) -> bool:
        """Whether something else lies over the options."""
        return self.help or self.writing or self.past is not None or self.drive is not None

    def _moving(self) -> bool:
        driving = self.drive is not None and self.drive.moving
        return self.ahead.busy or driving or (self.contents is not None and self.playback.playing)

    def _look(self) -> None:
        """See what is new in the store."""
        self._looked = time.monotonic()
        try:
            self.session.refresh()
            self.trainer = self.window.trainer(self.session.store)
            self._blind = ""
        except PrefrlError as error:
            self._blind = str(error)

    def _settle(self) -> None:
        """Put the current pair on the screen as soon as both of its clips are ready."""
        current = self.session.current
        number = None if current is None else current.number
        if number != self.shown:
            self.shown, self.contents, self.draft = number, None, Draft()
            self.scroll = (0,) * (0 if current is None else len(current.options))
            self.note = "" if current is None else self.session.notes.get(current.query.id, "")
            self.writing = False
            self.ahead.want(self.session.near())
        if current is None or self.contents is not None:
            return
        contents = [self.ahead.content(option) for option in current.options]
        ready = tuple(content for content in contents if content is not None)
        if len(ready) == len(contents):
            self.contents = ready
            films = [content for content in ready if isinstance(content, Film)]
            seconds, fps = max((f.seconds for f in films), default=0.0), max((f.fps for f in films), default=0.0)
            self.playback = Playback(seconds, fps, speed=self.speed)

    def _draw(self) -> None:
        surface = pygame.display.get_surface()
        assert surface is not None
        picture, self.buttons = render(self._screen(), surface.get_size(), self.scale)
        surface.blit(picture, (0, 0))
        pygame.display.flip()
        if self.contents is not None and not self._covered:
            self.session.visible()

    def _screen(self) -> Screen:
        counts = self.session.counts
        return Screen(
            guide=self.window.guide,
            keymap=self.window.keymap,
            theme=self.theme,
            options=self.contents,
            playback=self.playback,
            scroll=self.scroll,
            waiting=self._why_nothing(),
            answered=counts.answered,
            target=max(self.window.target or 0, counts.asked),
            queue=counts.asked - counts.answered,
            newest=counts.newest,
            rate=self.session.rate,
            saved=self.saved,
            trainer=self.trainer[0],
            note=self.note,
            draft=self.draft,
            correcting=self._correcting(),
            history=self._history(),
            practice=None if self.drive is None else self.drive.screen,
            writing=self.writing,
            help=self.help,
            trouble=self.trouble or self._blind,
            pointer=pygame.mouse.get_pos(),
        )

    def _correcting(self) -> str:
        """What was answered before to what is on the screen, if that is being corrected."""
        current = self.session.current
        if current is None or current.before is None:
            return ""
        before = current.before
        shown = [option.id for option in current.options]
        return said(reordered(before.judgment, before.option_ids, shown), before.provenance.get("strength"))

    def _history(self) -> History | None:
        if self.past is None:
            return None
        return History(tuple(past_in_words(answer) for answer in self.past), self.row)

    def _why_nothing(self) -> tuple[str, str, str]:
        """What the screen without a pair says: what is the matter, why, and what happens next."""
        counts = self.session.counts
        doing, then = self.trainer
        if self.session.current is not None:
            return "Drawing the clips", "They are drawn from simulator states.", "Only the first ones take a moment."
        if counts.asked > counts.answered:
            return (
                "Others are answering what is left",
                f"{counts.asked - counts.answered} pairs are with somebody else just now.",
                "What they leave comes to you after two minutes.",
            )
        if counts.asked == 0:
            why = f"Nothing has been asked so far. {_sentence(doing)}"
            first = "A trainer watches random behavior first; the first pairs come by themselves."
            return "No pair to compare yet", why.strip(), then or first
        if self.window.target is not None and counts.answered >= self.window.target:
            why = f"All {counts.answered:,} comparisons are answered, thank you. {_sentence(doing)}"
            return "Everything is answered", why.strip(), then or "You can close the window."
        why = f"All {counts.asked:,} questions that were asked are answered. {_sentence(doing)}"
        return "Nothing to compare just now", why.strip(), then or "New questions come by themselves."

    # ---- what a person does --------------------------------------------------------------------------------------

    def _handle(self, event: pygame.event.Event) -> None:
        if event.type == pygame.QUIT:
            self.closing = True
        elif event.type == pygame.VIDEORESIZE and (event.w < SMALLEST[0] or event.h < SMALLEST[1]):
            pygame.display.set_mode((max(event.w, SMALLEST[0]), max(event.h, SMALLEST[1])), pygame.RESIZABLE)
        if event.type in (pygame.KEYDOWN, pygame.MOUSEBUTTONDOWN, pygame.MOUSEWHEEL, pygame.MOUSEMOTION):
            self.session.touch()
        if event.type == pygame.MOUSEWHEEL:
            if self.past is not None:
                self._choose(self.row - event.y)
            else:
                over = [pane.collidepoint(pygame.mouse.get_pos()) for pane in self._panes()]
                self._scroll(-3 * event.y, over if any(over) else [True] * len(over))
        elif event.type == pygame.MOUSEBUTTONDOWN and event.button == 1 and not self.writing:
            # The newest button lies on top: answers over panes.
            for button in self.buttons[::-1]:
                if button.area.collidepoint(event.pos):
                    self._press(button)
                    break
        elif event.type == pygame.KEYUP and self.drive is not None:
            self.drive.release(_NAMES.get(event.key, ""))
        elif event.type == pygame.KEYDOWN:
            if self.writing:
                self._write(event)
            elif self.past is not None:
                self._look_through(event)
            elif self.drive is not None:
                self._practice_key(self.drive, event)
            elif (chord := chord_of(event)) is not None and (action := self.window.keymap.action(chord)) is not None:
                self._act(action)

    def _press(self, button: Button) -> None:
        """A click."""
        if button.row is None:
            self._act(button.action)
        else:
            self.row = button.row
            self._correct()

    def _act(self, action: Action) -> None:
        if self.help:  # no answer to a pair that is covered
            self.help = False
            return
        try:
            self._do(action)
        except PrefrlError as error:  # nothing was stored, and the pair is still there
            self.trouble = str(error)

    def _answer(self, given: Action | Ranking) -> None:
        session = self.session
        if self.contents is not None and session.answer(given, self.playback):
            assert session.last is not None
            self.saved, self.trouble = given_in_words(session.last), ""

    def _rank(self, action: Action) -> None:
        """A step of a ranking; of two options a number says which is better."""
        assert self.contents is not None
        options = len(self.contents)
        if options == 2:
            if action in RANKS[:2]:
                self._answer((Action.LEFT_BETTER, Action.RIGHT_BETTER)[RANKS.index(action)])
        elif action is Action.SAME_PLACE:
            self.draft = self.draft.joined()
        elif action is Action.TIE and self.draft.groups:
            self._keep(self.draft.with_rest(options))
        elif action is Action.KEEP_RANKING:
            self._keep(self.draft)
        elif action in RANKS[:options]:
            self.draft = self.draft.chosen(RANKS.index(action))
        elif action in (Action.TIE, Action.CANNOT_TELL):
            self._answer(action)

    def _keep(self, draft: Draft) -> None:
        assert self.contents is not None
        if (ranks := draft.ranks(len(self.contents))) is not None:
            self._answer(Ranking(ranks))

    def _do(self, action: Action) -> None:
        session, playback = self.session, self.playback
        if action in ANSWERS or action in RANKS or action in (Action.SAME_PLACE, Action.KEEP_RANKING):
            if self.contents is not None and (len(self.contents) > 2 or action in RANKS):
                self._rank(action)
            elif action in ANSWERS:
                self._answer(action)
            return
        match action:
            case Action.SKIP:
                if not session.guarded:
                    session.skip()
            case Action.UNDO:
                if self.draft != Draft():
                    self.draft = self.draft.back()
                elif session.undo():
                    self.saved, self.trouble = "the last answer is withdrawn", ""
            case Action.REDO:
                if session.redo():
                    assert session.last is not None
                    self.saved, self.trouble = given_in_words(session.last), ""
            case Action.FLAG:
                self.writing = self.contents is not None
            case Action.PLAY:
                self.playback = playback.toggled()
            case Action.REPLAY:
                self.playback = playback.replayed()
            case Action.SLOWER | Action.FASTER:
                self.playback = playback.sped(1 if action is Action.FASTER else -1)
                self.speed = self.playback.speed  # the next pair keeps it
            case Action.FRAME_BACK | Action.FRAME_FORWARD:
                self.playback = playback.stepped(1 if action is Action.FRAME_FORWARD else -1)
            case Action.SCROLL_UP | Action.SCROLL_DOWN:
                self._scroll(10 if action is Action.SCROLL_DOWN else -10, [True] * len(self.scroll))
            case Action.LARGER | Action.SMALLER:
                larger = [scale for scale in SCALES if scale > self.scale]
                smaller = [scale for scale in SCALES if scale < self.scale]
                self.scale = (larger or [SCALES[-1]])[0] if action is Action.LARGER else (smaller or [SCALES[0]])[-1]
            case Action.THEME:
                names = list(THEMES)
                self.theme = names[(names.index(self.theme) + 1) % len(names)]
            case Action.HISTORY:
                self.past, self.row = session.history(), 0
            case Action.PRACTICE:
                self._toggle_practice()
            case Action.HELP:
                self.help = True
            case Action.QUIT:
                self.closing = True

    # ---- earlier answers -----------------------------------------------------------------------------------------

    def _look_through(self, event: pygame.event.Event) -> None:
        """A key while the list of earlier answers is shown."""
        moves = {pygame.K_UP: -1, pygame.K_DOWN: 1, pygame.K_PAGEUP: -10, pygame.K_PAGEDOWN: 10}
        if event.key in moves:
            self._choose(self.row + moves[event.key])
        elif event.key in (pygame.K_HOME, pygame.K_END):
            self._choose(0 if event.key == pygame.K_HOME else len(self.past or ()))
        elif event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
            self._correct()
        elif event.key == pygame.K_ESCAPE or self.window.keymap.action(chord_of(event) or "") is Action.HISTORY:
            self.past = None

    def _choose(self, row: int) -> None:
        self.row = min(max(0, row), max(0, len(self.past or ()) - 1))

    def _correct(self) -> None:
        """Show the chosen answer's options once more."""
        past, self.past = self.past, None
        try:
            if past:
                self.session.correct(past[self.row])
        except PrefrlError as error:
            self.trouble = str(error)

    # ---- practice ------------------------------------------------------------------------------------------------

    def _toggle_practice(self) -> None:
        if self.drive is None:
            self.drive = Drive(self.window.practice, time.monotonic())
        else:
            self.stop_practice()

    def _practice_key(self, drive: Drive, event: pygame.event.Event) -> None:
        if drive.hold(_NAMES.get(event.key, "")):
            return
        if event.key == pygame.K_ESCAPE or self.window.keymap.action(chord_of(event) or "") is Action.PRACTICE:
            self.stop_practice()
        elif event.key == pygame.K_r:
            drive.again()

    def stop_practice(self) -> None:
        """Back to work."""
        if self.drive is not None:
            self.drive.close()
        self.drive = None

    # ---- the note of a flag --------------------------------------------------------------------------------------

    def _write(self, event: pygame.event.Event) -> None:
        """The note of a flag, letter by letter."""
        current = self.session.current
        if current is None or event.key == pygame.K_ESCAPE:
            self.writing = False
            self.note = "" if current is None else self.session.notes.get(current.query.id, "")
        elif event.key in (pygame.K_RETURN, pygame.K_KP_ENTER):
            self.writing = False
            self.note = self.note.strip()
            self.session.notes.pop(current.query.id, None)
            if self.note:
                self.session.notes[current.query.id] = self.note
        elif event.key == pygame.K_BACKSPACE:
            self.note = self.note[:-1]
        elif (typed := getattr(event, "unicode", "")).isprintable():
            self.note += typed

    # ---- long texts ----------------------------------------------------------------------------------------------

    def _panes(self) -> tuple[pygame.Rect, ...]:
        surface = pygame.display.get_surface()
        assert surface is not None
        count = len(self.contents or (0, 0))
        return layout(surface.get_size(), self.scale, count, films=films(self.contents)).panes

    def _scroll(self, lines: int, which: list[bool]) -> None:
        if self.contents is None:
            return
        places = []
        for content, pane, here, at in zip(self.contents, self._panes(), which, self.scroll, strict=True):
            most = 0
            if isinstance(content, Text):
                width = pane.width - round(24 * self.scale)
                most = max(0, len(text_rows(content, width, self.scale)) - text_page(pane, self.scale))
            places.append(min(max(0, at + lines), most) if here else at)
        self.scroll = tuple(places)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}." if words else ""
