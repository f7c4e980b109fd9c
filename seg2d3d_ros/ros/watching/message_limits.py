"""Messages that are too large: refused before anything of them is decoded or kept."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from sensor_msgs.msg import CompressedImage, Image, PointCloud2

from seg2d3d_ros.declaration import param
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Kind
from seg2d3d_ros.images import image_size

MESSAGES_TOO_LARGE = Kind(
    "messages_too_large",
    "messages that are larger than allowed, and were refused",
    cause="the last one: {reason}",
    remedy="where such sizes are right, raise the parameter; else mend their publisher",
)


@dataclass(frozen=True)
class SizeLimits:
    """The parameters of every node that limit what it takes."""

    largest_message: float = param(
        512.0,
        "messages whose data are larger are refused and counted; 0 = no limit",
        unit="MB",
        low=0.0,
        high=4096.0,
    )
    largest_image: float = param(
        250.0,
        "images with more pixels are refused and counted before they are decoded; 0 = no limit but that of decoding",
        unit="megapixels",
        low=0.0,
        high=100000.0,
    )
    largest_cloud: int = param(
        20_000_000,
        "clouds with more points are refused and counted before they are read; 0 = no limit",
        low=0,
        high=2_000_000_000,
    )


def too_large(message: Any, limits: SizeLimits) -> str:
    """Which limit a message exceeds, in words; empty where none."""
    size = len(getattr(message, "data", ()))
    if limits.largest_message and size > limits.largest_message * 1e6:
        return f"{size * 1e-6:.1f} MB, largest_message is {limits.largest_message:g}"
    if isinstance(message, PointCloud2):
        points = message.width * message.height
        return f"{points} points, largest_cloud is {limits.largest_cloud}" if 0 < limits.largest_cloud < points else ""
    width, height = _size(message)
    if limits.largest_image and width * height > limits.largest_image * 1e6:
        return f"{width}×{height} pixels, largest_image is {limits.largest_image:g} megapixels"
    return ""


def _size(message: Any) -> tuple[int, int]:
    """Width and height of a picture; zeros where there is none, or whoever decodes it says so better."""
    if isinstance(message, Image):
        return message.width, message.height
    if isinstance(message, CompressedImage):
        with suppress(DataError):
            return image_size(bytes(message.data), "")
    return 0, 0
