"""What cloud_node keeps beside its work: the file of all scans, room on disk, threads, findings, and a reset."""

from __future__ import annotations

import threading

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_cloud_bench import SECOND, STAMP, START, Bench, check_labels, drive, wall
from helpers_ros import wait_for
from lifecycle_msgs.srv import GetState
from std_srvs.srv import Trigger

from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.nodes import cloud_node
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, labels_to_image, make_header
from seg2d3d_ros.ros.node.error_reports import MESSAGES_REFUSED

pytestmark = pytest.mark.ros


def test_the_file_has_all_scans_with_the_final_labels_also_those_of_an_earlier_run(world, tmp_path):
    """Also where the live queue had dropped them."""
    bench, file = Bench(world, tmp_path, cloud_queue=1), tmp_path / "map/cloud.ply"
    bench.send_scan(1.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 1)
    assert not file.exists(), "before the map is finalized"
    check_labels(bench.clouds[0])
    for seconds in (9.0, 9.5):
        bench.send_scan(seconds)
    assert wait_for(lambda: bench.node._counts["scans dropped"] == 1)
    bench.send_map(drive(11), STAMP + 1)
    bench.send_labels(drive(11), STAMP + 1, instance=7)
    assert bench.flush().message == "2 scans labelled, cloud.ply: 450 points of 3 scans, 450 seen by keyframes, 450 labelled"
    points = read_points(file, CLOUD_POINT)
    np.testing.assert_allclose(np.stack([points[k] for k in "xyz"], axis=1), np.tile(wall(), (3, 1)), atol=1e-3)
    left = points["x"] < 1.3
    assert set(points["instance"][left]) == {7}

    bench.node.trigger_deactivate()
    bench.node.trigger_activate()
    assert wait_for(lambda: all(p.get_subscription_count() for p in bench.out.values()))
    bench.send_map(drive(11), STAMP + 2)
    bench.send_labels(drive(11), STAMP + 2, instance=8)
    assert wait_for(lambda: bench.node._topic), "it found the LiDAR again"
    assert bench.flush().message == "0 scans labelled, cloud.ply: 450 points of 3 scans, 450 seen by keyframes, 450 labelled"
    assert set(read_points(file, CLOUD_POINT)["instance"][left]) == {8}


def test_a_node_that_is_stopped_writes_no_half_file(world, tmp_path, monkeypatch):
    bench = Bench(world, tmp_path)
    write_cloud = cloud_node.write_cloud

    def stopped(*arguments):
        bench.node.stopping.set()
        write_cloud(*arguments)

    monkeypatch.setattr(cloud_node, "write_cloud", stopped)
    bench.send_scan(1.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 1)
    answer = bench.flush()
    assert not answer.success
    assert "stopped before cloud.ply was written" in answer.message
    assert [path.name for path in (tmp_path / "map").iterdir()] == ["scans"]


def test_without_room_on_disk_no_file_is_written(world, tmp_path):
    bench = Bench(world, tmp_path, cloud_disk=0.0)
    bench.send_scan(1.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert bench.flush().message == "1 scans labelled"
    assert not (tmp_path / "map/cloud.ply").exists()
    assert not (tmp_path / "map/scans").exists()


def test_reading_and_encoding_is_no_work_for_callbacks_and_its_errors_are_said(world, tmp_path, monkeypatch):
    """The node answers while a scan is read; a cloud without x, y, z ends nothing."""
    at_work, gate, threads = threading.Event(), threading.Event(), set()
    read_scan, encode_png = cloud_node.read_scan, cloud_node.encode_png

    def slowly(message, topic):
        threads.add(threading.current_thread().name)
        at_work.set()
        assert gate.wait(20)
        return read_scan(message, topic)

    def encoded(image):
        threads.add(threading.current_thread().name)
        return encode_png(image)

    monkeypatch.setattr(cloud_node, "read_scan", slowly)
    monkeypatch.setattr(cloud_node, "encode_png", encoded)
    bench = Bench(world, tmp_path)
    bench.out["lidar"].publish(array_to_cloud(np.zeros(3, np.dtype([("range", "f4")])), make_header(START + SECOND, "lidar")))
    assert at_work.wait(10)
    assert world.call(GetState, "cloud_node/get_state", timeout=5.0).current_state.label == "active"
    gate.set()
    bench.send_scan(2.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    assert wait_for(lambda: len(bench.clouds) == 1)
    assert threads == {"scans", "labels"}
    (found,) = bench.node.diagnostics.findings.list()
    assert found.kind == MESSAGES_REFUSED
    assert "no field x, y, z" in found.text


def test_what_is_dropped_is_a_finding_and_a_reset_forgets_all(world, tmp_path):
    bench = Bench(world, tmp_path, cloud_queue=1)
    bench.send_scan(1.0)
    bench.send_scan(2.0)
    assert wait_for(lambda: bench.node._counts["scans dropped"] == 1)
    bench.node._labels_dropped(labels_to_image(np.zeros((2, 2), np.uint16), make_header(START, "front")))
    found = {finding.kind: finding.count for finding in bench.node.diagnostics.findings.list()}
    assert found == {cloud_node.SCANS_DROPPED: 1, cloud_node.LABELS_DROPPED: 1}
    assert wait_for(lambda: len(bench.node._kept) == 2)
    assert world.call(Trigger, "cloud_node/reset").success
    assert bench.node.diagnostics.findings.list() == []
    assert len(bench.node._waiting) == len(bench.node._kept) == 0
    assert not (tmp_path / "map/scans").exists()
    bench.send_scan(1.0)
    assert wait_for(lambda: len(bench.node._kept) == 1), "a new drive is taken"


def test_the_end_of_the_scans_is_no_warning(world, tmp_path):
    bench = Bench(world, tmp_path)
    bench.send_scan(2.5)
    bench.send_map(drive())
    bench.send_labels(drive())
    bench.flush()
    (lidar,) = (watched for topic, watched in bench.node.diagnostics._inputs.items() if topic == "/lidar/points")
    lidar.times[-1] -= 300.0  # five minutes later
    assert "no data" not in bench.node.diagnostics.status().message
    bench.send_scan(2.9)
    assert wait_for(lambda: lidar.count == 2)
    lidar.times[-1] -= 300.0
    assert "s on /lidar/points (" in bench.node.diagnostics.status().message, "it had begun again"
