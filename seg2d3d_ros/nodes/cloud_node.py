"""cloud_node: a LiDAR's scans in, the same points with the labels of instances out.

A scan waits until keyframes before and after it are in the map with their labels, and ``cloud_delay`` seconds more of the
drive, as labels of a young map are poor. Then it is placed by the keyframes' poses (or by TF), its points are labelled by the
keyframes that see them (``lidar.labeller``), and it is sent once, on ``instances/cloud`` in the map frame.

All scans stay on disk, too (``MAP/scans``, ``cloud_disk``). ``cloud_node/flush``, which ``finalize`` calls at its end, sends
what can be placed and writes ``MAP/cloud.ply``: all of them with the final labels, as ``seg2d3d bag --cloud`` does.

With ``cloud.model`` a trained network labels the points instead: scans wait for poses only, no image needs masks, and the ids
are the network's own, which stay while the drive goes on.

Where the sensors are on the vehicle comes from /tf_static and /tf, or from the file that ``reconstruction.rig`` names.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Kind
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.images import decode_labels, encode_png
from seg2d3d_ros.learning.cloud_segmentation import CloudSegmenter
from seg2d3d_ros.learning.live_labels import LiveLabels
from seg2d3d_ros.lidar.cloud_file import FILE, write_cloud
from seg2d3d_ros.lidar.kept_scans import FOLDER, KeptScans
from seg2d3d_ros.lidar.labeller import CloudLabeller, LabelledPoints
from seg2d3d_ros.lidar.scans import Scan, read_scan
from seg2d3d_ros.mapstore.held_map import join_map
from seg2d3d_ros.mapstore.stored import StoredImages, recent
from seg2d3d_ros.reconstruction.rigs.rig_file import read_rig_file
from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns
from seg2d3d_ros.ros.exchange.vehicle_poses import tf_message_type
from seg2d3d_ros.ros.map_exchange.map_receiver import revision_of
from seg2d3d_ros.ros.map_exchange.map_subscription import MapSubscription
from seg2d3d_ros.ros.messages.cloud_messages import classes_of, labelled_cloud
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name, make_header
from seg2d3d_ros.ros.node.error_reports import MESSAGES_REFUSED
from seg2d3d_ros.ros.node.managed_node import QUIET_SECONDS, ManagedNode
from seg2d3d_ros.ros.node.parameters import CloudParameters
from seg2d3d_ros.ros.node.publishing import publish_paced
from seg2d3d_ros.ros.node.qos import LABELS, LATCHED, TF, TF_STATIC, input_profile
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.types import SparseModel

SETTLED_SECONDS = 1.0
"""Labels of a revision are complete when none came for this long."""
PARKED_SECONDS = 30.0
"""Where the map has not changed for this long, no scan waits for more of the drive: the vehicle stands."""
RAW_SCANS = 20
"""Scans that may wait to be read and written to disk."""
FLUSH_SECONDS = 20.0
"""How long flush waits for the newest revision's labels."""

SCANS_DROPPED = Kind(
    "scans_dropped",
    "scans that are not on instances/cloud",
    cause="more of them came than wait for the map (cloud_queue), or the disk does not keep up",
    remedy="cloud.ply of finalize has them, where they are on disk; a larger cloud_queue or cloud.interval keeps more",
)
LABELS_DROPPED = Kind(
    "labels_dropped",
    "label images that did not reach the scans",
    cause="the machine does not keep up with packing them",
    remedy="a faster machine for cloud_node, or a larger keyframes.min_motion; finalize sends them again where they changed",
)


