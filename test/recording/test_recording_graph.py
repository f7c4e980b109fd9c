"""Cameras found in a running system, by names and types alone."""

from __future__ import annotations

import pytest

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.recording.cameras import CameraTopic, find_cameras, find_segments, resolve_camera

IMAGE, COMPRESSED, INFO = ["sensor_msgs/msg/Image"], ["sensor_msgs/msg/CompressedImage"], ["sensor_msgs/msg/CameraInfo"]

GRAPH = {
    "/front/image_raw": IMAGE,
    "/front/image_raw/compressed": COMPRESSED,
    "/front/image_rect": IMAGE,
    "/front/segments": IMAGE,
    "/front/camera_info": INFO,
    "/left/image": IMAGE,
    "/left/camera_info": INFO,
    "/left/depth/image": IMAGE,
    "/drawing": IMAGE,
    "/seg2d3d/keyframes/image/compressed": COMPRESSED,
    "/seg2d3d/keyframes/camera_info": INFO,
    "/seg2d3d/keyframes/segments": IMAGE,
    "/chatter": ["std_msgs/msg/String"],
}


def test_cameras_are_images_with_a_camera_info_beside_them_and_one_topic_each():
    cameras, left_out = find_cameras(GRAPH, own=["/seg2d3d/keyframes/"])
    assert cameras == [
        CameraTopic("/front/image_raw/compressed", True, "/front/camera_info"),
        CameraTopic("/left/image", False, "/left/camera_info"),
    ]
    assert left_out == dict.fromkeys(
        ("/front/image_raw", "/front/image_rect"), "the same camera as /front/image_raw/compressed"
    )
    assert find_segments(GRAPH, own=["/seg2d3d/keyframes/"]) == ["/front/segments"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("/front/image_raw", CameraTopic("/front/image_raw", False, "/front/camera_info")),
        ("/drawing", CameraTopic("/drawing", False, "/camera_info")),
        (
            "/seg2d3d/keyframes/image",
            CameraTopic("/seg2d3d/keyframes/image/compressed", True, "/seg2d3d/keyframes/camera_info"),
        ),
        ("/nothing", None),
    ],
)
def test_named_cameras(wanted, found):
    assert resolve_camera(wanted, GRAPH) == found


def test_a_named_topic_that_is_no_image_is_refused_with_the_images():
    with pytest.raises(UsageError, match=r"/chatter is a std_msgs/msg/String, not an image; .*/left/image"):
        resolve_camera("/chatter", GRAPH)


def test_a_calibration_below_the_images_counts_and_tells_cameras_of_one_folder_apart():
    names = ["/rig/left", "/rig/right"]
    graph = dict.fromkeys(names, IMAGE) | {f"{name}/camera_info": INFO for name in names}
    cameras, left_out = find_cameras(graph)
    assert cameras == [CameraTopic(name, False, f"{name}/camera_info") for name in names]
    assert left_out == {}
