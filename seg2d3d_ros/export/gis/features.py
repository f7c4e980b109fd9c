"""Instances, cameras and observations as tables with a shape each, for every format that holds such."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.findings import Kind
from seg2d3d_ros.geometry.pose import Pose

WITHOUT_PLACE = Kind(
    "export_without_place",
    "instances without a place, which have no shape and are compared with nothing",
    cause="no 3D point belongs to them, and their rays do not meet",
    remedy="take photographs from more places",
)
NANOSECONDS = 1e9
_INSTANCE_KINDS = dict.fromkeys(("id", "views", "points"), "whole") | {"class": "text", "best_image": "text"}
_INSTANCE_KINDS |= {"first_seen": "moment", "last_seen": "moment"}
_CAMERA_KINDS = {"image": "text", "camera": "text", "file": "text", "time": "moment"}
_OBSERVATION_KINDS = dict.fromkeys(("instance", "segment", "left", "top", "right", "bottom", "recovered"), "whole")
_OBSERVATION_KINDS |= {"class": "text", "image": "text"}
LEAST_STAMP = 10**15
"""Nanoseconds: stamps below (the first eleven days of 1970) are counters of photographs or of simulators, and no moments."""


@dataclass(frozen=True)
class Table:
    """Rows with a shape each.

    Attributes:
        columns: name → (N,) values: numbers, strings or datetimes; None = unknown.
        shapes: (N,) arrays (n, 3) of x y z in the contents' system; None = unknown. A polygon's ring is closed and runs
            anticlockwise.
        shape: "Polygon", "Point Z" or "LineString Z"; "Unknown" = geometries of shapely, of any kind.
        kinds: "whole" numbers, "text" or "moment", of columns that must be the same in every part of a map; else by the values.
    """

    columns: Mapping[str, Sequence[Any]]
    shapes: Sequence[Any]
    shape: str
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.shapes)

    def rows(self) -> list[dict[str, Any]]:
        """Each row's values by column."""
        return [dict(zip(self.columns, values, strict=True)) for values in zip(*self.columns.values(), strict=True)]


def instance_table(contents: Contents) -> Table:
    """One row for each chosen instance of the largest model.

    ``base`` is the z of the box's lower face in the system; ``width``, ``depth`` and ``height`` are the box's, in the map's
    unit; ``var_e`` … ``cov_nu`` the covariance of the position in metres², east, north, up, where it is known (of a map that is
    not on the Earth against its own cameras, in its axes and unit).
    """
    items = contents.placed
    footprints = [footprint(item) for item in items]
    for item, ring in zip(items, footprints, strict=True):
        if ring is None:
            contents.findings.add(WITHOUT_PLACE, str(item["id"]), of=len(items))
    shapes = [None if ring is None else _anticlockwise(contents.coordinates.transform(ring)) for ring in footprints]
    seen = [_moments(contents, item) for item in items]
    covariances = [item.get("covariance") for item in items]

    def covariance(row: int, column: int) -> list[float | None]:
        return [None if matrix is None else float(matrix[row][column]) for matrix in covariances]

    def size(axis: int) -> list[float | None]:
        return [None if "box3d" not in item else float(item["box3d"]["size"][axis]) for item in items]

    columns: dict[str, list[Any]] = {
        "id": [int(item["id"]) for item in items],
        "class": [str(item["class"]) for item in items],
        "score": [float(item["score"]) for item in items],
        "views": [len({observed["image"] for observed in item["observations"]}) for item in items],
        "points": [int(item["points"]) for item in items],
        "first_seen": [min(moments, default=None) for moments in seen],
        "last_seen": [max(moments, default=None) for moments in seen],
        "best_image": [best_image(item) for item in items],
        "width": size(0),
        "depth": size(1),
        "height": size(2),
        "base": [None if ring is None else float(ring[:-1, 2].mean()) for ring in shapes],
        "var_e": covariance(0, 0),
        "var_n": covariance(1, 1),
        "var_u": covariance(2, 2),
        "cov_en": covariance(0, 1),
        "cov_eu": covariance(0, 2),
        "cov_nu": covariance(1, 2),
    }
    return Table(columns, shapes, "Polygon", _INSTANCE_KINDS)