class CloudNode(ManagedNode):
    """See the module."""

    NAME = "cloud_node"
    PARAMETERS = CloudParameters
    SECTIONS = ("reconstruction", "cloud", "superpoints")
    ros: CloudParameters

    def configure(self) -> None:
        if not self.ros.cloud_topic:
            raise UsageError("cloud_node needs a LiDAR's topic: -p cloud_topic:=/lidar/points")
        self._store = join_map(Path(self.ros.map_dir))
        self._frames = FrameTree()
        rig = self.config.reconstruction.rig
        if rig not in ("auto", "none", ""):
            for sensor, rig_from_sensor in read_rig_file(Path(rig)).mounts.items():
                self._frames.add("rig", sensor, rig_from_sensor)
        model = self.config.cloud.model
        self._segmenter = CloudSegmenter(Path(model), findings=self.diagnostics.findings) if model else None
        self._cloud = self.advertise(PointCloud2, "instances/cloud", LABELS)

    def activate(self) -> None:
        self._lock = threading.Lock()
        self._labels: dict[str, bytes] = {}
        self._classes = np.zeros(1, np.uint16)
        self._labelled_revision: tuple[str, int] | None = None
        self._live: LiveLabels | None = None
        self._last_labels = time.monotonic()
        self._waiting: deque[Scan] = deque()
        self._kept = KeptScans(self._store.root / FOLDER, round(self.ros.cloud_disk * 1e9))
        self._newest = -(2**62)
        self._done: tuple[Any, ...] = ()
        self._problem = ""
        self._counts: Counter[str] = Counter()
        self._encoding = self.worker("labels", self._keep_labels, depth=LABELS.depth, on_drop=self._labels_dropped)
        self._reading = self.worker("scans", self._keep_scan, depth=RAW_SCANS, on_drop=lambda _: self._dropped())
        self._labelling = self.worker("cloud", self._label_scans, depth=1, on_drop=lambda _: None)
        if kind := tf_message_type(self, "the sensors' places come from reconstruction.rig alone"):
            self.subscribe(kind, "/tf_static", lambda m: self._transforms(m, static=True), TF_STATIC)
            self.subscribe(kind, "/tf", lambda m: self._transforms(m, static=False), TF)
        self._map = MapSubscription(self, self.ros.map_frame)
        self._receiver = self._map.receiver
        self.subscribe(Image, "instances/labels", self._encoding.put, LABELS)
        self.subscribe(PointCloud2, "instances/points", self._points, LATCHED)
        self._topic = ""
        self.every(0.2, self._look)
        self.serve(Trigger, "~/flush", self._flush, slow=True)
        self.serve(Trigger, "~/reset", self._reset, slow=True)

    # Messages come in (executor).

    def _transforms(self, message: Any, *, static: bool) -> None:
        with self._lock:
            self._frames.add_message(message, static=static)

    def _labels_dropped(self, message: Image) -> None:
        self.diagnostics.findings.add(LABELS_DROPPED, keyframe_name(message.header))

    def _dropped(self) -> None:
        self._count("scans dropped")
        self.diagnostics.findings.add(SCANS_DROPPED, of=self._counts["scans received"])

    def _points(self, message: PointCloud2) -> None:
        classes = classes_of(message)
        with self._lock:
            self._classes, self._labelled_revision = classes, revision_of(message.header)
            self._last_labels = time.monotonic()

    def _scan(self, message: PointCloud2) -> None:
        stamp_ns = stamp_to_ns(message.header.stamp)
        self._count("scans received")
        if 0 <= stamp_ns - self._newest < (self.config.cloud.interval - 1e-4) * 1e9:
            self._count("scans left out")
            return
        self._newest = stamp_ns
        self._reading.put(message)

    def _look(self) -> None:
        """Subscribe to the LiDAR as it appears; ask for what is missing of the map; label where there is something new."""
        self._map.whole()
        name = self.resolve_topic_name(self.ros.cloud_topic)
        if not self._topic and (publishers := self.get_publishers_info_by_topic(name)):
            self._topic = name
            self.subscribe(PointCloud2, name, self._scan, input_profile("auto", publishers), required=True)
        self.diagnostics.problem("cloud", self._problem or ("" if self._topic else f"waiting for {name}"))
        with self._lock:
            quiet = time.monotonic() - self._last_labels
            state = (self._revision(), self._last_labels, len(self._frames), self._parked(), self._crowded())
            self.diagnostics.set("scans waiting", len(self._waiting))
            ready = self._waiting and quiet > SETTLED_SECONDS and self._revision() is not None and state != self._done
        if ready and self._labelling.pending == 0 and self._encoding.pending == 0:
            self._done = state
            self._labelling.put(False)

    def _revision(self) -> tuple[str, int] | None:
        """The newest revision that scans can be labelled with: a network needs its poses only."""
        return self._labelled_revision if self._segmenter is None else self._receiver.revision

    def _parked(self) -> bool:
        return time.monotonic() - self._last_labels > PARKED_SECONDS

    def _crowded(self) -> bool:
        """Whether scans would be dropped if they waited on."""
        return len(self._waiting) > self.ros.cloud_queue // 2

    def _count(self, key: str, more: int = 1) -> None:
        self._counts[key] += more
        self.diagnostics.set(key, self._counts[key])

    # Work (threads).

    def _keep_labels(self, message: Image) -> None:
        encoded = encode_png(image_to_labels(message))
        with self._lock:
            self._labels[keyframe_name(message.header)] = encoded
            self._last_labels = time.monotonic()

    def _keep_scan(self, message: PointCloud2) -> None:
        try:
            scan = read_scan(message, self._topic)
        except DataError as error:
            self._count("scans unreadable")
            self.diagnostics.findings.add(MESSAGES_REFUSED, self._topic, reason=str(error))
            return
        with self._lock:
            self._waiting.append(scan)
            while len(self._waiting) > self.ros.cloud_queue:
                self._waiting.popleft()
                self._dropped()
        self._kept.add(scan)
        self.diagnostics.set("scans on disk", len(self._kept))
        self.diagnostics.set("scans removed from disk", self._kept.dropped)

    def _label_scans(self, at_once: bool) -> None:
        """Label the scans that can be placed; the others go on waiting.

        Args:
            at_once: also those that the map still ripens for.
        """
        try:
            labeller, classes = self._make_labeller()
            with self._lock:
                scans = list(self._waiting)
                delay = 0.0 if at_once or self._parked() or self._crowded() else self.ros.cloud_delay
            placed = [
                scan
                for scan in scans
                if labeller.covers(scan.frame_id, scan.stamp_ns) and labeller.seconds_after(scan.stamp_ns) >= delay
            ]
            self._problem = ""
        except DataError as error:
            self._problem = str(error)
            return
        with self._lock:
            gone = {id(scan) for scan in placed}
            self._waiting = deque(scan for scan in self._waiting if id(scan) not in gone)
        publish_paced(self._cloud, self._messages(labeller, placed, classes))

    def _make_labeller(
        self, image: Callable[[str], np.ndarray | None] = lambda name: None, superpoints: SuperpointConfig | None = None
    ) -> tuple[CloudLabeller, np.ndarray]:
        """For the map and labels that are here now, and the table of classes.

        Single scans on their way out are too thin for superpoints.
        """
        models, headers = self._receiver.models(), self._receiver.headers
        moments = {name: (camera_name(header.frame_id), stamp_to_ns(header.stamp)) for name, header in headers.items()}
        with self._lock:
            images, classes, frames = dict(self._labels), self._classes, self._frames.copy()

        def labels(name: str) -> np.ndarray | None:
            if name in images:
                return decode_labels(images[name], name)
            # Of an earlier run, where the map directory is on this machine.
            return self._store.read_labels(name) if self._store.label_path(name).exists() else None

        # cloud.ply has all scans from the first one on, and superpoints where they are wanted.
        carry = self._learnt(models, anew=superpoints is not None)
        classes = classes if carry is None else np.zeros(1, np.uint16)  # its instances are not the map's
        frame_of_camera = {camera_name(header.frame_id): header.frame_id for header in headers.values()}
        labeller = CloudLabeller(
            models,
            moments,
            frames,
            self.config.cloud,
            labels=labels,
            image=image,
            frame_of_camera=frame_of_camera,
            superpoints=superpoints,
            carry=carry,
        )
        return labeller, classes

    def _learnt(self, models: Sequence[SparseModel], *, anew: bool) -> LiveLabels | None:
        """The network's labels, where ``cloud.model`` names one; ``anew`` = with ids of their own."""
        if self._segmenter is None or not models:
            return None
        if anew or self._live is None:
            live = LiveLabels(self._segmenter, models[0].up.direction)
            if anew:
                return live
            self._live = live
        return self._live

    def _messages(self, labeller: CloudLabeller, scans: list[Scan], classes: np.ndarray) -> Iterator[PointCloud2]:
        for scan in scans:
            if (found := labeller.add(scan)) is not None:
                yield from self._sent(found, classes)
        if (found := labeller.flush()) is not None:
            yield from self._sent(found, classes)

    def _sent(self, found: LabelledPoints, classes: np.ndarray) -> Iterator[PointCloud2]:
        for number, stamp_ns in found.stamps.items():
            rows = np.flatnonzero(found.scan == number)
            yield labelled_cloud(found, rows, classes, make_header(stamp_ns, self.ros.map_frame))
            self._count("scans sent")
            self._count("points labelled", int(np.count_nonzero(found.instance[rows])))

    # Service (a thread of its own).

    def _flush(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        deadline = time.monotonic() + FLUSH_SECONDS
        while time.monotonic() < deadline and not self.stopping.wait(0.05):
            with self._lock:
                quiet = time.monotonic() - self._last_labels > QUIET_SECONDS
                newest = self._receiver.revision
                complete = newest is not None and newest == self._revision()
            if (complete and quiet) or self._receiver.announced is None:
                break
        for worker in (self._encoding, self._reading, self._labelling):
            worker.drain()
        self._labelling.put(True)
        self._labelling.drain()
        left = len(self._waiting)
        words = [f"{self._counts['scans sent']} scans labelled"] + ([f"{left} lie between no keyframes"] if left else [])
        if self._problem:
            words[-1] += f" ({self._problem})"
        elif len(self._kept):
            words.append(self._write_cloud())
        self.diagnostics.stream_ended()
        response.success, response.message = True, ", ".join(words)
        return response

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        for worker in (self._encoding, self._reading, self._labelling):
            worker.clear()
            worker.drain()
        with self._lock:
            self._map.forget()
            self._labels, self._classes, self._labelled_revision = {}, np.zeros(1, np.uint16), None
            self._live = None
            self._waiting.clear()
            self._counts.clear()
            self._store.clear((FILE,), (FOLDER,))
            self._kept = KeptScans(self._store.root / FOLDER, round(self.ros.cloud_disk * 1e9))
            self._newest, self._done, self._problem = -(2**62), (), ""
        self.diagnostics.findings.clear()
        response.success, response.message = True, "no scans"
        return response

    def _write_cloud(self) -> str:
        """``MAP/cloud.ply`` from the scans on disk; returns what became of it, in words."""
        labeller, _ = self._make_labeller(recent(StoredImages(self._store)), self.config.superpoints)
        try:
            file, source = self._store.root / FILE, self.ros.cloud_topic
            words = write_cloud(file, labeller, self._kept_while_active(), source, self.diagnostics.findings)
        except DataError as error:
            if self.stopping.is_set() or self.state != "active":
                raise
            self._problem = str(error)
            return f"no {FILE} ({error})"
        return f"{FILE}: {words}"

    def _kept_while_active(self) -> Iterator[Scan]:
        for scan in self._kept:
            if self.stopping.is_set() or self.state != "active":
                raise DataError(f"the node was stopped before {FILE} was written")
            yield scan


def main() -> None:
    """Console script."""
    sys.exit(spin_node(CloudNode))


if __name__ == "__main__":
    main()
