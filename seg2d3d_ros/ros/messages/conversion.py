"""Messages <-> arrays and the core's value types.

Images are decoded with NumPy and OpenCV (``recording.raw_images``), the same live and from recordings; cv_bridge is not used,
because the distributions build it against one NumPy ABI. Message data are filled with ``array.array('B')``: the
one type that is fast both with and without rclpy's field checks.
"""

from __future__ import annotations

import array
from typing import Any

import cv2
import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix, NavSatStatus, PointCloud2, PointField
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import image_suffix
from seg2d3d_ros.lidar.scans import POINT_TYPES
from seg2d3d_ros.recording.calibration import info_from_camera
from seg2d3d_ros.recording.label_messages import labels_from_message
from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns, stream_name
from seg2d3d_ros.recording.raw_images import raw_picture

_POINT_CODES = {kind: code for code, kind in POINT_TYPES.items()}


# Headers


def ns_to_stamp(nanoseconds: int) -> Time:
    """The inverse of ``stamp_to_ns``."""
    seconds, rest = divmod(int(nanoseconds), 1_000_000_000)
    return Time(sec=seconds, nanosec=rest)


def make_header(stamp_ns: int, frame_id: str) -> Header:
    """A header from nanoseconds and a frame."""
    return Header(stamp=ns_to_stamp(stamp_ns), frame_id=frame_id)


def keyframe_name(header: Header) -> str:
    """``<camera>_<stamp ns>``: the key of a keyframe everywhere on disk."""
    return stream_name(camera_name(header.frame_id), stamp_to_ns(header.stamp))


def fill(data: bytes | memoryview | np.ndarray) -> array.array:
    """Message bytes in the type that rclpy takes fastest."""
    filled = array.array("B")
    if len(data):  # NumPy does not cast what is empty
        filled.frombytes(np.ascontiguousarray(data).data.cast("B") if isinstance(data, np.ndarray) else data)
    return filled


# Images


def image_to_rgb(message: Image) -> np.ndarray:
    """(H, W, 3) uint8 RGB of any colour or grey image; 16-bit grey is cut to its high byte.

    Raises:
        DataError: the data do not fit the size, or an encoding that is not read.
    """
    where = f"image {keyframe_name(message.header)}"
    picture = raw_picture(message, where)
    return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB if picture.ndim == 2 else cv2.COLOR_BGR2RGB)


def labels_to_image(labels: np.ndarray, header: Header) -> Image:
    """(H, W) uint16 labels as mono16.

    Raises:
        DataError: another shape or dtype.
    """
    if labels.ndim != 2 or labels.dtype != np.uint16:
        raise DataError(f"an image of shape {labels.shape} and dtype {labels.dtype} is not mono16")
    height, width = labels.shape
    return Image(header=header, height=height, width=width, encoding="mono16", step=2 * width, data=fill(labels))


def unsegmented(header: Header) -> Image:
    """What ``keyframes/segments`` has for a keyframe in which nobody looked for objects: a label image without pixels.

    All zeros would say that there are none.
    """
    return labels_to_image(np.zeros((0, 0), np.uint16), header)


def is_unsegmented(message: Image) -> bool:
    """Whether a message of ``keyframes/segments`` says that nobody looked for objects."""
    return message.width == 0 and message.height == 0


def image_to_labels(message: Image | CompressedImage) -> np.ndarray:
    """(H, W) uint16 labels of an image of whole numbers (mono16, 8UC1, 32SC1, …) or a compressed PNG.

    Raises:
        DataError: colours or fractions, ids above 65535, or the data do not fit the size.
    """
    return labels_from_message(message, f"masks {keyframe_name(message.header)}")


def compressed_to_bytes(message: CompressedImage) -> bytes:
    """The image file's bytes.

    Raises:
        DataError: no bytes, or a depth image of compressed_depth_image_transport.
    """
    if not len(message.data) or "compressedDepth" in message.format:
        kind = "is a compressed depth image" if len(message.data) else "is empty"
        raise DataError(f"compressed image {keyframe_name(message.header)} (format {message.format!r}) {kind}")
    return bytes(message.data)


def bytes_to_compressed(encoded: bytes, header: Header) -> CompressedImage:
    """A ``CompressedImage`` of a JPEG or PNG file's bytes."""
    return CompressedImage(header=header, format="png" if image_suffix(encoded) == "png" else "jpeg", data=fill(encoded))


# Calibration and position


def camera_to_info(camera: Camera, header: Header) -> CameraInfo:
    """Intrinsics as a ``CameraInfo``; K is zero for a lens that ROS's distortion models cannot describe."""
    message = CameraInfo(header=header, width=camera.width, height=camera.height)
    if (described := info_from_camera(camera)) is not None:
        message.distortion_model, message.k, message.d = described
        message.r = np.eye(3).ravel()
        message.p = np.column_stack([np.reshape(message.k, (3, 3)), np.zeros(3)]).ravel()
    return message


def fix_from_geo(geo: GeoPosition | None, header: Header) -> NavSatFix:
    """A ``NavSatFix``; None becomes "no fix" with NaN."""
    message = NavSatFix(header=header)
    if geo is None:
        message.status.status = NavSatStatus.STATUS_NO_FIX
        message.latitude = message.longitude = message.altitude = float("nan")
        return message
    message.status.status = NavSatStatus.STATUS_FIX
    message.latitude, message.longitude, message.altitude = geo.latitude, geo.longitude, geo.altitude
    if geo.covariance is not None:
        message.position_covariance = np.asarray(geo.covariance, np.float64).ravel()
        message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_KNOWN
    return message


# Clouds


def array_to_cloud(points: np.ndarray, header: Header) -> PointCloud2:
    """An unordered cloud of a structured array (N,), one field each; ``rgb`` from ``pack_rgb``.

    Raises:
        DataError: a field type that PointField does not have.
    """
    message = PointCloud2(header=header, height=1, width=len(points), is_dense=True, is_bigendian=False)
    for name, (kind, offset, *_) in (points.dtype.fields or {}).items():
        base, count = (kind.subdtype[0], int(np.prod(kind.subdtype[1]))) if kind.subdtype else (kind, 1)
        if base not in _POINT_CODES:
            raise DataError(f"point field {name!r} of type {base} cannot be sent; PointField has none for it")
        message.fields.append(PointField(name=name, offset=offset, datatype=_POINT_CODES[base], count=count))
    message.point_step = points.dtype.itemsize
    message.row_step = message.point_step * len(points)
    message.data = fill(points.view(np.uint8) if len(points) else b"")
    return message


def pack_rgb(rgb: np.ndarray) -> np.ndarray:
    """(N, 3) uint8 as (N,) float32 whose bits are 0x00RRGGBB: PCL's and RViz's ``rgb`` field."""
    wide = rgb.astype(np.uint32)
    return (wide[:, 0] << 16 | wide[:, 1] << 8 | wide[:, 2]).view(np.float32)


def unpack_rgb(packed: np.ndarray) -> np.ndarray:
    """The inverse of ``pack_rgb``: (N, 3) uint8."""
    bits: Any = np.ascontiguousarray(packed).view(np.uint32)
    return np.stack([bits >> 16 & 255, bits >> 8 & 255, bits & 255], axis=1).astype(np.uint8)
