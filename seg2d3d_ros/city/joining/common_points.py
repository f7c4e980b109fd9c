"""What two blocks have in common: the same image in both, and in it the same keypoint, which is one 3D point seen twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.city.joining.block_content import BlockContent
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.placed_links import PlacedLinks


@dataclass(frozen=True, eq=False)
class CommonPoints:
    """K images that two blocks have registered, and L keypoints in them that are 3D points in both.

    Attributes:
        images: names of the images.
        pose_a: (K,) ``camera_from_world`` in block a; ``pose_b`` (K,) in block b.
        image: (L,) which image.
        point_a: (L,) row of the point in a's model; ``point_b`` (L,) in b's.
        links: the same as links from b to a.
    """

    images: tuple[str, ...]
    pose_a: Pose
    pose_b: Pose
    image: np.ndarray
    point_a: np.ndarray
    point_b: np.ndarray
    links: PlacedLinks

    def __len__(self) -> int:
        return len(self.image)


def common_points(a: BlockContent, b: BlockContent) -> CommonPoints | None:
    """What two blocks have in common; None where they share no registered image."""
    images = tuple(sorted(set(a.model.names) & set(b.model.names)))
    if not images:
        return None
    rows_a, rows_b = (np.array([content.row[name] for name in images]) for content in (a, b))
    pose_a, pose_b = a.model.pose[rows_a], b.model.pose[rows_b]
    image, point_a, point_b, rays_a, rays_b, focal_a, focal_b = ([] for _ in range(7))
    for k, (row_a, row_b) in enumerate(zip(rows_a, rows_b, strict=True)):
        seen_a, seen_b = a.observed[row_a], b.observed[row_b]
        seen_a, seen_b = _same(seen_a, a.model.obs_xy, seen_b, b.model.obs_xy)
        camera_a, camera_b = a.model.cameras[row_a], b.model.cameras[row_b]
        image.append(np.full(len(seen_a), k))
        point_a.append(a.model.obs_point[seen_a])
        point_b.append(b.model.obs_point[seen_b])
        rays_a.append(camera_a.rays(a.model.obs_xy[seen_a])[:, :2] if len(seen_a) else np.zeros((0, 2)))
        rays_b.append(camera_b.rays(b.model.obs_xy[seen_b])[:, :2] if len(seen_b) else np.zeros((0, 2)))
        focal_a.append(np.full(len(seen_a), np.mean(camera_a.focal_lengths)))
        focal_b.append(np.full(len(seen_b), np.mean(camera_b.focal_lengths)))
    which, pa, pb = (np.concatenate(part).astype(np.int64) for part in (image, point_a, point_b))
    ra, rb, fa, fb = (np.concatenate(part) for part in (rays_a, rays_b, focal_a, focal_b))
    usable = np.isfinite(ra).all(axis=1) & np.isfinite(rb).all(axis=1)
    which, pa, pb, ra, rb, fa, fb = (part[usable] for part in (which, pa, pb, ra, rb, fa, fb))
    links = PlacedLinks(b.model.xyz[pb], a.model.xyz[pa], pose_b[which], pose_a[which], rb, ra, fb, fa)
    return CommonPoints(images, pose_a, pose_b, which, pa, pb, links)


def _same(rows_a: np.ndarray, xy_a: np.ndarray, rows_b: np.ndarray, xy_b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Observations of one image in both blocks that are of one keypoint: features of an image are the same wherever found.

    Keypoints that lie in one place, of several orientations, cannot be told apart and are left out.
    """
    keys_a, keys_b = _keys(xy_a[rows_a]), _keys(xy_b[rows_b])
    single_a, single_b = _single(keys_a), _single(keys_b)
    _, in_a, in_b = np.intersect1d(keys_a[single_a], keys_b[single_b], return_indices=True)
    return rows_a[single_a][in_a], rows_b[single_b][in_b]


def _keys(xy: np.ndarray) -> np.ndarray:
    """(N,) int64 from (N, 2) pixels, to a hundredth: what was written and read again may differ in its last bit."""
    rounded = np.round(np.asarray(xy, np.float64) * 100).astype(np.int64)
    return np.asarray(rounded[:, 0] * (1 << 31) + rounded[:, 1], np.int64)


def _single(keys: np.ndarray) -> np.ndarray:
    _, place, counts = np.unique(keys, return_inverse=True, return_counts=True)
    return np.asarray(counts[place.ravel()] == 1, bool)
