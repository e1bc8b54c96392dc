"""The new behaviors of Christiano et al. 2017 (section 3.2), of which no reward was known: people taught them.

Here a script stands in for the person: the reward is its score, by which an oracle compares clips. What the scripts
look at is what hand-made rewards for such behaviors look at: angular velocity for backward flips, speed and the height
of the front foot for running on the hind leg (`hopper-flip-backwards` and `cheetah-run-back` of Hansen et al. 2024,
TD-MPC2, nicklashansen/tdmpc2, tdmpc2/envs/tasks).
"""

from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.envs.mujoco.half_cheetah_v5 import HalfCheetahEnv
from gymnasium.envs.mujoco.hopper_v5 import HopperEnv

from prefrl_envs.mujoco_tasks import Endless

OFF_THE_GROUND = 0.3  # m; lower is the center of mass of a hopper that lies, at 0.6 m that of one that stands
FULL_CLEARANCE = 0.3  # m above the ground, from which on the cheetah's front leg counts as wholly up
FAST_ENOUGH = 3.0  # m/s; faster running on one leg is not better


class HopperBackflip(Endless, HopperEnv):
    """Flip backward, again and again: backward angular velocity of the torso in rad/s, times how far the center of mass
    is higher than 0.3 m.

    So who falls and then rolls over the ground earns nothing more. The torso's angle grows with every flip; it is
    observed as its sine and cosine, so that after a flip the world looks as it did before.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.observation_space = spaces.Box(-np.inf, np.inf, (12,), np.float64)

    def _get_obs(self) -> np.ndarray:
        """[12] height, sine and cosine of the torso's angle, angles of the joints, then velocities within 10."""
        height, angle, *joints = self.data.qpos[1:]
        seen = [height, np.sin(angle), np.cos(angle), *joints, *np.clip(self.data.qvel, -10.0, 10.0)]
        return np.array(seen, np.float64)

    def _reward(self, velocity: float) -> float:
        height = float(self.data.subtree_com[1][2])  # body 0 is the world
        return -float(self.data.qvel[2]) * max(height - OFF_THE_GROUND, 0.0)  # a positive velocity is forward


class CheetahOneLeg(Endless, HalfCheetahEnv):
    """Run forward on the hind leg alone: (1 + velocity) u, the velocity in m/s counting up to 3.

    u is 0 when anything but the hind leg touches the ground, and grows in proportion to its clearance to 1 at 0.3 m.
    """

    def _reward(self, velocity: float) -> float:
        up = min(max(self._clearance() / FULL_CLEARANCE, 0.0), 1.0)
        return (1.0 + min(velocity, FAST_ENOUGH)) * up

    def _clearance(self) -> float:
        """Height in m of the lowest point of all that is not the hind leg; every part is a capsule."""
        names = ("torso", "head", "fthigh", "fshin", "ffoot")
        parts = [(self.data.geom(name), self.model.geom(name)) for name in names]
        return float(min(at.xpos[2] - abs(at.xmat[8]) * part.size[1] - part.size[0] for at, part in parts))
