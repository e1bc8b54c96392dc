"""The text learner alone, and in the same `train` that control runs: it learns, and comes out the same however cut."""

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from killing import Killed, Training, outcome
from text_worlds import WORDS, count_gold, learner, prompts_of, small, text_ensemble, tiny
from torch import Tensor, nn

from prefrl.acquisition import disagreement
from prefrl.comparisons import Comparison, Query
from prefrl.errors import PrefrlError
from prefrl.fitting import FitConfig
from prefrl.labelers import Labeler, Oracle
from prefrl.loop import LoopConfig, train, train_baseline
from prefrl.runs import Run
from prefrl.segments import SegmentBatch
from prefrl.store import PreferenceStore
from prefrl.text import improving
from prefrl.text.improving import critic_values
from prefrl.text.kl import k1
from prefrl.text.learner import TextLearner
from prefrl.text.models import trainable, with_lora
from prefrl.text.policy import Prompt, moving_average, take_step
from prefrl.text.settings import Algorithm, TextConfig
from prefrl.text.supervised import blocks

ROUNDS = 3
FIT = FitConfig(first_epochs=3, updates=5, batch_size=8, learning_rate=2e-3, adaptation=1.0, weight_decay=0.01)


def likes_low(batch: SegmentBatch) -> Tensor:
    """A reward that needs no fitting: count_gold by tokens, at the last one."""
    low = (batch.act < 8) & (batch.act > 2)
    total = ((4.0 * low - 1.0) * (batch.mask & (batch.act != 2))).sum(dim=1) / 8  # 2 is the end
    last = torch.arange(batch.mask.shape[1]) == batch.mask.sum(dim=1, keepdim=True) - 1
    return total[:, None] * last


# ---- before and at the first step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("algo", ["ppo", "rloo"])
@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_the_first_ratio_is_one_and_the_first_kl_is_zero(algo: Algorithm, lora: bool, temperature: float) -> None:
    lm = with_lora(tiny(spread=3.0), rank=2, seed=0) if lora else tiny(spread=3.0)
    trained = learner(algo, lm=lm, temperature=temperature)
    _, metrics = trained.learn(32, likes_low)
    assert metrics["first_ratio_error"] < 1e-5
    assert abs(metrics["kl"]) < 1e-4
    assert metrics["reward_correlation"] == pytest.approx(1.0)  # gold and reward say the same here
    assert metrics["newest_accuracy"] == 1


def test_the_newest_answers_say_how_far_the_reward_can_be_trusted() -> None:
    """Of the pairs among four answers to a prompt, and beside predicted and true reward of the same answers."""
    trained = learner()
    acted = trained.policy.act(trained.prompts[:2], 4, torch.Generator().manual_seed(0), lambda: None)
    gold = acted.gold.view(2, 4)
    assert bool((gold.max(dim=1).values > gold.min(dim=1).values).all())
    score = torch.zeros_like(acted.log_probs)
    # The reward is right about the first prompt and says the opposite of the second, which it likes better as a whole.
    score[:, 0] = torch.cat([gold[0], 10.0 - gold[1]])
    said = trained._against_gold(score, acted)
    decided = [sum(float(a != b) for i, a in enumerate(row) for b in row[:i]) for row in gold.tolist()]
    assert said["newest_accuracy"] == pytest.approx(decided[0] / sum(decided))
    assert said["true_return_std"] == pytest.approx(float(acted.gold.std(correction=0)))
    assert said["predicted_return_std"] == pytest.approx(float(score.sum(dim=1).std(correction=0)))
    nobody = trained._against_gold(
        score, replace(acted, segments=[replace(s, true_reward=None) for s in acted.segments])
    )
    assert math.isnan(nobody["newest_accuracy"])
    assert math.isnan(nobody["reward_correlation"])


def test_divergence_is_that_of_the_answers_which_are_scored() -> None:
    """A round's reward and divergence are means over the same batches, and the root is that of the mean."""
    trained = learner()
    segments, metrics = trained.learn(96, likes_low)
    assert metrics["sqrt_kl"] == pytest.approx(math.sqrt(max(0.0, metrics["kl"])))
    assert metrics["true_return"] == pytest.approx(sum(float(s.true_reward.sum()) for s in segments) / 96)  # type: ignore[union-attr]
    assert metrics["predicted_return"] == pytest.approx(metrics["true_return"])  # `likes_low` is the gold standard


