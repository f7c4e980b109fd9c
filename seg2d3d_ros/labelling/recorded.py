"""The scans of a recording, labelled by a map that was made of it, into ``MAP/cloud.ply``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from seg2d3d_ros.config import CloudConfig
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.keyframes.recording import Recording
from seg2d3d_ros.labelling.frames import FrameTree
from seg2d3d_ros.labelling.labeller import CloudLabeller, LabelledPoints
from seg2d3d_ros.labelling.map_images import MapImages
from seg2d3d_ros.labelling.scans import Scan, read_scan
from seg2d3d_ros.mapstore.ply import CLOUD_POINT, PointWriter
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models

CLOUD, TF = "sensor_msgs/msg/PointCloud2", "tf2_msgs/msg/TFMessage"
FILE = "cloud.ply"
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
    images = MapImages(store)
    labeller = CloudLabeller(
        read_models(store.root),
        images.moments,
        recorded_frames(recording),
        config,
        labels=images.labels,
        image=images.picture,
        frame_of_camera=frame_of_camera,
    )
    total = recording.topics[topic].count
    with PointWriter(store.root / FILE, CLOUD_POINT) as writer:
        for done, scan in enumerate(recorded_scans(recording, topic)):
            progress("cloud", done, total)
            if (found := labeller.add(scan)) is not None:
                writer.write(cloud_points(found))
        if (found := labeller.flush()) is not None:
            writer.write(cloud_points(found))
        if labeller.counts["points"] == 0:
            raise DataError(
                f"{topic}: none of {labeller.counts['scans']} scans lies between keyframes at most {config.max_gap:g} s apart "
                "(cloud.max_gap); do its stamps and the cameras' come from the same clock?"
            )
    progress("cloud", total, total)
    return labeller.counts


def cloud_points(found: LabelledPoints) -> np.ndarray:
    """(N,) ``ply.CLOUD_POINT``."""
    points = np.empty(len(found.instance), CLOUD_POINT)
    points["x"], points["y"], points["z"] = found.xyz.T
    points["red"], points["green"], points["blue"] = found.rgb.T
    points["instance"], points["confidence"] = found.instance, found.confidence
    return points
