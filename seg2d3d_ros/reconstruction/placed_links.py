"""Points that two models have in common, and the similarity between the models on which most of them agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from seg2d3d_ros.arrays import take
from seg2d3d_ros.geometry.camera import NEAREST
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity, weighted_similarity

TRIALS = 200
SAMPLE = 4
ROUGH_ERROR = 12.0
"""Pixels within which a link speaks for a similarity from a sample; COLMAP's for absolute poses."""
MAX_REFINED = 600


@dataclass(frozen=True, eq=False)
class PlacedLinks:
    """K points that two models have, each seen in an image of either one, which may be the same image.

    Attributes:
        source_xyz: (K, 3) in the source's frame; ``target_xyz`` (K, 3) in the target's.
        source_pose: (K,) ``camera_from_world`` of the source's images; ``target_pose`` (K,) of the target's.
        source_rays: (K, 2) undistorted keypoints there; ``target_rays`` (K, 2).
        source_focal: (K,) focal lengths in pixels; ``target_focal`` (K,).
    """

    source_xyz: np.ndarray
    target_xyz: np.ndarray
    source_pose: Pose
    target_pose: Pose
    source_rays: np.ndarray
    target_rays: np.ndarray
    source_focal: np.ndarray
    target_focal: np.ndarray

    def __len__(self) -> int:
        return len(self.source_xyz)

    def offsets(self, similarity: Similarity) -> np.ndarray:
        """(K, 4) pixels: of the source's points in the target's images, and the other way round; 1e6 behind a camera."""
        there, back = similarity.apply(self.source_xyz), similarity.inverse().apply(self.target_xyz)
        return np.hstack(
            [
                _offset(there, self.target_pose, self.target_rays, self.target_focal),
                _offset(back, self.source_pose, self.source_rays, self.source_focal),
            ]
        )

    def errors(self, similarity: Similarity) -> np.ndarray:
        """(K,) pixels: the larger of the two distances."""
        offsets = self.offsets(similarity)
        return np.maximum(np.hypot(offsets[:, 0], offsets[:, 1]), np.hypot(offsets[:, 2], offsets[:, 3]))


def _offset(xyz: np.ndarray, camera_from_world: Pose, rays: np.ndarray, focal: np.ndarray) -> np.ndarray:
    local = camera_from_world.apply_each(xyz)
    ahead = local[:, 2] > NEAREST
    offset = (local[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None] - rays) * focal[:, None]
    return np.where(ahead[:, None], offset, 1e6)


def agreed_similarity(links: PlacedLinks, min_links: int, rng: np.random.Generator) -> Similarity | None:
    """The similarity from the source to the target that most links agree on; None where fewer than ``min_links`` do.

    RANSAC over samples of points, then the reprojection errors both ways are minimised with a Cauchy loss.
    """
    best: Similarity | None = None
    best_count = 0
    for _ in range(TRIALS):
        rows = rng.choice(len(links), SAMPLE, replace=False)
        similarity = weighted_similarity(links.source_xyz[rows], links.target_xyz[rows], np.ones(SAMPLE))
        if similarity is not None:
            count = int((links.errors(similarity) < ROUGH_ERROR).sum())
            if count > best_count:
                best, best_count = similarity, count
    if best is None:
        return None
    for _ in range(2):
        good = np.flatnonzero(links.errors(best) < ROUGH_ERROR)
        if len(good) < min_links:
            return None
        some = np.sort(rng.choice(good, min(len(good), MAX_REFINED), replace=False))
        best = _refined(best, take(links, some))
    return best


def _refined(start: Similarity, links: PlacedLinks) -> Similarity:
    """The similarity near ``start`` with the least robust reprojection error."""
    center = links.source_xyz.mean(0)
    moved = start.apply(center[None])[0]
    size = float(np.linalg.norm(start.apply(links.source_xyz) - moved, axis=1).mean())

    def value(x: np.ndarray) -> Similarity:
        scale = start.scale * float(np.exp(x[0]))
        rotation = Rotation.from_rotvec(x[1:4]).as_matrix() @ start.rotation
        return Similarity(scale, rotation, moved + size * x[4:7] - scale * rotation @ center)

    found = least_squares(
        lambda x: np.clip(links.offsets(value(x)), -1e3, 1e3).ravel(), np.zeros(7), loss="cauchy", max_nfev=20
    )
    return value(found.x)
