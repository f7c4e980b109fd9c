"""segmentation_node with models: loaded while active, prompts changed at run time, old keyframes redone, full GPUs reported."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_map_nodes import value
from helpers_ros import own_domain, ros, wait_for
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.nodes import segmentation_node
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.segmentation_node import SegmentationNode
from seg2d3d_ros.ros.messages.class_names import added, class_names_message, read_class_names
from seg2d3d_ros.ros.messages.conversion import (
    bytes_to_compressed,
    image_to_labels,
    is_unsegmented,
    keyframe_name,
    labels_to_image,
    make_header,
)
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.segmentation.cache import CachedSegmenter
from seg2d3d_ros.types import Segments

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
JPEG = encode_jpeg(np.full((40, 60, 3), 90, np.uint8))
PLACES = {"building": 5, "car": 20, "tree": 35}
"""A model's double sees these three in every picture, each in a column of its own."""


class Columns:
    """Knows three things and finds those that it is asked for."""

    def __init__(self, config, shared=None):
        self.config, self.runtime, self.shared = config, Runtime(), shared if shared is not None else {"loaded": 0, "asked": []}
        if unknown := set(config.prompts) - set(PLACES):
            raise UsageError(f"prompt {unknown.pop()!r} is no class of this model")

    def load(self):
        self.shared["loaded"] += 1
        self.runtime.device = "cpu"

    def close(self):
        self.shared["loaded"] = 0

    def asking_for(self, config):
        return Columns(config, self.shared)

    def segment(self, keyframe):
        self.shared["asked"].append((keyframe.name, self.config.prompts, len(keyframe.encoded)))
        labels = np.zeros((40, 60), np.uint16)
        for number, prompt in enumerate(self.config.prompts, start=1):
            labels[10:30, PLACES[prompt] : PLACES[prompt] + 10] = number
        count = len(self.config.prompts)
        ids = np.arange(1, count + 1, dtype=np.uint16)
        return Segments(keyframe.name, labels, ids, ids.astype(np.int32), np.ones(count, np.float32))


