"""Simulated drives for the learning benchmarks: a survey vehicle's LiDAR cloud, its views with masks, and what is true.

Poses are the true ones, as from a good navigation system, so that what is measured is learning, and not reconstruction; no
image is matched. What takes long, ray casting, is kept below the work folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.simulation.detector import DETECTORS, detect
from seg2d3d_ros.simulation.drive import CAMERA_NAMES, START_NS, Drive, base_from_camera, make_camera
from seg2d3d_ros.simulation.lidar_scanner import base_from_lidar, sweeps
from seg2d3d_ros.simulation.scenario import scenario
from seg2d3d_ros.simulation.scene.render import Scene
from seg2d3d_ros.simulation.scene.street import FAR_HOUSE, build_street
from seg2d3d_ros.simulation.scene.texture_atlas import TextureAtlas

WIDTH, HEIGHT = 480, 320
VOXEL = 0.15
RANGE = 30.0
DETECTED = ("typical", "hard")
IGNORE = 65535


@dataclass(frozen=True)
class SimulatedDrive:
    """One street.

    Attributes:
        xyz: (N, 3) metres, z up.
        owner: (N,) int64 the true house, 0 = none, -1 = a house beyond the street.
        views: camera and pose of each image.
        pictures: (V, H, W, 3) uint8.
        truth: (V, H, W) uint16 the house at each pixel.
        masks: by detector, (V, H, W) uint16 its masks' ids.
    """

    xyz: np.ndarray
    owner: np.ndarray
    views: tuple[View, ...]
    pictures: np.ndarray
    truth: np.ndarray
    masks: dict[str, np.ndarray]


def drive_through(work: Path, seed: int, buildings: int = 12, keyframes: int = 72) -> SimulatedDrive:
    """The street of a seed, from the work folder or made now (half a minute of CPU)."""
    path = work / f"drive-{seed}-{buildings}-{keyframes}.npz"
    if not path.exists():
        work.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished.npz")
        np.savez_compressed(unfinished, **_made(seed, buildings, keyframes))
        unfinished.rename(path)
    with np.load(path, allow_pickle=False) as held:
        camera = Camera("PINHOLE", WIDTH, HEIGHT, tuple(held["camera"].tolist()))
        views = tuple(View(camera, Pose.from_matrix(matrix)) for matrix in held["poses"])
        masks = {name: held[f"masks_{name}"] for name in DETECTED}
        return SimulatedDrive(held["xyz"], held["owner"], views, held["pictures"], held["truth"], masks)


def _made(seed: int, buildings: int, keyframes: int) -> dict[str, np.ndarray]:
    street_seeds, drive_seeds, lidar_seeds, view_seeds = np.random.SeedSequence(seed).spawn(4)
    setting = scenario("typical", 3)
    street = build_street(street_seeds, buildings, setting.style)
    drive = Drive(np.random.default_rng(drive_seeds), street.length, keyframes // 3, setting.carrier)
    enu_from_street = Pose(Rotation.from_euler("Z", street.heading).as_matrix(), np.zeros(3))
    xyz, owner = _cloud(street, drive, lidar_seeds)
    camera, atlas = make_camera(WIDTH, HEIGHT, setting.carrier), TextureAtlas(street.textures)
    poses, pictures, truth = [], [], []
    masks: dict[str, list[np.ndarray]] = {name: [] for name in DETECTED}
    plan = [(stop, name) for stop in drive.stops for name in CAMERA_NAMES]
    for (stop, name), seeds in zip(plan, view_seeds.spawn(len(plan)), strict=True):
        moving = street.movers_at(stop.time, stop.leg, stop.since, float(stop.street_from_base.translation[0]))
        street_from_camera = stop.street_from_base @ base_from_camera(name, setting.carrier)
        color, labels = Scene(street.mesh, moving, atlas, street.sun, 1.0).render(camera, street_from_camera)
        poses.append((enu_from_street @ street_from_camera).inverse().matrix[:3])
        pictures.append(np.clip(color, 0, 255).astype(np.uint8))
        truth.append(labels.astype(np.uint16))
        for kind, seed_of in zip(DETECTED, seeds.spawn(len(DETECTED)), strict=True):
            masks[kind].append(detect(labels, setting.detected_by(DETECTORS[kind]), np.random.default_rng(seed_of))[0])
    return {
        "xyz": enu_from_street.apply(xyz),
        "owner": np.where(owner == FAR_HOUSE, -1, owner).astype(np.int64),
        "camera": np.array(camera.params),
        "poses": np.array(poses),
        "pictures": np.array(pictures),
        "truth": np.array(truth),
        **{f"masks_{kind}": np.array(found) for kind, found in masks.items()},
    }


def _cloud(street, drive, seeds) -> tuple[np.ndarray, np.ndarray]:
    """Points of all scans in the street frame, thinned, and their houses."""
    parts, owners = [], []
    for sweep in sweeps(street, drive, seeds):
        points, time = sweep.points, (sweep.stamp_ns - START_NS) * 1e-9
        local = np.stack([points["x"], points["y"], points["z"]], axis=1).astype(float)
        near = np.linalg.norm(local, axis=1) < RANGE
        local, points = local[near], points[near]
        moments, block = np.unique(points["time"], return_inverse=True)
        moved = np.empty_like(local)
        for k, moment in enumerate(moments.tolist()):
            mine = block == k
            moved[mine] = (drive.pose(time + moment) @ base_from_lidar()).apply(local[mine])
        kept = one_per_voxel(moved, VOXEL)
        parts.append(moved[kept])
        owners.append(points["truth"][kept].astype(np.int64))
    xyz, owner = np.concatenate(parts), np.concatenate(owners)
    kept = one_per_voxel(xyz, VOXEL)
    return xyz[kept], owner[kept]
