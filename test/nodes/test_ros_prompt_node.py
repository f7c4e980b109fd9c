"""prompt_node over real DDS: clicks on topics and by service, in a map that is done and in one that grows."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import Point, PointStamped
from helpers_level_map import MASKS, MODEL, configured, labelled
from helpers_levels import DEPTH, HEIGHT, NAMES, picture, things
from helpers_map_nodes import header_of
from helpers_ros import wait_for
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header, String
from std_srvs.srv import Trigger

from seg2d3d_ros.geometry.masks import overlap, region_of
from seg2d3d_ros.images import encode_png, read_labels
from seg2d3d_ros.mapstore.files.prompts_file import read_prompts
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes.prompt_node import PromptNode
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.prompts.kept_prompts import NOT_SHOWN, RELAID
from seg2d3d_ros.ros.map_exchange.map_publisher import MapPublisher
from seg2d3d_ros.ros.messages.click_messages import LABELLED_POINT
from seg2d3d_ros.ros.messages.conversion import image_to_labels, keyframe_name
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.segmentation.finest import flat_choice
from seg2d3d_ros.types import Keyframe

pytestmark = pytest.mark.ros
HOUSE, STOREY, WINDOW = (next(t for t in things() if t.level == level) for level in range(3))
LIVE = tuple(f"front_{k + 1}" for k in range(len(NAMES)))


class Asked:
    """What the node publishes, and a way to click."""

    def __init__(self, world):
        self.world = world
        self.answers = world.collect(String, "prompts/answer", qos.LATCHED)
        self.labels = world.collect(Image, "prompts/labels", qos.LABELS)
        self.points = world.collect(PointCloud2, "prompts/points", qos.LATCHED)
        self.senders = {
            topic: world.probe.create_publisher(kind, topic, qos.PROMPTS)
            for topic, kind in (
                ("/clicked_point", PointStamped), ("prompts/negative", PointStamped), ("prompts/request", String)
            )
        }  # fmt: skip
        assert wait_for(lambda: all(sender.get_subscription_count() == 1 for sender in self.senders.values()))

    def answer(self, topic, message) -> dict:
        before = len(self.answers)
        self.senders[topic].publish(message)
        assert wait_for(lambda: len(self.answers) > before)
        return json.loads(self.answers[-1].data)


def click(x, y, z=0.0, header=None) -> PointStamped:
    return PointStamped(header=header or Header(frame_id="map"), point=Point(x=float(x), y=float(y), z=float(z)))


def middle(thing):
    x0, y0, x1, y1 = thing.box
    return (x0 + x1) / 2, (y0 + y1) / 2


def mean_overlap(masks, thing) -> float:
    truth = {name: picture(thing, k) for k, name in enumerate(NAMES)}
    return float(np.mean([overlap(r, masks[n]) if n in masks else 0.0 for n, r in truth.items() if r and r.area >= 150]))


def test_a_place_in_the_map_is_answered_with_masks_points_and_an_id_that_stays(world, tmp_path):
    root = labelled(tmp_path / "map")[0].root
    node = world.add(PromptNode, map_dir=str(root), clicks__level="1")
    asked = Asked(world)
    answer = asked.answer("/clicked_point", click(*middle(WINDOW), DEPTH))
    i = answer["instance"]
    assert answer["in_map"]
    assert wait_for(lambda: len(asked.labels) == len(answer["images"]) and asked.points)
    shown = {}
    for name in answer["images"]:
        shown[name] = region_of(read_labels(root / "labels" / f"{name}.png") == i)
    assert mean_overlap(shown, STOREY) >= 0.8
    # All images of this map have one camera and one stamp; the masks on the topic are those in labels/.
    sent = sorted(int((image_to_labels(message) == i).sum()) for message in asked.labels)
    assert sent == sorted(region.area for region in shown.values())
    cloud = np.frombuffer(bytes(asked.points[-1].data), LABELLED_POINT)
    assert len(cloud) == answer["points"] > 20
    assert (cloud["instance_id"] == i).all()
    assert ((cloud["y"] > STOREY.box[1] - 0.3) & (cloud["y"] < STOREY.box[3] + 0.3)).mean() > 0.95
    # A negative click is about the object that was asked for last; another level may be told at any time.
    node.set_parameters([Parameter("clicks.level", value="fine")])
    narrower = asked.answer("prompts/negative", click(middle(WINDOW)[0] + 2.0, middle(WINDOW)[1], DEPTH))
    assert narrower["instance"] == i
    assert (narrower["clicks"], 0 < narrower["points"] < answer["points"]) == (2, True)
    other = asked.answer("/clicked_point", click(12.0, -4.0, DEPTH))
    assert other["instance"] != i
    node.set_parameters([Parameter("prompt_instance", value=-1)])
    assert asked.answer("/clicked_point", click(12.5, -4.0, DEPTH))["instance"] == other["instance"]
    assert {item.id for item in read_prompts(root).objects} == {i, other["instance"]}


def test_requests_by_topic_and_service_and_what_cannot_be_answered(world, tmp_path):
    root = labelled(tmp_path / "map")[0].root
    node = world.add(PromptNode, map_dir=str(root))
    asked = Asked(world)
    answer = world.call(Trigger, "prompt_node/ask")
    assert (answer.success, "prompt_request" in answer.message) == (False, True)
    region = picture(WINDOW, 4)
    xy = [sum(region.box[::2]) / 2, sum(region.box[1::2]) / 2]
    request = json.dumps({"image": NAMES[4], "click": [xy], "level": "coarse"})
    by_topic = asked.answer("prompts/request", String(data=request))
    assert node.set_parameters([Parameter("prompt_request", value=request)])[0].successful
    by_service = world.call(Trigger, "prompt_node/ask")
    assert by_service.success
    assert json.loads(by_service.message)["images"] == by_topic["images"]
    assert json.loads(by_service.message)["instance"] == by_topic["instance"], "the house is the map's own instance"
    for wrong, word in (
        ("{", "no JSON"),
        ('{"image": "x", "click": [[1, 2]]}', "is no keyframe"),
        ('{"click": [[1, 2]]}', "must name it"),
        ('{"image": "x", "clik": [[1, 2]]}', "clik"),
        (json.dumps({"image": NAMES[4], "click": [xy], "level": "tiny"}), "tiny"),
        (json.dumps({"image": NAMES[0], "click": [[2.5, 2.5]]}), "no object is known there"),
    ):
        assert word in asked.answer("prompts/request", String(data=wrong))["error"]
    where = asked.answer("/clicked_point", click(10, 10, header=header_of("front_7")))
    assert "front_7: is no keyframe" in where["error"]
    assert not node.set_parameters([Parameter("clicks.level", value="tiny")])[0].successful


class Sender(ManagedNode):
    """Sends a map, as reconstruction_node does."""

    NAME = "reconstruction_node"

    def configure(self):
        self.sends = MapPublisher(self, "map", header_of, tf=False)
        self.serve(Trigger, "~/resend", self._resend)
        self.every(0.2, self._look)

    def _resend(self, _request, response):
        self.sends.want_whole()
        response.success = True
        return response

    def _look(self):
        if self.sends.look():
            self.sends.send_again()


def test_a_map_that_grows_is_asked_as_it_is_and_shows_the_object_after_it_is_solved_as_a_whole(world, tmp_path):
    store, config = MapStore(tmp_path / "map"), configured("auto")
    model = dataclasses.replace(MODEL, names=LIVE)
    picture_file = encode_png(np.full((HEIGHT, 320, 3), 90, np.uint8))
    records = []
    for k, name in enumerate(LIVE):
        keyframe = Keyframe(name, "front", k + 1, picture_file, MODEL.cameras[0], file_name=f"{name}.png")
        records.append(KeyframeRecord.of(keyframe, store.write_image(keyframe).relative_to(store.root)))
    store.write_keyframes(records)
    session = AssociationSession(store, config)
    for name, old in zip(LIVE, NAMES, strict=True):
        session.receive(flat_choice(dataclasses.replace(MASKS[old], name=name)))
    session.update([model], full=True)
    assert not (store.root / "sparse").exists(), "the reconstruction writes it when the map is finalized"

    node = world.add(PromptNode, map_dir=str(store.root), clicks__level="coarse")
    sender = world.add(Sender)
    asked = Asked(world)
    sender.sends.send([model])
    assert wait_for(lambda: node._map.whole() is not None)
    # A pixel of a keyframe: its header, and ROS's pixels, whose first centre is (0, 0).
    region = picture(WINDOW, 4)
    x, y = sum(region.box[::2]) / 2, sum(region.box[1::2]) / 2
    answer = asked.answer("/clicked_point", click(x - 0.5, y - 0.5, header=header_of(LIVE[4])))
    assert not answer["in_map"]
    assert wait_for(lambda: len(asked.labels) == len(answer["images"]))
    masks = {keyframe_name(message.header): region_of(image_to_labels(message) > 0) for message in asked.labels}
    assert sorted(masks) == answer["images"]
    assert mean_overlap({NAMES[LIVE.index(name)]: mask for name, mask in masks.items()}, HOUSE) >= 0.85
    stored = read_prompts(store.root)
    assert (stored.laid, [item.id for item in stored.objects]) == (False, [answer["instance"]])
    click_made = stored.objects[0].clicks[0]
    assert (click_made.image, click_made.xy) == (LIVE[4], (x, y))
    # Updates in between say that they do not show it, solving everything does; also after a new start.
    assert any(f.kind is NOT_SHOWN for f in session.update([model]).findings) == bool(
        set(session.latest.labels) & set(answer["images"])
    )
    again = AssociationSession(store, config).update([model], full=True)
    assert any(f.kind is RELAID for f in again.findings)
    assert read_prompts(store.root).laid
    for name in answer["images"]:
        assert (read_labels(store.label_path(name)) == answer["instance"]).any()
    assert answer["instance"] in {item["id"] for item in store.read_tracks()["instances"]}


def test_whatever_takes_long_does_not_keep_the_node_from_its_messages(world, tmp_path, monkeypatch):
    import threading

    from seg2d3d_ros.nodes import prompt_node

    root, go_on, begun = labelled(tmp_path / "map")[0].root, threading.Event(), threading.Event()

    def slowly(*_, **__):
        begun.set()
        assert go_on.wait(100)
        raise prompt_node.UsageError("no more")

    monkeypatch.setattr(prompt_node, "ask", slowly)
    node = world.add(PromptNode, map_dir=str(root))
    asked = Asked(world)
    asked.senders["/clicked_point"].publish(click(*middle(WINDOW), DEPTH))
    assert wait_for(begun.is_set)
    try:
        asked.senders["/clicked_point"].publish(click(*middle(WINDOW), DEPTH))
        assert wait_for(lambda: node._answering.pending >= 1), "it is received while the first one is at work"
        assert node.set_parameters([Parameter("prompt_instance", value=5)])[0].successful
    finally:
        go_on.set()
    assert wait_for(lambda: len(asked.answers) >= 1)
