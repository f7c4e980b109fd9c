"""All segments of a map as one mapping that keeps nothing in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.types import Segments


class StoredSegments(Mapping[str, Segments]):
    """``segments[name]`` reads the keyframe's masks from the map directory each time it is asked.

    A thousand label images would take gigabytes; decoding one again takes milliseconds.
    """

    def __init__(self, store: MapStore, names: Sequence[str], class_names: Sequence[str]):
        self._store, self._class_names = store, class_names
        self._names = tuple(name for name in names if store.segment_path(name).exists())

    def __getitem__(self, name: str) -> Segments:
        if name not in self._names:
            raise KeyError(name)
        segments = self._store.read_segments(name, self._class_names)
        if segments is None:
            raise KeyError(name)
        return segments

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
