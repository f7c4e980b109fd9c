"""The scans of a recording, labelled by a map that was made of it, into ``MAP/cloud.ply``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from seg2d3d_ros.config import CloudConfig
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.lidar.cloud_file import FILE, write_cloud
from seg2d3d_ros.lidar.labeller import CloudLabeller
from seg2d3d_ros.lidar.scans import Scan, read_scan
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, StoredLabels, recent
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.recording.reader import Recording

CLOUD, TF = "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
DYNAMIC_MESSAGES = 2000
"""So many messages of ``/tf`` are read for sensors' places that a bag has nowhere else."""


def find_cloud_topic(recording: Recording, topic: str) -> str:
    """The topic's full name.

    Raises:
        UsageError: no such topic, or no cloud on it.
    """
    name = topic if topic.startswith("/") else f"/{topic}"
    clouds = [t.name for t in recording.topics.values() if t.msgtype == CLOUD and t.count]
    if name not in clouds:
        raise UsageError(f"no PointCloud2 on {topic}; there are {', '.join(clouds) or 'none'}")
    return name


def recorded_frames(recording: Recording) -> FrameTree:
    """The sensors' places, from ``/tf_static`` and the beginning of ``/tf``."""
    tree = FrameTree()
    for name, topic in recording.topics.items():
        if topic.msgtype == TF:
            static = name.endswith("tf_static")
            for done, (_, _, message) in enumerate(recording.messages([name])):
                tree.add_message(message, static=static)
                if not static and done >= DYNAMIC_MESSAGES:
                    break
    return tree


def recorded_scans(recording: Recording, topic: str) -> Iterator[Scan]:
    """The scans, in order of recording.

    Raises:
        DataError: the clouds have no x, y, z.
    """
    for _, _, message in recording.messages([topic]):
        yield read_scan(message, topic)


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
        topic: from ``find_cloud_topic``.
        frame_of_camera: TF frame by camera name.

    Raises:
        DataError: the map is not metric, a sensor's place is unknown, or no scan could be placed.
    """
    labeller = CloudLabeller(
        read_models(store.root),
        store.moments(),
        recorded_frames(recording),
        config,
        labels=recent(StoredLabels(store)),
        image=recent(StoredImages(store)),
        frame_of_camera=frame_of_camera,
    )
    total = recording.topics[topic].count

    def scans() -> Iterator[Scan]:
        for done, scan in enumerate(recorded_scans(recording, topic)):
            progress("cloud", done, total)
            yield scan

    write_cloud(store.root / FILE, labeller, scans(), topic, config.max_gap)
    progress("cloud", total, total)
    return labeller.counts
