"""Which topics of a bag are cameras, and what belongs to each."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers_bags import ROS2, START, jpeg, view, wall, write_bag

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.keyframes.bag_keyframes import read_bag
from seg2d3d_ros.recording.cameras import CameraTopic

BGR = view(wall(), 0)
GRAY = cv2.cvtColor(BGR, cv2.COLOR_BGR2GRAY)
K = (120.0, 121.0, 79.5, 59.5)


def topics_of(tmp_path, records, **options):
    with read_bag(write_bag(tmp_path / "b", records), **options) as bag:
        return [(c.topic, c.name) for c in bag.cameras], bag.left_out


def shot(topic, frame, kind="bgr8"):
    if topic.endswith("compressed"):
        return topic, START, ROS2.compressed(START, frame, jpeg(BGR))
    return topic, START, ROS2.raw(START, frame, {"bgr8": BGR, "mono8": GRAY, "16UC1": GRAY.astype(np.uint16)}[kind], kind)


def calibration(topic, frame):
    return topic, START, ROS2.info(START, frame, 160, 120, K)


def test_one_topic_for_each_camera(tmp_path):
    records = [
        shot("/cam/image_raw", "optical"),
        shot("/cam/image_raw/compressed", "optical"),
        shot("/cam/image_mono", "optical", "mono8"),
        shot("/cam/image_rect_color", "optical"),
        shot("/cam/depth", "optical", "16UC1"),
        calibration("/cam/camera_info", "optical"),
        shot("/detector/drawing", "optical"),
        shot("/other/image_raw", "other/optical frame"),
    ]
    cameras, left_out = topics_of(tmp_path, records)
    assert cameras == [("/cam/image_raw/compressed", "optical"), ("/other/image_raw", "other_optical_frame")]
    assert sorted(left_out) == ["/cam/depth", "/cam/image_mono", "/cam/image_raw", "/cam/image_rect_color", "/detector/drawing"]


def test_the_cameras_own_picture_goes_before_grey_and_rectified_ones(tmp_path):
    records = [shot("/cam/image_mono", "optical", "mono8"), shot("/cam/image_color", "optical")]
    records += [shot("/cam/a_rect", "optical"), calibration("/cam/camera_info", "optical")]
    assert topics_of(tmp_path, records)[0] == [("/cam/image_color", "optical")]


@pytest.mark.parametrize(
    ("topic", "rectified"),
    [
        ("/left/image_rect", True),
        ("/left/image_rect_color/compressed", True),
        ("/camera/infra1/image_rect_raw", True),
        ("/left/image_rectified", True),
        ("/zed/rgb/color/rect/image", True),
        ("/zed/rgb/color/raw/image", False),
        ("/front/image_raw", False),
        ("/direct/image", False),
        ("/front/direct_image", False),
        ("/front/image_corrected", False),
        ("/correct_cam/image_raw", False),
        ("/rect_lab/front/image_raw", False),
    ],
)
def test_rectified_images_are_told_by_a_word_not_by_letters_within_another(topic, rectified):
    assert CameraTopic(topic, False, "").rectified == rectified


def test_colour_goes_before_what_is_compressed(tmp_path):
    records = [shot("/cam/a_mono/compressed", "optical"), shot("/cam/image_color", "optical")]
    assert topics_of(tmp_path, records)[0] == [("/cam/image_color", "optical")]


def test_a_cameras_segments_are_neither_a_camera_nor_left_out(tmp_path):
    records = [shot("/cam/image", "optical"), shot("/cam/segments", "optical", "16UC1")]
    with read_bag(write_bag(tmp_path / "b", records)) as bag:
        assert [(camera.topic, camera.segments) for camera in bag.cameras] == [("/cam/image", "/cam/segments")]
        assert bag.left_out == {}


def test_named_cameras(tmp_path):
    records = [shot("/a/image/compressed", "a"), shot("/b/image", "b"), shot("/c/depth", "c", "16UC1")]
    path = write_bag(tmp_path / "b", records)
    for names, wanted in {
        ("/b/image",): ["/b/image"],
        ("a/image", "/b/image"): ["/a/image/compressed", "/b/image"],
        ("/c/depth",): ["/c/depth"],
    }.items():
        with read_bag(path, cameras=names) as bag:
            assert [camera.topic for camera in bag.cameras] == wanted
    with pytest.raises(UsageError, match=r"/d/image is not in the recording.*/a/image/compressed, /b/image"):
        read_bag(path, cameras=["/d/image"])


def test_two_cameras_that_claim_one_frame_stay_apart(tmp_path):
    records = [shot("/cam0/image", "camera"), shot("/cam1/image", "camera")]
    records += [calibration("/cam0/camera_info", "camera"), calibration("/cam1/camera_info", "camera")]
    cameras, _ = topics_of(tmp_path, records)
    assert cameras == [("/cam0/image", "cam0_camera"), ("/cam1/image", "cam1_camera")]


def test_a_calibration_below_the_images_counts_as_one(tmp_path):
    records = [shot("/cam/image_raw", "optical"), calibration("/cam/image_raw/camera_info", "optical")]
    with read_bag(write_bag(tmp_path / "b", records)) as bag:
        assert [(c.topic, c.info_topic) for c in bag.cameras] == [("/cam/image_raw", "/cam/image_raw/camera_info")]
        assert bag.findings.list() == []


def test_no_frame_id_takes_the_topics_name(tmp_path):
    assert topics_of(tmp_path, [shot("/rig/cam0/image", "")])[0] == [("/rig/cam0/image", "rig_cam0")]
