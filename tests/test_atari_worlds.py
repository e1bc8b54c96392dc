"""Atari games: what a learner sees and is told, what is hidden, and that they can be played once more."""

import subprocess
import sys
from dataclasses import replace
from functools import cache
from typing import Any

import ale_py
import numpy as np
import pytest
from ale_py import roms
from ale_py.vector_env import AtariVectorEnv

from prefrl.control.game_replay import GameLog, replayed_game
from prefrl.control.tasks import find_task
from prefrl.errors import PrefrlError
from prefrl.segment_bytes import decode_segment, encode_segment
from prefrl.segments import GameReplay, Segment
from prefrl_envs.atari.emulator import Emulator, shrunk
from prefrl_envs.atari.games import GAMES, SCREEN, blacken, find_game
from prefrl_envs.atari.vector import AtariVector

PAPER = ("beamrider", "breakout", "enduro", "pong", "qbert", "seaquest", "spaceinvaders")
# Bytes of memory that hold the points, as ALE reads them (src/ale/games/supported), and what they may be: two decimal
# digits each, and in Pong the number itself.
POINTS = {
    "beamrider": (9, 10, 11),
    "breakout": (76, 77),
    "enduro": (43, 44, 45),
    "pong": (13, 14),
    "qbert": (89, 90, 91),
    "seaquest": (56, 57, 58),
    "spaceinvaders": (102, 104),
}
# The paper's further masks: the byte of BeamRider's enemy ships, and those of Enduro's odometer. Found by changing
# every byte of memory and looking at what it changed on the screen.
FURTHER = {"beamrider": (84,), "enduro": (40, 41, 42)}
LATE = {"qbert": 12}  # steps until points are shown; everywhere else one more than the step that makes them


class Played:
    """Random play in every copy, seen with and without masks."""

    def __init__(self, name: str, steps: int, *, copies: int = 3, seed: int = 0) -> None:
        vectors = [AtariVector(name, copies, masked=masked, num_threads=1) for masked in (True, False)]
        rng = np.random.default_rng(seed)
        reset = [vector.reset(seed=seed) for vector in vectors]
        self.game, self.infos = vectors[0].game, [reset[0][1]]
        self.log = GameLog(self.game.ale_id, self.infos[0], steps, masked=True)
        self.masked, self.plain = ([obs] for obs, _ in reset)
        for _ in range(steps):
            act = rng.integers(vectors[0].single_action_space.n, size=copies)
            if name == "enduro":  # fast enough to pass a car
                act[:] = 1
            (masked, reward, terminated, truncated, infos), (plain, *_) = (vector.step(act) for vector in vectors)
            assert not reward.any()
            assert not terminated.any()
            assert not truncated.any()
            self.log.add(act, infos)
            self.masked.append(masked)
            self.plain.append(plain)
            self.infos.append(infos)
        for vector in vectors:
            vector.close()

    def told(self, name: str) -> np.ndarray:
        """[steps, copies] what `infos` said after each step."""
        return np.array([infos[name] for infos in self.infos[1:]])


@cache
def played(name: str) -> Played:
    return Played(name, 300)


# ---- games -----------------------------------------------------------------------------------------------------------


def test_the_paper_s_seven_games() -> None:
    assert tuple(sorted(GAMES)) == PAPER
    assert all(find_game(name) is find_game(game.ale_id) is game for name, game in GAMES.items())
    assert [name for name, game in GAMES.items() if game.end_penalty == 0.0] == ["pong"]


def test_any_other_game_goes_by_its_id_and_without_masks() -> None:
    alien = find_game("ALE/Alien-v5")
    assert (alien.rom, alien.masks) == ("alien", ())
    with pytest.raises(ValueError, match="ALE/Alien-v5 has no score mask"):
        AtariVector("ALE/Alien-v5", 1)
    vector = AtariVector("ALE/Alien-v5", 2, masked=False, num_threads=1)
    assert vector.reset(seed=0)[0].shape == (2, 4, 84, 84)
    vector.close()


