"""Models in which the mounts of a rig hold: parts that share no points are joined by them, and metres come from them."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap, thread_count
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask
from seg2d3d_ros.reconstruction.rigs.rig_fit import MIN_PAIRS, fit_by_rig, mounting, scale_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, mounts_of, to_rig_frames, to_single_frames
from seg2d3d_ros.reconstruction.viewgraph import rigid_parts

log = logging.getLogger(__name__)

WRONG_DEGREES = 3.0
"""Mounts that the images contradict by more than this are not used."""
ITERATIONS = 30
WORSE = 1.1
"""The reprojection error may grow by this factor at most when the mounts are made to hold."""
Load = Callable[[int], tuple[Any, Any, Any, Any]]
"""Image id -> fresh ``pycolmap`` camera, rig, image with keypoints, frame."""


@dataclass
class RigReport:
    """What came of the rig.

    Attributes:
        metres: length of each model's unit, None where it is unknown.
        by_rig: per model, whether the mounts gave the length.
        warnings: in words.
        mounts: as refined, where that was asked for.
    """

    metres: list[float | None] = field(default_factory=list)
    by_rig: list[bool] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    mounts: dict[str, Pose] = field(default_factory=dict)


def apply_rig(
    models: Sequence[Any], rig: Rig, task: MapperTask, load: Load, length: Callable[[Any], float | None]
) -> tuple[list[Any], RigReport]:
    """Join models by the rig, make the mounts hold, and scale to metres where the mounts say how long a metre is.

    Args:
        models: ``pycolmap.Reconstruction`` of single images, the largest first.
        rig: the mounts and frames.
        task: database, cameras and threads.
        load: what is needed to put several models into one.
        length: metres of a model's unit by other means (GPS, odometry), or None.
    """
    report = RigReport()
    found = []
    for model in models:
        check = mounting(model, rig)
        if check.pairs >= MIN_PAIRS and check.offset > WRONG_DEGREES and not rig.refine:
            report.warnings.append(
                f"the cameras' mounts are not used: in the model they are turned by {check.offset:.1f}° against each other; "
                "check the rig (TF, reconstruction.rig), or let reconstruction.refine_rig correct it"
            )
            return list(models), RigReport([None] * len(models), [False] * len(models), report.warnings)
        metres = scale_by_rig(model, rig)
        found.append(_Part(model, metres if metres is not None else length(model), metres is not None))
    joined = []
    for part in _join(found, rig, load):
        adjusted = part.model
        if part.metres is not None and mounting(part.model, rig).pairs:
            adjusted = hold_mounts(part.model, rig, part.metres, task.fixed_cameras.keys(), task.threads, report)
        joined.append(adjusted)
        report.metres.append(part.metres)
        report.by_rig.append(part.by_rig)
    return joined, report


@dataclass
class _Part:
    model: Any
    metres: float | None
    by_rig: bool


def _join(parts: list[_Part], rig: Rig, load: Load) -> list[_Part]:
    """Let models take in others, those with a known unit first."""
    rest = sorted(parts, key=lambda p: (not p.by_rig, p.metres is None, -p.model.num_reg_images()))
    done = []
    while rest:
        base, rest = rest[0], rest[1:]
        members: list[tuple[Any, Similarity | None]] = [(base.model, None)]
        left = []
        for part in sorted(rest, key=lambda p: -p.model.num_reg_images()):
            similarity = fit_by_rig(part.model, base.model, rig, base.metres)
            if similarity is None:
                left.append(part)
            else:
                members.append((part.model, similarity))
        if len(members) > 1:
            log.info("%d models are one by the cameras' mounts", len(members))
            base = _Part(combine(members, load), base.metres, base.by_rig)
        done.append(base)
        rest = [p for p in rest if any(p is other for other in left)]
    return sorted(done, key=lambda p: (-p.model.num_reg_images(), -p.model.num_points3D()))


def combine(members: Sequence[tuple[Any, Similarity | None]], load: Load) -> Any:
    """One ``pycolmap.Reconstruction`` of several without common images, each moved by its similarity; new point ids."""
    pycolmap = load_pycolmap()
    whole = pycolmap.Reconstruction()
    for model, similarity in members:
        if similarity is not None:
            rotation = pycolmap.Rotation3d(similarity.rotation)
            model.transform(pycolmap.Sim3d(similarity.scale, rotation, similarity.translation))
        for image_id in sorted(model.reg_image_ids()):
            camera, rig, image, frame = load(image_id)
            if not whole.exists_camera(camera.camera_id):
                camera.params = model.camera(camera.camera_id).params
                whole.add_camera(camera)
                whole.add_rig(rig)
            frame.rig_from_world = model.image(image_id).cam_from_world()
            whole.add_frame(frame)
            whole.add_image(image)
            whole.register_frame(frame.frame_id)
        for _, point in sorted(model.points3D.items()):
            whole.add_point3D(point.xyz, point.track, point.color)
    whole.update_point_3d_errors()
    return whole


def hold_mounts(model: Any, rig: Rig, metres: float, fixed_cameras: Collection[int], threads: int, report: RigReport) -> Any:
    """A copy of ``model`` adjusted with the images of one moment tied together, or ``model`` where that does not fit it."""
    tied, registered = copy.deepcopy(model), set(model.reg_image_ids())
    before = mean_error(tied)
    place_parts(tied, rig, metres)
    free = to_rig_frames(tied, rig, metres)
    adjust_rig_frames(tied, fixed_cameras, threads, refine=rig.refine)
    after = mean_error(tied)
    if after > WORSE * before + 0.1:
        report.warnings.append(
            f"the cameras' mounts are not made to hold in a model of {len(registered)} images: the reprojection error would "
            f"grow from {before:.2f} to {after:.2f} pixels; check the rig, or set reconstruction.refine_rig"
        )
        return model
    if rig.refine:
        report.mounts = mounts_of(tied, rig, metres)
    to_single_frames(tied, free, keep=registered)
    return tied


def place_parts(model: Any, rig: Rig, metres: float) -> None:
    """Put the parts of a model that share no points beside each other as the mounts want it, in place.

    They may have been joined before the length of the unit was known.
    """
    parts = rigid_parts(model)
    for part in parts[1:]:
        similarity = fit_by_rig(model, model, rig, metres, between=(part, parts[0]))
        if similarity is not None:
            _move_part(model, set(part), similarity)


def _move_part(model: Any, part: set[int], similarity: Similarity) -> None:
    pycolmap = load_pycolmap()
    moved = pycolmap.Sim3d(similarity.scale, pycolmap.Rotation3d(similarity.rotation), similarity.translation)
    for image_id in part:
        frame = model.frame(model.image(image_id).frame_id)
        frame.rig_from_world = moved.transform_camera_world(frame.rig_from_world)
    for point in model.points3D.values():
        if point.track.elements[0].image_id in part:
            point.xyz = moved * point.xyz


def adjust_rig_frames(tied: Any, fixed_cameras: Collection[int], threads: int, *, refine: bool) -> None:
    """Bundle adjustment of a tied model with a robust loss; the mounts stay unless ``refine``."""
    pycolmap = load_pycolmap()
    config = pycolmap.BundleAdjustmentConfig()
    for image_id in sorted(tied.reg_image_ids()):
        config.add_image(image_id)
    for camera_id in sorted(set(fixed_cameras) & set(tied.cameras)):
        config.set_constant_cam_intrinsics(camera_id)
    options: Any = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    options.refine_sensor_from_rig = refine
    options.ceres.loss_function_type = pycolmap.LossFunctionType.CAUCHY
    options.ceres.solver_options.max_num_iterations = ITERATIONS
    options.ceres.solver_options.num_threads = thread_count(threads)
    pycolmap.create_default_bundle_adjuster(options, config, tied).solve()
    tied.update_point_3d_errors()


def mean_error(model: Any) -> float:
    """Mean over the points of their reprojection errors in pixels, each counted up to 4."""
    model.update_point_3d_errors()
    errors = np.fromiter((p.error for p in model.points3D.values()), float, model.num_points3D())
    return float(np.minimum(errors, 4.0).mean()) if len(errors) else 0.0
