"""The labels of panoramas, put together from those of their views: ``labels/<panorama>.png``, and what shows each instance."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from seg2d3d_ros.geometry.panorama.panorama_view import PanoramaView
from seg2d3d_ros.mapstore.records import KeyframeRecord


class PanoramaBox(NamedTuple):
    """Where a panorama shows an instance.

    Attributes:
        panorama: its name.
        box: ``x0 y0 x1 y1`` in its pixels, the last one excluded; of an instance that the border cuts in two, ``x1`` is beyond
            the panorama's width: it goes on at the left border.
    """

    panorama: str
    box: tuple[int, int, int, int]


Views = Mapping[str, Sequence[tuple[str, PanoramaView]]]
"""By the panorama's name, its views with the names of their keyframes."""


def views_by_panorama(records: Iterable[KeyframeRecord]) -> Views:
    """The panoramas among the keyframes of a map."""
    found: dict[str, list[tuple[str, PanoramaView]]] = defaultdict(list)
    for record in records:
        if record.view is not None:
            found[record.view.panorama].append((record.name, record.view))
    return dict(found)


def panorama_records(records: Iterable[KeyframeRecord]) -> list[KeyframeRecord]:
    """The panoramas themselves, whose files are where they were; those of streams are not kept."""
    views = [own[0][1] for own in views_by_panorama(records).values()]
    return [KeyframeRecord(view.panorama, view.camera_name, 0, view.file_name, view.source) for view in views if view.file_name]


def panorama_labels(
    views: Sequence[tuple[str, PanoramaView]], labels_of: Callable[[str], np.ndarray | None]
) -> np.ndarray | None:
    """(H, W) uint16 of a panorama: each column as the view that looks there shows it. None where no view has labels.

    Args:
        views: of one panorama.
        labels_of: (H, W) label image of a keyframe, or None.
    """
    shape, found = views[0][1].shape, [(view, labels_of(name)) for name, view in views]
    if all(labels is None for _, labels in found):
        return None
    whole = np.zeros((shape.height, shape.width), np.uint16)
    for view, labels in found:
        if labels is not None and view.shape == shape:
            view.paste(labels, whole)
    return whole


def panorama_boxes(panorama: str, labels: np.ndarray) -> dict[int, PanoramaBox]:
    """Where a panorama shows each of its instances."""
    width = labels.shape[1]
    rows, columns = np.nonzero(labels)
    ids, place = np.unique(labels[rows, columns], return_inverse=True)
    boxes = {}
    order = np.argsort(place, kind="stable")
    for instance, own in zip(ids.tolist(), np.split(order, np.cumsum(np.bincount(place))[:-1]), strict=True):
        left, right = _around(np.bincount(columns[own], minlength=width) > 0)
        boxes[instance] = PanoramaBox(panorama, (left, int(rows[own].min()), right, int(rows[own].max()) + 1))
    return boxes


def _around(filled: np.ndarray) -> tuple[int, int]:
    """From where to where columns (W,) of a full turn are filled: all but the widest gap."""
    width, columns = len(filled), np.flatnonzero(filled)
    if len(columns) == width:
        return 0, width
    gaps = np.diff(np.append(columns, columns[0] + width))
    widest = int(np.argmax(gaps))
    if widest == len(columns) - 1:
        return int(columns[0]), int(columns[-1]) + 1
    return int(columns[widest + 1]), int(columns[widest]) + 1 + width
