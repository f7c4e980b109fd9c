"""How the two images of every verified pair lie to each other, from the pair alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.pose import Pose

Pair = tuple[int, int]
"""Image ids, the smaller one first."""


@dataclass(frozen=True)
class RelativePose:
    """Of a verified pair.

    Attributes:
        second_from_first: the length of the translation means nothing.
        matches: (M, 2) int64 keypoint indices of the verified ones.
    """

    second_from_first: Pose
    matches: np.ndarray


def relative_poses(
    database: pycolmap.Database, model: pycolmap.Reconstruction, pairs: Sequence[tuple[int, int, int]]
) -> dict[Pair, RelativePose]:
    """Pairs whose essential matrix tells a pose; those of a pure rotation or of a plane only keep their rotation, too.

    Args:
        database: has the verified matches.
        model: has the images with their keypoints.
        pairs: image id, image id (the smaller one first), verified matches.
    """
    keypoints = {i: keypoints_of(image) for i, image in model.images.items()}
    found = {}
    for first, second, _ in pairs:
        if first in keypoints and second in keypoints:
            geometry = database.read_two_view_geometry(first, second)
            views = [model.camera(model.image(i).camera_id) for i in (first, second)]
            told = pycolmap.estimate_two_view_geometry_pose(views[0], keypoints[first], views[1], keypoints[second], geometry)
            if told and geometry.cam2_from_cam1 is not None:
                pose = Pose.from_colmap(geometry.cam2_from_cam1)
                found[first, second] = RelativePose(pose, geometry.inlier_matches.astype(np.int64))
    return found


def keypoints_of(image: pycolmap.Image) -> np.ndarray:
    """(N, 2) pixels."""
    return np.array([p.xy for p in image.points2D]).reshape(-1, 2)
