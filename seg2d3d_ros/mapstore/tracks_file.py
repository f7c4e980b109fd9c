"""tracks.json: each instance with its observations, as plain JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from seg2d3d_ros.association.masks.repair import Repaired
from seg2d3d_ros.types import Instances, SparseModel

Observation = tuple[int, dict[str, Any]]
"""Instance id, and the JSON of one segment, or part of one, that shows it."""


def tracks_document(
    models: Sequence[SparseModel],
    observations: Iterable[Observation],
    instances: Instances,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """The content of tracks.json (design, section 4).

    ``frame`` is the largest component's; an instance of another component names it in ``component``. A segment that was
    cut appears in several instances, each time with the box of the part; ``share`` says how much of it the part is.
    ``box3d`` is the upright box: ``center``, ``size`` along its own axes and ``quaternion_xyzw`` (world from box), and the
    axis-aligned ``min`` and ``max`` of its corners.
    """
    points = np.bincount(instances.point_instance, minlength=int(instances.ids.max(initial=0)) + 1)
    component_of_name = {name: model.component for model in models for name in model.names}
    seen: dict[int, list[dict[str, Any]]] = {instance_id: [] for instance_id in instances.ids.tolist()}
    for shown, item in observations:
        seen[shown].append(item)

    boxes = instances.boxes
    bounds, quaternions = boxes.bounds, boxes.quaternions
    documents: list[dict[str, Any]] = []
    for k, instance_id in enumerate(instances.ids.tolist()):
        mine = sorted(seen[instance_id], key=lambda item: (item["image"], item["segment"]))
        document: dict[str, Any] = {
            "id": instance_id,
            "class": class_names[instances.classes[k] - 1],
            "score": round(float(instances.scores[k]), 4),
            "points": int(points[instance_id]),
            "component": component_of_name.get(mine[0]["image"], 0) if mine else 0,
        }
        if boxes.known[k]:
            document["box3d"] = {
                "min": bounds[k, 0].tolist(),
                "max": bounds[k, 1].tolist(),
                "center": boxes.center[k].tolist(),
                "size": boxes.size[k].tolist(),
                "quaternion_xyzw": quaternions[k].tolist(),
            }
        documents.append({**document, "observations": mine})
    return {"instances": documents, "frame": frame_document(models)}


def observations_of(repaired: Repaired) -> Iterator[Observation]:
    """Each segment, or part of one, of one image that shows an instance."""
    item = repaired.segments
    areas = np.bincount(item.labels.ravel(), minlength=int(item.ids.max(initial=0)) + 1)
    whole: dict[int, int] = {}
    for i in item.ids.tolist():
        origin = repaired.parent.get(i, i)
        whole[origin] = whole.get(origin, 0) + int(areas[i])
    for i, box, score in zip(item.ids.tolist(), item.boxes.tolist(), item.scores.tolist(), strict=True):
        if i not in repaired.instance_of:
            continue
        origin = repaired.parent.get(i, i)
        observation = {"image": item.name, "segment": origin, "box": box, "score": round(score, 4)}
        if i in repaired.recovered:
            observation["recovered"] = True
        if areas[i] < whole[origin]:
            observation["share"] = round(int(areas[i]) / whole[origin], 4)
        yield repaired.instance_of[i], observation


def frame_document(models: Sequence[SparseModel]) -> dict[str, Any]:
    """What the coordinates mean, in JSON."""
    if not models:
        return {"kind": "arbitrary"}
    frame = models[0].frame
    if frame.datum is None:
        return {"kind": frame.kind}
    latitude, longitude, altitude = frame.datum
    return {"kind": frame.kind, "datum": {"latitude": latitude, "longitude": longitude, "altitude": altitude}}
