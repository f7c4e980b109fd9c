"""reconstruction_node: keyframes in, the sparse map out; owner of the services ``finalize``, ``save_map`` and ``reset``.

Keyframes go to disk (``MAP/keyframes``) and from there to the worker process that owns the database; this process never
runs a solver. The map takes in every keyframe at once and is finished in pauses (``update_growth``, ``update_idle``), or, with
``reconstruction.mode: batch``, is solved again as the keyframes become more (``update_every``, too). Every revision is
published (``ros.messages.map_messages`` says how a receiver puts it together).

``finalize`` spans the nodes, in one direction: everything that was received is added → last solution → its messages are
delivered → ``association_node/flush`` (associates exactly this revision, publishes and writes the labels) → figures and
report. ``association_node`` may be absent: then there are no labels. What lies upstream is the caller's: whoever feeds
images calls ``keyframe_node/flush`` and ``segmentation_node/flush`` first, as bag_player does.
Where ``segmentation.movable`` names classes, a keyframe waits for its segments (``movable_wait``), whose areas of these
classes give no keypoints.
The last revision is published whole when a receiver appears, and by ``<node>/resend`` for receivers that lost messages;
``<node>/cancel`` stops what the worker does at present. ``reset``, deactivating the node and ending it stop the worker at
once.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.figures import reconstruction_counts, write_reconstruction_figures
from seg2d3d_ros.pipeline.mapping_session import MappingSession, worker_factory
from seg2d3d_ros.pipeline.schedule import Schedule
from seg2d3d_ros.progress import Stopwatch
from seg2d3d_ros.ros.exchange.keyframe_exchange import KeyframeSubscription
from seg2d3d_ros.ros.exchange.map_publisher import MapPublisher
from seg2d3d_ros.ros.exchange.movable_masks import MovableMasks
from seg2d3d_ros.ros.exchange.results import write_config_sections, write_report_if_possible
from seg2d3d_ros.ros.exchange.vehicle_poses import VehiclePoses
from seg2d3d_ros.ros.messages.conversion import make_header
from seg2d3d_ros.ros.node.calls import TriggerCaller
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import ReconstructionParameters
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.types import Keyframe

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction

ASSOCIATION = "association_node"
CALL_SECONDS = 3600.0
"""How long the association of a large map may take."""
DRAIN_SECONDS = 2.0
"""How long the end of the node waits for keyframes to be written to disk."""
REPORT_SECONDS = 5.0
"""How often progress is logged."""


class ReconstructionNode(ManagedNode):
    """See the module.

    Threads: the executor queues, ``mapping`` works on the session, ``publishing`` sends revisions, each service has its own.
    ``_lock`` guards the session: whoever reads or changes it holds it, and nothing that waits for ``publishing`` but ``reset``.
    ``_shared`` guards, for a moment each, what the threads hand to each other beside it: headers, seconds, and the newest
    revision, the only one of interest.
    """

    NAME = "reconstruction_node"
    PARAMETERS = ReconstructionParameters
    SECTIONS = ("keyframes", "segmentation", "reconstruction")
    OWN_SECTIONS = ("keyframes", "reconstruction")
    ros: ReconstructionParameters

    def configure(self) -> None:
        self._store = MapStore(Path(self.ros.map_dir))
        write_config_sections(self._store, self.config, self.OWN_SECTIONS)
        self._lock, self._shared = threading.RLock(), threading.Lock()
        self._headers: dict[str, Header] = {}
        self._seconds: dict[str, float] = {}
        self._flush_association = TriggerCaller(self, f"{ASSOCIATION}/flush")
        self._flush_cloud = TriggerCaller(self, "cloud_node/flush")
        self._reset_association = TriggerCaller(self, f"{ASSOCIATION}/reset")

    def activate(self) -> None:
        self._started = self._told_at = time.monotonic()
        self._told = ""
        self._publisher = MapPublisher(self, self.ros.map_frame, self._header_of, tf=self.ros.publish_tf)
        self._newest: Reconstruction | None = None  # beside the queue, where nothing can push it out
        self._publishing = self.worker("publishing", self._publish, depth=1, on_drop=lambda _: None)
        self._session = self._new_session()
        self._mapping = self.worker("mapping", self._map, depth=self.config.keyframes.max_pending, on_drop=self._dropped)
        self._vehicle = VehiclePoses(self, self.ros.odom_topic, self.config.reconstruction.rig)
        self._masking = MovableMasks(self, self._masked, self.config.segmentation, self.ros.movable_wait)
        self._keyframes = KeyframeSubscription(self, self._received)
        self.every(0.1, self._tick)
        self.serve(Trigger, "finalize", self._finalize, slow=True)
        self.serve(Trigger, "save_map", self._save_map, slow=True)
        self.serve(Trigger, "reset", self._reset, slow=True)
        self.serve(Trigger, "~/resend", self._resend)
        self.serve(Trigger, "~/cancel", self._cancel)

    def deactivate(self) -> None:
        self._mapping.drain(DRAIN_SECONDS)  # what was received goes to disk
        with self._lock:
            self._session.close()

    def _new_session(self) -> MappingSession:
        if self.config.reconstruction.is_online(live=True):
            schedule = Schedule.online(self.ros.update_growth, self.ros.update_idle)
        else:
            schedule = Schedule(self.ros.update_every, self.ros.update_growth, self.ros.update_idle)
        session = MappingSession(
            self._store,
            worker_factory(self._store, self.config.reconstruction),
            schedule,
            on_revision=self._revised,
            on_failure=self._worker_failed,
        )
        with self._shared:
            # Keyframes of an earlier run: with the camera's cleaned name.
            earlier = {name: make_header(record.stamp_ns, record.camera_name) for name, record in session.records.items()}
            self._headers = {**earlier, **self._headers}
        self._publisher.doubt(session.records)
        return session

    def _header_of(self, name: str) -> Header:
        """The header that a keyframe came with."""
        with self._shared:
            return self._headers[name]

    # Keyframes come in (executor).

    def _received(self, keyframe: Keyframe, header: Header) -> None:
        with self._shared:
            self._headers[keyframe.name] = header
        self._masking.take(self._vehicle.complete(keyframe, header))

    def _masked(self, keyframe: Keyframe, ignore: np.ndarray | None) -> None:
        self._mapping.put((keyframe, ignore))

    def _dropped(self, item: tuple[Keyframe, np.ndarray | None] | None) -> None:
        if item is not None:
            self.get_logger().error(f"{item[0].name}: dropped, the disk does not keep up (keyframes.max_pending)")

    def _tick(self) -> None:
        if self._mapping.pending == 0:
            self._mapping.put(None)
        if self._publisher.look() and self._publishing.pending == 0:
            self._publishing.put(None)

    # The session works (thread "mapping").

    def _map(self, item: tuple[Keyframe, np.ndarray | None] | None) -> None:
        with self._lock:
            if item is not None:
                self._session.receive(*item)
            self._session.tick()
            self._report_figures()
            if time.monotonic() - self._told_at > REPORT_SECONDS:
                self._told_at = time.monotonic()
                self._tell()

    def _report_figures(self) -> None:
        figures, counts = self._session.figures, reconstruction_counts(self._session.figures.received, self._models())
        registered = counts["registered"]
        values = {
            "keyframes received": figures.received,
            "keyframes in database": figures.added,
            "keyframes waiting": self._session.pending,
            "keyframes rejected": len(figures.rejected),
            "last rejection": list(figures.rejected.values())[-1] if figures.rejected else "none",
            "keyframes registered": registered,
            "registration ratio": f"{registered / figures.added:.3f}" if figures.added else "-",
            "points": counts["model_points"],
            "worker failures": figures.failures,
            "last worker failure": figures.last_failure or "none",
            "stage": figures.stage or ("solving" if self._session.solving else "idle"),
        }
        values.update(figures.odd)
        with self._shared:
            values.update({f"{stage} [s]": f"{seconds:.2f}" for stage, seconds in self._seconds.items()})
        for key, value in values.items():
            self.diagnostics.set(key, value)

    def _models(self) -> list[Any]:
        reconstruction = self._session.reconstruction
        return reconstruction.models if reconstruction else []

    def _worker_failed(self, message: str) -> None:
        self.diagnostics.error("reconstruction worker", message)
        self.get_logger().error(f"reconstruction worker: {message}")

    def _tell(self) -> None:
        figures = self._session.figures
        registered = sum(len(model.names) for model in self._models())
        waiting = self._session.pending
        text = f"{len(self._session.records)} keyframes, {registered} registered" + (f", {waiting} waiting" if waiting else "")
        text += f", {figures.stage}" if figures.stage else ""
        if text != self._told:
            self._told = text
            self.get_logger().info(f"{time.monotonic() - self._started:.0f} s: {text}")

    # Revisions go out (thread "publishing").

    def _revised(self, reconstruction: Reconstruction) -> None:
        with self._shared:
            self._newest = reconstruction
        self._publishing.put(None)

    def _publish(self, _item: None) -> None:
        with self._shared:
            reconstruction, self._newest = self._newest, None
        if reconstruction is None:
            self._publisher.send_again()
            return
        watch = Stopwatch()
        with watch("publishing"):
            changed = self._publisher.send(reconstruction.models)
        with self._shared:
            for stage, seconds in {**reconstruction.timings, **watch.seconds}.items():
                self._seconds[stage] = self._seconds.get(stage, 0.0) + seconds
        counts = reconstruction_counts(0, reconstruction.models)
        self.diagnostics.set("keyframes changed by the last revision", changed)
        self.get_logger().info(
            f"map revision: {counts['registered']} keyframes in {counts['components']} components, "
            f"{counts['model_points']} points"
        )

    def _resend(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._publisher.want_whole()  # ``_tick`` sees to it, as soon as what is on its way is sent
        response.success = True
        return response

    def _cancel(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            response.success = self._session.cancel()
        response.message = "cancelled" if response.success else "nothing is running"
        return response

    # Services (threads of their own).

    def _finalize(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        begin = time.monotonic()
        self._wait_until(lambda: not self._keyframes.pending and not self._masking.pending)
        self._mapping.drain()
        with self._lock:
            session = self._session
            session.request_solution()
        self._wait_until(lambda: session.settled or session is not self._session)
        self._publishing.drain()
        with self._lock:
            if session is not self._session:
                raise DataError("the map was reset before it was finished")
            problem = self._session.gave_up or ("" if self._models() else "no two keyframes could be brought together in 3D")
        response.message = f"{self._write()} (finalized in {time.monotonic() - begin:.1f} s)"
        response.success = not problem
        if problem:
            response.message = f"{problem}; {response.message}"
            self.get_logger().error(response.message)
        else:
            self.get_logger().info(response.message)  # on a line of its own: rclpy ties a severity to the calling line
        return response

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not self.stopping.wait(0.05) and self.state == "active":
            with self._lock:
                if condition():
                    return
        raise DataError("the node was stopped before the map was finished")

    def _save_map(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._mapping.drain()
        self._publishing.drain()
        response.message, response.success = self._write(), True
        return response

    def _write(self) -> str:
        """Everything that belongs into the map directory beside the model; returns what there is, in words."""
        with self._lock:
            self._session.save()
            images, reconstruction = len(self._session.records), self._session.reconstruction
            rejected = dict(self._session.figures.rejected)
        with self._shared:
            seconds = dict(self._seconds)
        write_config_sections(self._store, self.config, self.OWN_SECTIONS)
        write_reconstruction_figures(self._store, images, reconstruction, rejected, seconds)
        registered = sum(len(model.names) for model in reconstruction.models) if reconstruction else 0
        words = [f"{registered} of {images} keyframes registered"]
        if self._flush_association.available:
            words.append(self._flush_association.call(CALL_SECONDS))
        else:
            words.append(f"no labels ({self._flush_association.name} is not there)")
        if self._flush_cloud.available:
            words.append(self._flush_cloud.call(CALL_SECONDS))
        words.append(write_report_if_possible(self._store))
        return ", ".join(words)

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        with self._lock:
            self._mapping.clear()
            with self._shared:
                self._newest = None
            self._publishing.clear()
            self._session.close()
            self._publishing.drain()
            self._store.clear()
            self._publisher.withdraw()
            self._session = self._new_session()
            with self._shared:
                self._seconds = {}  # headers stay: keyframes that wait for their masks come with theirs
        write_config_sections(self._store, self.config, self.OWN_SECTIONS)
        if self._reset_association.available:
            self._reset_association.call(60.0)
        response.success, response.message = True, f"{self._store.root} is empty"
        return response


def main() -> None:
    """Console script."""
    sys.exit(spin_node(ReconstructionNode))


if __name__ == "__main__":
    main()
