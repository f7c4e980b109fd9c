"""Boxes around instances: upright, turned about the vertical only, and unmoved by stray points.

Facades are thin, and seen from the street they are I-, L- or U-shaped from above: the box is turned so that its sides lie
on them. Points of a segment's border that belong to what lies behind or in front are few and apart from
the rest; they are left out before, and of what remains the outermost share on every side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from scipy.spatial.transform import Rotation

from seg2d3d_ros.arrays import check_array, take
from seg2d3d_ros.geometry.up import level_frame

NEIGHBOURS = 6
"""Points are linked to so many nearest ones, and further only within ``REACH``."""
REACH = 3.0
"""Links are at most this many times as long as the median distance to the last of the ``NEIGHBOURS``."""
MIN_REACH = 0.03
"""… or this share of the spread of the points, whichever is more."""
MIN_PART = 0.1
"""Points that hang together belong to the object if they are this share of the largest such group."""
TRIM = 2.0
"""Per cent of the points that may lie outside each face."""
MAX_POINTS = 4000
"""So many points, evenly picked, are enough to find a box."""
STRIP = 0.05
"""Of the footprint's spread: a wall's points lie in a strip this wide."""
COARSE, FINE = np.radians(3.0), np.radians(0.1)


@dataclass(frozen=True)
class OrientedBoxes:
    """B upright boxes in the world frame; NaN throughout for an instance without points.

    Attributes:
        center: (B, 3) float64.
        size: (B, 3) float64, full lengths along the box's own axes: the longer horizontal side, the shorter one, the height.
        rotation: (B, 3, 3) float64 ``world_from_box``; its last column is up.
        covariance: (B, 3, 3) float64 of the middle of the lower face; NaN where it is unknown. Inside the association it is
            that of what rays placed, among the model's cameras; a finished map has the cameras' errors in it, and those of
            points (``association.judging.place_covariance``).
    """

    center: np.ndarray
    size: np.ndarray
    rotation: np.ndarray
    covariance: np.ndarray = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        count = len(self.center)
        if self.covariance is None:
            object.__setattr__(self, "covariance", np.full((count, 3, 3), np.nan))
        check_array("center", self.center, (count, 3), "f")
        check_array("size", self.size, (count, 3), "f")
        check_array("rotation", self.rotation, (count, 3, 3), "f")
        check_array("covariance", self.covariance, (count, 3, 3), "f")

    @classmethod
    def none(cls, count: int = 0) -> OrientedBoxes:
        """So many instances without points."""
        return cls(np.full((count, 3), np.nan), np.full((count, 3), np.nan), np.full((count, 3, 3), np.nan))

    def __len__(self) -> int:
        return len(self.center)

    def __getitem__(self, rows: np.ndarray) -> OrientedBoxes:
        """The boxes of these rows, in their order."""
        return take(self, rows)

    @property
    def known(self) -> np.ndarray:
        """(B,) bool: instances that have points."""
        return np.isfinite(self.center).all(axis=1)

    @property
    def located(self) -> np.ndarray:
        """(B,) bool: instances whose covariance is known; inside the association those that rays placed."""
        return np.isfinite(self.covariance).all(axis=(1, 2))

    @property
    def foot(self) -> np.ndarray:
        """(B, 3) the middle of the lower face: where the thing stands."""
        return self.center - self.rotation[:, :, 2] * self.size[:, 2:] / 2

    @property
    def corners(self) -> np.ndarray:
        """(B, 8, 3) corners in the world frame."""
        signs = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5], indexing="ij"), axis=-1).reshape(8, 3)
        return self.center[:, None] + np.einsum("bij,bkj->bki", self.rotation, signs * self.size[:, None])

    @property
    def bounds(self) -> np.ndarray:
        """(B, 2, 3) lower and upper corner of the axis-aligned boxes around them."""
        corners = self.corners
        return np.stack([corners.min(axis=1), corners.max(axis=1)], axis=1)

    @property
    def quaternions(self) -> np.ndarray:
        """(B, 4) ``world_from_box`` as x y z w with w ≥ 0."""
        found = np.full((len(self), 4), np.nan)
        if self.known.any():
            found[self.known] = Rotation.from_matrix(self.rotation[self.known]).as_quat(canonical=True)
        return found


def oriented_box(xyz: np.ndarray, up: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The upright box around the points of one object.

    Args:
        xyz: (N, 3), N ≥ 1.
        up: (3,) unit vector.

    Returns:
        Centre (3,), size (3,) along the box's own axes (the longer horizontal side first, the vertical last), and
        rotation (3, 3) ``world_from_box``, whose last column is ``up``. All of them NaN without points. Where the points
        leave the direction open (one point, a vertical line) it is the frame's own.
    """
    if len(xyz) == 0:
        return np.full(3, np.nan), np.full(3, np.nan), np.full((3, 3), np.nan)
    world_from_level = level_frame(up)
    local = np.asarray(xyz, float)[:: -(-len(xyz) // MAX_POINTS)] @ world_from_level
    local = local[without_strays(local)]
    yaw = facade_yaw(local[:, :2])
    turn = Rotation.from_euler("z", yaw).as_matrix()
    low, high = np.percentile(local @ turn, [TRIM, 100 - TRIM], axis=0)
    if high[0] - low[0] < high[1] - low[1]:
        quarter = Rotation.from_euler("z", np.pi / 2 if yaw <= 0 else -np.pi / 2).as_matrix()
        turn = turn @ quarter
        low, high = np.percentile(local @ turn, [TRIM, 100 - TRIM], axis=0)
    rotation = world_from_level @ turn
    return rotation @ ((low + high) / 2), high - low, rotation


def without_strays(xyz: np.ndarray) -> np.ndarray:
    """(N,) bool: points of (N, 3) that hang together with many others; all of them where there are few.

    Single linkage with links as long as the points' own density asks for.
    """
    count = len(xyz)
    if count <= NEIGHBOURS + 1:
        return np.ones(count, bool)
    distance, neighbour = cKDTree(xyz).query(xyz, k=NEIGHBOURS + 1)
    spread = np.linalg.norm(np.subtract(*np.percentile(xyz, [90, 10], axis=0)))
    reach = max(REACH * float(np.median(distance[:, -1])), MIN_REACH * float(spread))
    linked = distance <= reach
    row = np.repeat(np.arange(count), NEIGHBOURS + 1)
    graph = sparse.csr_matrix((np.ones(linked.sum()), (row[linked.ravel()], neighbour[linked])), (count, count))
    _, part = connected_components(graph, directed=False)
    size = np.bincount(part)
    return size[part] >= max(MIN_PART * size.max(), 2.0 if size.max() > 1 else 1.0)


def facade_yaw(xy: np.ndarray) -> float:
    """Angle in [-45°, 45°] (radians) of the walls in a footprint (N, 2): where thin strips hold most of the points.

    For each angle the fullest strip along it and the fullest one across are found, as a Hough transform does, and the sum
    of the squares of their counts is the score: the main wall decides, a side wall helps. (Rectangles of least area cannot
    tell: about an L, the one along its diagonal is as small as the right one; and what decides there are the outermost
    points, which are the worst.) The direction of greatest spread is tried too: it is exact where all points lie on one line.
    """
    centred = xy - xy.mean(axis=0)
    values, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    if values[-1] <= 1e-18:
        return 0.0
    width = STRIP * float(np.sqrt(values.sum()))
    main = (np.arctan2(vectors[1, -1], vectors[0, -1]) + np.pi / 4) % (np.pi / 2) - np.pi / 4
    coarse = np.arange(-np.pi / 4, np.pi / 4, COARSE)
    best = coarse[np.argmax(_wall_scores(centred, coarse, 2 * width))]
    fine = np.concatenate([[main], best + np.arange(-COARSE, COARSE + FINE / 2, FINE)])
    scores = _wall_scores(centred, fine, width)
    # Neighbouring angles often catch the same points: the middle of the best ones.
    yaw = np.median(fine[scores == scores.max()]) if scores[0] < scores.max() else main
    return float((yaw + np.pi / 4) % (np.pi / 2) - np.pi / 4)


def _wall_scores(xy: np.ndarray, angles: np.ndarray, width: float) -> np.ndarray:
    """(A,) score of each angle; strips are ``width`` wide and begin every half width."""
    cos, sin = np.cos(angles)[:, None], np.sin(angles)[:, None]
    bins = 4 + int(2 * np.abs(xy).max() * np.sqrt(2) / (width / 2))
    scores = np.zeros(len(angles))
    for values in (cos * xy[:, 0] + sin * xy[:, 1], cos * xy[:, 1] - sin * xy[:, 0]):
        place = np.floor(values / (width / 2)).astype(np.int64) + bins // 2
        counts = np.bincount((place + np.arange(len(angles))[:, None] * bins).ravel(), minlength=len(angles) * bins)
        halves = counts.reshape(len(angles), bins)
        scores += (halves[:, 1:] + halves[:, :-1]).max(axis=1).astype(float) ** 2
    return scores
