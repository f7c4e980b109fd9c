"""Cameras that turn together although nobody said that they are mounted together: their mounts, from the images' rotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.rigs.rig_fit import MIN_PAIRS, median_rotation
from seg2d3d_ros.reconstruction.rigs.rig_frames import Rig

CONSTANT_DEGREES = 6.0
"""Two cameras are mounted together where their rotation against each other is the same to within this."""
MIN_SHARE = 0.8
"""Of their common moments."""
LONGEST = 5.0
"""Metres between two cameras of one vehicle."""


def find_mounts(
    rotations: Mapping[int, np.ndarray],
    moments: Sequence[Sequence[ImageRow]],
    positions: Mapping[int, np.ndarray],
    sigmas: Mapping[int, float],
) -> Rig | None:
    """A rig whose mounts have the right rotation and no length yet: adjustments must refine them. None where there is none.

    Args:
        rotations: image id -> (3, 3) ``camera_from_world``.
        moments: images of one moment, each camera at most once.
        positions: image id -> (3,) metres; the cameras of one vehicle are near to each other.
        sigmas: image id -> standard deviation of its position.
    """
    together = [[row for row in moment if row.image_id in rotations] for moment in moments]
    together = [moment for moment in together if len(moment) > 1]
    counts = Counter(row.camera_name for moment in together for row in moment)
    if not counts:
        return None
    reference = min(counts, key=lambda name: (-counts[name], name))
    mounts = {reference: Pose.identity()}
    for name in sorted(counts.keys() - {reference}):
        by_camera = [{row.camera_name: row.image_id for row in moment} for moment in together]
        both = [(ids[reference], ids[name]) for ids in by_camera if reference in ids and name in ids]
        if len(both) < MIN_PAIRS:
            continue
        relative = Rotation.from_matrix(np.array([rotations[a] @ rotations[b].T for a, b in both]))
        middle = median_rotation(relative)
        constant = np.degrees((middle.inv() * relative).magnitude()) < CONSTANT_DEGREES
        if constant.mean() >= MIN_SHARE and _near(both, positions, sigmas):
            mounts[name] = Pose(middle.as_matrix(), np.zeros(3))
    if len(mounts) < 2:
        return None
    frames = [[row for row in moment if row.camera_name in mounts] for moment in moments]
    return Rig(mounts, [frame for frame in frames if frame], refine=True)


def largest_difference(given: Rig, found: Rig) -> float:
    """Degrees by which the rotation between two cameras differs between two rigs, at most over the cameras of both."""
    names = sorted(given.mounts.keys() & found.mounts.keys())
    differences = [
        (given.mounts[a].inverse() @ given.mounts[b]).rotation.T @ (found.mounts[a].inverse() @ found.mounts[b]).rotation
        for a, b in combinations(names, 2)
    ]
    return max((float(np.degrees(Rotation.from_matrix(d).magnitude())) for d in differences), default=0.0)


def _near(pairs: Sequence[tuple[int, int]], positions: Mapping[int, np.ndarray], sigmas: Mapping[int, float]) -> bool:
    """Whether most of the pairs of images may have been taken from one vehicle."""
    known = [(a, b) for a, b in pairs if a in positions and b in positions]
    allowed = [LONGEST + 3.0 * np.hypot(sigmas[a], sigmas[b]) for a, b in known]
    apart = [np.linalg.norm(positions[a] - positions[b]) for a, b in known]
    return not known or float(np.median(np.array(apart) - allowed)) < 0.0
