"""Encoded image → features: decoding, scaling, and what is not wanted; who finds the keypoints is chosen elsewhere."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import decode_rgb, image_size
from seg2d3d_ros.reconstruction.database import Features

Finder = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""(H, W) uint8 grey -> (N, 4) float32 keypoints (x, y, scale, orientation; first pixel's centre at 0.5, 0.5), (N, D)
descriptors."""


def extract(encoded: bytes, find: Finder, *, source: str, max_image_size: int, ignore: np.ndarray | None = None) -> Features:
    """Find the features of an encoded image.

    Args:
        encoded: the bytes of a JPEG, PNG, … file.
        find: finds keypoints in the grey image.
        source: named in messages.
        max_image_size: a longer side is scaled down to this before the search; coordinates are scaled back.
        ignore: (H, W) bool, True where keypoints are not wanted (moving things, the vehicle's own bonnet).

    Raises:
        DataError: the image cannot be decoded, or ``ignore`` has another size.
    """
    width, height = image_size(encoded, source)
    # Huge photos are decoded at two to four times the size that is searched: of 200 megapixels 40 MB, not 1.2 GB.
    reduction = next((r for r in (8, 4, 2) if max(width, height) >= 2 * r * max_image_size), 1)
    rgb = decode_rgb(encoded, source, reduction)[: height // reduction, : width // reduction]
    if ignore is not None and ignore.shape != (height, width):
        raise DataError(f"{source}: the mask has size {ignore.shape[::-1]}, the image {(width, height)}; they must be equal")
    gray = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    small = np.array(gray.shape[::-1])
    if small.max() > max_image_size:
        size = np.maximum(1, np.rint(small * (max_image_size / small.max()))).astype(int)
        gray = cv2.resize(gray, size.tolist(), interpolation=cv2.INTER_AREA)
    keypoints, descriptors = find(gray)
    factor = (small * reduction / gray.shape[::-1]).astype(np.float32)
    keypoints[:, :2] *= factor
    keypoints[:, 2] *= np.sqrt(factor.prod())
    pixel = np.floor(keypoints[:, :2]).astype(int).clip(0, [width - 1, height - 1])
    if ignore is not None:
        wanted = ~ignore[pixel[:, 1], pixel[:, 0]]
        keypoints, descriptors, pixel = keypoints[wanted], descriptors[wanted], pixel[wanted]
    pixel = (pixel // reduction).clip(0, small - 1)
    return Features(width, height, keypoints, descriptors, rgb[pixel[:, 1], pixel[:, 0]])
