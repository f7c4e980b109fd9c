"""Rays cast at triangles, by Open3D (extra ``sim``) on the CPU."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.simulation.scene.mesh import Mesh


class RayCaster:
    """The triangles of a mesh, to be hit by rays (N, 6): origin and direction."""

    def __init__(self, mesh: Mesh) -> None:
        try:
            import open3d as o3d
        except (ImportError, OSError) as error:
            raise UsageError(
                f"the simulator needs Open3D ({error}): pip install 'open3d>=0.19,<0.21' (0.9 GB); where a library of the "
                "system is missing, as root: apt-get install libusb-1.0-0 libgl1 libgomp1 libx11-6"
            ) from error

        self._tensor = cast(Any, o3d.core.Tensor)
        self._scene = o3d.t.geometry.RaycastingScene()
        corners = np.ascontiguousarray(mesh.triangles.reshape(-1, 3))
        order = np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)
        self._scene.add_triangles(self._tensor(corners), self._tensor(order))

    def cast(self, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """(N,) distances, infinite where nothing is hit, (N,) int64 triangles, -1 there, and Open3D's arrays."""
        hits = {name: values.numpy() for name, values in self._scene.cast_rays(self._rays(rays)).items()}
        triangle = np.where(np.isfinite(hits["t_hit"]), hits["primitive_ids"].astype(np.int64), -1)
        return hits["t_hit"], triangle, hits

    def blocked(self, rays: np.ndarray) -> np.ndarray:
        """(N,) bool, whether a ray hits anything."""
        return self._scene.test_occlusions(self._rays(rays), 0.0).numpy()

    def _rays(self, rays: np.ndarray) -> Any:
        return self._tensor(np.ascontiguousarray(rays, np.float32))
