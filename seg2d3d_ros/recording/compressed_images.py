"""Compressed images as cameras send them (ROS ``sensor_msgs/CompressedImage``, duck-typed) as image files.

``format`` is what image_transport writes, ``rgb8; jpeg compressed bgr8``: the encoding of the original, the compression, and
the encoding of what was compressed; or anything else (``jpeg``, ``image/png``, nothing), for not everybody keeps to that.
"""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.image_files import open_header
from seg2d3d_ros.images import decode_rgb, decode_small_gray, encode_jpeg
from seg2d3d_ros.recording.raw_images import BAYER_TO_BGR

JPEG_QUALITY = 95
"""Of images that have to be compressed anew."""
_BAYER = re.compile(r"^bayer_(rggb|bggr|gbrg|grbg)(8|16)")
_SWAPPED = re.compile(r"compressed\s+rgba?8")
_GREY_MODES = ("L", "I", "I;16", "I;16B", "I;16L")
_VIDEO = re.compile(r"\b(h\.?26[45]|hevc|avc|av1|vp[89]|theora)\b")


def compressed_image(message: Any, source: str = "image") -> bytes:
    """The image file in a message, one that every viewer shows in the right colours.

    A Bayer mosaic is made a colour picture, and one whose red and blue lie in each other's place (``compressed rgb8``) is
    mended; both are compressed anew.

    Raises:
        DataError: no image, one that is damaged, or video; the message names the way out.
    """
    encoded, form = bytes(message.data), str(message.format).strip()
    if reason := unreadable(message):
        raise DataError(f"{source}: {reason}")
    mosaic = _BAYER.match(form)
    if mosaic is None and _SWAPPED.search(form) is None:
        return encoded
    with open_header(encoded, source) as header:
        is_grey = header.mode in _GREY_MODES
    if is_grey is (mosaic is None):
        return encoded  # grey has no colours to be swapped; what has colours is no mosaic
    if mosaic is None:
        return encode_jpeg(np.ascontiguousarray(decode_rgb(encoded, source)[:, :, ::-1]), JPEG_QUALITY)
    pixels = cv2.cvtColor(decode_small_gray(encoded, 1, source), BAYER_TO_BGR[mosaic[1]])
    return encode_jpeg(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB), JPEG_QUALITY)


def unreadable(message: Any) -> str:
    """Why a message's format cannot be read, with the way out; empty where it can, or where only the data may tell."""
    form = str(message.format)
    if found := _VIDEO.search(form.lower()):
        return f"{found[0]} video; record another transport, or 'ros2 run image_transport republish' it as compressed"
    if "compressedDepth" in form:
        return "depth images (compressedDepth)"
    if "zstd" in form:
        return "the transport zstd is not read; record raw or compressed, or republish it"
    return "" if len(message.data) else "the image is empty"
