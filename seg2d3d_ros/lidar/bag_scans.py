"""The scans of a recording, labelled by a map that was made of it, into ``MAP/cloud.ply``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seg2d3d_ros.config import CloudConfig
from seg2d3d_ros.lidar.cloud_file import FILE, write_cloud
from seg2d3d_ros.lidar.labeller import CloudLabeller
from seg2d3d_ros.lidar.scans import Scan, read_scan
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, StoredLabels, recent
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.recording.reader import Recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames

DYNAMIC_MESSAGES = 2000
"""So many messages of ``/tf`` are read for sensors' places that a bag has nowhere else."""


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
