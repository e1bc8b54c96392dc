"""Atari games, learned end to end at tiny size."""

import csv
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from worlds import parameters

from prefrl.commands import control_run, main, settings, train
from prefrl.commands.settings import PICTURES
from prefrl.commands.train import Train
from prefrl.control import algorithms, assessing, pictures
from prefrl.control.algorithms import LearnerConfig, picture_config
from prefrl.control.clips import as_batch, cut
from prefrl.control.evaluation import evaluate
from prefrl.control.game_replay import replayed_game
from prefrl.control.learner import ControlLearner
from prefrl.control.tasks import AtariTask, find_task
from prefrl.control.vector import Record, Recorder
from prefrl.runs import Run
from prefrl.segments import GameReplay, SegmentBatch, collate
from prefrl.stacks import channels_last, distinct_frames
from prefrl.store import PreferenceStore

pytest.importorskip("ale_py")

TINY = ["--labels", "8", "--steps", "900", "--members", "2", "--pretraining", "1", "--seed", "3", "--threads", "1"]
TIMED = {"wall_seconds", "steps_per_second", "seconds_fitting"}


def pong(**settings: Any) -> AtariTask:
    task = find_task("pong", clip_seconds=25 / 15, **settings)
    assert isinstance(task, AtariTask)
    return task


def learner(algo: str = "ppo", **settings: Any) -> ControlLearner:
    config = replace(picture_config(algo, "small"), num_envs=2, batch_size=32, epochs=1, hidden=16, **settings)  # type: ignore[arg-type]
    if algo == "ppo":
        config = replace(config, rollout_steps=32)
    return ControlLearner(pong(clip_steps=8), config, seed=0, most_clips=6, check=lambda: None)


def brightness(batch: SegmentBatch) -> torch.Tensor:
    """A reward function that needs no fitting."""
    return batch.obs.float().mean(dim=(2, 3, 4)) / 255.0 * batch.mask


# ---- the recorder ----------------------------------------------------------------------------------------------------


def test_the_record_is_what_was_seen_and_kept_once() -> None:
    venv = pong().vector(2, normalize=False)
    venv.restart(5, 30)
    seen, after = [venv.reset()], []
    actions = np.random.default_rng(0).integers(venv.action_space.n, size=(30, 2))  # type: ignore[attr-defined]
    for act in actions:
        obs, rewards, dones, infos = venv.step(act)
        seen.append(obs)
        after.append([info["true_reward"] for info in infos])
        assert not rewards.any()
        assert not dones.any()
    record = venv.record()
    np.testing.assert_array_equal(record.obs, np.stack(seen[:-1]))
    np.testing.assert_array_equal(record.next_obs, np.stack(seen[1:]))
    np.testing.assert_array_equal(record.act, actions)
    np.testing.assert_array_equal(record.true_reward, after)
    assert record.obs.base is not None
    assert distinct_frames(record.obs[:, 0]) is not None
    clip = cut(record, pong(clip_steps=10), np.random.default_rng(0), most=1)[0]
    frames = distinct_frames(clip.obs)
    assert frames is not None
    assert frames.shape == (13, 84, 84)  # not 10 x 4
    batch = as_batch(record)
    np.testing.assert_array_equal(batch.obs.numpy(), record.obs.swapaxes(0, 1))
    other = pong().vector(2, normalize=False)
    other.restart(5, 30)
    np.testing.assert_array_equal(other.reset(), seen[0])  # the same seed, the same pictures
    for each in (venv, other):
        each.close()


def played(venv: Recorder, actions: np.ndarray, *, seed: int) -> Record:
    venv.restart(seed, len(actions))
    venv.reset()
    for act in actions:
        venv.step(act)
    return venv.record()


