"""Draw a MuJoCo model without any graphics library: always possible, and quick enough for clips.

Capsules are drawn as what they look like from far enough away: a thick line whose depth and shade follow a round
cross-section. The floor is exact. Everything else is a capsule or a box.
"""

from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from prefrl.control.camera import Camera

_SKY = np.array([[0.72, 0.82, 0.93], [0.93, 0.95, 0.97]], np.float32)  # above, at the horizon
_TILES = np.array([[0.93, 0.94, 0.95], [0.83, 0.86, 0.89]], np.float32)
_LIGHT = np.array([-0.45, -0.55, 0.70])  # where it comes from
_AMBIENT, _DIFFUSE, _SHADOW = 0.55, 0.55, 0.30
_FAR = np.float32(1e9)


@dataclass(frozen=True, eq=False)
class _Floor:
    """What each pixel sees of a horizontal plane, relative to where the camera stands."""

    x: np.ndarray  # [H, W]  m
    y: np.ndarray
    depth: np.ndarray  # [H, W]  m, along the view; far above the horizon
    sharp_x: np.ndarray  # [H, W]  how hard the edges of tiles are: one over the width of a pixel in tiles
    sharp_y: np.ndarray
    clear: np.ndarray  # [H, W, 1]  1 nearby, 0 in the haze and above the horizon


