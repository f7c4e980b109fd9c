"""A cloud's superpoints: every point is in exactly one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.borders import MAJORITY, border_shares, majority_labels
from seg2d3d_ros.superpoints.graph import edge_weights, neighbour_graph
from seg2d3d_ros.superpoints.graph_segmentation import numbered, segment_graph
from seg2d3d_ros.superpoints.shown_labels import ShownLabels

DEFAULTS = SuperpointConfig()


def partition(
    xyz: np.ndarray,
    config: SuperpointConfig = DEFAULTS,
    *,
    rgb: np.ndarray | None = None,
    normals: np.ndarray | None = None,
    shown: Sequence[ShownLabels] = (),
) -> np.ndarray:
    """Divide a cloud into superpoints, whatever the order of its points and its place, direction and scale.

    Args:
        xyz: (N, 3) float in any unit.
        rgb: (N, 3) uint8, or None.
        normals: (N, 3) unit normals, whose sign means nothing; None = from the nearest points.
        shown: what views show at the points: edges that most of them cut are none, and no superpoint holds points that most of
            them put into different objects. Without views, geometry and colour alone decide.

    Returns:
        (N,) int32 the superpoint of each point: 0, 1, … in the order of their first points. Points in one place are in one; a
        point that is not finite is one of its own.
    """
    place, kept = _places(xyz)
    spots = xyz[kept].astype(np.float64)
    graph = neighbour_graph(spots, config.neighbours, None if normals is None else normals[kept])
    weight = edge_weights(graph, None if rgb is None else rgb[kept], by_color=config.by_color, by_gap=config.by_gap)
    first = np.full(len(xyz), -1, np.int32)
    first[kept] = np.arange(len(kept), dtype=np.int32)
    seen = [item.moved(first) for item in shown]
    share = border_shares(graph.count, graph.edges, seen)
    whole = share <= MAJORITY
    label = segment_graph(
        graph.count,
        graph.edges[whole],
        (weight + config.by_border * share)[whole],
        scale=config.scale,
        least=config.least_points,
        label=majority_labels(seen, graph.count),
    )
    strange = place < 0
    everywhere = np.append(label, 0)[place].astype(np.int64)
    everywhere[strange] = graph.count + np.arange(np.count_nonzero(strange))
    return numbered(everywhere)


def _places(xyz: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N,) the place of each point among the (P,) first points of all distinct places, in an order that is the places' own; -1
    where a point is not finite."""
    finite = np.flatnonzero(np.isfinite(xyz).all(axis=1))
    order = finite[np.lexsort(xyz[finite].T)]
    new = np.ones(len(order), bool)
    new[1:] = (np.diff(xyz[order], axis=0) != 0).any(axis=1)
    place = np.full(len(xyz), -1, np.int64)
    place[order] = np.cumsum(new) - 1
    return place, order[new]
