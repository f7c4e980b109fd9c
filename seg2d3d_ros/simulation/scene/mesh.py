"""Triangles with textures and object labels, and the solids a street is made of.

All coordinates are metres in the street frame (x along the street, y left, z up).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from seg2d3d_ros.arrays import concatenated


@dataclass(frozen=True)
class Mesh:
    """T triangles.

    Attributes:
        triangles: (T, 3, 3) float32 corner positions in metres.
        uv: (T, 3, 2) float32 texture coordinates, (0, 0) = the image's top-left corner, repeating beyond 1.
        texture: (T,) int32 index into the street's textures.
        label: (T,) int32, see ``seg2d3d_ros.simulation.scene.street``.
    """

    triangles: np.ndarray
    uv: np.ndarray
    texture: np.ndarray
    label: np.ndarray

    def placed(self, x: float, y: float, z: float, yaw: float) -> Mesh:
        """The mesh turned by ``yaw`` (radians, counter-clockwise from above) and moved to (x, y, z)."""
        cos, sin = np.cos(yaw), np.sin(yaw)
        rotation = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        moved = self.triangles @ rotation.T + np.array([x, y, z])
        return Mesh(moved.astype(np.float32), self.uv, self.texture, self.label)


def concatenate(meshes: list[Mesh]) -> Mesh:
    """One mesh of all triangles, in order."""
    return concatenated([_mesh(np.empty((0, 3, 3)), np.empty((0, 3, 2)), 0, 0), *meshes])


def _mesh(triangles: np.ndarray, uv: np.ndarray, texture: int, label: int) -> Mesh:
    count = len(triangles)
    return Mesh(
        np.asarray(triangles, np.float32),
        np.asarray(uv, np.float32),
        np.full(count, texture, np.int32),
        np.full(count, label, np.int32),
    )


def _grid(points: np.ndarray, uv: np.ndarray, texture: int, label: int) -> Mesh:
    """The facets between (R, C, 3) points with (R, C, 2) texture coordinates, row by row, the upper row first."""

    def triangles(values: np.ndarray) -> np.ndarray:
        corners = np.stack([values[1:, :-1], values[1:, 1:], values[:-1, 1:], values[:-1, :-1]], axis=2)
        return corners[:, :, [[0, 1, 2], [0, 2, 3]]].reshape(-1, 3, values.shape[-1])

    return _mesh(triangles(points), triangles(uv), texture, label)


def quad(corners: ArrayLike, texture: int, label: int = 0, repeat: tuple[float, float] = (1.0, 1.0)) -> Mesh:
    """A rectangle; ``corners`` (4, 3) = bottom-left, bottom-right, top-right, top-left as seen from outside.

    ``repeat``: how often the texture repeats along its width and height.
    """
    corners = np.asarray(corners, float)
    uv = np.array([[0, 1], [1, 1], [1, 0], [0, 0]], float) * np.asarray(repeat)
    order = np.array([[0, 1, 2], [0, 2, 3]])
    return _mesh(corners[order], uv[order], texture, label)


def polygon(corners: ArrayLike, uv: ArrayLike, texture: int, label: int = 0) -> Mesh:
    """A flat convex polygon, (N, 3) corners with (N, 2) texture coordinates, as a fan."""
    corners, uv = np.asarray(corners, float), np.asarray(uv, float)
    order = np.array([[0, i, i + 1] for i in range(1, len(corners) - 1)])
    return _mesh(corners[order], uv[order], texture, label)


def box(
    low: tuple[float, float, float], high: tuple[float, float, float], texture: int, label: int = 0, tile: float = 1.0
) -> Mesh:
    """An axis-aligned box; the texture repeats every ``tile`` metres."""
    (x0, y0, z0), (x1, y1, z1) = low, high
    faces = [
        [(x0, y0, z0), (x1, y0, z0), (x1, y0, z1), (x0, y0, z1)],
        [(x1, y1, z0), (x0, y1, z0), (x0, y1, z1), (x1, y1, z1)],
        [(x0, y1, z0), (x0, y0, z0), (x0, y0, z1), (x0, y1, z1)],
        [(x1, y0, z0), (x1, y1, z0), (x1, y1, z1), (x1, y0, z1)],
        [(x0, y0, z1), (x1, y0, z1), (x1, y1, z1), (x0, y1, z1)],
        [(x0, y1, z0), (x1, y1, z0), (x1, y0, z0), (x0, y0, z0)],
    ]
    sizes = [(x1 - x0, z1 - z0)] * 2 + [(y1 - y0, z1 - z0)] * 2 + [(x1 - x0, y1 - y0)] * 2
    return concatenate([quad(f, texture, label, (w / tile, h / tile)) for f, (w, h) in zip(faces, sizes, strict=True)])


def tube(start: ArrayLike, end: ArrayLike, radius: tuple[float, float], texture: int, label: int = 0, sides: int = 8) -> Mesh:
    """A tapered tube without caps from ``start`` to ``end`` (3,), with the radius at each end."""
    start, end = np.asarray(start, float), np.asarray(end, float)
    axis = end - start
    length = float(np.linalg.norm(axis))
    axis = axis / length
    helper = np.array([1.0, 0.0, 0.0]) if abs(axis[0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    side = np.cross(axis, helper)
    side /= np.linalg.norm(side)
    up = np.cross(axis, side)
    angles = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    ring = np.cos(angles)[:, None] * side + np.sin(angles)[:, None] * up
    uv = np.stack(np.meshgrid(np.arange(sides + 1) / sides, [0.0, length]), axis=-1)
    return _grid(np.stack([end + radius[1] * ring, start + radius[0] * ring]), uv, texture, label)


def ellipsoid(center: ArrayLike, radii: ArrayLike, texture: int, label: int = 0, rings: int = 6, sides: int = 10) -> Mesh:
    """An ellipsoid of ``rings`` × ``sides`` facets."""
    polar = np.linspace(0.0, np.pi, rings + 1)
    around = np.linspace(0.0, 2.0 * np.pi, sides + 1)
    grid_uv = np.stack(np.meshgrid(around / np.pi, polar / np.pi), axis=-1)
    sphere = np.stack(
        [np.sin(polar)[:, None] * np.cos(around), np.sin(polar)[:, None] * np.sin(around), np.cos(polar)[:, None] + 0 * around],
        -1,
    )
    points = np.asarray(center, float) + sphere * np.asarray(radii, float)
    return _grid(points, grid_uv, texture, label)


def leaves(rng: np.random.Generator, center: ArrayLike, radii: ArrayLike, count: int, size: float, texture: int) -> Mesh:
    """``count`` randomly turned small rectangles in an ellipsoid, denser towards its surface: a tree's crown."""
    direction = rng.normal(size=(count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    middle = np.asarray(center) + direction * np.asarray(radii) * (rng.uniform(0.15, 1.0, (count, 1)) ** 0.5)
    first = rng.normal(size=(count, 3))
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(first, rng.normal(size=(count, 3)))
    second /= np.linalg.norm(second, axis=1, keepdims=True)
    half = size * rng.uniform(0.3, 0.7, (count, 1))
    corners = np.stack([middle - half * first, middle + half * second, middle + half * first, middle - half * second], axis=1)
    shift = rng.uniform(0, 1, (count, 1, 2))
    uv = shift + np.array([[0, 0.2], [0.2, 0.2], [0.2, 0], [0, 0]])
    order = np.array([[0, 1, 2], [0, 2, 3]])
    return _mesh(corners[:, order].reshape(-1, 3, 3), uv[:, order].reshape(-1, 3, 2), texture, 0)
