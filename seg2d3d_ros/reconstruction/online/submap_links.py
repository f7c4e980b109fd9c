"""Correspondences between two models: keypoint matches that are points in both, and the similarity these agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from seg2d3d_ros.arrays import take
from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.camera import NEAREST, Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity, weighted_similarity
from seg2d3d_ros.reconstruction.online.correspondence_graph import CorrespondenceGraph

TRIALS = 200
SAMPLE = 4
ROUGH_ERROR = 12.0
"""Pixels within which a link speaks for a similarity from a sample; COLMAP's for absolute poses."""
FINE_ERROR = 4.0
"""Pixels within which two points are one after the refinement; COLMAP's for observations."""
MIN_SHARE = 0.6
"""Of the links that must agree: repeated façades give links that contradict the true ones, or each other."""
MAX_REFINED = 600


@dataclass(frozen=True)
class Links:
    """Matched keypoints of which one is a point in the source and the other one in the target, K of them.

    Attributes:
        source_images: (K,) int64 ids of the images in the source.
        target_images: (K,) in the target; the same id where an image is in both.
        source_points: (K,) int64 point ids.
        target_points: (K,).
        source_rays: (K, 2) undistorted keypoints.
        target_rays: (K, 2).
    """

    source_images: np.ndarray
    target_images: np.ndarray
    source_points: np.ndarray
    target_points: np.ndarray
    source_rays: np.ndarray
    target_rays: np.ndarray

    def __len__(self) -> int:
        return len(self.source_points)


class _Observations:
    """Point ids and undistorted keypoints of a model's images, computed when asked for."""

    def __init__(self, reconstruction: pycolmap.Reconstruction) -> None:
        self._reconstruction = reconstruction
        self._found: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def __call__(self, image_id: int) -> tuple[np.ndarray, np.ndarray]:
        if image_id not in self._found:
            image = self._reconstruction.image(image_id)
            ids = np.full(image.num_points2D(), -1, np.int64)
            rays = np.zeros((len(ids), 2))
            seen = np.array(image.get_observation_point2D_idxs(), np.int64)
            if len(seen):
                points = image.get_observation_points2D()
                ids[seen] = [p.point3D_id for p in points]
                camera = Camera.from_colmap(self._reconstruction.camera(image.camera_id))
                rays[seen] = camera.rays(np.array([p.xy for p in points]))[:, :2]
            self._found[image_id] = (ids, rays)
        return self._found[image_id]


def find_links(graph: CorrespondenceGraph, source: pycolmap.Reconstruction, target: pycolmap.Reconstruction) -> Links:
    """All links between two models, by the pairs in the graph and by the images that are in both."""
    there = set(target.reg_image_ids())
    source_image, target_image = _Observations(source), _Observations(target)
    found: list[tuple[np.ndarray, ...]] = []
    for b in sorted(source.reg_image_ids()):
        for a in [b, *sorted(graph.matches(b))] if b in there else sorted(graph.matches(b)):
            if a not in there or not (a == b or graph.entered(a, b)):
                continue
            (ids_b, rays_b), (ids_a, rays_a) = source_image(b), target_image(a)
            keys_b, keys_a = (np.arange(len(ids_b)),) * 2 if a == b else graph.keypoint_matches(b, a).T
            both = (ids_b[keys_b] >= 0) & (ids_a[keys_a] >= 0)
            keys_b, keys_a = keys_b[both], keys_a[both]
            images = np.full(len(keys_b), b), np.full(len(keys_b), a)
            found.append((*images, ids_b[keys_b], ids_a[keys_a], rays_b[keys_b], rays_a[keys_a]))
    if not found:
        none = np.zeros(0, np.int64)
        return Links(none, none, none, none, np.zeros((0, 2)), np.zeros((0, 2)))
    return Links(*(np.concatenate(column) for column in zip(*found, strict=True)))


class _Geometry:
    """Reprojection errors of links under a similarity."""

    def __init__(self, links: Links, source: pycolmap.Reconstruction, target: pycolmap.Reconstruction) -> None:
        self.source_xyz, self.target_xyz = _positions(source, links.source_points), _positions(target, links.target_points)
        self._links = links
        self._source_pose, self._source_focal = _cameras(source, links.source_images)
        self._target_pose, self._target_focal = _cameras(target, links.target_images)

    def offsets(self, similarity: Similarity) -> np.ndarray:
        """(K, 4) pixels: of the source's points in the target's images, and the other way round; 1e6 behind a camera."""
        there, back = similarity.apply(self.source_xyz), similarity.inverse().apply(self.target_xyz)
        return np.hstack(
            [
                _offset(there, self._target_pose, self._links.target_rays, self._target_focal),
                _offset(back, self._source_pose, self._links.source_rays, self._source_focal),
            ]
        )

    def errors(self, similarity: Similarity) -> np.ndarray:
        """(K,) pixels: the larger of the two distances."""
        offsets = self.offsets(similarity)
        return np.maximum(np.hypot(offsets[:, 0], offsets[:, 1]), np.hypot(offsets[:, 2], offsets[:, 3]))


