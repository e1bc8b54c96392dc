"""Which games there are, and where their pictures tell the reward (Christiano et al. 2017, appendix A.2)."""

import difflib
from dataclasses import dataclass

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

SCREEN = (210, 160)  # rows and columns of the picture that a television shows
SEEN = (84, 84)  # of the picture that a policy sees

Box = tuple[int, int, int, int]  # top, left, bottom, right in pixels of the screen; bottom and right are not in it


@dataclass(frozen=True)
class Game:
    """A game, and what must not be seen of it."""

    name: str
    ale_id: str  # as Gymnasium knows it
    rom: str
    masks: tuple[Box, ...]  # blackened; none where nobody has looked where the score is
    end_penalty: float  # what the oracle takes off where a game ends


# Of the seven only Pong's end is no penalty, since it ends when either side has 21 points. How large the penalty is
# the paper does not say; here it is as much as the clipped reward of one step.
#
# The masks hide every number that goes with the points and nothing else, as in the paper: the scores, of BeamRider also
# the sector and how many ships are left, of Enduro the whole panel with its odometer, the day and the cars to pass.
# Lives stay where they are shown, since the end that a penalty teaches to avoid may be seen coming. SpaceInvaders'
# mothership flies behind the score, so the second player's, who does not play, is not masked.
GAMES = {
    game.name: game
    for game in (
        Game("beamrider", "ALE/BeamRider-v5", "beam_rider", ((0, 0, 30, 160), (30, 0, 42, 40)), 1.0),
        Game("breakout", "ALE/Breakout-v5", "breakout", ((0, 32, 15, 84),), 1.0),
        Game("enduro", "ALE/Enduro-v5", "enduro", ((160, 40, 192, 120),), 1.0),
        Game("pong", "ALE/Pong-v5", "pong", ((0, 0, 22, 160),), 0.0),
        Game("qbert", "ALE/Qbert-v5", "qbert", ((0, 0, 15, 76),), 1.0),
        Game("seaquest", "ALE/Seaquest-v5", "seaquest", ((0, 0, 20, 160),), 1.0),
        Game("spaceinvaders", "ALE/SpaceInvaders-v5", "space_invaders", ((0, 0, 20, 68),), 1.0),
    )
}


def find_game(name: str) -> Game:
    """The game of that name, or of Gymnasium's id for it ("ALE/Alien-v5"); none of the paper's seven has no masks.

    Raises ValueError, which names the nearest, if there is no such game.
    """
    known = next((game for game in GAMES.values() if name in (game.name, game.ale_id)), None)
    if known is not None:
        return known
    ids = _ale_ids()
    if name not in ids:
        near = _closest(name)
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(f"no game {name!r}; {hint or 'the games are ' + ', '.join(GAMES) + '.'} Any other of ALE's "
                         "games works as ALE/Name-v5, as ALE/Alien-v5.")  # fmt: skip
    return Game(name, name, str(ids[name].kwargs["game"]), (), 1.0)


def same_game(name: str) -> str | None:
    """What a game that is spelled otherwise ("Alien", "PongNoFrameskip-v4") is called here; None if there is none.

    Raises ImportError without ale-py.
    """
    return _by_letters().get(letters(name))


def _closest(name: str) -> list[str]:
    known, wanted = _by_letters(), letters(name)
    near = [wanted] if wanted in known else difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    return [known[each] for each in near]


def _by_letters() -> dict[str, str]:
    return {letters(id_): id_ for id_ in _ale_ids()} | {letters(game): game for game in GAMES}


def _ale_ids() -> dict[str, EnvSpec]:
    import ale_py

    gymnasium.register_envs(ale_py)
    return {id_: spec for id_, spec in gymnasium.registry.items() if id_.startswith("ALE/") and id_.endswith("-v5")}


def letters(name: str) -> str:
    """What of a game's name remains when only its spelling changes: "ALE/BeamRider-v5" and "beam_rider" are one."""
    name = name.removeprefix("ALE/").split("-")[0].removesuffix("NoFrameskip").removesuffix("Deterministic")
    return "".join(letter for letter in name.lower() if letter.isalnum())


def blacken(pictures: np.ndarray, masks: tuple[Box, ...]) -> None:
    """Make black what is masked of pictures of the whole screen [..., rows, columns] in any size, in place.

    Each pixel that shows any of a masked pixel of the screen is black.
    """
    rows, columns = pictures.shape[-2:]
    for top, left, bottom, right in masks:
        first, last = top * rows // SCREEN[0], -(-bottom * rows // SCREEN[0])
        pictures[..., first:last, left * columns // SCREEN[1] : -(-right * columns // SCREEN[1])] = 0
