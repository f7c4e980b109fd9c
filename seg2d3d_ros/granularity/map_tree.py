"""Open a map's tree of objects: its nodes with their masks in each image, their points, parents and children.

tree = open_tree(Path("MAP"))
for node in tree.roots:
    print(node.id, [part.id for part in tree.children(node.id)])
region = tree.region(node.id, "front_1780300803357938000")     # Region, or None where the image has no mask of it
path = tree.at("front_1780300803357938000", (320.5, 200.5))     # nodes whose masks hold a pixel, the smallest first
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.mapstore.files.tree_file import StoredTree, TreeNode, read_tree
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredMasks


class MapTree:
    """See the module. Masks are read when they are asked for.

    Attributes:
        granularity: what the map was made with.
        nodes: all nodes.
    """

    def __init__(self, store: MapStore, stored: StoredTree, class_names: Sequence[str]) -> None:
        self.granularity, self.nodes = stored.granularity, tuple(stored.nodes)
        self._by_id = {node.id: node for node in self.nodes}
        self._masks = StoredMasks(store, class_names)
        self._children: dict[int, list[TreeNode]] = {}
        for node in self.nodes:
            self._children.setdefault(node.parent, []).append(node)
        self._of_mask = {(name, k): node for node in self.nodes for name, places in node.masks.items() for k in places}

    def __getitem__(self, node_id: int) -> TreeNode:
        """The node of this id; ``KeyError`` where there is none."""
        return self._by_id[node_id]

    @property
    def roots(self) -> tuple[TreeNode, ...]:
        """Nodes that are part of no other."""
        return tuple(self._children.get(0, ()))

    @property
    def chosen(self) -> tuple[TreeNode, ...]:
        """Nodes that are instances of the map."""
        return tuple(node for node in self.nodes if node.chosen)

    def parent(self, node_id: int) -> TreeNode | None:
        """What a node is part of; None for a root."""
        return self._by_id.get(self._by_id[node_id].parent)

    def children(self, node_id: int) -> tuple[TreeNode, ...]:
        """The parts of a node."""
        return tuple(self._children.get(node_id, ()))

    def region(self, node_id: int, name: str) -> Region | None:
        """The pixels of a node's own masks in a keyframe; None where it has none there.

        Raises:
            DataError: the keyframe's masks are damaged, or others than when the tree was made.
        """
        places = self._by_id[node_id].masks.get(name, ())
        if not places:
            return None
        masks = self._masks[name]
        if max(places) >= len(masks):
            raise DataError(f"{name}: its masks changed since granularity.json was written; run seg2d3d regroup")
        pixels = np.zeros(masks.shape, bool)
        for k in places:
            region = masks.region(k)
            pixels[region.window] |= region.pixels
        return region_of(pixels)

    def at(self, name: str, xy: tuple[float, float]) -> tuple[TreeNode, ...]:
        """The nodes whose masks in a keyframe hold a pixel (``x y``, conventions of ``types``), the smallest mask first."""
        masks = self._masks[name]
        _, held = masks.holding(np.array([xy], float))
        order = held[np.argsort(masks.areas[held], kind="stable")]
        found = {node.id: node for k in order.tolist() if (node := self._of_mask.get((name, k)))}
        return tuple(found.values())


def open_tree(root: Path, class_names: Sequence[str] = ("object",)) -> MapTree:
    """The tree of a map directory.

    Args:
        class_names: the prompts that the masks were made with.

    Raises:
        DataError: the map has none, or it is damaged.
    """
    stored = read_tree(Path(root))
    if stored is None:
        raise DataError(f"{root}: has no granularity.json: it was made without overlapping masks (--granularity)")
    return MapTree(MapStore(Path(root)), stored, class_names)
