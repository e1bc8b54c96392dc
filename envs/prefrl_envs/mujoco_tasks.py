"""The eight MuJoCo tasks of Christiano et al. 2017 (appendix A.1) on Gymnasium's v5 models.

No task ends early: where Gymnasium would stop, a penalty stays that the agent must learn. Torque penalties are gone,
because a person who watches a clip cannot see them. Reward terms follow `rl-teacher` (nottombrown/rl-teacher,
rl_teacher/envs.py).
"""

from typing import Any

import numpy as np
from gymnasium.envs.mujoco.ant_v5 import AntEnv
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv
from gymnasium.envs.mujoco.inverted_double_pendulum_v5 import InvertedDoublePendulumEnv
from gymnasium.envs.mujoco.inverted_pendulum_v5 import InvertedPendulumEnv
from gymnasium.envs.mujoco.mujoco_env import MujocoEnv
from gymnasium.envs.mujoco.reacher_v5 import ReacherEnv
from gymnasium.envs.mujoco.swimmer_v5 import SwimmerEnv
from gymnasium.envs.mujoco.walker2d_v5 import Walker2dEnv


class Endless(MujocoEnv):
    """Simulates, rewards and never ends; Gymnasium's class behind it supplies the model and the observation."""

    def step(self, action: np.ndarray) -> tuple[np.ndarray, np.float64, bool, bool, dict[str, Any]]:
        before = float(self.data.qpos[0])
        self.do_simulation(action, self.frame_skip)
        velocity = (float(self.data.qpos[0]) - before) / self.dt
        if self.render_mode == "human":
            self.render()  # type: ignore[no-untyped-call]
        return self._get_obs(), np.float64(self._reward(velocity)), False, False, {}  # type: ignore[attr-defined]

    def _reward(self, velocity: float) -> float:
        """The task's reward in the state just reached; `velocity` is the root's, along x, in m/s."""
        raise NotImplementedError


class Hopper(Endless, HopperEnv):
    """Run forward on one leg: velocity + 1 + (height - 1), in m/s and m."""

    def _reward(self, velocity: float) -> float:
        return velocity + 1.0 + float(self.data.qpos[1] - 1.0)


class Walker(Endless, Walker2dEnv):
    """Walk forward on two legs: velocity + 1 + (height - 2), in m/s and m."""

    def _reward(self, velocity: float) -> float:
        return velocity + 1.0 + float(self.data.qpos[1] - 2.0)


class Swimmer(Endless, SwimmerEnv):
    """Swim forward: velocity, in m/s."""

    def _reward(self, velocity: float) -> float:
        return velocity


class Cheetah(Endless, HalfCheetahEnv):
    """Run forward on two legs in the plane: velocity, in m/s."""

    def _reward(self, velocity: float) -> float:
        return velocity


class Ant(Endless, AntEnv):
    """Walk forward on four legs: velocity + (height - 1.2), in m/s and m."""

    def _reward(self, velocity: float) -> float:
        return velocity + float(self.data.qpos[2] - 1.2)


class Reacher(Endless, ReacherEnv):
    """Hold the fingertip at the target: minus their distance, in m."""

    def _reward(self, velocity: float) -> float:
        fingertip, target = self.data.body("fingertip").xpos, self.data.body("target").xpos
        return -float(np.linalg.norm(fingertip - target))


class Pendulum(Endless, InvertedPendulumEnv):
    """Keep the pole upright: 1 - angle^2, in rad."""

    def _reward(self, velocity: float) -> float:
        return 1.0 - float(self.data.qpos[1]) ** 2


class DoublePendulum(Endless, InvertedDoublePendulumEnv):
    """Keep the tip of two poles, at (x, z) in m, up.

    10 - .01 x^2 - (z - 2)^2 - .001 v1^2 - .005 v2^2 + 10 (z - 1), with the angular velocities v in rad/s.
    """

    def _reward(self, velocity: float) -> float:
        x, _, z = self.data.site_xpos[0]
        v1, v2 = self.data.qvel[1:3]
        return float(10.0 - 0.01 * x**2 - (z - 2.0) ** 2 - 1e-3 * v1**2 - 5e-3 * v2**2 + 10.0 * (z - 1.0))
