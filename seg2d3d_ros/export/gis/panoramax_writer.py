"""Panoramax annotations: for each picture the bodies of the requests that put its instances on it.

The API (``POST /api/collections/{collection}/items/{item}/annotations``) takes a shape in pixels and semantic tags. Which
picture of a server a photograph is, only the server knows: pictures are named by their file here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.export.annotations.outlines import outlines
from seg2d3d_ros.export.clouds.asprs import code_of
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.geometry.masks import region_of

OSM = {
    5: ("natural", "tree"),
    6: ("building", "yes"),
    9: ("natural", "water"),
    11: ("highway", "yes"),
    17: ("man_made", "bridge"),
}
"""OpenStreetMap's tags for ASPRS codes; other classes become ``seg2d3d|class``."""


def export(contents: Contents, path: Path) -> str:
    """Write one JSON document: ``pictures``, each with ``file`` and ``annotations``."""
    classes = {item["id"]: item["class"] for item in contents.instances}
    pictures, count = [], 0
    for record, labels in contents.labelled_images():
        annotations = []
        for instance in np.unique(labels[labels > 0]).tolist():
            tags = _tags(classes[instance], instance)
            region = region_of(labels == instance)
            assert region is not None  # the instance is among the labels
            shapes = [_polygon(outline.outer, labels.shape[0]) for outline in outlines(region)]
            annotations += [{"shape": shape, "semantics": tags} for shape in shapes]
        count += len(annotations)
        if annotations:
            pictures.append({"file": record.file_name, "annotations": annotations})
    write_json(path, {"pictures": pictures})
    return f"{count} annotations on {len(pictures)} pictures"


def _polygon(outline: np.ndarray, height: int) -> dict[str, Any]:
    """GeoJSON in pixels; the API counts rows from the lower left corner."""
    ring = np.concatenate([outline, outline[:1]])
    return {"type": "Polygon", "coordinates": [[[float(x), float(height - y)] for x, y in ring]]}


def _tags(name: str, instance: int) -> list[dict[str, str]]:
    key, value = OSM.get(code_of(name, {}) or 0, ("seg2d3d|class", name))
    osm = f"osm|{key}" if "|" not in key else key
    return [
        {"action": "add", "key": osm, "value": value},
        {"action": "add", "key": "seg2d3d|instance", "value": str(instance)},
    ]
