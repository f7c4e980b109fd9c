"""Matches of many pairs of views linked to tracks, and each track triangulated to one 3D point that all its views confirm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from seg2d3d_ros.association.points.feature_views import FeatureView
from seg2d3d_ros.geometry.pose import Pose

MAX_ERROR = 1.5
"""Pixels of reprojection error, at FOCAL pixels focal length."""
FOCAL = 800.0
MIN_ANGLE = np.deg2rad(1.0)
"""Between a point's outermost rays; below, its depth is not determined."""


@dataclass(frozen=True)
class PointTracks:
    """T points and their N observations.

    Attributes:
        xyz: (T, 3) float64.
        error: (T,) float32 mean reprojection error in pixels.
        view: (N,) int64.
        feature: (N,) int64 index into the view's features.
        track: (N,) int64.
    """

    xyz: np.ndarray
    error: np.ndarray
    view: np.ndarray
    feature: np.ndarray
    track: np.ndarray

    def take(self, points: np.ndarray) -> PointTracks:
        """Some of the points, (T,) bool, with their observations."""
        kept, number = points[self.track], np.cumsum(points) - 1
        return PointTracks(self.xyz[points], self.error[points], self.view[kept], self.feature[kept], number[self.track[kept]])


def triangulate(views: Sequence[FeatureView], matches: Sequence[tuple[int, int, np.ndarray, np.ndarray]]) -> PointTracks:
    """Link matched features to tracks, and triangulate these.

    A track that would hold two features of one view is left out. Views whose reprojection error is above ``MAX_ERROR`` leave
    the track, the worst first; a track of fewer than two views is left out.

    Args:
        matches: (first view, second view, features of the first, features of the second).
    """
    first = np.concatenate([[0], np.cumsum([len(view) for view in views])]).astype(np.int64)
    if not any(len(a) for _, _, a, _ in matches):
        nothing = np.empty(0, np.int64)
        return PointTracks(np.empty((0, 3)), np.empty(0, np.float32), nothing, nothing, nothing)
    rows = np.concatenate([first[i] + a for i, _, a, _ in matches])
    columns = np.concatenate([first[j] + b for _, j, _, b in matches])
    graph = sparse.coo_matrix((np.ones(len(rows), bool), (rows, columns)), (first[-1], first[-1]))
    _, component = connected_components(graph, directed=False)
    node = np.unique(np.concatenate([rows, columns]))
    view = np.searchsorted(first, node, side="right") - 1
    _, track = np.unique(component[node], return_inverse=True)
    place, count = np.unique(np.stack([track, view]), axis=1, return_counts=True)
    torn = np.zeros(track.max() + 1, bool)
    torn[place[0, count > 1]] = True
    kept = ~torn[track]
    view, feature, track = view[kept], (node - first[view])[kept], track[kept]
    ray = np.concatenate([item.rays[:, :2] for item in views])[node[kept]]
    pose = Pose.stack([item.camera_from_world for item in views])
    focal = np.array([item.focal for item in views])
    while True:
        enough = np.bincount(track, minlength=1)[track] >= 2
        view, feature, ray = view[enough], feature[enough], ray[enough]
        names, track = np.unique(track[enough], return_inverse=True)
        xyz = _triangulated(pose[view], ray, track, len(names))
        local = pose[view].apply_each(xyz[track])
        with np.errstate(divide="ignore", invalid="ignore"):
            error = np.linalg.norm(local[:, :2] / local[:, 2:] - ray, axis=1)
        error = np.where(local[:, 2] > 0, error, np.inf) * np.minimum(focal[view], FOCAL)
        worst = np.zeros(len(names))
        np.maximum.at(worst, track, error)
        bad = (error > MAX_ERROR) & (error == worst[track])
        if not bad.any():
            break
        view, feature, ray, track = view[~bad], feature[~bad], ray[~bad], track[~bad]
    mean = np.bincount(track, error, len(names)) / np.maximum(np.bincount(track, minlength=len(names)), 1)
    tracks = PointTracks(xyz, mean.astype(np.float32), view, feature, track)
    return tracks.take(_angle(pose[view], xyz, track, len(names)) > MIN_ANGLE)


def _triangulated(pose: Pose, ray: np.ndarray, track: np.ndarray, count: int) -> np.ndarray:
    """(count, 3) points nearest to their rays in the algebraic sense (DLT), solved as 3 × 3 normal equations; views far from
    the point would outweigh near ones, so each is divided by the depth of a first solution."""
    matrix = pose.matrix
    equations = ray[:, :, None] * matrix[:, None, 2, :] - matrix[:, :2, :]
    xyz: np.ndarray = np.zeros((count, 3))
    scale = np.ones(len(track))
    for _ in range(2):
        scaled = equations / scale[:, None, None]
        a, b = scaled[:, :, :3], -scaled[:, :, 3]
        normal, right = np.zeros((count, 3, 3)), np.zeros((count, 3))
        np.add.at(normal, track, np.einsum("nki,nkj->nij", a, a))
        np.add.at(right, track, np.einsum("nki,nk->ni", a, b))
        trace = np.einsum("tii->t", normal)
        normal += (1e-12 * trace + 1e-300)[:, None, None] * np.eye(3)
        xyz = np.linalg.solve(normal, right[:, :, None])[:, :, 0]
        scale = np.maximum(np.abs(pose.apply_each(xyz[track])[:, 2]), 1e-6)
    return xyz


def _angle(pose: Pose, xyz: np.ndarray, track: np.ndarray, count: int) -> np.ndarray:
    """(count,) angle between a track's first ray and the one farthest from it."""
    to_point = xyz[track] - pose.origin
    to_point /= np.maximum(np.linalg.norm(to_point, axis=1, keepdims=True), 1e-12)
    _, first = np.unique(track, return_index=True)
    cosine = (to_point * to_point[first[track]]).sum(axis=1) if len(track) else np.empty(0)
    least = np.ones(count)
    np.minimum.at(least, track, cosine)
    return np.arccos(np.clip(least, -1, 1))
