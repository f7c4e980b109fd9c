"""A furnished street with the poses, points and masks of a drive, without pictures: what associating thin things needs.

Labels and depths are cast as rays; points are taken from the surfaces, as a reconstruction finds them: many on façades and on
the road, hardly any on what is thin. Poses have noise. Half a minute a street, where pictures and a reconstruction take ten.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.simulation.detector import DETECTORS, detect
from seg2d3d_ros.simulation.drive import CAMERA_NAMES, Drive, base_from_camera, make_camera
from seg2d3d_ros.simulation.furniture_detector import FURNITURE_DETECTORS, LEAST_AREA, detect_furniture
from seg2d3d_ros.simulation.scene.mesh import concatenate
from seg2d3d_ros.simulation.scene.ray_caster import RayCaster
from seg2d3d_ros.simulation.scene.street import build_street
from seg2d3d_ros.simulation.street_folder import CLASSES
from seg2d3d_ros.types import Segments, SparseModel, WorldFrame

POINTS_PER_IMAGE = 250
SEEN = 0.5
"""Chance that a view that sees a point has it matched."""
KEPT_ON_THIN = 0.05
"""Of the points on furniture, how many a reconstruction finds."""
PIXEL_NOISE, POINT_NOISE, REACH = 0.5, 0.02, 40.0


@dataclass(frozen=True)
class ThinScene:
    """One street: T fixtures with (T,) kinds, (T, 3) feet in the model's frame, and (T,) images that see each."""

    segments: dict[str, Segments]
    truth: dict[str, np.ndarray]
    models: list[SparseModel]
    ids: np.ndarray
    kinds: np.ndarray
    feet: np.ndarray
    images: np.ndarray


