"""reconstruction_node: keyframes in, the sparse map out; owner of the services ``finalize``, ``save_map`` and ``reset``.

Keyframes go to disk (``MAP/keyframes``) and from there to the worker process that owns the database; this process never
runs a solver. The map takes in every keyframe at once and is finished in pauses (``update_growth``, ``update_idle``), or, with
``reconstruction.mode: batch``, is solved again as the keyframes become more (``update_every``, too). Every revision is
published (``ros.messages.map_messages`` says how a receiver puts it together).

``finalize`` spans the nodes, in one direction: everything that was received is added → last solution → its messages are
delivered → ``association_node/flush`` (associates exactly this revision, publishes and writes the labels) → figures and
report (``ros.map_exchange.map_completion``). It logs how far it is; its answer says what there is, what was dropped or doubted,
and is a failure where what was asked for is not there. What lies upstream is the caller's: whoever feeds images calls
``keyframe_node/flush`` and ``segmentation_node/flush`` first, as bag_player does.
A keyframe that has waited for ``max_wait`` seconds lets others go first (``pipeline.backlog``), and finalize takes it in.
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
from seg2d3d_ros.keyframes.streams.vehicle_state import VehicleTopics
from seg2d3d_ros.mapstore.directory.marker import BUILDING, WHOLE
from seg2d3d_ros.mapstore.held_map import hold_map
from seg2d3d_ros.pipeline.figures import reconstruction_counts
from seg2d3d_ros.pipeline.live.completeness import KEYFRAMES_DROPPED
from seg2d3d_ros.pipeline.live.map_quality import MapQuality
from seg2d3d_ros.pipeline.live.mapping_session import MappingSession, worker_factory
from seg2d3d_ros.pipeline.live.schedule import Schedule
from seg2d3d_ros.progress import Stopwatch, TimeLeft
from seg2d3d_ros.report.words import certainty
from seg2d3d_ros.ros.exchange.findings_gatherer import FindingsGatherer
from seg2d3d_ros.ros.exchange.keyframe_exchange import KeyframeSubscription
from seg2d3d_ros.ros.exchange.movable_masks import MovableMasks
from seg2d3d_ros.ros.exchange.vehicle_poses import VehiclePoses
from seg2d3d_ros.ros.map_exchange.map_completion import Completed, MapCompletion
from seg2d3d_ros.ros.map_exchange.map_publisher import MapPublisher
from seg2d3d_ros.ros.map_exchange.results import write_config_sections
from seg2d3d_ros.ros.map_exchange.twin_nodes import TwinWatch
from seg2d3d_ros.ros.messages.conversion import make_header
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import ReconstructionParameters
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.types import Keyframe

if TYPE_CHECKING:
    from seg2d3d_ros.reconstruction.reconstructor import Reconstruction

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
        from seg2d3d_ros.reconstruction.features.feature_choice import open_features

        self._held = hold_map(Path(self.ros.map_dir))
        self.own(self._held, self._held.release)
        self._store = self._held.store
        self._lock, self._shared = threading.RLock(), threading.Lock()
        self._headers: dict[str, Header] = {}
        self._seconds: dict[str, float] = {}
        # The worker opens them too; what is missing is said, or fetched, before anything runs.
        open_features(self.config.reconstruction, self.config.segmentation.networks, self.diagnostics.findings)
        objects = self.config.segmentation.segmenter != "none"
        self._completion = MapCompletion(
            self, self._store, self.OWN_SECTIONS, objects=objects, others=lambda: self._others.gather()
        )

    def activate(self) -> None:
        self._started = self._told_at = time.monotonic()
        self._told, self._left = "", TimeLeft()
        self._finalizing = False
        self._publisher = MapPublisher(self, self.ros.map_frame, self._header_of, tf=self.ros.publish_tf)
        self._newest: Reconstruction | None = None  # beside the queue, where nothing can push it out
        self._publishing = self.worker("publishing", self._publish, depth=1, on_drop=lambda _: None)
        self._session = self._new_session()
        self._mapping = self.worker("mapping", self._map, depth=self.config.keyframes.max_pending, on_drop=self._dropped)
        self._masking = MovableMasks(self, self._masked, self.config.segmentation, self.ros.movable_wait)
        topics = VehicleTopics(self.ros.odom_topic, self.ros.pose_topic, self.ros.imu_topic)
        self._vehicle = VehiclePoses(self, topics, self._masking.take, self.config)
        self._keyframes = KeyframeSubscription(self, self._received)
        self._twins = TwinWatch(self)
        self._others = FindingsGatherer(self)
        self.every(0.1, self._tick)
        self.serve(Trigger, "finalize", self._finalize, slow=True)
        self.serve(Trigger, "save_map", self._save_map, slow=True)
        self.serve(Trigger, "reset", self._reset, slow=True)
        self.serve(Trigger, "~/resend", self._resend)
        self.serve(Trigger, "~/cancel", self._cancel)

    def deactivate(self) -> None:
        self._vehicle.flush()
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
            worker_factory(self._store, self.config.reconstruction, self.config.segmentation.networks),
            schedule,
            on_revision=self._revised,
            on_failure=self._worker_failed,
            max_wait=self.ros.max_wait,
            findings=self.diagnostics.findings,
        )
        with self._shared:
            # Keyframes of an earlier run: with the camera's cleaned name.
            earlier = {name: make_header(record.stamp_ns, record.camera_name) for name, record in session.records.items()}
            self._headers = {**earlier, **self._headers}
        self._publisher.doubt(session.records)
        self._quality = MapQuality(self.diagnostics.findings)
        return session

    def _header_of(self, name: str) -> Header:
        """The header that a keyframe came with."""
        with self._shared:
            return self._headers[name]

    # Keyframes come in (executor).

    def _received(self, keyframe: Keyframe, header: Header) -> None:
        with self._shared:
            self._headers[keyframe.name] = header
        self._vehicle.take(keyframe, header)

    def _masked(self, keyframe: Keyframe, ignore: np.ndarray | None) -> None:
        self._mapping.put((keyframe, ignore))

    def _dropped(self, item: tuple[Keyframe, np.ndarray | None] | None) -> None:
        if item is not None:
            self.diagnostics.findings.add(KEYFRAMES_DROPPED, item[0].name)

    def _tick(self) -> None:
        if self._mapping.pending == 0:
            self._mapping.put(None)
        if self._publisher.look() and self._publishing.pending == 0:
            self._publishing.put(None)

    # The session works (thread "mapping").

    def _map(self, item: tuple[Keyframe, np.ndarray | None] | None) -> None:
        with self._lock:
            if item is not None:
                self._held.mark(BUILDING)
                self._session.receive(*item)
            self._session.tick()
            self._report_figures()
            if time.monotonic() - self._told_at > REPORT_SECONDS:
                self._told_at = time.monotonic()
                self._log_progress()

    def _report_figures(self) -> None:
        figures, counts = self._session.figures, reconstruction_counts(self._session.figures.received, self._models())
        registered = counts["registered"]
        values = {
            "keyframes received": figures.received,
            "keyframes in database": figures.added,
            "keyframes waiting": self._session.pending,
            "keyframes put aside": self._session.backlog.aside,
            "given up to keep up": self._session.load.words,
            "oldest keyframe in turn [s]": f"{self._session.backlog.oldest_seconds:.1f}",
            "solutions interrupted": figures.interrupted,
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
        if models := self._models():
            values["scale"] = certainty(models[0].frame.scale_sigma)
        built = self._session.reconstruction
        if built and built.residuals:
            values |= built.residuals.in_words()
        values |= self._quality.look(built, self._session.records, self._session.taken)
        left = self._time_left()
        values["finishing"] = self._completion.stage or (values["stage"] if self._finalizing else "-")
        values["time left for this stage [s]"] = "-" if left is None else f"{left:.0f}"
        with self._shared:
            values.update({f"{stage} [s]": f"{seconds:.2f}" for stage, seconds in self._seconds.items()})
        for key, value in values.items():
            self.diagnostics.set(key, value)

    def _models(self) -> list[Any]:
        reconstruction = self._session.reconstruction
        return reconstruction.models if reconstruction else []

    def _worker_failed(self, message: str) -> None:
        self.diagnostics.error("reconstruction worker", message)  # the log says it as a finding

    def _log_progress(self) -> None:
        """Log how far the map is, and while it is being finished what is done at present."""
        figures, waiting = self._session.figures, self._session.pending
        registered = sum(len(model.names) for model in self._models())
        words = [f"{len(self._session.records)} keyframes", f"{registered} registered"]
        words += [f"{waiting} waiting"] if waiting else []
        if self._completion.stage:
            words.append(f"finishing: {self._completion.stage}")
        elif figures.stage:
            words.append(figures.stage)
        left = self._time_left()
        words += [f"about {left:.0f} s left for this"] if left is not None else []
        text = ", ".join(words)
        if text != self._told or self._finalizing:
            self._told = text
            self.get_logger().info(f"{time.monotonic() - self._started:.0f} s: {text}")

    def _time_left(self) -> float | None:
        """Seconds until what is being done at present is done, where that can be known."""
        figures = self._session.figures
        if self._completion.stage:
            return None
        if figures.stage:
            return self._left(*figures.progress)
        if self._session.pending and self._finalizing:
            return self._left("adding", figures.added + len(figures.rejected), len(self._session.records))
        return None

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
        self._finalizing = True
        try:
            self._finish(response)
        finally:
            self._finalizing = False
        return response

    def _finish(self, response: Trigger.Response) -> None:
        begin = time.monotonic()
        self._wait_until(lambda: not (self._keyframes.pending or self._vehicle.pending or self._masking.pending))
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
        done = self._write()
        problem = problem or done.problem
        response.message = f"{done.words} (finalized in {time.monotonic() - begin:.1f} s)"
        response.message += "".join(f"; note: {text}" for text in done.findings if text not in problem)
        response.success = not problem
        if problem:
            response.message = f"{problem}; {response.message}"
            self.get_logger().error(response.message)
        else:
            self.get_logger().info(response.message)  # on a line of its own: rclpy ties a severity to the calling line

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not self.stopping.wait(0.05) and self.state == "active":
            with self._lock:
                if condition():
                    return
        raise DataError("the node was stopped before the map was finished")

    def _save_map(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._mapping.drain()
        self._publishing.drain()
        done = self._write()
        response.success = not done.problem
        response.message = f"{done.problem}; {done.words}" if done.problem else done.words
        return response

    def _write(self) -> Completed:
        with self._lock:
            self._session.save()
            images, reconstruction = len(self._session.records), self._session.reconstruction
            rejected = dict(self._session.figures.rejected)
        with self._shared:
            seconds = dict(self._seconds)
        done = self._completion.write(images, reconstruction, rejected, seconds)
        self._held.mark(WHOLE)
        return done

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """From the source to what was made of it: no more revisions, then the labels, the files, and the map on its topics.

        The other nodes forget the map before the empty one is published; else they would take their leave from it, with files
        that are gone already.
        """
        with self._lock:
            self._mapping.clear()
            with self._shared:
                self._newest = None
            self._publishing.clear()
            self._session.close()
            self._publishing.drain()
            problems = self._completion.reset()
            try:
                self._store.clear()
                self._held.mark(BUILDING)
            finally:  # also where a file cannot be deleted, the node goes on
                self._publisher.withdraw()
                self.diagnostics.findings.clear()
                self._others.forget()
                self._session = self._new_session()
            with self._shared:
                self._seconds = {}  # headers stay: keyframes that wait for their masks come with theirs
        write_config_sections(self._store, self.config, self.OWN_SECTIONS)
        response.success = not problems
        response.message = "; ".join([f"{self._store.root} is empty", *problems])
        return response


def main() -> None:
    """Console script."""
    sys.exit(spin_node(ReconstructionNode))


if __name__ == "__main__":
    main()
