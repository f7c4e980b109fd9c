"""What a map directory holds of each keyframe, as mappings from the keyframe's name that read when they are asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeVar

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.mapstore.named_segments import NamedSegments
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.types import Segments

RECENT = 24
"""Images that are kept: what a stretch of the drive sees is wanted again by the next one. About 60 MB of 1 Mpx pictures."""
Value = TypeVar("Value")


class _Stored(Mapping[str, Value]):
    """Names known beforehand; a value is read anew each time."""

    _names: Mapping[str, object]

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class StoredImages(_Stored[np.ndarray]):
    """Pictures of the keyframes, (H, W, 3) uint8 RGB; ``get`` gives None where the image file is gone or damaged, too."""

    def __init__(self, store: MapStore) -> None:
        self._names = self._records = {record.name: record for record in store.read_keyframes()}
        self._store = store

    @property
    def complete(self) -> bool:
        """Whether there are keyframes, and the image files of all of them."""
        return bool(self._records) and all(self._store.image_path(record).is_file() for record in self._records.values())

    def __getitem__(self, name: str) -> np.ndarray:
        """Raises ``DataError`` for a keyframe that is unknown or whose image file is gone or damaged."""
        if name not in self._records:
            raise DataError(f"{name}: not listed in keyframes.json")
        record = self._records[name]
        return decode_rgb(self._store.read_image(record), str(self._store.image_path(record)))

    def get(self, name: str, default: np.ndarray | None = None) -> np.ndarray | None:  # type: ignore[override]
        """Raises nothing: colours are not worth an error."""
        try:
            return self[name]
        except DataError:
            return default


class StoredLabels(_Stored[np.ndarray]):
    """Label images of the keyframes, (H, W) uint16 instance ids. Raises ``DataError`` for a damaged one."""

    def __init__(self, store: MapStore) -> None:
        self._names = dict.fromkeys(sorted(path.stem for path in (store.root / "labels").glob("[!.]*.png")))
        self._store = store

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._names:
            raise KeyError(name)
        return self._store.read_labels(name)


class StoredSegments(_Stored[Segments]):
    """Masks of the keyframes. Each label image is decoded once, and kept as runs.

    ``add`` may be called by one thread while another reads.

    Args:
        names: of the keyframes that may have masks; None = all that have some.
        class_names: what the class ids of the segments count; masks of other classes are left out.
    """

    def __init__(self, store: MapStore, names: Iterable[str] | None, class_names: Sequence[str]) -> None:
        self.class_names = tuple(class_names)
        self._store, self._reading = store, threading.Lock()
        present = sorted(path.stem for path in (store.root / "segments").glob("[!.]*.png"))
        wanted = present if names is None else [name for name in names if name in set(present)]
        self._names = self._kept = dict[str, NamedSegments | None].fromkeys(wanted)

    def __getitem__(self, name: str) -> Segments:
        return self.named(name).numbered(self.class_names)

    def named(self, name: str) -> NamedSegments:
        """The masks with their classes by name; ``KeyError`` where there are none."""
        kept = self._kept[name]
        if kept is None:
            with self._reading:
                kept = self._kept[name] = self._kept[name] or self._store.read_named_segments(name)
        if kept is None:
            raise KeyError(name)
        return kept

    def add(self, segments: NamedSegments) -> None:
        """Masks that are new, or stand for those that there were."""
        self._kept[segments.name] = segments


class StoredMasks(_Stored[OverlappingMasks]):
    """Overlapping masks of the keyframes that have some, as they lie in ``masks/``; each is read once.

    Args:
        class_names: as for ``StoredSegments``.
    """

    def __init__(self, store: MapStore, class_names: Sequence[str]) -> None:
        self._names = self._kept = dict[str, OverlappingMasks | None].fromkeys(store.overlapping_names())
        self._store, self.class_names = store, tuple(class_names)

    def __getitem__(self, name: str) -> OverlappingMasks:
        """Raises ``DataError`` for a damaged file."""
        kept = self._kept[name]
        if kept is None:
            kept = self._kept[name] = self._store.read_overlapping(name, self.class_names)
        return kept


def recent(stored: Mapping[str, Value]) -> Callable[[str], Value | None]:
    """``stored.get`` with the last ``RECENT`` values kept in memory."""
    return lru_cache(RECENT)(stored.get)
