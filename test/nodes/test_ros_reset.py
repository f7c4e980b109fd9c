"""reset, with reconstruction_node and association_node together: late subscribers see the empty map, and nothing is printed."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy")

from geometry_msgs.msg import PoseArray
from helpers_map_nodes import header_of, scene, value
from helpers_reconstruction_node import PreparedWorker
from helpers_ros import wait_for
from nav_msgs.msg import Path
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, NavSatFix, PointCloud2
from std_srvs.srv import Trigger
from visualization_msgs.msg import Marker, MarkerArray

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.ros.map_exchange import map_completion
from seg2d3d_ros.ros.messages.conversion import bytes_to_compressed, fix_from_geo, labels_to_image
from seg2d3d_ros.ros.node import qos
from seg2d3d_ros.segmentation.encoding import to_mono16

pytestmark = pytest.mark.ros

LATCHED = {
    "map/points": PointCloud2,
    "map/cameras": PoseArray,
    "map/path/front": Path,
    "map/datum": NavSatFix,
    "instances/points": PointCloud2,
    "instances/markers": MarkerArray,
}


def content(world) -> dict[str, object]:
    """What a subscriber that comes now gets on each latched topic."""
    heard = {topic: world.collect(kind, topic, qos.LATCHED) for topic, kind in LATCHED.items()}
    assert wait_for(lambda: all(heard.values())), [topic for topic, messages in heard.items() if not messages]
    found = {topic: messages[-1] for topic, messages in heard.items()}
    return {
        "map/points": found["map/points"].width,
        "map/cameras": len(found["map/cameras"].poses),
        "map/path/front": len(found["map/path/front"].poses),
        "map/datum": found["map/datum"].latitude,
        "instances/points": found["instances/points"].width,
        "instances/markers": [marker.action for marker in found["instances/markers"].markers],
    }


def test_after_a_reset_every_latched_topic_is_empty_for_who_comes_late(world, tmp_path, monkeypatch, capfd):
    monkeypatch.setattr(PreparedWorker, "models", {4: scene(4)[0]})
    monkeypatch.setattr(reconstruction_node, "worker_factory", lambda *_: PreparedWorker)
    monkeypatch.setattr(map_completion, "write_report_if_possible", lambda _store: "no report")
    images = world.probe.create_publisher(CompressedImage, "keyframes/image/compressed", qos.KEYFRAMES)
    infos = world.probe.create_publisher(CameraInfo, "keyframes/camera_info", qos.KEYFRAMES)
    fixes = world.probe.create_publisher(NavSatFix, "keyframes/fix", qos.KEYFRAMES)
    masks = world.probe.create_publisher(Image, "keyframes/segments", qos.SEGMENTS)
    options = {"association__min_points": 3, "association__min_images": 2, "segments_patience": 1.0}
    association = world.add(AssociationNode, map_dir=str(tmp_path), **options)
    node = world.add(ReconstructionNode, map_dir=str(tmp_path), update_idle=1000.0)
    outputs = (images, infos, fixes, masks)
    assert wait_for(lambda: all(publisher.get_subscription_count() for publisher in outputs))

    def drive():
        for k, (name, segments) in enumerate(scene(4)[1].items()):
            infos.publish(CameraInfo(header=header_of(name)))
            fixes.publish(fix_from_geo(None, header_of(name)))
            picture = encode_jpeg(np.full((48, 64, 3), 50 + 20 * k, np.uint8))
            images.publish(bytes_to_compressed(picture, header_of(name)))
            masks.publish(labels_to_image(to_mono16(segments), header_of(name)))
        assert wait_for(lambda: value(node, "keyframes received") == value(association, "keyframes with segments") == "4")
        answer = world.call(Trigger, "finalize")
        assert answer.success, answer.message
        assert "2 instances" in answer.message

    drive()
    before = content(world)
    assert before["map/points"] == before["instances/points"] == 40
    assert before["map/cameras"] == before["map/path/front"] == 4
    assert before["map/datum"] == pytest.approx(55.7)
    assert before["instances/markers"].count(Marker.ADD) == 4

    capfd.readouterr()
    assert world.call(Trigger, "reset").success
    assert wait_for(lambda: association._receiver.revision is not None and not association._receiver.names)
    assert wait_for(lambda: association._associating.pending == 0 and node._publishing.pending == 0)
    after = content(world)
    assert after.pop("instances/markers") == [Marker.DELETEALL]
    assert np.isnan(after.pop("map/datum"))
    assert set(after.values()) == {0}, after
    printed = "".join(capfd.readouterr())
    assert "Traceback" not in printed, printed
    assert "ERROR" not in printed, printed
    assert not (tmp_path / "labels").exists()
    drive()  # a new map grows
