"""What a simulated street's folder says, and where its houses are in its images."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.simulation.scene.ray_caster import RayCaster
from seg2d3d_ros.simulation.scene.street import Street

RELIEF = 0.3
"""Metres that sills, cornices and pipes stand before a façade."""


def read_truth_poses(path: Path) -> dict[str, Pose]:
    """``truth_poses.txt`` as {stem: world_from_camera}."""
    lines = [line.split() for line in path.read_text().splitlines() if not line.startswith("#")]
    values = {Path(name).stem: np.array(rest, float) for name, *rest in lines}
    return {stem: Pose.from_quaternion(np.roll(v[:4], -1), v[4:]) for stem, v in values.items()}


def facades_in_truth(
    folder: Path, street: Street, *, reach: float, facing: float, only_seen: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the house that each of many points on façades belongs to, and (N,) the truth's label where the point is projected.

    Points count within ``reach`` metres, where the cosine between the ray and the façade's normal is more than ``facing``.
    ``only_seen``: and where nothing that stands still is before them.
    """
    rays = RayCaster(street.mesh) if only_seen else None
    turn = Rotation.from_euler("Z", street.heading).as_matrix()
    fx, fy, cx, cy = json.loads((folder / "camera.json").read_text())["params"]
    expected, found = [], []
    for stem, world_from_camera in read_truth_poses(folder / "truth_poses.txt").items():
        truth = read_labels(folder / f"truth/{stem}.png")
        height, width = truth.shape
        for lot in street.lots:
            along, up = np.meshgrid(np.linspace(0.3, lot.width - 0.3, 25), np.linspace(0.6, lot.height - 0.6, 25))
            points = np.array([lot.at(a, 0.0, z) for a, z in zip(along.ravel(), up.ravel(), strict=True)]) @ turn.T
            normal = turn @ np.array([0.0, -lot.side, 0.0])
            away = points - world_from_camera.translation
            distance = np.linalg.norm(away, axis=1)
            local = away @ world_from_camera.rotation
            near = (local[:, 2] > 0.5) & (distance < reach) & (-(away @ normal) > facing * distance)
            u, v = (np.floor(f * local[:, i] / local[:, 2] + c) for i, f, c in ((0, fx, cx), (1, fy, cy)))
            inside = near & (u >= 0) & (u < width) & (v >= 0) & (v < height)
            if rays is not None:
                origin = np.broadcast_to(world_from_camera.translation @ turn, points.shape)
                hit, _, _ = rays.cast(np.hstack([origin, (points @ turn - origin) / distance[:, None]]))
                inside &= hit > distance - RELIEF
            found.append(truth[v[inside].astype(int), u[inside].astype(int)])
            expected.append(np.full(int(inside.sum()), lot.label))
    return np.concatenate(expected), np.concatenate(found)
