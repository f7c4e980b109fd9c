"""words_node over real DDS: a question on the topic and by service, names, and what cannot be answered."""

from __future__ import annotations

import json
import shutil

import helpers_words
import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_ros import wait_for
from rclpy.parameter import Parameter
from std_msgs.msg import String
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from seg2d3d_ros.language.word_search import FOUND_DOUBTFUL
from seg2d3d_ros.nodes import words_node
from seg2d3d_ros.nodes.words_node import WordsNode
from seg2d3d_ros.ros.node import qos

pytestmark = pytest.mark.ros
NAMES = ["red plaster house", "blue plaster shop", "green plaster tower", "yellow plaster house"]


class Colours:
    """Pictures are their mean colour around grey, texts the colour that they name."""

    name, fingerprint, side, scale = "colours", "1", 32, 20.0
    neutral = np.array([128, 128, 128], np.uint8)

    def load(self):
        pass

    free = load

    def images(self, pictures):
        return self._unit([picture.reshape(-1, 3).mean(axis=0) - picture.mean() for picture in pictures])

    def texts(self, texts):
        shown = [next((np.array(helpers_words.COLORS[c], float) for c in helpers_words.COLORS if c in t), None) for t in texts]
        return self._unit([[1e-3, -2e-3, 1e-3] if color is None else color - color.mean() for color in shown])

    def _unit(self, vectors):
        return np.array([v / np.linalg.norm(v) for v in np.array(vectors, float)], np.float32)


@pytest.fixture
def node(world, tmp_path, monkeypatch):
    monkeypatch.setattr(words_node, "obtain_model", lambda *_: Colours())
    helpers_words.write_words_map(tmp_path / "map", names=NAMES)
    return world.add(WordsNode, map_dir=str(tmp_path / "map"), find_top=2)


def test_a_question_on_the_topic_is_answered_with_ids_places_and_markers(world, node):
    answers = world.collect(String, "words/found", qos.LATCHED)
    markers = world.collect(MarkerArray, "words/markers", qos.LATCHED)
    ask = world.probe.create_publisher(String, "words/query", qos.PROMPTS)
    assert wait_for(lambda: ask.get_subscription_count() == 1)
    ask.publish(String(data="the red one"))
    assert wait_for(lambda: answers and markers)
    answer = json.loads(answers[0].data)
    assert answer["instances"][0]["id"] == 10
    assert answer["instances"][0]["position"] == [100.0, 0.0, 3.0]
    assert len(answer["instances"]) == 2
    placed = [marker for marker in markers[0].markers if marker.ns == "found"]
    assert markers[0].markers[0].action == Marker.DELETEALL
    assert (placed[0].id, placed[0].pose.position.x, placed[0].header.frame_id) == (10, 100.0, "map")
    assert placed[0].scale.x > placed[1].scale.x


def test_services_use_parameters_that_may_change_at_any_time(world, node):
    answer = world.call(Trigger, "words_node/find")
    assert (answer.success, "find_words" in answer.message) == (False, True)
    for words, wanted in (("blue shop", 11), ("green tower", 12)):
        (result,) = node.set_parameters([Parameter("find_words", value=words)])
        assert result.successful
        answer = world.call(Trigger, "words_node/find")
        assert answer.success
        assert json.loads(answer.message)["instances"][0]["id"] == wanted
    node.set_parameters([Parameter("find_words", value="anything")])
    found = json.loads(world.call(Trigger, "words_node/find").message)
    assert found["findings"] == [] or FOUND_DOUBTFUL.code in {item["code"] for item in found["findings"]}
    node.set_parameters([Parameter("classify_labels", value="red, blue, green, yellow")])
    answer = world.call(Trigger, "words_node/classify")
    assert answer.success
    named = {item["id"]: item["class"] for item in json.loads(answer.message)["instances"]}
    assert named == {10: "red", 11: "blue", 12: "green", 13: "yellow"}


def test_a_map_without_instances_says_so(world, node, tmp_path):
    shutil.copy(tmp_path / "map/tracks.json", tmp_path / "kept.json")
    (tmp_path / "map/tracks.json").unlink()
    node.set_parameters([Parameter("find_words", value="red house")])
    answer = world.call(Trigger, "words_node/find")
    assert (answer.success, "no instance yet" in answer.message) == (False, True)
    shutil.copy(tmp_path / "kept.json", tmp_path / "map/tracks.json")
    assert world.call(Trigger, "words_node/find").success
