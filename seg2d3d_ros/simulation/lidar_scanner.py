"""A spinning LiDAR on the vehicle's roof: scans by ray casting, with the true owner of each point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.simulation.drive import START_NS, Drive
from seg2d3d_ros.simulation.scene.mesh import Mesh
from seg2d3d_ros.simulation.scene.ray_caster import RayCaster
from seg2d3d_ros.simulation.scene.street import Street

FRAME = "lidar"
TOPIC = "/lidar/points"
RATE = 5.0
"""Turns per second."""
TURN_SECONDS = 0.1
RINGS = np.radians(np.linspace(-22.0, 18.0, 32))
COLUMNS = 720
RANGE = (1.0, 60.0)
NOISE = 0.02
"""Standard deviation of a range, metres."""
BLOCK = 10
"""Columns that are measured at one moment."""

POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("intensity", "<f4"), ("ring", "<u2"), ("truth", "<u2"), ("time", "<f4")]
)
"""As a common driver writes it (time: seconds after the stamp), and ``truth``: the house's id, 0 = none, 65535 = ignore."""


@dataclass(frozen=True)
class Sweep:
    """One turn: (N,) ``POINT`` in the sensor's frame, and its stamp, the moment of its first point."""

    stamp_ns: int
    points: np.ndarray


def base_from_lidar() -> Pose:
    """Where the sensor is mounted on the vehicle: on the roof, tilted a little, as real ones are."""
    return Pose(Rotation.from_euler("ZYX", [4.0, 1.5, -0.5], degrees=True).as_matrix(), np.array([0.1, 0.05, 2.4]))


def sweeps(street: Street, drive: Drive, seeds: np.random.SeedSequence) -> Iterator[Sweep]:
    """All turns of a drive, made one by one. The vehicle moves while the sensor turns, and so do the points.

    Needs Open3D (extra ``sim``).
    """
    standing = _Surfaces(street.mesh)
    count = int((drive.end_time - TURN_SECONDS) * RATE)
    for k, seed in enumerate(seeds.spawn(count)):
        time = k / RATE
        leg = drive.leg_at(time)
        moving = street.movers_at(time, leg, time - drive.leg_times[leg][0], float(drive.pose(time).translation[0]))
        surfaces = [standing, _Surfaces(moving)] if len(moving.triangles) else [standing]
        yield Sweep(START_NS + round(time * 1e9), _sweep(surfaces, drive, time, np.random.default_rng(seed)))


class _Surfaces:
    """Triangles that rays hit."""

    def __init__(self, mesh: Mesh) -> None:
        self._mesh, self._rays = mesh, RayCaster(mesh)

    def hit(self, rays: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of rays (N, 6): distances (N,), labels (N,) int32 and brightness (N,) of what they hit; inf where nothing."""
        distance, triangle, hits = self._rays.cast(rays)
        slant = np.abs(np.einsum("ni,ni->n", hits["primitive_normals"], rays[:, 3:]))
        return distance, self._mesh.label[triangle], slant * (40 + 37 * (self._mesh.texture[triangle] % 5))


def _sweep(surfaces: Sequence[_Surfaces], drive: Drive, time: float, rng: np.random.Generator) -> np.ndarray:
    """(N,) ``POINT``: the columns of a block share their moment."""
    azimuth = -2 * np.pi * np.arange(COLUMNS) / COLUMNS
    block = np.arange(COLUMNS) // BLOCK
    offset = TURN_SECONDS * BLOCK * block / COLUMNS
    poses = Pose.stack([drive.pose(time + float(o)) @ base_from_lidar() for o in offset[::BLOCK]])[block]
    level, height = np.cos(RINGS)[None], np.sin(RINGS)
    local = np.stack(
        [level * np.cos(azimuth)[:, None], level * np.sin(azimuth)[:, None], np.tile(height, (COLUMNS, 1))], axis=-1
    )
    direction = np.einsum("cij,crj->cri", poses.rotation, local)
    origin = np.broadcast_to(poses.translation[:, None], direction.shape)
    rays = np.concatenate([origin, direction], axis=-1).reshape(-1, 6).astype(np.float32)
    distance, label, brightness = surfaces[0].hit(rays)
    for other in surfaces[1:]:
        nearer = (found := other.hit(rays))[0] < distance
        distance, label, brightness = (
            np.where(nearer, new, old) for new, old in zip(found, (distance, label, brightness), strict=True)
        )
    good = np.flatnonzero((distance > RANGE[0]) & (distance < RANGE[1]))
    points = np.empty(len(good), POINT)
    measured = distance[good] + rng.normal(0, NOISE, len(good))
    points["x"], points["y"], points["z"] = (local.reshape(-1, 3)[good] * measured[:, None]).T
    points["truth"] = label[good]
    points["ring"] = good % len(RINGS)
    points["time"] = offset[good // len(RINGS)]
    points["intensity"] = np.clip(brightness[good] + rng.normal(0, 3, len(good)), 0, 255)
    return points
