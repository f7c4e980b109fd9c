"""What mounts say about models: whether these are straight, how long their unit is, and how two of them belong together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig, camera_from_world
from seg2d3d_ros.reconstruction.viewgraph import rigid_parts

MIN_PAIRS = 3
BENT_DEGREES = 3.0
"""Rotations between cameras that scatter by more than this, in more than ``BENT_SHARE`` of the frames: a bent model."""
BENT_SHARE = 0.1
MAX_SCALE_ERROR = 0.1
"""Largest relative standard error of a unit's length that counts as known."""
JOIN_RESIDUAL = 0.05
"""Two models are joined when their paths agree to this share of the path's extent."""


@dataclass(frozen=True)
class Mounting:
    """Rotations between cameras in a model, compared with their mounts.

    Attributes:
        pairs: how many pairs of images of one frame there are.
        offset: degrees that the model's mean rotations differ from the mounts'.
        bent: share of the pairs that are further than ``BENT_DEGREES`` from the mean.
    """

    pairs: int
    offset: float = 0.0
    bent: float = 0.0

    @property
    def straight(self) -> bool:
        """Whether the model may be right."""
        return self.bent <= BENT_SHARE


def mounting(reconstruction: Any, rig: Rig) -> Mounting:
    """How well a model of single images keeps to the mounts."""
    registered = set(reconstruction.reg_image_ids())
    by_cameras: dict[tuple[str, str], list[np.ndarray]] = {}
    for a, b in rig.pairs(registered, registered):
        if a.camera_name < b.camera_name:
            pose_a, pose_b = (camera_from_world(reconstruction, row.image_id) for row in (a, b))
            away = rig.relative(a, b).rotation.T @ (pose_b @ pose_a.inverse()).rotation
            by_cameras.setdefault((a.camera_name, b.camera_name), []).append(away)
    count = sum(map(len, by_cameras.values()))
    if count < MIN_PAIRS:
        return Mounting(count)
    offset, bent = 0.0, 0
    for found in by_cameras.values():
        rotations = Rotation.from_matrix(np.array(found))
        middle = _median_rotation(rotations)
        offset = max(offset, float(np.degrees(middle.magnitude())))
        bent += int((np.degrees((middle.inv() * rotations).magnitude()) > BENT_DEGREES).sum())
    return Mounting(count, offset, bent / count)


def _median_rotation(rotations: Rotation) -> Rotation:
    """The rotation from which most are not far: the mean of the half that is nearest to the best of them."""
    apart = np.array([np.median((one.inv() * rotations).magnitude()) for one in rotations])
    best = rotations[int(np.argmin(apart))]
    near = np.argsort((best.inv() * rotations).magnitude())[: len(apart) // 2 + 1]
    return rotations[near].mean()


def scale_by_rig(reconstruction: Any, rig: Rig) -> float | None:
    """Metres of the model's unit by the distances between cameras of one frame, or None where they do not say.

    Only frames count of which two images hang together by points: in others the mounts alone gave the distance.
    """
    parts = rigid_parts(reconstruction)
    ratios = []
    for part in parts:
        inside = set(part)
        for a, b in rig.pairs(inside, inside):
            known = rig.relative(b, a).translation  # centre of b in a's frame
            length = float(np.linalg.norm(known))
            if a.image_id < b.image_id and length > 0.0:
                pose_a, pose_b = (camera_from_world(reconstruction, row.image_id) for row in (a, b))
                ratios.append(float((pose_a @ pose_b.inverse()).translation @ known) / length**2)
    if len(ratios) < MIN_PAIRS:
        return None
    middle = float(np.median(ratios))
    error = 1.4826 * float(np.median(np.abs(np.array(ratios) - middle))) / np.sqrt(len(ratios))
    return 1.0 / middle if middle > 0 and error < MAX_SCALE_ERROR * middle else None


def fit_by_rig(
    source: Any,
    target: Any,
    rig: Rig,
    metres: float | None,
    between: tuple[Collection[int], Collection[int]] | None = None,
) -> Similarity | None:
    """The similarity from ``source`` to ``target`` by frames that have an image in each; None where they do not agree.

    Args:
        source: a ``pycolmap.Reconstruction`` of single images.
        target: another.
        rig: the mounts.
        metres: length of the target's unit; where it is unknown the cameras of a frame count as one place.
        between: ids of the images of the source and of the target to go by, where these are not all.
    """
    rotations, before, after = [], [], []
    sources, targets = between or (source.reg_image_ids(), target.reg_image_ids())
    for a, b in rig.pairs(set(targets), set(sources)):
        b_from_a = rig.relative(a, b).scaled(0.0 if metres is None else 1.0 / metres)
        there, here = b_from_a @ camera_from_world(target, a.image_id), camera_from_world(source, b.image_id)
        rotations.append(there.rotation.T @ here.rotation)
        before.append(here.origin)
        after.append(there.origin)
    if len(rotations) < MIN_PAIRS:
        return None
    all_rotations = Rotation.from_matrix(np.array(rotations))
    rotation = _median_rotation(all_rotations)
    apart = np.degrees((rotation.inv() * all_rotations).magnitude())
    good = apart <= BENT_DEGREES
    if good.sum() < MIN_PAIRS or good.mean() < 1.0 - 2 * BENT_SHARE:
        return None
    turned = np.array(before)[good] @ rotation.as_matrix().T
    fit = _scale_and_shift(turned, np.array(after)[good])
    if fit is None:
        return None
    scale, shift = fit
    return Similarity(scale, rotation.as_matrix(), shift)


def _scale_and_shift(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray] | None:
    """``target ≈ scale * source + shift`` with Cauchy weights; None where the two paths are not alike."""
    weights = np.ones(len(source))
    scale, shift = 0.0, np.zeros(3)
    for _ in range(20):
        share = weights / weights.sum()
        a, b = source - share @ source, target - share @ target
        spread = float(share @ (a**2).sum(1))
        if spread <= 0.0:
            return None
        scale = float(share @ (a * b).sum(1)) / spread
        shift = share @ target - scale * share @ source
        away = np.linalg.norm(scale * source + shift - target, axis=1)
        weights = 1.0 / (1.0 + (away / max(float(np.median(away)), 1e-12)) ** 2)
    extent = float(np.sqrt(((target - target.mean(0)) ** 2).sum(1).mean()))
    return (scale, shift) if scale > 0.0 and np.median(away) < JOIN_RESIDUAL * extent else None
