"""Prompted objects over the labels of a map: into label images, tracks.json and every cloud, and out of them again.

Always from what lies beneath (``mapstore.prompts_file``), so that the order of clicks leaves no trace, and an object that
shrinks gives back what it covered.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.config import load_config
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes, oriented_box
from seg2d3d_ros.mapstore.files.prompts_file import PROMPTS_FILE, Prompted, StoredPrompts
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, POINT, colored_by_instance, read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.prompts.point_completion import points_completed
from seg2d3d_ros.prompts.point_votes import points_held
from seg2d3d_ros.prompts.sights import Sight
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig

CLOUDS = {"points_rgb.ply": POINT, "points.ply": POINT, "dense.ply": CLOUD_POINT, "cloud.ply": CLOUD_POINT}
"""Clouds with labels, and their layouts; the first one has all points of the model."""
Restored = Mapping[int, tuple[int, float]]


def lay(
    store: MapStore, objects: Sequence[Prompted], former: StoredPrompts | None, sights: Sequence[Sight], up: np.ndarray
) -> list[Prompted]:
    """Write the map with these objects.

    Args:
        objects: all of them, in the order in which they were asked for.
        former: what the map shows at present; None, or not laid, where it shows none, and what it holds lies beneath.
        up: (3,) the vertical.

    Returns:
        the objects, with their points and boxes.

    Raises:
        DataError: a full disk, or a damaged file.
    """
    if former is not None and not former.laid:
        former = None
    tracks = store.read_tracks() if former is None else former.tracks
    points, found = _lay_points(store, objects, {} if former is None else former.points, sights, up)
    stored = StoredPrompts(found, tracks, points)
    former_images = set() if former is None else former.images
    shrunk = _lay_labels(store, stored, former_images)
    write_json(store.root / "tracks.json", _tracks(stored, shrunk, store))
    write_json(store.root / PROMPTS_FILE, stored.to_json())
    return found


def _lay_labels(store: MapStore, stored: StoredPrompts, former: set[str]) -> dict[str, dict[int, dict[str, Any]]]:
    """Write the label images; returns, by keyframe, of the instances beneath whose pixels changed the share that is left, and
    the box of that."""
    own = {item.id for item in stored.objects}
    shrunk: dict[str, dict[int, dict[str, Any]]] = {}
    for name in sorted(stored.images | former):
        drawn = [(item.id, item.regions[name]) for item in stored.objects if name in item.regions]
        under = store.read_unprompted(name)
        if under is None and store.label_path(name).exists():
            under = store.read_labels(name)
        if under is None:
            shape = next((shape for _, (_, shape) in drawn), None)
            if shape is None:
                continue
            under = np.zeros(shape, np.uint16)
        labels = np.where(np.isin(under, list(own)), 0, under).astype(np.uint16)
        for i, (region, shape) in drawn:
            if shape == labels.shape:
                labels[region.window][region.pixels] = i
        shrunk[name] = {}
        for i in np.setdiff1d(under[under != labels], [0]).tolist():
            left = region_of(labels == i)
            share = 0.0 if left is None else left.area / int((under == i).sum())
            shrunk[name][i] = {"share": share, "box": None if left is None else list(left.box)}
        if name in stored.images:
            store.write_unprompted(name, under)
        else:
            with suppress(OSError):
                (store.root / "prompts" / f"{name}.png").unlink()
        store.write_labels(name, LabelRuns.of(labels))
    return shrunk


def _tracks(stored: StoredPrompts, shrunk: Mapping[str, Mapping[int, Mapping[str, Any]]], store: MapStore) -> dict[str, Any]:
    own = {item.id for item in stored.objects}
    lost: dict[int, int] = {}
    for instance, _ in stored.points.get("points_rgb.ply", {}).values():
        lost[instance] = lost.get(instance, 0) + 1
    instances, free = [], _free_segments(stored.tracks)
    for item in stored.tracks["instances"]:
        if item["id"] in own:
            continue
        observations = []
        for observation in item["observations"]:
            change = shrunk.get(observation["image"], {}).get(item["id"])
            alone = sum(o["image"] == observation["image"] for o in item["observations"]) == 1
            if change is None or (change["share"] > 0 and not alone):
                observations.append(observation)
            elif change["share"] > 0:
                share = round(observation.get("share", 1.0) * change["share"], 4)
                observations.append({**observation, "box": change["box"], "share": share})
        if observations:
            points = max(0, item["points"] - lost.get(item["id"], 0))
            instances.append({**item, "points": points, "observations": observations})
    for item in stored.objects:
        seen = []
        for name, (region, _) in sorted(item.regions.items()):
            free[name] = free.get(name, 0) + 1
            entry = {"image": name, "segment": free[name], "box": list(region.box), "score": 1.0, "detector_score": 1.0}
            seen.append({**entry, "recovered": True} if name in item.carried else entry)
        facts = {"id": item.id, "class": item.class_name, "score": 1.0, "prompted": True}
        instances.append({**facts, **item.facts, "observations": seen})
    return {**stored.tracks, "instances": sorted(instances, key=lambda item: int(item["id"]))}


def _free_segments(tracks: Mapping[str, Any]) -> dict[str, int]:
    """By keyframe the highest number of a segment."""
    free: dict[str, int] = {}
    for item in tracks["instances"]:
        for observation in item["observations"]:
            free[observation["image"]] = max(free.get(observation["image"], 0), observation["segment"])
    return free


def _lay_points(
    store: MapStore,
    objects: Sequence[Prompted],
    former: Mapping[str, Restored],
    sights: Sequence[Sight],
    up: np.ndarray,
) -> tuple[dict[str, dict[int, tuple[int, float]]], list[Prompted]]:
    """Write the clouds; returns what lies beneath, and the objects with their points."""
    changed: dict[str, dict[int, tuple[int, float]]] = {}
    config = store.root / "config.yaml"
    superpoints = load_config(file=config if config.exists() else None).superpoints
    facts: dict[int, dict[str, Any]] = {item.id: {"points": 0, "component": 0} for item in objects}
    own = {item.id for item in objects}
    for file, layout in CLOUDS.items():
        path = store.root / file
        if not path.exists():
            continue
        points = read_points(path, layout)
        _restore(points, former.get(file, {}))
        before = points.copy()
        points["confidence"][np.isin(points["instance"], list(own))] = 0
        points["instance"][np.isin(points["instance"], list(own))] = 0
        xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(float)
        for item in objects:
            rows, share = points_shown(item, points, layout, sights, superpoints)
            points["instance"][rows], points["confidence"][rows] = item.id, share
            if file == next(iter(CLOUDS)):
                facts[item.id] = facts_of(item, xyz[rows], sights, up)
        rows = np.flatnonzero(before["instance"] != points["instance"])
        changed[file] = {int(k): (int(before["instance"][k]), float(before["confidence"][k])) for k in rows}
        if file == "points.ply":
            points = colored_by_instance(points)
        write_points(path, points)
    return changed, [replace(item, facts=facts[item.id]) for item in objects]


def points_shown(
    item: Prompted, points: np.ndarray, layout: np.dtype, sights: Sequence[Sight], superpoints: SuperpointConfig
) -> tuple[np.ndarray, np.ndarray]:
    """The rows (M,) of a cloud that are an object's by its masks, and (M,) float32 how much of the views say so."""
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(float)
    regions = {name: region for name, (region, _) in item.regions.items()}
    if superpoints.complete and layout == CLOUD_POINT:
        rgb = np.stack([points[column] for column in ("red", "green", "blue")], axis=1)
        return points_completed(sights, regions, xyz, rgb, superpoints)
    return points_held(sights, regions, xyz)


