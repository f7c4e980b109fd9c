"""The places of a map's instances against those of true objects: who stands within half a metre of whom."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.similarity import Similarity, weighted_similarity
from seg2d3d_ros.types import SparseModel

TRUTH_FILE = "objects.json"
"""In the folder of the truth, in metres with z up:
``{"objects": [{"id", "class", "position": [x, y, z]}], "cameras": {image: [x, y, z]}}``."""
NEAR = 0.5
"""Metres in plan within which an instance is where an object is."""


def evaluate_positions(truth: Path, model: SparseModel, tracks: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Per class of the truth ``objects``, ``found``, ``right``, ``precision``, ``recall``, ``f1``, and ``error`` (median, m).

    The map is laid on the truth by the places of its cameras (a similarity). An instance stands at its ``position``, or below
    the middle of its box; one without either stands nowhere. Instances of other components are left out.

    Args:
        truth: folder with ``objects.json``.
        model: the largest component.
        tracks: the content of tracks.json.

    Raises:
        DataError: the file is damaged, or has too few of the map's cameras.
    """
    path = truth / TRUTH_FILE
    document = read_json(path)
    try:
        cameras = {str(name): np.array(xyz, float).reshape(3) for name, xyz in document["cameras"].items()}
        objects = [(str(item["class"]), np.array(item["position"], float).reshape(3)) for item in document["objects"]]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(f"{path}: needs objects with class and position, and the places of the cameras ({error})") from error
    truth_from_map = _truth_from_map(path, model, cameras)
    found: dict[str, list[np.ndarray]] = {}
    for item in tracks["instances"]:
        if item.get("component", 0) == 0 and (place := _place(item)) is not None:
            found.setdefault(str(item["class"]), []).append(truth_from_map.apply(place[None])[0])
    return {
        name: _compared(np.array([xyz for kind, xyz in objects if kind == name]), np.array(found.get(name, [])).reshape(-1, 3))
        for name in sorted({kind for kind, _ in objects})
    }


def _truth_from_map(path: Path, model: SparseModel, cameras: Mapping[str, np.ndarray]) -> Similarity:
    common = [k for k, name in enumerate(model.names) if name in cameras]
    fitted = None
    if len(common) >= 3:
        target = np.array([cameras[model.names[k]] for k in common])
        fitted = weighted_similarity(model.centers[common], target, np.ones(len(common)))
    if fitted is None:
        raise DataError(
            f"{path}: has the places of {len(common)} of the map's {len(model.names)} images; three that lie apart tell"
        )
    return fitted


def _place(item: Mapping[str, Any]) -> np.ndarray | None:
    if "position" in item:
        return np.array(item["position"], float)
    return np.array(item["box3d"]["center"], float) if "box3d" in item else None


def _compared(truth: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    distance = np.linalg.norm(truth[:, None, :2] - found[None, :, :2], axis=-1)
    pairs = np.column_stack(linear_sum_assignment(np.where(distance < NEAR, distance, 1e6)))
    errors = distance[pairs[:, 0], pairs[:, 1]]
    errors = errors[errors < NEAR]
    right = len(errors)
    return {
        "objects": len(truth),
        "found": len(found),
        "right": right,
        "precision": right / len(found) if len(found) else None,
        "recall": right / len(truth),
        "f1": 2 * right / (len(truth) + len(found)),
        "error": float(np.median(errors)) if right else None,
    }
