"""``MAP/cloud.ply``: the labelled points of many scans, written as they are labelled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.lidar.labeller import CloudLabeller, LabelledPoints
from seg2d3d_ros.lidar.scans import Scan
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, PointWriter

FILE = "cloud.ply"


def write_cloud(path: Path, labeller: CloudLabeller, scans: Iterable[Scan], source: str, max_gap: float) -> None:
    """Label scans, in order of time, into a file that appears whole. Memory does not grow with the scans.

    Args:
        source: where the scans come from, in words.
        max_gap: ``CloudConfig.max_gap``.

    Raises:
        DataError: a sensor's place is unknown, no scan could be placed, or the file cannot be written; a former file stays.
    """
    with PointWriter(path, CLOUD_POINT) as writer:
        for scan in scans:
            if (found := labeller.add(scan)) is not None:
                writer.write(cloud_points(found))
        if (found := labeller.flush()) is not None:
            writer.write(cloud_points(found))
        if labeller.counts["points"] == 0:
            raise DataError(
                f"{source}: none of {labeller.counts['scans']} scans lies between keyframes at most {max_gap:g} s apart "
                "(cloud.max_gap); do its stamps and the cameras' come from the same clock?"
            )


def cloud_points(found: LabelledPoints) -> np.ndarray:
    """(N,) ``ply.CLOUD_POINT``."""
    points = np.empty(len(found.instance), CLOUD_POINT)
    points["x"], points["y"], points["z"] = found.xyz.T
    points["red"], points["green"], points["blue"] = found.rgb.T
    points["instance"], points["confidence"] = found.instance, found.confidence
    return points
