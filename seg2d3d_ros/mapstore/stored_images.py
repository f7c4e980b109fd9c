"""The keyframes' pixels, read from the map directory when they are asked for."""

from __future__ import annotations

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.mapstore.store import MapStore


class StoredImages:
    """``images(name)`` decodes a keyframe's image file, (H, W, 3) uint8 RGB.

    Raises:
        DataError: when called, for a keyframe that is unknown or whose file is gone or damaged.
    """

    def __init__(self, store: MapStore):
        self._paths = {record.name: store.image_path(record) for record in store.read_keyframes()}

    @property
    def complete(self) -> bool:
        """Whether there are keyframes, and the image files of all of them."""
        return bool(self._paths) and all(path.is_file() for path in self._paths.values())

    def __call__(self, name: str) -> np.ndarray:
        path = self._paths.get(name)
        try:
            encoded = b"" if path is None else path.read_bytes()
        except OSError as error:
            raise DataError(f"{path}: cannot be read ({error.strerror})") from error
        return decode_rgb(encoded, str(path or name))
