"""What each correction does to a map: to label images, tracks and clouds at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from seg2d3d_ros.config import load_config
from seg2d3d_ros.editing.dividing import DividingPlane, dividing_plane, right_of
from seg2d3d_ros.editing.edit_entry import DELETE, MERGE, REDRAW, RENAME, SPLIT, Edit
from seg2d3d_ros.editing.editable_map import GEOMETRY, EditableMap
from seg2d3d_ros.editing.references import FoundThing, find, pieces_of
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.mapstore.files.prompts_file import Prompted, prompted_of
from seg2d3d_ros.prompts.laying import CLOUDS, points_shown

MASKS_GONE = Kind(
    "redrawn_masks_lost",
    "masks that people drew and that the labels do not show any more",
    cause="their images are gone from the map, or have another size",
    remedy="redraw these objects in images that are there",
)
UNDIVIDED = Kind(
    "images_not_divided",
    "images in which an object that a person split was not divided",
    cause="the image is in no model, or sees too few points to tell on which side of the line its pixels lie; all of them went "
    "to the larger part",
    remedy="split the object in such an image, too, by a line that is drawn there",
)
COVERED = Kind(
    "instances_covered",
    "instances that lie wholly beneath an object that a person drew, and are not shown",
    cause="the object was drawn as a new one where they are",
    remedy="`undo` gives them back; to redraw one of them, select it (`redraw ID`)",
)
GONE = "the result has no such thing any more"
PART = "the thing is a part of a larger instance now"


class NotFound(Exception):
    """A correction no longer finds its objects; says why, in words."""


@dataclass
class Applied:
    """What a correction did.

    Attributes:
        ids: the instances that it made or changed.
    """

    ids: list[int] = field(default_factory=list)


def apply(edit: Edit, edited: EditableMap, findings: Findings) -> Applied:
    """Do a correction; nothing is changed where it does not find its objects.

    Raises:
        NotFound: it does not.
        DataError: a damaged file, or no number is left for a new instance.
    """
    frame = edit.content.get("frame")
    found = [find(edited, told, frame) for told in edit.content["instances"]]
    things = [thing for thing in found if thing is not None]
    if len(things) < len(found):
        lost = [told["id"] for told, thing in zip(edit.content["instances"], found, strict=True) if thing is None]
        raise NotFound(f"{GONE} ({', '.join(map(str, lost))})")
    ids = _OPERATIONS[edit.operation](edit, edited, things, findings)
    gone = edited.settle(ids)
    findings.add(COVERED, *map(str, gone), count=len(gone), of=len(gone) + len(edited.items))
    for i in set(ids) & edited.items.keys():
        edited.items[i]["edited"] = sorted({*edited.items[i].get("edited", ()), edit.operation})
    return Applied([i for i in ids if i in edited.items])


def _whole(things: Sequence[FoundThing]) -> list[int]:
    if any(not thing.whole for thing in things):
        raise NotFound(PART)
    return pieces_of(things)


def _merge(edit: Edit, edited: EditableMap, things: Sequence[FoundThing], findings: Findings) -> list[int]:
    pieces = pieces_of(things)
    if not all(thing.whole for thing in things):
        # Where one instance has swallowed all of them, the result is what was wanted; a larger one with others in it is not.
        if len(pieces) != 1:
            raise NotFound(PART)
        return pieces
    keep = int(edit.content["keep"])
    return [_unite(edited, pieces, keep if keep in pieces else min(pieces))]


def _unite(edited: EditableMap, pieces: Sequence[int], keep: int) -> int:
    """Several instances become one, which keeps the number ``keep``."""
    others = [i for i in pieces if i != keep]
    if not others:
        return keep
    main = max((edited.items[i] for i in pieces), key=lambda item: (item["points"], len(item["observations"])))
    place = {key: main[key] for key in GEOMETRY if key in main}
    item = edited.items[keep]
    for key in GEOMETRY:
        item.pop(key, None)
    item.update(place)
    for name in edited.images_of(others):
        labels = edited.labels(name)
        if labels is not None:
            edited.relabel(name, np.where(np.isin(labels, others), keep, labels))
    for i in others:  # what no label image shows goes along
        item["observations"] += edited.items.pop(i)["observations"]
    for child in edited.items.values():
        if child.get("parent") in others:
            child["parent"] = keep
    for points in edited.clouds.values():
        points["instance"][np.isin(points["instance"], others)] = keep
    item["score"] = 1.0
    return keep


def _delete(edit: Edit, edited: EditableMap, things: Sequence[FoundThing], findings: Findings) -> list[int]:
    pieces = _whole(things)
    _clear(edited, pieces)
    for i in pieces:
        parent = edited.items.pop(i).get("parent", 0)
        for child in edited.items.values():
            if child.get("parent") == i:
                child["parent"] = parent
    return []


def _clear(edited: EditableMap, pieces: Sequence[int]) -> None:
    """Take the pixels and points of instances away."""
    for name in edited.images_of(pieces):
        labels = edited.labels(name)
        if labels is not None:
            edited.relabel(name, np.where(np.isin(labels, pieces), 0, labels))
    for points in edited.clouds.values():
        rows = np.isin(points["instance"], pieces)
        points["instance"][rows], points["confidence"][rows] = 0, 0


def _rename(edit: Edit, edited: EditableMap, things: Sequence[FoundThing], findings: Findings) -> list[int]:
    pieces = _whole(things)
    for i in pieces:
        item = edited.items[i]
        if item["class"] != edit.content["class"]:
            item.setdefault("detected_class", item["class"])
            item["class"] = edit.content["class"]
        item["named"] = True
    return pieces


def _split(edit: Edit, edited: EditableMap, things: Sequence[FoundThing], findings: Findings) -> list[int]:
    pieces = _whole(things)
    plane = dividing_plane(edited, edit.content)
    if plane is None:
        raise NotFound("the place of the line is not known any more: its image, or the cameras around it, are not in one model")
    told = edit.ids[0]
    keep = told if told in pieces else pieces[0]
    _unite(edited, pieces, keep)
    new = edited.free_id(int(edit.content["new"]))
    goes = 1.0 if edit.content["keeps"] == "left" else -1.0  # the side that gets the new number, as a sign of plane.right
    item = edited.items[keep]
    edited.items[new] = {**item, "id": new, "observations": [], "points": 0}
    for key in GEOMETRY:
        edited.items[new].pop(key, None)
    _divide_images(edited, keep, new, plane, goes, findings)
    for points in edited.clouds.values():
        rows = np.flatnonzero(points["instance"] == keep)
        xyz = np.stack([points[axis][rows] for axis in "xyz"], axis=1).astype(float)
        points["instance"][rows[goes * plane.right(xyz) > 0]] = new
    for i in (keep, new):
        edited.items[i]["score"] = 1.0
    return [keep, new]


def _divide_images(edited: EditableMap, keep: int, new: int, plane: DividingPlane, goes: float, findings: Findings) -> None:
    names = edited.images_of([keep])
    for name in names:
        labels = edited.labels(name)
        region = None if labels is None else region_of(labels == keep)
        if labels is None or region is None:
            continue
        right = right_of(plane, region, edited.geometry.sight_of.get(name))
        if right is None:
            findings.add(UNDIVIDED, name, of=len(names))
            continue
        after = labels.copy()
        after[region.window][region.pixels & (right if goes > 0 else ~right)] = new
        edited.relabel(name, after)


def _redraw(edit: Edit, edited: EditableMap, things: Sequence[FoundThing], findings: Findings) -> list[int]:
    drawn = prompted_of(edit.content["object"])
    pieces = _whole(things)
    kept = {name: value for name, value in drawn.regions.items() if _fits(edited, name, value[1])}
    findings.add(
        MASKS_GONE, *sorted(drawn.regions.keys() - kept.keys()), count=len(drawn.regions) - len(kept), of=len(drawn.regions)
    )
    if not kept:
        raise NotFound("none of the images that it was drawn in is in the map any more, or they have another size")
    if pieces:
        instance = edit.ids[0] if edit.ids[0] in pieces else pieces[0]
        item = edited.items[instance]
        _clear(edited, pieces)
        for i in pieces:
            edited.items.pop(i)
    else:
        instance = edited.free_id(drawn.id)
        item = {"id": instance, "class": drawn.class_name}
    for key in (*GEOMETRY, "panoramas"):
        item.pop(key, None)
    drawn = replace(drawn, id=instance, regions=kept)
    views = [sight for sight in edited.geometry.sights if sight.name in kept]
    item |= {"score": 1.0, "points": 0, "component": views[0].view.component if views else 0, "observations": []}
    edited.items[instance] = item
    _draw(edited, drawn, item)
    return [instance]


def _draw(edited: EditableMap, drawn: Prompted, item: dict[str, Any]) -> None:
    """Pixels, observations and points of a redrawn object."""
    for name, (region, shape) in sorted(drawn.regions.items()):
        labels = edited.labels(name)
        after = np.zeros(shape, np.uint16) if labels is None else labels.copy()
        after[region.window][region.pixels] = drawn.id
        segment = edited.free_segment(name)
        edited.relabel(name, after, drawn=drawn.id)
        entry = {"image": name, "segment": segment, "box": list(region.box), "score": 1.0, "detector_score": 1.0}
        item["observations"].append({**entry, "recovered": True} if name in drawn.carried else entry)
    path = edited.store.root / "config.yaml"
    superpoints = load_config(file=path if path.exists() else None).superpoints
    for file, points in edited.clouds.items():
        rows, share = points_shown(drawn, points, CLOUDS[file], edited.geometry.sights, superpoints)
        points["instance"][rows], points["confidence"][rows] = drawn.id, share


def _fits(edited: EditableMap, name: str, shape: tuple[int, int]) -> bool:
    labels = edited.labels(name)
    if labels is not None:
        return labels.shape == shape
    sight = edited.geometry.sight_of.get(name)
    return sight is not None and (sight.view.camera.height, sight.view.camera.width) == shape


_OPERATIONS: Mapping[str, Callable[[Edit, EditableMap, Sequence[FoundThing], Findings], list[int]]] = {
    MERGE: _merge,
    DELETE: _delete,
    RENAME: _rename,
    SPLIT: _split,
    REDRAW: _redraw,
}
