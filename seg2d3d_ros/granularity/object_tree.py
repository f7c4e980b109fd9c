"""The tree of objects: nodes are groups of masks that the views take for one thing, edges say that one lies in another."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.evidence import sample
from seg2d3d_ros.granularity.containment import NodePoints, parents, united_by_points
from seg2d3d_ros.granularity.mask_points import MaskPoints
from seg2d3d_ros.granularity.same_things import group_masks

LEAST_VIEWS, LEAST_POINTS = 2, 3
"""A node needs masks in so many views, and so many points; what is less is a node only where no other covers its points."""
UNCOVERED = 0.5
"""Of the points of a mask, so many must lie in no node for it to seed one."""
UNIONS = 8
"""Rounds of uniting nodes by their points in the whole scene."""
SEEN_PRIOR = 1.0
"""Points at which a view that sees a node has half its weight; and views without a mask that are added to those that see it:
what one view shows is not stable."""


@dataclass(frozen=True)
class ObjectTree:
    """N nodes, parents before their children. S masks, P points, as in the ``MaskPoints`` that it was made from.

    Attributes:
        ids: (N,) int32 persistent ids.
        parent: (N,) int64 position of each node's parent, -1 = it is a root.
        of_mask: (S,) int64 the node that each mask shows, -1 = none.
        member: (N, P) CSR of ones, the points of each node.
        visible: (N, K) CSR float64 weight of a node's points that each view sees.
        quality: (N, K) CSR float64 in [0, 1], how well a view shows a node whole: intersection over union by points of the node
            and its masks there, nothing where there is none.
    """

    ids: np.ndarray
    parent: np.ndarray
    of_mask: np.ndarray
    member: sparse.csr_matrix
    visible: sparse.csr_matrix
    quality: sparse.csr_matrix

    def __len__(self) -> int:
        return len(self.parent)

    @cached_property
    def stability(self) -> np.ndarray:
        """(N,) float64 in [0, 1]: of the views that see a node, how many show it whole, times how well."""
        seen = self.visible.copy()
        seen.data = seen.data / (seen.data + SEEN_PRIOR)
        shown = np.asarray(seen.multiply(self.quality).sum(axis=1)).ravel()
        return shown / (np.asarray(seen.sum(axis=1)).ravel() + SEEN_PRIOR)

    @cached_property
    def level(self) -> np.ndarray:
        """(N,) int64 steps down from the root, which has 0."""
        level = np.zeros(len(self), np.int64)
        for k, parent in enumerate(self.parent.tolist()):
            if parent >= 0:
                level[k] = level[parent] + 1
        return level

    @cached_property
    def children(self) -> list[np.ndarray]:
        """Of each node the positions of its children."""
        return places(self.parent, len(self))

    @property
    def sizes(self) -> np.ndarray:
        """(N,) points of each node."""
        return np.diff(self.member.indptr).astype(np.int64)


@dataclass(frozen=True)
class Rounds:
    """What each of the three rounds comes to, so that each can be measured.

    Attributes:
        single: (S,) every mask is a thing of its own, as a single view shows it.
        views: (S,) the consensus of the views: groups of masks by the points that pairs of views see.
        scene: (S,) the same once nodes were compared by their points in the whole scene, and uncovered regions made nodes.
    """

    single: np.ndarray
    views: np.ndarray
    scene: np.ndarray


def build_tree(points: MaskPoints) -> tuple[ObjectTree, Rounds]:
    """Group the masks, and put the groups into each other. Ids are 1, 2, … in the order of the nodes."""
    group = group_masks(points)
    of_mask = group
    for _ in range(UNIONS):
        nodes = NodePoints.of(points, of_mask)
        united = united_by_points(points, nodes)
        if int(united.max(initial=-1)) + 1 == len(nodes.sizes):
            break
        of_mask = united[of_mask]
    nodes = _kept(points, NodePoints.of(points, of_mask))
    parent = parents(points, nodes)
    order = np.argsort(_depths(parent), kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    with_none = np.append(place, -1)
    quality = _quality(points, nodes)
    tree = ObjectTree(
        np.arange(1, len(order) + 1, dtype=np.int32),
        with_none[parent[order]],
        with_none[nodes.of_mask],
        nodes.member[order],
        nodes.visible[order],
        quality[order],
    )
    return tree, Rounds(np.arange(len(points)), group, tree.of_mask)


def _kept(points: MaskPoints, nodes: NodePoints) -> NodePoints:
    """The nodes that are firm, and those that seed a thing where no firm node is, largest first."""
    firm = (nodes.views >= LEAST_VIEWS) & (nodes.sizes >= LEAST_POINTS)
    covered = np.zeros(points.held.shape[1], bool)
    covered[nodes.member[firm].indices] = True
    kept = firm.copy()
    for k in np.argsort(-nodes.sizes, kind="stable").tolist():
        mine = nodes.member.indices[nodes.member.indptr[k] : nodes.member.indptr[k + 1]]
        if not firm[k] and len(mine) >= LEAST_POINTS and (~covered[mine]).mean() > UNCOVERED:
            kept[k] = covered[mine] = True
    number = np.append(np.where(kept, np.cumsum(kept) - 1, -1), -1)
    return NodePoints.of(points, number[nodes.of_mask])


def _depths(parent: np.ndarray) -> np.ndarray:
    depth = np.zeros(len(parent), np.int64)
    at = parent.copy()
    while (at >= 0).any():
        depth += at >= 0
        at = np.where(at >= 0, parent[np.maximum(at, 0)], -1)
    return depth


def _quality(points: MaskPoints, nodes: NodePoints) -> sparse.csr_matrix:
    """(N, K) CSR, see ``ObjectTree``."""
    shape = nodes.visible.shape
    mine = np.flatnonzero(nodes.of_mask >= 0)
    owner, view = nodes.of_mask[mine], points.view[mine]
    held = sparse.csr_matrix((sample(nodes.held, owner, mine), (owner, view)), shape)
    size = sparse.csr_matrix((np.asarray(points.held.sum(axis=1)).ravel()[mine], (owner, view)), shape).tocoo()
    overlap = sample(held, size.row, size.col)
    expected = sample(nodes.visible, size.row, size.col)
    likeness = overlap / np.maximum(expected + size.data - overlap, 1e-9)
    return sparse.csr_matrix((np.clip(likeness, 0.0, 1.0), (size.row, size.col)), shape)
