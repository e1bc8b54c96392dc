"""How good a learned reward is where the policy that it made acts: measured by the true reward, never trained on."""

import math

import numpy as np
import torch
from gymnasium.envs.mujoco import MujocoEnv

from prefrl.choice import pairs_ordered_alike
from prefrl.control.clips import cut, transitions
from prefrl.control.learner import ControlLearner
from prefrl.control.tasks import Task
from prefrl.control.vector import Record
from prefrl.ensemble import RewardEnsemble
from prefrl.labelers import true_reward
from prefrl.measuring import canonically_shaped, correlation, epic_distance, every_pair, reliability
from prefrl.segments import collate

ENVIRONMENTS, STEPS = 4, 1000  # of the policy acting with its noise
CLIPS = 300  # at most; all their pairs are counted
TRANSITIONS, ACTIONS = 256, 16  # that the EPIC distance is estimated from


def assess(learner: ControlLearner, ensemble: RewardEnsemble, *, seed: int) -> dict[str, float]:
    """The reward against the true one on fresh experience of the policy; NaN where it cannot be measured.

    `policy_accuracy` and `policy_calibration_error` are of all pairs of clips, `clip_correlation` is that of their
    returns. `epic_distance` is of the rewards as functions of state and action (Gleave et al. 2021), only for
    Gymnasium's MuJoCo environments, whose true reward can be asked anywhere. Its transitions, and the states and
    actions that are averaged over, are the policy's own: they say how right the reward is there, and nothing about
    where it never goes.
    """
    rng = np.random.default_rng(seed)
    # In whatever is long enough for two clips of each environment.
    steps = max(STEPS, 2 * learner.task.clip_steps)
    record = experience(learner, steps, seed=int(rng.integers(2**31)))
    clips = cut(record, learner.task, rng, most=CLIPS)
    true = np.array([true_reward(clip).sum() for clip in clips])
    with torch.no_grad():
        batch = collate(clips)
        returns, paid = ensemble.returns(batch).double().numpy(), ensemble.reward(batch).sum(dim=1).double().numpy()
    return {
        "policy_accuracy": pairs_ordered_alike(torch.from_numpy(paid), torch.from_numpy(true)),
        "policy_calibration_error": reliability(*every_pair(returns, true))[1],
        "clip_correlation": correlation(paid, true),
        "epic_distance": epic(record, learner.task, ensemble, gamma=learner.config.gamma, rng=rng),
    }


def experience(learner: ControlLearner, steps: int, *, seed: int) -> Record:
    """What the policy does, with its noise, in environments of its own, each for so many steps.

    The learner stays as it is.
    """
    venv = learner.task.vector(ENVIRONMENTS, normalize=False)
    try:
        venv.restart(seed, steps)
        torch.manual_seed(seed)
        obs = venv.reset()
        for _ in range(steps):
            actions, _ = learner.model.predict(learner.venv.normalized(obs), deterministic=False)
            venv.step_async(actions)
            obs = venv.step_wait()[0]
        return venv.record()
    finally:
        venv.close()


def epic(record: Record, task: Task, ensemble: RewardEnsemble, *, gamma: float, rng: np.random.Generator) -> float:
    """The EPIC distance of the learned and the true reward on transitions of a record; NaN where it cannot be had."""
    states = record.states
    if states is None:
        return math.nan
    env = task.make()
    try:
        simulator = env.unwrapped
        if not isinstance(simulator, MujocoEnv):
            return math.nan
        within = np.argwhere(~record.last[:-1])  # an episode goes on, so that the next state is in the record
        t, n = within[rng.choice(len(within), min(TRANSITIONS, len(within)), replace=False)].T
        actions = record.act[rng.integers(len(record), size=ACTIONS), rng.integers(record.act.shape[1], size=ACTIONS)]
        env.reset(seed=0)
        true = canonically_shaped(
            record.true_reward[t, n],
            *(_true(simulator, states[at, n], actions) for at in (t, t + 1)),
            gamma=gamma,
        )
        learned = canonically_shaped(
            _learned(ensemble, record.obs[t, n], record.act[t, n]),
            *(_learned_of_all(ensemble, record.obs[at, n], actions) for at in (t, t + 1)),
            gamma=gamma,
        )
    finally:
        env.close()
    return epic_distance(learned, true)


def _true(simulator: MujocoEnv, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """[n, m] what the simulator pays for each of m actions in each of n states [n, nq + nv]."""
    paid = np.empty((len(states), len(actions)))
    for i, state in enumerate(states):
        for j, action in enumerate(actions):
            simulator.set_state(state[: simulator.model.nq], state[simulator.model.nq :])  # type: ignore[no-untyped-call]
            paid[i, j] = simulator.step(action)[1]
    return paid


def _learned_of_all(ensemble: RewardEnsemble, obs: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """[n, m] what is paid for each of m actions at each of n observations."""
    each = _learned(ensemble, obs.repeat(len(actions), axis=0), np.concatenate([actions] * len(obs)))
    return each.reshape(len(obs), len(actions))


def _learned(ensemble: RewardEnsemble, obs: np.ndarray, act: np.ndarray) -> np.ndarray:
    """[n] what is paid for actions [n, *act] at observations [n, *obs]."""
    return ensemble.reward(transitions(obs, act))[:, 0].double().numpy()
