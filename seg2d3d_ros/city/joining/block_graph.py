"""Where all blocks lie: a graph of similarities over all overlaps, held by the blocks' own positions where they have some.

Each block has a similarity ``city_from_block``. They are found together by least squares with Cauchy weights (Gauss-Newton on
a sparse normal matrix), from

* the poses of images that two blocks have, which must be one pose in the city,
* points that two blocks have, weighed by their distance, because that is how well a camera sees depth,
* where each block lies on the Earth by its own fit to its positions, each position with its own uncertainty, and how it is
  turned there,
* how well a block knows its own scale.

A block's shape is never changed. An overlap that the others contradict is taken out, the worst one first, and told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import breadth_first_order, connected_components
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from seg2d3d_ros.city.joining.overlap_fit import BlockTie
from seg2d3d_ros.geometry.similarity import Similarity

CENTER_SIGMA, POINT_SIGMA = 0.003, 0.03
"""Standard deviations of a camera's place, and of a point, as a share of the points' distance."""
TURN_SIGMA = np.radians(0.1)
"""Of a camera's rotation."""
OWN_TURN_SIGMA = np.radians(2.0)
"""Of a georeferenced block's own rotation: positions on a straight street leave the turn about it open, which the block knows
by how its cameras are held."""
FREE_SCALE = 1.0
"""Standard deviation of the logarithm of a scale that nobody knows."""
ROUNDS, SMALL = 30, 1e-8
CONTRADICTS = 0.05
"""Of the points' distance: a tie whose cameras lie so far apart in the median is no tie."""
HELD = 1e10


@dataclass(frozen=True, eq=False)
class PlacedBlock:
    """What a block knows of itself.

    Attributes:
        name: of the block.
        weight: how much it holds: its registered images.
        middle: (3,) of its cameras, in its frame.
        centers: (K,) of those cameras that have a position, (K, 3) in its frame; none where it is not georeferenced.
        sigmas: (K,) standard deviations of these positions.
        city_from_block: by its own positions; None where it is not georeferenced.
        scale_sigma: relative standard deviation of its scale; None = unknown.
    """

    name: str
    weight: int
    middle: np.ndarray
    centers: np.ndarray
    sigmas: np.ndarray
    city_from_block: Similarity | None
    scale_sigma: float | None


@dataclass(frozen=True, eq=False)
class Placement:
    """Where blocks lie.

    Attributes:
        city_from_block: by name, of all blocks; those of a group that is not ``placed`` are in a frame of their own.
        group: by name: 0 for the largest group of blocks that hang together, then 1, 2, …
        placed: names of those whose transforms lead into the city's frame.
        refused: ties that the others contradict, with how far apart they are, in the city's unit.
        residuals: (distance of common cameras in the city's unit, their angle in degrees), medians, of each tie.
    """

    city_from_block: dict[str, Similarity]
    group: dict[str, int]
    placed: set[str]
    refused: dict[tuple[str, str], float] = field(default_factory=dict)
    residuals: dict[tuple[str, str], tuple[float, float]] = field(default_factory=dict)


def place_blocks(blocks: Sequence[PlacedBlock], ties: Sequence[BlockTie]) -> Placement:
    """Where blocks lie by what ties them, and by their positions."""
    refused: dict[tuple[str, str], float] = {}
    while True:
        group = _groups(blocks, ties)
        start = _started(blocks, ties, group)
        found = _solved(blocks, ties, group, start)
        residuals = {tie.pair: _residual(tie, found) for tie in ties}
        excess = {tie.pair: _excess(tie, found, residuals[tie.pair][0]) for tie in ties}
        worst = max(ties, key=lambda tie: excess[tie.pair], default=None)
        if worst is None or excess[worst.pair] <= CONTRADICTS:
            break
        refused[worst.pair] = residuals[worst.pair][0]
        ties = [tie for tie in ties if tie is not worst]
    georeferenced = {group[block.name] for block in blocks if block.city_from_block is not None}
    placed = {block.name for block in blocks if group[block.name] in (georeferenced or {0})}
    return Placement(found, group, placed, refused, residuals)


def _groups(blocks: Sequence[PlacedBlock], ties: Sequence[BlockTie]) -> dict[str, int]:
    index = {block.name: k for k, block in enumerate(blocks)}
    edges = np.array([(index[tie.a], index[tie.b]) for tie in ties], np.int64).reshape(-1, 2)
    graph = sparse.coo_matrix((np.ones(len(edges)), edges.T), (len(blocks), len(blocks)))
    count, label = connected_components(graph, directed=False)
    weight = np.bincount(label, [block.weight for block in blocks], count)
    first = np.array([int(np.flatnonzero(label == k)[0]) for k in range(count)])
    rank = {int(k): r for r, k in enumerate(np.lexsort((first, -weight)))}
    return {block.name: rank[int(label[k])] for k, block in enumerate(blocks)}


