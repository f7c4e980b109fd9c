"""Which pairs of images are worth matching: all where few, else the likely ones by time, position and appearance."""

from __future__ import annotations

import bisect
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice

import numpy as np

from seg2d3d_ros.reconstruction.database import ImageRow
from seg2d3d_ros.reconstruction.features.place_recognition import PlaceRecognition

TIME_NEIGHBOURS = 2
RICH_PARTNERS = 5
RICH_MATCHES = 60
"""An image with ``RICH_PARTNERS`` partners of at least ``RICH_MATCHES`` verified matches needs no more of them."""


class _Neighbours:
    """Neighbours of an image in time and position, among some images.

    Args:
        rows: the images.
        positions: image id -> (3,) metres, for the images whose place is known.
    """

    def __init__(self, rows: Sequence[ImageRow], positions: Mapping[int, np.ndarray]) -> None:
        self._positions = positions
        self._by_camera: dict[str, list[tuple[int, int]]] = {}
        self._by_stamp: dict[int, list[ImageRow]] = {}
        for row in rows:
            if row.stamp_ns > 0:
                bisect.insort(self._by_camera.setdefault(row.camera_name, []), (row.stamp_ns, row.image_id))
                self._by_stamp.setdefault(row.stamp_ns, []).append(row)
        self._located = [row for row in rows if row.image_id in positions]
        self._xyz = np.array([positions[row.image_id] for row in self._located]).reshape(-1, 3)

    def of(self, row: ImageRow, nearest: int) -> list[int]:
        """Image ids, the likeliest partners first, some of them twice.

        The neighbours in time of its camera come first, then the images of other cameras at that moment, then the
        ``nearest`` in position (of equally near ones the first; of panoramas the view that looks the same way).
        """
        found: list[int] = []
        if row.stamp_ns > 0:
            own, key = self._by_camera.get(row.camera_name, []), (row.stamp_ns, row.image_id)
            before, after = bisect.bisect_left(own, key) - 1, bisect.bisect_right(own, key)
            for step in range(TIME_NEIGHBOURS):
                found += [own[place][1] for place in (before - step, after + step) if 0 <= place < len(own)]
            beside = self._by_stamp.get(row.stamp_ns, [])
            found += [r.image_id for r in beside if r.camera_name != row.camera_name and not _one_place(r, row)]
        if row.image_id in self._positions:
            away = np.linalg.norm(self._xyz - self._positions[row.image_id], axis=1)
            turned = [bool(row.panorama) and r.camera_name != row.camera_name for r in self._located]
            near = (self._located[k] for k in np.lexsort((turned, away)))
            others = (r.image_id for r in near if r.image_id != row.image_id and not _one_place(r, row))
            found += islice(others, nearest)
        return found


def _one_place(a: ImageRow, b: ImageRow) -> bool:
    """Whether two images are views of one panorama: between them there is no parallax, and their turn is known."""
    return bool(a.panorama) and a.panorama == b.panorama


def _first(count: int, *ids: Iterable[int]) -> list[int]:
    """The first different ones."""
    return list(dict.fromkeys(i for some in ids for i in some))[:count]


def candidate_pairs(
    rows: Sequence[ImageRow],
    positions: Mapping[int, np.ndarray],
    recognition: PlaceRecognition,
    max_pairs: int,
    poor: Collection[int] = (),
) -> set[tuple[int, int]]:
    """Pairs of image ids (smaller first) to match among all images.

    Args:
        rows: the images; those without features are left out.
        positions: image id -> (3,) metres, for the images whose place is known.
        recognition: asked only when not all pairs are taken.
        max_pairs: partners that each image in ``poor`` asks for, the others half as many. All pairs are taken of so few
            images that this makes no difference.
        poor: image ids that found too few good partners so far.
    """
    rows = [row for row in rows if row.features > 0]
    ids = np.array([row.image_id for row in rows], np.int64)
    if len(rows) <= max_pairs + 1:
        return {
            (min(a.image_id, b.image_id), max(a.image_id, b.image_id))
            for i, a in enumerate(rows)
            for b in rows[i + 1 :]
            if not _one_place(a, b)
        }
    by_id = {row.image_id: row for row in rows}
    neighbours = _Neighbours(rows, positions)
    likeness = recognition.similarity(ids.tolist())
    np.fill_diagonal(likeness, -np.inf)
    pairs: set[tuple[int, int]] = set()
    for row, alike in zip(rows, np.argsort(-likeness, axis=1, kind="stable"), strict=True):
        count = max_pairs if row.image_id in poor else max(1, max_pairs // 2)
        likely = (i for i in ids[alike[:-1]].tolist() if not _one_place(row, by_id[i]))
        for other in _first(count, neighbours.of(row, max_pairs // 8 + 1), likely):
            pairs.add((min(row.image_id, other), max(row.image_id, other)))
    return pairs


def partners_of(
    row: ImageRow, rows: Sequence[ImageRow], positions: Mapping[int, np.ndarray], recognition: PlaceRecognition, count: int
) -> list[int]:
    """Ids of the images to match a new one with, the likeliest first.

    Args:
        row: the new image.
        rows: the images that are there already, without features or not.
        positions: image id -> (3,) metres, for the images whose place is known.
        recognition: asked only when not all are taken.
        count: how many; all are taken where there are not many more.
    """
    rows = [r for r in rows if r.features > 0 and r.image_id != row.image_id and not _one_place(r, row)]
    ids = [r.image_id for r in rows]
    if len(ids) <= count:
        return ids
    return _first(count, _Neighbours(rows, positions).of(row, count // 4 + 1), recognition.ranked(row.image_id, ids))


def poor_images(rows: Sequence[ImageRow], pairs: np.ndarray) -> set[int]:
    """Image ids with too few good partners among ``pairs`` (M, 3: image id, image id, verified matches)."""
    good = pairs[pairs[:, 2] >= RICH_MATCHES]
    partners = Counter(good[:, :2].ravel().tolist())
    return {row.image_id for row in rows if partners[row.image_id] < RICH_PARTNERS}
