"""association_node: segments and the sparse map in, instances out; writes ``labels/``, ``tracks.json``, ``points.ply``.

It works from messages alone (``keyframes/segments`` and the ``map/`` topics), so it may run on another machine;
``ros.map_exchange.map_receiver`` says when a revision is complete. Each complete revision is associated in a thread of its
own, at the cost of what it changed (``association.online.online_association``); ids stay, and only label images that
changed are sent.

Of revisions that come faster than they are associated only the newest counts. Masks that come faster than the disk takes
them push out the oldest ones, which is a finding. ``pipeline.label_latency`` measures how long labels take.

``association_node/flush`` answers when the newest announced revision, with the segments of all its keyframes, is solved as
a whole, published and written. Segments that keyframes of the map still lack are waited for until none of them came
for ``segments_patience`` seconds. ``association_node/reset`` forgets all and says so on the latched topics.
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Kind
from seg2d3d_ros.mapstore.files.tree_file import TREE_FILE
from seg2d3d_ros.mapstore.held_map import join_map
from seg2d3d_ros.mapstore.journal import JOURNAL
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.figures import emptiness, write_association_figures
from seg2d3d_ros.pipeline.labelled_revision import LabelledRevision
from seg2d3d_ros.pipeline.live.completeness import MASKS_DROPPED, incomplete
from seg2d3d_ros.pipeline.live.label_latency import LabelLatency
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.report.overlays import write_overlays
from seg2d3d_ros.ros.map_exchange.instance_publisher import InstancePublisher
from seg2d3d_ros.ros.map_exchange.known_classes import KnownClasses
from seg2d3d_ros.ros.map_exchange.map_receiver import RevisionKey
from seg2d3d_ros.ros.map_exchange.map_subscription import MapSubscription
from seg2d3d_ros.ros.map_exchange.overlay_publisher import OverlayPublisher
from seg2d3d_ros.ros.map_exchange.results import write_config_sections
from seg2d3d_ros.ros.map_exchange.second_round import SecondRound
from seg2d3d_ros.ros.map_exchange.twin_nodes import TwinWatch
from seg2d3d_ros.ros.messages.conversion import image_to_labels, is_unsegmented, keyframe_name, make_header
from seg2d3d_ros.ros.messages.mask_messages import MASKS_TOPIC, message_to_masks
from seg2d3d_ros.ros.node.managed_node import QUIET_SECONDS, ManagedNode
from seg2d3d_ros.ros.node.parameters import AssociationParameters
from seg2d3d_ros.ros.node.qos import SEGMENTS
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.segmentation.encoding import PER_CLASS, from_mono16
from seg2d3d_ros.segmentation.movable import class_ids, without_classes

GIVE_UP_SECONDS = 20.0
"""How long flush bears an incomplete revision."""
SETTLED_SECONDS = 2.0
"""New segments alone lead to a new association when none came for this long."""
REPORT_SECONDS = 5.0
"""How often flush logs what it waits for."""
OVERLAPPING_REFUSED = Kind(
    "overlapping_masks_refused",
    "keyframes whose overlapping masks on keyframes/masks cannot be used",
    cause="{reason}",
    remedy="send sensor_msgs/CompressedImage of format coco_rle as docs/granularity.md says; their flat segments are used",
)
CLOCKS_DIFFER = 86400.0
"""An image that seems older is of a recording: its age says nothing."""


class AssociationNode(ManagedNode):
    """See the module.

    Threads: ``segments`` keeps masks that come, ``association`` updates the session; the session lets masks in during an
    update. ``_updating`` is held while a session updates, ``_lock`` while it is handed something and while another one takes
    its place; who needs both takes ``_updating`` first.
    """

    NAME = "association_node"
    PARAMETERS = AssociationParameters
    SECTIONS = ("segmentation", "association")
    CHANGEABLE = ("segmentation.prompts",)
    ros: AssociationParameters

    def configure(self) -> None:
        self._store = join_map(Path(self.ros.map_dir))
        write_config_sections(self._store, self.config, self.SECTIONS)
        self._publisher = InstancePublisher(self, self._header_of)
        self._overlays = OverlayPublisher(self, self._store, self._header_of)
        self._second_round = SecondRound(self, self.ros.second_look_patience)

    def activate(self) -> None:
        self._updating, self._lock = threading.Lock(), threading.Lock()
        self._session = AssociationSession(self._store, self.config)
        self._headers: dict[str, Header] = {}
        self._last_segments = time.monotonic()
        self._done: RevisionKey | None = None
        self._whole_done = False
        self._seconds = self._last_seconds = 0.0
        self._problem = ""
        self._missing, self._missing_since = 0, time.monotonic()
        self._latency = LabelLatency(self.diagnostics.findings)
        self._segmenting = self.worker("segments", self._keep, depth=SEGMENTS.depth, on_drop=self._dropped)
        self._associating = self.worker("association", self._associate, depth=1, on_drop=lambda _: None)
        self._movable = self.config.segmentation.movable_only  # neither objects nor points of the map
        self._classes = KnownClasses(self, self._session.class_names)
        self._keeping = self.worker("masks", self._keep_masks, depth=SEGMENTS.depth, on_drop=self._dropped)
        self.subscribe(CompressedImage, MASKS_TOPIC, self._keeping.put, SEGMENTS)
        self.subscribe(Image, "keyframes/segments", self._received, SEGMENTS)
        self._map = MapSubscription(self, self.ros.map_frame)
        self._receiver = self._map.receiver
        self._twins = TwinWatch(self)
        self.every(0.2, self._look)
        self.serve(Trigger, "~/flush", self._flush, slow=True)
        self.serve(Trigger, "~/reset", self._reset, slow=True)

    def change(self, values: dict[str, Any]) -> None:
        """Other prompts mean other classes, as at the start; what segmentation_node names comes before them."""
        prompts = tuple(prompt for prompt in values["segmentation.prompts"] if prompt)
        if not prompts:
            raise UsageError("prompts: at least one class is needed")
        self.config = dataclasses.replace(
            self.config, segmentation=dataclasses.replace(self.config.segmentation, prompts=prompts)
        )
        if self.state == "active":
            self._classes.ask(prompts)

    # Messages come in (executor).

    def _received(self, message: Image) -> None:
        self._last_segments = time.monotonic()
        if not is_unsegmented(message):
            self._latency.arrived(keyframe_name(message.header))
        self._segmenting.put(message)

    def _dropped(self, message: Image | CompressedImage) -> None:
        self.diagnostics.findings.add(MASKS_DROPPED, keyframe_name(message.header))

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
        if is_unsegmented(message):
            with self._lock:
                self._headers[name] = message.header
                self._session.pass_over(name)
            return
        labels = image_to_labels(message)
        self._classes.wait_for(int(labels.max(initial=0)) // PER_CLASS)
        if self.stopping.is_set():
            return
        names = self._classes.names
        segments = from_mono16(name, labels, len(names), source="keyframes/segments", findings=self.diagnostics.findings)
        segments = without_classes(segments, class_ids(names, self._movable))
        with self._lock:
            self._know_classes()
            self._headers[name] = message.header
            if self._second_round.awaits(name):
                self._session.receive_again(segments)
            else:
                self._session.receive(segments)
            self.diagnostics.set("keyframes with segments", self._session.segmented)

    def _keep_masks(self, message: CompressedImage) -> None:
        name = keyframe_name(message.header)
        try:
            masks, names = message_to_masks(message)
        except DataError as error:
            self.diagnostics.findings.add(OVERLAPPING_REFUSED, name, reason=str(error))
            return
        with self._lock:
            self._session.receive_masks(masks, names)
        self.diagnostics.count("keyframes with overlapping masks")

    def _know_classes(self) -> None:
        """Take over names that arrived; the lock is held."""
        if (names := self._classes.names) != self._session.class_names:
            self._session.know(names)
            segmentation = dataclasses.replace(self.config.segmentation, prompts=names)
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
            self._seconds, self._last_seconds = self._seconds + labelled.seconds, labelled.seconds
        begin = self.get_clock().now().nanoseconds
        self._publisher.send(labelled, make_header(revision[1], revision[0]))  # the cloud first
        self._overlays.send(labelled)
        self._report_revision(labelled, begin)

    def _report_revision(self, labelled: LabelledRevision, begin_ns: int) -> None:
        shown = {name for model in labelled.models for name in model.names} & labelled.labels.keys()
        ages = self._ages(shown, begin_ns), self._ages(shown, self.get_clock().now().nanoseconds)
        self._latency.labelled(shown, {name: (age, ages[1][name]) for name, age in ages[0].items() if name in ages[1]})
        newest = {"age of the newest labelled image [s]": f"{min(ages[1].values()):.1f}"} if ages[1] else {}
        for key, value in {**_figures(labelled), **self._latency.values(), **newest}.items():
            self.diagnostics.set(key, value)
        self.diagnostics.count("instances merged", len(labelled.merges))
        self.get_logger().info(
            f"{labelled.counts['instances']} instances in {len(labelled.models)} components; "
            f"{len(labelled.labels)} label images changed"
        )

    def _ages(self, shown: Collection[str], now_ns: int) -> dict[str, float]:
        """How old these images are, by the clock that the node follows; those of a recording are left out."""
        stamps = {name: stamp_to_ns(header.stamp) for name in shown if (header := self._headers.get(name))}
        ages = {name: (now_ns - stamp) * 1e-9 for name, stamp in stamps.items()}
        return {name: age for name, age in ages.items() if 0 <= age < CLOCKS_DIFFER}

    def _header_of(self, name: str) -> Header | None:
        return self._headers.get(name) or self._receiver.headers.get(name)

    # Services (threads of their own).

    def _flush(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._wait_until_labelled()
        if not self._problem and self._look_again():
            self._wait_until_labelled()
        if self._problem:
            raise DataError(self._problem)
        labelled = self._session.latest
        write_config_sections(self._store, self.config, self.SECTIONS)
        self._reckon()
        if labelled is None:
            response.success, response.message = True, "no map to label"
            return response
        labelled = dataclasses.replace(labelled, findings=(*labelled.findings, *self.diagnostics.findings.list()))
        write_association_figures(self._store, labelled, self._seconds)
        write_overlays(self._store, self.config.association.overlay_width, self.diagnostics.findings)
        asked = () if self.config.segmentation.segmenter == "none" else self.config.segmentation.prompts
        empty = emptiness(labelled, asked)
        response.success = not empty
        response.message = empty or (
            f"{labelled.counts['instances']} instances, "
            f"{labelled.counts['labelled_points']} of {labelled.counts['points']} points labelled"
        )
        return response

    def _wait_until_labelled(self) -> None:
        """Wait until everything that was received is solved as a whole and published."""
        begin = told = self._missing_since = time.monotonic()
        while not self._up_to_date():
            if time.monotonic() - told > REPORT_SECONDS:
                told = time.monotonic()
                self.get_logger().info(f"{told - begin:.0f} s: {self._waited_for()}")
            if self.stopping.wait(0.05) or self.state != "active":
                raise DataError("the node was stopped before everything was labelled")
            now, incomplete_since = time.monotonic(), self._map.incomplete_since
            if self._receiver.announced is None and now - begin > QUIET_SECONDS:
                return
            if incomplete_since is not None and now - incomplete_since > GIVE_UP_SECONDS:
                raise DataError("the map's messages did not arrive completely; is the network overloaded?")

    def _waited_for(self) -> str:
        """What flush waits for at present, in words."""
        if self._segmenting.pending:
            return f"{self._segmenting.pending} keyframes' masks are being written"
        if self._associating.pending:
            return f"{len(self._receiver.names)} keyframes are being labelled (the last time took {self._last_seconds:.0f} s)"
        if self._map.incomplete_since is not None:
            return "the map is on its way"
        left = self.ros.segments_patience - (time.monotonic() - self._missing_since)
        return f"masks of {self._missing} keyframes of the map have not come; given up in {max(left, 0.0):.0f} s"

    def _reckon(self) -> None:
        """What came only in part is a finding."""
        in_map = self._receiver.names
        with self._lock:
            answered = {name for name in {*in_map, *self._headers} if self._session.is_answered(name)}
            new = set(self._headers)
        received = {record.name for record in self._store.read_keyframes()}  # none where the map is made on another machine
        for finding in incomplete(in_map, answered, new, received):
            self.diagnostics.findings.put(finding)

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
        if not self._keeping.drain(1.0) or not self._segmenting.drain(1.0) or self._segments_may_come():
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
            missing = sum(not self._session.is_answered(name) for name in self._receiver.names)
        now = time.monotonic()
        if missing != self._missing:
            # Progress counts, not traffic: a live camera's segments come for ever.
            self._missing, self._missing_since = missing, now
        patient = now - self._missing_since < self.ros.segments_patience
        return missing > 0 and patient and self.count_publishers("keyframes/segments") > 0

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._keeping.clear()
        self._segmenting.clear()
        self._associating.drain()
        with self._updating, self._lock:
            self._map.forget()  # or the map of before would be associated once more
            files = ("tracks.json", JOURNAL, "points.ply", "points_rgb.ply", TREE_FILE)
            self._store.clear(files, ("segments", "labels", "overlays"))
            self._store.clear_overlapping()
            self._session = AssociationSession(self._store, self.config)
            self._headers, self._seconds, self._problem, self._done = {}, 0.0, "", None
            self._publisher.withdraw(make_header(self.get_clock().now().nanoseconds, self.ros.map_frame))
        self._latency.forget()
        self._second_round.forget()
        self.diagnostics.findings.clear()
        response.success, response.message = True, "no labels"
        return response


def _figures(labelled: LabelledRevision) -> dict[str, object]:
    """What diagnostics say of a revision."""
    counts = labelled.counts
    return {
        **{key.replace("_", " "): counts[key] for key in ("instances", "labelled_points", "segments_with_instance")},
        "views missed": counts["missed_views"],
        "views recovered": counts.get("recovered_views", 0),
        "association [s]": f"{labelled.seconds:.2f}",
    }


def main() -> None:
    """Console script."""
    sys.exit(spin_node(AssociationNode))


if __name__ == "__main__":
    main()