def _started(blocks: Sequence[PlacedBlock], ties: Sequence[BlockTie], group: Mapping[str, int]) -> dict[str, Similarity]:
    """By their positions; those without by a tree of the ties with most points, from the largest block of the group."""
    index = {block.name: k for k, block in enumerate(blocks)}
    cost = sparse.lil_matrix((len(blocks), len(blocks)))
    by_pair: dict[tuple[int, int], Similarity] = {}
    for tie in ties:
        i, j = index[tie.a], index[tie.b]
        cost[i, j] = cost[j, i] = 1.0 / tie.weight
        by_pair[i, j], by_pair[j, i] = tie.a_from_b, tie.a_from_b.inverse()
    tree = sparse.csgraph.minimum_spanning_tree(cost.tocsr())
    found: dict[str, Similarity] = {}
    for number in sorted(set(group.values())):
        members = [block for block in blocks if group[block.name] == number]
        root = max(members, key=lambda block: (block.city_from_block is not None, block.weight))
        found[root.name] = root.city_from_block or Similarity(1.0, np.eye(3), np.zeros(3))
        order, before = breadth_first_order(tree, index[root.name], directed=False)
        for k in order[1:].tolist():
            one, other = blocks[int(before[k])], blocks[k]
            found[other.name] = other.city_from_block or composed(found[one.name], by_pair[int(before[k]), k])
    return found


def composed(a_from_b: Similarity, b_from_c: Similarity) -> Similarity:
    """``a_from_c``."""
    rotation = a_from_b.rotation @ b_from_c.rotation
    return Similarity(a_from_b.scale * b_from_c.scale, rotation, a_from_b.apply(b_from_c.translation[None])[0])


def _solved(
    blocks: Sequence[PlacedBlock], ties: Sequence[BlockTie], group: Mapping[str, int], start: Mapping[str, Similarity]
) -> dict[str, Similarity]:
    index = {block.name: k for k, block in enumerate(blocks)}
    now = dict(start)
    loose = [all(b.city_from_block is None for b in blocks if group[b.name] == n) for n in range(len(set(group.values())))]
    held = {max((b for b in blocks if group[b.name] == n), key=lambda b: b.weight).name for n, free in enumerate(loose) if free}
    for _ in range(ROUNDS):
        system = _System(len(blocks))
        middles = {block.name: now[block.name].apply(block.middle[None])[0] for block in blocks}
        for tie in ties:
            _add_tie(system, tie, now, middles, index)
        for block in blocks:
            _add_own(system, block, now[block.name], start[block.name], middles[block.name], index[block.name])
            if block.name in held:
                system.hold(index[block.name])
        step = system.solve()
        for block in blocks:
            now[block.name] = _moved(now[block.name], step[index[block.name]], middles[block.name])
        if np.abs(step).max(initial=0.0) < SMALL:
            break
    return now


