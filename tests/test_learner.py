import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import ActorCriticPolicy
from worlds import ensemble, learner, parameters, small, sum_of_obs

from prefrl.control import algorithms
from prefrl.control.algorithms import default_config, discount, with_least_noise
from prefrl.control.buffers import PaidReplayBuffer, range_pull
from prefrl.control.clips import as_batch
from prefrl.control.evaluation import evaluate
from prefrl.control.learner import ControlLearner
from prefrl.control.tasks import Task, find_task
from prefrl.control.vector import RecordingVecEnv
from prefrl.segments import SegmentBatch
from prefrl.state_files import load_state, save_state

ALGOS = ("ppo", "trpo", "sac")


class Corridor(gymnasium.Env[np.ndarray, np.ndarray]):
    """Observes its step; the action space is not symmetric, and the true reward is 1 million a step."""

    def __init__(self) -> None:
        self.observation_space = spaces.Box(0.0, 1000.0, (1,), np.float32)
        self.action_space = spaces.Box(np.float32([-1.0, 2.0]), np.float32([0.5, 6.0]))
        self.took: list[np.ndarray] = []

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self.t = 0
        return np.zeros(1, np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self.t += 1
        self.took.append(action.copy())
        assert self.action_space.contains(action)
        return np.full(1, self.t, np.float32), 1e6, False, False, {}


@pytest.fixture
def corridor() -> Iterator[Task]:
    gymnasium.register("Corridor-v0", Corridor, max_episode_steps=20)
    yield Task("corridor", "Corridor-v0", clip_steps=5, episode_steps=20, fps=10.0)
    del gymnasium.registry["Corridor-v0"]


class Counted:
    """A reward function that counts its calls and keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[SegmentBatch] = []

    def __call__(self, batch: SegmentBatch) -> torch.Tensor:
        self.batches.append(batch)
        return batch.obs.sum(dim=-1) * batch.mask


@pytest.mark.parametrize("algo", ["ppo", "trpo"])
def test_the_reward_is_computed_once_a_rollout_never_once_a_step(algo: str) -> None:
    """BPref does three forward passes for every step of the environment."""
    counted = Counted()
    learner(algo).learn(300, counted)  # three rollouts of 2 x 50
    assert [tuple(batch.mask.shape) for batch in counted.batches] == [(2, 50)] * 3  # the log sums up what was paid


def test_sac_computes_rewards_once_a_minibatch() -> None:
    counted = Counted()
    learner("sac").learn(20, counted)
    assert [len(batch) for batch in counted.batches] == [25] * 20 + [2]


@pytest.mark.parametrize("algo", ALGOS)
def test_the_reward_function_sees_actions_as_the_environment_took_them(algo: str, corridor: Task) -> None:
    """Not the unclipped ones of the policy's Gaussian, nor SAC's in [-1, 1]."""
    counted = Counted()
    trained = learner(algo, corridor, initial_log_std=1.0)
    trained.learn(100, counted)
    took = {env.unwrapped.took[t].tobytes() for env in trained.venv.envs for t in range(50)}  # type: ignore[attr-defined]
    for batch in counted.batches:
        seen = batch.act.flatten(0, 1).numpy()
        if algo == "sac" and len(batch) == 25:  # there and back again in floating point
            taken = np.array([np.frombuffer(t, np.float32) for t in took])
            assert all(np.abs(taken - action).max(axis=1).min() < 1e-5 for action in seen)
        else:
            assert {action.tobytes() for action in seen} <= took


@pytest.mark.parametrize("algo", ["ppo", "trpo"])
def test_pay_arrives_before_advantages_and_keeps_the_value_of_cut_off_states(algo: str, corridor: Task) -> None:
    """By hand: (reward - mean) / scale, plus gamma V(last observation) where a time limit ended an episode."""
    trained = learner(algo, corridor, entropy_bonus=0.0, range_charge=0.0)
    trained.model._setup_learn(10**6, trained._check)  # as `learn` does
    trained._check.init_callback(trained.model)
    record_values: list[float] = []
    predict_values = trained.model.policy.predict_values

    def noting(obs: torch.Tensor) -> torch.Tensor:
        values = predict_values(obs)
        record_values.extend(values.flatten().tolist())
        return values

    trained.venv.restart(0, 50)
    trained.model._last_obs = trained.venv.reset()
    trained._reward = sum_of_obs
    trained.model.policy.predict_values = noting  # type: ignore[method-assign]
    buffer = trained.model.rollout_buffer
    trained.model.collect_rollouts(trained.venv, trained._check, buffer, n_rollout_steps=50)
    step = np.arange(50) % 20  # what the reward function sees before each action
    centered = step - step.mean()
    gamma = trained.config.gamma
    discounted, returns = 0.0, []
    for t in range(50):
        discounted = centered[t] + (0.0 if t % 20 == 0 else gamma * discounted)
        returns += [discounted, discounted]  # two environments, alike
    # The running variance began with weight 1e-4 at mean 0 and variance 1.
    variance = np.var(returns) * 100 / (100 + 1e-4) + np.mean(returns) ** 2 * 1e-4 * 100 / (100 + 1e-4) ** 2
    expected = np.repeat((centered / math.sqrt(variance))[:, None], 2, axis=1)
    cut_off = [19, 39]
    for place, t in enumerate(cut_off):
        expected[t] += gamma * np.array(record_values[2 * place : 2 * place + 2])
    np.testing.assert_allclose(buffer.rewards, expected, rtol=1e-4, atol=1e-6)
    # Advantages were computed from these rewards: the last step's is r + gamma V(next) - V.
    last = buffer.rewards[-1] + gamma * np.array(record_values[-2:]) - buffer.values[-1]
    np.testing.assert_allclose(buffer.advantages[-1], last, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("algo", ["ppo", "trpo"])
def test_an_episode_that_ends_by_itself_has_no_value_after_its_end(algo: str) -> None:
    """CartPole falls: no bootstrap there, so all that arrives is the reward, 1 / scale for all steps alike."""
    trained = learner(algo, find_task("CartPole-v1", clip_seconds=0.1))
    trained.learn(100, lambda batch: batch.mask.float())
    assert trained.venv.record().terminated.any()
    rewards = trained.model.rollout_buffer.rewards
    np.testing.assert_allclose(rewards, rewards.flat[0], rtol=1e-6)


@pytest.mark.parametrize("algo", ALGOS)
def test_learning_changes_the_policy_and_a_rollout_does_not(algo: str) -> None:
    trained = learner(algo)
    before = parameters(trained.model.policy)
    trained.rollout(100)
    assert parameters(trained.model.policy) == before
    experience = trained.learn(200, sum_of_obs)
    assert parameters(trained.model.policy) != before
    assert trained.steps == 300
    assert experience.metrics["steps"] == 300
    assert all(math.isfinite(value) for value in experience.metrics.values())
    assert all(torch.isfinite(value).all() for value in trained.model.policy.state_dict().values())


@pytest.mark.parametrize("algo", ALGOS)
def test_effort_differs_among_the_clips_of_the_warm_up(algo: str) -> None:
    task = find_task("pendulum", clip_seconds=1.5)

    def efforts(noise: float) -> np.ndarray:
        clips = learner(algo, task, varied_noise=noise).rollout(6000).segments
        return np.array([np.sqrt(np.square(clip.act).mean()) for clip in clips])

    same, varied = efforts(0.0), efforts(1.0)
    assert varied.std() / varied.mean() > 1.5 * same.std() / same.mean()
    assert varied.mean() < 0.9 * same.mean()  # three quarters of the noise on average
    np.testing.assert_array_equal(efforts(1.0), varied)


def test_half_of_the_warm_up_acts_with_all_of_its_noise(corridor: Task) -> None:
    """With next to nothing as the highest share, the other half acts by the mean."""
    trained, untouched = (learner("trpo", corridor, varied_noise=1e-9) for _ in range(2))
    trained.rollout(4000)
    record = trained.venv.record()
    mean, _ = untouched.model.predict(untouched.venv.normalized(record.obs).reshape(-1, 1), deterministic=True)
    still = np.isclose(record.act.reshape(-1, 2), mean, atol=1e-6).all(axis=1)
    assert 0.4 < still.mean() < 0.6


def test_the_noise_of_the_warm_up_stays_in_the_range_of_actions(corridor: Task) -> None:
    trained = learner("trpo", corridor, varied_noise=50.0)  # the environment asserts it
    trained.rollout(100)
    act = trained.venv.record().act
    assert set(np.unique(act[..., 0])) >= {-1.0, 0.5}
    assert act[..., 1].min() == 2.0


@pytest.mark.parametrize("task", ["pendulum", "moving-dot"])
@pytest.mark.parametrize("algo", ["ppo", "trpo", "a2c"])
def test_what_acting_leaves_out_is_computed_once_a_rollout(
    algo: str, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same is learned as with Stable-Baselines3's policy, which computes values at every step."""
    late, plain = learner(algo, find_task(task, clip_seconds=0.5)), learner(algo, find_task(task, clip_seconds=0.5))
    late.learn(300, sum_of_obs)
    monkeypatch.setattr(algorithms.VectorPolicy, "forward", ActorCriticPolicy.forward)
    plain.model.rollout_buffer.policy = None  # type: ignore[attr-defined]
    plain.learn(300, sum_of_obs)
    for name in ("actions", "values", "log_probs", "advantages"):
        ours, theirs = (getattr(each.model.rollout_buffer, name) for each in (late, plain))  # type: ignore[attr-defined]
        assert ours.std() > 0
        np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-3, err_msg=name)


