"""tracks.json: each instance with its observations, as plain JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from seg2d3d_ros.types import Incidence, Instances, Segments, SparseModel


def tracks_document(
    models: Sequence[SparseModel],
    segments: Mapping[str, Segments],
    incidence: Incidence,
    instances: Instances,
    class_names: Sequence[str],
) -> dict[str, Any]:
    """The content of tracks.json (design, section 4).

    ``frame`` is the largest component's; an instance of another component names it in ``component``.
    """
    boxes = {name: dict(zip(item.ids.tolist(), item.boxes.tolist(), strict=True)) for name, item in segments.items()}
    points = np.bincount(instances.point_instance, minlength=int(instances.ids.max(initial=0)) + 1)
    component_of_name = {name: model.component for model in models for name in model.names}

    documents: list[dict[str, Any]] = []
    order = np.argsort(instances.segment_instance, kind="stable")
    starts = np.searchsorted(instances.segment_instance[order], instances.ids, side="left")
    ends = np.searchsorted(instances.segment_instance[order], instances.ids, side="right")
    for k, instance_id in enumerate(instances.ids.tolist()):
        rows = order[starts[k] : ends[k]]
        observations = [
            {
                "image": (name := incidence.names[incidence.segment_keyframe[row]]),
                "segment": (segment_id := int(incidence.segment_ids[row])),
                "box": boxes[name][segment_id],
                "score": round(float(incidence.scores[row]), 4),
            }
            for row in rows
        ]
        observations.sort(key=lambda item: (item["image"], item["segment"]))
        document: dict[str, Any] = {
            "id": instance_id,
            "class": class_names[instances.classes[k] - 1],
            "score": round(float(instances.scores[k]), 4),
            "points": int(points[instance_id]),
            "component": component_of_name.get(observations[0]["image"], 0) if observations else 0,
        }
        if np.isfinite(instances.boxes[k]).all():
            document["box3d"] = {"min": instances.boxes[k, 0].tolist(), "max": instances.boxes[k, 1].tolist()}
        documents.append({**document, "observations": observations})
    return {"instances": documents, "frame": frame_document(models)}


def frame_document(models: Sequence[SparseModel]) -> dict[str, Any]:
    """What the coordinates mean, in JSON."""
    if not models:
        return {"kind": "arbitrary"}
    frame = models[0].frame
    if frame.datum is None:
        return {"kind": frame.kind}
    latitude, longitude, altitude = frame.datum
    return {"kind": frame.kind, "datum": {"latitude": latitude, "longitude": longitude, "altitude": altitude}}
