import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

import prefrl_envs  # noqa: F401  registers the tasks

MUJOCO = ("Hopper", "Walker", "Swimmer", "Cheetah", "Ant", "Reacher", "Pendulum", "DoublePendulum")
WORLDS = (*MUJOCO, "MovingDot")


def make(name: str, **settings: Any) -> gymnasium.Env[Any, Any]:
    return gymnasium.make(f"prefrl/{name}-v0", disable_env_checker=True, **settings)


@pytest.mark.parametrize("name", WORLDS)
def test_gymnasium_s_own_check(name: str) -> None:
    env = make(name)
    with warnings.catch_warnings():
        # Advice about infinite bounds of observations, which Gymnasium's own models have too.
        warnings.filterwarnings("ignore", ".*Box observation space (minimum|maximum) value is.*")
        warnings.filterwarnings("ignore", ".*we recommend using a symmetric and normalized space.*")
        check_env(env.unwrapped, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("name", WORLDS)
def test_the_same_seed_and_actions_give_the_same_bytes(name: str) -> None:
    copies = [make(name) for _ in range(2)]
    copies[1].reset(seed=1)  # what came before does not matter
    for _ in range(3):
        copies[1].step(copies[1].action_space.sample())
    for env in copies:
        env.action_space.seed(0)
    seen = [[env.reset(seed=5)[0].tobytes()] for env in copies]
    for _ in range(30):
        for env, log in zip(copies, seen, strict=True):
            obs, reward, *_ = env.step(env.action_space.sample())
            log += [obs.tobytes(), np.float64(reward).tobytes()]
    assert seen[0] == seen[1]
    assert copies[0].reset(seed=6)[0].tobytes() != seen[0][0]


@pytest.mark.parametrize("name", WORLDS)
def test_nothing_ends_before_its_time_limit(name: str) -> None:
    """Hopper and walker fall, pendulums swing through: the paper removes every early end."""
    env = make(name)
    assert env.spec is not None
    limit = env.spec.max_episode_steps
    assert limit is not None
    env.action_space.seed(0)
    env.reset(seed=0)
    steps = min(limit, 200)
    for t in range(1, steps + 1):
        obs, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        assert not terminated
        assert truncated == (t == limit)
        assert np.isfinite(obs).all()
        assert np.isfinite(reward)
    if name in ("Hopper", "Walker"):  # it has fallen by now, and goes on
        assert env.unwrapped.data.qpos[1] < 0.8  # type: ignore[attr-defined]
    if name == "Pendulum":
        assert abs(env.unwrapped.data.qpos[1]) > 0.2  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "obs", "act", "bound"),
    [
        ("Hopper", 11, 3, 1.0),
        ("Walker", 17, 6, 1.0),
        ("Swimmer", 8, 2, 1.0),
        ("Cheetah", 17, 6, 1.0),
        ("Ant", 27, 8, 1.0),  # without 78 contact forces
        ("Reacher", 10, 2, 1.0),
        ("Pendulum", 4, 1, 3.0),
        ("DoublePendulum", 9, 1, 1.0),
    ],
)
def test_spaces(name: str, obs: int, act: int, bound: float) -> None:
    env = make(name)
    assert env.observation_space.shape == (obs,)
    assert isinstance(env.action_space, spaces.Box)
    assert env.action_space.low.tolist() == [-bound] * act
    assert env.action_space.high.tolist() == [bound] * act


def forward(d: Any, before: np.ndarray, dt: float) -> float:
    """m/s along x, of the root."""
    return float((d.qpos[0] - before[0]) / dt)


# The reward of each task, written out: positions and velocities after the step, positions before it, seconds per step.
FORMULAS = {
    "Hopper": (0.008, lambda d, before, dt: forward(d, before, dt) + 1.0 + (d.qpos[1] - 1.0)),
    "Walker": (0.008, lambda d, before, dt: forward(d, before, dt) + 1.0 + (d.qpos[1] - 2.0)),
    "Swimmer": (0.04, forward),
    "Cheetah": (0.05, forward),
    "Ant": (0.05, lambda d, before, dt: forward(d, before, dt) + (d.qpos[2] - 1.2)),
    "Reacher": (0.02, lambda d, before, dt: -np.linalg.norm(d.body("fingertip").xpos - d.body("target").xpos)),
    "Pendulum": (0.04, lambda d, before, dt: 1.0 - d.qpos[1] ** 2),
    "DoublePendulum": (
        0.05,
        lambda d, before, dt: (
            10.0
            - 0.01 * d.site("tip").xpos[0] ** 2
            - (d.site("tip").xpos[2] - 2.0) ** 2
            - 0.001 * d.qvel[1] ** 2
            - 0.005 * d.qvel[2] ** 2
            + 10.0 * (d.site("tip").xpos[2] - 1.0)
        ),
    ),
}


