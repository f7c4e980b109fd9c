"""Second looks between the nodes: asked at flush, answered with the keyframe's segments, solved once more, bounded in time."""

from __future__ import annotations

import dataclasses
import time

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray
from helpers_boards import HEIGHT, WIDTH, Board, boards_world
from helpers_map_nodes import header_of, value
from helpers_ros import own_domain, ros, wait_for
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2
from std_srvs.srv import Trigger

from seg2d3d_ros.association.masks.missed import MissedView, find_missed
from seg2d3d_ros.association.masks.recovered_masks import labels_by
from seg2d3d_ros.association.masks.repair import Repair
from seg2d3d_ros.association.masks.transfer import Transfer
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.nodes import segmentation_node
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.segmentation_node import SegmentationNode
from seg2d3d_ros.pipeline.second_look import asks_of
from seg2d3d_ros.ros.messages import map_messages
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, camera_to_info, image_to_labels, keyframe_name, make_header
from seg2d3d_ros.ros.messages.prompt_messages import PROMPT, PROMPTS_TOPIC, SEGMENTS_TOPIC, cloud_to_asks, prompts_to_cloud
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.segmentation.cache import CachedSegmenter
from seg2d3d_ros.segmentation.models.mask_models import Mask

pytestmark = pytest.mark.ros
DOMAIN = own_domain()
JPEG = encode_jpeg(np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
HOUSES = (Board(-4, 0, 10), Board(0, 4, 10))
PLACES = (-2.0, -1.0, 0.0, 1.0, 2.0)


def named(name):
    """``view2`` -> ``front_3``: keyframes are called after camera and stamp."""
    return f"front_{int(name.removeprefix('view')) + 1}"


def street(missed=frozenset({(2, 1)})):
    """A world under the names of keyframes: model, segments, truth."""
    world = boards_world(HOUSES, PLACES, missed=missed)
    segments = {named(name): dataclasses.replace(item, name=named(name)) for name, item in world.segments.items()}
    truth = {named(name): labels for name, labels in world.truth.items()}
    return dataclasses.replace(world.model, names=tuple(map(named, world.model.names))), segments, truth


class Sam:
    """Finds what the detector of the world finds; asked for a box, answers with ``mask_of(name)``."""

    def __init__(self, segments, mask_of):
        self.segments, self.mask_of, self.runtime, self.looked = segments, mask_of, Runtime(), []

    def load(self):
        self.runtime.device = "cpu"

    def close(self):
        pass

    def segment(self, keyframe):
        return self.segments[keyframe.name]

    def look(self, keyframe, boxes):
        self.looked.append((keyframe.name, len(keyframe.encoded), boxes))
        mask = self.mask_of(keyframe.name)
        if isinstance(mask, Exception):
            raise mask
        return [Mask(region_of(mask), 1.0, 1.0) for _ in boxes]


@pytest.fixture
def world():
    with ros(DOMAIN) as made:
        yield made


class Bench:
    """Both nodes, and a probe in the place of keyframe_node and reconstruction_node."""

    def __init__(self, world, map_dir, monkeypatch, mask_of=None, missed=frozenset({(2, 1)}), **parameters):
        self.world = world
        self.model, self.segments, self.truth = street(missed)
        self.sam = Sam(self.segments, mask_of or (lambda name: self.truth[name] == 1))
        monkeypatch.setattr(
            segmentation_node, "create_segmenter", lambda config, *_: CachedSegmenter(self.sam, ["m"], config, None)
        )
        probe = world.probe
        self.keyframes = probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
        self.observations = probe.create_publisher(PointCloud2, "map/observations", qos.OBSERVATIONS)
        self.points = probe.create_publisher(PointCloud2, "map/points", qos.LATCHED)
        self.cameras = probe.create_publisher(PoseArray, "map/cameras", qos.LATCHED)
        self.infos = probe.create_publisher(CameraInfo, "map/camera_info", qos.OBSERVATIONS)
        self.association = world.add(
            AssociationNode, map_dir=str(map_dir), segments_patience=2.0, association__enough_points=0,
            **{key: item for key, item in parameters.items() if key != "resegment_history"},
        )  # fmt: skip
        self.segmentation = world.add(
            SegmentationNode, segmenter="grounded_sam",
            **{key: item for key, item in parameters.items() if key != "second_look_patience"},
        )  # fmt: skip
        self.sent = world.collect(Image, "keyframes/segments", qos.SEGMENTS)
        publishers = (self.keyframes, self.observations, self.points, self.cameras, self.infos)
        assert wait_for(lambda: all(p.get_subscription_count() for p in publishers))
        assert wait_for(lambda: self.segmentation._publisher.get_subscription_count() == 2)
        self.store = MapStore(map_dir)

    def drive(self):
        headers = {name: header_of(name) for name in self.model.names}
        for header in headers.values():
            self.keyframes.publish(bytes_to_compressed(JPEG, header))
        assert wait_for(lambda: len(self.sent) == len(headers))
        header = make_header(1_700_000_000_000_000_000, "map")
        for name, camera in zip(self.model.names, self.model.cameras, strict=True):
            self.infos.publish(camera_to_info(camera, headers[name]))
        self.cameras.publish(map_messages.cameras_to_poses([self.model], headers, header))
        for name, rows in map_messages.observations_of([self.model]).items():
            self.observations.publish(map_messages.observations_to_cloud(rows, headers[name]))
        self.observations.publish(map_messages.end_mark(header))
        self.points.publish(map_messages.points_to_cloud([self.model], header))

    def flush(self):
        answer = self.world.call(Trigger, "association_node/flush", timeout=40.0)
        assert answer.success, answer.message
        return answer

    def asked(self, name="second looks asked for"):
        return int(value(self.association, name) or 0)


def test_what_was_missed_is_found_and_labelled_before_flush_answers(world, tmp_path, monkeypatch):
    bench = Bench(world, tmp_path, monkeypatch)
    bench.drive()
    bench.flush()
    ((name, size, boxes),) = bench.sam.looked
    assert (name, size, len(boxes)) == ("front_3", len(JPEG), 1)
    rows, columns = np.nonzero(bench.truth[name] == 1)
    np.testing.assert_allclose(boxes[0], [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], atol=3)
    labels = bench.store.read_labels(name)
    np.testing.assert_array_equal(labels > 0, bench.truth[name] > 0)
    assert set(np.unique(labels)) == set(np.unique(bench.store.read_labels("front_2")))
    counts = bench.store.read_metrics()["counts"]
    assert (counts["second_looks"], counts["missed_views"]) == (1, 0)
    # The old segment keeps its number; the new one is marked, with the score of a second look.
    stored = bench.store._read_json("segments/front_3.json", {})
    assert {i: (item["score"], item.get("second_look", False)) for i, item in stored.items()} == {
        "1001": (1.0, False),
        "1002": (0.6, True),
    }
    assert len(bench.sent) == 6
    assert (bench.asked(), bench.asked("second looks answered")) == (1, 1)
    assert value(bench.segmentation, "second looks that found something") == "1"
    bench.flush()
    assert len(bench.sam.looked) == 1


def test_a_mask_that_does_not_agree_leaves_everything_as_it_was_and_is_not_asked_for_again(world, tmp_path, monkeypatch):
    bench = Bench(world, tmp_path, monkeypatch, lambda name: np.ones((HEIGHT, WIDTH), bool))
    bench.drive()
    bench.flush()
    bench.flush()
    assert len(bench.sam.looked) == 1
    assert wait_for(lambda: len(bench.sent) == 6)
    before, after = (image_to_labels(m) for m in bench.sent if keyframe_name(m.header) == "front_3")
    np.testing.assert_array_equal(before, after)
    assert bench.store.read_metrics()["counts"]["missed_views"] == 1
    assert (bench.asked(), bench.asked("second looks answered")) == (1, 1)


def test_a_look_that_fails_is_an_answer_too(world, tmp_path, monkeypatch):
    bench = Bench(world, tmp_path, monkeypatch, lambda name: DataError("no memory"), missed={(2, 1), (3, 2)})
    bench.drive()
    bench.flush()
    assert bench.asked("second looks answered") == 2
    assert "no memory" in bench.segmentation.diagnostics.last_error
    assert bench.store.read_metrics()["counts"]["missed_views"] == 2


def test_many_keyframes_are_asked_for_a_few_at_a_time(world, tmp_path, monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.ros.map_exchange.second_round.AHEAD", 1)
    bench = Bench(world, tmp_path, monkeypatch, missed={(1, 1), (3, 1)})
    bench.drive()
    bench.flush()
    assert [name for name, _, _ in bench.sam.looked] == ["front_2", "front_4"]
    assert bench.store.read_metrics()["counts"]["second_looks"] == 2


def test_all_questions_together_have_a_limit(world, tmp_path, monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.ros.map_exchange.second_round.AHEAD", 1)
    monkeypatch.setattr("seg2d3d_ros.ros.map_exchange.second_round.WHOLE", 0.2)
    bench = Bench(world, tmp_path, monkeypatch, missed={(1, 1), (3, 1)}, second_look_patience=5.0)
    look_again = bench.segmentation._look_again

    def slowly(*arguments):
        time.sleep(1.5)
        look_again(*arguments)

    bench.segmentation._look_again = slowly
    bench.drive()
    bench.flush()
    assert bench.asked() == 1


@pytest.mark.parametrize("off", [{"segmentation__second_look": False}, {"resegment_history": 0}])
def test_nobody_is_asked_where_nobody_can_look(world, tmp_path, monkeypatch, off):
    bench = Bench(world, tmp_path, monkeypatch, **off)
    bench.drive()
    bench.flush()
    assert bench.sam.looked == []
    assert bench.asked() == 0
    assert bench.store.read_metrics()["counts"]["missed_views"] == 1


def test_who_hears_and_does_not_answer_is_not_waited_for_for_ever(world, tmp_path, monkeypatch):
    bench = Bench(world, tmp_path, monkeypatch, segmentation__second_look=False, second_look_patience=0.5)
    # segmentation_node does not listen, and association_node does not ask: both read the same parameter.
    config = bench.association.config
    bench.association.config = dataclasses.replace(
        config, segmentation=dataclasses.replace(config.segmentation, second_look=True)
    )
    heard = world.collect(PointCloud2, PROMPTS_TOPIC, qos.PROMPTS)
    world.probe.create_publisher(Image, SEGMENTS_TOPIC, qos.SEGMENTS)
    assert wait_for(lambda: bench.association._second_round.possible)
    bench.drive()
    began = time.monotonic()
    bench.flush()
    assert time.monotonic() - began < 10
    assert [keyframe_name(message.header) for message in heard] == ["front_3"]
    assert bench.asked("second looks without answer") == 1
    assert not bench.association._second_round.waiting


def test_who_gives_no_answers_is_waited_for_only_once(world, tmp_path, monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.ros.map_exchange.second_round.AHEAD", 1)
    bench = Bench(world, tmp_path, monkeypatch, missed={(1, 1), (3, 1)}, second_look_patience=3.0)
    bench.segmentation._look_again = lambda *_: None
    bench.drive()
    began = time.monotonic()
    bench.flush()
    assert bench.asked() == bench.asked("second looks without answer") == 1
    assert 3 < time.monotonic() - began < 6


def test_a_recorder_that_hears_every_topic_is_not_waited_for(world, tmp_path, monkeypatch):
    bench = Bench(world, tmp_path, monkeypatch, segmentation__second_look=False)
    config = bench.association.config
    bench.association.config = dataclasses.replace(
        config, segmentation=dataclasses.replace(config.segmentation, second_look=True)
    )
    heard = world.collect(PointCloud2, PROMPTS_TOPIC, qos.PROMPTS)
    assert wait_for(lambda: bench.association._second_round._publisher.get_subscription_count() == 1)
    bench.drive()
    bench.flush()
    assert heard == []
    assert bench.asked() == 0


class TestMessages:
    def asks(self):
        world = boards_world(HOUSES, PLACES, missed={(2, 1), (2, 2)})
        incidence, instances = world.solved()
        missed = find_missed([world.model], world.segments, incidence, instances)
        transfer = Transfer([world.model], incidence, instances, labels_by(Repair(incidence, instances), world.segments))
        ((_, asks),) = asks_of(missed, transfer)
        return sorted(asks, key=lambda ask: ask.missed.instance)

    def test_everything_that_is_needed_travels(self):
        asks = self.asks()
        found = cloud_to_asks(prompts_to_cloud(asks, header_of("front_3")), (HEIGHT, WIDTH))
        assert len(found) == len(asks) == 2
        for before, after in zip(asks, found, strict=True):
            assert isinstance(after.missed, MissedView)
            assert (after.missed.name, after.missed.instance, after.missed.class_id) == ("front_3", before.missed.instance, 1)
            np.testing.assert_allclose(after.missed.xy, before.missed.xy, atol=1e-4)
            np.testing.assert_allclose(after.missed.others, before.missed.others, atol=1e-4)
            assert after.expected.box == before.expected.box
            np.testing.assert_array_equal(after.expected.pixels, before.expected.pixels)

    @pytest.mark.parametrize("shape", [(HEIGHT // 2, WIDTH), (HEIGHT, WIDTH // 4)])
    def test_a_region_outside_the_image_is_refused(self, shape):
        with pytest.raises(DataError, match="no region"):
            cloud_to_asks(prompts_to_cloud(self.asks(), header_of("front_3")), shape)

    @pytest.mark.parametrize(
        ("field", "bad", "words"),
        [("u", np.nan, "no numbers"), ("length", 2**32 - 1, "no region"), ("role", 3, "no region"), ("role", 2, "no region")],
    )
    def test_other_nonsense_is_refused(self, field, bad, words):
        message = prompts_to_cloud(self.asks(), header_of("front_3"))
        rows = np.frombuffer(bytes(message.data), PROMPT).copy()
        rows[field] = bad
        with pytest.raises(DataError, match=words):
            cloud_to_asks(map_messages.array_to_cloud(rows, message.header), (HEIGHT, WIDTH))
