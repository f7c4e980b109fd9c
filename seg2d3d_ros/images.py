"""Encoded image bytes and label images, without ROS."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from scipy import ndimage

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.atomic import write_bytes

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp")


def decode_rgb(encoded: bytes, source: str = "image") -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB; EXIF orientation is ignored, as COLMAP does.

    Raises:
        DataError: the bytes are no image, or a damaged one.
    """
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if image is None:
        raise DataError(f"{source}: cannot be decoded as an image ({len(encoded)} bytes); the file is damaged or no image")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def decode_gray(encoded: bytes, source: str = "image") -> np.ndarray:
    """Decode to (H, W) uint8 grey. Raises ``DataError`` like ``decode_rgb``."""
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), flags) if encoded else None
    if image is None:
        raise DataError(f"{source}: cannot be decoded as an image ({len(encoded)} bytes); the file is damaged or no image")
    return image


def encode_png(image: np.ndarray) -> bytes:
    """PNG bytes of a (H, W) uint8/uint16 or (H, W, 3) uint8 RGB image."""
    pixels = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.ndim == 3 else image
    return cv2.imencode(".png", pixels)[1].tobytes()


def encode_jpeg(image: np.ndarray, quality: int = 90) -> bytes:
    """JPEG bytes of a (H, W, 3) uint8 RGB image."""
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def read_labels(path: Path) -> np.ndarray:
    """Read a label image as (H, W) uint16.

    Raises:
        DataError: not a single-channel 8- or 16-bit image.
    """
    data = np.fromfile(path, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None or image.ndim != 2 or image.dtype not in (np.uint8, np.uint16):
        raise DataError(f"{path}: a label image must be a single-channel 8- or 16-bit PNG")
    return image.astype(np.uint16)


def write_labels(path: Path, labels: np.ndarray) -> None:
    """Write (H, W) uint16 as PNG, atomically."""
    write_bytes(path, encode_png(labels.astype(np.uint16)))


def label_boxes(labels: np.ndarray, ids: np.ndarray) -> np.ndarray:
    """Tight boxes (S, 4) int32 ``x0 y0 x1 y1`` (last pixel excluded) of ``ids`` in ``labels``; zeros where absent."""
    boxes = np.zeros((len(ids), 4), np.int32)
    found = ndimage.find_objects(labels.astype(np.int32), max_label=int(ids.max())) if len(ids) else []
    for row, segment_id in enumerate(ids):
        if (place := found[int(segment_id) - 1]) is not None:
            boxes[row] = place[1].start, place[0].start, place[1].stop, place[0].stop
    return boxes
