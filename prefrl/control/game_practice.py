"""A person plays an Atari game by keys."""

import numpy as np

from prefrl.errors import PrefrlError
from prefrl_envs.atari.emulator import Emulator
from prefrl_envs.atari.games import find_game
from prefrl_envs.atari.vector import FPS

FRAMES = 2  # from one picture to the next
_KEYS = {"up": "UP", "down": "DOWN", "left": "LEFT", "right": "RIGHT", "space": "FIRE"}  # ALE's names
_OPPOSITE = ({"UP", "DOWN"}, {"LEFT", "RIGHT"})
# Where a key does not go as it says: its direction on the joystick, and what that does.
_OTHER = {"pong": {"up": ("RIGHT", "up"), "down": ("LEFT", "down"), "space": ("FIRE", "serve")}}
_WORDS = {
    "breakout": {"space": "serve"},
    "enduro": {"space": "accelerate", "down": "brake"},
    "qbert": {"up": "up and right", "right": "down and right", "left": "up and left", "down": "down and left"},
}


class GameDriving:
    """A game in a person's hands, with its score. Raises PrefrlError if there is no such game here."""

    def __init__(self, env_id: str) -> None:
        try:
            game = find_game(env_id)
            self._emulator = Emulator(game)
        except (ValueError, ImportError) as error:
            raise PrefrlError(f"{env_id} cannot be played: {error}") from error
        names = [action.name for action in self._emulator.actions]
        other = _OTHER.get(game.name)
        words = _WORDS.get(game.name, {})
        told = other or {key: (way, words.get(key, way.lower())) for key, way in _KEYS.items() if way in names}
        self.keys = tuple((key, what) for key, (_, what) in told.items())
        self._ways = {key: way for key, (way, _) in told.items()}
        self._actions = [parts(name) for name in names]
        self.fps = FPS / FRAMES

    def reset(self) -> np.ndarray:
        """Begin anew; the picture [H, W, 3]."""
        return self._emulator.begin(1)

    def step(self, held: frozenset[str]) -> np.ndarray:
        """Two frames with these keys held; the picture [H, W, 3]."""
        if self._emulator.over:
            return self.reset()
        action = best(self._actions, {self._ways[key] for key in held if key in self._ways})
        for _ in range(FRAMES):
            picture = self._emulator.frame(action)
        return picture

    def close(self) -> None:
        """Nothing is held."""


def parts(action: str) -> frozenset[str]:
    """What the joystick does in one of ALE's actions: "UPRIGHTFIRE" is up, right and fire; "NOOP" is nothing."""
    return frozenset(way for way in _KEYS.values() if way in action)


def best(actions: list[frozenset[str]], wanted: set[str]) -> int:
    """The action that does most of what is wanted and nothing else; of two opposite ways neither is wanted."""
    for pair in _OPPOSITE:
        if pair <= wanted:
            wanted = wanted - pair
    return max(range(len(actions)), key=lambda i: len(actions[i]) if actions[i] <= wanted else -1)