def _restore(points: np.ndarray, former: Restored) -> None:
    if former and max(former) < len(points):
        rows = np.array(list(former))
        points["instance"][rows] = [i for i, _ in former.values()]
        points["confidence"][rows] = [c for _, c in former.values()]


def facts_of(item: Prompted, xyz: np.ndarray, sights: Sequence[Sight], up: np.ndarray) -> dict[str, Any]:
    """What tracks.json says of an object's points (N, 3)."""
    component = next((sight.view.component for sight in sights if sight.name in item.regions), 0)
    facts: dict[str, Any] = {"points": len(xyz), "component": component}
    if len(xyz):
        facts["box3d"] = box_document(xyz, up)
    return facts


def box_document(xyz: np.ndarray, up: np.ndarray) -> dict[str, Any]:
    """The upright box around points (N, 3), as tracks.json has it."""
    center, size, rotation = oriented_box(xyz, up)
    boxes = OrientedBoxes(center[None], size[None], rotation[None])
    low, high = boxes.bounds[0].tolist()
    return {
        "min": low,
        "max": high,
        "center": center.tolist(),
        "size": size.tolist(),
        "quaternion_xyzw": boxes.quaternions[0].tolist(),
    }


def forget_beneath(root: Path) -> None:
    """The labels were made anew: what lay beneath the prompts is no more."""
    for path in (root / "prompts").glob("[!.]*.png"):
        path.unlink(missing_ok=True)