def classes_at(labels: np.ndarray) -> dict[str, int]:
    """The class id in each of the three columns."""
    return {prompt: int(labels[15, x + 2]) // 1000 for prompt, x in PLACES.items() if labels[15, x + 2]}


@pytest.fixture
def world():
    with ros(DOMAIN) as made:
        yield made


@pytest.fixture
def made(monkeypatch):
    """The segmenters that the node asked the factory for."""
    segmenters = []

    def create(config, directory, findings):
        segmenters.append(CachedSegmenter(Columns(config), ["m"], config, None))
        return segmenters[-1]

    monkeypatch.setattr(segmentation_node, "create_segmenter", create)
    return segmenters


class Bench:
    def __init__(self, world, **parameters):
        self.node = world.add(SegmentationNode, segmenter="grounded_sam", **parameters)
        self.keyframes = world.probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.out = world.collect(Image, "keyframes/segments", qos.SEGMENTS)
        self.classes = world.collect(String, "keyframes/classes", qos.LATCHED)
        assert wait_for(lambda: self.keyframes.get_subscription_count() and self.node._publisher.get_subscription_count())

    def keyframe(self, stamp):
        self.keyframes.publish(bytes_to_compressed(JPEG, make_header(stamp, "front")))

    def results(self, count):
        assert wait_for(lambda: len(self.out) >= count), f"{len(self.out)} of {count}: {self.node.diagnostics.status()}"
        return [(keyframe_name(m.header), None if is_unsegmented(m) else classes_at(image_to_labels(m))) for m in self.out]

    def ask_for(self, *prompts):
        parameter = Parameter("segmentation.prompts", Parameter.Type.STRING_ARRAY, list(prompts))
        return self.node.set_parameters([parameter])[0]


def test_prompts_change_at_run_time_and_class_ids_keep_their_meaning(world, made):
    bench = Bench(world, prompts=["building"])
    bench.keyframe(1)
    assert bench.results(1) == [("front_1", {"building": 1})]
    assert bench.ask_for("car", "building").successful
    bench.keyframe(2)
    assert bench.results(2)[1] == ("front_2", {"car": 2, "building": 1})
    assert bench.ask_for("tree").successful
    bench.keyframe(3)
    assert bench.results(3)[2] == ("front_3", {"tree": 3})
    assert wait_for(lambda: len(bench.classes) and read_class_names(bench.classes[-1]) == ("building", "car", "tree"))
    assert len(made) == 1, "the loaded models serve all prompts"
    assert bench.node.get_parameter("segmentation.prompts").value == ["tree"]


class Batches(Columns):
    """Takes up to three at once, begins when the test says so, and cannot bear the keyframe front_4."""

    batch = 3

    def __init__(self, config, shared=None):
        super().__init__(config, shared)
        self.together, self.begin = [], threading.Event()

    def segment_all(self, keyframes):
        self.begin.wait(5)
        self.together.append([keyframe.name for keyframe in keyframes])
        if "front_4" in self.together[-1]:
            raise self.shared.get("error", DataError("front_4: damaged"))
        return [self.segment(keyframe) for keyframe in keyframes]


class TestBatches:
    @pytest.fixture
    def bench(self, world, made, monkeypatch):
        monkeypatch.setattr(segmentation_node, "create_segmenter", lambda config, *_: self.put(made, config))
        return Bench(world, prompts=["building"])

    def put(self, made, config):
        made.append(CachedSegmenter(Batches(config), ["m"], config, None))
        return made[-1]

    def waiting(self, bench, model, stamps):
        """Keyframes that all wait while the first is at work."""
        for stamp in stamps:
            bench.keyframe(stamp)
            if stamp == stamps[0]:
                assert wait_for(lambda: bench.node._worker._busy)
        assert wait_for(lambda: bench.node._worker.pending == len(stamps))
        model.begin.set()

    def test_what_waits_goes_together_and_comes_in_order(self, bench, made):
        model = made[0]._inner
        self.waiting(bench, model, (1, 2, 3, 5, 6, 7))
        assert [name for name, _ in bench.results(6)] == [f"front_{stamp}" for stamp in (1, 2, 3, 5, 6, 7)]
        assert model.together == [["front_1"], ["front_2", "front_3", "front_5"], ["front_6", "front_7"]]
        assert value(bench.node, "segmentation done") == "6"
        assert value(bench.node, "images at once") == "3"

    @pytest.mark.parametrize("error", [DataError("front_4: damaged"), ValueError("shape")])
    def test_a_bad_image_is_counted_and_the_others_are_not_lost(self, bench, made, error):
        model = made[0]._inner
        model.shared["error"] = error
        self.waiting(bench, model, (1, 2, 4, 3))
        assert bench.results(4) == [
            ("front_1", {"building": 1}),
            ("front_2", {"building": 1}),
            ("front_4", None),
            ("front_3", {"building": 1}),
        ]
        assert model.together[1:] == [["front_2", "front_4", "front_3"], ["front_2"], ["front_4"], ["front_3"]]
        assert value(bench.node, "keyframes with bad segments") == "1"
        assert str(error) in bench.node.diagnostics.last_error

    def test_when_memory_ran_out_fewer_go_together(self, bench, made):
        made[0].runtime.batch = 1
        self.waiting(bench, made[0]._inner, (1, 2, 3))
        bench.results(3)
        assert made[0]._inner.together == [["front_1"], ["front_2"], ["front_3"]]

    def test_resegment_keeps_the_batches_full(self, bench, made):
        model = made[0]._inner
        model.begin.set()
        for stamp in (1, 2, 3, 5, 6, 7):
            bench.keyframe(stamp)
        bench.results(6)
        model.together.clear()
        model.begin.clear()
        threading.Timer(0.5, model.begin.set).start()
        assert bench.node._resegment(None, Trigger.Response()).message.startswith("6 keyframes")
        assert sorted(map(len, model.together))[-1] == 3


def test_resegment_redoes_the_old_keyframes(world, made):
    bench = Bench(world, prompts=["building"], resegment_history=3)
    for stamp in range(1, 6):
        bench.keyframe(stamp)
    bench.results(5)
    assert bench.ask_for("car").successful
    answer = world.call(Trigger, "segmentation_node/resegment")
    assert answer.success
    assert answer.message == "3 keyframes segmented again for car"
    assert bench.results(8)[5:] == [(f"front_{stamp}", {"car": 2}) for stamp in (3, 4, 5)]
    assert {size for _, _, size in made[0]._inner.shared["asked"]} == {len(JPEG)}
    (kept,) = {Path(keyframe.source).parent for keyframe, _ in bench.node._kept.pictures()}
    assert len(list(kept.iterdir())) == 3
    bench.node.trigger_deactivate()
    assert not kept.exists()


def test_prompts_that_the_model_does_not_know_are_refused_and_nothing_changes(world, made):
    bench = Bench(world, prompts=["building"])
    answer = bench.ask_for("zebra")
    assert not answer.successful
    assert "zebra" in answer.reason
    other = bench.node.set_parameters([Parameter("segmentation.min_area", Parameter.Type.DOUBLE, 0.1)])[0]
    assert not other.successful
    assert "clean it up first" in other.reason
    bench.keyframe(1)
    assert bench.results(1) == [("front_1", {"building": 1})]


def test_models_are_loaded_while_the_node_is_active(world, made):
    node = world.add(SegmentationNode, segmenter="panoptic", prompts=["building"], autostart=False)
    node.trigger_configure()
    shared = made[0]._inner.shared
    assert shared["loaded"] == 0
    for _ in range(2):
        node.trigger_activate()
        assert shared["loaded"] == 1
        node.trigger_deactivate()
        assert shared["loaded"] == 0
    assert node.set_parameters([Parameter("segmentation.prompts", Parameter.Type.STRING_ARRAY, ["car"])])[0].successful
    node.trigger_activate()
    assert node.config.segmentation.prompts == ("car",)


def test_a_model_that_ran_out_of_memory_is_seen_in_diagnostics(world, made):
    bench = Bench(world, prompts=["building"])
    made[0].runtime.report("cuda: out of memory with one image, going on with the CPU, which is much slower")
    status = bench.node.diagnostics.status()
    assert "going on with the CPU" in status.message
    assert status.level == status.WARN
    assert {pair.key: pair.value for pair in status.values}["device"] == "cpu"


def test_weights_that_cannot_be_loaded_keep_the_node_inactive(world, made, monkeypatch):
    monkeypatch.setattr(Columns, "load", lambda self: (_ for _ in ()).throw(DataError("sam.pth: damaged")))
    with pytest.raises(DataError, match=r"sam\.pth"):
        world.add(SegmentationNode, segmenter="grounded_sam", prompts=["building"])


def test_other_segmenters_do_not_look_for_prompts(world):
    node = world.add(SegmentationNode, segmenter="topic")
    answer = node.set_parameters([Parameter("segmentation.prompts", Parameter.Type.STRING_ARRAY, ["car"])])[0]
    assert not answer.successful
    assert "topic" in answer.reason


def test_the_association_learns_new_names_even_when_they_come_late(world, tmp_path):
    node = world.add(AssociationNode, map_dir=str(tmp_path / "map"), prompts=["building"])
    classes = world.probe.create_publisher(String, "keyframes/classes", qos.LATCHED)
    segments = world.probe.create_publisher(Image, "keyframes/segments", qos.SEGMENTS)
    assert wait_for(lambda: classes.get_subscription_count() and segments.get_subscription_count())
    labels = np.zeros((40, 60), np.uint16)
    labels[5:9, 5:9], labels[20:30, 20:30] = 1001, 2001
    segments.publish(labels_to_image(labels, make_header(1, "front")))
    classes.publish(class_names_message(["building", "car"]))
    assert wait_for(lambda: node._session.has_segments("front_1")), node.diagnostics.last_error
    stored = node._store.read_named_segments("front_1").numbered(["building", "car"])
    assert stored.classes.tolist() == [1, 2]
    assert node.config.segmentation.prompts == ("building", "car")


def test_class_names_as_messages():
    assert read_class_names(class_names_message(["Straße", "car"])) == ("Straße", "car")
    for text in ("", "{}", "[1]", '[""]'):
        with pytest.raises(DataError, match="keyframes/classes"):
            read_class_names(String(data=text))
    assert added(("a", "b"), ("c", "a")) == ("a", "b", "c")
