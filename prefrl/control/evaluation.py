"""How good a policy is, by the true reward, in episodes that it never trained on."""

import numpy as np

from prefrl.control.learner import ControlLearner
from prefrl.control.tasks import Task
from prefrl.control.vector import RecordingVecEnv


def evaluate(learner: ControlLearner | None, task: Task, *, episodes: int, seed: int) -> np.ndarray:
    """[episodes] true returns of fresh episodes of the policy, acting deterministically; without learner a random one.

    An episode without a time limit is cut at 1,000 steps.
    """
    venv = RecordingVecEnv(task.make, episodes, normalize=False)
    try:
        steps = task.episode_steps or 1000
        venv.restart(seed, steps)
        venv.action_space.seed(seed)
        obs = venv.reset()
        alive = np.ones(episodes, np.bool_)
        returns = np.zeros(episodes)
        for _ in range(steps):
            if learner is None:
                actions = np.array([venv.action_space.sample() for _ in range(episodes)])
            else:
                actions, _ = learner.model.predict(learner.venv.normalized(obs), deterministic=True)
            venv.step_async(actions)
            obs, _, dones, _ = venv.step_wait()
            returns += venv.record(newest=1).true_reward[0] * alive
            alive &= ~dones
            if not alive.any():
                break
        return returns
    finally:
        venv.close()
