import warnings
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.utils.env_checker import check_env

import prefrl_envs  # noqa: F401  registers the tasks

MUJOCO = ("Hopper", "Walker", "Swimmer", "Cheetah", "Ant", "Reacher", "Pendulum", "DoublePendulum")
NEW = ("HopperBackflip", "CheetahOneLeg")
WORLDS = (*MUJOCO, *NEW, "MovingDot")


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
    if name in ("Hopper", "Walker", "HopperBackflip"):  # it has fallen by now, and goes on
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
        ("HopperBackflip", 12, 3, 1.0),
        ("CheetahOneLeg", 17, 6, 1.0),
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


def center_of_mass(d: Any) -> np.ndarray:
    return np.asarray(d.model.body_mass @ d.xipos / d.model.body_mass.sum())


def clearance(d: Any, *parts: str) -> float:
    """m from the ground to the lowest end of the capsules `parts`."""
    ends = []
    for part in parts:
        radius, half = d.model.geom(part).size[:2]
        middle, axis = d.geom(part).xpos, d.geom(part).xmat.reshape(3, 3) @ [0.0, 0.0, half]
        ends += [(middle + axis)[2] - radius, (middle - axis)[2] - radius]
    return float(min(ends))


def on_one_leg(d: Any, before: np.ndarray, dt: float) -> float:
    up = clearance(d, "torso", "head", "fthigh", "fshin", "ffoot") / 0.3
    return (1 + min(forward(d, before, dt), 3.0)) * min(max(up, 0.0), 1.0)


# The reward of each task, written out: positions and velocities after the step, positions before it, seconds per step.
FORMULAS = {
    "Hopper": (0.008, lambda d, before, dt: forward(d, before, dt) + 1.0 + (d.qpos[1] - 1.0)),
    "Walker": (0.008, lambda d, before, dt: forward(d, before, dt) + 1.0 + (d.qpos[1] - 2.0)),
    "Swimmer": (0.04, forward),
    "Cheetah": (0.05, forward),
    "HopperBackflip": (0.008, lambda d, before, dt: -d.qvel[2] * max(center_of_mass(d)[2] - 0.3, 0.0)),
    "CheetahOneLeg": (0.05, on_one_leg),
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


@pytest.mark.parametrize("name", [*MUJOCO, *NEW])
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


def paid_at(name: str, qpos: dict[int, float], qvel: dict[int, float], *, settle: int = 0) -> tuple[float, np.ndarray]:
    """Reward and observation of a step without torque from the first position and velocity with these changes."""
    env = make(name)
    simulator: Any = env.unwrapped
    simulator.reset(seed=0)
    position, velocity = simulator.init_qpos.copy(), simulator.init_qvel.copy()
    position[list(qpos)], velocity[list(qvel)] = list(qpos.values()), list(qvel.values())
    simulator.set_state(position, velocity)
    for _ in range(settle):
        simulator.step(np.zeros(simulator.action_space.shape))
    obs, reward, *_ = simulator.step(np.zeros(simulator.action_space.shape))
    env.close()
    return float(reward), obs


def test_a_backward_flip_is_up_and_backward() -> None:
    x, z, pitch = range(3)
    up, down = {z: 2.0}, {z: 0.1, pitch: -np.pi / 2}
    assert paid_at("HopperBackflip", up, {pitch: -6.0})[0] > 4  # backward is against the pitch
    assert paid_at("HopperBackflip", up, {pitch: 6.0})[0] < -4
    assert paid_at("HopperBackflip", up, {x: 3.0})[0] == pytest.approx(0.0, abs=0.1)
    assert paid_at("HopperBackflip", down, {pitch: -6.0})[0] == 0


def test_after_a_flip_the_world_looks_as_before() -> None:
    z, pitch = 1, 2
    once, again = ({z: 2.0, pitch: angle} for angle in (0.4, 0.4 - 4 * np.pi))
    seen = paid_at("HopperBackflip", once, {pitch: -6.0})[1]
    np.testing.assert_allclose(paid_at("HopperBackflip", again, {pitch: -6.0})[1], seen, atol=1e-6)
    assert seen[1] ** 2 + seen[2] ** 2 == pytest.approx(1.0)


def test_only_the_hind_leg_may_touch_the_ground() -> None:
    x, z, pitch = range(3)
    reared = {z: 0.2, pitch: -1.0}
    assert paid_at("CheetahOneLeg", {}, {x: 2.0}, settle=10)[0] < 0.2  # on both feet
    assert paid_at("CheetahOneLeg", reared, {})[0] == pytest.approx(1.0, abs=0.3)
    assert 2 < paid_at("CheetahOneLeg", reared, {x: 2.0})[0] < 3.5
    assert paid_at("CheetahOneLeg", reared, {x: 9.0})[0] == pytest.approx(4.0)  # fast enough
    assert paid_at("CheetahOneLeg", {pitch: np.pi}, {x: 2.0}, settle=30)[0] < 0.2  # on its back, both legs up


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
