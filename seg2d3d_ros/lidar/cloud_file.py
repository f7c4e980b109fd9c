"""``MAP/cloud.ply``: the labelled points of many scans, written as they are labelled, of a recording or as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.lidar.labeller import CloudLabeller
from seg2d3d_ros.lidar.scans import Scan, read_scan
from seg2d3d_ros.mapstore.point_cloud import PointWriter, cloud_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, StoredLabels, recent
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.recording.reader import Recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames
from seg2d3d_ros.sections.cloud_config import CloudConfig
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig

FILE = "cloud.ply"
DYNAMIC_MESSAGES = 2000
"""So many messages of ``/tf`` are read for sensors' places that a bag has nowhere else."""


SCANS_UNREADABLE = Kind(
    "scans_unreadable",
    "scan messages that cannot be read",
    cause="{reason}",
    remedy="check the driver that fills these PointCloud2 messages",
)


def write_cloud(path: Path, labeller: CloudLabeller, scans: Iterable[Scan], source: str, findings: Findings) -> str:
    """Label scans, in order of time, into a file that appears whole. Memory does not grow with the scans.

    Args:
        source: where the scans come from, in words.
        findings: gets why scans were lost; what an earlier cloud said of it is replaced.

    Returns:
        What came of it, in words.

    Raises:
        DataError: no scan could be placed, or the file cannot be written; a former file stays.
    """
    with PointWriter(path) as writer:
        for found in labeller.label(scans):
            writer.write(cloud_points(found.xyz, found.rgb, found.instance, found.confidence))
        counts, scans_seen = labeller.counts, labeller.counts["scans"]
        for lost in labeller.findings.list():
            findings.put(replace(lost, of=scans_seen))
        if counts["points"] == 0:
            reasons = "; ".join(replace(lost, of=scans_seen).text for lost in labeller.findings.list())
            raise DataError(f"{source}: none of {scans_seen} scans could be used: {reasons or 'the topic has no message'}")
    lost_share = f", {counts['scans_lost']} of {scans_seen} scans lost" if counts["scans_lost"] else ""
    return (
        f"{counts['points']} points of {counts['scans_used']} scans, {counts['points_seen']} seen by keyframes, "
        f"{counts['points_labelled']} labelled{lost_share}"
    )


def label_recording(
    store: MapStore,
    recording: Recording,
    topic: str,
    config: CloudConfig,
    superpoints: SuperpointConfig,
    *,
    frame_of_camera: Mapping[str, str],
    progress: Progress,
    findings: Findings,
) -> str:
    """Write ``MAP/cloud.ply``; returns what came of it, in words. Memory does not grow with the recording.

    Args:
        topic: PointCloud2 topic, in full.
        frame_of_camera: TF frame by camera name.
        findings: gets why scans were lost.

    Raises:
        DataError: the map is not metric, or no scan could be placed.
    """
    labeller = CloudLabeller(
        read_models(store.root),
        store.moments(),
        recorded_frames(recording, DYNAMIC_MESSAGES),
        config,
        labels=recent(StoredLabels(store)),
        image=recent(StoredImages(store)),
        frame_of_camera=frame_of_camera,
        superpoints=superpoints,
    )
    total = recording.topics[topic].count

    def scans() -> Iterator[Scan]:
        for done, (_, _, message) in enumerate(recording.messages([topic])):
            progress("cloud", done, total)
            try:
                yield read_scan(message, topic)
            except DataError as error:  # one bad message is not the recording
                labeller.counts["scans"] += 1
                labeller.lose(SCANS_UNREADABLE, reason=str(error))

    words = write_cloud(store.root / FILE, labeller, scans(), topic, findings)
    progress("cloud", total, total)
    return words
