"""Which images were taken at one moment, by their times, their names or their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Literal, TypeAlias

from seg2d3d_ros.reconstruction.database import ImageRow

Pairing: TypeAlias = Literal["auto", "time", "stem", "order"]
PAIRINGS: tuple[Pairing, ...] = ("auto", "time", "stem", "order")
Moments: TypeAlias = "list[list[ImageRow]]"
"""Images of one moment, each camera at most once; moments of one image are among them."""


def find_moments(rows: Sequence[ImageRow], tolerance: float, pairing: Pairing = "auto") -> Moments:
    """The images grouped by moments. The views of one panorama are of one moment, whatever tells it of others.

    Args:
        rows: images of several cameras.
        tolerance: seconds between the first and the last image of a moment.
        pairing: ``time``: by their stamps; ``stem``: ``left/0001.jpg`` and ``right/0001.jpg`` belong together; ``order``:
            the first images of all cameras, by name, and so on; ``auto``: by time, those without a stamp by stem.
    """
    views: dict[str, list[ImageRow]] = {}
    for row in rows:
        if row.panorama:
            views.setdefault(row.panorama, []).append(row)
    if views:
        whole = [_whole(own) for own in views.values()]
        found = find_moments([*(row for row in rows if not row.panorama), *whole], tolerance, pairing)
        return [[row for item in moment for row in views.get(item.name, [item])] for moment in found]
    if pairing == "time":
        return _by_time(rows, tolerance)
    if pairing == "stem":
        return _by_stem(rows)
    if pairing == "order":
        return _by_order(rows)
    stamped = [row for row in rows if row.stamp_ns > 0]
    return _by_time(stamped, tolerance) + _by_stem([row for row in rows if row.stamp_ns <= 0])


def _whole(views: Sequence[ImageRow]) -> ImageRow:
    """A panorama as one image of its camera, in the place of its views."""
    first = min(views, key=lambda row: row.camera_name)
    camera = first.camera_name.rpartition("_")[0]
    return replace(first, name=first.panorama, panorama="", camera_name=camera, file_name=first.panorama)


def _by_time(rows: Sequence[ImageRow], tolerance: float) -> Moments:
    found: Moments = []
    for row in sorted(rows, key=lambda r: (r.stamp_ns, r.image_id)):
        last = found[-1] if found else []
        near = last and row.stamp_ns > 0 and row.stamp_ns - last[0].stamp_ns <= tolerance * 1e9
        if near and row.camera_name not in {r.camera_name for r in last}:
            last.append(row)
        else:
            found.append([row])
    return found


def _by_stem(rows: Sequence[ImageRow]) -> Moments:
    found: dict[str, list[ImageRow]] = {}
    alone: Moments = []
    for row in sorted(rows, key=lambda r: (r.file_name, r.image_id)):
        stem = PurePosixPath(row.file_name).stem
        bare = stem.removeprefix(row.camera_name).removesuffix(row.camera_name).strip("_- ")
        together = found.setdefault(bare or stem, [])
        if row.camera_name in {r.camera_name for r in together}:
            alone.append([row])
        else:
            together.append(row)
    return list(found.values()) + alone


def _by_order(rows: Sequence[ImageRow]) -> Moments:
    by_camera: dict[str, list[ImageRow]] = {}
    for row in sorted(rows, key=lambda r: (r.stamp_ns, r.file_name, r.image_id)):
        by_camera.setdefault(row.camera_name, []).append(row)
    longest = max(map(len, by_camera.values()), default=0)
    return [[own[k] for own in by_camera.values() if k < len(own)] for k in range(longest)]