def test_games_go_on_from_record_to_record(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that those longer than a record come to their end, and a game that ended counts whole."""
    monkeypatch.setattr(pictures, "LONGEST", 600)
    venvs = [find_task("breakout", clip_seconds=1.0).vector(2, normalize=False) for _ in range(3)]
    whole, parts, third = venvs
    actions = np.random.default_rng(0).integers(4, size=(600, 2))
    wanted, scores, clips, longest = played(whole, actions, seed=5), [], [], 0.0
    for start in range(0, 600, 100):
        record = played(parts, actions[start : start + 100], seed=5 + start)  # a seed that is not wanted yet
        for name in ("obs", "next_obs", "true_reward", "oracle_reward", "first"):
            found = getattr(record, name)
            np.testing.assert_array_equal(found, getattr(wanted, name)[start : start + 100], err_msg=name)
        scores += parts.finished
        longest = max(longest, 200 / parts.episodes)
        clips += cut(record, pong(clip_steps=10), np.random.default_rng(0), most=1)
    assert scores == whole.finished
    assert len(scores) > 2
    assert longest > 100  # than the record in which they ended
    assert len(scores) < whole.episodes < len(scores) + 2
    for clip in clips[1::2]:
        assert isinstance(clip.view, GameReplay)
        assert len(list(replayed_game(clip.view))) == 40  # or it would say that it plays another game
    third.follow(parts.story() or {}, 1, lambda: pytest.fail("it plays again what the next step would begin anew"))
    again = played(third, actions[:1], seed=0)
    assert (again.begin, again.first.any()) == (0, True)  # for so many steps they have gone on
    for venv in venvs:
        venv.close()


def test_a_story_brings_the_games_back() -> None:
    first, second = (pong().vector(2, normalize=False) for _ in range(2))
    actions = np.random.default_rng(0).integers(6, size=(60, 2))
    played(first, actions[:40], seed=5)
    story, checked = first.story(), []
    assert story is not None
    second.follow(story, 20, lambda: checked.append(1))
    assert len(checked) == 40
    records = [played(each, actions[40:], seed=6) for each in (first, second)]
    for name in ("obs", "first"):
        np.testing.assert_array_equal(*(getattr(record, name) for record in records))
    assert [record.begin for record in records] == [40, 40]
    for name, value in (first.story() or {}).items():
        np.testing.assert_array_equal(value, (second.story() or {})[name])
    for venv in (first, second):
        venv.close()


def test_forgetting_makes_room_and_loses_nothing() -> None:
    venv = pong().vector(2, normalize=False, endless=False)
    venv.restart(5, 1)
    obs = venv.reset()
    for _ in range(6):
        before = obs
        obs = venv.step(np.array([2, 3]))[0]
        np.testing.assert_array_equal(venv.record().obs[0], before)
        np.testing.assert_array_equal(venv.record().next_obs[0], obs)
        venv.forget()
    venv.close()


# ---- the learner -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_pictures_stay_bytes_and_the_reward_is_computed_once_a_rollout(algo: str) -> None:
    shapes = []

    def reward(batch: SegmentBatch) -> torch.Tensor:
        assert batch.obs.dtype == torch.uint8
        shapes.append(tuple(batch.mask.shape))
        return brightness(batch)

    trained = learner(algo)
    trained.learn(128, reward)
    each = trained.config.rollout_steps
    assert shapes == [(2, each)] * math.ceil(128 / (2 * each))
    buffer = trained.model.rollout_buffer  # type: ignore[attr-defined]
    assert buffer.observations.dtype == np.uint8
    trained.venv.close()


@pytest.mark.parametrize("algo", ["ppo", "a2c"])
def test_save_and_load_go_on_exactly(algo: str, tmp_path: Path) -> None:
    first, second = learner(algo, decay_steps=400), learner(algo, decay_steps=400)
    first.rollout(64)
    first.learn(64, brightness)
    first.save(tmp_path)
    second.load(tmp_path)
    experiences = [each.learn(128, brightness) for each in (first, second)]
    assert parameters(first.model.policy) == parameters(second.model.policy)
    assert [s.id for s in experiences[0].segments] == [s.id for s in experiences[1].segments]
    assert repr(experiences[0].metrics) == repr(experiences[1].metrics)


def test_the_baseline_is_paid_points_clipped() -> None:
    """Unscaled, unlike MuJoCo's; the learned reward has its own scale, .05."""
    trained = learner()
    trained.learn(64, None)
    record = trained.venv.record()
    record.true_reward[::3] = 7.0
    paid = trained._pay_rollout(len(record))
    assert set(paid[::3].ravel()) == {1.0}
    trained._reward = brightness
    np.testing.assert_allclose(trained._pay_rollout(len(record)).T, brightness(as_batch(record)), rtol=1e-6)


def test_the_step_size_falls_to_nothing_over_the_run() -> None:
    trained = learner(decay_steps=256, learning_rate=1e-3)
    rates = []
    for _ in range(2):
        trained.learn(128, brightness)
        rates.append(trained.model.policy.optimizer.param_groups[0]["lr"])
    np.testing.assert_allclose(rates, [0.5e-3, 0.0], atol=1e-9)  # at the last update of each


@pytest.mark.parametrize(("network", "weights"), [("small", 677_000), ("nature", 1_685_000)])
def test_the_policy_networks_have_their_papers_sizes(network: Any, weights: int) -> None:
    config = picture_config("ppo", network)
    trained = ControlLearner(pong(), replace(config, num_envs=4), seed=0, most_clips=1, check=lambda: None)
    count = sum(parameter.numel() for parameter in trained.model.policy.parameters())
    assert count == pytest.approx(weights, rel=0.01)


@pytest.mark.parametrize("network", ["small", "nature"])
def test_a_policy_sees_pictures_as_bytes_and_scaled(network: Any) -> None:
    policy: Any = learner(network=network, bfloat16=False).model.policy
    obs = torch.randint(256, (3, 4, 84, 84), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with patch.object(algorithms, "channels_last", side_effect=channels_last) as copied, torch.no_grad():
        wanted = policy.features_extractor.rest(policy.features_extractor.first(obs.float() / 255.0))
        found = policy.extract_features(obs)
        values = policy.predict_values(obs)  # which Stable-Baselines3 sends there as floats
    assert copied.call_count == 2
    assert torch.allclose(found, wanted, atol=1e-5)
    assert torch.allclose(values, policy.value_net(found), atol=1e-5)


def test_scores_are_of_whole_games() -> None:
    scores = evaluate(None, pong(), episodes=2, seed=1)
    assert scores.tolist() == evaluate(None, pong(), episodes=2, seed=1).tolist()
    assert all(-21 <= score <= -15 for score in scores)


# ---- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Few games, short measurements, few copies: each takes a tenth of a second to begin."""

    def few(algo: Any, network: Any, device: str) -> LearnerConfig:
        config = picture_config(algo, network, device)
        return replace(config, num_envs=4, rollout_steps=min(64, config.rollout_steps), batch_size=64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control_run, "EVALUATION_EPISODES", 1)
        patch.setattr(assessing, "STEPS", 100)
        patch.setattr(algorithms, "picture_config", few)
        short = replace(PICTURES, shortest_round=0)
        for module in (settings, train):
            patch.setattr(module, "PICTURES", short)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atari") / "run"
    assert main(["train", "pong", *TINY, "--out", str(folder), "--quiet"]) == 0
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(file)]


def summary(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return {k: v for k, v in content.items() if k not in TIMED}


def test_what_a_run_leaves(finished: Path) -> None:
    config = json.loads((finished / "config.json").read_text())
    assert (config["task"], config["env_id"], config["masked"]) == ("pong", "ALE/Pong-v5", True)
    assert (config["algo"], config["clip_steps"], config["horizon"], config["reward_std"]) == ("ppo", 25, 5e6, 0.05)
    assert config["loop"]["fit"]["newest"] == 3000
    table, result = rows(finished), summary(finished)
    assert len(table) == config["rounds"] == 2
    assert (table[0]["labels"], table[-1]["labels"]) == ("4", "8")
    assert result["steps"] == config["learner"]["decay_steps"] == float(table[-1]["steps"])
    assert -21 <= result["random_return"] <= -15
    with PreferenceStore(finished / "preferences.db") as store:
        clip = store.comparisons()[0].options[0]
    assert clip.obs.shape == (25, 4, 84, 84)
    assert (finished / "preferences.db").stat().st_size < 16 * 28 * 84 * 84 / 2


def test_interrupted_and_resumed_is_uninterrupted(finished: Path, tmp_path: Path) -> None:
    folder, real = tmp_path / "run", Run.save

    def save(run: Run, *args: Any, **kwargs: Any) -> None:
        real(run, *args, **kwargs)
        run._stopping = True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Run, "save", save)
        assert main(["train", "pong", *TINY, "--out", str(folder), "--quiet"]) == 75
    assert len(rows(folder)) == 1
    assert main(["resume", str(folder), "--quiet"]) == 0
    assert rows(folder) == rows(finished)
    assert summary(folder) == summary(finished)
    last = sorted((folder / "checkpoints").iterdir())[-1].name
    for path in (finished / "checkpoints" / last).iterdir():
        if path.name not in ("state.json", "manifest.json"):  # which tell the time
            assert path.read_bytes() == (folder / "checkpoints" / last / path.name).read_bytes(), path.name


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_gpu_that_is_not_there(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "pong", *TINY, "--device", "cuda", "--out", str(tmp_path / "new")]) == 2
    assert "--device cuda, but torch sees no CUDA device here" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    begun = tmp_path / "begun"
    begun.mkdir()
    config = json.loads((finished / "config.json").read_text())
    assert config["device"] == "cpu"
    (begun / "config.json").write_text(json.dumps(config | {"device": "cuda"}))
    assert main(["resume", str(begun)]) == 2
    assert f"{begun} was begun on a GPU, and torch sees no CUDA device here" in capsys.readouterr().err