@pytest.mark.parametrize(
    ("wrong", "near"),
    [("pongg", "pong"), ("space_invader", "spaceinvaders"), ("ALE/Brakeout-v5", "breakout"), ("alien", "ALE/Alien-v5")],
)
def test_an_unknown_game_is_told_the_nearest(wrong: str, near: str) -> None:
    with pytest.raises(ValueError, match=f"no game '{wrong}'; did you mean .*'{near}'"):
        find_game(wrong)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("ALIEN", "ALE/Alien-v5"), ("PONG", "pong"), ("PongNoFrameskip-v4", "pong"), ("ALE/Pong-v3", "pong")],
)
def test_a_game_that_is_only_spelled_otherwise_is_named_alone(wrong: str, right: str) -> None:
    with pytest.raises(PrefrlError, match=f"no (task|game) '{wrong}'; did you mean '{right}'\\? "):
        find_task(wrong, clip_seconds=1.5)


def test_nothing_near_says_what_there_is() -> None:
    with pytest.raises(ValueError, match=r"no game 'xq'; the games are beamrider, .*as ALE/Alien-v5"):
        find_game("xq")


def test_the_other_worlds_do_not_need_ale() -> None:
    said = "import sys, prefrl_envs; print('ale_py' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ---- what a learner sees ---------------------------------------------------------------------------------------------


def test_the_same_seed_and_actions_give_the_same_bytes() -> None:
    """Whatever came before, and however many threads."""
    vectors = [AtariVector("breakout", 3, num_threads=threads) for threads in (1, 2)]
    assert vectors[0].single_action_space.n == 4
    vectors[1].reset(seed=1)
    for _ in range(10):
        vectors[1].step(np.array([1, 2, 3]))
    seen: list[list[Any]] = [[vector.reset(seed=5)[0].tobytes()] for vector in vectors]
    rng = np.random.default_rng(0)
    for _ in range(100):
        act = rng.integers(4, size=3)
        for vector, story in zip(vectors, seen, strict=True):
            obs, *_, infos = vector.step(act)
            story.append((obs.tobytes(), *(infos[name].tobytes() for name in sorted(infos))))
    assert seen[0] == seen[1]
    other = vectors[0].reset(seed=6)[0].tobytes()
    assert other != seen[0][0]  # no-ops differ
    for vector in vectors:
        vector.close()


@pytest.mark.parametrize("name", PAPER)
def test_the_stack_is_the_newest_four_pictures_even_where_a_game_ends(name: str) -> None:
    play = played(name)
    pictures = np.array([obs[:, -1] for obs in play.masked])
    assert (play.masked[0] == pictures[0][:, None]).all()
    for t in range(1, len(pictures)):
        newest = [pictures[max(t - age, 0)] for age in (3, 2, 1, 0)]
        assert np.array_equal(play.masked[t], np.stack(newest, axis=1))
    if name in ("breakout", "qbert"):
        assert play.told("episode_end").any()
    assert all((pictures > 0).any(axis=(2, 3)).ravel())  # never a black picture in between


def test_the_newest_picture_is_what_ale_makes_of_it() -> None:
    """Mnih et al. 2015: 84 x 84 in gray, the larger of the last two of four frames; here from ALE's own stack."""
    vector = AtariVector("pong", 2, masked=False, num_threads=1)
    obs, _ = vector.reset(seed=3)
    ale = AtariVectorEnv("pong", 2, num_threads=1, noop_max=31, reward_clipping=False)
    theirs, _ = ale.reset(seed=np.random.default_rng(np.random.PCG64(3)).integers(2**31 - 1, size=2))
    assert np.array_equal(obs[:, -1], theirs[:, -1])
    for act in np.random.default_rng(0).integers(6, size=(50, 2)):
        obs, theirs = vector.step(act)[0], ale.step(act)[0]
        assert np.array_equal(obs[:, -1], theirs[:, -1])
    assert np.array_equal(obs, theirs)
    vector.close()


