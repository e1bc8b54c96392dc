from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from worlds import Counter, makes

from prefrl.control.tasks import find_task
from prefrl.control.vector import RecordingVecEnv
from prefrl.errors import PrefrlError


def venv_of(make: Callable[[], Any], num_envs: int = 2, *, normalize: bool = False, steps: int = 50) -> RecordingVecEnv:
    venv = RecordingVecEnv(make, num_envs, normalize=normalize)
    venv.restart(0, steps)
    venv.reset()
    return venv


def walk(venv: RecordingVecEnv, steps: int) -> list[tuple[Any, ...]]:
    """Actions are .01 t in the first environment, .01 t + .005 in the second, ..."""
    return [
        venv.step(np.array([[0.01 * t + 0.005 * i] for i in range(venv.num_envs)], np.float32)) for t in range(steps)
    ]


def test_the_reward_is_always_zero_and_the_true_one_travels_aside() -> None:
    venv = venv_of(makes(limit=None))
    for t, (_, rewards, _, infos) in enumerate(walk(venv, 10)):
        assert rewards.tolist() == [0, 0]
        assert [info["true_reward"] for info in infos] == [t + 1, t + 1]
    assert venv.record().true_reward.tolist() == [[t + 1] * 2 for t in range(10)]


def test_everything_that_happened_is_recorded() -> None:
    venv = venv_of(makes(limit=4))
    walk(venv, 10)
    record = venv.record()
    assert len(record) == 10
    for env in range(2):
        seen = [(env, t // 4, t % 4) for t in range(10)]  # copy, episode, step
        assert [tuple(obs) for obs in record.obs[:, env].astype(int)] == seen
        # What came after an action is the last of its own episode, never the first of the next.
        assert [tuple(obs) for obs in record.next_obs[:, env].astype(int)] == [(c, e, t + 1) for c, e, t in seen]
        assert record.act[:, env, 0] == pytest.approx([0.01 * t + 0.005 * env for t in range(10)])
        assert record.first[:, env].tolist() == [t % 4 == 0 for t in range(10)]
        assert record.last[:, env].tolist() == [t % 4 == 3 for t in range(10)]
        assert not record.terminated.any()
    assert record.states is None
    assert venv.finished == [10.0, 10.0, 410.0, 410.0]  # true returns: 1 + 2 + 3 + 4, then 100 more a step


def test_time_limit_and_own_end_are_told_apart() -> None:
    """Only where a time limit cut an episode off has what followed a value."""
    for make, cut_off in ((makes(limit=5), True), (makes(limit=5, ends=3), False), (makes(limit=3, ends=3), False)):
        venv = venv_of(make)
        steps = walk(venv, 5)
        end = next(t for t, (_, _, dones, _) in enumerate(steps) if dones.any())
        obs, _, dones, infos = steps[end]
        assert dones.all()
        assert [info["TimeLimit.truncated"] for info in infos] == [cut_off, cut_off]
        assert [info["terminal_observation"].tolist() for info in infos] == [[i, 0, end + 1] for i in range(2)]
        assert obs.tolist() == [[i, 1, 0] for i in range(2)]  # the next episode has begun
        assert venv.record().terminated[end].tolist() == [not cut_off] * 2
        assert all("terminal_observation" not in info for info in steps[0][3])


def test_newest_steps_of_the_record() -> None:
    venv = venv_of(makes(limit=None))
    walk(venv, 7)
    assert venv.record(newest=3).true_reward[:, 0].tolist() == [5, 6, 7]
    assert len(venv.record(newest=0)) == 0
    venv.restart(0, 20)
    assert len(venv.record()) == 0
    assert venv.finished == []


def test_the_normalizer_by_hand() -> None:
    venv = venv_of(makes(limit=None), 1, normalize=True)
    walk(venv, 5)
    # Statistics stand still during a rollout: nothing known yet, so mean 0, deviation 1, and clipped at 10.
    assert venv.normalized(np.array([3.0, -4.0, 70.0])) == pytest.approx([3.0, -4.0, 10.0])
    venv.update_normalizer(5)
    known = np.arange(5)  # the third number of what was observed before each of the five actions
    expected = (7 - known.mean()) / known.std()
    assert venv.normalized(np.array([0.0, 0.0, 7.0], np.float32))[2] == pytest.approx(expected, rel=1e-3)
    assert venv.normalized(np.array([0.0, 0.0, 1e6], np.float32))[2] == 10.0
    before = venv.normalized(np.ones(3, np.float32))
    venv.update_normalizer(0)  # nothing new: nothing changes, and no NaN
    assert venv.normalized(np.ones(3, np.float32)).tolist() == before.tolist()
    assert venv.record().obs[:, 0, 2].tolist() == [0, 1, 2, 3, 4]  # the record has what the environment gave


def test_float64_observations_reach_the_policy_as_float32() -> None:
    """MuJoCo's observations are float64, and torch would convert them at each step."""
    venv = venv_of(find_task("pendulum", clip_seconds=1.5).make, normalize=True)
    obs, *_ = walk(venv, 1)[0]
    assert obs.dtype == venv.observation_space.dtype == np.float32


def test_simulator_states_are_those_before_each_action() -> None:
    venv = venv_of(find_task("hopper", clip_seconds=1.5).make, 2)
    simulators: Any = [env.unwrapped for env in venv.envs]
    expected = []
    for _ in range(5):
        expected.append([np.concatenate([s.data.qpos, s.data.qvel]) for s in simulators])
        venv.step(np.full((2, 3), 0.3, np.float32))
    np.testing.assert_array_equal(venv.record().states, expected)


def test_restart_repeats_itself() -> None:
    venv = venv_of(find_task("moving-dot", clip_seconds=1.5).make, 3)
    firsts = []
    for seed in (1, 1, 2):
        venv.restart(seed, 100)
        firsts.append([venv.reset().tolist()])
        firsts[-1] += [venv.step(np.zeros(3, np.int64))[0].tolist() for _ in range(60)]  # beyond one episode
    assert firsts[0] == firsts[1]
    assert firsts[0] != firsts[2]
    assert len({tuple(obs) for obs in firsts[0][0]}) == 3  # each copy has a seed of its own


class Broken(Counter):
    """Gives something that is not finite at one step."""

    what: str = "observation"
    value: float = np.nan
    ends_there: bool = False

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        obs, reward, _, truncated, info = super().step(action)
        if self.t == 4 and self.what == "observation":
            obs[1] = self.value
        if self.t == 4 and self.what == "reward":
            reward = self.value
        return obs, reward, self.t == 4 and self.ends_there, truncated, info


@pytest.mark.parametrize("what", ["observation", "reward"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("ends_there", [False, True])
def test_what_is_not_finite_is_refused(what: str, value: float, ends_there: bool) -> None:
    """Also in the last observation of an episode, which only a value function would see."""
    gymnasium.register("Broken-v0", Broken)
    try:

        def make() -> gymnasium.Env[Any, Any]:
            env = gymnasium.make("Broken-v0", disable_env_checker=True)
            broken: Any = env.unwrapped
            broken.what, broken.value, broken.ends_there = what, value, ends_there
            return env

        venv = venv_of(make)
        walk(venv, 3)
        with pytest.raises(PrefrlError, match=f"Broken-v0 gave an? {what} with NaN or infinity at step 3"):
            walk(venv, 1)
    finally:
        del gymnasium.registry["Broken-v0"]


def test_a_first_observation_that_is_not_finite() -> None:
    class Never(Counter):
        def reset(self, **settings: Any) -> tuple[np.ndarray, dict[str, Any]]:
            return np.full(3, np.nan, np.float32), {}

    with pytest.raises(PrefrlError, match=r"gave an observation with NaN or infinity at step 0"):
        venv_of(Never)


def test_stable_baselines3_s_remaining_interface() -> None:
    venv = venv_of(makes(limit=None))
    assert venv.get_attr("render_mode") == [None, None]
    assert venv.env_is_wrapped(gymnasium.Wrapper) == [False, False]
    venv.close()
