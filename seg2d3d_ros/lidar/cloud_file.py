"""``MAP/cloud.ply``: the labelled points of many scans, written as they are labelled, of a recording or as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from seg2d3d_ros.config import CloudConfig
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.lidar.labeller import CloudLabeller
from seg2d3d_ros.lidar.scans import Scan, read_scan
from seg2d3d_ros.mapstore.point_cloud import PointWriter, cloud_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, StoredLabels, recent
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.recording.reader import Recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames

FILE = "cloud.ply"
DYNAMIC_MESSAGES = 2000
"""So many messages of ``/tf`` are read for sensors' places that a bag has nowhere else."""


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


def label_recording(
    store: MapStore,
    recording: Recording,
    topic: str,
    config: CloudConfig,
    *,
    frame_of_camera: Mapping[str, str],
    progress: Progress,
) -> dict[str, int]:
    """Write ``MAP/cloud.ply``; returns ``CloudLabeller.counts``. Memory does not grow with the recording.

    Args:
        topic: PointCloud2 topic, in full.
        frame_of_camera: TF frame by camera name.

    Raises:
        DataError: the map is not metric, a sensor's place is unknown, or no scan could be placed.
    """
    labeller = CloudLabeller(
        read_models(store.root),
        store.moments(),
        recorded_frames(recording, DYNAMIC_MESSAGES),
        config,
        labels=recent(StoredLabels(store)),
        image=recent(StoredImages(store)),
        frame_of_camera=frame_of_camera,
    )
    total = recording.topics[topic].count

    def scans() -> Iterator[Scan]:
        for done, (_, _, message) in enumerate(recording.messages([topic])):
            progress("cloud", done, total)
            yield read_scan(message, topic)

    write_cloud(store.root / FILE, labeller, scans(), topic, config.max_gap)
    progress("cloud", total, total)
    return labeller.counts
