"""Clouds of other programs: PLY in all its forms, LAS and LAZ where laspy is installed, and those of a map directory."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.up import Z
from seg2d3d_ros.learning.map_scenes import map_cloud
from seg2d3d_ros.learning.scene_building import Cloud

MAX_HEADER = 1 << 16
"""Bytes of a PLY's header."""
_KINDS = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}
_COLORS = (("red", "green", "blue"), ("r", "g", "b"), ("diffuse_red", "diffuse_green", "diffuse_blue"))
_LAS_HEAD, _MINOR, _POINT_FORMAT, _COMPRESSED = 255, 25, 104, 0x80
"""Of a LAS header: so many bytes are looked at; which are the version and the format of points; its bit for LAZ."""
_MOST_DENSE = 2000
"""Times that LAZ makes a cloud smaller at the very most; 5 to 20 are usual."""


@dataclass(frozen=True)
class _Header:
    order: str
    count: int
    layout: np.dtype
    size: int
    alone: bool
    """Whether nothing but the points is announced."""


def read_cloud_file(path: Path) -> Cloud:
    """A cloud in metres; z is up, but for a map's, which knows its vertical.

    Args:
        path: a .ply, .las or .laz file, or a map directory.

    Raises:
        UsageError: no such file, another format, or laspy is missing.
        DataError: a damaged or empty one.
    """
    if path.is_dir():
        return map_cloud(path)
    if not path.is_file():
        raise UsageError(f"{path}: no such cloud; give a PLY, LAS or LAZ file, or a map directory")
    suffix = path.suffix.lower()
    if suffix == ".ply":
        return _read_ply(path)
    if suffix in (".las", ".laz"):
        return _read_las(path)
    raise UsageError(f"{path}: clouds are read from .ply, .las and .laz files and from map directories")


def _read_ply(path: Path) -> Cloud:
    with path.open("rb") as file:
        header = _ply_header(path, file.read(MAX_HEADER))
    try:
        if header.order:
            body = path.stat().st_size - header.size
            if body < header.count * header.layout.itemsize:
                raise ValueError(f"{header.count} points are announced, {body // header.layout.itemsize} are there: cut off")
            if header.alone and body >= (header.count + 1) * header.layout.itemsize:
                raise ValueError(f"{header.count} points are announced, {body // header.layout.itemsize} are there")
            points = np.fromfile(path, header.layout, header.count, offset=header.size)
        else:
            with path.open("rb") as file:
                file.seek(header.size)
                table = np.loadtxt(file, max_rows=header.count, ndmin=2)
                if header.alone and any(line.strip() for line in file):
                    raise ValueError(f"{header.count} points are announced, more are there")
            if table.shape != (header.count, len(header.layout.names or ())):
                raise ValueError(f"{header.count} points are announced, {len(table)} are there: cut off")
            points = np.empty(header.count, header.layout)
            for k, name in enumerate(header.layout.names or ()):
                points[name] = table[:, k]
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: damaged ({' '.join(str(error).split())[:160]}); write the cloud again") from error
    xyz = np.stack([points[axis].astype(np.float64) for axis in "xyz"], axis=1)
    return Cloud(xyz, _ply_colors(points), Z)


def _ply_header(path: Path, data: bytes) -> _Header:
    """Order of bytes, number and layout of the vertices, and where they begin."""
    head, marker, _ = data.partition(b"end_header")
    end = data.find(b"\n", len(head)) + 1
    lines = head.decode("ascii", "replace").split("\n")
    if not data.startswith(b"ply") or not marker or not end:
        raise DataError(f"{path}: no PLY file, or its header is cut off; write the cloud again")
    order, count, properties, element, alone = None, -1, [], "", True
    for line in lines:
        words = line.split()
        if words[:1] == ["format"] and len(words) > 1:
            order = _ORDERS.get(words[1])
        elif words[:1] == ["element"] and len(words) == 3:
            if element != "vertex" and count < 0 and words[1] != "vertex":
                raise DataError(f"{path}: its first element is {words[1][:40]!r}, not vertex; write it with the points first")
            element = words[1]
            alone &= element == "vertex" or words[2] == "0"
            if element == "vertex":
                count = int(words[2]) if words[2].isdigit() else -1
        elif words[:1] == ["property"] and element == "vertex":
            if len(words) != 3 or words[1] not in _KINDS:
                raise DataError(
                    f"{path}: property {' '.join(words[1:])[:60]!r} of its points is not understood; write it without"
                )
            properties.append((words[2], (order or "<") + _KINDS[words[1]]))
    names = [name for name, _ in properties]
    if order is None or count < 0 or not {"x", "y", "z"} <= set(names) or len(set(names)) < len(names):
        raise DataError(f"{path}: its header names no points with x, y and z; write the cloud again")
    if count == 0:
        raise DataError(f"{path}: holds no point")
    return _Header(order, count, np.dtype(properties), end, alone)


