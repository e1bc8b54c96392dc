"""A policy playing a game, as a film."""

from collections.abc import Callable, Iterator

import numpy as np

from prefrl.control.game_replay import replayed_game
from prefrl.control.pictures import GameVecEnv
from prefrl.control.playing import captioned, enlarged
from prefrl.control.tasks import AtariTask
from prefrl.control.vector import Record


class GameFilm:
    """Pictures of a policy playing, at real speed and in color; `returns` fills with the score of each whole game.

    It plays first, `seconds` long or `episodes` whole games, and is drawn after that, when it is iterated. `size` is
    the picture's longer side in pixels. `act` is the policy: observations [1, *obs] -> actions [1].
    """

    def __init__(
        self,
        act: Callable[[np.ndarray], np.ndarray],
        task: AtariTask,
        *,
        seconds: float,
        episodes: int | None,
        size: int,
        seed: int,
    ) -> None:
        self._name, self._size = task.name, size
        steps = max(1, round(seconds * task.fps)) if episodes is None else episodes * task.longest
        venv = GameVecEnv(task.env_id, 1, masked=task.masked, endless=True, threads=1)
        try:
            self._record = _played(venv, act, steps, episodes, seed)
        finally:
            venv.close()
        self.returns = list(venv.finished)
        log, first = self._record.games, self._record.obs[0, 0, -1]
        assert log is not None
        self._view = log.view(0, 0, len(self._record), first)
        self.fps = self._view.fps

    def __iter__(self) -> Iterator[np.ndarray]:
        points = np.cumsum(self._record.true_reward[:, 0])
        for frame, picture in enumerate(replayed_game(self._view)):
            step = frame // self._view.skip
            yield captioned(
                enlarged(picture, self._size), f"{self._name}   step {step + 1}   points {points[step]:,.0f}"
            )


def _played(
    venv: GameVecEnv, act: Callable[[np.ndarray], np.ndarray], steps: int, episodes: int | None, seed: int
) -> Record:
    venv.restart(seed, steps)
    obs = venv.reset()
    for _ in range(steps):
        venv.step_async(act(obs))
        obs = venv.step_wait()[0]
        if len(venv.finished) == episodes:
            break
    return venv.record()
