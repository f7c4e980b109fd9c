"""``granularity.json``: the tree of objects, so that another level can be chosen later and ids stay."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore import checks

TREE_FILE = "granularity.json"


@dataclass(frozen=True)
class TreeNode:
    """One object of the tree.

    Attributes:
        id: persistent; of a chosen node also the instance's id.
        parent: id of the node that it is part of, 0 = none.
        level: steps down from the root.
        stability: in [0, 1], of the views that see it, how many show it whole, times how well.
        chosen: it is an instance of the map at its present granularity.
        masks: by keyframe name, the positions of its masks in ``masks/<name>.json``.
        points: ids of its 3D points.
    """

    id: int
    parent: int
    level: int
    stability: float
    chosen: bool
    masks: Mapping[str, tuple[int, ...]] = field(repr=False)
    points: tuple[int, ...] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        return {
            "id": self.id,
            "parent": self.parent,
            "level": self.level,
            "stability": round(self.stability, 4),
            "chosen": self.chosen,
            "masks": {name: list(places) for name, places in self.masks.items()},
            "points": list(self.points),
        }


@dataclass(frozen=True)
class StoredTree:
    """The content of the file: the granularity that was asked for, the lowest id never given, and the nodes."""

    granularity: str
    next_id: int
    nodes: Sequence[TreeNode]

    def to_json(self) -> dict[str, Any]:
        """For the file."""
        nodes = [node.to_json() for node in self.nodes]
        return {"granularity": self.granularity, "next_id": self.next_id, "nodes": nodes}


_NODE = checks.table(
    {
        "id": checks.whole(1, checks.MAX_ID),
        "parent": checks.whole(0, checks.MAX_ID),
        "level": checks.whole(),
        "stability": checks.number(0, 1),
        "chosen": checks.flag,
        "masks": checks.every(checks.listed(checks.whole())),
        "points": checks.listed(checks.whole()),
    }
)
_TREE = checks.table({"granularity": checks.text, "next_id": checks.whole(1), "nodes": checks.listed(_NODE)})


def read_tree(root: Path) -> StoredTree | None:
    """The tree of a map directory; None where it has none.

    Raises:
        DataError: the file is damaged.
    """
    path = root / TREE_FILE
    if not path.is_file():
        return None
    document = read_json(path, remedy="delete it and run seg2d3d regroup", unreadable=DataError)
    try:
        _TREE(document, "")
        nodes = [_node(item) for item in document["nodes"]]
        known = {node.id for node in nodes}
        if len(known) < len(nodes) or not {node.parent for node in nodes} <= known | {0}:
            raise ValueError("an id twice, or a parent that is not there")
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error}); delete it and run seg2d3d regroup") from error
    return StoredTree(document["granularity"], document["next_id"], nodes)


def _node(item: Mapping[str, Any]) -> TreeNode:
    masks = {name: tuple(places) for name, places in item["masks"].items()}
    facts = {key: item[key] for key in ("id", "parent", "level", "stability", "chosen")}
    return TreeNode(**facts, masks=masks, points=tuple(item["points"]))