@pytest.mark.parametrize("lora", [False, True])
def test_the_kl_of_a_policy_that_moved_is_not_negative_beyond_chance(lora: bool) -> None:
    """Of 1,000 answers: the mean of k1 is at least -3 standard errors, and zero before the first step."""
    trained = learner(lm=with_lora(tiny(spread=3.0), rank=2, seed=0) if lora else tiny(spread=3.0))
    for moves in (0.0, 0.02, 0.2):
        with torch.no_grad():
            for weight in trained.policy.weights.values():
                weight.add_(moves * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
        acted = trained.policy.act(trained.prompts[:10], 100, torch.Generator().manual_seed(0), lambda: None)
        kl = (k1(acted.log_probs, trained.policy.reference_log_probs(acted.batch)) * acted.batch.mask).sum(dim=1)
        assert kl.mean() >= -3 * kl.std() / math.sqrt(1000) - 1e-6  # rounding
        assert (kl.abs().max() < 1e-3) == (moves == 0)


def test_a_rollout_learns_nothing_and_gives_answers_to_compare() -> None:
    trained = learner()
    before = {name: weight.clone() for name, weight in trained.policy.weights.items()}
    segments, metrics = trained.rollout(60)
    assert all(torch.equal(weight, before[name]) for name, weight in trained.policy.weights.items())
    assert len(segments) == 64 == metrics["steps"]  # whole batches of 32
    assert all(s.true_reward is not None and s.view is not None for s in segments)
    contexts = [(*s.context.tolist(), int(s.obs[0])) for s in segments]
    assert all(len(set(contexts[i : i + 4])) == 1 for i in range(0, 64, 4))  # four answers to each prompt


def test_a_value_function_knows_what_the_first_answers_earned_before_the_policy_learns() -> None:
    """Fitted, its error on new answers is far below their variance; unfitted, it says zero of all."""
    errors = {}
    for passes in (0, 16):
        trained = learner(value_epochs=passes, value_learning_rate=1e-2)
        trained.rollout(768)
        before = {name: weight.clone() for name, weight in trained.policy.weights.items()}
        trained._begin_critic(likes_low, torch.Generator().manual_seed(0))
        assert all(torch.equal(weight, before[name]) for name, weight in trained.policy.weights.items())
        assert trained._rolled == []
        acted = trained.policy.act(trained.prompts, 8, torch.Generator().manual_seed(1), lambda: None)
        earned = likes_low(acted.batch).sum(dim=1)
        assert trained._critic is not None
        # At the last token, before which nearly all is known.
        last = torch.arange(acted.batch.mask.shape[1]) == acted.batch.mask.sum(dim=1, keepdim=True) - 1
        said = critic_values(trained._critic, acted.batch, 32)[last]
        errors[passes] = float((said - earned).square().mean() / earned.square().mean())
    assert errors[0] == pytest.approx(1.0)
    assert errors[16] < 0.5, errors


def test_prompts_come_again_only_when_all_had_their_turn() -> None:
    trained = learner()
    segments, _ = trained.rollout(96)  # 24 prompts of 12
    counts: dict[str, int] = {}
    for s in segments[::4]:
        counts[s.view.prompt] = counts.get(s.view.prompt, 0) + 1  # type: ignore[union-attr]
    assert set(counts.values()) == {2}
    assert len(counts) == 12


# ---- learning --------------------------------------------------------------------------------------------------------


def gold_after(trained: TextLearner, reward: Callable[[SegmentBatch], Tensor] | None, answers: int = 1280) -> float:
    trained.learn(answers, reward)
    return trained.rollout(512).metrics["true_return"]


@pytest.mark.parametrize("algo", ["ppo", "rloo"])
def test_a_reward_is_learned_and_its_negative_is_unlearned(algo: Algorithm) -> None:
    """The sign test: Ziegler et al. 2019 once shipped the other one."""
    start = learner(algo).rollout(512).metrics["true_return"]
    assert gold_after(learner(algo), likes_low) > start + 0.15
    assert gold_after(learner(algo), lambda batch: -likes_low(batch)) < start - 0.15


@pytest.mark.slow
def test_the_gold_standard_pays_where_there_is_no_reward() -> None:
    assert gold_after(learner(), None) == gold_after(learner(), likes_low)
    with pytest.raises(PrefrlError, match="no gold standard"):
        learner(gold=lambda prompt, answer: math.nan).learn(32, None)


@pytest.mark.slow
def test_a_high_price_of_kl_holds_the_policy_to_its_reference() -> None:
    free, held = (learner(kl_coefficient=beta) for beta in (0.0, 2.0))
    moved = [trained.learn(960, likes_low).metrics["kl"] for trained in (free, held)]
    assert moved[1] < 0.5 * moved[0]


def test_the_coefficient_is_steered_to_its_target() -> None:
    low, high = (learner(kl_target=target, kl_horizon=320.0) for target in (1e-3, 1e3))
    for trained in (low, high):
        trained.learn(640, likes_low)
    assert low._coefficient > 0.05 > high._coefficient


def test_answers_learn_to_end() -> None:
    trained = learner(missing_end_penalty=3.0, gold=lambda prompt, answer: 0.0)
    before = trained.rollout(256).segments
    trained.learn(1280, lambda batch: torch.zeros(batch.mask.shape))
    after = trained.rollout(256).segments
    ended = [sum(int(s.act[-1]) == trained.policy.lm.end for s in segments) for segments in (before, after)]
    assert ended[1] > 1.5 * ended[0]


def test_dpo_learns_from_comparisons_without_a_reward() -> None:
    segments = learner().rollout(256).segments
    comparisons = [
        Comparison(pair, (1.0, 0.0) if count_gold("", a.view.answer) > count_gold("", b.view.answer) else (0.0, 1.0))  # type: ignore[union-attr]
        for i in range(0, 256, 4)
        for pair in ((segments[i], segments[i + 1]), (segments[i + 2], segments[i + 3]))
        for a, b in (pair,)
        if a.id != b.id
    ]
    trained = learner("dpo", comparisons=lambda: comparisons)
    start = trained.rollout(512).metrics["true_return"]
    assert gold_after(trained, likes_low, 1920) > start + 0.1
    unchanged = learner("dpo", comparisons=list)
    assert math.isnan(unchanged.learn(32, likes_low).metrics["policy_loss"])
    with pytest.raises(PrefrlError, match="DPO learns from comparisons"):
        learner("dpo")


@pytest.mark.slow
def test_documents_are_kept_in_mind() -> None:
    """PPO-ptx: the policy still models the documents, at the price of some reward."""
    from prefrl.text.supervised import mean_loss

    documents = blocks([[2, 5, 6, 7] * 50], length=12)
    plain, mixed = learner(), None
    losses = []
    for weight in (0.0, 1.0):
        mixed = TextLearner(
            tiny(0),
            plain.prompts,
            small(pretraining=weight),
            seed=0,
            check=lambda: None,
            gold=count_gold,
            documents=documents,
        )
        mixed.learn(640, likes_low)
        losses.append(mean_loss(mixed.policy.lm, documents, batch_size=8))
    assert losses[1] < losses[0] - 0.3


def test_the_average_of_the_weights_follows_them() -> None:
    assert moving_average(torch.tensor([1.0]), torch.tensor([2.0]), keep=0.75).item() == 1.25
    trained = learner(moving_average=0.0)
    trained.learn(32, likes_low)
    for name, weight in trainable(trained.policy.averaged().model).items():
        assert torch.equal(weight, trained.policy.weights[name])
    slow = learner(moving_average=0.999)
    start = {name: weight.detach().clone() for name, weight in slow.policy.weights.items()}
    slow.learn(64, likes_low)
    for name, weight in slow.policy.weights.items():
        away, moved = (slow.policy.average[name] - start[name]).norm(), (weight - start[name]).norm()
        assert away < 0.1 * moved or moved == 0


# ---- bad input -------------------------------------------------------------------------------------------------------


def test_what_cannot_work_is_said_at_once() -> None:
    def build(prompts: Sequence[Prompt], **settings: Any) -> TextLearner:
        return TextLearner(tiny(), prompts, small(**settings), seed=0, check=lambda: None)

    with pytest.raises(PrefrlError, match="no prompts to answer"):
        build([])
    with pytest.raises(PrefrlError, match=r"has 60 tokens; with 8 for the answer that is more than the 64"):
        build([Prompt("long", tuple(prompts_of([60])[0]))])
    with pytest.raises(PrefrlError, match="needs documents"):
        build([Prompt("p", (5,))], pretraining=1.0)
    for settings, reason in (
        ({"answers": 1}, "--answers must be at least 2"),
        ({"batch_size": 30, "minibatch_size": 10}, "30 answers does not divide into prompts with 4 answers"),
        ({"temperature": 0.0}, "--temperature must be above 0"),
        ({"minibatch_size": 64, "batch_size": 32}, "--minibatch-size must be between 1 and the batch size"),
    ):
        with pytest.raises(PrefrlError, match=reason):
            TextConfig(**settings)  # type: ignore[arg-type]


# ---- the same train as control ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Setting:
    """A run that takes a second or so."""

    algo: Algorithm
    lora: bool = False
    baseline: bool = False
    target: float | None = None

    def carry_out(self, folder: Path, change: Callable[[TextLearner, Run], None] | None = None) -> None:
        """Begin the run, or go on with it, as a new process would."""
        folder.mkdir(exist_ok=True)
        lm = with_lora(tiny(), rank=2, seed=0) if self.lora else tiny()
        ensemble = text_ensemble(lm, members=2)
        with PreferenceStore(folder / "preferences.db") as store:
            part = ensemble.net.trunks[0]  # type: ignore[union-attr,index]
            trained = learner(
                self.algo,
                lm=lm,
                comparisons=store.comparisons,
                critic_from=part,
                kl_target=self.target,  # type: ignore[arg-type]
            )
            run = Run(folder, seed=0, say=lambda row: None, stage=lambda words: None)
            config = LoopConfig(warmup_steps=32, steps_per_round=32, fit=FIT)
            if change is not None:
                change(trained, run)
            if self.baseline:
                return train_baseline(trained, ensemble, rounds=ROUNDS, config=config, run=run)
            train(
                trained,
                ensemble,
                store,
                Oracle(seed=0),
                plan=[8, 4, 4],
                acquisition=disagreement,
                config=config,
                run=run,
            )


SETTINGS = {
    "ppo": Setting("ppo", target=0.5),
    "rloo": Setting("rloo"),
    "dpo": Setting("dpo"),
    "lora": Setting("ppo", lora=True),
    "baseline": Setting("ppo", baseline=True),
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


def kill(where: str, round_: int) -> Callable[[TextLearner, Run], None]:
    """Make a run die at some place of a round."""

    def change(trained: TextLearner, run: Run) -> None:
        calls: list[int] = []
        owner, name = (trained, "_check") if where == "while learning" else (run, "save")
        real = getattr(owner, name)

        def dies(*args: Any, **kwargs: Any) -> Any:
            calls.append(1)
            if run.next_round == round_ and (where != "while learning" or (trained.steps > 32 and len(calls) % 9 == 0)):
                if where == "after saving":
                    real(*args, **kwargs)
                raise Killed
            return real(*args, **kwargs)

        setattr(owner, name, dies)

    return change


@pytest.mark.parametrize("name", SETTINGS)
def test_a_killed_run_comes_out_the_same(
    name: str, tmp_path: Path, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    setting = SETTINGS[name]
    for round_, where in ((0, "after saving"), (1, "before saving")):
        with pytest.raises(Killed):
            setting.carry_out(tmp_path / "run", kill(where, round_))
    setting.carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


def test_a_run_killed_while_it_learns_comes_out_the_same(
    tmp_path: Path, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    setting = SETTINGS["ppo"]
    with pytest.raises(Killed):
        setting.carry_out(tmp_path / "run", kill("while learning", 1))
    setting.carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


@pytest.fixture(scope="module")
def training() -> Iterator[Training]:
    with Training("from pathlib import Path; from test_text_learner import SETTINGS") as process:
        yield process


@pytest.mark.parametrize("seed", range(2))
def test_sigkill_at_any_moment(
    seed: int, tmp_path: Path, training: Training, uninterrupted: Callable[[Setting], dict[str, Any]]
) -> None:
    """Real processes, killed twice at random moments, then left to finish."""
    training.kill(
        f"SETTINGS['ppo'].carry_out(Path({str(tmp_path / 'run')!r}))", times=2, within=1.5, rng=random.Random(seed)
    )
    setting = SETTINGS["ppo"]
    setting.carry_out(tmp_path / "run")
    assert outcome(tmp_path / "run", ROUNDS) == uninterrupted(setting)


# ---- a tiny task, learned --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RandomLabels:
    """Answers by the parity of a question's name: nothing to learn."""

    def attend(self, store: PreferenceStore) -> None:
        def mu(query: Query) -> tuple[float, float]:
            first = int(query.id, 16) % 2 == int(query.options[0].id < query.options[1].id)
            return (1.0, 0.0) if first else (0.0, 1.0)

        store.answer_all([(q, mu(q)) for q in store.pending()], labeler="coin")


def taught(folder: Path, labeler: Labeler) -> tuple[float, float]:
    """Gold before and after 100 comparisons by a labeler, and 1,280 answers learned from."""
    folder.mkdir()
    lm = tiny()
    ensemble = text_ensemble(lm)
    trained = learner(lm=lm, critic_from=ensemble.net.trunks[0])  # type: ignore[union-attr,index,arg-type]
    fit = replace(FIT, first_epochs=6, updates=20, batch_size=16, noise=0.0)
    with PreferenceStore(folder / "preferences.db") as store:
        train(
            trained,
            ensemble,
            store,
            labeler,
            plan=[60, *[10] * 4],
            acquisition=disagreement,
            config=LoopConfig(warmup_steps=128, steps_per_round=256, fit=fit),
            run=Run(folder, seed=0, say=lambda row: None, stage=lambda words: None),
        )
        assert len(store) == 100
    return learner(lm=tiny()).rollout(512).metrics["true_return"], trained.rollout(512).metrics["true_return"]


def test_a_tiny_task_is_learned_from_comparisons_and_random_labels_teach_nothing(tmp_path: Path) -> None:
    before, after = taught(tmp_path / "oracle", Oracle(seed=0))
    assert after > before + 0.25
    # A reward without meaning may move the policy anywhere; up to the length of answers it gains nothing on gold.
    _, misled = taught(tmp_path / "coin", RandomLabels())
    assert misled < before + 0.5 * (after - before)


def test_the_vocabulary_of_these_tests() -> None:
    assert tiny().tokenizer(" ".join(WORDS[:5]))["input_ids"] == [2, 3, 4, 5, 6, 7]


def test_a_step_by_hand() -> None:
    """The gradient (3, 4) is clipped to length 1, and the step size rises over ten batches from a tenth."""
    p = nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([p], lr=9.0)
    for batches, share in ((0, 0.1), (5, 0.55), (10, 1.0), (99, 1.0)):
        with torch.no_grad():
            p.zero_()
        p.grad = torch.tensor([3.0, 4.0])
        take_step(optimizer, 2.0, batches, TextConfig())
        torch.testing.assert_close(p.detach(), -2.0 * share * torch.tensor([0.6, 0.8]))


def test_advantages_of_a_batch_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    def acted(log_probs: Tensor, ended: list[bool]) -> Any:
        b, t = log_probs.shape
        mask = torch.ones(b, t, dtype=torch.bool)
        batch = SegmentBatch(torch.zeros(b, t), torch.zeros(b, t), mask, torch.zeros(b, 0), mask[:, :0])
        return SimpleNamespace(batch=batch, log_probs=log_probs, ended=torch.tensor(ended))

    config = TextConfig("rloo", batch_size=2, minibatch_size=2, answers=2, missing_end_penalty=3.0, gae_lambda=0.5)
    policy: Any = SimpleNamespace(config=config, reference_log_probs=lambda batch: torch.tensor([[-3.0], [-2.0]]))
    # KL 2 and 0 at .5 each nat: 1 - 1 = 0 and 1, so -1 and 1 against the other.
    judged, said = improving.judge(
        policy, None, acted(torch.tensor([[-1.0], [-2.0]]), [True, True]), torch.ones(2, 1), coefficient=0.5
    )
    torch.testing.assert_close(judged.advantages, torch.tensor([[-1.0], [1.0]]))
    assert said["kl"] == 1.0
    # PPO: rewards 0, 4 + 3 - 3; values 1, 2; lambda .5: delta 1, 2, advantages 2, 2.
    monkeypatch.setattr(improving, "critic_values", lambda *_: torch.tensor([[1.0, 2.0], [0.0, 0.0]]))
    policy.reference_log_probs = lambda batch: torch.tensor([[-1.0, -1.0]] * 2)
    judged, _ = improving.judge(
        policy,
        object(),
        acted(torch.tensor([[-1.0, -1.0]] * 2), [False, True]),
        torch.tensor([[0.0, 7.0], [0.0, 0.0]]),
        coefficient=9.0,
    )  # type: ignore[arg-type]
    assert judged.returns is not None
    assert judged.returns.tolist() == [[3.0, 4.0], [0.0, 0.0]]
