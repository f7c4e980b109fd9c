"""How one block lies to another, by what they have in common; or why they cannot be laid together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.city.joining.common_points import CommonPoints
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.reconstruction.placed_links import agreed_similarity

FINE_ERROR = 4.0
"""Pixels within which a point of one block is that of the other."""
MIN_POINTS, MIN_IMAGES, MIN_SHARE = 30, 2, 0.5
"""Different points and images that must agree, and their share of all that are in both blocks."""
MOST_POINTS = 200
"""Points of an overlap that are carried into the graph of blocks."""


@dataclass(frozen=True, eq=False)
class BlockTie:
    """What ties block b to block a.

    Attributes:
        a, b: names of the blocks.
        weight: how many points agree.
        a_from_b: the similarity on which they agree.
        poses_a: (K,) ``camera_from_world`` of the images that both have, in a; ``poses_b`` (K,) in b.
        xyz_a: (M, 3) some of the points that agree, in a; ``xyz_b`` (M, 3) in b.
        depth: (M,) of these before their camera, in a's unit.
    """

    a: str
    b: str
    weight: float
    a_from_b: Similarity
    poses_a: Pose
    poses_b: Pose
    xyz_a: np.ndarray
    xyz_b: np.ndarray
    depth: np.ndarray

    @property
    def pair(self) -> tuple[str, str]:
        """Names of the blocks."""
        return self.a, self.b


@dataclass(frozen=True, eq=False)
class Overlap:
    """Two blocks that have keyframes in common.

    Attributes:
        a, b: names of the blocks.
        images, points: how many both have registered, and how many points of these are in both.
        agree: share of the points that agree on one position of b to a; 0 where nothing does.
        reason: why it ties nothing; empty where it does.
        tie: None where it ties nothing.
    """

    a: str
    b: str
    images: int
    points: int
    agree: float = 0.0
    reason: str = ""
    tie: BlockTie | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """Names of the blocks."""
        return self.a, self.b


def fit_overlap(a: str, b: str, common: CommonPoints, seed: int = 0) -> Overlap:
    """The overlap of two blocks; its ``reason`` says why it ties nothing, where it does not."""
    images, points = len(common.images), len(np.unique(common.point_a))
    if images < MIN_IMAGES:
        return Overlap(a, b, images, points, reason="one image alone is in both")
    if points < MIN_POINTS:
        return Overlap(a, b, images, points, reason=f"only {points} points are in both")
    found = agreed_similarity(common.links, MIN_POINTS, np.random.default_rng(seed))
    if found is None:
        return Overlap(a, b, images, points, reason="their common points agree on no position of one to the other")
    agree = common.links.errors(found) < FINE_ERROR
    share, distinct = float(agree.mean()), len(np.unique(common.point_a[agree]))
    if share < MIN_SHARE or distinct < MIN_POINTS or len(np.unique(common.image[agree])) < MIN_IMAGES:
        reason = f"only {share:.0%} of their common points agree: one of them is bent, or shows another place"
        return Overlap(a, b, images, points, share, reason)
    rows = np.flatnonzero(agree)
    rows = rows[np.unique(common.point_a[rows], return_index=True)[1]]
    rows = rows[:: -(-len(rows) // MOST_POINTS)]
    links = common.links
    depth = links.target_pose[rows].apply_each(links.target_xyz[rows])[:, 2]
    there, here = links.target_xyz[rows], links.source_xyz[rows]
    tie = BlockTie(a, b, points * share, found, common.pose_a, common.pose_b, there, here, depth)
    return Overlap(a, b, images, points, share, "", tie)