def test_the_report_and_the_video(finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(finished), "--out", str(tmp_path)]) == 0
    assert (tmp_path / "report.png").exists()
    assert main(["watch", str(finished), "--seconds", "1", "--out", str(tmp_path / "video.mp4")]) == 0
    assert "60 frames, 1.0 s" in capsys.readouterr().out


def test_the_paper_s_algorithm_and_network_without_labels(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = [
        "--algo",
        "a2c",
        "--network",
        "nature",
        "--reward",
        "true",
        "--threads",
        "1",
        "--out",
        str(folder),
        "--quiet",
    ]
    assert main(["train", "pong", "--steps", "900", "--labels", "8", *arguments]) == 0
    assert summary(folder)["algo"] == "a2c"


def test_a_game_without_a_mask_is_learned_if_asked_for() -> None:
    config = Train("ALE/Alien-v5", unmasked=True).resolved()
    assert (config["masked"], config["env_id"], config["labels"]) == (False, "ALE/Alien-v5", 3300)


@pytest.mark.parametrize(
    ("steps", "per_round", "rounds"),
    [(9000, 8192, 1), (100_000, 30_720, 3), (200_000, 30_720, 6), (1_000_000, 38_912, 26), (4_000_000, 81_920, 49)],
)
def test_rounds_have_clips_enough_to_choose_from(steps: int, per_round: int, rounds: int) -> None:
    found = PICTURES.divide(steps, pong(), picture_config("ppo", "small"), first=12_500.0)
    assert found[1:] == (per_round, rounds)
    assert 0 <= found[0] + per_round * rounds - steps < 2048 * rounds  # a rollout a round at most


def test_the_first_five_hundred_are_asked_before_any_learning() -> None:
    config = Train("breakout").resolved()
    assert round(config["labels"] * config["upfront"]) == 500
    warmup = config["loop"]["warmup_steps"]
    assert 500 * 2 * 25 <= warmup < 500 * 2 * 25 + 16  # so that each is about two new clips
    assert Train("hopper").resolved()["upfront"] == 0.25


# ---- bad input -------------------------------------------------------------------------------------------------------


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., str]:
    """Run a training that must fail with one sentence, and return it."""

    def run(*arguments: str) -> str:
        assert main(["train", *arguments, "--out", str(tmp_path / "run")]) == 2
        said = capsys.readouterr().err
        assert said.startswith("prefrl: ")
        assert said.count("\n") == 1
        assert not (tmp_path / "run").exists()
        return said

    return run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["pnog"], "no task 'pnog'; did you mean 'pong'"),
        (["ALE/Pnog-v5"], "no game 'ALE/Pnog-v5'; did you mean 'pong'"),
        (["ALE/Alien-v5"], "nobody has looked where ALE/Alien-v5 shows its score"),
        (
            ["pong", "--algo", "sac"],
            "--algo sac is not for tasks that observe pictures, as 'pong' does: take --algo ppo",
        ),
        (
            ["hopper", "--algo", "a2c"],
            "--algo a2c is not for tasks that observe vectors, as 'hopper' does: take --algo",
        ),
        (["hopper", "--network", "small"], "--network is for tasks that observe pictures"),
        (["hopper", "--unmasked"], "--unmasked is for Atari's games"),
        (["pong", "--steps", "5000"], "3300 comparisons of clips of 25 steps need 82,500 steps"),
        (["pong", "--labels", "3", "--steps", "9000", "--clip-steps", "600"], "clips of 600 steps"),
        (["pong", "--clip-steps", "13501"], "clips of 13501 steps are longer than half of the longest game, 13500"),
        (["alien", "--unmasked"], "no task 'alien'; did you mean 'ALE/Alien-v5'?"),
        (
            ["hopper", "--device", "cuda"],
            "--device cuda is for tasks that observe pictures: the small networks of 'hopper'",
        ),
        (["pong", "--pretraining", "0"], "--pretraining must be at least 1, got 0"),
    ],
)
def test_bad_input_is_a_sentence(arguments: list[str], sentence: str, refused: Callable[..., str]) -> None:
    assert sentence in refused(*arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["breakout"], "was answered about ALE/Pong-v5, but breakout is ALE/Breakout-v5"),
        (["pong", "--unmasked"], "was answered about pictures with the score masked: leave --unmasked out"),
    ],
)
def test_answers_about_another_game_are_not_taken(
    arguments: list[str], sentence: str, finished: Path, refused: Callable[..., str]
) -> None:
    assert sentence in refused(*arguments, "--steps", "9000", "--labels-from", str(finished))


def test_clips_of_a_batch_hold_no_stacks() -> None:
    trained = learner()
    clips = trained.rollout(64).segments
    assert collate(clips).obs.untyped_storage().nbytes() == len(clips) * 11 * 84 * 84