def test_a_mean_beyond_the_range_of_actions_is_pulled_back() -> None:
    """Means 1.5 and -3 in [-1, 1] and [-2, 2] are .5 and -.5 half ranges beyond; the actions are 2 and -.5 std away."""
    low, high = torch.tensor([-1.0, -2.0]), torch.tensor([1.0, 2.0])
    means, stds = torch.tensor([[1.5, -3.0], [0.9, 2.0]]), torch.tensor([[0.1, 2.0], [0.1, 2.0]])
    actions = means + torch.tensor([[0.2, -1.0], [5.0, 5.0]])
    pull = range_pull(actions, means, stds, low, high)
    np.testing.assert_allclose(pull, [0.5 * 2.0 + -0.5 * -0.5, 0.0], rtol=1e-5)


def test_the_pull_moves_means_and_leaves_stds_alone() -> None:
    """Its policy gradient, from many actions: the mean falls by (beyond / std), whatever the std, which stays."""
    noise = torch.randn(200_000, 1, generator=torch.Generator().manual_seed(0))
    for std in (0.05, 0.8):
        mean, log_std = torch.tensor([1.5], requires_grad=True), torch.tensor([math.log(std)], requires_grad=True)
        gaussian = torch.distributions.Normal(mean, log_std.exp())
        actions = 1.5 + std * noise
        low, high = torch.tensor([-1.0]), torch.tensor([1.0])
        with torch.no_grad():
            advantages = -range_pull(actions, gaussian.mean, gaussian.stddev, low, high)
        (advantages * gaussian.log_prob(actions)[:, 0]).mean().backward()
        np.testing.assert_allclose(mean.grad * std, -0.5, rtol=0.02)
        np.testing.assert_allclose(log_std.grad, 0.0, atol=0.01)


