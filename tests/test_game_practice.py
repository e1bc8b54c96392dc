"""A person plays a game: what the keys do, and that they do it."""

import numpy as np
import pytest

from prefrl.commands.guides import guide_of
from prefrl.commands.label import open_practice
from prefrl.control.game_practice import GameDriving, best, parts
from prefrl.errors import PrefrlError
from prefrl_envs.atari.games import GAMES


def test_parts_of_an_action() -> None:
    assert parts("NOOP") == frozenset()
    assert parts("DOWNLEFTFIRE") == {"DOWN", "LEFT", "FIRE"}


def test_the_action_that_does_most_of_what_is_wanted() -> None:
    actions = [parts(name) for name in ("NOOP", "FIRE", "UP", "LEFT", "UPLEFT", "LEFTFIRE")]
    assert [best(actions, wanted) for wanted in (set(), {"FIRE"}, {"UP", "LEFT"}, {"LEFT", "FIRE"})] == [0, 1, 4, 5]
    assert best(actions, {"RIGHT"}) == 0  # not in this game
    assert best(actions, {"UP", "DOWN", "FIRE"}) == 1  # up and down at once are neither
    assert best(actions, {"UP", "LEFT", "FIRE"}) in (4, 5)


@pytest.mark.parametrize("name", GAMES)
def test_every_game_is_played_and_explained(name: str) -> None:
    driving = GameDriving(GAMES[name].ale_id)
    picture = driving.reset()
    assert (picture.shape, picture.dtype, driving.fps) == ((210, 160, 3), np.uint8, 30.0)
    assert "space" in dict(driving.keys)
    guide = guide_of(name)
    assert guide != guide_of("Pusher-v5")
    assert guide.question.endswith("?")
    driving.close()


def where(picture: np.ndarray, color: tuple[int, int, int]) -> tuple[float, float]:
    """Mean row and column of what has that color below the score."""
    rows, columns = np.nonzero((picture[34:] == color).all(axis=-1))
    return float(rows.mean()), float(columns.mean())


def test_pong_s_paddle_goes_where_the_keys_say() -> None:
    driving = open_practice({"env_id": "ALE/Pong-v5", "task": "pong"}, 480, "auto")
    driving.reset()
    for _ in range(30):
        start = driving.step(frozenset({"space"}))
    green = (92, 186, 92)
    for key, sign in (("up", -1), ("down", 1)):
        picture = start
        for _ in range(8):
            picture = driving.step(frozenset({key}))
        assert sign * (where(picture, green)[0] - where(start, green)[0]) > 5, key
        start = picture


@pytest.mark.parametrize(("key", "sign"), [("right", 1), ("down", -1)])
def test_qbert_hops_down_to_where_the_keys_say(key: str, sign: int) -> None:
    """Both are down from the top; the cube that he lands on changes its color."""
    driving = GameDriving("ALE/Qbert-v5")
    before = driving.reset()
    for _ in range(105):  # until he stands there
        before = driving.step(frozenset())
    for step in range(20):
        after = driving.step(frozenset({key}) if step < 5 else frozenset())
    columns = np.nonzero((before != after)[60:90].any(axis=(0, 2)))[0]
    assert sign * (columns.mean() - 78) > 5


def test_a_game_over_begins_anew() -> None:
    driving = GameDriving("ALE/Breakout-v5")
    driving.reset()
    for _ in range(1000):
        driving.step(frozenset({"space", "left"}))
        if driving._emulator.over:
            break
    assert driving._emulator.over
    driving.step(frozenset())
    assert not driving._emulator.over


def test_no_such_game_is_a_sentence() -> None:
    with pytest.raises(PrefrlError, match="ALE/Pongg-v5 cannot be played: no game"):
        GameDriving("ALE/Pongg-v5")
