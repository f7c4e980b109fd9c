"""How well the images of a solved model are placed: keypoints, positions, mounts and all, for the map directory."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import NOTE, Findings, Kind
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance, PoseWindow, gauge_directions, skew
from seg2d3d_ros.reconstruction.certainty.free_covariance import free_covariance, pixel_sigma, without_gauge
from seg2d3d_ros.reconstruction.certainty.held_covariance import HeldPositions, held_covariance
from seg2d3d_ros.reconstruction.certainty.image_windows import image_windows
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.viewgraph import only_images, visibility
from seg2d3d_ros.reconstruction.world.locator import Locator
from seg2d3d_ros.types import WorldFrame

COVARIANCE_UNKNOWN = Kind(
    "covariance_unknown",
    "models whose errors are unknown",
    cause="{reason}",
    remedy="positions of their objects have no covariance; nothing need be done where nobody asks how sure they are",
    level=NOTE,
)
FAILED = "COLMAP's bundle adjustment finds no covariance: too few keypoints hold its images together"
UNHELD = "a part of the model has too few good positions, and how far it is off on the Earth is open"
TRUSTED = "the poses were taken as they are (trust = fixed), and nobody said how far these are off"
OFF = 6.0
"""Standard deviations, or times the scatter of all positions, from which on one is wrong and holds nothing."""
LEAST = 4
"""Positions that hold a model."""
TYPICAL = 1.1774
"""Median length of a vector of two standard normal numbers."""


@dataclass(frozen=True)
class ModelEvidence:
    """What placed a model beside its keypoints.

    Attributes:
        locator: has the positions.
        rows: the map's images, by id.
        frame: of the model.
        fixed_cameras: ids of cameras whose intrinsics are known.
        pulled: whether positions pulled at its shape; False: it was only laid over them.
        upright: whether cameras' vertical and the known scale took part in laying it there.
        scale_sigma: relative standard deviation of the scale by mounts or odometry; None = unknown.
    """

    locator: Locator
    rows: Mapping[int, ImageRow]
    frame: WorldFrame
    fixed_cameras: Collection[int]
    pulled: bool
    upright: bool
    scale_sigma: float | None


def solved_covariance(
    model: pycolmap.Reconstruction, evidence: ModelEvidence, threads: int, findings: Findings
) -> PoseCovariance | None:
    """The covariance of a model's poses; None where it is unknown, which is said.

    Args:
        model: as it is written, every image a frame of its own; not changed.
        evidence: see there.
        threads: 0 = all cores.
        findings: gets why there is none.
    """
    named = sorted(model.reg_image_ids(), key=lambda i: evidence.rows[i].file_name)
    shown = f"{len(named)} images from {evidence.rows[named[0]].file_name}" if named else "no images"
    sigma = pixel_sigma(model)
    ids, seen = visibility(model)
    if not np.isfinite(sigma):
        findings.add(COVARIANCE_UNKNOWN, shown, reason=FAILED)
        return None
    centers = np.array([model.image(int(i)).projection_center() for i in ids])
    place = {image_id: k for k, image_id in enumerate(named)}
    absolute = _is_held(model, evidence)
    windows: list[PoseWindow] = []
    for rows in image_windows(centers, seen):
        found = _of_window(only_images(model, ids[rows].tolist()), evidence, sigma, threads, absolute=absolute)
        if isinstance(found, str):
            findings.add(COVARIANCE_UNKNOWN, shown, reason=found)
            return None
        order = np.array([place[i] for i in found[0]])
        kept = (6 * np.argsort(order)[:, None] + np.arange(6)).ravel()
        windows.append(PoseWindow(np.sort(order).astype(np.int32), found[1][np.ix_(kept, kept)].astype(np.float32)))
    return PoseCovariance(tuple(evidence.rows[i].name for i in named), tuple(windows), sigma, absolute)


def _is_held(model: pycolmap.Reconstruction, evidence: ModelEvidence) -> bool:
    located = evidence.locator.positions.keys() & set(model.reg_image_ids())
    return evidence.frame.kind == "enu" and evidence.frame == evidence.locator.world and len(located) >= LEAST


def _of_window(
    model: pycolmap.Reconstruction, evidence: ModelEvidence, sigma: float, threads: int, *, absolute: bool
) -> tuple[list[int], np.ndarray] | str:
    """Image ids and covariance of a model, or a part of one that is small enough; why, where it is unknown.

    Args:
        absolute: positions hold the model: a part that too few of them hold is not said to be surer than the others.
    """
    free = free_covariance(model, evidence.fixed_cameras, threads)
    if free is None:
        return FAILED
    ids, matrix = free
    centers = np.array([model.image(i).projection_center() for i in ids])
    matrix = without_gauge(matrix, centers)
    if absolute:
        held = _held_positions(model, ids, evidence)
        return UNHELD if held is None else (ids, held_covariance(matrix, centers, sigma, held))
    matrix = sigma**2 * matrix
    if evidence.frame.kind != "arbitrary" and evidence.frame.scale_sigma is not None:
        stretch = gauge_directions(centers)[:, 6]
        matrix = matrix + evidence.frame.scale_sigma**2 * np.outer(stretch, stretch)
    return ids, matrix


def _held_positions(model: pycolmap.Reconstruction, ids: Sequence[int], evidence: ModelEvidence) -> HeldPositions | None:
    """The positions that hold these images (ascending ids); None where too few do."""
    locator = evidence.locator
    at_cameras = locator.at_cameras(model)
    located = [k for k, i in enumerate(ids) if i in at_cameras]
    rest = np.array([at_cameras[ids[k]] - model.image(ids[k]).projection_center() for k in located]).reshape(-1, 3)
    sigmas = np.array([locator.sigmas[ids[k]] for k in located])
    heights = np.array([ids[k] in locator.heights for k in located], bool)
    across = np.hypot(rest[:, 0], rest[:, 1]) / sigmas
    scatter = max(float(np.median(across)) / TYPICAL, 1.0) if located else 1.0
    good = across <= OFF * scatter
    if good.sum() < LEAST:
        return None
    rows = [evidence.rows[ids[k]] for k in located]
    upwards = np.array([_claimed_upwards(row, sigma) for row, sigma in zip(rows, sigmas.tolist(), strict=True)])
    kept = [k for k, fits in zip(located, good.tolist(), strict=True) if fits]
    return HeldPositions(
        np.array(kept),
        rest[good],
        scatter * sigmas[good],
        np.column_stack([sigmas, upwards])[good],
        heights[good],
        _times(rows)[good],
        evidence.pulled,
        _known_gauge(model, ids, evidence),
    )


def _claimed_upwards(row: ImageRow, sigma: float) -> float:
    """Standard deviation of a position's height in metres, as claimed; that of the plane where nobody says."""
    variance = float(row.geo.covariance[2, 2]) if row.geo is not None and row.geo.covariance is not None else 0.0
    return float(np.sqrt(variance)) if 0.0 < variance < np.inf else sigma


def _times(rows: Sequence[ImageRow]) -> np.ndarray:
    """(n,) seconds of the images; their places in the order of names where images have no time."""
    stamps = np.array([row.stamp_ns for row in rows])
    if (stamps > 0).all() and np.ptp(stamps) > 0:
        return np.asarray((stamps - stamps.min()) * 1e-9)
    return np.argsort(np.argsort([row.name for row in rows], kind="stable")).astype(float)


def _known_gauge(model: pycolmap.Reconstruction, ids: Sequence[int], evidence: ModelEvidence) -> np.ndarray:
    """(7, 7) inverse covariance of what cameras' vertical and mounts say of turn and stretch."""
    known = np.zeros((7, 7))
    if evidence.upright:
        poses = Pose.stack([Pose.from_colmap(model.image(i).cam_from_world()) for i in ids])
        (turned,) = skew(Z[None])
        known[3:6, 3:6] = turned.T @ evidence.locator.verticals(ids, poses)[0].precision @ turned
    if evidence.scale_sigma is not None:
        known[6, 6] = 1.0 / evidence.scale_sigma**2
    return known