# ---- what it is told -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAPER)
def test_points_and_ends(name: str) -> None:
    play = played(name)
    points, ends, score = play.told("true_reward"), play.told("episode_end"), play.told("score")
    penalty = 0.0 if name == "pong" else 1.0
    assert np.array_equal(play.told("oracle_reward"), np.clip(points, -1, 1) - penalty * ends)
    running = np.zeros(3)
    for t, ended in enumerate(ends):
        running += points[t]
        assert np.array_equal(score[t], running)
        running[ended] = 0.0
    games = np.concatenate([np.zeros((1, 3)), np.cumsum(ends, axis=0)])
    assert np.array_equal([infos["game"] for infos in play.infos], games)
    assert {0 <= int(frames) <= 30 for infos in play.infos for frames in infos["waited"]} == {True}


def test_whole_games_end_and_are_scored() -> None:
    hidden, open_ = (AtariVector("breakout", 2, num_threads=1, endless=endless) for endless in (True, False))
    hidden.reset(seed=0)
    open_.reset(seed=0)
    ended = 0
    for act in np.random.default_rng(0).integers(4, size=(400, 2)):
        obs, _, terminated, truncated, infos = open_.step(act)
        theirs, *_, told = hidden.step(act)
        assert np.array_equal(terminated | truncated, told["episode_end"])
        assert np.array_equal(infos["score"], told["score"])
        assert np.array_equal(obs[:, -1], theirs[:, -1])
        assert (obs[terminated] == obs[terminated, -1:]).all()  # a new game has no past
        ended += int(terminated.sum())
    assert ended >= 2
    hidden.close()
    open_.close()


def test_a_game_that_is_cut_off_is_no_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    """108,000 frames take long, so ALE's answer is made up: two points, the first copy over, the second cut off."""
    vector = AtariVector("breakout", 2, num_threads=1)
    vector.reset(seed=0)
    picture = np.full((2, 1, 84, 84), 7, np.uint8)
    told = {"lives": np.array([5, 5], np.int32), "episode_frame_number": np.array([3, 9], np.int32)}
    over = np.array([True, False])
    monkeypatch.setattr(vector._ale, "recv", lambda: (picture, np.array([2, 2], np.int32), over, ~over, told))
    obs, _, terminated, truncated, infos = vector.recv()
    assert not (terminated | truncated).any()
    assert infos["true_reward"].tolist() == [2.0, 2.0]
    assert infos["oracle_reward"].tolist() == [0.0, 1.0]
    assert infos["episode_end"].tolist() == [True, True]
    assert infos["score"].tolist() == [2.0, 2.0]
    assert (infos["game"].tolist(), infos["waited"].tolist()) == ([1, 1], [3, 9])
    assert (obs[:, -1] > 0).any()
    monkeypatch.undo()
    vector.close()


# ---- what is hidden --------------------------------------------------------------------------------------------------


def test_masks_are_the_pixels_that_show_any_of_them() -> None:
    """A box of rows 1 to 3 and columns 159 to 160 of the screen, in the 84 x 84 picture and in one of full size."""
    for shape, rows, columns in (((84, 84), (0, 2), (83, 84)), (SCREEN, (1, 4), (159, 160))):
        picture = np.ones(shape, np.uint8)
        blacken(picture, ((1, 159, 4, 160),))
        black = np.zeros(shape, np.bool_)
        black[slice(*rows), slice(*columns)] = True
        assert np.array_equal(picture == 0, black)


@pytest.mark.parametrize("name", PAPER)
def test_masks_are_black_and_nothing_else_changes(name: str) -> None:
    play = played(name)
    black = np.ones((84, 84), np.uint8)
    blacken(black, play.game.masks)
    for masked, plain in zip(play.masked, play.plain, strict=True):
        assert np.array_equal(masked, plain * black)