def test_trpo_s_advantages_carry_entropy_and_range(corridor: Task) -> None:
    plain = learner("trpo", corridor, entropy_bonus=0.0, range_charge=0.0)
    charged = learner("trpo", corridor, entropy_bonus=0.1, range_charge=0.5)
    for trained in (plain, charged):
        with torch.no_grad():
            trained.model.policy.action_net.bias.copy_(torch.tensor([9.0, 4.0]))  # in [-1, .5] and [2, 6]
        trained.learn(trained.config.num_envs * trained.config.rollout_steps, sum_of_obs)
    first, second = (trained.model.rollout_buffer for trained in (plain, charged))
    np.testing.assert_array_equal(first.actions, second.actions)
    np.testing.assert_array_equal(first.returns, second.returns)  # the value function learns from rewards alone
    assert first.log_probs.std() > 0
    # The last layer's weights begin at almost nothing, so that its bias is the mean: (9 - .5) / .75 half ranges beyond.
    pull = 8.5 / 0.75 * (second.actions[:, :1] - 9.0) / math.exp(-0.5)
    normal = (first.advantages - first.advantages.mean()) / first.advantages.std()
    expected = normal - 0.1 / 2 * first.log_probs - 0.5 * pull  # the entropy is that of one of two dimensions
    assert np.abs(second.advantages - expected).max() < 0.02 * expected.std()


