"""Which instance of a result a correction means: told by its masks in a few images and its place, found again by these.

Numbers may change when a map is made anew, and masks, too. So an instance is known by where it was seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.editing.editable_map import EditableMap
from seg2d3d_ros.editing.frame_anchor import frame_now
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.geometry.similarity import Similarity
from seg2d3d_ros.mapstore.files.prompts_file import from_runs, to_runs

VIEWS = 6
"""Masks that a reference holds: the largest of an instance, those of a detector first."""
MOST = 0.5
"""Intersection over union with the masks of a reference from which on an instance is the thing. Where there is none: so much of
a piece of the thing lies in these masks, and the pieces together fill as much of them."""
SLIVER = 0.05
"""What fills less of the masks than this is not taken for a piece."""
LARGER = 1.5
"""So many times as long or high as it was: that is more than the thing."""


@dataclass(frozen=True)
class FoundThing:
    """What a reference comes to in the present result.

    Attributes:
        ids: the instances that the thing consists of, the largest first.
        whole: they are nothing but the thing; else it is a part of the only one.
    """

    ids: tuple[int, ...]
    whole: bool


def reference(edited: EditableMap, instance: int) -> dict[str, Any]:
    """An instance of the map, as the log keeps it.

    Raises:
        UsageError: there is none.
    """
    item = edited.items.get(instance)
    if item is None:
        raise UsageError(
            f"the map has no instance {instance}; tracks.json, report.html and `seg2d3d serve MAP` say which there are"
        )
    found = []
    for name in edited.images_of([instance]):
        labels = edited.labels(name)
        region = None if labels is None else region_of(labels == instance)
        if labels is not None and region is not None:
            drawn = all(o.get("recovered", False) for o in item["observations"] if o["image"] == name)
            found.append((drawn, -region.area, name, region, labels.shape))
    seen = [{"image": name, "mask": to_runs(region, shape)} for _, _, name, region, shape in sorted(found, key=lambda f: f[:3])]
    document: dict[str, Any] = {"id": instance, "class": item["class"], "seen": seen[:VIEWS]}
    box = item.get("box3d") or {}
    if "center" in box and "size" in box:
        document |= {"center": list(box["center"]), "size": list(box["size"])}
    return document


def find(edited: EditableMap, told: Mapping[str, Any], frame: Mapping[str, Any] | None) -> FoundThing | None:
    """The thing that a reference tells of, or None where the result has no such thing.

    Args:
        frame: cameras around it (``frame_anchor``), for what no image of the reference shows any more.
    """
    inside: dict[int, int] = {}
    whole: dict[int, int] = {}
    area = usable = 0
    for seen in told["seen"]:
        labels = edited.labels(seen["image"])
        region, shape = from_runs(seen["mask"])
        if labels is None or region is None or labels.shape != shape:
            continue
        usable += 1
        area += region.area
        sizes = np.bincount(labels.ravel())
        ids, counts = np.unique(labels[region.window][region.pixels], return_counts=True)
        for i, count in zip(ids.tolist(), counts.tolist(), strict=True):
            if i:
                inside[i] = inside.get(i, 0) + count
                whole[i] = whole.get(i, 0) + int(sizes[i])
    if not usable:
        return _by_place(edited, told, frame)
    now = None if frame is None else frame_now(frame, edited.geometry.models)
    order = sorted((i for i in inside if i in edited.items), key=lambda i: (-inside[i], i))
    part_of = [i for i in order if inside[i] >= MOST * area]
    if part_of and _reaches_beyond(edited.items[part_of[0]], told, now):
        return FoundThing((part_of[0],), whole=False)
    same = [i for i in order if inside[i] >= MOST * (area + whole[i] - inside[i])]
    if same:
        return FoundThing((same[0],), whole=True)
    pieces = [i for i in order if inside[i] >= MOST * whole[i] and inside[i] >= SLIVER * area]
    pieces = [i for i in pieces if not edited.items[i].get("prompted")]  # somebody said that these are things of their own
    if sum(inside[i] for i in pieces) >= MOST * area:
        return FoundThing(tuple(pieces), whole=True)
    return FoundThing((part_of[0],), whole=False) if part_of else None


def _reaches_beyond(item: Mapping[str, Any], told: Mapping[str, Any], now: tuple[Similarity, int] | None) -> bool:
    """Whether an instance is longer or higher than the thing was: the images of a reference may show only that part of it."""
    box = item.get("box3d") or {}
    if now is None or "size" not in box or "size" not in told:
        return False
    return any(box["size"][axis] > LARGER * now[0].scale * told["size"][axis] > 0 for axis in (0, 2))


def _by_place(edited: EditableMap, told: Mapping[str, Any], frame: Mapping[str, Any] | None) -> FoundThing | None:
    """The only instance whose box has about the size of the thing's and lies about it, by the cameras that there are still."""
    if frame is None or "center" not in told or "size" not in told:
        return None
    now = frame_now(frame, edited.geometry.models)
    if now is None:
        return None
    similarity, component = now
    center = similarity.apply(np.array([told["center"]], float))[0]
    size = similarity.scale * np.array(told["size"], float)
    near = [i for i, item in edited.items.items() if item.get("component", 0) == component and _alike(item, center, size)]
    return FoundThing((near[0],), whole=True) if len(near) == 1 else None


def _alike(item: Mapping[str, Any], center: np.ndarray, size: np.ndarray) -> bool:
    box = item.get("box3d") or {}
    if "center" not in box or "size" not in box:
        return False
    extent, other = float(np.linalg.norm(size)), float(np.linalg.norm(box["size"]))
    apart = float(np.linalg.norm(np.array(box["center"], float) - center))
    return apart <= 0.25 * min(extent, other) and max(extent, other) <= 1.5 * min(extent, other)


def pieces_of(found: Sequence[FoundThing]) -> list[int]:
    """The instances of several things, each once, in order."""
    return list(dict.fromkeys(i for thing in found for i in thing.ids))
