"""The labels on the photograph, for people who watch: RViz and Foxglove cannot lay a label image over another picture."""

from __future__ import annotations

from collections.abc import Callable

from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import decode_rgb, encode_jpeg
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.report.pictures import QUALITY, overlay
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.qos import LABELS

OVERLAY_TOPIC = "instances/overlay/compressed"
WIDTH = 960


class OverlayPublisher:
    """Sends the newest keyframe of each camera whose labels have changed, and draws nothing while nobody listens.

    Args:
        store: where the node's map keeps the images; where the map is made on another machine there are none, and nothing is
            sent.
        header_of: a keyframe's header by its name.
    """

    def __init__(self, node: ManagedNode, store: MapStore, header_of: Callable[[str], Header | None]) -> None:
        self._store, self._header_of = store, header_of
        self._publisher = node.advertise(CompressedImage, OVERLAY_TOPIC, LABELS)

    def send(self, labelled: LabelledRevision) -> int:
        """Draw and publish; returns how many pictures were sent."""
        if not labelled.labels or not self._publisher.get_subscription_count():
            return 0
        newest = {
            record.camera_name: record
            for record in sorted(self._store.read_keyframes(), key=lambda record: record.stamp_ns)
            if record.name in labelled.labels
        }
        sent = 0
        for record in newest.values():
            header = self._header_of(record.name)
            try:
                image = decode_rgb(self._store.read_image(record), record.image)
            except DataError:  # the map's own outputs tell of it
                continue
            if header is not None:
                picture = overlay(image, labelled.labels[record.name].image(), min(WIDTH, image.shape[1]))
                self._publisher.publish(CompressedImage(header=header, format="jpeg", data=encode_jpeg(picture, QUALITY)))
                sent += 1
        return sent
