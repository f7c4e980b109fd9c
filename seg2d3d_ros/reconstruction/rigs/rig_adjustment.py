"""Models in which the mounts of a rig hold: they give the scale, merge models that share no points, and are adjusted to."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.adjustment import robust_error, robust_options, whole_model
from seg2d3d_ros.reconstruction.database import ColmapImage
from seg2d3d_ros.reconstruction.rigs.mount_change import mount_change
from seg2d3d_ros.reconstruction.rigs.rig_fit import fit_by_rig, merge_by_rig, rotation_offset, scale_by_rig
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, to_rig_frames, to_single_frames
from seg2d3d_ros.reconstruction.viewgraph import rigid_parts
from seg2d3d_ros.reconstruction.world.georeference import Scale

log = logging.getLogger(__name__)

MOUNTS_NOT_USED = Kind(
    "mounts_not_used",
    "rigs that the images contradict",
    cause="in the model the cameras are turned by {degrees}° against each other's mounts, which are not used",
    remedy="check the rig (TF, reconstruction.rig), or let reconstruction.refine_rig correct it",
)
MOUNTS_NOT_HELD = Kind(
    "mounts_not_held",
    "models in which the cameras' mounts do not hold",
    cause="the reprojection error would grow from {before} to {after} pixels",
    remedy="check the rig, or set reconstruction.refine_rig",
)
PANORAMAS_TORN = Kind(
    "panoramas_torn",
    "models in which the views of panoramas contradict each other",
    cause="{reason}, which cannot be: many matches are wrong, as on façades that repeat themselves",
    remedy="give the panoramas' positions (--gps): they hold a model together; the objects of this map are doubtful",
)
WRONG_DEGREES = 3.0
"""Mounts that the images contradict by more than this are not used."""
TOLERATED = 0.1
"""Pixels by which it may grow anyway."""
ITERATIONS = 30
STITCHED, STITCHED_TOLERATED = 1.5, 0.5
"""Of panoramas it may grow by so much: where the pictures of several lenses were joined, near things err by about a pixel."""
LOST, MISSED = 1000.0, 8.0
"""Pixels: an observation that misses its point by more was lost in the adjustment, perhaps behind the camera; and one that no
stitching explains."""
CONFIRMED = 0.9
"""Share of the observations that must fit when the views of panoramas are held."""
WORSE = 1.1
"""The reprojection error may grow by this factor at most when the mounts are made to hold."""


@dataclass(eq=False)
class ScaledModel:
    """A model whose scale may be known.

    Attributes:
        reconstruction: in metres where ``metric``.
        metric: whether its scale is known, by the mounts or otherwise.
        by_rig: what its scale is by the mounts, where these tell it; in metres its factor is near 1.
    """

    reconstruction: pycolmap.Reconstruction
    metric: bool
    by_rig: Scale | None


def apply_rig(
    models: Sequence[pycolmap.Reconstruction],
    rig: Rig,
    load: Callable[[int], ColmapImage],
    scale_of: Callable[[pycolmap.Reconstruction, Scale | None], float | None],
    fixed_cameras: Collection[int],
    threads: int,
    findings: Findings,
) -> tuple[list[pycolmap.Reconstruction], list[Scale | None]]:
    """Scale models to metres, merge them by the rig, and make the mounts hold.

    Args:
        models: of single images, the largest first; changed.
        rig: the mounts and frames.
        load: image id -> fresh camera, rig, image with keypoints, frame; to put several models into one.
        scale_of: metres per unit of a model, by the mounts if they tell it, GPS and odometry together; or None.
        fixed_cameras: ids of cameras whose intrinsics stay.
        threads: 0 = all cores.
        findings: gets what is wrong with the mounts.

    Returns:
        the models, the largest first, and the scale of each by the mounts; None where these do not tell.
    """
    for model in models:
        offset = rotation_offset(model, rig)
        if offset is not None and offset > WRONG_DEGREES and not rig.refine:
            if rig.exact:
                findings.add(PANORAMAS_TORN, reason=f"they are turned by {offset:.1f}° against each other")
            else:
                findings.add(MOUNTS_NOT_USED, degrees=f"{offset:.1f}")
            return list(models), [None] * len(models)
    scaled = [_scaled(model, rig, scale_of) for model in models]
    scaled.sort(key=lambda m: (m.by_rig is None, not m.metric, -m.reconstruction.num_reg_images()))

    def absorb(target: ScaledModel, source: ScaledModel, target_from_source: Similarity) -> None:
        source.reconstruction.transform(target_from_source.to_colmap())
        target.reconstruction = combine([target.reconstruction, source.reconstruction], load)

    merged = merge_by_rig(scaled, rig, lambda m: 1.0 if m.metric else None, absorb)
    for item in merged:
        registered = item.reconstruction.reg_image_ids()
        if (item.metric or not rig.has_length) and next(rig.pairs(registered, registered), None) is not None:
            item.reconstruction = hold_mounts(item.reconstruction, rig, fixed_cameras, threads, findings)
    return [item.reconstruction for item in merged], [item.by_rig for item in merged]


def _scaled(
    model: pycolmap.Reconstruction, rig: Rig, scale_of: Callable[[pycolmap.Reconstruction, Scale | None], float | None]
) -> ScaledModel:
    by_rig = scale_by_rig(model, rig)
    scale = scale_of(model, by_rig)
    if scale is None:
        return ScaledModel(model, metric=False, by_rig=None)
    model.transform(Similarity(scale, np.eye(3), np.zeros(3)).to_colmap())
    return ScaledModel(model, metric=True, by_rig=None if by_rig is None else Scale(by_rig.factor / scale, by_rig.sigma))


def combine(models: Sequence[pycolmap.Reconstruction], load: Callable[[int], ColmapImage]) -> pycolmap.Reconstruction:
    """One model of several in one world frame without common images; the points get new ids."""
    whole: pycolmap.Reconstruction = pycolmap.Reconstruction()
    for model in models:
        for image_id in sorted(model.reg_image_ids()):
            camera, rig, image, frame = load(image_id)
            if not whole.exists_camera(camera.camera_id):
                camera.params = model.camera(camera.camera_id).params.tolist()
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


def hold_mounts(
    model: pycolmap.Reconstruction,
    rig: Rig,
    fixed_cameras: Collection[int],
    threads: int,
    findings: Findings,
    further: Callable[[pycolmap.Reconstruction], pycolmap.Reconstruction | None] = lambda held: None,
) -> pycolmap.Reconstruction:
    """A copy of a model adjusted with the images of one moment as one frame, or ``model`` where that does not fit it.

    Args:
        model: of single images, in metres unless the rig has no length; not changed.
        rig: the mounts.
        fixed_cameras: ids of cameras whose intrinsics stay.
        threads: 0 = all cores.
        findings: gets what is wrong with the mounts.
        further: another adjustment of the model in rig frames; gives an adjusted copy, or None.
    """
    held, registered = copy.deepcopy(model), set(model.reg_image_ids())
    before = robust_error(held)
    if rig.has_length:
        place_parts(held, rig)
    single = to_rig_frames(held, rig)
    if not rig.has_length:
        _drop_points_of_one_place(held)
    adjust_rig_frames(held, fixed_cameras, threads, refine=rig.refine)
    after = robust_error(held)
    observed = held.compute_num_observations()
    pycolmap.ObservationManager(held).filter_all_points3D(LOST if not rig.exact else MISSED, 0.0)
    confirmed = held.compute_num_observations() / max(observed, 1)
    if rig.exact and (after > STITCHED * before + STITCHED_TOLERATED or confirmed < CONFIRMED):
        grown = f"with all views of each at one place {1 - confirmed:.0%} of the observations would not fit"
        findings.add(PANORAMAS_TORN, f"{len(registered)} images", reason=grown)
        return model
    limit = WORSE * before + TOLERATED
    if after > limit and not rig.exact:
        corrected = None if rig.refine else _corrected(held, rig, fixed_cameras, threads, limit, findings)
        if corrected is None:
            findings.add(MOUNTS_NOT_HELD, f"{len(registered)} images", before=f"{before:.2f}", after=f"{after:.2f}")
            return model
        held = corrected
    held = further(held) or held
    to_single_frames(held, single, keep=rig.companions(registered))
    return held


def _drop_points_of_one_place(model: pycolmap.Reconstruction) -> None:
    """Delete, in place, points that only views of one panorama see: without parallax nothing tells how far away they are."""
    for point_id, point in list(model.points3D.items()):
        if len({model.image(element.image_id).frame_id for element in point.track.elements}) < 2:
            model.delete_point3D(point_id)


def _corrected(
    held: pycolmap.Reconstruction, rig: Rig, fixed_cameras: Collection[int], threads: int, limit: float, findings: Findings
) -> pycolmap.Reconstruction | None:
    """A copy with refined mounts, where these stay near to what was given and the reprojection error below ``limit``."""
    corrected = copy.deepcopy(held)
    adjust_rig_frames(corrected, fixed_cameras, threads, refine=True)
    change = mount_change(corrected, rig)
    if robust_error(corrected) > limit or not change.small:
        return None
    change.tell(findings)
    return corrected


def place_parts(model: pycolmap.Reconstruction, rig: Rig) -> None:
    """Put the parts of a metric model that share no points beside each other as the mounts want it, in place.

    They may have been merged before the scale was known.
    """
    parts = rigid_parts(model)
    for part in parts[1:]:
        similarity = fit_by_rig(model, model, rig, 1.0, between=(part, parts[0]))
        if similarity is not None:
            _move_part(model, set(part), similarity)


def _move_part(model: pycolmap.Reconstruction, part: set[int], similarity: Similarity) -> None:
    moved = similarity.to_colmap()
    for image_id in part:
        frame = model.frame(model.image(image_id).frame_id)
        if frame.rig_from_world is not None:
            frame.rig_from_world = moved.transform_camera_world(frame.rig_from_world)
    for point in model.points3D.values():
        if point.track.elements[0].image_id in part:
            point.xyz = moved * point.xyz


def adjust_rig_frames(model: pycolmap.Reconstruction, fixed_cameras: Collection[int], threads: int, *, refine: bool) -> None:
    """Bundle adjustment, in place, of a model in rig frames with a robust loss; the mounts stay unless ``refine``."""
    options = robust_options(pycolmap.LossFunctionType.CAUCHY, ITERATIONS, threads)
    options.refine_sensor_from_rig = refine
    pycolmap.create_default_bundle_adjuster(options, whole_model(model, fixed_cameras), model).solve()
    model.update_point_3d_errors()
