"""Runs that must come out the same, byte for byte: interrupted or not, and whatever the true reward."""

import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import gymnasium
import numpy as np
import pytest
import torch
from killing import Killed, Training, outcome
from worlds import ensemble, learner

from prefrl.acquisition import disagreement
from prefrl.comparisons import Query
from prefrl.control.learner import ControlLearner
from prefrl.control.tasks import Task
from prefrl.ensemble import RewardEnsemble
from prefrl.fitting import FitConfig
from prefrl.labelers import Labeler, Oracle
from prefrl.loop import LoopConfig, train, train_baseline
from prefrl.runs import Run
from prefrl.schedule import label_plan
from prefrl.segments import Segment
from prefrl.store import PreferenceStore
from prefrl_envs.moving_dot import MovingDot

ROUNDS = 4


@dataclass(frozen=True)
class Setting:
    """A run that takes a second or so."""

    algo: str
    seed: int = 0
    steps: int = 200  # a round
    labels: int = 24
    baseline: bool = False
    task: Task | None = None
    labeler: Labeler | None = None
    loss: Literal["choice", "squared_error"] = "choice"

    def carry_out(
        self, folder: Path, change: Callable[[ControlLearner, RewardEnsemble, Run], None] | None = None
    ) -> None:
        """Begin the run, or go on with it, as a new process would."""
        folder.mkdir(exist_ok=True)
        trained = learner(self.algo, self.task, seed=self.seed)
        fitted = ensemble(trained, members=3, seed=self.seed)
        run = Run(folder, seed=self.seed, say=lambda row: None, stage=lambda words: None)
        config = LoopConfig(
            warmup_steps=200,
            steps_per_round=self.steps,
            fit=FitConfig(first_epochs=5, updates=5, batch_size=8, loss=self.loss),
        )
        if change is not None:
            change(trained, fitted, run)
        if self.baseline:
            return train_baseline(trained, fitted, rounds=ROUNDS, config=config, run=run)
        plan = label_plan(self.labels, ROUNDS * self.steps, self.steps)
        with PreferenceStore(folder / "preferences.db") as store:
            train(
                trained,
                fitted,
                store,
                self.labeler or Oracle(seed=self.seed),
                plan=plan,
                acquisition=disagreement,
                config=config,
                run=run,
            )
            assert store.asked == len(store) == self.labels


SETTINGS = {
    "ppo": Setting("ppo"),
    "trpo": Setting("trpo"),
    "sac": Setting("sac", steps=100, labels=12),
    "target": Setting("ppo", labeler=Oracle(seed=0, tells_returns=True), loss="squared_error"),
    "baseline": Setting("ppo", baseline=True),
    "baseline-sac": Setting("sac", steps=40, baseline=True),
}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Setting], dict[str, Any]]:
    """What a setting comes to, run once."""
    known: dict[Setting, dict[str, Any]] = {}

    def run(setting: Setting) -> dict[str, Any]:
        if setting not in known:
            folder = tmp_path_factory.mktemp("uninterrupted")
            setting.carry_out(folder)
            known[setting] = outcome(folder, ROUNDS)
        return known[setting]

    return run


def kill(where: str, round_: int) -> Callable[[ControlLearner, RewardEnsemble, Run], None]:
    """Make a run die at some place of a round."""

    def change(trained: ControlLearner, fitted: RewardEnsemble, run: Run) -> None:
        parts: dict[str, tuple[Any, str]] = {
            "before asking": (run, "check"),
            "while learning": (trained.venv, "step"),
            "after learning": (run, "log"),
            "before saving": (run, "save"),
            "after saving": (run, "save"),
        }
        owner, name = parts[where]
        real = getattr(owner, name)

        def dies(*args: Any, **kwargs: Any) -> Any:
            if run.next_round == round_ and (where != "while learning" or len(trained.venv.record()) == 13):
                if where == "after saving":
                    real(*args, **kwargs)
                raise Killed
            return real(*args, **kwargs)

        setattr(owner, name, dies)

    return change


