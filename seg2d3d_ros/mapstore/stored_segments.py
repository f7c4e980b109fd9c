"""All segments of a map as one mapping that keeps nothing in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.types import Segments


class StoredSegments(Mapping[str, Segments]):
    """``segments[name]`` reads the keyframe's masks from the map directory each time it is asked.

    A thousand label images would take gigabytes; decoding one again takes milliseconds.
    """

    def __init__(self, store: MapStore, names: Iterable[str], class_names: Sequence[str]):
        self._store, self._class_names = store, class_names
        folder = store.root / "segments"
        present = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        self._names = dict.fromkeys(name for name in names if f"{name}.png" in present)

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