def make_scene(
    seed: int,
    detector: str,
    *,
    buildings: int = 10,
    keyframes: int = 96,
    cameras: int = 3,
    position_noise: float = 0.02,
    angle_noise: float = 0.05,
    width: int = 960,
    height: int = 640,
) -> ThinScene:
    """Drive down the street and back.

    Args:
        detector: quality of the masks: clean, typical or hard.
        position_noise, angle_noise: standard deviations of each pose, in metres and degrees about each axis.
    """
    street_seeds, drive_seeds, noise_seeds = np.random.SeedSequence(seed).spawn(3)
    street = build_street(street_seeds, buildings, furniture=True)
    rng = np.random.default_rng(noise_seeds)
    drive = Drive(np.random.default_rng(drive_seeds), street.length, -(-keyframes // cameras))
    camera = make_camera(width, height)
    kinds = {f.id: f.kind for f in street.fixtures}
    pixels = np.stack(np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5), -1).reshape(-1, 2)
    rays = camera.rays(pixels)
    names, poses, segments, truth, depths, pool = [], [], {}, {}, [], []
    seen: dict[int, int] = dict.fromkeys(kinds, 0)
    for stop in drive.stops:
        moving = street.movers_at(stop.time, stop.leg, stop.since, float(stop.street_from_base.translation[0]))
        mesh = concatenate([street.mesh, moving])
        caster = RayCaster(mesh)
        for name in CAMERA_NAMES[:cameras]:
            if len(names) == keyframes:
                break
            pose = stop.street_from_base @ base_from_camera(name)
            origin = np.broadcast_to(pose.translation, rays.shape)
            distance, triangle, _ = caster.cast(np.hstack([origin, rays @ pose.rotation.T]))  # z = 1: distances are depths
            labels = np.where(triangle >= 0, mesh.label[triangle], 0).astype(np.int32)
            still = (triangle >= 0) & (triangle < len(street.mesh.label)) & (distance < REACH)
            chosen = rng.permutation(np.flatnonzero(still))[:POINTS_PER_IMAGE]
            chosen = chosen[~np.isin(labels[chosen], list(kinds)) | (rng.random(len(chosen)) < KEPT_ON_THIN)]
            pool.append(pose.apply(rays[chosen] * distance[chosen, None]))
            image = labels.reshape(height, width)
            key = f"{name}_{stop.stamp_ns}"
            segments[key] = _segments(key, image, kinds, detector, rng)
            truth[key] = image
            for i, area in zip(*np.unique(image, return_counts=True), strict=True):
                if int(i) in kinds and area >= LEAST_AREA * (width / 960.0) ** 2:
                    seen[int(i)] += 1
            names.append(key)
            poses.append(pose.inverse())
            depths.append(distance.reshape(height, width).astype(np.float32))
    turns = Rotation.from_rotvec(rng.normal(0, np.radians(angle_noise), (len(names), 3))).as_matrix()
    noisy = [
        Pose(t @ p.rotation, t @ p.translation + rng.normal(0, position_noise, 3)) for t, p in zip(turns, poses, strict=True)
    ]
    model = _model(tuple(names), camera, poses, noisy, np.concatenate(pool), depths, rng)
    feet = np.array([f.foot for f in street.fixtures]).reshape(-1, 3)
    ids = np.array([f.id for f in street.fixtures])
    images = np.array([seen[i] for i in ids.tolist()])
    return ThinScene(segments, truth, [model], ids, np.array([f.kind for f in street.fixtures]), feet, images)


def _segments(key: str, labels: np.ndarray, kinds: dict[int, str], detector: str, rng: np.random.Generator) -> Segments:
    house = np.where(np.isin(labels, list(kinds)), 0, labels)
    image, facts = detect(house, DETECTORS[detector], rng)
    image, more = detect_furniture(labels, kinds, FURNITURE_DETECTORS[detector], rng, image)
    ids = np.setdiff1d(np.unique(image), [0]).astype(np.uint16)
    known = [{**facts, **more}[int(i)] for i in ids]
    classes = np.array([1 + CLASSES.index(str(fact["class"])) for fact in known], np.int32)
    return Segments(key, image, ids, classes, np.array([fact["score"] for fact in known], np.float32))


def _model(
    names: tuple[str, ...],
    camera: object,
    poses: list[Pose],
    noisy: list[Pose],
    xyz: np.ndarray,
    depths: list[np.ndarray],
    rng: np.random.Generator,
) -> SparseModel:
    keyframe, point, pixel = [], [], []
    for k, pose in enumerate(poses):
        xy, depth = View(camera, pose).project(xyz)  # type: ignore[arg-type]
        inside = np.flatnonzero(camera.inside(xy) & (rng.random(len(xyz)) < SEEN))  # type: ignore[attr-defined]
        at = np.floor(xy[inside]).astype(int)
        near = np.abs(depths[k][at[:, 1], at[:, 0]] - depth[inside]) < 0.02 * depth[inside]
        inside = inside[near]
        keyframe.append(np.full(len(inside), k, np.int32))
        point.append(inside)
        pixel.append(xy[inside] + rng.normal(0, PIXEL_NOISE, (len(inside), 2)))
    kf, pt, px = np.concatenate(keyframe), np.concatenate(point), np.concatenate(pixel).astype(np.float32)
    px = np.clip(px, 0, [camera.width - 1e-3, camera.height - 1e-3]).astype(np.float32)  # type: ignore[attr-defined]
    often = np.bincount(pt, minlength=len(xyz)) >= 2
    number = np.cumsum(often) - 1
    kept = often[pt]
    count = int(often.sum())
    return SparseModel(
        names,
        (camera,) * len(names),  # type: ignore[arg-type]
        np.array([pose.matrix[:3] for pose in noisy]),
        xyz[often] + rng.normal(0, POINT_NOISE, (count, 3)),
        np.full((count, 3), 128, np.uint8),
        np.full(count, 0.5, np.float32),
        np.arange(1, count + 1, dtype=np.int64),
        kf[kept],
        number[pt[kept]].astype(np.int32),
        px[kept],
        WorldFrame("metric", up=(0.0, 0.0, 1.0)),
    )


def reordered(scene: ThinScene, seed: int) -> ThinScene:
    """The same images in random order."""
    model = scene.models[0]
    order = np.random.default_rng(seed).permutation(len(model.names))
    place = np.argsort(order)
    names = tuple(model.names[k] for k in order)
    moved = replace(
        model,
        names=names,
        camera_from_world=model.camera_from_world[order],
        obs_keyframe=place[model.obs_keyframe].astype(np.int32),
    )
    return replace(scene, models=[moved], segments={name: scene.segments[name] for name in names})