def camera_table(contents: Contents) -> Table:
    """One row for each registered image of the largest model; angles in degrees, in the map's frame (x east, y north, z up).

    ``heading`` is clockwise from north, ``pitch`` above the horizon, ``roll`` clockwise as the photographer sees it.
    """
    model = contents.models[0]
    own = np.array([k for k, name in enumerate(model.names) if contents.is_own(name)], np.int64)
    places = contents.coordinates.transform(model.centers[own])
    heading, pitch, roll = attitudes(model.pose[own])
    names = [model.names[k] for k in own]
    records = [contents.records.get(name) for name in names]
    columns: dict[str, list[Any]] = {
        "image": names,
        "camera": [None if record is None else record.camera_name for record in records],
        "file": [None if record is None else str(contents.image_path(record)) for record in records],
        "time": [None if record is None else moment(record.stamp_ns) for record in records],
        "heading": heading.tolist(),
        "pitch": pitch.tolist(),
        "roll": roll.tolist(),
    }
    return Table(columns, list(places[:, None]), "Point Z", _CAMERA_KINDS)


def observation_table(contents: Contents) -> Table:
    """One row for each image that shows a chosen instance of the largest model; its shape is the line of sight."""
    model = contents.models[0]
    camera_of = dict(zip(model.names, contents.coordinates.transform(model.centers), strict=True))
    names = ("instance", "class", "image", "segment", "left", "top", "right", "bottom", "score", "detector_score")
    columns: dict[str, list[Any]] = {name: [] for name in (*names, "recovered")}
    shapes: list[np.ndarray | None] = []
    for item in contents.placed:
        middle = None if "box3d" not in item else contents.coordinates.transform(np.array([item["box3d"]["center"]]))[0]
        for observed in item["observations"]:
            row = (
                int(item["id"]),
                str(item["class"]),
                str(observed["image"]),
                int(observed["segment"]),
                *map(int, observed["box"]),
                float(observed["score"]),
                float(observed.get("detector_score", observed["score"])),
                int(observed.get("recovered", False)),
            )
            for column, value in zip(columns.values(), row, strict=True):
                column.append(value)
            camera = camera_of.get(observed["image"])
            shapes.append(None if middle is None or camera is None else np.stack([camera, middle]))
    return Table(columns, shapes, "LineString Z", _OBSERVATION_KINDS)


def footprint(item: Mapping[str, Any]) -> np.ndarray | None:
    """(5, 3) closed ring of the box's lower face in the map's frame; None where the instance has no box."""
    if "box3d" not in item:
        return None
    box = item["box3d"]
    half = np.array(box["size"]) / 2.0
    signs = np.array([[-1, -1, -1], [1, -1, -1], [1, 1, -1], [-1, 1, -1], [-1, -1, -1]])
    return np.asarray(np.array(box["center"]) + Rotation.from_quat(box["quaternion_xyzw"]).apply(signs * half))


def best_image(item: Mapping[str, Any]) -> str | None:
    """The image that shows most of the instance: the largest box, weighed by the observation's score."""
    if not item["observations"]:
        return None

    def shown(observed: Mapping[str, Any]) -> float:
        left, top, right, bottom = observed["box"]
        return float((right - left) * (bottom - top) * max(observed["score"], 1e-3))

    return str(max(item["observations"], key=shown)["image"])


def attitudes(camera_from_world: Pose) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(K,) heading, pitch and roll in degrees, as ``camera_table`` defines them, of cameras that look along their z axis with
    x to the right."""
    right, down, ahead = (camera_from_world.rotation[:, k] for k in range(3))
    heading = np.degrees(np.arctan2(ahead[:, 0], ahead[:, 1])) % 360.0
    pitch = np.degrees(np.arcsin(np.clip(ahead[:, 2], -1.0, 1.0)))
    return heading, pitch, np.degrees(np.arctan2(-right[:, 2], -down[:, 2]))


def moment(stamp_ns: int) -> datetime | None:
    """The moment of a stamp, to the microsecond, in UTC; None where the stamp is a mere counter."""
    if stamp_ns < LEAST_STAMP:
        return None
    seconds, rest = divmod(int(stamp_ns), int(NANOSECONDS))
    return datetime.fromtimestamp(seconds, timezone.utc).replace(microsecond=rest // 1000)


def _moments(contents: Contents, item: Mapping[str, Any]) -> list[datetime]:
    stamps = (contents.records.get(observed["image"]) for observed in item["observations"])
    found = (moment(record.stamp_ns) for record in stamps if record is not None)
    return [one for one in found if one is not None]


def _anticlockwise(ring: np.ndarray) -> np.ndarray:
    x, y = (ring[:, :2] - ring[0, :2]).T
    area = float((x[:-1] * y[1:] - x[1:] * y[:-1]).sum())
    return ring if area >= 0 else ring[::-1]
