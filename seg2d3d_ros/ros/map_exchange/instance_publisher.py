"""Sends each labelled revision: the labelled cloud, markers and boxes, and of each changed keyframe its labels and tracks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.ros.messages.conversion import labels_to_image
from seg2d3d_ros.ros.messages.instance_messages import (
    boxes_message,
    instance_markers,
    labelled_cloud,
    load_vision_msgs,
    tracks_message,
)
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.publishing import publish_paced, settle
from seg2d3d_ros.ros.node.qos import LABELS, LATCHED
from seg2d3d_ros.types import Instances

_NO_IDS, _NO_SCORES = np.empty(0, np.int32), np.empty(0, np.float32)
NOTHING = Instances(_NO_IDS, _NO_IDS, _NO_SCORES, _NO_IDS, _NO_IDS, _NO_SCORES, OrientedBoxes.none())
"""What there is after a reset."""


class InstancePublisher:
    """Make it in ``configure``; one thread at a time sends.

    Args:
        header_of: a keyframe's header by its name; None for one of an earlier run that is not in the map: nobody said what
            its header was, so nothing is sent of it.
    """

    def __init__(self, node: ManagedNode, header_of: Callable[[str], Header | None]) -> None:
        self._header_of = header_of
        self._points = node.advertise(PointCloud2, "instances/points", LATCHED)
        self._labels = node.advertise(Image, "instances/labels", LABELS)
        self._markers = node.advertise(MarkerArray, "instances/markers", LATCHED)
        self._vision = load_vision_msgs()
        if self._vision:
            self._tracks = node.advertise(self._vision.Detection2DArray, "instances/tracks", LABELS)
            self._boxes = node.advertise(self._vision.Detection3DArray, "instances/boxes", LATCHED)
        self._described: tuple[object, ...] = ()

    def send(self, labelled: LabelledRevision, header: Header) -> None:
        """Publish a revision; markers and boxes only where they changed.

        Args:
            header: of the map's revision.
        """
        self._points.publish(labelled_cloud(labelled.models, labelled.instances, header))
        self._describe(labelled.instances, labelled.class_names, header)
        if self._vision:
            publish_paced(self._tracks, self._track_messages(labelled))
        publish_paced(self._labels, self._label_messages(labelled))
        settle(self._points)

    def withdraw(self, header: Header) -> None:
        """Publish that there is nothing: an empty cloud, no markers, no boxes. Late subscribers see that, too."""
        self._points.publish(labelled_cloud((), NOTHING, header))
        self._described = ()
        self._describe(NOTHING, (), header)
        settle(self._points)
        settle(self._markers)

    def _describe(self, instances: Instances, class_names: Sequence[str], header: Header) -> None:
        described = _description(instances, class_names)
        if described == self._described:
            return
        self._described = described
        self._markers.publish(instance_markers(instances, class_names, header))
        if self._vision:
            self._boxes.publish(boxes_message(self._vision, instances, class_names, header))

    def _label_messages(self, labelled: LabelledRevision) -> Iterator[Image]:
        for name, labels in labelled.labels.items():
            if header := self._header_of(name):
                yield labels_to_image(labels.image(), header)

    def _track_messages(self, labelled: LabelledRevision) -> Iterator[Any]:
        for name, observations in labelled.observations.items():
            if header := self._header_of(name):
                yield tracks_message(self._vision, observations, labelled.instances, labelled.class_names, header)


def _description(instances: Instances, class_names: Sequence[str]) -> tuple[object, ...]:
    """Equal when markers and boxes are equal."""
    boxes = instances.boxes
    arrays = (instances.ids, instances.classes, instances.scores, boxes.center, boxes.size, boxes.rotation, boxes.covariance)
    return (*(np.ascontiguousarray(array).tobytes() for array in arrays), tuple(class_names))
