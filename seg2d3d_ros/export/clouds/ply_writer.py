"""PLY: the labelled cloud with each instance in its colour; points without an instance keep a dimmed photo colour."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, PointWriter, write_points
from seg2d3d_ros.palette import instance_colors


def export(contents: Contents, path: Path) -> str:
    """Write the chosen cloud in the map's frame."""
    points = _colored(contents.points())
    write_points(path, points)
    return in_words(points)


def export_parts(parts: Iterable[Contents], path: Path) -> str:
    """The same of a map in parts, which are read one after the other, without the column ``point_id``."""
    counts = PointCounts()
    with PointWriter(path) as file:
        for contents in parts:
            points = _colored(contents.points())
            counts.add(points)
            file.write(points[list(CLOUD_POINT.names or ())].astype(CLOUD_POINT))
    return counts.words


def _colored(points: np.ndarray) -> np.ndarray:
    labelled = points["instance"] > 0
    own = instance_colors(points["instance"])
    for k, color in enumerate(("red", "green", "blue")):
        points[color] = np.where(labelled, own[:, k], points[color] // 2)
    return points


class PointCounts:
    """How many points there are, and of how many instances."""

    def __init__(self) -> None:
        self._points = self._labelled = 0
        self._instances: set[int] = set()

    def add(self, points: np.ndarray) -> None:
        """Count these, too."""
        labelled = points["instance"] > 0
        self._points += len(points)
        self._labelled += int(labelled.sum())
        self._instances |= set(np.unique(points["instance"][labelled]).tolist())

    @property
    def words(self) -> str:
        """For people."""
        return f"{self._points} points, {self._labelled} of them in {len(self._instances)} instances"


def in_words(points: np.ndarray) -> str:
    """How many points, and of how many instances."""
    counts = PointCounts()
    counts.add(points)
    return counts.words
