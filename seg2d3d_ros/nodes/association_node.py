"""association_node: segments and the sparse map in, instances out; writes ``labels/``, ``tracks.json``, ``points.ply``.

It works from messages alone (``keyframes/segments`` and the ``map/`` topics), so it may run on another machine;
``ros.exchange.map_receiver`` says when a revision is complete. Each complete revision is associated in a thread of its
own, at the cost of what it changed (``association.online.online_association``); ids stay, and only label images that
changed are sent.

``association_node/flush`` answers when the newest announced revision, with the segments of all its keyframes, is solved as
a whole, published and written. Segments that keyframes of the map still lack are waited for until none of them came
for ``segments_patience`` seconds.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger
from visualization_msgs.msg import MarkerArray

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.journal import JOURNAL
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import write_association_figures
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.report.overlays import write_overlays
from seg2d3d_ros.ros.exchange.map_receiver import RevisionKey
from seg2d3d_ros.ros.exchange.map_subscription import MapSubscription
from seg2d3d_ros.ros.exchange.results import write_config_sections
from seg2d3d_ros.ros.exchange.second_round import SecondRound
from seg2d3d_ros.ros.messages.class_names import CLASSES_TOPIC, added, read_class_names
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name, labels_to_image, make_header
from seg2d3d_ros.ros.messages.instance_messages import (
    boxes_message,
    instance_markers,
    labelled_cloud,
    load_vision_msgs,
    tracks_message,
)
from seg2d3d_ros.ros.node.managed_node import QUIET_SECONDS, ManagedNode
from seg2d3d_ros.ros.node.parameters import AssociationParameters
from seg2d3d_ros.ros.node.publishing import publish_paced, settle
from seg2d3d_ros.ros.node.qos import LABELS, LATCHED, SEGMENTS
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.segmentation.encoding import PER_CLASS, from_mono16
from seg2d3d_ros.segmentation.movable import class_ids, without_classes
from seg2d3d_ros.types import Instances

GIVE_UP_SECONDS = 20.0
"""How long flush bears an incomplete revision."""
CLASSES_SECONDS = 5.0
"""How long segments of a class without a name wait for it: it comes on a topic of its own."""
SETTLED_SECONDS = 2.0
"""New segments alone lead to a new association when none came for this long."""


class AssociationNode(ManagedNode):
    """See the module.

    Threads: ``segments`` keeps masks that come, ``association`` updates the session; the session lets masks in during an
    update. ``_updating`` is held while a session updates, ``_lock`` while it is handed something and while another one takes
    its place; who needs both takes ``_updating`` first.
    """

    NAME = "association_node"
    PARAMETERS = AssociationParameters
    SECTIONS = ("segmentation", "association")
    ros: AssociationParameters

    def configure(self) -> None:
        self._store = MapStore(Path(self.ros.map_dir))
        write_config_sections(self._store, self.config, self.SECTIONS)
        self._points = self.advertise(PointCloud2, "instances/points", LATCHED)
        self._labels = self.advertise(Image, "instances/labels", LABELS)
        self._markers = self.advertise(MarkerArray, "instances/markers", LATCHED)
        self._vision = load_vision_msgs()
        if self._vision:
            self._tracks = self.advertise(self._vision.Detection2DArray, "instances/tracks", LABELS)
            self._boxes = self.advertise(self._vision.Detection3DArray, "instances/boxes", LATCHED)
        self._second_round = SecondRound(self, self.ros.second_look_patience)

    def activate(self) -> None:
        self._updating, self._lock = threading.Lock(), threading.Lock()
        self._session = AssociationSession(self._store, self.config)
        self._headers: dict[str, Header] = {}
        self._last_segments = time.monotonic()
        self._done: RevisionKey | None = None
        self._whole_done = False
        self._described: tuple[object, ...] = ()
        self._seconds = 0.0
        self._problem = ""
        self._missing, self._missing_since = 0, time.monotonic()
        self._segmenting = self.worker("segments", self._keep, depth=SEGMENTS.depth, on_drop=self._dropped)
        self._associating = self.worker("association", self._associate, depth=1, on_drop=lambda _: None)
        self._names = self._session.class_names
        self._movable = self.config.segmentation.movable_only  # neither objects nor points of the map
        self.subscribe(String, CLASSES_TOPIC, self._classes, LATCHED)
        self.subscribe(Image, "keyframes/segments", self._received, SEGMENTS)
        self._map = MapSubscription(self, self.ros.map_frame)
        self._receiver = self._map.receiver
        self.every(0.2, self._look)
        self.serve(Trigger, "~/flush", self._flush, slow=True)
        self.serve(Trigger, "~/reset", self._reset, slow=True)

    # Messages come in (executor).

    def _received(self, message: Image) -> None:
        self._last_segments = time.monotonic()
        self._segmenting.put(message)

    def _classes(self, message: String) -> None:
        """The segmenter's own names come first, since its class ids count them; a name known before is never lost."""
        self._names = added(read_class_names(message), self._names)

    def _dropped(self, message: Image) -> None:
        self.get_logger().error(f"segments of {keyframe_name(message.header)} dropped: the disk does not keep up")

    def _look(self) -> None:
        """Associate where there is something new; ask again for what got lost."""
        revision = self._map.whole()
        if revision is None:
            return
        settled = (
            self._session.pending
            and time.monotonic() - self._last_segments > SETTLED_SECONDS
            and not self._second_round.waiting
        )
        if (revision != self._done or settled) and self._associating.pending == 0:
            self._associating.put((revision, False))

    # Work (threads).

    def _keep(self, message: Image) -> None:
        name = keyframe_name(message.header)
        try:
            self._keep_segments(name, message)
        finally:
            self._second_round.answered(name)

    def _keep_segments(self, name: str, message: Image) -> None:
        labels = image_to_labels(message)
        deadline = time.monotonic() + CLASSES_SECONDS
        while int(labels.max(initial=0)) // PER_CLASS > len(self._names) and time.monotonic() < deadline:
            if self.stopping.wait(0.05):
                return
        segments = from_mono16(name, labels, len(self._names), source="keyframes/segments")
        segments = without_classes(segments, class_ids(self._names, self._movable))
        with self._lock:
            self._know_classes()
            self._headers[name] = message.header
            if self._second_round.awaits(name):
                self._session.receive_again(segments)
            else:
                self._session.receive(segments)
            self.diagnostics.set("keyframes with segments", self._session.segmented)

    def _know_classes(self) -> None:
        """Take over names that arrived; the lock is held."""
        if self._names != self._session.class_names:
            self._session.know(self._names)
            segmentation = dataclasses.replace(self.config.segmentation, prompts=self._names)
            self.config = dataclasses.replace(self.config, segmentation=segmentation)

    def _associate(self, task: tuple[RevisionKey, bool]) -> None:
        """Associate a revision, as a whole or what changed."""
        revision, full = task
        with self._updating:
            with self._lock:
                self._know_classes()
                # Even if it fails: the same revision would fail again.
                self._done, self._whole_done, self._problem = revision, full, "the association failed"
            try:
                labelled = self._session.update(self._receiver.models(), full=full)
            except DataError as error:
                self._problem = str(error)
                raise
            self._problem = ""
            self._seconds += labelled.seconds
        header = make_header(revision[1], revision[0])
        self._points.publish(labelled_cloud(labelled.models, labelled.instances, header))
        described = _description(labelled.instances, labelled.class_names)
        if described != self._described:
            self._described = described
            self._markers.publish(instance_markers(labelled.instances, labelled.class_names, header))
            if self._vision:
                self._boxes.publish(boxes_message(self._vision, labelled.instances, labelled.class_names, header))
        if self._vision:
            publish_paced(self._tracks, self._track_messages(labelled))
        publish_paced(self._labels, self._label_messages(labelled))
        settle(self._points)
        for key in ("instances", "labelled_points", "segments_with_instance"):
            self.diagnostics.set(key.replace("_", " "), labelled.counts[key])
        self.diagnostics.set("views missed", labelled.counts["missed_views"])
        self.diagnostics.set("views recovered", labelled.counts.get("recovered_views", 0))
        self.diagnostics.count("instances merged", len(labelled.merges))
        self.diagnostics.set("association [s]", f"{labelled.seconds:.2f}")
        self.get_logger().info(
            f"{labelled.counts['instances']} instances in {len(labelled.models)} components; "
            f"{len(labelled.labels)} label images changed"
        )

    def _header_of(self, name: str) -> Header | None:
        """None for keyframes of an earlier run that are not in the map: nobody said what their header was."""
        return self._headers.get(name) or self._receiver.headers.get(name)

    def _label_messages(self, labelled: LabelledRevision) -> Iterator[Image]:
        for name, labels in labelled.labels.items():
            if header := self._header_of(name):
                yield labels_to_image(labels.image(), header)

    def _track_messages(self, labelled: LabelledRevision) -> Iterator[Any]:
        for name, observations in labelled.observations.items():
            if header := self._header_of(name):
                yield tracks_message(self._vision, observations, labelled.instances, labelled.class_names, header)

    # Services (threads of their own).

    def _flush(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._wait_until_labelled()
        if not self._problem and self._look_again():
            self._wait_until_labelled()
        if self._problem:
            raise DataError(self._problem)
        labelled = self._session.latest
        write_config_sections(self._store, self.config, self.SECTIONS)
        if labelled is None:
            response.success, response.message = True, "no map to label"
            return response
        write_association_figures(self._store, labelled, self._seconds)
        write_overlays(self._store, self.config.association.overlay_width, self.diagnostics.findings)
        response.success = True
        response.message = (
            f"{labelled.counts['instances']} instances, "
            f"{labelled.counts['labelled_points']} of {labelled.counts['points']} points labelled"
        )
        return response

    def _wait_until_labelled(self) -> None:
        """Wait until everything that was received is solved as a whole and published."""
        begin = self._missing_since = time.monotonic()
        while not self._up_to_date():
            if self.stopping.wait(0.05) or self.state != "active":
                raise DataError("the node was stopped before everything was labelled")
            now, incomplete_since = time.monotonic(), self._map.incomplete_since
            if self._receiver.announced is None and now - begin > QUIET_SECONDS:
                return
            if incomplete_since is not None and now - incomplete_since > GIVE_UP_SECONDS:
                raise DataError("the map's messages did not arrive completely; is the network overloaded?")

    def _look_again(self) -> bool:
        """One round of second looks where objects were missed; whether it brought new masks."""
        if not self.config.segmentation.second_look or not self._second_round.possible:
            return False
        with self._lock:
            asks = self._session.asks()
        self._second_round.ask(asks, self._headers.get)
        return self._session.pending or not self._whole_done

    def _up_to_date(self) -> bool:
        """Whether everything that was received, and segments worth waiting for, is in the published result."""
        if time.monotonic() - self._receiver.last_message < QUIET_SECONDS:
            return False  # the caller's revision may still stand in the queue
        if not self._segmenting.drain(1.0) or self._segments_may_come():
            return False
        revision = self._receiver.revision
        if revision is None or revision != self._map.checked:
            return False
        if self._associating.pending == 0 and (self._session.pending or revision != self._done or not self._whole_done):
            self._associating.put((revision, True))
        return self._associating.drain(1.0) and not self._session.pending and revision == self._done and self._whole_done

    def _segments_may_come(self) -> bool:
        """Whether keyframes of the map still lack segments, and it is worth waiting for them."""
        with self._lock:
            missing = sum(not self._session.has_segments(name) for name in self._receiver.names)
        now = time.monotonic()
        if missing != self._missing:
            # Progress counts, not traffic: a live camera's segments come for ever.
            self._missing, self._missing_since = missing, now
        patient = now - self._missing_since < self.ros.segments_patience
        return missing > 0 and patient and self.count_publishers("keyframes/segments") > 0

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._segmenting.clear()
        self._associating.drain()
        with self._updating, self._lock:
            self._store.clear(("tracks.json", JOURNAL, "points.ply", "points_rgb.ply"), ("segments", "labels", "overlays"))
            self._session = AssociationSession(self._store, self.config)
            self._headers, self._seconds, self._problem = {}, 0.0, ""
            self._described = ()
        self._second_round.forget()
        response.success = True
        return response


def _description(instances: Instances, class_names: Sequence[str]) -> tuple[object, ...]:
    """Equal when markers and boxes are equal."""
    boxes = instances.boxes
    arrays = (instances.ids, instances.classes, instances.scores, boxes.center, boxes.size, boxes.rotation)
    return (*(array.tobytes() for array in arrays), tuple(class_names))


def main() -> None:
    """Console script."""
    sys.exit(spin_node(AssociationNode))


if __name__ == "__main__":
    main()
