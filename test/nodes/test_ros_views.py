"""RViz's and Foxglove's files against running nodes: each topic that they show exists, and its display takes its type."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

pytest.importorskip("rclpy")

from helpers_map_nodes import header_of, scene
from helpers_ros import wait_for
from sensor_msgs.msg import CompressedImage, Image

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.cloud_node import CloudNode
from seg2d3d_ros.nodes.pipeline import NODES
from seg2d3d_ros.nodes.prompt_node import PromptNode
from seg2d3d_ros.nodes.segmentation_node import SegmentationNode
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.ros.map_exchange.overlay_publisher import OVERLAY_TOPIC
from seg2d3d_ros.ros.node.qos import LABELS
from seg2d3d_ros.types import Keyframe

pytestmark = pytest.mark.ros
CONFIG = Path(__file__).parents[2] / "config"
NAMESPACE = "/seg2d3d/"
RVIZ = {
    "PointCloud2": {"sensor_msgs/msg/PointCloud2"},
    "MarkerArray": {"visualization_msgs/msg/MarkerArray"},
    "PoseArray": {"geometry_msgs/msg/PoseArray"},
    "Image": {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"},
}
"""What the displays of rviz_default_plugins take."""
FOXGLOVE_3D = {
    "sensor_msgs/msg/PointCloud2",
    "visualization_msgs/msg/MarkerArray",
    "geometry_msgs/msg/PoseArray",
    "nav_msgs/msg/Path",
}
IMAGES = {"sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"}


def displays():
    document = yaml.safe_load((CONFIG / "seg2d3d.rviz").read_text())
    return [item for item in document["Visualization Manager"]["Displays"] if "Topic" in item]


def panels():
    return json.loads((CONFIG / "foxglove.json").read_text())["configById"]


def test_each_view_shows_what_the_nodes_publish(world, tmp_path):
    own = {SegmentationNode: {"segmentation__segmenter": "topic"}, CloudNode: {"cloud_topic": "/lidar/points"}}
    for node in (*NODES, CloudNode, PromptNode):
        world.add(node, map_dir=str(tmp_path), **own.get(node, {}))
    wanted = {NAMESPACE + item["Topic"]["Value"] for item in displays()}
    wanted |= set(panels()["3D!map"]["topics"])

    def published():
        return {name: set(types) for name, types in world.probe.get_topic_names_and_types()}

    assert wait_for(lambda: wanted <= set(published())), wanted - set(published())
    types = published()
    for item in displays():
        topic, kind = NAMESPACE + item["Topic"]["Value"], item["Class"].removeprefix("rviz_default_plugins/")
        assert types[topic] <= RVIZ[kind], f"{item['Name']}: {topic} is {types[topic]}"
        offered = {info.qos_profile.durability.name for info in world.probe.get_publishers_info_by_topic(topic)}
        durability = item["Topic"]["Durability Policy"].upper().replace(" ", "_")
        assert durability == "VOLATILE" or offered == {durability}, f"{item['Name']}: RViz would get nothing"
    for topic in panels()["3D!map"]["topics"]:
        assert types[topic] <= FOXGLOVE_3D, topic
    for name, panel in panels().items():
        mode = panel.get("imageMode", {})
        if "imageTopic" in mode:
            assert types[mode["imageTopic"]] <= IMAGES, name
        if "calibrationTopic" in mode:
            assert types[mode["calibrationTopic"]] == {"sensor_msgs/msg/CameraInfo"}, name
    assert types[panels()["DiagnosticSummary!all"]["topicToRender"]] == {"diagnostic_msgs/msg/DiagnosticArray"}
    services = dict(world.probe.get_service_names_and_types())
    assert services[panels()["CallService!finalize"]["serviceName"]] == ["std_srvs/srv/Trigger"]


def test_both_views_show_cloud_boxes_cameras_and_the_label_overlay():
    shown = {item["Topic"]["Value"] for item in displays() if item["Enabled"]}
    wanted = {"instances/points", "instances/markers", "map/cameras", OVERLAY_TOPIC}
    assert wanted <= shown
    visible = {topic.removeprefix(NAMESPACE) for topic, how in panels()["3D!map"]["topics"].items() if how["visible"]}
    images = {panel["imageMode"]["imageTopic"].removeprefix(NAMESPACE) for panel in panels().values() if panel.get("imageMode")}
    assert wanted <= visible | images


def test_the_overlay_is_drawn_for_listeners_from_the_newest_image_of_each_camera(world, tmp_path, monkeypatch):
    model, segments = scene(4)
    store, photo = MapStore(tmp_path), np.full((*segments["front_1"].labels.shape, 3), 128, np.uint8)
    records = []
    for k, name in enumerate(model.names, 1):
        keyframe = Keyframe(name, "front" if k < 4 else "rear", k, encode_jpeg(photo), file_name=f"{name}.jpg")
        records.append(KeyframeRecord.of(keyframe, store.write_image(keyframe).relative_to(tmp_path)))
    node = world.add(AssociationNode, map_dir=str(tmp_path), association__min_images=2, association__min_points=3)
    store.write_keyframes(records)
    for name, item in segments.items():
        node._headers[name] = header_of(name)
        node._session.receive(item)
    monkeypatch.setattr(node._receiver, "models", lambda: [model])
    labels = world.collect(Image, "instances/labels", LABELS)
    assert wait_for(lambda: node._publisher._labels.get_subscription_count())
    node._associating.put((("map", 1), True))
    assert wait_for(lambda: len(labels) == 4)
    latest = node._session.latest
    assert node._overlays.send(latest) == 0, "nobody listens"
    pictures = world.collect(CompressedImage, OVERLAY_TOPIC, LABELS)
    assert wait_for(lambda: node._overlays._publisher.get_subscription_count())
    node._session.receive(segments["front_4"])
    node._associating.put((("map", 2), True))
    assert wait_for(lambda: node._done == ("map", 2) and not node._updating.locked())
    assert node._overlays.send(latest) == 2
    assert wait_for(lambda: len(pictures) >= 2)
    assert {message.header.stamp.nanosec for message in pictures} <= {3, 4}, "the newest of front, and that of rear"
    image = cv2.cvtColor(cv2.imdecode(np.frombuffer(pictures[-1].data, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    shown = latest.labels["front_4"].image()
    inside = cv2.erode((shown == 1).astype(np.uint8), np.ones((5, 5))) > 0
    towards = instance_colors([1])[0].astype(int) - 128
    assert np.corrcoef(np.median(image[inside], axis=0) - 128, towards)[0, 1] > 0.9
