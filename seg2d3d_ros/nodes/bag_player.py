"""bag_player: plays a bag on topics without ROS's bag tools, and sees the job through.

It waits for subscribers, plays at ``rate`` and reports progress; at the end it waits until everything has arrived, lets
the nodes drain (``<node>/flush``), calls ``finalize`` if asked to, and ends the process with the outcome.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import time
from pathlib import Path
from typing import Any

from rclpy.publisher import Publisher
from rosgraph_msgs.msg import Clock
from std_srvs.srv import Trigger

from seg2d3d_ros.declaration import nearest
from seg2d3d_ros.errors import DataError, Seg2d3dError, UsageError
from seg2d3d_ros.recording.reader import open_recording
from seg2d3d_ros.recording.topics import Topic, is_image
from seg2d3d_ros.ros.messages.conversion import ns_to_stamp
from seg2d3d_ros.ros.node.calls import TriggerCaller
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import PlayerParameters
from seg2d3d_ros.ros.node.publishing import settle
from seg2d3d_ros.ros.node.qos import CLOCK, PLAYER, TF_STATIC
from seg2d3d_ros.ros.node.spinning import spin_node

FLUSHED = ("keyframe_node", "segmentation_node")
BURST = PLAYER.depth // 2
"""After this many messages on one topic the player waits until they have arrived, or its history would overflow."""
CLOCK_SECONDS = 0.01


class BagPlayer(ManagedNode):
    """See the module."""

    NAME = "bag_player"
    PARAMETERS = PlayerParameters
    ros: PlayerParameters

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._stop = threading.Event()

    def configure(self) -> None:
        if not self.ros.bag:
            raise UsageError("bag_player needs a bag: -p bag:=PATH")
        self._stop.clear()
        self._running = threading.Event()
        if not self.ros.start_paused:
            self._running.set()
        self._recording = open_recording(Path(self.ros.bag))
        self._publishers_of = {topic.name: publisher for topic in self._chosen() if (publisher := self._publisher(topic))}
        if not self._publishers_of:
            raise DataError(
                f"{self.ros.bag}: nothing to play; its topics are {', '.join(sorted(self._recording.topics)) or 'none'}"
            )
        self._clock_publisher = self.advertise(Clock, "/clock", CLOCK) if self.ros.clock else None
        services = {*(f"{node}/flush" for node in FLUSHED), "finalize", *self.ros.wait_for}
        self._callers = {name: TriggerCaller(self, name, self._stop) for name in services}
        self.serve(Trigger, "~/pause", lambda _, response: self._pause(True, response))
        self.serve(Trigger, "~/resume", lambda _, response: self._pause(False, response))

    def activate(self) -> None:
        self.worker("player", self._run).put(None)

    def deactivate(self) -> None:
        self._stop.set()

    def cleanup(self) -> None:
        self._recording.close()

    def _chosen(self) -> list[Topic]:
        known = self._recording.topics
        for name in self.ros.topics:
            if name not in known:
                raise UsageError(f"{self.ros.bag} has no topic {name}{nearest(name, known)}; it has {', '.join(sorted(known))}")
        return [known[name] for name in self.ros.topics] or list(known.values())

    def _publisher(self, topic: Topic) -> Publisher | None:
        package, _, name = topic.msgtype.partition("/msg/")
        try:
            message_type = getattr(importlib.import_module(f"{package}.msg"), name)
        except (ImportError, AttributeError, TypeError):
            self.get_logger().warning(f"topic {topic.name} is left out: the type {topic.msgtype!r} is not installed")
            return None
        return self.advertise(message_type, topic.name, TF_STATIC if topic.latched else PLAYER)

    def _pause(self, pause: bool, response: Trigger.Response) -> Trigger.Response:
        (self._running.clear if pause else self._running.set)()
        response.success, response.message = True, "paused" if pause else "playing"
        return response

    # The player's thread.

    def _run(self, _item: None) -> None:
        try:
            self._wait_for_subscribers()
            while not self._stop.is_set():
                self._play()
                if not self.ros.loop:
                    break
            if not self._stop.is_set():
                self._see_through()
                self.finish(0)
        except Seg2d3dError as error:
            self.get_logger().error(str(error))
            self.finish(error.exit_code)
        except Exception:
            self.finish(1)
            raise

    def _wait_for_subscribers(self) -> None:
        """Until every image topic has a subscriber, or at least one has and no more come; and the services of ``wait_for``
        are there; or time is up."""
        images = [name for name in self._publishers_of if is_image(self._recording.types.get(name, ()))]
        waited_for = images or list(self._publishers_of)
        deadline = time.monotonic() + self.ros.subscriber_timeout
        matched, since = -1, time.monotonic()
        while not self._stop.wait(0.05):
            now = time.monotonic()
            total = sum(publisher.get_subscription_count() for publisher in self._publishers_of.values())
            if total != matched:
                matched, since = total, now
            have = [name for name in waited_for if self._publishers_of[name].get_subscription_count()]
            absent = [name for name in self.ros.wait_for if not self._callers[name].available]
            if have and not absent and now - since > (0.5 if len(have) == len(waited_for) else 2.0):
                self.get_logger().info(f"{len(have)} of {len(waited_for)} topics have subscribers: playing {self.ros.bag}")
                return
            if now >= deadline:
                missing = [*(f"a subscriber of {name}" for name in waited_for if name not in have), *absent]
                self.get_logger().warning(
                    f"{', '.join(missing)}: not there within {self.ros.subscriber_timeout:g} s: playing anyway"
                )
                return

    def _play(self) -> None:
        total = self._recording.duration_ns * 1e-9 / self.ros.rate
        offset = time.monotonic()
        reported, count = offset, 0
        since_ack = dict.fromkeys(self._publishers_of, 0)
        for topic, stamp_ns, data in self._recording.serialized(self._publishers_of):
            due = (stamp_ns - self._recording.start_ns) * 1e-9 / self.ros.rate
            offset += self._pace(offset + due, stamp_ns)
            if self._stop.is_set():
                return
            publisher = self._publishers_of[topic]
            publisher.publish(data)
            count += 1
            since_ack[topic] += 1
            if since_ack[topic] >= BURST:
                settle(publisher, 5.0, self._stop.is_set)
                since_ack[topic] = 0
            if time.monotonic() - reported >= 5.0:
                reported = time.monotonic()
                left = max(0.0, total - due)
                self.get_logger().info(f"played {due:.0f} of {total:.0f} s ({due / max(total, 1e-9):.0%}), {left:.0f} s left")
            self.diagnostics.set("messages played", count)
        for finding in self._recording.findings:
            self.diagnostics.findings.put(finding)
        self.get_logger().info(f"played all {count} messages in {time.monotonic() - offset:.1f} s")

    def _pace(self, due: float, stamp_ns: int) -> float:
        """Wait until ``due`` (monotonic s), sending /clock meanwhile; returns how long the player was paused."""
        paused = 0.0
        while not self._stop.is_set():
            if not self._running.is_set():
                began = time.monotonic()
                self._running.wait(0.1)
                paused += time.monotonic() - began
                continue
            left = due + paused - time.monotonic()
            if self._clock_publisher:
                ahead = int(max(left, 0.0) * self.ros.rate * 1e9)
                self._clock_publisher.publish(Clock(clock=ns_to_stamp(stamp_ns - ahead)))
            if left <= 0:
                break
            self._stop.wait(min(left, CLOCK_SECONDS if self._clock_publisher else 0.1))
        return paused

    def _see_through(self) -> None:
        """Everything arrived, nodes drained, the map finalized."""
        for publisher in self._publishers_of.values():
            settle(publisher, 10.0, self._stop.is_set)
        if self.ros.when_done == "exit":
            return
        for name in FLUSHED:
            flush = self._callers[f"{name}/flush"]
            if flush.wait(2.0):
                with contextlib.suppress(DataError):  # finalize decides
                    flush.call(60.0)
        finalize = self._callers["finalize"]
        if not finalize.wait(10.0):
            raise DataError(f"nobody offers {finalize.name}; is reconstruction_node running in this namespace?")
        self.get_logger().info("finalizing the map")
        self.get_logger().info(f"finalized: {finalize.call(self.ros.finalize_timeout)}")


def main() -> None:
    """Console script."""
    sys.exit(spin_node(BagPlayer))


if __name__ == "__main__":
    main()
