"""segmentation_node: keyframes in, ``keyframes/segments`` out (mono16, ``class_id * 1000 + k``).

``segmentation.segmenter`` says where the objects come from: ``topic`` = label images of another node, matched with the
keyframes by their header in either order; ``label_images``, ``coco`` = files; ``grounded_sam``, ``panoptic``,
``everything`` = models, loaded while the node is active; ``none`` = nothing is published. A keyframe in which nobody looked
for objects gets a label image without pixels (``messages.conversion.unsegmented``): all zeros say that there are none.

The parameter ``segmentation.prompts`` may be changed at any time: new keyframes are asked for the new ones, and the service
``~/resegment`` redoes the old ones. Class ids keep their meaning; ``keyframes/classes`` (latched) has their names.
Classes of ``segmentation.movable`` are looked for too; their ids follow those of the prompts.

Keyframes that wait go through the models together, as many at once as these have room for. One that waited for longer than
``max_wait`` is put aside and follows when there is time (``ros.exchange.postponed``). Where the 3D model says that
an object was missed (``keyframes/prompts``), ``grounded_sam`` looks again and sends the keyframe's segments a second time.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sensor_msgs.msg import CompressedImage, Image, PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import ERROR, Finding, Kind
from seg2d3d_ros.pipeline.second_look import look_again
from seg2d3d_ros.ros.exchange.kept_keyframes import KeptKeyframes
from seg2d3d_ros.ros.exchange.keyframe_exchange import KeyframeSubscription
from seg2d3d_ros.ros.exchange.postponed import Postponed
from seg2d3d_ros.ros.exchange.segment_topics import Masks, SegmentTopics, fitting_labels
from seg2d3d_ros.ros.messages.class_names import CLASSES_TOPIC, added, class_names_message
from seg2d3d_ros.ros.messages.conversion import keyframe_name, labels_to_image, unsegmented
from seg2d3d_ros.ros.messages.mask_messages import MASKS_TOPIC, masks_to_message
from seg2d3d_ros.ros.messages.prompt_messages import PROMPTS_TOPIC, SEGMENTS_TOPIC, cloud_to_asks
from seg2d3d_ros.ros.node.diagnostics import ITEMS_DROPPED
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import SegmentationParameters
from seg2d3d_ros.ros.node.qos import LATCHED, PROMPTS, SEGMENTS
from seg2d3d_ros.ros.node.spinning import spin_node
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.cache import CachedSegmenter
from seg2d3d_ros.segmentation.encoding import from_mono16, to_mono16, with_added
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.models.mask_models import Looker
from seg2d3d_ros.segmentation.segmenter import Segmenter
from seg2d3d_ros.types import Keyframe, Segments

MASKS_REFUSED = Kind(
    "masks_refused",
    "keyframes whose masks cannot be used",
    cause="the last one: {reason}",
    remedy="mend the segmenter or its topic; these keyframes go on without masks",
)
NO_MASKS = Kind(
    "no_masks",
    "pipelines that have nobody who finds objects",
    cause="segmenter is auto, and after {searched:.0f} s there is no topic called segments (mono16, class id * 1000 + k, "
    "with the images' headers)",
    remedy="choose segmenter:=grounded_sam (objects by text), panoptic or everything (`seg2d3d models` says whose weights are "
    "here and downloads them), segments_topics:=[TOPIC] for a node that makes masks, segments_dir:=DIR for files, or "
    "segmenter:=none for the 3D map alone",
    level=ERROR,
)
RESEGMENT_AHEAD = 4, 32
"""Old keyframes that wait in the queue at once, at least and at most, so that new ones are not dropped for them."""


@dataclasses.dataclass(frozen=True)
class Unsegmented:
    """Instead of masks: nobody looked for objects in the keyframe, which does not say that there are none."""


class Asking(NamedTuple):
    """What is looked for, replaced as a whole: the segmenter, its prompts, and all names that class ids count."""

    segmenter: Segmenter | None
    prompts: tuple[str, ...]
    names: tuple[str, ...]


class SegmentationNode(ManagedNode):
    """See the module. Keyframes whose segments fail or do not come go on as unsegmented, and are counted."""

    NAME = "segmentation_node"
    PARAMETERS = SegmentationParameters
    SECTIONS = ("segmentation",)
    CHANGEABLE = ("segmentation.prompts",)
    ros: SegmentationParameters

    def configure(self) -> None:
        self._topics: SegmentTopics | None = None
        self._kept = KeptKeyframes(self.ros.resegment_history, self.diagnostics.findings)
        kind = self.config.segmentation.segmenter
        prompts = self.config.segmentation.asked
        self._asking = Asking(None, prompts, prompts)
        if kind == "none":
            self.get_logger().info("segmenter is none: keyframes get no segments")
            return
        if kind != "topic":
            self._asking = Asking(self._make(self.config.segmentation), prompts, prompts)
        self._publisher = self.advertise(Image, SEGMENTS_TOPIC, SEGMENTS)
        self._masks = self.advertise(CompressedImage, MASKS_TOPIC, SEGMENTS)
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
        self._postponed = Postponed(self.ros.max_wait, self.diagnostics.findings)
        self._worker = self.worker("segmentation", self._segment, batch=self._at_once, on_drop=self._dropped)
        if kind == "topic":
            given = self.ros.segments_topics, self.ros.segments_timeout, self.config.segmentation.stamp_tolerance
            self._topics = SegmentTopics(self, self._answered, *given)
            self.every(1.0, self._look_for_masks)
            if self.ros.segments_search and self._topics.searching:
                self.get_logger().info(f"segmenter is auto: looking for a topic with masks for {self.ros.segments_search:g} s")
        else:
            self.every(0.2, self._catch_up)
            self.serve(Trigger, "~/resegment", self._resegment, slow=True)
        if self._looker:
            self.subscribe(PointCloud2, PROMPTS_TOPIC, self._prompted, PROMPTS)
        KeyframeSubscription(self, self._keyframe, whole=False)
        self.serve_flush(self._flush)
        self.serve(Trigger, "~/reset", self._reset)

    def deactivate(self) -> None:
        if self.config.segmentation.segmenter == "none":
            return
        self.release(self._worker)  # first: it may be at work with the models
        if isinstance(self._asking.segmenter, CachedSegmenter):
            self._asking.segmenter.close()
        self.diagnostics.problem("models", "")
        self._kept.close()
        self._topics = None

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
        masks = Path(self.ros.segments_dir) if self.ros.segments_dir else None
        return create_segmenter(section, masks, self.diagnostics.findings)

    def _gave_up(self, text: str) -> None:
        """A model that had to do with less memory."""
        self.get_logger().warning(text)
        self.diagnostics.problem("models", text)

    # Where keyframes and segments come in (executor).

    def _keyframe(self, keyframe: Keyframe, header: Header) -> None:
        if self._topics is None:
            self._kept.add(keyframe, header)
            self._postponed.came(keyframe.name)
            self._worker.put((keyframe, header, None))
        else:
            self._topics.take(keyframe, header)

    def _answered(self, keyframe: Keyframe, header: Header, masks: Masks | None) -> None:
        """Another node has answered, or has not in time."""
        self._worker.put((keyframe, header, masks or Unsegmented()))

    def _look_for_masks(self) -> None:
        """Give up where the masks were to be found in the graph and nobody publishes any."""
        searched = self._topics.searching if self._topics else 0.0
        if self.ros.segments_search and searched > self.ros.segments_search and self.exit_code is None:
            self.diagnostics.findings.put(Finding(NO_MASKS, 1, details={"searched": searched}))
            self.finish(1)

    def _dropped(self, item: tuple[Keyframe, Header, Any]) -> None:
        """The queue is full."""
        keyframe, _, given = item
        if given is None:
            self._postponed.put_aside(keyframe.name)
        else:
            self.diagnostics.findings.add(ITEMS_DROPPED, keyframe.name, worker="segmentation", waiting=self._worker.pending)

    def _catch_up(self) -> None:
        """Whoever was put aside gets its turn when nobody else waits."""
        if self._worker.pending == 0:
            self._take_up()

    def _take_up(self) -> bool:
        """Queue one keyframe that was put aside; whether there was one."""
        name = self._postponed.next()
        if name is None:
            return False
        try:
            kept = self._kept.get(name)
            if kept is None:
                raise FileNotFoundError(name)
            self._worker.put((self._kept.picture(kept[0]), kept[1], None))
        except FileNotFoundError:
            self._postponed.lost(name)
        return True

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
        items = [item for item in items if item[2] is not None or self._postponed.due(item[0].name)]
        made = iter(self._made(asking, [keyframe for keyframe, _, given in items if given is None]))
        publish = self.errors.guarded(self._publish, "segmentation")
        answer = self.errors.guarded(self._look_again, "second look", PROMPTS_TOPIC)
        for keyframe, header, given in items:
            if isinstance(given, PointCloud2):
                answer(keyframe, header, given)
            else:
                publish(keyframe, header, next(made) if given is None else given)

    def _publish(self, keyframe: Keyframe, header: Header, answer: Any) -> None:
        """Send the masks of one keyframe; where they failed, it goes on as one in which nobody looked."""
        labels = None
        try:
            if not isinstance(answer, Unsegmented):
                segments = self._segments(keyframe, answer)
                labels = to_mono16(segments)
                if segments.overlapping is not None:  # before the flat choice, which may lead to an association at once
                    self._masks.publish(masks_to_message(segments.overlapping, self._asking.names, header))
        except Exception as error:
            # Reaches the log and the diagnostics; others wait behind it.
            self.diagnostics.count("keyframes with bad segments")
            if isinstance(error, DataError):
                self.diagnostics.error("segmentation", error)
                self.diagnostics.findings.add(MASKS_REFUSED, keyframe.name, reason=str(error))
            else:
                self.errors.report("segmentation", error)
        self._send(keyframe.name, labels, header)
        self.diagnostics.count("keyframes segmented" if labels is not None else "keyframes not segmented")

    def _send(self, name: str, labels: np.ndarray | None, header: Header) -> None:
        self._publisher.publish(unsegmented(header) if labels is None else labels_to_image(labels, header))
        if self._looker and labels is not None:
            self._kept.write_labels(name, labels)

    def _look_again(self, keyframe: Keyframe, header: Header, prompts: PointCloud2) -> None:
        """Send a keyframe's segments again, with what was missed; as they were where that cannot be found."""
        labels, looker = self._kept.read_labels(keyframe), self._looker
        assert looker is not None  # or nobody would have subscribed
        try:
            asks = cloud_to_asks(prompts, labels.shape)
            present = from_mono16(keyframe.name, labels, len(self._asking.names))
            found, added = look_again(looker, self._kept.picture(keyframe), present, asks)
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
        labels = fitting_labels(topic, message, keyframe)
        options = self.config.segmentation
        return from_mono16(keyframe.name, labels, len(options.asked), options.min_area, topic, self.diagnostics.findings)

    def _made(self, asking: Asking, keyframes: list[Keyframe]) -> list[Segments | Unsegmented | Exception]:
        """By our own segmenter, with class ids that count all names that were ever asked for; or why it failed."""
        segmenter = asking.segmenter
        if not keyframes:
            return []
        assert segmenter is not None
        found: Sequence[Segments | None]
        try:
            if isinstance(segmenter, CachedSegmenter):
                found = segmenter.segment_all(keyframes)
            else:
                found = [segmenter.segment(keyframe) for keyframe in keyframes]
        except Exception as error:
            # One of them is to blame, and each is told so (``_publish``); the others are done without it.
            return [error] if len(keyframes) == 1 else [answer for k in keyframes for answer in self._made(asking, [k])]
        if isinstance(segmenter, CachedSegmenter):
            self.diagnostics.set("found in the cache", segmenter.hits)
            self.diagnostics.set("device", segmenter.runtime.device)
            self.diagnostics.set("images at once", self._at_once())
        return [_counted(segments, asking) if segments else Unsegmented() for segments in found]

    def _resegment(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Send every kept keyframe through the segmenter again, no faster than it works."""
        done = 0
        for keyframe, header in self._kept.pictures():
            if not self._wait_for_room():
                raise DataError(f"the node was stopped after {done} keyframes")
            self._worker.put((keyframe, header, None))
            done += 1
        self._worker.drain()
        response.success = True
        response.message = f"{done} keyframes segmented again for {', '.join(self._asking.prompts)}"
        return response

    def _wait_for_room(self) -> bool:
        """Wait until few enough keyframes are queued; False where the node is stopped before."""
        ahead = min(max(RESEGMENT_AHEAD[0], 2 * self._at_once()), RESEGMENT_AHEAD[1])
        while self._worker.pending > ahead:
            if self.stopping.wait(0.02) or self.state != "active":
                return False
        return True

    def _reset(self, _request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Forget the keyframes, so that they get their masks once more when they come again; prompts and models stay."""
        self._worker.clear()
        self._kept.close()
        self._postponed.forget()
        if self._topics is not None:
            self._topics.forget()
        response.success, response.message = True, "no keyframes"
        return response

    def _flush(self) -> None:
        while self._topics and self._topics.pending and not self.stopping.wait(0.05):
            pass
        self._worker.drain()
        while not self.stopping.is_set() and self._take_up():
            self._wait_for_room()
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
    masks = segments.overlapping
    if masks is not None:
        masks = dataclasses.replace(masks, classes=table[masks.classes])
    counted = {"labels": lookup[segments.labels], "ids": ids, "classes": table[segments.classes], "overlapping": masks}
    return dataclasses.replace(segments, **counted)


def main() -> None:
    """Console script."""
    sys.exit(spin_node(SegmentationNode))


if __name__ == "__main__":
    main()
