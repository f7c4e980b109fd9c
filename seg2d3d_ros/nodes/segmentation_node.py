"""segmentation_node: keyframes in, ``keyframes/segments`` out (mono16, ``class_id * 1000 + k``).

``segmentation.segmenter`` says where the objects come from: ``topic`` = label images of another node, matched with the
keyframes by their header in either order; ``label_images``, ``coco`` = files; ``grounded_sam``, ``panoptic``,
``everything`` = models, loaded while the node is active; ``none`` = nothing is published.

The parameter ``segmentation.prompts`` may be changed at any time: new keyframes are asked for the new ones, and the service
``~/resegment`` redoes the old ones. Class ids keep their meaning; ``keyframes/classes`` (latched) has their names.
Classes of ``segmentation.movable`` are looked for too; their ids follow those of the prompts.

Keyframes that wait go through the models together, as many at once as these have room for. Where the 3D model says that
an object was missed (``keyframes/prompts``), ``grounded_sam`` looks again and sends the keyframe's segments a second time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import sys
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from seg2d3d_ros.config import SegmentationConfig
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.images import read_labels, write_labels
from seg2d3d_ros.keyframes.waiting import Synchronizer
from seg2d3d_ros.pipeline.second_look import Looker, look_again
from seg2d3d_ros.recording.cameras import find_segments
from seg2d3d_ros.recording.topics import IMAGE
from seg2d3d_ros.ros.exchange.keyframe_exchange import KeyframeSubscription
from seg2d3d_ros.ros.messages.class_names import CLASSES_TOPIC, added, class_names_message
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name, labels_to_image
from seg2d3d_ros.ros.messages.prompt_messages import PROMPTS_TOPIC, SEGMENTS_TOPIC, cloud_to_asks
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import SegmentationParameters
from seg2d3d_ros.ros.node.qos import LATCHED, PROMPTS, SEGMENTS, input_profile
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.segmentation.cache import CachedSegmenter
from seg2d3d_ros.segmentation.encoding import from_mono16, to_mono16, with_added
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.segmenter import Segmenter, no_segments
from seg2d3d_ros.types import Keyframe, Segments

LATE_KEPT = 100
"""Keyframes that went on without segments and still wait for them; encoded they take some ten megabytes."""
RESEGMENT_AHEAD = 4, 32
"""Old keyframes that wait in the queue at once, at least and at most, so that new ones are not dropped for them."""


class Asking(NamedTuple):
    """What is looked for, replaced as a whole: the segmenter, its prompts, and all names that class ids count."""

    segmenter: Segmenter | None
    prompts: tuple[str, ...]
    names: tuple[str, ...]


class SegmentationNode(ManagedNode):
    """See the module. Keyframes whose segments fail or do not come go on with none, and are counted."""

    PARAMETERS = SegmentationParameters
    SECTIONS = ("segmentation",)
    CHANGEABLE = ("segmentation.prompts",)
    ros: SegmentationParameters

    def __init__(self, **options: Any) -> None:
        super().__init__("segmentation_node", **options)

    def configure(self) -> None:
        self._synchronizer: Synchronizer | None = None
        self._given_up: OrderedDict[str, tuple[Keyframe, Header]] = OrderedDict()
        self._kept: OrderedDict[str, tuple[Keyframe, Header]] = OrderedDict()
        kind = self.config.segmentation.segmenter
        prompts = self.config.segmentation.asked
        self._asking = Asking(None, prompts, prompts)
        if kind == "none":
            self.get_logger().info("segmenter is none: keyframes get no segments")
            return
        if kind != "topic":
            self._asking = Asking(self._make(self.config.segmentation), prompts, prompts)
        self._publisher = self.advertise(Image, SEGMENTS_TOPIC, SEGMENTS)
        self._classes = self.advertise(String, CLASSES_TOPIC, LATCHED)

    def activate(self) -> None:
        kind = self.config.segmentation.segmenter
        if kind == "none":
            return
        segmenter = self._asking.segmenter
        if isinstance(segmenter, CachedSegmenter):
            segmenter.runtime.report = self._gave_up
            self.get_logger().info("loading the models")
            segmenter.load()
            self.diagnostics.set("device", segmenter.runtime.device)
        self._classes.publish(class_names_message(self._asking.names))
        self._worker = self.worker("segmentation", self._segment, batch=self._at_once)
        if kind == "topic":
            self._synchronizer = Synchronizer("image", ("segments",), timeout=self.ros.segments_timeout)
            self._topics: set[str] = set()
            self._find_topics()
            self.every(0.5, self._find_topics)
            self.every(0.1, self._expire)
        else:
            self._scratch = tempfile.TemporaryDirectory(prefix="seg2d3d-keyframes-")
            self.serve(Trigger, "~/resegment", self._resegment, slow=True)
        if self._looker:
            self.subscribe(PointCloud2, PROMPTS_TOPIC, self._prompted, PROMPTS)
        KeyframeSubscription(self, self._keyframe, whole=False)
        self.serve_flush(self._flush)

    def deactivate(self) -> None:
        if self.config.segmentation.segmenter == "none":
            return
        self.release(self._worker)  # first: it may be at work with the models
        if isinstance(self._asking.segmenter, CachedSegmenter):
            self._asking.segmenter.close()
        self.diagnostics.problem("models", "")
        if self._kept or self._synchronizer is None:
            self._kept.clear()
            self._scratch.cleanup()

    def cleanup(self) -> None:
        if self._asking.segmenter:
            self._asking.segmenter.close()

    def change(self, values: dict[str, Any]) -> None:
        """Other prompts for the keyframes from now on."""
        section = self.config.segmentation
        if section.segmenter in ("topic", "none"):
            raise UsageError(f"segmenter {section.segmenter} does not look for prompts")
        changed = dataclasses.replace(section, prompts=tuple(prompt for prompt in values["segmentation.prompts"] if prompt))
        prompts = changed.asked
        present = self._asking
        before = present.segmenter
        segmenter = before.asking_for(prompts) if isinstance(before, CachedSegmenter) else self._make(changed)
        self._asking = Asking(segmenter, prompts, added(present.names, prompts))
        self.config = dataclasses.replace(self.config, segmentation=changed)
        if self.state == "active":
            self._classes.publish(class_names_message(self._asking.names))
        self.get_logger().info(f"looking for {', '.join(prompts)} from now on; ~/resegment redoes earlier keyframes")

    def _make(self, section: SegmentationConfig) -> Segmenter | None:
        """The segmenter of files or models."""
        if section.segmenter in ("label_images", "coco") and not self.ros.segments_dir:
            raise UsageError(f"segmenter {section.segmenter} needs segments_dir:=PATH; or take segmenter:=topic or none")
        return create_segmenter(section, Path(self.ros.segments_dir) if self.ros.segments_dir else None)

    def _gave_up(self, text: str) -> None:
        """A model that had to do with less memory."""
        self.get_logger().warning(text)
        self.diagnostics.problem("models", text)

    # Where keyframes and segments come in (executor).

    def _keyframe(self, keyframe: Keyframe, header: Header) -> None:
        if self._synchronizer is None:
            self._keep(keyframe, header)
            self._worker.put((keyframe, header, None))
        else:
            self._match("image", header, (keyframe, header))

    def _keep(self, keyframe: Keyframe, header: Header) -> None:
        """For ``resegment``; the pictures go to disk."""
        if self.ros.resegment_history == 0:
            return
        path = Path(self._scratch.name) / f"{hashlib.sha256(keyframe.name.encode()).hexdigest()}"
        path.write_bytes(keyframe.encoded)
        self._kept[keyframe.name] = (dataclasses.replace(keyframe, encoded=b"", source=str(path)), header)
        self._kept.move_to_end(keyframe.name)
        while len(self._kept) > self.ros.resegment_history:
            _, (oldest, _) = self._kept.popitem(last=False)
            for path in (Path(oldest.source), _labels_of(oldest)):
                path.unlink(missing_ok=True)

    @property
    def _looker(self) -> Looker | None:
        """Who takes second looks; None where nobody can, or nothing is kept to look at."""
        segmenter = self._asking.segmenter
        wanted = self.config.segmentation.second_look and self.ros.resegment_history > 0
        return segmenter.looker if wanted and isinstance(segmenter, CachedSegmenter) else None

    def _prompted(self, message: PointCloud2) -> None:
        """A keyframe misses something."""
        if kept := self._kept.get(keyframe_name(message.header)):
            self._worker.put((*kept, message))
        else:
            self.diagnostics.count("second looks at keyframes that are not kept")

    def _match(self, part: str, header: Header, value: object) -> None:
        assert self._synchronizer is not None
        if part == "segments" and (given_up := self._given_up.pop(keyframe_name(header), None)):
            # Late is better than never: what is published now takes the place of the empty answer.
            self.diagnostics.count("segments that came late")
            self._worker.put((*given_up, value))
        else:
            self._hand_over(self._synchronizer.add(part, keyframe_name(header), value, time.monotonic()))

    def _expire(self) -> None:
        assert self._synchronizer is not None
        self._hand_over(self._synchronizer.release(time.monotonic()))

    def _hand_over(self, bundles: list[dict[str, Any]]) -> None:
        for parts in bundles:
            keyframe, header = parts["image"]
            if "segments" in parts:
                self._worker.put((keyframe, header, parts["segments"]))
                continue
            missed = self.diagnostics.count("keyframes without segments")
            if missed == 1:
                topics = ", ".join(sorted(self._topics)) or "no topic (set segments_topics)"
                self.get_logger().warning(
                    f"{keyframe.name}: no segments within {self.ros.segments_timeout:g} s from {topics}; it waits no longer "
                    "(further ones are counted in /diagnostics)"
                )
            self._worker.put((keyframe, header, no_segments(keyframe.name, _shape(keyframe))))
            self._given_up[keyframe.name] = (keyframe, header)
            while len(self._given_up) > LATE_KEPT:
                self._given_up.popitem(last=False)

    def _find_topics(self) -> None:
        """Subscribe to the named topics, or to those that the graph shows, as they appear."""
        own = self.get_namespace().rstrip("/")
        graph = dict(self.get_topic_names_and_types())
        named = [self.resolve_topic_name(topic) for topic in self.ros.segments_topics]
        for topic in named or find_segments(graph, own=(f"{own}/keyframes/", f"{own}/instances/")):
            if topic in self._topics or (publishers := self.get_publishers_info_by_topic(topic)) == []:
                continue
            if IMAGE not in graph.get(topic, [IMAGE]):
                raise UsageError(f"segments topic {topic} is a {', '.join(graph[topic])}, not a {IMAGE}")
            self._topics.add(topic)
            self.subscribe(Image, topic, self._segments_from(topic), input_profile("auto", publishers))
            self.get_logger().info(f"segments from {topic}")
        missing = ", ".join(topic for topic in named if topic not in self._topics)
        if not named and not self._topics:
            missing = "any mono16 topic called segments (or set segments_topics)"
        self.diagnostics.problem("segments", f"waiting for {missing}" if missing else "")

    def _segments_from(self, topic: str) -> Callable[[Image], None]:
        return lambda message: self._match("segments", message.header, (topic, message))

    # What becomes of them (worker).

    def _at_once(self) -> int:
        """How many keyframes go through the models together; fewer since memory ran out."""
        segmenter = self._asking.segmenter
        if not isinstance(segmenter, CachedSegmenter):
            return 1
        room = segmenter.runtime.batch  # 0 = not known yet
        return min(segmenter.batch, room) if room else segmenter.batch

    def _segment(self, items: list[tuple[Keyframe, Header, Any]]) -> None:
        asking = self._asking
        made = iter(self._made(asking, [keyframe for keyframe, _, given in items if given is None]))
        publish = self._guarded(self._publish, "segmentation")
        answer = self._guarded(self._look_again, "second look")
        for keyframe, header, given in items:
            if isinstance(given, PointCloud2):
                answer(keyframe, header, given)
            else:
                publish(keyframe, header, next(made) if given is None else given)

    def _publish(self, keyframe: Keyframe, header: Header, answer: Any) -> None:
        """Send the masks of one keyframe; none where they failed, with which it goes on."""
        try:
            labels = to_mono16(self._segments(keyframe, answer))
        except Exception as error:
            # Reaches the log and the diagnostics; others wait behind it.
            self.diagnostics.count("keyframes with bad segments")
            self._report("segmentation", error)
            labels = np.zeros(_shape(keyframe), np.uint16)
        self._send(keyframe.name, labels, header)
        self.diagnostics.count("keyframes segmented")

    def _send(self, name: str, labels: np.ndarray, header: Header) -> None:
        self._publisher.publish(labels_to_image(labels, header))
        if self._looker and (kept := self._kept.get(name)):
            write_labels(_labels_of(kept[0]), labels)

    def _look_again(self, keyframe: Keyframe, header: Header, prompts: PointCloud2) -> None:
        """Send a keyframe's segments again, with what was missed; as they were where that cannot be found."""
        labels, looker = read_labels(_labels_of(keyframe)), self._looker
        assert looker is not None  # or nobody would have subscribed
        try:
            asks = cloud_to_asks(prompts, labels.shape)
            present = from_mono16(keyframe.name, labels, len(self._asking.names))
            encoded = Path(keyframe.source).read_bytes()
            found, added = look_again(looker, dataclasses.replace(keyframe, encoded=encoded), present, asks)
            labels = with_added(labels, found, added)
            self.diagnostics.count("second looks")
            self.diagnostics.count("second looks that found something", len(added))
        finally:
            self._send(keyframe.name, labels, header)

    def _segments(self, keyframe: Keyframe, answer: Any) -> Segments:
        """From a segmenter's answer, or from what another node sent."""
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, Segments):
            return answer
        topic, message = answer
        labels, (height, width) = image_to_labels(message), _shape(keyframe)
        if labels.shape != (height, width):
            if abs(labels.shape[1] * height - labels.shape[0] * width) > max(width, height):
                raise DataError(f"{topic}: segments of {labels.shape[1]}×{labels.shape[0]} for an image of {width}×{height}")
            labels = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        options = self.config.segmentation
        return from_mono16(keyframe.name, labels, len(options.asked), options.min_area, topic)

    def _made(self, asking: Asking, keyframes: list[Keyframe]) -> list[Segments | Exception]:
        """By our own segmenter, with class ids that count all names that were ever asked for; or why it failed."""
        segmenter = asking.segmenter
        if not keyframes:
            return []
        assert segmenter is not None
        try:
            together = segmenter.segment_all if isinstance(segmenter, CachedSegmenter) else None
            found = together(keyframes) if together else [segmenter.segment(keyframe) for keyframe in keyframes]
        except Exception as error:
            # One of them is to blame, and each is told so (``_publish``); the others are done without it.
            return [error] if len(keyframes) == 1 else [answer for k in keyframes for answer in self._made(asking, [k])]
        if isinstance(segmenter, CachedSegmenter):
            self.diagnostics.set("found in the cache", segmenter.hits)
            self.diagnostics.set("device", segmenter.runtime.device)
            self.diagnostics.set("images at once", self._at_once())
        return [_counted(segments, asking) for segments in found]

    def _resegment(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Send every kept keyframe through the segmenter again, no faster than it works."""
        done, ahead = 0, min(max(RESEGMENT_AHEAD[0], 2 * self._at_once()), RESEGMENT_AHEAD[1])
        for keyframe, header in list(self._kept.values()):
            while self._worker.pending > ahead:
                if self.stopping.wait(0.02) or self.state != "active":
                    raise DataError(f"the node was stopped after {done} keyframes")
            try:
                encoded = Path(keyframe.source).read_bytes()
            except FileNotFoundError:
                continue  # no longer kept
            self._worker.put((dataclasses.replace(keyframe, encoded=encoded), header, None))
            done += 1
        self._worker.drain()
        response.success = True
        response.message = f"{done} keyframes segmented again for {', '.join(self._asking.prompts)}"
        return response

    def _flush(self) -> None:
        while self._synchronizer and self._synchronizer.pending and not self.stopping.wait(0.05):
            pass
        self._worker.drain()


def _counted(segments: Segments, asking: Asking) -> Segments:
    """``segments`` with class ids that count all names that were ever asked for."""
    if asking.prompts == asking.names[: len(asking.prompts)]:
        return segments
    table = np.array([0, *(asking.names.index(prompt) + 1 for prompt in asking.prompts)], np.int32)
    # Ids that follow the old class ids would be taken for final.
    ids = np.arange(1, len(segments.ids) + 1, dtype=np.uint16)
    lookup = np.zeros(int(segments.labels.max(initial=0)) + 1, np.uint16)
    lookup[segments.ids] = ids
    return dataclasses.replace(segments, labels=lookup[segments.labels], ids=ids, classes=table[segments.classes])


def _labels_of(kept: Keyframe) -> Path:
    """Where the masks of a keyframe that is kept on disk are."""
    return Path(kept.source).with_suffix(".png")


def _shape(keyframe: Keyframe) -> tuple[int, int]:
    width, height = keyframe.size
    return height, width


def main() -> None:
    """Console script."""
    sys.exit(spin_node(SegmentationNode))


if __name__ == "__main__":
    main()