def _positions(reconstruction: pycolmap.Reconstruction, point_ids: np.ndarray) -> np.ndarray:
    unique, inverse = np.unique(point_ids, return_inverse=True)
    return np.array([reconstruction.point3D(int(i)).xyz for i in unique]).reshape(-1, 3)[inverse]


def _cameras(reconstruction: pycolmap.Reconstruction, image_ids: np.ndarray) -> tuple[Pose, np.ndarray]:
    """(K,) ``camera_from_world`` and (K,) focal lengths in pixels."""
    unique, inverse = np.unique(image_ids, return_inverse=True)
    images = [reconstruction.image(int(i)) for i in unique]
    poses = Pose.stack([Pose.from_colmap(image.cam_from_world()) for image in images])
    focal = np.array([reconstruction.camera(image.camera_id).mean_focal_length() for image in images])
    return poses[inverse], focal[inverse]


def _offset(xyz: np.ndarray, camera_from_world: Pose, rays: np.ndarray, focal: np.ndarray) -> np.ndarray:
    local = camera_from_world.apply_each(xyz)
    ahead = local[:, 2] > NEAREST
    offset = (local[:, :2] / np.where(ahead, local[:, 2], 1.0)[:, None] - rays) * focal[:, None]
    return np.where(ahead[:, None], offset, 1e6)


def fit_links(
    links: Links, source: pycolmap.Reconstruction, target: pycolmap.Reconstruction, min_points: int, seed: int
) -> tuple[Similarity, np.ndarray] | None:
    """The similarity from the source to the target that the links agree on, and (K,) bool which of them do.

    RANSAC over samples of points, then the reprojection errors both ways are minimised with a Cauchy loss.

    Args:
        links: from ``find_links``.
        source: the model to be moved.
        target: the model that stays.
        min_points: distinct points that must agree, seen by at least two images on one side.
        seed: of the samples.

    Returns:
        None where too few links agree, or too small a share of all.
    """
    if len(np.unique(links.source_points)) < min_points:
        return None
    geometry = _Geometry(links, source, target)
    rng = np.random.default_rng(seed)
    best: Similarity | None = None
    best_count = 0
    for _ in range(TRIALS):
        rows = rng.choice(len(links), SAMPLE, replace=False)
        similarity = weighted_similarity(geometry.source_xyz[rows], geometry.target_xyz[rows], np.ones(SAMPLE))
        if similarity is not None:
            count = int((geometry.errors(similarity) < ROUGH_ERROR).sum())
            if count > best_count:
                best, best_count = similarity, count
    if best is None:
        return None
    for _ in range(2):
        good = np.flatnonzero(geometry.errors(best) < ROUGH_ERROR)
        if len(good) < min_points:
            return None
        some = np.sort(rng.choice(good, min(len(good), MAX_REFINED), replace=False))
        best = _refined(best, _Geometry(take(links, some), source, target))
    agree = geometry.errors(best) < FINE_ERROR
    views = max(len(np.unique(links.source_images[agree])), len(np.unique(links.target_images[agree])))
    enough = len(np.unique(links.source_points[agree])) >= min_points and agree.mean() >= MIN_SHARE and views >= 2
    return (best, agree) if enough else None


def _refined(start: Similarity, geometry: _Geometry) -> Similarity:
    """The similarity near ``start`` with the least robust reprojection error."""
    center = geometry.source_xyz.mean(0)
    moved = start.apply(center[None])[0]
    size = float(np.linalg.norm(start.apply(geometry.source_xyz) - moved, axis=1).mean())

    def value(x: np.ndarray) -> Similarity:
        scale = start.scale * float(np.exp(x[0]))
        rotation = Rotation.from_rotvec(x[1:4]).as_matrix() @ start.rotation
        return Similarity(scale, rotation, moved + size * x[4:7] - scale * rotation @ center)

    found = least_squares(
        lambda x: np.clip(geometry.offsets(value(x)), -1e3, 1e3).ravel(), np.zeros(7), loss="cauchy", max_nfev=20
    )
    return value(found.x)
