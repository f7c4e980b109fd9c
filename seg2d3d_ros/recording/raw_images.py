"""Uncompressed images as cameras send them (ROS ``sensor_msgs/Image``, duck-typed) as arrays."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import to_bytes

_BAYER = tuple(f"bayer_{pattern}{bits}" for pattern in ("rggb", "bggr", "gbrg", "grbg") for bits in (8, 16))
_YUV = ("yuv422", "uyvy", "yuv422_yuy2", "yuyv")
_PIXELS: dict[str, tuple[type, int]] = {
    **{name: (np.uint16 if name.endswith("16") else np.uint8, 1) for name in _BAYER},
    **dict.fromkeys(("mono8", "8UC1"), (np.uint8, 1)),
    **dict.fromkeys(("mono16", "16UC1"), (np.uint16, 1)),
    **dict.fromkeys(_YUV, (np.uint8, 2)),
    **dict.fromkeys(("rgb8", "bgr8", "8UC3"), (np.uint8, 3)),
    **dict.fromkeys(("rgba8", "bgra8", "8UC4"), (np.uint8, 4)),
    **dict.fromkeys(("rgb16", "bgr16", "16UC3"), (np.uint16, 3)),
}
"""dtype and channels of each encoding."""

# OpenCV names a Bayer pattern by the second row's second and third pixel, ROS by the first row's first two.
BAYER_TO_BGR = {
    "rggb": cv2.COLOR_BayerBG2BGR,
    "bggr": cv2.COLOR_BayerRG2BGR,
    "gbrg": cv2.COLOR_BayerGR2BGR,
    "grbg": cv2.COLOR_BayerGB2BGR,
}
_TO_BGR = {
    "rgb8": cv2.COLOR_RGB2BGR,
    "rgb16": cv2.COLOR_RGB2BGR,
    "rgba8": cv2.COLOR_RGBA2BGR,
    "bgra8": cv2.COLOR_BGRA2BGR,
    "8UC4": cv2.COLOR_BGRA2BGR,
    **{name: BAYER_TO_BGR[name[6:10]] for name in _BAYER},
    "yuv422": cv2.COLOR_YUV2BGR_UYVY,
    "uyvy": cv2.COLOR_YUV2BGR_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2BGR_YUYV,
    "yuyv": cv2.COLOR_YUV2BGR_YUYV,
}

ENCODINGS = tuple(_PIXELS)


def raw_pixels(message: Any, source: str = "image") -> np.ndarray:
    """(H, W) or (H, W, C) in the message's encoding and channel order, native byte order, rows without padding.

    Raises:
        DataError: the data do not fit the size, or an unknown encoding.
    """
    if message.encoding not in _PIXELS:
        raise DataError(
            f"{source}: encoding {message.encoding!r} is not supported ({', '.join(ENCODINGS)} are); "
            "record the compressed topic, or convert the images"
        )
    return raw_array(message, *_PIXELS[message.encoding], source)


def raw_array(message: Any, kind: type, channels: int, source: str) -> np.ndarray:
    """As ``raw_pixels``, for any ``kind`` of pixels; the size is checked before anything is copied."""
    data = np.frombuffer(message.data, np.uint8) if isinstance(message.data, bytes) else np.asarray(message.data, np.uint8)
    height, width, step = int(message.height), int(message.width), int(message.step)
    row = width * channels * np.dtype(kind).itemsize
    if height <= 0 or row <= 0 or step < row or data.size < step * (height - 1) + row:
        raise DataError(
            f"{source}: {data.size} bytes do not hold {width}×{height} {message.encoding} in rows of {step} bytes; "
            "the publisher fills the message wrongly, or the recording is damaged"
        )
    rows = np.lib.stride_tricks.as_strided(data, (height, row), (step, 1))
    pixels: np.ndarray = np.ascontiguousarray(rows).view(kind)
    if message.is_bigendian and pixels.itemsize > 1:
        pixels = pixels.byteswap()
    return pixels.reshape((height, width) if channels == 1 else (height, width, channels))


def raw_picture(message: Any, source: str = "image") -> np.ndarray:
    """(H, W) uint8 grey or (H, W, 3) uint8 **BGR**, OpenCV's order; deeper pixels are stretched by the bits that they use.

    Raises:
        DataError: as ``raw_pixels``, or pixels that come in pairs in an image of odd width.
    """
    pixels = raw_pixels(message, source)
    if message.encoding in _YUV and pixels.shape[1] % 2:
        raise DataError(f"{source}: {message.encoding} has pixels in pairs, but the image is {pixels.shape[1]} pixels wide")
    code = _TO_BGR.get(message.encoding)
    try:
        return to_bytes(pixels if code is None else cv2.cvtColor(pixels, code))
    except cv2.error as error:
        height, width = pixels.shape[:2]
        raise DataError(f"{source}: {width}×{height} {message.encoding} cannot be converted ({error.err or error})") from error


def raw_gray(message: Any, width: int, source: str = "image") -> np.ndarray:
    """(H, W) uint8 grey, scaled down to ``width`` if it is wider. Raises ``DataError`` as ``raw_pixels``."""
    picture = raw_picture(message, source)
    if picture.shape[1] > width:
        size = (width, max(1, round(picture.shape[0] * width / picture.shape[1])))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