@pytest.mark.parametrize("name", SETTINGS)
def test_a_run_killed_at_a_round_boundary_comes_out_the_same(
    name: str, tmp_path: Path, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    setting = SETTINGS[name]
    for round_ in (0, 2):
        with pytest.raises(Killed):
            setting.carry_out(tmp_path / "run", kill("after saving", round_))
    setting.carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


@pytest.mark.parametrize("where", ["before asking", "while learning", "after learning", "before saving"])
@pytest.mark.parametrize("name", ["ppo", "sac"])
def test_a_run_killed_within_a_round_comes_out_the_same(
    where: str, name: str, tmp_path: Path, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    setting = SETTINGS[name]
    for round_ in (0, 1):
        with pytest.raises(Killed):
            setting.carry_out(tmp_path / "run", kill(where, round_))
    setting.carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


@pytest.mark.parametrize("part", ["propose", "select", "fit"])
def test_a_run_killed_around_its_questions_comes_out_the_same(
    part: str, tmp_path: Path, uninterrupted: Callable[[Setting], dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fit` dies when the questions are asked and answered, the others before."""
    setting, calls = SETTINGS["ppo"], []

    def dies(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) in (1, 3):
            raise Killed
        return real(*args, **kwargs)

    real = getattr(sys.modules["prefrl.loop"], part)
    monkeypatch.setattr(f"prefrl.loop.{part}", dies)
    for _ in range(2):
        with pytest.raises(Killed):
            setting.carry_out(tmp_path / "run")
    setting.carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


@dataclass(frozen=True)
class Dies:
    """Answers, or not, and dies."""

    answers: bool
    dead: list[int]

    def attend(self, store: PreferenceStore) -> None:
        if self.answers:
            Oracle(seed=0).attend(store)
        if len(self.dead) < 2:
            self.dead.append(1)
            raise Killed
        Oracle(seed=0).attend(store)


@pytest.mark.parametrize("answers", [False, True])
def test_a_run_killed_between_question_and_answer_comes_out_the_same(
    answers: bool, tmp_path: Path, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    setting = SETTINGS["ppo"]
    labeler = Dies(answers, [])
    for _ in range(2):
        with pytest.raises(Killed):
            replace(setting, labeler=labeler).carry_out(tmp_path / "run")
    replace(setting, labeler=labeler).carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


def test_questions_that_were_asked_before_are_not_made_up_for_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A round that proposes old questions asks fewer new ones; killed after asking, it must not ask the rest then."""
    loop = sys.modules["prefrl.loop"]
    real_select, real_fit = loop.select, loop.fit  # type: ignore[attr-defined]
    asked: list[Query] = []
    fits: list[int] = []

    def select_old(queries: list[Query], n: int, *rest: Any, **how: Any) -> list[Query]:
        chosen: list[Query] = real_select(queries, n, *rest, **how)
        old = asked[: n // 2]
        chosen = [*chosen[: n - len(old)], *old]
        asked.extend(chosen)
        return chosen

    def dying_fit(*args: Any, **how: Any) -> Any:
        fits.append(1)
        if len(fits) == deadly:
            raise Killed
        return real_fit(*args, **how)

    monkeypatch.setattr(loop, "select", select_old)
    monkeypatch.setattr(loop, "fit", dying_fit)
    left = []
    for deadly in (0, 2):  # in the second round
        asked.clear()
        fits.clear()
        folder = tmp_path / f"{deadly}"
        if deadly:
            with pytest.raises(Killed):
                Setting("ppo").carry_out(folder)
        with pytest.raises(AssertionError):  # in this test the budget is not spent
            Setting("ppo").carry_out(folder)
        left.append(outcome(folder, ROUNDS))
    assert left[0] == left[1]


@pytest.fixture(scope="module")
def training() -> Iterator[Training]:
    with Training("from pathlib import Path; from test_equivalence import SETTINGS") as process:
        yield process


@pytest.mark.parametrize("seed", range(3))
def test_sigkill_at_any_moment(
    seed: int, tmp_path: Path, training: Training, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    """Real processes, killed twice at random moments, then left to finish."""
    training.kill(
        f"SETTINGS['ppo'].carry_out(Path({str(tmp_path / 'run')!r}))", times=2, within=1.0, rng=random.Random(seed)
    )
    setting = SETTINGS["ppo"]
    setting.carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


def test_a_lost_store_is_noticed(tmp_path: Path) -> None:
    from prefrl.errors import PrefrlError

    with pytest.raises(Killed):
        SETTINGS["ppo"].carry_out(tmp_path / "run", kill("after saving", 0))
    (tmp_path / "run" / "preferences.db").unlink()
    with pytest.raises(PrefrlError, match=r"holds 0 questions, but 6 were asked"):
        SETTINGS["ppo"].carry_out(tmp_path / "run")


# ---- seeds -----------------------------------------------------------------------------------------------------------


def test_the_same_seed_comes_out_the_same_and_another_does_not(
    tmp_path: Path, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    setting = SETTINGS["ppo"]
    setting.carry_out(tmp_path / "same")
    assert outcome(tmp_path / "same", ROUNDS) == uninterrupted(setting)
    other = uninterrupted(replace(setting, seed=1))
    for part in ("learner.safetensors", "ensemble.safetensors", "segments.bin", "answers", "metrics"):
        assert other[part] != uninterrupted(setting)[part]


# ---- the true reward never reaches learner or ensemble ---------------------------------------------------------------


class Canary(gymnasium.Wrapper[np.ndarray, Any, np.ndarray, Any]):
    """Replaces the true reward by huge random numbers."""

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, _, terminated, truncated, info = self.env.step(action)
        return obs, float(np.random.default_rng().normal() * 1e30), terminated, truncated, info


class ByObservation:
    """Answers by a rule on what was observed: nearer to a corner is better."""

    def attend(self, store: PreferenceStore) -> None:
        def score(segment: Segment) -> float:
            return float(segment.obs.sum(dtype=np.float64))

        pairs = [
            (query, (1.0, 0.0) if score(query.options[0]) > score(query.options[1]) else (0.0, 1.0))
            for query in store.pending()
        ]
        store.answer_all(pairs, labeler="rule")


@pytest.mark.parametrize("algo", ["ppo", "trpo", "sac"])
def test_the_true_reward_reaches_neither_learner_nor_ensemble(algo: str, tmp_path: Path) -> None:
    """With the same answers, a true reward of huge random numbers gives the same bytes."""
    from prefrl_envs.mujoco_tasks import Pendulum

    world: Callable[..., gymnasium.Env[Any, Any]] = Pendulum if algo == "sac" else MovingDot
    gymnasium.register("Plain-v0", world, max_episode_steps=50)
    gymnasium.register("Canary-v0", lambda **settings: Canary(world(**settings)), max_episode_steps=50)
    left = []
    try:
        for env_id in ("Plain-v0", "Canary-v0"):
            task = Task("world", env_id, clip_steps=10, episode_steps=50, fps=20.0)
            steps = 100 if algo == "sac" else 200
            setting = Setting(algo, steps=steps, labels=12, task=task, labeler=ByObservation())
            setting.carry_out(tmp_path / env_id)
            left.append(outcome(tmp_path / env_id, ROUNDS, true_return=False))
    finally:
        del gymnasium.registry["Plain-v0"], gymnasium.registry["Canary-v0"]
    # What SAC replays holds the true rewards, apart, for the baseline.
    left = [{name: value for name, value in each.items() if not name.startswith("replay")} for each in left]
    assert left[0] == left[1]


def test_models_are_never_given_the_true_reward() -> None:
    """A batch has no such field, so no reward network can read it."""
    from prefrl.segments import SegmentBatch

    assert not [name for name in SegmentBatch.__slots__ if "reward" in name]
    assert torch.is_tensor(SegmentBatch(*(torch.zeros(1, 1) for _ in range(5))).obs)
