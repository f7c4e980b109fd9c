"""A scene as the JSON document that ``assets/viewer.js`` reads.

``points``: ``xyz`` is base64 of little-endian ``type`` (``uint16`` or ``float32``), three a point, where
``world = offset + step * value``; ``rgb`` of three bytes a point; ``instance`` of uint16, 0 = none.
Everything else is plain JSON, in world coordinates.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np

from seg2d3d_ros.palette import hex_color
from seg2d3d_ros.viewer.scene import MapScene, SceneCamera

FINEST = 1e-4
"""Of the radius of the bulk: places on a grid of 16 bits must be at least this exact, else they are sent as float32."""


def pack(scene: MapScene) -> dict[str, Any]:
    """The document; plain values only, for ``json.dumps``."""
    classes = sorted({str(item.get("class", "")) for item in scene.instances})
    return {
        "format": 1,
        "points": {**_places(scene), "rgb": _base64(scene.rgb, "u1"), "instance": _base64(scene.instance, "<u2")},
        "available": scene.available,
        "instances": [_instance(item) for item in scene.instances],
        "classes": {name: hex_color(number) for number, name in enumerate(classes, 1)},
        "cameras": [_camera(camera) for camera in scene.cameras],
        "components": list(scene.components),
        "unit": "m" if scene.kind in ("metric", "enu") else "",
        "north": [0.0, 1.0, 0.0] if scene.kind == "enu" else None,
        "up": _rounded(scene.up, 6),
        "ground": round(scene.ground, 4),
        "center": _rounded(scene.center, 4),
        "bounds": [_rounded(corner, 4) for corner in scene.bounds],
        "radius": round(scene.radius, 6),
        "direction": _rounded(scene.direction, 6),
    }


def _places(scene: MapScene) -> dict[str, Any]:
    xyz = scene.xyz
    low = xyz.min(axis=0) if len(xyz) else np.zeros(3)
    step = float((xyz - low).max(initial=0.0)) / 65535 or 1.0
    if step > FINEST * scene.radius:
        return {"count": len(xyz), "type": "float32", "offset": low.tolist(), "step": 1.0, "xyz": _base64(xyz - low, "<f4")}
    values = np.rint((xyz - low) / step)
    return {"count": len(xyz), "type": "uint16", "offset": low.tolist(), "step": step, "xyz": _base64(values, "<u2")}


def _instance(item: Mapping[str, Any]) -> dict[str, Any]:
    box = item.get("box3d") or {}
    known = {"center", "size", "quaternion_xyzw"} <= set(box)
    return {
        "id": int(item["id"]),
        "class": str(item.get("class", "")),
        "color": hex_color(int(item["id"])),
        "score": item.get("score"),
        "points": item.get("points"),
        "images": len({observation["image"] for observation in item.get("observations", ())}),
        "box": {key: box[key] for key in ("center", "size", "quaternion_xyzw")} if known else None,
    }


def _camera(camera: SceneCamera) -> dict[str, Any]:
    return {
        "name": camera.name,
        "caption": camera.caption,
        "center": _rounded(camera.center, 4),
        "corners": _rounded(camera.corners.ravel(), 3),
    }


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    rounded: list[float] = np.round(np.asarray(values, float), digits).tolist()
    return rounded


def _base64(values: np.ndarray, kind: str) -> str:
    return base64.b64encode(np.ascontiguousarray(values, kind).tobytes()).decode()
