"""prompt_node: a click in, the object in every image and its points out.

A click on ``click_topic`` (RViz publishes ``/clicked_point``) or on ``negative_topic``, or a request in JSON on
``prompts/request`` is answered on ``prompts/answer``: one line of JSON, as ``seg2d3d prompt --json`` prints it, with an id that
stays; on ``prompts/labels``: its mask in every keyframe that sees it; and on ``prompts/points``. The service ``~/ask``
answers the request in the parameter ``prompt_request``. ``ros.messages.click_messages`` says what the messages mean.

While a map grows, its newest complete revision is asked, with the masks that lie in the map directory; so the node runs on the
machine that has it. Answers are kept in ``prompts.json``, and ``finalize`` shows them in ``labels/``, ``tracks.json`` and the
clouds. A map that nobody writes shows them at once. All work is done in a thread of its own, and no other node waits for it.
"""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from seg2d3d_ros.editing.replaying import edits_lifted
from seg2d3d_ros.errors import Seg2d3dError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.changed_copy import changed_copy
from seg2d3d_ros.mapstore.files.prompts_file import Prompted
from seg2d3d_ros.mapstore.held_map import change_map, join_map
from seg2d3d_ros.prompts.masking.mask_sources import model_masks
from seg2d3d_ros.prompts.point_votes import points_held
from seg2d3d_ros.prompts.prompting import ask, keep, write
from seg2d3d_ros.prompts.session import PromptSession, check_level
from seg2d3d_ros.ros.map_exchange.map_subscription import MapSubscription
from seg2d3d_ros.ros.messages.click_messages import (
    ClickRequest,
    message_to_click,
    object_cloud,
    object_mask,
    text_to_request,
)
from seg2d3d_ros.ros.messages.conversion import make_header
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import PromptParameters
from seg2d3d_ros.ros.node.publishing import publish_paced
from seg2d3d_ros.ros.node.qos import LABELS, LATCHED, PROMPTS
from seg2d3d_ros.ros.node.spinning import spin_node

READ = ("tracks.json", "granularity.json", "sparse", "labels", "masks")
"""What an answer depends on: where one of them has changed, the map is read again."""
REFINE_LAST = -1


