"""Which thing of a map is which thing of a register, one to one, and how far it lies from it.

Positions by satellites put a whole map off by a metre or two, and every thing with it. The displacement that is common to the
pairs is found along with them; what is left over tells whether a single thing has moved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from seg2d3d_ros.comparison.compared_things import ComparedThing
from seg2d3d_ros.export.libraries import needed

ROUNDS = 3
FEW = 5
"""Pairs from which on a common displacement is believed."""
REWEIGHTINGS, LEAST_DEVIATION, RIDGE = 20, 0.01, 1e-3
ON, ALONG = 0.5, 0.2
"""Of an own thing's edge: so much of it lies on a known thing that another one has; so much runs along one that has none."""


@dataclass(frozen=True)
class Pairing:
    """Pairs of N own things and M known ones.

    Attributes:
        pairs: (P, 2) int64 places of own and known.
        displacement: (P, 2) metres from where the known thing is to where the map has it, east and north, with the common part;
            of a front before an outline only the part across the front, because nothing tells the part along it.
        common: (2,) the displacement of the whole map; 0 where there are too few pairs to tell.
        gap: (P,) metres between the own thing and the known one, without the common part.
        again: own → known, of own things without a partner that lie on a known one which has another.
        covered: known → own, of known things without a partner on which an own one lies that has another.
    """

    pairs: np.ndarray
    displacement: np.ndarray
    common: np.ndarray
    gap: np.ndarray
    again: dict[int, int]
    covered: dict[int, int]


def match(own: Sequence[ComparedThing], known: Sequence[ComparedThing], within: float) -> Pairing:
    """Pair things that lie at most ``within`` metres apart, so that the sum of the distances is least."""
    common = np.zeros(2)
    pairs = np.empty((0, 2), np.int64)
    displacement = np.empty((0, 2))
    gaps = np.full((len(own), len(known)), np.inf)
    for _ in range(ROUNDS):
        gaps = _gaps(own, known, common, within)
        pairs = _assign(gaps, within)
        offsets = [_offset(own[i], known[j], common, within) for i, j in pairs.tolist()]
        displacement = np.array([direction * size for direction, size in offsets]).reshape(-1, 2)
        common = _common(offsets) if len(pairs) >= FEW else np.zeros(2)
    gap = gaps[pairs[:, 0], pairs[:, 1]]
    alone = np.setdiff1d(np.arange(len(own)), pairs[:, 0])
    open_ones = np.setdiff1d(np.arange(len(known)), pairs[:, 1])
    taken, taking = set(pairs[:, 1].tolist()), set(pairs[:, 0].tolist())
    again = {int(i): j for i in alone.tolist() for j in _on(own[i], known, common) if j in taken}
    covered = {int(j): i for j in open_ones.tolist() for i in _covering(known[j], own, common) if i in taking}
    return Pairing(pairs, displacement, common, gap, again, covered)


def _gaps(own: Sequence[ComparedThing], known: Sequence[ComparedThing], common: np.ndarray, within: float) -> np.ndarray:
    """(N, M) mean distance of the places on an own thing's edge from a known thing; inf beyond ``within``, and for most pairs
    without looking."""
    shapely = needed("shapely", "a comparison")
    gaps = np.full((len(own), len(known)), np.inf)
    tree = shapely.STRtree([thing.shape for thing in known])
    for i, thing in enumerate(own):
        edge = shapely.points(thing.edge - common)
        near = tree.query(shapely.MultiPoint(thing.edge - common), predicate="dwithin", distance=within)
        on = [j for j in near.tolist() if float(shapely.intersects(edge, known[j].shape).mean()) >= ON]
        for j in on or near.tolist():  # what lies on one thing is not another one beside it
            distance = float(shapely.distance(edge, known[j].shape).mean())
            if distance <= within:
                gaps[i, j] = distance
    return gaps


def _assign(gaps: np.ndarray, within: float) -> np.ndarray:
    if gaps.size == 0:
        return np.empty((0, 2), np.int64)
    # A pair that is possible is better than none, so that impossible ones cost more than all others together.
    rows, columns = linear_sum_assignment(np.where(np.isfinite(gaps), gaps, within * (1 + min(gaps.shape)) + 1.0))
    good = np.isfinite(gaps[rows, columns])
    return np.stack([rows[good], columns[good]], axis=1).astype(np.int64)


Offset = tuple[np.ndarray, float]
"""A direction (2,) of length 1, and how far a thing is off along it."""


def _offset(own: ComparedThing, known: ComparedThing, common: np.ndarray, within: float) -> Offset:
    """From a known thing to an own one, with the common part: across a front to the outline before or behind it, else between
    the nearest places."""
    shapely = needed("shapely", "a comparison")
    along = own.edge[-1] - own.edge[0]
    length = float(np.linalg.norm(along))
    if shapely.get_dimensions(known.shape) == 2 and length > 0.0:
        normal = np.array([-along[1], along[0]]) / length
        start, reach = own.edge - common, 2.0 * within * normal
        rays = shapely.linestrings(np.stack([start - reach, start + reach], axis=1))
        crossings = shapely.intersection(rays, shapely.boundary(known.shape))
        ways = []
        for place, crossing in zip(start, crossings, strict=True):
            if not crossing.is_empty:
                signed = (place - shapely.get_coordinates(crossing)) @ normal
                ways.append(float(signed[np.abs(signed).argmin()]))
        if len(ways) >= ON * len(start):
            return normal, float(np.median(ways)) + float(common @ normal)
    outline = shapely.boundary(known.shape) if shapely.get_dimensions(known.shape) == 2 else known.shape
    ends = shapely.get_coordinates(shapely.shortest_line(outline, shapely.points(own.edge - common))).reshape(-1, 2, 2)
    way = (ends[:, 1] - ends[:, 0]).mean(axis=0) + common
    size = float(np.linalg.norm(way))
    return (way / size if size > 0.0 else np.array([1.0, 0.0])), size


def _common(offsets: Sequence[Offset]) -> np.ndarray:
    """(2,) the displacement that most offsets agree on: least absolute deviations by reweighting. What no offset tells, the way
    along a street whose fronts are all parallel, is 0."""
    direction = np.array([item[0] for item in offsets])
    size = np.array([item[1] for item in offsets])
    common, weight = np.zeros(2), np.ones(len(size))
    for _ in range(REWEIGHTINGS):
        weighted = direction * weight[:, None]
        common = np.linalg.solve(weighted.T @ direction + RIDGE * weight.sum() * np.eye(2), weighted.T @ size)
        weight = 1.0 / np.maximum(np.abs(direction @ common - size), LEAST_DEVIATION)
    return common


def _on(thing: ComparedThing, known: Sequence[ComparedThing], common: np.ndarray) -> list[int]:
    """The known things on which most of an own thing's edge lies."""
    shapely = needed("shapely", "a comparison")
    edge = shapely.points(thing.edge - common)
    near = shapely.STRtree([other.shape for other in known]).query(
        shapely.MultiPoint(thing.edge - common), predicate="intersects"
    )
    return [j for j in near.tolist() if float(shapely.intersects(edge, known[j].shape).mean()) >= ON]


def _covering(thing: ComparedThing, own: Sequence[ComparedThing], common: np.ndarray) -> list[int]:
    """The own things whose edge runs along a known one."""
    shapely = needed("shapely", "a comparison")
    return [
        i for i, other in enumerate(own) if shapely.intersects(shapely.points(other.edge - common), thing.shape).mean() >= ALONG
    ]