def test_the_least_noise_is_a_share_of_half_the_range() -> None:
    """In [-1, 1] and [2, 6] it is .2 of 1 and .2 of 2."""
    low, high = torch.tensor([-1.0, 2.0]), torch.tensor([1.0, 6.0])
    small, large = torch.tensor([0.1, 0.1]).log(), torch.tensor([0.3, 0.5]).log()
    np.testing.assert_allclose(with_least_noise(small, low, high, 0.2).exp(), [0.2, 0.4], rtol=1e-6)
    np.testing.assert_array_equal(with_least_noise(large, low, high, 0.2), large)
    np.testing.assert_array_equal(with_least_noise(small, low, high, 0.0), small)


@pytest.mark.parametrize(("least", "stds"), [(0.4, [0.3, 0.8]), (0.0, [0.01, 0.01])])
def test_a_policy_keeps_the_least_noise_at_every_step_it_learns_from(
    corridor: Task, least: float, stds: list[float]
) -> None:
    """In [-1, .5] and [2, 6] .4 of the halves .75 and 2 is .3 and .8."""
    trained = learner("trpo", corridor, least_noise=least, range_charge=0.0)
    with torch.no_grad():
        trained.model.policy.log_std.fill_(math.log(0.01))
        trained.model.policy.action_net.bias.copy_(torch.tensor([0.0, 4.0]))
    trained.learn(trained.config.num_envs * trained.config.rollout_steps, sum_of_obs)
    actions = trained.model.rollout_buffer.actions.reshape(-1, 2)
    np.testing.assert_allclose(actions.std(axis=0), stds, rtol=0.25)


@pytest.mark.parametrize("algo", ALGOS)
def test_steps_are_rounded_up_to_whole_rollouts(algo: str) -> None:
    trained = learner(algo)
    trained.learn(151, sum_of_obs)
    assert trained.steps == (152 if algo == "sac" else 200)


@pytest.mark.parametrize("algo", ALGOS)
def test_save_and_load_go_on_exactly(algo: str, tmp_path: Path) -> None:
    """Warm-up, save, load in a new process's learner, learn: the same bytes as without the interruption."""
    first, second = learner(algo), learner(algo, seed=0)
    first.rollout(100)
    first.learn(100, sum_of_obs)
    (tmp_path / "a").mkdir()
    first.save(tmp_path / "a")
    second.load(tmp_path / "a")
    assert parameters(first.model.policy) == parameters(second.model.policy)
    assert second.steps == first.steps
    experiences = [each.learn(200, sum_of_obs) for each in (first, second)]
    assert parameters(first.model.policy) == parameters(second.model.policy)
    assert [s.id for s in experiences[0].segments] == [s.id for s in experiences[1].segments]
    assert experiences[0].metrics == experiences[1].metrics
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    first.save(tmp_path / "b")
    second.save(tmp_path / "c")
    for path in (tmp_path / "b").iterdir():
        assert path.read_bytes() == (tmp_path / "c" / path.name).read_bytes(), path.name


