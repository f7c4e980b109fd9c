"""A LiDAR's points labelled by a network as they come, without masks: new points beside those before them, ids that stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.learning.cloud_segmentation import CloudSegmenter
from seg2d3d_ros.learning.scene_building import Cloud
from seg2d3d_ros.lidar.carry import GREY, Carried
from seg2d3d_ros.superpoints.shown_labels import LabelledView

AROUND = 30.0
"""Metres around new points within which those before them are looked at, too: a single scan is too thin to know a house by."""
KEPT_POINTS = 400_000
"""Points that are kept of what came before, the newest: about 20 MB."""
SAME = 0.3
"""Share of an instance's known points that had an id before, from which on it keeps the id."""


class LiveLabels:
    """Labels stretch after stretch of a drive: a ``lidar.labeller.Carry``.

    Args:
        up: (3,) unit vector of the points' frame.
    """

    def __init__(self, segmenter: CloudSegmenter, up: np.ndarray):
        self._segmenter, self._up = segmenter, up
        self._xyz, self._id = np.empty((0, 3)), np.empty(0, np.int32)
        self._last = 0

    def __call__(self, xyz: np.ndarray, views: Sequence[LabelledView]) -> Carried:
        """Labels of new points (N, 3) in metres; the views are not looked at."""
        low, high = xyz.min(axis=0) - AROUND, xyz.max(axis=0) + AROUND
        near = np.flatnonzero(((self._xyz > low) & (self._xyz < high)).all(axis=1))
        everything = np.concatenate([xyz, self._xyz[near]])
        found = self._segmenter.segment(Cloud(everything, None, self._up))
        before = np.concatenate([self._known(xyz), self._id[near]])
        instance = self._renamed(found.instance, before)
        self._keep(everything, instance, near)
        count = len(xyz)
        confidence = np.where(instance[:count] > 0, found.confidence[:count], 0).astype(np.float32)
        return Carried(instance[:count], confidence, np.full((count, 3), GREY, np.uint8))

    def _known(self, xyz: np.ndarray) -> np.ndarray:
        """(N,) int32 the ids that the kept points nearest to new ones have; 0 where there is none within a voxel."""
        if len(self._xyz) == 0 or len(xyz) == 0:
            return np.zeros(len(xyz), np.int32)
        _, at = cKDTree(self._xyz).query(xyz, distance_upper_bound=self._segmenter.voxel)
        return np.append(self._id, 0)[at].astype(np.int32)

    def _renamed(self, instance: np.ndarray, before: np.ndarray) -> np.ndarray:
        """(N,) int32 the instances under the ids that they had, each id given once, the largest share first; new ones else."""
        both = (instance > 0) & (before > 0)
        pairs, shared = np.unique(np.stack([instance[both], before[both]]), axis=1, return_counts=True)
        known = np.bincount(instance[both], minlength=int(instance.max(initial=0)) + 1)
        names: dict[int, int] = {}
        for k in np.argsort(-shared, kind="stable"):
            mine, old = (int(value) for value in pairs[:, k])
            if mine not in names and old not in names.values() and shared[k] >= SAME * known[mine]:
                names[mine] = old
        table = np.zeros(len(known), np.int32)
        for mine in np.unique(instance[instance > 0]).tolist():
            if mine not in names:
                self._last += 1
                names[mine] = self._last
            table[mine] = names[mine]
        return table[instance]

    def _keep(self, xyz: np.ndarray, instance: np.ndarray, replaced: np.ndarray) -> None:
        """Remember points with their newest ids, thinned; the oldest go."""
        rest = np.ones(len(self._xyz), bool)
        rest[replaced] = False
        kept = one_per_voxel(xyz, self._segmenter.voxel)
        self._xyz = np.concatenate([self._xyz[rest], xyz[kept]])[-KEPT_POINTS:]
        self._id = np.concatenate([self._id[rest], instance[kept]])[-KEPT_POINTS:].astype(np.int32)