def _ply_colors(points: np.ndarray) -> np.ndarray | None:
    names = set(points.dtype.names or ())
    columns = next((columns for columns in _COLORS if set(columns) <= names), None)
    return None if columns is None else as_bytes(np.stack([points[column] for column in columns], axis=1))


def as_bytes(color: np.ndarray) -> np.ndarray | None:
    """(N, 3) uint8 of colours (N, 3) in bytes, in 16 bits, or as shares of 1; None where all are black: none were written."""
    if not (color > 0).any():
        return None
    if color.dtype.kind == "f":
        color = np.nan_to_num(color) * (255 if np.nanmax(color) <= 1 else 1)
    elif color.max() > 255:
        color = color >> 8
    return np.clip(color, 0, 255).astype(np.uint8)


def _read_las(path: Path) -> Cloud:
    try:
        import laspy
    except ImportError as error:
        raise UsageError(
            f"{path}: LAS and LAZ files need laspy: pip install 'laspy[lazrs]'; or convert the cloud to PLY"
        ) from error
    _check_announced(path)
    try:
        held = laspy.read(path)
        xyz = np.stack([np.asarray(getattr(held, axis), np.float64) for axis in "xyz"], axis=1)
        names = set(held.point_format.dimension_names)
        color = [np.asarray(held[name]) for name in ("red", "green", "blue")] if "red" in names else None
    except Exception as error:  # laspy and its decoders raise many kinds
        raise DataError(f"{path}: cannot be read ({' '.join(str(error).split())[:160]}); write the cloud again") from error
    if len(xyz) == 0:
        raise DataError(f"{path}: holds no point")
    return Cloud(xyz, None if color is None else as_bytes(np.stack(color, axis=1)), Z)


def _check_announced(path: Path) -> None:
    """Refuse a LAS or LAZ file that announces more than can be in it: laspy and its decoder go through all of that.

    Where things stand in the file: LAS 1.4 R15, section 2.4; the table of chunks: the LASzip specification, section 5.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(_LAS_HEAD)
        if len(head) < _LAS_HEAD:
            return  # laspy says it
        begin, records, record = (*struct.unpack_from("<II", head, 96), struct.unpack_from("<H", head, 105)[0])
        late, points = 0, struct.unpack_from("<I", head, 107)[0]
        if head[_MINOR] >= 4:
            late, points = struct.unpack_from("<IQ", head, 243)
        chunks, packed = 0, bool(head[_POINT_FORMAT] & _COMPRESSED)
        if packed:
            try:
                file.seek(begin)
                (table,) = struct.unpack("<q", file.read(8))
                if table == -1:  # written by a program that could not go back
                    file.seek(-8, os.SEEK_END)
                    (table,) = struct.unpack("<q", file.read(8))
                file.seek(table)
                _, chunks = struct.unpack("<II", file.read(8))
            except (OSError, ValueError, OverflowError, struct.error) as error:
                raise DataError(
                    f"{path}: cut off, or its table of chunks is not where it should be; write the cloud again"
                ) from error
    least = max(record, 20)  # bytes of a point; a chunk begins with a whole one
    for count, bytes_each, what in (
        (records, 54, "variable length records"),
        (late, 60, "extended records"),
        (chunks, least, "chunks"),
        (points, least / (_MOST_DENSE if packed else 1), "points"),
    ):
        if count * bytes_each > size:
            raise DataError(f"{path}: damaged (it announces {count} {what}); write the cloud again")
