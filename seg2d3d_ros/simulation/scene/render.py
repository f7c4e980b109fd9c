"""Ray casting: colours and object labels of one view, on the CPU, without a display."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.simulation.scene.mesh import Mesh, concatenate
from seg2d3d_ros.simulation.scene.ray_caster import RayCaster
from seg2d3d_ros.simulation.scene.sky import sky_color
from seg2d3d_ros.simulation.scene.texture_atlas import TextureAtlas

SUN_COLOR = np.array([1.0, 0.95, 0.86], np.float32)
SKY_LIGHT = np.array([0.52, 0.58, 0.68], np.float32)
HAZE_METRES = 350.0
SUBSAMPLES = ((0.2, -0.3), (-0.3, -0.2), (0.3, 0.2))
"""Where else in a pixel (in pixels from its centre) rays are cast along edges."""


class Scene:
    """The static street plus what moves at one moment.

    Args:
        static, moving: meshes in the street frame.
        atlas: all textures.
        sun: (3,) unit vector towards the sun.
        sunshine: 1 = the full sun, 0 = behind clouds.
    """

    def __init__(self, static: Mesh, moving: Mesh, atlas: TextureAtlas, sun: np.ndarray, sunshine: float = 1.0) -> None:
        mesh = concatenate([static, moving])
        self._mesh, self._atlas, self._sun, self._sunshine = mesh, atlas, np.asarray(sun, np.float32), float(sunshine)
        self._rays = RayCaster(mesh)
        edge = mesh.triangles[:, 1:] - mesh.triangles[:, :1]
        normal = np.cross(edge[:, 0], edge[:, 1])
        area = np.linalg.norm(normal, axis=1)
        self._normal = (normal / np.maximum(area, 1e-12)[:, None]).astype(np.float32)
        uv = mesh.uv[:, 1:] - mesh.uv[:, :1]
        texels = np.abs(uv[:, 0, 0] * uv[:, 1, 1] - uv[:, 0, 1] * uv[:, 1, 0]) * atlas.area[mesh.texture]
        self._density = np.sqrt(texels / np.maximum(area, 1e-12)).astype(np.float32)

    def render(self, camera: Camera, street_from_camera: Pose) -> tuple[np.ndarray, np.ndarray]:
        """One view.

        Args:
            camera: PINHOLE intrinsics, COLMAP's pixel convention.
            street_from_camera: a single pose.

        Returns:
            (H, W, 3) float32 colours 0 … 255 (sRGB) and (H, W) int32 labels of what the ray through each pixel's
            centre hits.
        """
        height, width = camera.height, camera.width
        rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
        pixels = np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2)
        color, triangle, depth = self._shade(camera, street_from_camera, pixels)
        labels = np.where(triangle >= 0, self._mesh.label[triangle], 0).astype(np.int32)
        edges = self._edges(triangle.reshape(height, width), depth.reshape(height, width)).ravel()
        if edges.any():
            total = color[edges]
            for offset in SUBSAMPLES:
                total = total + self._shade(camera, street_from_camera, pixels[edges] + np.asarray(offset, np.float32))[0]
            color[edges] = total / (1 + len(SUBSAMPLES))
        return color.reshape(height, width, 3), labels.reshape(height, width)

    def surface(self, camera: Camera, street_from_camera: Pose) -> np.ndarray:
        """(H, W, 3) float32 the place in the street that the ray through each pixel's centre hits; NaN in the sky."""
        rows, columns = np.mgrid[0 : camera.height, 0 : camera.width].astype(np.float32)
        pixels = np.stack([columns + 0.5, rows + 0.5], axis=-1).reshape(-1, 2)
        origin, direction, _ = _rays(camera, street_from_camera, pixels)
        distance, triangle, _ = self._rays.cast(np.hstack([np.broadcast_to(origin, direction.shape), direction]))
        distance = np.where(triangle >= 0, distance, np.nan).astype(np.float32)
        return (origin + distance[:, None] * direction).reshape(camera.height, camera.width, 3)

    def _edges(self, triangle: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """Pixels next to another surface: another texture, another direction, or a jump in depth."""
        texture = np.where(triangle >= 0, self._mesh.texture[triangle], -1)
        slant = np.where(triangle >= 0, self._normal[triangle] @ np.array([1.0, 3.0, 7.0], np.float32), 0.0)
        inverse = 1.0 / np.maximum(depth, 0.1)
        edges = np.zeros(triangle.shape, bool)
        for t, s, i, found in ((texture, slant, inverse, edges), (texture.T, slant.T, inverse.T, edges.T)):
            jump = np.diff(t, axis=0) != 0
            jump |= np.abs(np.diff(s, axis=0)) > 0.05
            jump |= np.abs(np.diff(i, axis=0)) > 0.04 * np.minimum(i[:-1], i[1:])
            found[:-1] |= jump
            found[1:] |= jump
        return edges

    def _shade(self, camera: Camera, street_from_camera: Pose, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Colours (N, 3), triangles hit (N,; -1 = sky) and depths (N,) of the rays through ``pixels`` (N, 2)."""
        fx = camera.params[0]
        origin, direction, stretch = _rays(camera, street_from_camera, pixels)
        distance, triangle, hits = self._rays.cast(np.hstack([np.broadcast_to(origin, direction.shape), direction]))
        seen = triangle >= 0
        color = np.empty((len(pixels), 3), np.float32)
        color[~seen] = sky_color(direction[~seen], self._sun)
        if seen.any():
            bary = hits["primitive_uvs"][seen]
            color[seen] = self._surface(
                origin, direction[seen], distance[seen], triangle[seen], bary, 1.0 / (stretch[seen] * fx)
            )
        return color, triangle, np.where(seen, distance / stretch, 1e4)

    def _surface(
        self,
        origin: np.ndarray,
        direction: np.ndarray,
        distance: np.ndarray,
        triangle: np.ndarray,
        bary: np.ndarray,
        pixel_angle: np.ndarray,
    ) -> np.ndarray:
        """Texture × (sun with shadow + sky light), then haze."""
        mesh = self._mesh
        corner = mesh.uv[triangle]
        uv = corner[:, 0] + bary[:, :1] * (corner[:, 1] - corner[:, 0]) + bary[:, 1:] * (corner[:, 2] - corner[:, 0])
        normal = self._normal[triangle]
        facing = np.einsum("ij,ij->i", normal, direction)
        normal = np.where(facing[:, None] > 0, -normal, normal)
        footprint = distance * pixel_angle / np.sqrt(np.maximum(np.abs(facing), 0.03))
        albedo = self._atlas.sample(mesh.texture[triangle], uv, footprint * self._density[triangle])
        point = origin + distance[:, None] * direction
        slope = np.maximum(normal @ self._sun, 0.0)
        lit = slope > 0
        start = point[lit] + 0.01 * normal[lit]
        slope[lit] *= ~self._rays.blocked(np.hstack([start, np.broadcast_to(self._sun, start.shape)]))
        open_sky = (0.62 + 0.38 * normal[:, 2]) * (0.72 + 0.28 * np.clip(point[:, 2] / 1.2, 0.0, 1.0) ** 0.5)
        open_sky = np.where(normal[:, 2] > 0.9, 0.9, open_sky)
        light = 1.3 * self._sunshine * slope[:, None] * SUN_COLOR + open_sky[:, None] * SKY_LIGHT
        color = albedo * light ** np.float32(1 / 2.2)
        haze = (1.0 - np.exp(-distance / HAZE_METRES))[:, None]
        return (color * (1.0 - haze) + haze * np.array([196.0, 208.0, 220.0], np.float32)).astype(np.float32)


def _rays(camera: Camera, street_from_camera: Pose, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Origin (3,), unit directions (N, 3) and their lengths (N,) at depth 1, of the rays through pixels (N, 2)."""
    fx, fy, cx, cy = camera.params
    local = np.stack([(pixels[:, 0] - cx) / fx, (pixels[:, 1] - cy) / fy, np.ones(len(pixels))], axis=-1).astype(np.float32)
    stretch = np.linalg.norm(local, axis=1)
    direction = local @ street_from_camera.rotation.astype(np.float32).T / stretch[:, None]
    return street_from_camera.translation.astype(np.float32), direction, stretch
