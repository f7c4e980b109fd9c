"""tracks.json: each instance with its observations, as plain JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from seg2d3d_ros.mapstore.panoramas import PanoramaBox
from seg2d3d_ros.types import Instances, Observation, SparseModel


def tracks_document(
    models: Sequence[SparseModel],
    observations: Iterable[Observation],
    instances: Instances,
    class_names: Sequence[str],
    panoramas: Iterable[tuple[int, PanoramaBox]] = (),
    places: Mapping[int, Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """The content of tracks.json (design, section 4).

    ``frame`` is the largest component's; an instance of another component names it in ``component``. A segment that was
    cut appears in several instances, each time with the box of the part; ``share`` says how much of it the part is.
    ``box3d`` is the upright box: ``center``, ``size`` along its own axes and ``quaternion_xyzw`` (world from box), and the
    axis-aligned ``min`` and ``max`` of its corners. ``position`` is where the thing stands, the middle of the box's lower
    face, and ``covariance`` that of its errors, where they are known: on the Earth in a frame ``enu``, else against the
    model's own cameras. An instance's ``score`` is calibrated (``association.judging.scores``), an observation's is
    ``Observation.sureness``; the detector's own score of the mask is its ``detector_score``. Where images are views of
    panoramas, ``panoramas`` says where these show the instance (``PanoramaBox``).
    ``places`` has for instances of a tree of objects (granularity.json) their ``parent``, ``level`` and ``stability`` there.
    """
    points = np.bincount(instances.point_instance, minlength=int(instances.ids.max(initial=0)) + 1)
    component_of_name = {name: model.component for model in models for name in model.names}
    seen: dict[int, list[Observation]] = {instance_id: [] for instance_id in instances.ids.tolist()}
    for item in observations:
        seen[item.instance].append(item)
    around: dict[int, list[PanoramaBox]] = {}
    for instance_id, box in panoramas:
        around.setdefault(instance_id, []).append(box)

    boxes = instances.boxes
    bounds, quaternions, located, feet = boxes.bounds, boxes.quaternions, boxes.located, boxes.foot
    documents: list[dict[str, Any]] = []
    for k, instance_id in enumerate(instances.ids.tolist()):
        mine = sorted(seen[instance_id], key=lambda item: (item.image, item.segment))
        document: dict[str, Any] = {
            "id": instance_id,
            "class": class_names[instances.classes[k] - 1],
            "score": round(float(instances.scores[k]), 4),
            "points": int(points[instance_id]),
            "component": component_of_name.get(mine[0].image, 0) if mine else 0,
        }
        document.update((places or {}).get(instance_id, {}))
        if boxes.known[k]:
            document["box3d"] = {
                "min": bounds[k, 0].tolist(),
                "max": bounds[k, 1].tolist(),
                "center": boxes.center[k].tolist(),
                "size": boxes.size[k].tolist(),
                "quaternion_xyzw": quaternions[k].tolist(),
            }
            document["position"] = feet[k].tolist()
        if located[k]:
            document["covariance"] = boxes.covariance[k].tolist()
        if instance_id in around:
            document["panoramas"] = [{"image": item.panorama, "box": list(item.box)} for item in sorted(around[instance_id])]
        documents.append({**document, "observations": [_observation(item, float(instances.scores[k])) for item in mine]})
    return {"instances": documents, "frame": frame_document(models)}


def _observation(item: Observation, instance_score: float) -> dict[str, Any]:
    document: dict[str, Any] = {
        "image": item.image,
        "segment": item.segment,
        "box": [int(value) for value in item.box],
        "score": round(item.sureness(instance_score), 4),
        "detector_score": round(float(item.score), 4),
    }
    if item.recovered:
        document["recovered"] = True
    if item.share < 1.0:
        document["share"] = round(item.share, 4)
    return document


def call_otherwise(tracks: Mapping[str, Any], classes: Mapping[int, str]) -> None:
    """Call instances of tracks.json, by id, by other names; what a detector called each is kept as ``detected_class``.

    Those that a person named keep that name.
    """
    for item in tracks["instances"]:
        name = classes.get(item["id"], item["class"])
        if name != item["class"] and not item.get("named"):
            item.setdefault("detected_class", item["class"])
            item["class"] = name


def frame_document(models: Sequence[SparseModel]) -> dict[str, Any]:
    """What the coordinates mean, in JSON."""
    if not models:
        return {"kind": "arbitrary"}
    frame = models[0].frame
    if frame.datum is None:
        return {"kind": frame.kind}
    latitude, longitude, altitude = frame.datum
    return {"kind": frame.kind, "datum": {"latitude": latitude, "longitude": longitude, "altitude": altitude}}
