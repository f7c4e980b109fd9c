"""COPC: a LAZ file whose points lie in an octree, which QGIS and viewers on the web read in parts."""

from __future__ import annotations

import ctypes
import struct
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.atomic import replacing
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.export.clouds.asprs import point_codes
from seg2d3d_ros.export.clouds.laz_writer import TO_16_BIT, offsets_and_scales
from seg2d3d_ros.export.clouds.octree import GRID, octree_nodes, root_cube
from seg2d3d_ros.export.clouds.ply_writer import in_words
from seg2d3d_ros.export.contents import Contents, xyz_of
from seg2d3d_ros.export.libraries import needed

RECORD = np.dtype(
    [("xyz", "<i4", 3), ("intensity", "<u2"), ("returns", "u1"), ("flags", "u1"), ("classification", "u1"), ("user", "u1")]
    + [("angle", "<i2"), ("source", "<u2"), ("time", "<f8"), ("rgb", "<u2", 3), ("instance", "<i4"), ("confidence", "<f4")]
)
"""Point format 7 of LAS 1.4 with two extra dimensions."""
ONE_OF_ONE = 0x11
EXTRA = (("instance", 6, "0 = none"), ("confidence", 9, "share of the votes"))
"""Extra dimensions: name, type (6 = int32, 9 = float32) and description. They take ``EXTRA_BYTES`` of each point."""
EXTRA_BYTES = 8
HEADER_COUNT, HEADER_SIZE = 100, 94
"""Where a LAS header says how many variable length records there are, and how long it is itself."""
RECORD_HEADER = struct.Struct("<H16sHH32s")
DESCRIPTION = struct.Struct("<2xBB32s4x24s24s24s24s24s32s")


def export(contents: Contents, path: Path) -> str:
    """Write the chosen cloud.

    Raises:
        UsageError: the name does not end with .laz.
        DataError: the cloud holds no points, which COPC cannot say.
    """
    if path.suffix.lower() != ".laz":
        raise UsageError(f"{path}: end the name with .copc.laz")
    copc = needed("copclib", "COPC")
    points = contents.points()
    if len(points) == 0:
        raise DataError(f"{contents.store.root}: the cloud holds no points")
    xyz = contents.coordinates.transform(xyz_of(points))
    offset, scale = offsets_and_scales(xyz, contents.coordinates.geographic)
    records = _records(contents, points, np.rint((xyz - offset) / scale))
    center, half = root_cube(xyz)

    wkt = contents.coordinates.wkt or ""
    config = copc.CopcConfigWriter(7, copc.Vector3(*scale), copc.Vector3(*offset), wkt, copc.EbVlr(EXTRA_BYTES))
    config.las_header.min, config.las_header.max = copc.Vector3(*xyz.min(axis=0)), copc.Vector3(*xyz.max(axis=0))
    config.las_header.points_by_return = [len(points), *[0] * 14]
    info = config.copc_info
    info.center_x, info.center_y, info.center_z = center.tolist()
    info.halfsize, info.spacing = half, 2.0 * half / GRID
    with replacing(path, RuntimeError) as temporary:
        file = copc.FileWriter(str(temporary), config)
        try:
            for key, places in octree_nodes(xyz, center, half):
                file.AddNode(copc.VoxelKey(*key), copc.VectorChar(np.frombuffer(records[places].tobytes(), np.int8)))
            file.Close()
        except RuntimeError:
            # Its destructor fails again and ends the process, so it must never be called.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(file))
            raise
        _describe_extra(temporary)
    return f"{in_words(points)}, in {contents.coordinates.name}"


def _records(contents: Contents, points: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """(P,) ``RECORD`` of the points, with their places (P, 3) in steps from the offset."""
    records = np.zeros(len(points), RECORD)
    records["xyz"], records["returns"] = steps, ONE_OF_ONE
    records["classification"] = point_codes(contents, points["instance"])
    for k, color in enumerate(("red", "green", "blue")):
        records["rgb"][:, k] = points[color].astype(np.uint16) * TO_16_BIT
    records["instance"], records["confidence"] = points["instance"], points["confidence"]
    return records


def _describe_extra(path: Path) -> None:
    """Say in the file what the extra bytes are: the Python interface of copclib makes one unnamed byte of each.

    Its record has a description of 192 bytes for each of them. The first ones are replaced by those of ``EXTRA``; what is left
    becomes a record of its own, which readers pass over, because nothing in the file may move.
    """
    with path.open("r+b") as file:
        file.seek(HEADER_SIZE)
        (header_size,) = struct.unpack("<H", file.read(2))
        file.seek(HEADER_COUNT)
        (count,) = struct.unpack("<I", file.read(4))
        place = header_size
        for _ in range(count):
            file.seek(place)
            reserved, user, number, length, words = RECORD_HEADER.unpack(file.read(RECORD_HEADER.size))
            if user.rstrip(b"\0") == b"LASF_Spec" and number == 4:
                break
            place += RECORD_HEADER.size + length
        else:
            raise DataError(f"{path.name}: copclib wrote no record of the extra dimensions; install copclib 2.6 or newer")
        described = b"".join(
            DESCRIPTION.pack(kind, 0, name.encode(), b"", b"", b"", b"", b"", text.encode()) for name, kind, text in EXTRA
        )
        left = length - len(described) - RECORD_HEADER.size
        file.seek(place)
        file.write(RECORD_HEADER.pack(reserved, user, number, len(described), words) + described)
        file.write(RECORD_HEADER.pack(0, b"seg2d3d_ros", 1, left, b"unused") + bytes(left))
        file.seek(HEADER_COUNT)
        file.write(struct.pack("<I", count + 1))