class SoftwareDrawing:
    """Draws the states of one model from one camera."""

    def __init__(self, model: Any, camera: Camera, size: tuple[int, int]) -> None:
        self.model, self.camera = model, camera
        self.width, self.height = size
        self._right, self._up, self._forward = camera.axes()
        self._focal = self.height / 2 / np.tan(np.radians(model.vis.global_.fovy) / 2)
        self._columns = np.arange(self.width, dtype=np.float32) + np.float32(0.5 - self.width / 2)
        self._rows = np.float32(self.height / 2 - 0.5) - np.arange(self.height, dtype=np.float32)
        light = _LIGHT / np.linalg.norm(_LIGHT)
        self._light = np.array([light @ self._right, light @ self._up, -light @ self._forward], np.float32)
        fade = np.linspace(0, 1, self.height, dtype=np.float32)[:, None, None]
        self._sky = np.broadcast_to(_SKY[0] * (1 - fade) + _SKY[1] * fade, (self.height, self.width, 3)).copy()
        types, groups = model.geom_type, model.geom_group
        self._colors = _colors(model)
        planes = np.flatnonzero(types == mujoco.mjtGeom.mjGEOM_PLANE)
        self._ground = float(model.geom_pos[planes[0], 2]) if len(planes) else None
        shown = (types != mujoco.mjtGeom.mjGEOM_PLANE) & (groups < 3) & (self._colors[:, 3] > 0)
        self._geoms = np.flatnonzero(shown)
        self._tile = camera.distance / 6
        self._floor = None
        above = camera.height - camera.distance * self._forward[2]  # of the camera; it never moves up or down
        if self._ground is not None and above > self._ground:
            self._floor = self._see_floor(above - self._ground)

    def frame(self, data: Any) -> np.ndarray:
        """[H, W, 3] uint8 picture of what `data`'s geoms are now."""
        eye = self.camera.lookat(data.xpos[min(1, self.model.nbody - 1)]) - self.camera.distance * self._forward
        shapes = [self._shape(data, int(geom)) for geom in self._geoms]
        if self._floor is None:
            picture, depth = self._sky.copy(), np.full((self.height, self.width), _FAR)
        else:
            picture, depth = self._draw_floor(self._floor, eye, shapes), self._floor.depth.copy()
        shapes.sort(key=lambda shape: -float((shape.center - eye) @ self._forward))
        for shape in shapes:
            if shape.half_sizes is None:
                self._draw_capsule(picture, depth, eye, shape)
            else:
                self._draw_box(picture, depth, eye, shape)
        return (picture.clip(0, 1) * 255).astype(np.uint8)

    def _shape(self, data: Any, geom: int) -> "_Shape":
        """A geom as a capsule (spheres, cylinders, ellipsoids) or as its bounding box (boxes, meshes)."""
        kind, size = int(self.model.geom_type[geom]), self.model.geom_size[geom]
        center, axes = data.geom_xpos[geom], data.geom_xmat[geom].reshape(3, 3)
        color, kinds = self._colors[geom], mujoco.mjtGeom
        if kind == kinds.mjGEOM_SPHERE:
            return _Shape(center, center, center, float(size[0]), color)
        if kind in (kinds.mjGEOM_CAPSULE, kinds.mjGEOM_CYLINDER):
            radius, half = float(size[0]), float(size[1])
            if kind == kinds.mjGEOM_CYLINDER:
                half = max(0.0, half - radius)
            return _Shape(center, center - half * axes[:, 2], center + half * axes[:, 2], radius, color)
        if kind == kinds.mjGEOM_ELLIPSOID:
            longest = int(np.argmax(size))
            radius = float(np.delete(size, longest).mean())
            reach = max(0.0, float(size[longest]) - radius) * axes[:, longest]
            return _Shape(center, center - reach, center + reach, radius, color)
        middle, half_sizes = self.model.geom_aabb[geom, :3], self.model.geom_aabb[geom, 3:]
        center = center + axes @ middle
        return _Shape(center, center, center, float(np.linalg.norm(half_sizes)), color, half_sizes, axes)

    # ---- floor ---------------------------------------------------------------------------------------------------

    def _see_floor(self, above: float) -> _Floor:
        rays = (
            self._focal * self._forward
            + self._columns[None, :, None] * self._right
            + self._rows[:, None, None] * self._up
        )
        down = -rays[..., 2]
        seen = down > 1e-3 * self._focal
        reach = np.where(seen, above / np.where(seen, down, 1.0), 0.0)
        x, y = reach * rays[..., 0], reach * rays[..., 1]
        haze = np.hypot(x, y) / (5 * self.camera.distance)
        sharp_x, sharp_y = (
            1.5 * self._tile / (np.abs(np.gradient(a, axis=0)) + np.abs(np.gradient(a, axis=1)) + 1e-6) for a in (x, y)
        )
        depth = np.where(seen, reach * self._focal, _FAR)
        clear = np.where(seen, np.exp(-(haze**2)), 0.0)[..., None]
        return _Floor(*(a.astype(np.float32) for a in (x, y, depth, sharp_x, sharp_y, clear)))

    def _draw_floor(self, floor: _Floor, eye: np.ndarray, shapes: list["_Shape"]) -> np.ndarray:
        # Whole pairs of tiles are taken off first: far from the origin float32 would blur their edges.
        start = np.mod(eye[:2] / self._tile, 2.0)
        checks = _wave(floor.x, self._tile, start[0], floor.sharp_x) * _wave(
            floor.y, self._tile, start[1], floor.sharp_y
        )
        shade = self._shadows(floor, eye, shapes)
        # Sky + clear * (tiles - sky), one color at a time: numpy is slow along an axis of three.
        light = floor.clear[..., 0] * (1 - shade)
        mixed = light * (0.5 + 0.5 * checks)
        picture = (1 - floor.clear) * self._sky
        for color, (one, other) in enumerate(zip(*_TILES, strict=True)):
            picture[..., color] += light * one + mixed * (other - one)
        return np.asarray(picture)

    def _shadows(self, floor: _Floor, eye: np.ndarray, shapes: list["_Shape"]) -> np.ndarray:
        """[H, W] how dark the floor is under each shape, the light being straight above."""
        shade = np.zeros((self.height, self.width), np.float32)
        for shape in shapes:
            a, b, r = shape.start[:2] - eye[:2], shape.end[:2] - eye[:2], shape.radius
            corners = np.array([(x, y) for x in (a[0], b[0]) for y in (a[1], b[1])])
            corners = np.concatenate([corners + np.array([dx, dy]) for dx in (-r, r) for dy in (-r, r)])
            ground = np.full((len(corners), 1), (self._ground or 0.0) - eye[2])
            box = self._window(np.concatenate([corners, ground], axis=1), np.zeros(len(corners)))
            if box is None:
                continue
            x, y = floor.x[box], floor.y[box]
            off, _ = _to_line(x, y, a, b)
            dark = np.clip((1.15 * r - off) / (0.5 * r), 0, 1) * np.float32(_SHADOW)
            np.maximum(shade[box], dark, out=shade[box])
        return shade

    # ---- shapes --------------------------------------------------------------------------------------------------

    def _project(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[n, 2] places in the picture (right, up; pixels from its middle), [n] depths of points [n, 3] seen from 0."""
        depth = np.maximum(points @ self._forward, 1e-3)
        return self._focal * np.stack([points @ self._right, points @ self._up], axis=1) / depth[:, None], depth

    def _window(self, points: np.ndarray, margin: np.ndarray) -> tuple[slice, slice] | None:
        """Rows and columns that hold points [n, 3], seen from 0, with `margin` [n] pixels around; None: unseen."""
        if (points @ self._forward).max() <= 1e-2:
            return None
        places, _ = self._project(points)
        low, high = (places - margin[:, None]).min(axis=0), (places + margin[:, None]).max(axis=0)
        left, right = np.clip(np.array([low[0], high[0]]) + self.width / 2 + [-1, 2], 0, self.width).astype(int)
        top, bottom = np.clip(self.height / 2 - np.array([high[1], low[1]]) + [-1, 2], 0, self.height).astype(int)
        return (slice(top, bottom), slice(left, right)) if right > left and bottom > top else None

    def _draw_capsule(self, picture: np.ndarray, depth: np.ndarray, eye: np.ndarray, shape: "_Shape") -> None:
        ends = np.stack([shape.start, shape.end]) - eye
        places, depths = self._project(ends)
        radii = self._focal * shape.radius / depths
        box = self._window(ends, radii)
        if box is None:
            return
        x, y = self._columns[None, box[1]], self._rows[box[0], None]
        off, along = _to_line(x, y, places[0], places[1])
        radius = np.float32(radii[0]) + along * np.float32(radii[1] - radii[0])
        round_ = np.sqrt(np.clip(1 - (off / radius) ** 2, 0, 1))  # 1 in the middle, 0 at the edge
        at, step = places[0].astype(np.float32), (places[1] - places[0]).astype(np.float32)
        aside = self._light[0] * (x - at[0] - along * step[0]) + self._light[1] * (y - at[1] - along * step[1])
        to_light = aside / radius
        light = _AMBIENT + _DIFFUSE * np.clip(to_light + self._light[2] * round_, 0, 1)
        light *= np.minimum(1, 0.45 + 1.2 * round_)  # a dark outline
        away = np.float32(depths[0]) + along * np.float32(depths[1] - depths[0]) - np.float32(shape.radius) * round_
        cover = np.clip(radius - off + 0.5, 0, 1) * (away < depth[box])
        _paint(picture, depth, box, shape.color, light, away, cover)

    def _draw_box(self, picture: np.ndarray, depth: np.ndarray, eye: np.ndarray, shape: "_Shape") -> None:
        assert shape.half_sizes is not None
        assert shape.axes is not None
        signs = np.array([(i, j, k) for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)])
        box = self._window(shape.center - eye + (signs * shape.half_sizes) @ shape.axes.T, np.zeros(8))
        if box is None:
            return
        ray = (
            self._forward
            + self._columns[None, box[1], None] / self._focal * self._right
            + self._rows[box[0], None, None] / self._focal * self._up
        ) @ shape.axes  # in the box's own frame; its length along the view is 1, so reach is depth
        ray = np.where(np.abs(ray) < 1e-9, 1e-9, ray)
        origin = (eye - shape.center) @ shape.axes
        enter = (-np.sign(ray) * shape.half_sizes - origin) / ray
        leave = (np.sign(ray) * shape.half_sizes - origin) / ray
        away = enter.max(axis=-1)
        side = enter.argmax(axis=-1)
        normals = -np.sign(np.take_along_axis(ray, side[..., None], axis=-1)) * shape.axes.T[side]
        light = _AMBIENT + _DIFFUSE * np.clip(normals @ (_LIGHT / np.linalg.norm(_LIGHT)), 0, 1)
        cover = (away <= leave.min(axis=-1)) & (away > 0) & (away < depth[box])
        _paint(picture, depth, box, shape.color, light.astype(np.float32), away.astype(np.float32), cover)


@dataclass(frozen=True, eq=False)
class _Shape:
    center: np.ndarray  # [3]
    start: np.ndarray  # [3]  of the capsule's middle line
    end: np.ndarray
    radius: float
    color: np.ndarray  # [4]
    half_sizes: np.ndarray | None = None  # [3]  of a box
    axes: np.ndarray | None = None  # [3, 3]  of a box, in columns


def _paint(
    picture: np.ndarray,
    depth: np.ndarray,
    box: tuple[slice, slice],
    color: np.ndarray,
    light: np.ndarray,
    away: np.ndarray,
    cover: np.ndarray,
) -> None:
    """Lay a lit color over a part of the picture as far as it covers it, and remember how near it is."""
    part = picture[box]
    share = (cover * color[3]).astype(np.float32)[..., None]
    part += share * (light[..., None] * color[:3] - part)
    np.copyto(depth[box], away, where=cover > 0.5)


def _to_line(x: np.ndarray, y: np.ndarray, a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far points are from the line from `a` to `b` [2], and where along it, from 0 to 1, they are nearest."""
    a32, step = a.astype(np.float32), (b - a).astype(np.float32)
    dx, dy = x - a32[0], y - a32[1]
    along = np.clip((dx * step[0] + dy * step[1]) / max(float(step @ step), 1e-12), 0, 1)
    return np.hypot(dx - along * step[0], dy - along * step[1]), along


def _wave(x: np.ndarray, tile: float, start: float, sharp: np.ndarray) -> np.ndarray:
    """+1 and -1 in turn, a tile each, with edges as wide as a pixel; 0 where tiles are smaller than pixels."""
    half = x * np.float32(0.5 / tile) + np.float32(0.5 * start)
    triangle = 1 - np.abs((half - np.floor(half)) * 4 - 2)  # np.mod is slow
    return np.asarray(np.clip(triangle * (sharp * 0.5), -1, 1) * np.minimum(1, sharp * 0.5))


def _colors(model: Any) -> np.ndarray:
    """[ngeom, 4] of each geom. A material's color counts where it is one: the tasks' materials are white textures."""
    colors = np.array(model.geom_rgba, np.float32)
    for geom, material in enumerate(model.geom_matid):
        if material >= 0 and not np.allclose(model.mat_rgba[material][:3], 1.0):
            colors[geom] = model.mat_rgba[material]
    return colors
