"""Pictures of MuJoCo states, by OpenGL where it works and by our own drawing everywhere else."""

import os
import subprocess
import sys
from typing import Any, Literal

import gymnasium
import mujoco
import numpy as np

import prefrl_envs  # noqa: F401  registers the tasks
from prefrl.control.camera import Camera, camera_of
from prefrl.control.drawing import SoftwareDrawing
from prefrl.errors import PrefrlError

Renderer = Literal["egl", "osmesa", "glfw", "software"]

INSTALL_GL = "on Debian and Ubuntu: apt-get install libegl1 libgl1-mesa-dri, or libosmesa6"
_MESHES = [int(mujoco.mjtGeom.mjGEOM_MESH), int(mujoco.mjtGeom.mjGEOM_HFIELD)]

# A library that fails may abort the whole process, so it fails in one of its own.
_TRIAL = """
import os, sys
os.environ["MUJOCO_GL"] = sys.argv[1]
import mujoco
from prefrl.control.rendering import GLDrawing
from prefrl.control.camera import Camera
model = mujoco.MjModel.from_xml_string(
    "<mujoco><worldbody><light pos='0 -2 2'/><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>")
data = mujoco.MjData(model)
mujoco.mj_forward(model, data)
picture = GLDrawing(model, Camera(4.0, follows=False), (32, 32), sys.argv[1]).frame(data)
print("drawn" if picture[16, 16, 0] > picture[16, 16, 1] + 20 else "blank", flush=True)
os._exit(0)
"""


def choose_renderer() -> Renderer:
    """The first of EGL, OSMesa and (where there is a screen) GLFW that draws a red ball red; else our own drawing."""
    return next((renderer for renderer in gl_candidates() if works(renderer)), "software")


def renderer_for(env_id: str, wanted: Literal["auto", "gl", "software"]) -> Renderer:
    """The renderer to draw an environment with, by what the user wants. Raises PrefrlError if `gl` cannot be had.

    `auto` is our own drawing, which is the same on every machine and twice as fast as OpenGL without a graphics card,
    but for models with meshes or height fields, of which it draws no more than the bounding boxes.
    """
    if wanted == "auto" and not _has_meshes(env_id):
        return "software"
    renderer: Renderer = "software" if wanted == "software" else choose_renderer()
    if wanted == "gl" and renderer == "software":
        raise PrefrlError(f"no OpenGL library draws here ({INSTALL_GL}, or leave --renderer out)")
    return renderer


def _has_meshes(env_id: str) -> bool:
    env = gymnasium.make(env_id, disable_env_checker=True)
    try:
        simulator: Any = env.unwrapped
        return is_mujoco(simulator) and bool(np.isin(simulator.model.geom_type, _MESHES).any())
    finally:
        env.close()


def gl_candidates() -> list[Renderer]:
    """The OpenGL libraries to try, the best first; MUJOCO_GL in the environment names the only one, or none."""
    wanted = os.environ.get("MUJOCO_GL", "").lower()
    if wanted in ("disable", "disabled", "off", "false", "0"):
        return []
    everything: list[Renderer] = ["egl", "osmesa"]
    if os.environ.get("DISPLAY") or sys.platform in ("darwin", "win32"):
        everything.append("glfw")
    return [renderer for renderer in everything if wanted in ("", renderer)]


