"""Label images and pictures of a map's keyframes, a few of them kept in memory."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.mapstore.store import MapStore

CACHED = 24
"""Images of each kind: what a stretch of the drive sees is wanted again by the next one. About 60 MB for 1 Mpx."""


class MapImages:
    """Reads a map directory.

    Attributes:
        moments: (camera name, stamp in ns) of each keyframe, by name.
    """

    def __init__(self, store: MapStore) -> None:
        records = store.read_keyframes()
        self.moments = {record.name: (record.camera_name, record.stamp_ns) for record in records}
        self._store, self._records = store, {record.name: record for record in records}
        self.labels = lru_cache(CACHED)(self._read_labels)
        self.picture = lru_cache(CACHED)(self._read_picture)

    def _read_labels(self, name: str) -> np.ndarray | None:
        """(H, W) uint16, None for a keyframe that has none."""
        return self._store.read_labels(name) if self._store.label_path(name).exists() else None

    def _read_picture(self, name: str) -> np.ndarray | None:
        """(H, W, 3) uint8 RGB, None where the file is gone or damaged: colours are not worth an error."""
        record = self._records.get(name)
        try:
            return decode_rgb(self._store.image_path(record).read_bytes(), name) if record else None
        except (OSError, DataError):
            return None