class PromptNode(ManagedNode):
    """See the module."""

    NAME = "prompt_node"
    PARAMETERS = PromptParameters
    SECTIONS = ("segmentation", "clicks")
    CHANGEABLE = ("prompt_request", "prompt_instance", "clicks.level")
    ros: PromptParameters

    def configure(self) -> None:
        check_level(self.config.clicks.level)
        self._store = join_map(Path(self.ros.map_dir))
        self._source = model_masks(self._store, self.config, self.diagnostics.findings)
        self._asked: dict[str, Any] = {
            "prompt_request": self.ros.prompt_request,
            "prompt_instance": self.ros.prompt_instance,
            "clicks.level": self.config.clicks.level,
        }
        self._answers = self.advertise(String, "prompts/answer", LATCHED)
        self._labels = self.advertise(Image, "prompts/labels", LABELS)
        self._points = self.advertise(PointCloud2, "prompts/points", LATCHED)

    def activate(self) -> None:
        self._at_work = threading.Lock()
        self._session: PromptSession | None = None
        self._read: tuple[object, ...] = ()
        self._last: int | None = None
        self._answering = self.worker("prompts", self._answer, depth=PROMPTS.depth)
        self._map = MapSubscription(self, self.ros.map_frame)
        self.every(0.5, self._look)
        self.subscribe(PointStamped, self.ros.click_topic, lambda m: self._answering.put((m, True)), PROMPTS)
        self.subscribe(PointStamped, self.ros.negative_topic, lambda m: self._answering.put((m, False)), PROMPTS)
        self.subscribe(String, "prompts/request", lambda m: self._answering.put((m, True)), PROMPTS)
        self.serve(Trigger, "~/ask", self._ask, slow=True)

    def deactivate(self) -> None:
        self._session = None

    def change(self, values: dict[str, Any]) -> None:
        check_level(values.get("clicks.level", "fine"))
        self._asked.update(values)

    def _look(self) -> None:
        """What is missing of the map is asked for."""
        self._map.whole()

    # Questions (a thread of their own).

    def _answer(self, task: tuple[PointStamped | String, bool]) -> None:
        """A click or request on a topic; what cannot be answered is said there, too."""
        message, positive = task
        try:
            if isinstance(message, String):
                self._solve(text_to_request(message.data))
                return
            click = message_to_click(message, self.ros.map_frame, positive=positive)
            instance = self._asked["prompt_instance"]
            if instance == REFINE_LAST or not positive:  # what is not the object says so of one that is there
                instance = instance if instance > 0 else self._last
            self._solve(ClickRequest((click,), instance=instance or None))
        except Seg2d3dError as error:
            self.get_logger().warning(str(error))
            self.diagnostics.count("clicks without an answer")
            self._answers.publish(String(data=json.dumps({"error": str(error)})))

    def _ask(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        text = self._asked["prompt_request"]
        if not text.strip():
            raise UsageError("nothing is asked for: set the parameter prompt_request, or send clicks on the topics")
        response.message = self._solve(text_to_request(text))
        response.success = True
        return response

    def _solve(self, request: ClickRequest) -> str:
        """Ask, keep and publish; returns the answer."""
        findings = Findings()
        level = request.level or self._asked["clicks.level"]
        check_level(level)
        with self._at_work:
            session = self._opened()
            item = ask(session, request.clicks, level=level, box=request.box, instance=request.instance, findings=findings)
            item, shown = self._keep(session, item)
            self._last = item.id
            self._publish(session, item)
            for finding in findings.list():
                self.diagnostics.findings.put(finding)
            answer = {
                "instance": item.id,
                "images": sorted(item.regions),
                "points": int(item.facts["points"]),
                "class": item.class_name,
                "carried": sorted(item.carried),
                "clicks": len(item.clicks),
                "box3d": item.facts.get("box3d"),
                "in_map": shown,
                "findings": [finding.to_json() for finding in findings.list()],
            }
            text = json.dumps(answer)
            self._answers.publish(String(data=text))
        self.diagnostics.count("clicks answered")
        return text

    def _opened(self) -> PromptSession:
        """The map as it is now: the newest complete revision of a live one, else what the directory has."""
        revision = self._map.whole()
        there = (self._store.root / name for name in READ)
        state = (revision, *(path.stat().st_mtime_ns if path.exists() else 0 for path in there))
        if self._session is None or state != self._read:
            models = None if revision is None else self._map.receiver.models()
            self._session, self._read = PromptSession(self._store.root, self._source, models), state
        return self._session

    def _keep(self, session: PromptSession, item: Prompted) -> tuple[Prompted, bool]:
        """Into the map where nobody writes it, else into its prompts; returns the object with its points, and which."""
        if self._map.receiver.announced is None:
            try:
                with change_map(self._store.root):
                    pass
                with changed_copy(self._store.root, made_anew=()) as new:
                    with edits_lifted(new.store, self.diagnostics.findings):
                        found = write(session, new.store, item)
                    new.publish()
                self._read = ()
                return found, True
            except UsageError as error:  # somebody has just begun to write it
                self.get_logger().info(f"{error}; the answer is kept until finalize")
        return keep(session, item), False

    def _publish(self, session: PromptSession, item: Prompted) -> None:
        moments, headers = self._store.moments(), self._map.receiver.headers

        def header(name: str) -> Header:
            if name in headers:
                return headers[name]
            camera, stamp = moments.get(name, (name, 0))
            return make_header(stamp, camera)

        masks = (object_mask(region, shape, item.id, header(name)) for name, (region, shape) in sorted(item.regions.items()))
        publish_paced(self._labels, masks)
        regions = {name: region for name, (region, _) in item.regions.items()}
        rows, share = points_held(session.sights, regions, session.xyz)
        now = make_header(self.get_clock().now().nanoseconds, self.ros.map_frame)
        self._points.publish(object_cloud(np.asarray(session.xyz[rows]), share, item.id, now))


def main() -> None:
    """Console script."""
    sys.exit(spin_node(PromptNode))


if __name__ == "__main__":
    main()
