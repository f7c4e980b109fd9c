"""An object that several blocks show, as one entry like those of tracks.json, in the city's frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.city.joining.block_content import BlockContent
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes, oriented_box
from seg2d3d_ros.geometry.similarity import Similarity

FEWEST = 4
"""Points that make a box."""


def instance_points(content: BlockContent, number: int, city_from_block: Similarity) -> np.ndarray:
    """(P, 3) of an instance of a block, in the city's frame."""
    mine = content.points[content.points["instance"] == number]
    return city_from_block.apply(np.stack([mine[axis] for axis in "xyz"], axis=1).astype(np.float64))


def joined_instance(
    number: int,
    parts: Sequence[tuple[BlockContent, int]],
    city_from: Mapping[str, Similarity],
    up: np.ndarray,
) -> dict[str, Any]:
    """The entry of an object.

    Args:
        number: its id in the city.
        parts: blocks and the object's id there, the one with most points first: there it is at home.
        city_from: by name of the block.
        up: (3,) in the city's frame.
    """
    home, own = parts[0]
    item = home.instances[own]
    classes: Counter[str] = Counter()
    for content, one in parts:
        classes[str(content.instances[one]["class"])] += len(content.instances[one]["observations"])
    best = max(parts, key=lambda part: float(part[0].instances[part[1]]["score"]))
    entry: dict[str, Any] = {
        "id": number,
        "class": min(classes, key=lambda name: (-classes[name], name)),
        "score": float(best[0].instances[best[1]]["score"]),
        "points": max(int(content.instances[one]["points"]) for content, one in parts),
        "component": 0,
        "blocks": [{"block": content.name, "id": one} for content, one in parts],
    }
    if (box := _box(parts, city_from, up)) is not None:
        entry |= box
        if "covariance" in item:
            turn = city_from[home.name].scale * city_from[home.name].rotation
            entry["covariance"] = (turn @ np.array(item["covariance"], float) @ turn.T).tolist()
    entry["observations"] = _observations(parts)
    return entry


def _box(
    parts: Sequence[tuple[BlockContent, int]], city_from: Mapping[str, Similarity], up: np.ndarray
) -> dict[str, Any] | None:
    """``box3d``, of all its points where several blocks have some, so that it ends where no block does, and ``position``."""
    clouds = [instance_points(content, one, city_from[content.name]) for content, one in parts]
    with_points = [cloud for cloud in clouds if len(cloud) >= FEWEST]
    home, own = parts[0]
    item = home.instances[own]
    if len(with_points) > 1:
        center, size, rotation = oriented_box(np.concatenate(with_points), up)
    elif "box3d" in item:
        box, similarity = item["box3d"], city_from[home.name]
        center = similarity.apply(np.array([box["center"]], float))[0]
        size = similarity.scale * np.array(box["size"], float)
        rotation = similarity.rotation @ Rotation.from_quat(box["quaternion_xyzw"]).as_matrix()
    else:
        return None
    found = OrientedBoxes(center[None], size[None], rotation[None], np.full((1, 3, 3), np.nan))
    low, high = found.bounds[0]
    box3d = {
        "min": low.tolist(),
        "max": high.tolist(),
        "center": center.tolist(),
        "size": size.tolist(),
        "quaternion_xyzw": found.quaternions[0].tolist(),
    }
    return {"box3d": box3d, "position": found.foot[0].tolist()}


def _observations(parts: Sequence[tuple[BlockContent, int]]) -> list[dict[str, Any]]:
    """Each mask once, as the block says that is surest of it."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for content, one in parts:
        for seen in content.instances[one]["observations"]:
            key = str(seen["image"]), int(seen["segment"]) if not seen.get("recovered") else -1
            if key not in found or float(seen["score"]) > float(found[key]["score"]):
                found[key] = dict(seen)
    masks = {image for image, segment in found if segment >= 0}
    return [found[key] for key in sorted(found) if key[1] >= 0 or key[0] not in masks]
