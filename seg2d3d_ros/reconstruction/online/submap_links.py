"""Correspondences between two models: keypoint matches that are points in both, and the similarity these agree on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.online.correspondence_graph import CorrespondenceGraph
from seg2d3d_ros.reconstruction.placed_links import PlacedLinks, agreed_similarity

FINE_ERROR = 4.0
"""Pixels within which two points are one after the refinement; COLMAP's for observations."""
MIN_SHARE = 0.6
"""Of the links that must agree: repeated façades give links that contradict the true ones, or each other."""


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


def _placed(links: Links, source: pycolmap.Reconstruction, target: pycolmap.Reconstruction) -> PlacedLinks:
    source_pose, source_focal = _cameras(source, links.source_images)
    target_pose, target_focal = _cameras(target, links.target_images)
    return PlacedLinks(
        _positions(source, links.source_points),
        _positions(target, links.target_points),
        source_pose,
        target_pose,
        links.source_rays,
        links.target_rays,
        source_focal,
        target_focal,
    )


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
    geometry = _placed(links, source, target)
    best = agreed_similarity(geometry, min_points, np.random.default_rng(seed))
    if best is None:
        return None
    agree = geometry.errors(best) < FINE_ERROR
    views = max(len(np.unique(links.source_images[agree])), len(np.unique(links.target_images[agree])))
    enough = len(np.unique(links.source_points[agree])) >= min_points and agree.mean() >= MIN_SHARE and views >= 2
    return (best, agree) if enough else None
