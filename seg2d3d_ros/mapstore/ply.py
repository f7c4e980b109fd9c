"""points.ply: the labelled cloud as a binary PLY, one NumPy structured array in and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.atomic import write_bytes
from seg2d3d_ros.types import Instances, SparseModel

POINT = np.dtype(
    [
        ("x", "<f4"),
        ("y", "<f4"),
        ("z", "<f4"),
        ("red", "u1"),
        ("green", "u1"),
        ("blue", "u1"),
        ("instance", "<i4"),
        ("confidence", "<f4"),
        ("point_id", "<u4"),
    ]
)
_PLY_TYPES = {"<f4": "float", "|u1": "uchar", "<i4": "int", "<u4": "uint"}


def labelled_points(models: Sequence[SparseModel], instances: Instances) -> np.ndarray:
    """(P,) structured array of all components' points, in order, with their instance."""
    points = np.empty(len(instances.point_instance), POINT)
    for axis, name in enumerate("xyz"):
        points[name] = np.concatenate([m.xyz[:, axis] for m in models]) if models else 0
    for channel, name in enumerate(("red", "green", "blue")):
        points[name] = np.concatenate([m.rgb[:, channel] for m in models]) if models else 0
    points["instance"] = instances.point_instance
    points["confidence"] = instances.point_confidence
    points["point_id"] = np.concatenate([m.point_ids for m in models]) if models else 0
    return points


def encode(points: np.ndarray, comments: Sequence[str] = ()) -> bytes:
    """Bytes of a binary little-endian PLY whose vertex properties are the fields of ``points``."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {c}" for c in comments), f"element vertex {len(points)}"]
    lines += [f"property {_PLY_TYPES[points.dtype[name].str]} {name}" for name in points.dtype.names or ()]
    return ("\n".join([*lines, "end_header"]) + "\n").encode() + points.tobytes()


def write_points(path: Path, points: np.ndarray) -> None:
    """Write ``points`` atomically."""
    write_bytes(path, encode(points, ["instance: 0 = none; confidence: the winner's share of the votes"]))


def read_points(path: Path) -> np.ndarray:
    """(P,) structured array as written by ``write_points``.

    Raises:
        DataError: another layout, or a damaged file.
    """
    data = Path(path).read_bytes()
    head, marker, body = data.partition(b"end_header\n")
    counts = [line.split()[2] for line in head.decode("ascii", "replace").splitlines() if line.startswith("element vertex")]
    expected = encode(np.empty(0, POINT)).partition(b"element vertex 0\n")[2].partition(b"end_header\n")[0]
    if not marker or len(counts) != 1 or not head.endswith(expected) or len(body) != int(counts[0]) * POINT.itemsize:
        raise DataError(f"{path}: not a labelled cloud of this program, or cut off; write it again with 'seg2d3d export'")
    return np.frombuffer(body, POINT).copy()
