"""How good a policy is, by the true reward, in episodes that it never trained on."""

import numpy as np
import torch

from prefrl.control.learner import ControlLearner
from prefrl.control.tasks import Task


def evaluate(learner: ControlLearner | None, task: Task, *, episodes: int, seed: int) -> np.ndarray:
    """[episodes] true returns of fresh episodes of the policy; without learner of a random one.

    It acts deterministically, but in games as it learned to, with its noise: there without it some never end. An
    episode ends by its time limit at the latest, or where there is none after `task.longest` steps.
    """
    venv = task.vector(episodes, normalize=False, endless=False)
    try:
        venv.restart(seed, 1)
        venv.action_space.seed(seed)
        torch.manual_seed(seed)
        obs = venv.reset()
        alive = np.ones(episodes, np.bool_)
        returns = np.zeros(episodes)
        for _ in range(task.longest):
            if learner is None:
                actions = np.array([venv.action_space.sample() for _ in range(episodes)])
            else:
                actions, _ = learner.model.predict(learner.venv.normalized(obs), deterministic=task.deterministic)
            venv.step_async(actions)
            obs, _, dones, _ = venv.step_wait()
            returns += venv.record().true_reward[0] * alive
            venv.forget()
            alive &= ~dones
            if not alive.any():
                break
        return returns
    finally:
        venv.close()
