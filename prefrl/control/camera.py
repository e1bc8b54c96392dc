"""Where the camera stands when a task is drawn: to the side of what runs, above what swims or reaches."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Camera:
    """MuJoCo's free camera, which looks at a height above the ground and goes along with the agent."""

    distance: float  # m, to the point looked at
    azimuth: float = 90.0  # degrees; 90 looks along +y, so that +x is to the right
    elevation: float = -12.0  # degrees; negative looks down
    height: float = 0.0  # m, of the point looked at
    follows: bool = (
        True  # goes along with the first body over the ground (never up and down, or a jump could not be seen)
    )

    def lookat(self, agent: np.ndarray) -> np.ndarray:
        """[3] the point looked at when the first body is at `agent` [3]."""
        return np.array([agent[0], agent[1], self.height]) if self.follows else np.array([0.0, 0.0, self.height])

    def axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Unit vectors [3] of the picture: right, up and into it."""
        a, e = np.radians(self.azimuth), np.radians(self.elevation)
        forward = np.array([np.cos(e) * np.cos(a), np.cos(e) * np.sin(a), np.sin(e)])
        up = np.array([-np.sin(e) * np.cos(a), -np.sin(e) * np.sin(a), np.cos(e)])
        return np.cross(forward, up), up, forward


_CAMERAS = {
    "prefrl/Hopper-v0": Camera(3.2, height=0.8),
    "prefrl/Walker-v0": Camera(3.4, height=0.85),
    "prefrl/Cheetah-v0": Camera(3.2, height=0.45),
    "prefrl/HopperBackflip-v0": Camera(3.4, height=0.75),
    "prefrl/CheetahOneLeg-v0": Camera(3.6, height=0.6),
    "prefrl/Ant-v0": Camera(5.0, elevation=-35.0, height=0.3),
    "prefrl/Swimmer-v0": Camera(5.5, elevation=-60.0),
    "prefrl/Reacher-v0": Camera(0.85, elevation=-90.0, follows=False),
    "prefrl/Pendulum-v0": Camera(2.4, height=0.15, follows=False),
    "prefrl/DoublePendulum-v0": Camera(3.4, height=0.25, follows=False),
}


def camera_of(env_id: str, simulator: Any) -> Camera:
    """The camera of a task; of another MuJoCo environment the one that Gymnasium would start with.

    `simulator` is the unwrapped environment.
    """
    if env_id in _CAMERAS:
        return _CAMERAS[env_id]
    model = simulator.model
    wanted = simulator.mujoco_renderer.default_cam_config or {}
    # A first joint that slides or is free moves the whole agent; a hinge leaves it where it is.
    moves = model.njnt > 0 and int(model.jnt_type[0]) in (0, 2) and int(model.jnt_bodyid[0]) == 1
    return Camera(
        distance=float(wanted.get("distance", 1.2 * model.stat.extent)),
        azimuth=float(wanted.get("azimuth", 90.0)),
        elevation=float(wanted.get("elevation", -20.0)),
        height=float(wanted["lookat"][2] if "lookat" in wanted else model.stat.center[2]),
        follows=moves,
    )