def works(renderer: Renderer, *, seconds: float = 20.0) -> bool:
    """Whether an OpenGL library draws, found by trying in a process of its own."""
    environment = {key: value for key, value in os.environ.items() if key not in ("MUJOCO_GL", "PYOPENGL_PLATFORM")}
    try:
        trial = subprocess.run(
            [sys.executable, "-c", _TRIAL, renderer],
            capture_output=True,
            text=True,
            timeout=seconds,
            env=environment,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return trial.stdout.strip() == "drawn"


class GLDrawing:
    """Draws the states of one model from one camera by OpenGL. `close` frees the context."""

    def __init__(self, model: Any, camera: Camera, size: tuple[int, int], renderer: str) -> None:
        self.model, self.camera = model, camera
        self._rectangle = mujoco.MjrRect(0, 0, *size)
        self._picture = np.zeros((size[1], size[0], 3), np.uint8)
        model.vis.global_.offwidth, model.vis.global_.offheight = size
        planes = model.geom_type == mujoco.mjtGeom.mjGEOM_PLANE
        model.geom_size[planes, :2] = 0.0  # 0: without end; runners leave 20 m behind
        for material in model.geom_matid[planes]:
            if material >= 0:  # tiles of a useful size: the texture holds two by two
                model.mat_texuniform[material], model.mat_texrepeat[material] = True, 6.0 / camera.distance
        # MuJoCo's loader of OpenGL reads this when a context is made, and not only when it is imported.
        os.environ["MUJOCO_GL"] = renderer
        self._context = _gl_context(renderer, size)
        self._context.make_current()
        self._resources = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._resources)
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._options, self._view, self._no_force = mujoco.MjvOption(), mujoco.MjvCamera(), mujoco.MjvPerturb()
        # Four times as fast without them.
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION):
            self._scene.flags[flag] = False
        self._view.distance, self._view.azimuth, self._view.elevation = (
            camera.distance,
            camera.azimuth,
            camera.elevation,
        )

    def frame(self, data: Any) -> np.ndarray:
        """[H, W, 3] uint8 picture of what `data`'s geoms are now."""
        self._context.make_current()
        self._view.lookat[:] = self.camera.lookat(data.xpos[min(1, self.model.nbody - 1)])
        mujoco.mjv_updateScene(
            self.model, data, self._options, self._no_force, self._view, mujoco.mjtCatBit.mjCAT_ALL, self._scene
        )
        mujoco.mjr_render(self._rectangle, self._scene, self._resources)
        mujoco.mjr_readPixels(self._picture, None, self._rectangle, self._resources)
        return self._picture[::-1].copy()

    def close(self) -> None:
        """Free what the graphics library holds."""
        self._context.make_current()
        self._resources.free()
        self._context.free()


def _gl_context(renderer: str, size: tuple[int, int]) -> Any:
    if renderer == "egl":
        from mujoco.egl import GLContext
    elif renderer == "osmesa":
        from mujoco.osmesa import GLContext
    else:
        from mujoco.glfw import GLContext
    return GLContext(*size)


class Scene:
    """Draws one MuJoCo environment; a context manager, since OpenGL wants its things back.

    `size` is (width, height) in pixels. Raises PrefrlError if the environment is not MuJoCo's.
    """

    def __init__(self, env_id: str, *, size: tuple[int, int], renderer: Renderer) -> None:
        self._env = gymnasium.make(env_id, disable_env_checker=True)
        simulator: Any = self._env.unwrapped
        if not is_mujoco(simulator):
            self._env.close()
            raise PrefrlError(
                f"{env_id} is not a MuJoCo environment, so its states cannot be drawn; record frames instead"
            )
        self.model, self.data = simulator.model, simulator.data
        self.fps = 1.0 / float(simulator.dt)  # steps per second of simulated time
        camera = camera_of(env_id, simulator)
        self._drawing = (
            SoftwareDrawing(self.model, camera, size)
            if renderer == "software"
            else GLDrawing(self.model, camera, size, renderer)
        )

    def frame(self, state: np.ndarray) -> np.ndarray:
        """[H, W, 3] uint8 picture of one state [nq + nv]."""
        nq = self.model.nq
        if state.shape != (nq + self.model.nv,):
            raise ValueError(f"a state of this model has {nq} + {self.model.nv} numbers, not {state.shape}")
        self.data.qpos[:], self.data.qvel[:] = state[:nq], state[nq:]
        # Positions are all that a picture needs: a tenth of mj_forward's work.
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        return self._drawing.frame(self.data)

    def close(self) -> None:
        """Free what the graphics library holds."""
        if isinstance(self._drawing, GLDrawing):
            self._drawing.close()
        self._env.close()

    def __enter__(self) -> "Scene":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_mujoco(simulator: Any) -> bool:
    """Whether an unwrapped environment keeps its state as MuJoCo's positions and velocities."""
    return hasattr(simulator, "model") and hasattr(getattr(simulator, "data", None), "qpos")