@pytest.mark.parametrize("name", MUJOCO)
def test_each_reward_term(name: str) -> None:
    env = make(name)
    env.action_space.seed(1)
    env.reset(seed=1)
    dt, formula = FORMULAS[name]
    simulator: Any = env.unwrapped
    assert simulator.dt == pytest.approx(dt)
    rewards = []
    for _ in range(20):
        before = simulator.data.qpos.copy()
        _, reward, *_ = env.step(env.action_space.sample())
        assert reward == pytest.approx(float(formula(simulator.data, before, dt)), rel=1e-9)
        rewards.append(reward)
    assert np.std(rewards) > 0


@pytest.mark.parametrize("name", ["Hopper", "Cheetah", "Ant"])
def test_torque_costs_nothing(name: str) -> None:
    """Who watches a clip cannot see it: from the same state, the reward hangs on the state reached alone."""
    env = make(name)
    env.reset(seed=0)
    simulator: Any = env.unwrapped
    before = simulator.data.qpos.copy()
    _, reward, *_ = env.step(env.action_space.high)
    dt, formula = FORMULAS[name]
    assert reward == pytest.approx(float(formula(simulator.data, before, dt)))


def test_moving_dot_by_hand() -> None:
    env = make("MovingDot")
    env.reset(seed=0)
    env.unwrapped._dot = np.array([0.25, -0.95], np.float32)  # type: ignore[attr-defined]
    for action, x, y in ((0, 0.25, -0.95), (1, 0.15, -0.95), (2, 0.25, -0.95), (3, 0.25, -1.0), (4, 0.25, -0.9)):
        obs, reward, terminated, truncated, _ = env.step(action)
        np.testing.assert_allclose(obs, [x, y], atol=1e-6)  # the wall at -1 stops it
        assert reward == pytest.approx(-abs(x) - abs(y), abs=1e-6)
        assert not terminated
        assert not truncated


def straight_to_the_middle(obs: np.ndarray) -> int:
    """The best policy: shorten the longer way while that helps."""
    x, y = obs
    if max(abs(x), abs(y)) <= 0.05:
        return 0
    return (1 if x > 0 else 2) if abs(x) > abs(y) else (3 if y > 0 else 4)


def test_moving_dot_can_be_learned() -> None:
    """Random earns about -50, the best about -6: between them is what a learner can show."""
    env = make("MovingDot")
    env.action_space.seed(0)
    returns: dict[str, list[float]] = {"random": [], "best": []}
    for policy, log in returns.items():
        for episode in range(100):
            obs, _ = env.reset(seed=episode)
            total, done = 0.0, False
            while not done:
                action = env.action_space.sample() if policy == "random" else straight_to_the_middle(obs)
                obs, reward, _, done, _ = env.step(action)
                total += float(reward)
            log.append(total)
    assert -58 < np.mean(returns["random"]) < -46
    assert -10 < np.mean(returns["best"]) < -5


def test_moving_dot_draws_where_it_is() -> None:
    env = make("MovingDot", render_mode="rgb_array")
    env.reset(seed=0)
    for x, y in ((-1.0, -1.0), (1.0, 1.0), (0.0, 0.5)):
        env.unwrapped._dot = np.array([x, y], np.float32)  # type: ignore[attr-defined]
        frame: Any = env.render()
        rows, columns = np.nonzero((frame == (230, 159, 0)).all(axis=-1))
        assert len(rows) == 36
        assert columns.mean() / 99 * 2 - 1 == pytest.approx(x, abs=0.1)
        assert 1 - rows.mean() / 99 * 2 == pytest.approx(y, abs=0.1)
