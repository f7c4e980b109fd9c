"""3D Tiles 1.1: the labelled cloud as an octree of glTF points, each with its instance's attributes.

The instance of a point is a feature id (``EXT_mesh_features``) into a table of class, score and id
(``EXT_structural_metadata``), so that a viewer can colour, filter and name them.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.disk.atomic import write_bytes, write_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.clouds.octree import GRID, octree_nodes, root_cube
from seg2d3d_ros.export.clouds.ply_writer import in_words
from seg2d3d_ros.export.contents import Contents, xyz_of
from seg2d3d_ros.export.folders import new_folder

FLOAT, UNSIGNED_SHORT, UNSIGNED_BYTE = 5126, 5123, 5121
POINTS = 0
GLTF, JSON_CHUNK, BINARY_CHUNK = 0x46546C67, 0x4E4F534A, 0x004E4942
Key = tuple[int, int, int, int]


def export(contents: Contents, path: Path) -> str:
    """Write a folder with ``tileset.json`` and a .glb for each node; the place on the Earth is the tileset's transform.

    Raises:
        DataError: the cloud holds no points.
    """
    points = contents.points()
    if len(points) == 0:
        raise DataError(f"{contents.store.root}: the cloud holds no points")
    xyz = xyz_of(points)
    center, half = root_cube(xyz)
    nodes = dict(octree_nodes(xyz, center, half))
    table = _Table(contents.instances)
    with new_folder(path) as folder:
        for key, places in nodes.items():
            glb = _glb(xyz[places], points[places], table)
            write_bytes(folder / _name(key), glb)
        root = {"transform": _earth_from_map(contents), **_tile((0, 0, 0, 0), nodes, center, half)}
        tileset = {"asset": {"version": "1.1"}, "geometricError": 4.0 * half, "root": root}
        write_json(folder / "tileset.json", tileset)
    return f"{in_words(points)}, in {len(nodes)} tiles"


def _earth_from_map(contents: Contents) -> list[float]:
    """(16,) the 4 × 4 matrix, column by column: the map's frame is rigid on the Earth."""
    placed = contents.coordinates.transform(np.concatenate([np.zeros((1, 3)), np.eye(3)]))
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = (placed[1:] - placed[0]).T, placed[0]
    return [float(value) for value in matrix.T.ravel()]


def _tile(key: Key, nodes: Mapping[Key, np.ndarray], center: np.ndarray, half: float) -> dict[str, Any]:
    level, *place = key
    size = half / 2**level
    middle = center - half + (2.0 * np.array(place) + 1.0) * size
    children = [
        _tile((level + 1, 2 * place[0] + i, 2 * place[1] + j, 2 * place[2] + k), nodes, center, half)
        for i in (0, 1)
        for j in (0, 1)
        for k in (0, 1)
        if (level + 1, 2 * place[0] + i, 2 * place[1] + j, 2 * place[2] + k) in nodes
    ]
    tile: dict[str, Any] = {
        "boundingVolume": {"box": [*middle.tolist(), size, 0.0, 0.0, 0.0, size, 0.0, 0.0, 0.0, size]},
        "geometricError": 2.0 * size / GRID if children else 0.0,
        "refine": "ADD",
        "content": {"uri": _name(key)},
    }
    return {**tile, "children": children} if children else tile


def _name(key: Key) -> str:
    return "-".join(map(str, key)) + ".glb"


class _Table:
    """The instances as a property table: a row each, and a last one for points without an instance."""

    def __init__(self, instances: Sequence[Mapping[str, Any]]) -> None:
        self.ids = np.array([*(item["id"] for item in instances), 0], np.int32)
        self.scores = np.array([*(item["score"] for item in instances), 0.0], np.float32)
        self.classes = [*(str(item["class"]).encode() for item in instances), b""]
        place = np.full(int(self.ids.max()) + 1, len(instances), np.int64)
        place[self.ids] = np.arange(len(self.ids))
        self.row = place


def _glb(xyz: np.ndarray, points: np.ndarray, table: _Table) -> bytes:
    """A glTF binary of points (N, 3) and their records (N,)."""
    middle = xyz.mean(axis=0)
    local = (xyz - middle).astype(np.float32)
    upright = np.stack([local[:, 0], local[:, 2], -local[:, 1]], axis=1)  # y is up in glTF
    rgba = np.stack([points["red"], points["green"], points["blue"], np.full(len(points), 255, np.uint8)], axis=1)
    feature = np.zeros((len(points), 2), np.uint16)  # a row takes four bytes
    feature[:, 0] = table.row[points["instance"]]
    offsets = np.cumsum([0, *map(len, table.classes)]).astype(np.uint32)
    blobs = [upright, rgba, feature, table.ids, table.scores, np.frombuffer(b"".join(table.classes), np.uint8), offsets]
    binary, views = b"", []
    for blob in blobs:
        data = np.ascontiguousarray(blob).tobytes()
        views.append({"buffer": 0, "byteOffset": len(binary), "byteLength": max(len(data), 1)})
        binary += data + bytes(-len(data) % 8 or (8 if not data else 0))
    views[2]["byteStride"] = 4
    count = len(points)
    document = {
        "asset": {"version": "2.0", "generator": "seg2d3d_ros"},
        "extensionsUsed": ["EXT_mesh_features", "EXT_structural_metadata"],
        "extensions": {"EXT_structural_metadata": _metadata(len(table.ids))},
        "buffers": [{"byteLength": len(binary)}],
        "bufferViews": views,
        "accessors": [
            {
                **{"bufferView": 0, "componentType": FLOAT, "count": count, "type": "VEC3"},
                **{"min": upright.min(axis=0).tolist(), "max": upright.max(axis=0).tolist()},
            },
            {"bufferView": 1, "componentType": UNSIGNED_BYTE, "normalized": True, "count": count, "type": "VEC4"},
            {"bufferView": 2, "componentType": UNSIGNED_SHORT, "count": count, "type": "SCALAR"},
        ],
        "meshes": [{"primitives": [_primitive(len(table.ids))]}],
        "nodes": [{"mesh": 0, "translation": [float(middle[0]), float(middle[2]), float(-middle[1])]}],
        "scenes": [{"nodes": [0]}],
        "scene": 0,
    }
    words = json.dumps(document, separators=(",", ":")).encode()
    words += b" " * (-len(words) % 4)
    chunks = struct.pack("<II", len(words), JSON_CHUNK) + words + struct.pack("<II", len(binary), BINARY_CHUNK) + binary
    return struct.pack("<III", GLTF, 2, 12 + len(chunks)) + chunks


def _primitive(rows: int) -> dict[str, Any]:
    features = {"featureCount": rows, "attribute": 0, "propertyTable": 0, "label": "instance"}
    return {
        "mode": POINTS,
        "attributes": {"POSITION": 0, "COLOR_0": 1, "_FEATURE_ID_0": 2},
        "extensions": {"EXT_mesh_features": {"featureIds": [features]}},
    }


def _metadata(rows: int) -> dict[str, Any]:
    """The schema of the property table, and where its columns lie."""
    properties = {
        "id": {"type": "SCALAR", "componentType": "INT32", "description": "0 = no instance"},
        "score": {"type": "SCALAR", "componentType": "FLOAT32"},
        "class": {"type": "STRING"},
    }
    columns = {"id": {"values": 3}, "score": {"values": 4}, "class": {"values": 5, "stringOffsets": 6}}
    return {
        "schema": {"id": "seg2d3d", "classes": {"instance": {"properties": properties}}},
        "propertyTables": [{"class": "instance", "count": rows, "properties": columns}],
    }