@pytest.mark.parametrize("name", PAPER)
def test_where_the_score_changes_nothing_is_seen_of_it(name: str) -> None:
    """Over random play: in the mask the plain picture changes where points are made, and the masked one never."""
    play, late = played(name), LATE.get(name, 2)
    mask = np.ones((84, 84), np.uint8)
    blacken(mask, play.game.masks)
    plain, masked = (np.array([obs[:, -1] for obs in seen])[..., mask == 0] for seen in (play.plain, play.masked))
    scored = (play.told("true_reward") != 0) & ~play.told("episode_end")
    changed = (plain[1:] != plain[:-1]).any(axis=-1)
    shown = [changed[t : t + late, copy].any() for t, copy in np.argwhere(scored[:-late])]
    assert len(shown) >= 2
    assert np.mean(shown) > 0.9
    assert not masked.any()


def screens(name: str) -> tuple[Any, list[Any]]:
    """An emulator of the game, and states of it at six moments of random play."""
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", 0.0)
    ale.loadROM(str(roms.get_rom_path(GAMES[name].rom)))
    actions, rng, states = ale.getMinimalActionSet(), np.random.default_rng(0), []
    for frame in range(600):
        if ale.game_over():
            ale.reset_game()
        ale.act(actions[1] if name == "enduro" else actions[rng.integers(len(actions))])
        if frame % 100 == 99:
            states.append(ale.cloneState())
    return ale, states


@pytest.mark.parametrize("name", PAPER)
def test_a_number_changed_in_memory_is_seen_in_the_mask_alone(name: str) -> None:
    """Every digit of the points, and what the paper masks besides: no pixel elsewhere tells them."""
    ale, states = screens(name)
    mask = np.ones(SCREEN, np.uint8)
    blacken(mask, GAMES[name].masks)

    def pictures(state: Any, byte: int, value: int | None) -> np.ndarray:
        ale.restoreState(state)
        if value is not None:
            ale.setRAM(byte, value)
        seen = []
        for _ in range(2):
            ale.act(ale_py.Action.NOOP)
            seen.append(ale.getScreen().copy())
        return np.array(seen)

    for byte in (*POINTS[name], *FURTHER.get(name, ())):
        told = False
        counted = name == "pong" or (name == "beamrider" and byte in FURTHER[name])
        for state in states:
            for digit in range(10):
                value = digit if counted else 17 * digit
                differs = (pictures(state, byte, value) != pictures(state, byte, None)).any(axis=0)
                told = told or differs.any()
                assert not (differs & (mask == 1)).any(), f"byte {byte} set to {value}"
        assert told, f"byte {byte} is not shown"


# ---- playing again ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PAPER)
def test_a_clip_is_played_again_in_color_as_it_was(name: str) -> None:
    """Pictures of a replay, made small and gray, are what was seen; also in a later game, and over a game's end."""
    play = played(name)
    ends = np.argwhere(play.told("episode_end"))
    copy, start = (int(ends[-1][1]), int(ends[-1][0]) - 12) if len(ends) else (0, 275)
    start = min(start, 275)
    view = play.log.view(copy, start, start + 25, play.masked[start][copy, -1])
    pictures = list(replayed_game(view))
    assert len(pictures) == len(view) == 100
    assert view.fps == 60.0
    assert {(picture.shape, picture.dtype.str) for picture in pictures} == {((*SCREEN, 3), "|u1")}
    assert len({picture.tobytes() for picture in pictures}) > 1  # it moves
    for picture in pictures:
        for top, left, bottom, right in play.game.masks:
            assert not picture[top:bottom, left:right].any()


@pytest.mark.parametrize("name", PAPER)
def test_an_emulator_sees_what_the_copies_see_to_within_a_shade(name: str) -> None:
    """Every step of a copy over all its games, each begun without playing the ones before."""
    play = played(name)
    begins = [0, *(np.flatnonzero(play.told("episode_end")[:, 1]) + 1).tolist()]
    for game in sorted({0, len(begins) - 1}):
        emulator = Emulator(play.game)
        emulator.skip(game)
        emulator.begin(int(play.infos[begins[game]]["waited"][1]))
        stop = begins[game + 1] - 1 if game + 1 < len(begins) else 300
        for t in range(begins[game], min(stop, begins[game] + 150)):
            assert np.abs(emulator.observation().astype(int) - play.plain[t][1, -1]).max() <= 1
            emulator.step(int(play.log.view(1, t, t + 1, play.masked[t][1, -1]).act[-1]))


