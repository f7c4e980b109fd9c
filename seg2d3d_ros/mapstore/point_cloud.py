"""Labelled clouds as binary PLY files, one NumPy structured array in and out.

``points.ply`` is the cloud to open: coloured by instance, without strays. ``points_rgb.ply`` holds every point in the
photographs' colours, in the same columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import numpy as np

from seg2d3d_ros.disk.atomic import replacing, write_bytes
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.types import Instances, SparseModel

CLOUD_POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1")]
    + [("instance", "<i4"), ("confidence", "<f4")]
)
"""A point of ``cloud.ply`` and ``dense.ply``."""
POINT = np.dtype([*CLOUD_POINT.descr, ("point_id", "<u4")])
"""A point of ``points.ply``."""
STRAY_EXTENT = 3.0
"""Points beyond this many times the robust extent of their component are strays."""
CORE = 5.0
"""Per cent of the points beyond each face of the robust extent."""
FLATTEST = 0.25
"""The robust extent is at least this share of its longest side along each axis: a street is no wall."""
FEW_POINTS = 40
"""Components of fewer points have no robust extent, and no strays."""
COMMENT = "instance: 0 = none; confidence: the winner's share of the votes"
_PLY_TYPES = {"<f4": "float", "<f8": "double", "|u1": "uchar", "<i4": "int", "<u4": "uint"}


def cloud_points(
    xyz: np.ndarray, rgb: np.ndarray, instance: np.ndarray, confidence: np.ndarray, layout: np.dtype = CLOUD_POINT
) -> np.ndarray:
    """(N,) structured array of places (N, 3), colours (N, 3) uint8, instance ids (N,) and confidences (N,)."""
    points = np.empty(len(xyz), layout)
    points["x"], points["y"], points["z"] = xyz.T
    points["red"], points["green"], points["blue"] = rgb.T
    points["instance"], points["confidence"] = instance, confidence
    return points


def labelled_points(models: Sequence[SparseModel], instances: Instances) -> np.ndarray:
    """(P,) ``POINT`` of all components' points, in order, with their instance."""
    xyz = np.concatenate([np.empty((0, 3)), *(model.xyz for model in models)])
    rgb = np.concatenate([np.empty((0, 3), np.uint8), *(model.rgb for model in models)])
    points = cloud_points(xyz, rgb, instances.point_instance, instances.point_confidence, POINT)
    points["point_id"] = np.concatenate([np.empty(0, np.int64), *(model.point_ids for model in models)])
    return points


def stray_points(models: Sequence[SparseModel]) -> np.ndarray:
    """(P,) bool: points of all components, in order, that lie so far away that a viewer would show the rest as a dot.

    Wrong matches and rays that are nearly parallel triangulate to anywhere. The robust extent of a component is the box that
    leaves ``CORE`` per cent of its points beyond each face; a stray lies outside that box made ``STRAY_EXTENT`` times as large.
    """
    strays = [np.empty(0, bool)]
    for model in models:
        xyz = model.xyz
        if len(xyz) < FEW_POINTS:
            strays.append(~np.isfinite(xyz).all(axis=1))
            continue
        low, high = np.nanpercentile(xyz, [CORE, 100 - CORE], axis=0)
        half = np.maximum(high - low, FLATTEST * (high - low).max()) / 2
        strays.append(~(np.abs(xyz - (low + high) / 2) <= STRAY_EXTENT * half).all(axis=1))
    return np.concatenate(strays)


def colored_by_instance(points: np.ndarray) -> np.ndarray:
    """A copy of labelled points in their instances' colours, grey for those that belong to none."""
    points = points.copy()
    points["red"], points["green"], points["blue"] = instance_colors(points["instance"]).T
    return points


def encode(points: np.ndarray, comments: Sequence[str] = ()) -> bytes:
    """Bytes of a binary little-endian PLY whose vertex properties are the fields of ``points``."""
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {c}" for c in comments), f"element vertex {len(points)}"]
    lines += [f"property {_PLY_TYPES[points.dtype[name].str]} {name}" for name in points.dtype.names or ()]
    return ("\n".join([*lines, "end_header"]) + "\n").encode() + points.tobytes()


def write_points(path: Path, points: np.ndarray) -> None:
    """Write ``points`` atomically."""
    write_bytes(path, encode(points, [COMMENT]))


class PointWriter:
    """Writes ``CLOUD_POINT`` to a PLY piece by piece, whole or not at all: an earlier file stays until the end.

    A context manager, which raises ``DataError`` where the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.count, self._path = 0, path

    def __enter__(self) -> PointWriter:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(self._path))
            self._file = stack.enter_context(temporary.open("wb"))
            self._file.write(self._header())
            self._stack = stack.pop_all()
        return self

    def write(self, points: np.ndarray) -> None:
        """Append (N,) points."""
        self._file.write(np.ascontiguousarray(points, CLOUD_POINT).tobytes())
        self.count += len(points)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None:
            self._stack.__exit__(kind, error, trace)
            return
        with self._stack:
            self._file.seek(0)
            self._file.write(self._header())

    def _header(self) -> bytes:
        """As ``encode`` does, always equally long: the count becomes known at the end."""
        space = " " * (12 - len(str(self.count)))
        head = encode(np.empty(0, CLOUD_POINT), [COMMENT + space])
        return head.replace(b"element vertex 0\n", f"element vertex {self.count}\n".encode(), 1)


def read_points(path: Path, layout: np.dtype = POINT) -> np.ndarray:
    """(P,) structured array as written by ``write_points``, or by a ``PointWriter`` where ``layout`` is ``CLOUD_POINT``.

    Raises:
        DataError: another layout, or a damaged file.
    """
    data = Path(path).read_bytes()
    head, marker, body = data.partition(b"end_header\n")
    counts = [line.split()[2] for line in head.decode("ascii", "replace").splitlines() if line.startswith("element vertex")]
    expected = encode(np.empty(0, layout)).partition(b"element vertex 0\n")[2].partition(b"end_header\n")[0]
    if not marker or len(counts) != 1 or not head.endswith(expected) or len(body) != int(counts[0]) * layout.itemsize:
        raise DataError(f"{path}: not a labelled cloud of this program, or cut off; write it again with 'seg2d3d export'")
    return np.frombuffer(body, layout).copy()
