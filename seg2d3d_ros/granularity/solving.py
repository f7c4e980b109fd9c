"""From models and overlapping masks to a tree with persistent ids, and its cut drawn into all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from seg2d3d_ros.arrays import places
from seg2d3d_ros.association.online.identity import Merge, inherit
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.granularity.cut import choose
from seg2d3d_ros.granularity.flattening import FlatChoice, flatten
from seg2d3d_ros.granularity.mask_points import MaskPoints, mask_points
from seg2d3d_ros.granularity.object_tree import ObjectTree, Rounds, build_tree
from seg2d3d_ros.mapstore.checks import MAX_ID
from seg2d3d_ros.mapstore.files.tree_file import StoredTree, TreeNode
from seg2d3d_ros.types import SparseModel


@dataclass(frozen=True)
class Granular:
    """See the module.

    Attributes:
        points: which mask holds which points.
        tree: with persistent ids.
        chosen: (N,) bool, the nodes that are the objects.
        flat: these in all images.
        rounds: the groups of masks after each round.
        stored: the tree as granularity.json has it.
        merges: nodes that turned out to be one.
    """

    points: MaskPoints
    tree: ObjectTree
    chosen: np.ndarray
    flat: FlatChoice
    rounds: Rounds
    stored: StoredTree
    merges: tuple[Merge, ...]

    @property
    def carried(self) -> set[tuple[str, int]]:
        """Keyframes and nodes that were drawn there from other views."""
        return {(name, item.instance) for name, items in self.flat.carried.items() for item in items}

    @property
    def places(self) -> dict[int, dict[str, float]]:
        """For tracks.json: ``parent`` (0 = none), ``level`` and ``stability`` of each chosen node, by its id."""
        return {
            node.id: {"parent": node.parent, "level": node.level, "stability": round(node.stability, 4)}
            for node in self.stored.nodes
            if node.chosen
        }


def solve_granularity(
    models: Sequence[SparseModel],
    masks: Mapping[str, OverlappingMasks],
    granularity: str,
    former: StoredTree | None = None,
    known: Mapping[int, int] | None = None,
    next_id: int = 1,
    *,
    project: bool = True,
) -> Granular:
    """Build the tree, choose its cut, and draw that.

    Args:
        granularity: ``coarse``, ``fine``, ``auto`` or a level.
        former: the tree of an earlier solution, whose ids stay.
        known: instance of points, by their ids, in an earlier solution: nodes that no mask of ``former`` names inherit these.
        next_id: the lowest id that no instance ever had.
        project: count points also in views that should see them but did not match them.

    Raises:
        UsageError: no such granularity.
        DataError: masks that cannot be read, or more objects than label images have numbers for.
    """
    points = mask_points(models, masks, project=project)
    tree, rounds = build_tree(points)
    point_ids = np.concatenate([np.empty(0, np.int64), *(model.point_ids for model in models)])
    tree, next_id, merges = _named(tree, points, point_ids, former, known or {}, next_id)
    chosen = choose(tree, granularity)
    flat = flatten(models, points, tree, chosen, masks)
    stored = StoredTree(granularity, next_id, _nodes(tree, chosen, points, point_ids))
    return Granular(points, tree, chosen, flat, rounds, stored, merges)


def _named(
    tree: ObjectTree,
    points: MaskPoints,
    point_ids: np.ndarray,
    former: StoredTree | None,
    known: Mapping[int, int],
    next_id: int,
) -> tuple[ObjectTree, int, tuple[Merge, ...]]:
    """The tree under the ids that its nodes had. Masks are the memory, as segments are for instances (``online.identity``)."""
    nodes = () if former is None else former.nodes
    old = {(name, place): node.id for node in nodes for name, mine in node.masks.items() for place in mine}
    pairs = [(node, old[key]) for node, key in zip(tree.of_mask.tolist(), points.keys, strict=True) if node >= 0 and key in old]
    by_mask = np.array(pairs, np.int64).reshape(-1, 2).T
    of_point = np.array([known.get(i, 0) for i in point_ids.tolist()], np.int64)
    entries = tree.member.tocoo()
    ancient = of_point[entries.col]
    unnamed = (ancient > 0) & ~np.isin(entries.row, by_mask[0])
    by_point = np.stack([entries.row[unnamed], ancient[unnamed]])
    first = max(next_id, 1 if former is None else former.next_id)
    heirs = inherit(len(tree), by_mask, first, by_point)
    if int(heirs.names.max(initial=0)) > MAX_ID:
        raise DataError(_no_ids_left(len(tree), first))
    return replace(tree, ids=heirs.names), heirs.next_id, tuple(heirs.merges)


def _no_ids_left(nodes: int, first: int) -> str:
    if nodes > MAX_ID:
        return (
            f"the overlapping masks come to {nodes} objects, and label images have numbers for {MAX_ID}: the segmenter "
            "cuts too finely; leave out small masks (segmentation.min_area), or make maps of parts of the drive"
        )
    return (
        f"{nodes} objects, and of the {MAX_ID} ids that label images have {first - 1} were given already, none of them twice; "
        "make the map anew, which counts from 1"
    )


def _nodes(tree: ObjectTree, chosen: np.ndarray, points: MaskPoints, point_ids: np.ndarray) -> list[TreeNode]:
    keys = points.keys
    found = []
    for k, rows in enumerate(places(tree.of_mask, len(tree))):
        masks: dict[str, tuple[int, ...]] = {}
        for row in rows.tolist():
            name, place = keys[row]
            masks[name] = (*masks.get(name, ()), place)
        parent = int(tree.ids[tree.parent[k]]) if tree.parent[k] >= 0 else 0
        mine = tree.member.indices[tree.member.indptr[k] : tree.member.indptr[k + 1]]
        facts = int(tree.level[k]), float(np.clip(tree.stability[k], 0, 1)), bool(chosen[k])
        found.append(TreeNode(int(tree.ids[k]), parent, *facts, masks, tuple(np.sort(point_ids[mine]).tolist())))
    return found
