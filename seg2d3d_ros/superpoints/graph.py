"""The graph of a cloud: each point and its nearest ones, and how different the two ends of an edge are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from seg2d3d_ros.association.surfaces import principal_axes

PLANE_POINTS = 16
"""Points, itself among them, that a point's normal is made of."""
FARTHEST = 6.0
"""So many times what is usual around either end: what is farther apart shares no surface, and no edge."""
BLOCK = 200_000
"""Points whose planes are found at once: 200 MB."""
GREATEST_COLOR = 255.0 * np.sqrt(3.0)


@dataclass(frozen=True)
class NeighbourGraph:
    """E edges between N points, each pair of neighbours once.

    Attributes:
        count: N.
        edges: (E, 2) int32, the smaller index first; ascending.
        gap: (E,) float32 length of each edge by what is usual around its ends: near 1 in an even cloud, larger over a gap.
        normals: (N, 3) float32 unit normals, whose sign means nothing; 0 where a point has no neighbours to have one from.
    """

    count: int
    edges: np.ndarray
    gap: np.ndarray
    normals: np.ndarray


def neighbour_graph(xyz: np.ndarray, neighbours: int, normals: np.ndarray | None = None) -> NeighbourGraph:
    """Link each point to its nearest ones.

    Args:
        xyz: (N, 3) float64, in any unit, finite.
        neighbours: edges that each point asks for; it has more where others ask for it.
        normals: (N, 3) of the points where they are known; None = the planes through the nearest points give them.
    """
    count = len(xyz)
    wanted = min(count, max(neighbours + 1, PLANE_POINTS if normals is None else 0))
    if wanted < 2:
        found = np.zeros((count, 3), np.float32) if normals is None else normals.astype(np.float32)
        return NeighbourGraph(count, np.empty((0, 2), np.int32), np.empty(0, np.float32), found)
    distance, near = cKDTree(xyz).query(xyz, k=wanted)
    if normals is None:
        normals = np.zeros((count, 3), np.float32)
        if wanted > 2:
            for start in range(0, count, BLOCK):
                some = slice(start, start + BLOCK)
                normals[some] = principal_axes(xyz[near[some]])[1][:, :, 0]
    linked = min(neighbours + 1, wanted)
    first = np.repeat(np.arange(count), linked)
    second = near[:, :linked].ravel()
    # Of points in one place any may come first in the tree's answer; a point is no neighbour of its own.
    low, high = np.minimum(first, second), np.maximum(first, second)
    key, row = np.unique(low[low < high] * count + high[low < high], return_index=True)
    length = distance[:, :linked].ravel()[low < high][row]
    edges = np.stack([key // count, key % count], axis=1).astype(np.int32)
    usual = distance[:, 1:linked].mean(axis=1)
    near_enough = length <= FARTHEST * np.minimum(usual[edges[:, 0]], usual[edges[:, 1]])
    edges, length = edges[near_enough], length[near_enough]
    around = np.sqrt(usual[edges[:, 0]] * usual[edges[:, 1]])
    gap = np.divide(length, around, out=np.zeros_like(length), where=around > 0)
    return NeighbourGraph(count, edges, gap.astype(np.float32), normals.astype(np.float32))


def edge_weights(graph: NeighbourGraph, rgb: np.ndarray | None, *, by_color: float, by_gap: float) -> np.ndarray:
    """(E,) float32 how different the two ends of each edge are: 0 = alike, 1 = at right angles.

    The angle between the surfaces counts 1 - cosine; beside it colours and gaps.

    Args:
        rgb: (N, 3) uint8, or None: the colours say nothing.
        by_color: what the difference of black and white counts.
        by_gap: what an edge counts for each time that it is longer than usual.
    """
    first, second = graph.edges.T
    cosine = np.abs((graph.normals[first] * graph.normals[second]).sum(axis=1))
    weight = 1.0 - np.minimum(cosine, 1.0)
    if rgb is not None and by_color:
        difference = rgb[first].astype(np.float32) - rgb[second].astype(np.float32)
        weight += by_color * np.linalg.norm(difference, axis=1) / GREATEST_COLOR
    weight += by_gap * np.maximum(graph.gap - 1.0, 0.0)
    return weight.astype(np.float32)
