"""points.ply: the labelled cloud as a binary PLY, one NumPy structured array in and out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from seg2d3d_ros.atomic import replacing, write_bytes
from seg2d3d_ros.errors import DataError
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
CLOUD_POINT = np.dtype([(name, POINT[name]) for name in (POINT.names or ())[:-1]])
"""The same without ``point_id``: points of other clouds."""
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


class PointWriter:
    """Writes points of a PLY piece by piece, whole or not at all. A context manager.

    Args:
        path: the file; an earlier one stays until the end.
        layout: of the points, like ``POINT``.
    """

    def __init__(self, path: Path, layout: np.dtype) -> None:
        self.count, self._layout, self._replacing = 0, layout, replacing(path)

    def __enter__(self) -> PointWriter:
        self._file = self._replacing.__enter__().open("wb")
        self._file.write(self._header())
        return self

    def write(self, points: np.ndarray) -> None:
        """Append (N,) points."""
        self._file.write(np.ascontiguousarray(points, self._layout).tobytes())
        self.count += len(points)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is None:
            self._file.seek(0)
            self._file.write(self._header())
        self._file.close()
        self._replacing.__exit__(kind, error, trace)

    def _header(self) -> bytes:
        """As ``encode`` does, always equally long: the count becomes known at the end."""
        space = " " * (12 - len(str(self.count)))
        head = encode(np.empty(0, self._layout), [f"instance: 0 = none; confidence: the winner's share of the votes{space}"])
        return head.replace(b"element vertex 0\n", f"element vertex {self.count}\n".encode(), 1)


def read_cloud(path: Path) -> np.ndarray:
    """(P,) ``CLOUD_POINT`` as written by a ``PointWriter``.

    Raises:
        DataError: another layout, or a damaged file.
    """
    return _read(path, CLOUD_POINT)


def read_points(path: Path) -> np.ndarray:
    """(P,) structured array as written by ``write_points``.

    Raises:
        DataError: another layout, or a damaged file.
    """
    return _read(path, POINT)


def _read(path: Path, layout: np.dtype) -> np.ndarray:
    data = Path(path).read_bytes()
    head, marker, body = data.partition(b"end_header\n")
    counts = [line.split()[2] for line in head.decode("ascii", "replace").splitlines() if line.startswith("element vertex")]
    expected = encode(np.empty(0, layout)).partition(b"element vertex 0\n")[2].partition(b"end_header\n")[0]
    if not marker or len(counts) != 1 or not head.endswith(expected) or len(body) != int(counts[0]) * layout.itemsize:
        raise DataError(f"{path}: not a labelled cloud of this program, or cut off; write it again with 'seg2d3d export'")
    return np.frombuffer(body, layout).copy()
