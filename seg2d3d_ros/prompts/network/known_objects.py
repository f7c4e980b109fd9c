"""Objects whose masks are known in some views: the nodes of a map's tree, its instances, or a simulated street's truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.files.tree_file import read_tree
from seg2d3d_ros.prompts.session import PromptSession

TRUTH_FOLDERS = ("truth", "truth_storeys", "truth_parts")
"""Of a simulated street: the objects of level 0, 1 and 2."""
IGNORED = 65535
DEEPEST = len(TRUTH_FOLDERS) - 1
KEPT_IMAGES = 48


@dataclass(frozen=True)
class KnownObject:
    """An object.

    Attributes:
        id: for ``region``; unique in its source.
        level: 0 = a whole, 1 = its part, 2 = a part of that; None where nothing tells.
        views: the keyframes that show it.
    """

    id: int
    level: int | None
    views: tuple[str, ...]


@dataclass(frozen=True)
class KnownObjects:
    """All objects that a map teaches.

    Attributes:
        objects: each with one view at least.
        region: its pixels in a keyframe; None where it has none.
        complete: a keyframe that is not among an object's views does not show it; else that is not known.
    """

    objects: Sequence[KnownObject]
    region: Callable[[int, str], Region | None]
    complete: bool


def known_objects(session: PromptSession, truth: Path | None = None) -> KnownObjects:
    """What a map teaches: its truth where there is one, else the nodes of its tree, else its instances.

    Args:
        truth: a simulated street (``truth/`` and, with levels, ``truth_storeys/`` and ``truth_parts/``).

    Raises:
        DataError: there is nothing to learn from.
        UsageError: ``truth`` is none of this map.
    """
    names = [sight.name for sight in session.sights]
    found = _of_truth(truth, names) if truth is not None else _of_map(session, names)
    if not found.objects:
        raise DataError(
            f"{session.store.root}: holds no object with a mask, so that there is nothing to learn from; segment it first"
        )
    return found


def _of_map(session: PromptSession, names: Sequence[str]) -> KnownObjects:
    tree = read_tree(session.store.root)
    views: dict[int, list[str]] = {}
    for name in names:
        for i in session.things.shown(name):
            views.setdefault(i, []).append(name)
    parents = {node.parent for node in tree.nodes} if tree is not None else set()

    def level(i: int) -> int | None:
        thing = session.things[i]
        alone = thing.parent == 0 and i not in parents  # a house that no view cut, or a window that no view joined to a house
        return None if alone else min(thing.level, DEEPEST)

    objects = [KnownObject(i, level(i), tuple(shown)) for i, shown in sorted(views.items()) if i > 0]
    return KnownObjects(objects, session.things.region, complete=False)


def _of_truth(folder: Path, names: Sequence[str]) -> KnownObjects:
    present = [part for part in TRUTH_FOLDERS if (folder / part).is_dir()]
    if not present:
        raise UsageError(f"--truth {folder}: holds no folder truth/ of `seg2d3d simulate`")
    paths = {(part, name): folder / part / f"{name}.png" for part in present for name in names}
    if not any(path.is_file() for path in paths.values()):
        raise UsageError(
            f"--truth {folder}: holds no truth of this map's keyframes ({names[0]}, …); give the maps' truths in order"
        )
    views: dict[tuple[str, int], list[str]] = {}
    for (part, name), path in paths.items():
        if path.is_file():
            for i in np.unique(read_labels(path)).tolist():
                if i not in (0, IGNORED):
                    views.setdefault((part, i), []).append(name)
    keys = sorted(views, key=lambda key: (TRUTH_FOLDERS.index(key[0]), key[1]))
    objects = [KnownObject(k, TRUTH_FOLDERS.index(part), tuple(views[part, i])) for k, (part, i) in enumerate(keys)]
    labels = lru_cache(KEPT_IMAGES)(read_labels)

    def region(k: int, name: str) -> Region | None:
        part, i = keys[k]
        path = paths[part, name]
        return region_of(labels(path) == i) if path.is_file() else None

    return KnownObjects(objects, region, complete=True)


def by_level(objects: Sequence[KnownObject]) -> Mapping[int | None, Sequence[int]]:
    """Places in ``objects`` by level, so that the few houses are asked for as often as the many windows."""
    found: dict[int | None, list[int]] = {}
    for place, item in enumerate(objects):
        found.setdefault(item.level, []).append(place)
    return found
