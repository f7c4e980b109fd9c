"""What needs no messages: matching by key, the worker, and cameras found in a graph."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.keyframes.waiting import Matcher
from seg2d3d_ros.recording.graph_topics import CameraTopic, find_cameras, find_segments, resolve_camera
from seg2d3d_ros.ros.node.worker_thread import Worker

IMAGE, COMPRESSED, INFO = ["sensor_msgs/msg/Image"], ["sensor_msgs/msg/CompressedImage"], ["sensor_msgs/msg/CameraInfo"]


@given(st.permutations([(part, key) for part in ("image", "info", "fix") for key in range(4)]))
def test_parts_are_brought_together_in_whatever_order_they_come(arrivals):
    matcher = Matcher("image", ("info", "fix"), timeout=1.0)
    given_out = [bundle for part, key in arrivals if (bundle := matcher.add(part, key, (part, key), 0.0))]
    assert sorted(bundle["image"][1] for bundle in given_out) == [0, 1, 2, 3]
    assert all(bundle == {part: (part, bundle["image"][1]) for part in ("image", "info", "fix")} for bundle in given_out)
    assert matcher.pending == 0


def test_an_image_waits_from_its_own_arrival_and_then_goes_alone():
    matcher = Matcher("image", ("segments",), timeout=1.0)
    assert matcher.add("image", "a", 1, now=5.0) is None
    assert matcher.expired(5.9) == []
    assert matcher.expired(6.0) == [{"image": 1}]
    assert matcher.add("segments", "a", 2, now=6.1) is None
    assert (matcher.late, matcher.pending) == (1, 0)
    assert matcher.expired(100.0) == []


def test_an_early_part_does_not_shorten_the_wait_for_the_others():
    matcher = Matcher("image", ("info", "fix"), timeout=1.0)
    matcher.add("info", "a", 2, now=0.0)
    matcher.add("image", "a", 1, now=5.0)
    assert matcher.expired(5.5) == []
    assert matcher.expired(6.0) == [{"info": 2, "image": 1}]


def test_segments_without_image_never_expire_and_make_room_first():
    matcher = Matcher("image", ("segments",), timeout=1.0, capacity=3)
    matcher.add("image", 0, "i", 0.0)
    for key in (1, 2, 3, 4):
        matcher.add("segments", key, "s", 0.0)
    assert matcher.add("image", 1, "i", 0.0) is None, "its segments had to go"
    assert matcher.add("image", 4, "i", 0.0) == {"segments": "s", "image": "i"}
    assert matcher.evicted == 0
    assert len(matcher.expired(10.0)) == 2


def test_images_beyond_the_capacity_are_counted():
    matcher = Matcher("image", ("segments",), timeout=1.0, capacity=2)
    for key in range(5):
        matcher.add("image", key, key, 0.0)
    assert (matcher.evicted, [b["image"] for b in matcher.expired(9.0)]) == (3, [3, 4])


def test_a_worker_goes_on_after_errors_and_tells_them():
    errors, done = [], []

    def work(item):
        if item % 2:
            raise ValueError(item)
        done.append(item)

    worker = Worker("w", work, on_error=lambda name, error: errors.append((name, error.args)))
    for item in range(4):
        worker.put(item)
    assert worker.drain(5)
    assert (done, errors) == ([0, 2], [("w", (1,)), ("w", (3,))])
    assert (worker.done, worker.failed, worker.last_error) == (2, 2, "ValueError: 3")
    assert worker.close()
    assert worker.close()
    assert not worker.put(5)


def test_closing_a_worker_waits_for_the_item_at_work_and_forgets_the_others():
    begun, gate, done = threading.Event(), threading.Event(), []
    worker = Worker("w", lambda item: (begun.set(), gate.wait(5), done.append(item)))
    worker.put(1)
    worker.put(2)
    assert begun.wait(5)
    assert not worker.close(timeout=0.05), "the item is still at work"
    gate.set()
    assert worker.close()
    assert done == [1]


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
    assert left_out == dict.fromkeys(("/front/image_raw", "/front/image_rect"), "/front/image_raw/compressed")
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
