"""One scan of a LiDAR, from a ``sensor_msgs/PointCloud2`` of ROS or of a recording."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.recording.naming import stamp_to_ns

POINT_TYPES: dict[int, np.dtype[Any]] = {
    code: np.dtype(kind) for code, kind in enumerate(("i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"), start=1)
}
"""``sensor_msgs/PointField.datatype``."""
TIME_FIELDS = ("time", "t", "timestamp", "time_stamp", "offset_time")
"""Names that drivers give to a point's own time."""


@dataclass(frozen=True)
class Scan:
    """N points of one turn.

    Attributes:
        stamp_ns: of the header.
        frame_id: of the header.
        xyz: (N, 3) float32 metres in that frame, finite and not zero.
        intensity: (N,) float32, or None.
        offset: (N,) float32 seconds after ``stamp_ns`` at which each point was measured, or None.
        row: (N,) int32 place of each point in the message.
    """

    stamp_ns: int
    frame_id: str
    xyz: np.ndarray
    intensity: np.ndarray | None
    offset: np.ndarray | None
    row: np.ndarray


def cloud_to_array(message: Any) -> np.ndarray:
    """The structured array (height * width,) of a cloud, in native byte order, padding between points kept.

    Raises:
        DataError: an unknown type of field, or data that do not fit the size.
    """
    order, size = ">" if message.is_bigendian else "<", len(message.data)
    if message.point_step * message.width * message.height > size:
        raise DataError(
            f"a cloud of {size} bytes does not hold {message.width}×{message.height} points of {message.point_step}"
        )
    try:
        # NumPy adds these up in 32 bits.
        if any(f.offset + f.count * POINT_TYPES[f.datatype].itemsize > message.point_step for f in message.fields):
            raise ValueError(f"they reach beyond a point of {message.point_step} bytes")
        kinds = [POINT_TYPES[field.datatype].newbyteorder(order) for field in message.fields]  # type: ignore[arg-type]
        counts = [field.count for field in message.fields]
        formats = [(kind, (count,)) if count > 1 else kind for kind, count in zip(kinds, counts, strict=True)]
        names, offsets = [field.name for field in message.fields], [field.offset for field in message.fields]
        layout = np.dtype({"names": names, "formats": formats, "offsets": offsets, "itemsize": message.point_step})
    except (KeyError, ValueError, OverflowError) as error:
        raise DataError(f"a cloud whose fields make no sense ({error})") from error
    row = message.point_step * message.width
    if message.row_step < row or size < message.row_step * (message.height - 1) + row:
        raise DataError(f"a cloud of {size} bytes does not hold {message.width}×{message.height} points of {layout.itemsize}")
    if row == 0 or message.height == 0:
        return np.zeros(0, layout)
    data = np.frombuffer(message.data, np.uint8)
    rows = np.ascontiguousarray(np.lib.stride_tricks.as_strided(data, (message.height, row), (message.row_step, 1)))
    points = rows.reshape(-1).view(layout)
    return points.astype(layout.newbyteorder("=")) if message.is_bigendian else points


def read_scan(message: Any, topic: str) -> Scan:
    """Points, intensities and times of a message; points without a return (NaN or at the origin) are left out.

    Raises:
        DataError: no x, y, z in it.
    """
    points = cloud_to_array(message)
    names = _plain_fields(points)
    if missing := [name for name in "xyz" if name not in names]:
        raise DataError(f"{topic}: no field {', '.join(missing)} among {', '.join(names) or 'none'}; this is no LiDAR cloud")
    xyz = np.stack([points[name] for name in "xyz"], axis=1).astype(np.float32)
    row = np.flatnonzero(np.isfinite(xyz).all(axis=1) & (np.abs(xyz).max(axis=1, initial=0.0) > 1e-3)).astype(np.int32)
    stamp_ns = stamp_to_ns(message.header.stamp)
    intensity = points["intensity"][row].astype(np.float32) if "intensity" in names else None
    return Scan(stamp_ns, message.header.frame_id.lstrip("/"), xyz[row], intensity, _offsets(points[row], stamp_ns), row)


def _plain_fields(points: np.ndarray) -> list[str]:
    """Fields of one number a point; those of several (descriptors, histograms) are neither places nor times."""
    return [name for name in points.dtype.names or () if not points.dtype[name].shape]


def _offsets(points: np.ndarray, stamp_ns: int) -> np.ndarray | None:
    """(N,) float32 seconds since the stamp, from what drivers write: seconds (float), nanoseconds (integer), time of day.

    Values that are no such thing (a scan that takes more than a second) are ignored.
    """
    names = _plain_fields(points)
    name = next((name for name in TIME_FIELDS if name in names), None)
    if name is None or len(points) == 0:
        return None
    values = points[name].astype(np.float64) * (1e-9 if points[name].dtype.kind in "iu" else 1.0)
    if np.abs(values).max() > 1e6:
        values = values - stamp_ns * 1e-9
    return values.astype(np.float32) if np.abs(values).max() <= 1.0 else None