def test_a_checkpoint_from_before_rewards_were_centered_can_be_loaded(tmp_path: Path) -> None:
    old, new = learner("trpo"), learner("trpo")
    old.learn(100, None)
    old.save(tmp_path)
    state = load_state(tmp_path, "learner")
    del state["rewards"]
    save_state(tmp_path, "learner", state)
    new.load(tmp_path)
    assert parameters(new.model.policy) == parameters(old.model.policy)


def test_sac_keeps_all_that_it_replays_the_warm_up_too(tmp_path: Path) -> None:
    first, second = learner("sac"), learner("sac")
    first.rollout(40)
    for name in "012":
        first.learn(20, sum_of_obs)
        (tmp_path / name).mkdir()
        first.save(tmp_path / name)
    (tmp_path / "3").mkdir()
    first.save(tmp_path / "3")  # nothing new: nothing written twice
    second.load(tmp_path / "3")
    buffers = [each.model.replay_buffer for each in (first, second)]
    assert [buffer.size() for buffer in buffers] == [50, 50]
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        np.testing.assert_array_equal(getattr(buffers[0], name)[:50], getattr(buffers[1], name)[:50])
    files = sorted((tmp_path / "3").glob("replay-*.npz"))
    assert len(files) == 3
    assert files[0].samefile(tmp_path / "0" / files[0].name)  # one copy on the disk


def test_sac_relabels_whatever_it_samples() -> None:
    """A new reward function pays for old transitions: no stale rewards, however old."""
    trained = learner("sac")
    trained.learn(60, sum_of_obs)
    buffer = trained.model.replay_buffer
    assert isinstance(buffer, PaidReplayBuffer)
    np.random.seed(0)  # noqa: NPY002  Stable-Baselines3 samples with NumPy's global generator
    old = buffer.sample(200)
    np.testing.assert_allclose(old.rewards[:, 0], old.observations.sum(dim=1), rtol=1e-5)
    trained._reward = lambda batch: 7.0 - 2.0 * batch.act[..., 0]
    new = buffer.sample(200)
    np.testing.assert_allclose(new.rewards[:, 0], 7.0 - 2.0 * 3.0 * new.actions[:, 0], rtol=1e-5)  # acts in [-3, 3]


