"""What must be kept of Atari games to show any part of them later, and showing it."""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from prefrl.errors import PrefrlError
from prefrl.segments import GameReplay
from prefrl_envs.atari.emulator import Emulator
from prefrl_envs.atari.games import blacken, find_game
from prefrl_envs.atari.vector import FPS, FRAME_SKIP


class GameLog:
    """What the copies of a game did since they were reset: a byte a step, and two numbers a game.

    `reset_infos` is what `AtariVector.reset` returned, `steps` how many steps there will be at most.
    """

    def __init__(self, env_id: str, reset_infos: dict[str, np.ndarray], steps: int, *, masked: bool) -> None:
        waited = reset_infos["waited"]
        self._env_id, self._masked = env_id, masked
        self._act = np.zeros((steps, len(waited)), np.uint8)
        self._filled = 0
        self._begins = [[0] for _ in waited]  # of each copy: the steps at which games begin
        self._waited = [[int(frames)] for frames in waited]

    def __len__(self) -> int:
        """Steps since the reset."""
        return self._filled

    @property
    def act(self) -> np.ndarray:
        """[steps, n] uint8 the actions since the reset."""
        return self._act[: self._filled]

    def lengths(self, *, since: int) -> list[int]:
        """In steps, of the games of all copies that ended after step `since`."""
        return [stop - start for begins in self._begins for start, stop in pairwise(begins) if stop > since]

    def add(self, act: np.ndarray, infos: dict[str, np.ndarray]) -> None:
        """The actions [n] of a step and what came of it."""
        self._act[self._filled] = act
        self._filled += 1
        for copy in np.flatnonzero(infos["episode_end"]):
            self._begins[copy].append(self._filled)
            self._waited[copy].append(int(infos["waited"][copy]))

    def view(self, copy: int, start: int, stop: int, seen: np.ndarray) -> GameReplay:
        """How to show the steps from `start` to before `stop`, counted from the reset, of one copy.

        `seen` [84, 84] is the newest picture of what it observed before step `start`.
        """
        begins = self._begins[copy]
        first, last = bisect_right(begins, start) - 1, bisect_left(begins, stop)
        return GameReplay(
            env_id=self._env_id,
            masked=self._masked,
            games=first,
            act=self._act[begins[first] : stop, copy].copy(),
            begins=np.array(begins[first:last], np.int32) - np.int32(begins[first]),
            waited=np.array(self._waited[copy][first:last], np.int32),
            start=start - begins[first],
            seen=seen.copy(),
            skip=FRAME_SKIP,
            fps=FPS,
        )


def replayed_game(view: GameReplay) -> Iterator[np.ndarray]:
    """Play a clip once more: the [rows, columns, 3] uint8 picture of each frame.

    Raises PrefrlError if there is no such game here, or if it does not come out as it was.
    """
    try:
        game = find_game(view.env_id)
        emulator = Emulator(game)
    except (ValueError, ImportError) as error:
        raise PrefrlError(f"{view.env_id} cannot be played again: {error}") from error
    masks = game.masks if view.masked else ()
    begins = dict(zip(view.begins.tolist(), view.waited.tolist(), strict=True))
    emulator.skip(view.games)
    for step, action in enumerate(view.act.tolist()):
        if step in begins:
            emulator.begin(begins[step])
        if step == view.start:
            seen = emulator.observation()[None]
            blacken(seen, masks)
            if np.abs(seen[0].astype(int) - view.seen).max() > 1:
                raise PrefrlError(f"{view.env_id} does not play the same again, so the clip cannot be shown")
        if step < view.start - 1:
            emulator.run(action)
            continue
        pictures = emulator.step(action)
        if step >= view.start:
            blacken(np.moveaxis(pictures, -1, 1), masks)
            yield from pictures