def test_a_game_that_a_switch_chooses_is_played_again_too() -> None:
    """It begins with frames that were neither waited nor acted in; its screen is higher than the others'."""
    vector = AtariVector("ALE/AirRaid-v5", 1, masked=False, num_threads=1)
    obs, infos = vector.reset(seed=3)
    log = GameLog("ALE/AirRaid-v5", infos, 30, masked=False)
    seen = []
    for _ in range(30):
        seen.append(obs[:, -1])
        obs, *_, infos = vector.step(np.array([1]))
        log.add(np.array([1]), infos)
    pictures = list(replayed_game(log.view(0, 5, 30, seen[5][0])))
    assert (len(pictures), pictures[0].shape) == (100, (250, 160, 3))
    vector.close()


def test_shrunk_is_the_mean_of_areas() -> None:
    """From 210 rows to 84: a pixel is 2.5 rows, the second of them half of the third row and two more."""
    picture = np.zeros(SCREEN, np.uint8)
    picture[2], picture[3] = 100, 50
    assert shrunk(picture)[:3, 0].tolist() == [20, 40, 0]  # (100 / 2) / 2.5, (100 / 2 + 50) / 2.5
    assert (shrunk(np.full((250, 160), 7, np.uint8)) == 7).all()


def test_a_clip_over_a_game_s_end_goes_on_with_the_next_game() -> None:
    play = played("breakout")
    end, copy = next((int(t), int(i)) for t, i in np.argwhere(play.told("episode_end")) if t > 20)
    view = play.log.view(copy, end - 9, end + 11, play.masked[end - 9][copy, -1])
    assert view.begins.tolist() == [0, end + 1]
    assert (view.start, len(view.act), len(view)) == (end - 9, end + 11, 80)
    whole = list(replayed_game(view))
    after = play.log.view(copy, end + 1, end + 11, play.masked[end + 1][copy, -1])
    assert (after.games, after.start, after.begins.tolist()) == (1, 0, [0])
    assert np.array_equal(whole[40:], list(replayed_game(after)))  # found without the game before
    before = play.log.view(copy, end - 9, end + 1, play.masked[end - 9][copy, -1])
    assert before.begins.tolist() == [0]  # the game that begins after the last step is not shown
    assert np.array_equal(whole[:40], list(replayed_game(before)))


def test_a_replay_that_comes_out_otherwise_is_refused() -> None:
    play = played("pong")
    view = play.log.view(0, 100, 125, play.masked[100][0, -1])
    with pytest.raises(PrefrlError, match="does not play the same again"):
        next(replayed_game(replace(view, act=1 - np.minimum(view.act, 1))))
    with pytest.raises(PrefrlError, match="ALE/Pongg-v5 cannot be played again: no game"):
        next(replayed_game(replace(view, env_id="ALE/Pongg-v5")))


def test_a_replay_is_small_and_survives_the_store() -> None:
    play = played("pong")
    seen = play.masked[250][2, -1]
    view = play.log.view(2, 250, 275, seen)
    none = np.zeros((0, 84, 84), np.uint8)
    segment = Segment(np.stack([seen] * 25), np.zeros(25, np.int64), none, view=view)
    content, shown = encode_segment(segment)
    assert shown is not None
    assert len(shown) < 84 * 84 + 1000
    again = decode_segment(segment.id, content, shown).view
    assert isinstance(again, GameReplay)
    assert (again.env_id, again.masked, again.games, again.start) == ("ALE/Pong-v5", True, 0, 250)
    assert np.array_equal(again.act, view.act)
    assert len(list(replayed_game(again))) == 100