class _System:
    """Normal equations in 7 unknowns for each block: turn, shift, logarithm of scale, about the block's middle."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._blocks: dict[tuple[int, int], np.ndarray] = {}
        self._right = np.zeros((count, 7))

    def add(self, jacobians: Mapping[int, np.ndarray], residual: np.ndarray, weight: np.ndarray) -> None:
        """N residuals (N, 3), weights (N,) and by block their derivatives (N, 3, 7)."""
        for i, one in jacobians.items():
            weighted = one * weight[:, None, None]
            self._right[i] -= np.einsum("nij,ni->j", weighted, residual)
            for j, other in jacobians.items():
                part = np.einsum("nij,nik->jk", weighted, other)
                self._blocks[i, j] = self._blocks.get((i, j), 0.0) + part

    def add_scale(self, i: int, residual: float, sigma: float) -> None:
        """A block knows the logarithm of its scale."""
        part = np.zeros((7, 7))
        part[6, 6] = 1.0 / sigma**2
        self._right[i, 6] -= residual / sigma**2
        self._blocks[i, i] = self._blocks.get((i, i), 0.0) + part

    def hold(self, i: int) -> None:
        """A block stays where it is."""
        self._blocks[i, i] = self._blocks.get((i, i), 0.0) + HELD * np.eye(7)

    def solve(self) -> np.ndarray:
        """(count, 7) the step."""
        rows, columns, values = [], [], []
        grid = np.mgrid[0:7, 0:7]
        for (i, j), part in self._blocks.items():
            rows.append((7 * i + grid[0]).ravel())
            columns.append((7 * j + grid[1]).ravel())
            values.append((part + (1e-9 * np.trace(part) * np.eye(7) if i == j else 0.0)).ravel())
        size = 7 * self._count
        if not rows:
            return np.zeros((self._count, 7))
        matrix = sparse.coo_matrix(
            (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (size, size)
        ).tocsc()
        step = np.atleast_1d(spsolve(matrix + 1e-12 * sparse.identity(size, format="csc"), self._right.ravel()))
        return np.nan_to_num(np.asarray(step)).reshape(-1, 7)


def _cauchy(normalised: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / (1.0 + (normalised**2).sum(axis=1)))


def _point_jacobian(y: np.ndarray, middle: np.ndarray) -> np.ndarray:
    """(N, 3, 7) of points (N, 3) that move with a block about its middle."""
    arm = y - middle
    found = np.zeros((len(y), 3, 7))
    found[:, 0, 1], found[:, 0, 2] = arm[:, 2], -arm[:, 1]
    found[:, 1, 0], found[:, 1, 2] = -arm[:, 2], arm[:, 0]
    found[:, 2, 0], found[:, 2, 1] = arm[:, 1], -arm[:, 0]
    found[:, 0, 3] = found[:, 1, 4] = found[:, 2, 5] = 1.0
    found[:, :, 6] = arm
    return found


def _turn_jacobian(count: int) -> np.ndarray:
    """(count, 3, 7) of rotations that turn with a block."""
    found = np.zeros((count, 3, 7))
    found[:, :, :3] = np.eye(3)
    return found


def _add_tie(
    system: _System, tie: BlockTie, now: Mapping[str, Similarity], middles: Mapping[str, np.ndarray], index: Mapping[str, int]
) -> None:
    sa, sb, ia, ib = now[tie.a], now[tie.b], index[tie.a], index[tie.b]
    distance = np.maximum(sa.scale * tie.depth, 1e-12)
    typical = float(np.median(distance))
    for one, other, sigma in (
        (tie.poses_a.origin, tie.poses_b.origin, np.full(len(tie.poses_a), CENTER_SIGMA * typical)),
        (tie.xyz_a, tie.xyz_b, POINT_SIGMA * distance),
    ):
        ya, yb = sa.apply(one), sb.apply(other)
        residual = ya - yb
        weight = _cauchy(residual / sigma[:, None]) / sigma**2
        jacobians = {ia: _point_jacobian(ya, middles[tie.a]), ib: -_point_jacobian(yb, middles[tie.b])}
        system.add(jacobians, residual, weight)
    turn = _turns(tie, sa, sb)
    weight = _cauchy(turn / TURN_SIGMA) / TURN_SIGMA**2
    unit = _turn_jacobian(len(turn))
    system.add({ia: unit, ib: -unit}, turn, weight)


def _turns(tie: BlockTie, sa: Similarity, sb: Similarity) -> np.ndarray:
    """(K, 3) rotation vectors in the city's frame from the common cameras by b to the same by a."""
    one = sa.rotation @ np.swapaxes(tie.poses_a.rotation, 1, 2)
    other = sb.rotation @ np.swapaxes(tie.poses_b.rotation, 1, 2)
    return np.asarray(Rotation.from_matrix(one @ np.swapaxes(other, 1, 2)).as_rotvec())


def _add_own(system: _System, block: PlacedBlock, now: Similarity, start: Similarity, middle: np.ndarray, i: int) -> None:
    own = block.city_from_block
    if own is not None and len(block.centers):
        y = now.apply(block.centers)
        residual = y - own.apply(block.centers)
        weight = _cauchy(residual / block.sigmas[:, None]) / block.sigmas**2
        system.add({i: _point_jacobian(y, middle)}, residual, weight)
        lean = Rotation.from_matrix(now.rotation @ own.rotation.T).as_rotvec()[None]
        system.add({i: _turn_jacobian(1)}, lean, np.array([1.0 / OWN_TURN_SIGMA**2]))
    reference = own or start
    system.add_scale(i, float(np.log(now.scale / reference.scale)), block.scale_sigma or FREE_SCALE)


def _moved(similarity: Similarity, step: np.ndarray, middle: np.ndarray) -> Similarity:
    turn = Rotation.from_rotvec(step[:3]).as_matrix()
    factor = float(np.exp(np.clip(step[6], -1.0, 1.0)))
    shift = factor * turn @ (similarity.translation - middle) + middle + step[3:6]
    return Similarity(factor * similarity.scale, turn @ similarity.rotation, shift)


def _residual(tie: BlockTie, found: Mapping[str, Similarity]) -> tuple[float, float]:
    away = found[tie.a].apply(tie.poses_a.origin) - found[tie.b].apply(tie.poses_b.origin)
    turn = np.linalg.norm(_turns(tie, found[tie.a], found[tie.b]), axis=1)
    return float(np.median(np.linalg.norm(away, axis=1))), float(np.degrees(np.median(turn)))


def _excess(tie: BlockTie, found: Mapping[str, Similarity], distance: float) -> float:
    """How far apart the common cameras lie, as a share of the points' distance."""
    return distance / max(float(np.median(tie.depth)) * found[tie.a].scale, 1e-12)
