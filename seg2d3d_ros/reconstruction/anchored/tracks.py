"""Keypoints that matches join across images: what may be one point."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse
from scipy.sparse import csgraph

from seg2d3d_ros.reconstruction.anchored.relative_poses import Pair, RelativePose


@dataclass(frozen=True, eq=False)
class KeypointTracks:
    """P tracks of K observations.

    Attributes:
        images: (K,) int64 image ids.
        keypoints: (K,) int64 index of the keypoint in its image.
        tracks: (K,) int64 0 to P - 1, ascending.
        rays: (K, 3) unit vectors of the keypoints in the camera frame, or in the world frame (``turned``).
    """

    images: np.ndarray
    keypoints: np.ndarray
    tracks: np.ndarray
    rays: np.ndarray

    def __len__(self) -> int:
        return int(self.tracks[-1]) + 1 if len(self.tracks) else 0

    def take(self, kept: np.ndarray) -> KeypointTracks:
        """Those of some tracks (P,) bool."""
        rows = kept[self.tracks]
        return self.rows(rows, (np.cumsum(kept) - 1)[self.tracks[rows]])

    def rows(self, rows: np.ndarray, numbers: np.ndarray) -> KeypointTracks:
        """Some observations (K,) bool, whose tracks get new numbers, one for each that is left."""
        return KeypointTracks(self.images[rows], self.keypoints[rows], numbers, self.rays[rows])

    def turned(self, rotations: Mapping[int, np.ndarray]) -> KeypointTracks:
        """With rays in the world frame, by image id -> (3, 3) ``camera_from_world``."""
        ids = np.unique(self.images)
        every = np.array([rotations[i] for i in ids.tolist()]).reshape(-1, 3, 3)[np.searchsorted(ids, self.images)]
        return replace(self, rays=np.einsum("nji,nj->ni", every, self.rays))

    def longest(self, per_image: int) -> KeypointTracks:
        """The longest tracks, so many that each image has ``per_image`` of them as far as there are."""
        lengths = np.bincount(self.tracks, minlength=len(self))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        _, image = np.unique(self.images, return_inverse=True)
        count = np.zeros(image.max(initial=0) + 1, np.int64)
        kept = np.zeros(len(self), bool)
        for track in np.argsort(-lengths, kind="stable"):
            seen = image[starts[track] : starts[track + 1]]
            if (count[seen] < per_image).any():
                kept[track] = True
                count[seen] += 1
        return self.take(kept)


def find_tracks(relative: Mapping[Pair, RelativePose], rays: Mapping[int, np.ndarray]) -> KeypointTracks:
    """Connected keypoints; a track that has two keypoints of one image is none, because one of its matches is wrong.

    Args:
        relative: the pairs whose matches count.
        rays: image id -> (N, 3) unit vectors of its keypoints in the camera frame.
    """
    ids = np.array(sorted(rays), np.int64)
    starts = np.concatenate([[0], np.cumsum([len(rays[i]) for i in ids])])
    start = dict(zip(ids.tolist(), starts[:-1].tolist(), strict=True))
    found = [pair.matches + [start[a], start[b]] for (a, b), pair in relative.items()]
    edges = np.concatenate(found) if found else np.zeros((0, 2), np.int64)
    shape = (int(starts[-1]),) * 2
    graph = sparse.coo_matrix((np.ones(len(edges), bool), (edges[:, 0], edges[:, 1])), shape)
    _, labels = csgraph.connected_components(graph, directed=False)
    nodes = np.unique(edges)
    image = np.searchsorted(starts, nodes, side="right") - 1
    _, number = np.unique(labels[nodes], return_inverse=True)
    once = np.unique(np.column_stack([number, image]), axis=0)[:, 0]
    distinct = np.bincount(number) == np.bincount(once)
    order = np.argsort(number, kind="stable")
    nodes, image, number = nodes[order], image[order], number[order]
    directions = np.concatenate([rays[i] for i in ids.tolist()]) if len(ids) else np.zeros((0, 3))
    whole = KeypointTracks(ids[image], nodes - starts[image], number, directions[nodes])
    return whole.take(distinct)
