"""What mounts say about models: how their rotations differ, the scale, and how two models belong together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import Protocol, TypeVar

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.similarity import Similarity, fit_points
from seg2d3d_ros.reconstruction.rigs.rig_frames import SHORTEST, Rig, camera_from_world
from seg2d3d_ros.reconstruction.viewgraph import by_size, rigid_parts
from seg2d3d_ros.reconstruction.world.georeference import Scale

log = logging.getLogger(__name__)

MIN_PAIRS = 3
"""Pairs of images of one moment from which anything is concluded."""
INLIER_DEGREES = 3.0
"""Pairs whose rotation is this near to the median one fit it."""
MIN_INLIERS = 0.8
"""Share of the pairs that must fit before two models are merged: within a distorted model rotations scatter."""
MAX_SCALE_ERROR = 0.1
"""Largest relative standard error of a scale that counts as known."""
MOUNT_SIGMA = 0.003
"""Metres: of the measured distance between two cameras. Of cameras that are 0.2 m apart it leaves the scale open by 1.5 %."""
MAX_PATH_RESIDUAL = 0.05
"""Two models are merged when their paths lie this near to each other, as a share of the path's extent."""


def rotation_offset(model: pycolmap.Reconstruction, rig: Rig) -> float | None:
    """Degrees by which the model's median rotation between two cameras differs from their mounts.

    Of all pairs of cameras it is the largest; None where fewer than ``MIN_PAIRS`` pairs of images can tell.
    """
    registered = model.reg_image_ids()
    by_cameras: dict[tuple[str, str], list[np.ndarray]] = {}
    for a, b in rig.pairs(registered, registered):
        if a.camera_name < b.camera_name:
            measured = camera_from_world(model, b.image_id) @ camera_from_world(model, a.image_id).inverse()
            offset = rig.relative(a, b).rotation.T @ measured.rotation
            by_cameras.setdefault((a.camera_name, b.camera_name), []).append(offset)
    if sum(map(len, by_cameras.values())) < MIN_PAIRS:
        return None
    medians = [median_rotation(Rotation.from_matrix(np.array(found))) for found in by_cameras.values()]
    return max(float(np.degrees(median.magnitude())) for median in medians)


def median_rotation(rotations: Rotation) -> Rotation:
    """The rotation from which most are not far: the mean of the half that is nearest to the best of them."""
    distances = np.array([np.median((one.inv() * rotations).magnitude()) for one in rotations])
    best = rotations[int(np.argmin(distances))]
    near = np.argsort((best.inv() * rotations).magnitude())[: len(distances) // 2 + 1]
    return rotations[near].mean()


def scale_by_rig(model: pycolmap.Reconstruction, rig: Rig) -> Scale | None:
    """Metres per model unit by the distances between cameras of one frame, or None where they do not tell.

    Only frames count of which two images are connected by points: in others the mounts alone gave the distance. Where the model
    has the cameras elsewhere on the vehicle than the mounts say, by so many metres, the distances may be wrong by as much.
    """
    ratios, lengths = [], []
    by_cameras: dict[tuple[str, str], list[np.ndarray]] = {}
    for part in rigid_parts(model):
        for a, b in rig.pairs(part, part):
            known = rig.relative(b, a).translation  # the centre of b in the frame of a
            length = float(np.linalg.norm(known))
            if a.image_id < b.image_id and length > SHORTEST:
                a_from_b = camera_from_world(model, a.image_id) @ camera_from_world(model, b.image_id).inverse()
                ratios.append(float(a_from_b.translation @ known) / length**2)
                lengths.append(length)
                by_cameras.setdefault((a.camera_name, b.camera_name), []).append(np.stack([a_from_b.translation, known]))
    if len(ratios) < MIN_PAIRS:
        return None
    middle = float(np.median(ratios))
    error = 1.4826 * float(np.median(np.abs(np.array(ratios) - middle))) / np.sqrt(len(ratios))
    if middle <= 0 or error >= MAX_SCALE_ERROR * middle:
        return None
    medians = np.array([np.median(found, axis=0) for found in by_cameras.values()])  # pairs of cameras, measured and known
    elsewhere = float(np.sqrt(((medians[:, 0] / middle - medians[:, 1]) ** 2).sum(axis=1).mean()))
    return Scale(1.0 / middle, float(np.hypot(error / middle, max(MOUNT_SIGMA, elsewhere) / np.median(lengths))))


def fit_by_rig(
    source: pycolmap.Reconstruction,
    target: pycolmap.Reconstruction,
    rig: Rig,
    scale: float | None,
    between: tuple[Collection[int], Collection[int]] | None = None,
) -> Similarity | None:
    """``target_from_source`` by frames that have an image in each model; None where these contradict each other.

    Args:
        source: a model of single images.
        target: another.
        rig: the mounts.
        scale: metres per unit of the target; where it is unknown the cameras of a frame count as one place.
        between: ids of the images of the source and of the target to go by, where these are not all.
    """
    rotations, before, after = [], [], []
    sources, targets = between or (source.reg_image_ids(), target.reg_image_ids())
    for a, b in rig.pairs(targets, sources):
        b_from_a = rig.relative(a, b).scaled(0.0 if scale is None else 1.0 / scale)
        b_from_target, b_from_source = b_from_a @ camera_from_world(target, a.image_id), camera_from_world(source, b.image_id)
        rotations.append(b_from_target.rotation.T @ b_from_source.rotation)
        before.append(b_from_source.origin)
        after.append(b_from_target.origin)
    if len(rotations) < MIN_PAIRS:
        return None
    all_rotations = Rotation.from_matrix(np.array(rotations))
    median = median_rotation(all_rotations)
    good = np.degrees((median.inv() * all_rotations).magnitude()) <= INLIER_DEGREES
    if good.sum() < MIN_PAIRS or good.mean() < MIN_INLIERS:
        return None
    here, there = np.array(before)[good], np.array(after)[good]
    similarity = fit_points(here, there, rotation=median.as_matrix(), min_points=MIN_PAIRS)
    if similarity is None:
        return None
    residual = float(np.median(np.linalg.norm(similarity.apply(here) - there, axis=1)))
    extent = float(np.sqrt(((there - there.mean(0)) ** 2).sum(1).mean()))
    return similarity if residual < MAX_PATH_RESIDUAL * extent else None


class HasReconstruction(Protocol):
    """Whatever holds a model of COLMAP's."""

    reconstruction: pycolmap.Reconstruction


Model = TypeVar("Model", bound=HasReconstruction)


def merge_by_rig(
    models: Sequence[Model],
    rig: Rig,
    scale_of: Callable[[Model], float | None],
    absorb: Callable[[Model, Model, Similarity], None],
) -> list[Model]:
    """The models after each took in later ones by frames with an image in both; the largest first.

    Args:
        models: those that take in others first.
        rig: the mounts.
        scale_of: metres per unit of a model, or None.
        absorb: (target, source, ``target_from_source``) lets the target take in the source.
    """
    rest, done = list(models), []
    while rest:
        target, others = rest[0], rest[1:]
        rest = []
        for source in others:
            ids = [m.reconstruction.reg_image_ids() for m in (target, source)]
            enough = len(list(rig.pairs(*ids))) >= MIN_PAIRS
            similarity = fit_by_rig(source.reconstruction, target.reconstruction, rig, scale_of(target)) if enough else None
            if similarity is None:
                rest.append(source)
                continue
            log.info("models of %d and %d images are one by the cameras' mounts", len(ids[0]), len(ids[1]))
            absorb(target, source, similarity)
        done.append(target)
    return sorted(done, key=lambda m: by_size(m.reconstruction))
