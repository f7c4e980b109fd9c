"""SIFT features of one image, at most a given number, with the colours of their pixels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import decode_rgb, image_size
from seg2d3d_ros.reconstruction.database import Features

CONTRAST = 0.02
"""OpenCV's contrast threshold, half its default: façades in shadow keep their features, the cap drops the rest."""


def _sift(gray: np.ndarray, max_features: int) -> tuple[np.ndarray, np.ndarray]:
    """At most ``max_features`` (N, 4) float32 keypoints and (N, 128) uint8 RootSIFT descriptors of a grey image.

    OpenCV's SIFT (which also searches at twice the image's size) is several times faster than pycolmap's and lets
    other threads run. Descriptors are normalised as COLMAP does it: Arandjelović and Zisserman, Three things everyone
    should know to improve object retrieval, CVPR 2012; then scaled by 512 to bytes.
    """
    sift: Any = cv2.SIFT_create(  # type: ignore[attr-defined]
        nfeatures=0, contrastThreshold=CONTRAST, enable_precise_upscale=True
    )
    found = sift.detect(gray, None)
    sizes = np.array([k.size for k in found])
    kept = np.sort(np.argsort(-sizes, kind="stable")[:max_features])
    found, values = sift.compute(gray, [found[i] for i in kept])
    if not found:
        return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
    # OpenCV puts the first pixel's centre at 0, COLMAP at 0.5; OpenCV's size is a diameter.
    keypoints = np.array([(k.pt[0] + 0.5, k.pt[1] + 0.5, k.size / 2, np.deg2rad(k.angle)) for k in found], np.float32)
    values /= np.maximum(values.sum(1, keepdims=True), 1e-12)
    return keypoints, np.rint(512 * np.sqrt(values)).clip(0, 255).astype(np.uint8)


def extract(
    encoded: bytes, *, source: str, max_image_size: int, max_features: int, ignore: np.ndarray | None = None
) -> Features:
    """Find the features of an encoded image.

    Args:
        encoded: the bytes of a JPEG, PNG, … file.
        source: named in messages.
        max_image_size: a longer side is scaled down to this before the search; coordinates are scaled back.
        max_features: strict; the features of largest scale are kept.
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
    keypoints, descriptors = _sift(gray, max_features)
    factor = (small * reduction / gray.shape[::-1]).astype(np.float32)
    keypoints[:, :2] *= factor
    keypoints[:, 2] *= np.sqrt(factor.prod())
    pixel = np.floor(keypoints[:, :2]).astype(int).clip(0, [width - 1, height - 1])
    if ignore is not None:
        wanted = ~ignore[pixel[:, 1], pixel[:, 0]]
        keypoints, descriptors, pixel = keypoints[wanted], descriptors[wanted], pixel[wanted]
    pixel = (pixel // reduction).clip(0, small - 1)
    return Features(width, height, keypoints, descriptors, rgb[pixel[:, 1], pixel[:, 0]])
