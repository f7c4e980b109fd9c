"""``MAP/cloud.ply``: the labelled points of many scans, written as they are labelled."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.lidar.labeller import CloudLabeller
from seg2d3d_ros.lidar.scans import Scan
from seg2d3d_ros.mapstore.point_cloud import PointWriter, cloud_points

FILE = "cloud.ply"


def write_cloud(path: Path, labeller: CloudLabeller, scans: Iterable[Scan], source: str, max_gap: float) -> None:
    """Label scans, in order of time, into a file that appears whole. Memory does not grow with the scans.

    Args:
        source: where the scans come from, in words.
        max_gap: ``CloudConfig.max_gap``.

    Raises:
        DataError: a sensor's place is unknown, no scan could be placed, or the file cannot be written; a former file stays.
    """
    with PointWriter(path) as writer:
        for found in labeller.label(scans):
            writer.write(cloud_points(found.xyz, found.rgb, found.instance, found.confidence))
        if labeller.counts["points"] == 0:
            raise DataError(
                f"{source}: none of {labeller.counts['scans']} scans lies between keyframes at most {max_gap:g} s apart "
                "(cloud.max_gap); do its stamps and the cameras' come from the same clock?"
            )