@pytest.mark.parametrize("algo", ALGOS)
def test_the_baseline_is_paid_the_true_reward(algo: str) -> None:
    trained = learner(algo)
    trained.learn(100, None)
    if algo == "sac":
        paid, scale = trained.model.replay_buffer.sample(100).rewards.numpy(), 1.0
        true = trained.venv.record().true_reward
        assert {round(float(r), 4) for r in paid.flat} <= {round(float(r), 4) for r in true.flat}
        return
    normalizer = trained._normalizer
    scale = math.sqrt(normalizer.scaler.var + 1e-8)
    record = trained.venv.record()
    paid = trained.model.rollout_buffer.rewards
    kept = ~record.last
    assert not normalizer.ends
    np.testing.assert_allclose(paid[kept], ((record.true_reward - normalizer.mean) / scale)[kept], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("algo", ALGOS)
def test_the_baseline_is_the_learned_reward_with_the_true_one_put_in(algo: str, corridor: Task) -> None:
    """Same learner, steps and seeds: a reward function that equals the true reward gives the same policy."""
    same = [learner(algo, corridor) for _ in range(2)]
    same[0].learn(200, None)
    same[1].learn(200, lambda batch: torch.full(batch.mask.shape, 1e6))
    assert parameters(same[0].model.policy) == parameters(same[1].model.policy)


def test_reward_statistics_do_not_grow_stale() -> None:
    """mrahtz's running statistics never forget; rewards that change scale are here recalibrated by the fit."""
    trained = learner("ppo")
    fitted = ensemble(trained)
    for scale in (1.0, 1000.0):
        with torch.no_grad():
            fitted.net.w3.mul_(scale)
        batch = as_batch(_experienced(trained))
        fitted.calibrate(batch)
        members = (fitted(batch) - fitted.shift[:, None, None]) / fitted.scale[:, None, None]
        torch.testing.assert_close(members.flatten(1).mean(dim=1), torch.zeros(2), atol=1e-4, rtol=0)
        torch.testing.assert_close(members.flatten(1).std(dim=1, correction=0), torch.ones(2), atol=1e-3, rtol=0)


def _experienced(trained: ControlLearner) -> Any:
    trained.rollout(100)
    return trained.venv.record()


def test_interruption_is_asked_at_every_step() -> None:
    class Stop(Exception):
        pass

    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 10:
            raise Stop

    task = find_task("moving-dot", clip_seconds=1.0)
    trained = ControlLearner(task, small("ppo"), seed=0, most_clips=10, check=check)
    with pytest.raises(Stop):
        trained.learn(200, sum_of_obs)
    assert calls == 10


def test_predicted_return_is_a_mean_over_episodes(corridor: Task) -> None:
    metrics = learner("ppo", corridor).learn(200, lambda batch: batch.mask.float()).metrics
    assert metrics["predicted_return"] == pytest.approx(200 / 10)  # 2 environments: 100 steps are 5 episodes of 20
    assert metrics["true_return"] == pytest.approx(20e6)
    assert math.isnan(metrics["reward_correlation"])  # nothing varies


def test_the_policy_s_own_pairs_are_measured_by_the_true_return() -> None:
    """A reward that is the true one puts them in order, its opposite in the opposite, and neither is learned from."""

    def true(batch: SegmentBatch) -> torch.Tensor:  # of the state before the move, so not quite
        return -batch.obs.abs().sum(dim=-1) * batch.mask

    for sign, bounds in ((1.0, (0.9, 1.0)), (-1.0, (0.0, 0.1))):
        metrics = learner("ppo").learn(400, lambda batch, sign=sign: sign * true(batch)).metrics  # type: ignore[misc]
        assert bounds[0] <= metrics["newest_accuracy"] <= bounds[1]
        assert sign * metrics["reward_clip_correlation"] > 0.9
    baseline = learner("ppo").learn(400, None).metrics
    assert math.isnan(baseline["newest_accuracy"])
    assert math.isnan(baseline["reward_clip_correlation"])


def test_evaluation_by_hand(corridor: Task) -> None:
    returns = evaluate(learner("ppo", corridor), corridor, episodes=3, seed=0)
    assert returns.tolist() == [20e6] * 3
    assert evaluate(None, corridor, episodes=2, seed=0).tolist() == [20e6] * 2


def test_evaluation_counts_one_episode_and_does_not_disturb_training() -> None:
    task = find_task("CartPole-v1", clip_seconds=0.1)
    trained = learner("ppo", task)
    trained.learn(100, sum_of_obs)
    before = trained.venv.record().obs.copy()
    returns = evaluate(trained, task, episodes=5, seed=1)
    assert returns.tolist() == evaluate(trained, task, episodes=5, seed=1).tolist()
    assert returns.max() < 500
    assert len(set(returns.tolist())) > 1  # each copy stops counting when its own pole falls
    np.testing.assert_array_equal(trained.venv.record().obs, before)
    assert isinstance(trained.venv, RecordingVecEnv)


def test_a_policy_looks_an_episode_ahead_and_a_hundred_steps_at_least() -> None:
    assert [discount(steps) for steps in (1000, 250, 100, 50)] == pytest.approx([0.999, 0.996, 0.99, 0.99])
    assert default_config("trpo", 1000).gamma == pytest.approx(0.999)
    assert default_config("ppo", 1000).gamma == default_config("sac", 1000).gamma == 0.99  # as measured
