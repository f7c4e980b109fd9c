"""What drivers really record: no stamps, all transports, depth beside colour, odd formats, masks of every kind."""

from __future__ import annotations

import contextlib
import sqlite3
import sys

import cv2
import numpy as np
import pytest
from helpers_bags import ROS1, ROS2, SECOND, START, jpeg, storage_file, view, write_bag
from helpers_drive_bag import BGR, COUNT, GRAY, SCENE, K, bayer, drive, labels, read, stamp

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.keyframes.bag_keyframes import (
    FIX_TOPICS_LEFT_OUT,
    IMAGE_TOPICS_LEFT_OUT,
    MASK_TOPICS_ASSUMED,
)
from seg2d3d_ros.keyframes.photo_findings import DAMAGED
from seg2d3d_ros.keyframes.streams.bag_pass import WITHOUT_POSITION
from seg2d3d_ros.keyframes.streams.camera_input import IMAGES_OUT_OF_ORDER, IMAGES_UNREADABLE, STAMPS_ZERO
from seg2d3d_ros.keyframes.streams.fixes import FIXES_CLOCK
from seg2d3d_ros.keyframes.streams.recorded_masks import MASKS_TOO_LATE, MASKS_UNREADABLE
from seg2d3d_ros.recording.losses import MESSAGES_UNFIT
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.segmentation.files.bag_segments import NOT_RECORDED, SCALED, RecordedSegments

FRONT, MASKS, INFO = "/front/image/compressed", "/front/segments", "/front/camera_info"


def png(pixels):
    return cv2.imencode(".png", pixels)[1].tobytes()


def front(**options):
    return drive(cameras=("front",), **options)


def edited(records, topic, edit):
    return [(name, log, edit(k, message) if name == topic else message) for k, (name, log, message) in enumerate(records)]


def stamped(message, stamp_ns):
    message.header = ROS2.header(stamp_ns, message.header.frame_id)
    return message


def told(bag):
    return {finding.kind: finding for finding in bag.findings.list()}


def camera_reads(tmp_path, encoded, form):
    """The RGB picture that comes of one compressed image."""
    record = (FRONT, START, ROS2.compressed(START, "front", encoded, form))
    tmp_path.mkdir(exist_ok=True)
    (item,), _ = read(write_bag(tmp_path / "b", [(INFO, START, ROS2.info(START, "front", 160, 120, K)), record]))
    return decode_rgb(item.keyframe.encoded)


def test_the_time_of_recording_stands_in_for_stamps_of_zero(tmp_path):
    records = [(name, log, stamped(message, 0) if "front" in name else message) for name, log, message in front()]
    items, bag = read(write_bag(tmp_path / "b", records))
    assert [item.keyframe.stamp_ns for item in items] == [stamp(i) + 1000 for i in range(COUNT)]
    assert all(item.keyframe.geo is not None for item in items)
    for i, item in enumerate(items):
        np.testing.assert_array_equal(item.segments, labels(i))
    assert told(bag)[STAMPS_ZERO].count == 2 * COUNT
    assert f"{FRONT} {COUNT}" in told(bag)[STAMPS_ZERO].text


def test_images_with_one_and_the_same_stamp_are_counted(tmp_path):
    items, bag = read(write_bag(tmp_path / "b", edited(front(segments=False), FRONT, lambda k, m: stamped(m, START))))
    assert len(items) == 1
    assert told(bag)[IMAGES_OUT_OF_ORDER].count == COUNT - 1


@pytest.mark.parametrize("info", [True, False])
def test_of_all_transports_of_a_camera_one_is_read_and_the_others_are_named(tmp_path, info):
    records = []
    for name, log, message in front(info=info, segments=False):
        if name != FRONT:
            records.append((name, log, message))
            continue
        at = stamp_to_ns(message.header.stamp)
        pixels = cv2.imdecode(message.data, cv2.IMREAD_COLOR)
        base = "/front/image_raw"
        records += [
            (base, log, ROS2.raw(at, "front", pixels, "bgr8")),
            (f"{base}/compressed", log, message),
            (f"{base}/zstd", log, ROS2.compressed(at, "front", b"\x28\xb5\x2f\xfd", "bgr8; zstd compressed")),
            (f"{base}/compressedDepth", log, ROS2.compressed(at, "front", b"", "bgr8; compressedDepth")),
        ]
    items, bag = read(write_bag(tmp_path / "b", records))
    assert [camera.topic for camera in bag.cameras] == ["/front/image_raw/compressed"]
    assert [item.keyframe.camera_name for item in items] == ["front"] * COUNT
    text = told(bag)[IMAGE_TOPICS_LEFT_OUT].text
    for part in ("/front/image_raw: the same camera", "/zstd: the transport zstd", "/compressedDepth: depth"):
        assert part in text


@pytest.mark.parametrize("form", ["16UC1; png compressed ", "16UC1; jpeg compressed ", "32FC1; compressedDepth png"])
def test_depth_images_are_no_camera(tmp_path, form):
    records = front(segments=False)
    for i in range(COUNT):
        encoded = jpeg(GRAY) if "jpeg" in form else png(GRAY.astype(np.uint16) * 20)
        records.append(("/depth/image_rect_raw/compressed", stamp(i), ROS2.compressed(stamp(i), "depth", encoded, form)))
        records.append(("/depth/camera_info", stamp(i), ROS2.info(stamp(i), "depth", 160, 120, K)))
    _, bag = read(write_bag(tmp_path / "b", records))
    assert [camera.topic for camera in bag.cameras] == [FRONT]
    assert "/depth/image_rect_raw/compressed: " in told(bag)[IMAGE_TOPICS_LEFT_OUT].text
    assert "depth" in told(bag)[IMAGE_TOPICS_LEFT_OUT].text


@pytest.mark.parametrize("form", ["", "jpeg", "image/jpeg", "rgb8; jpeg compressed bgr8", "bgr8; jpeg compressed "])
def test_whatever_the_format_is_called_a_jpeg_is_read(tmp_path, form):
    assert np.abs(camera_reads(tmp_path, jpeg(BGR), form).astype(int) - BGR[:, :, ::-1]).mean() < 6


def test_a_mosaic_in_a_compressed_image_becomes_a_picture(tmp_path):
    rgb = camera_reads(tmp_path, png(bayer("rggb")), "bayer_rggb8; png compressed ")
    assert np.abs(rgb.astype(int) - BGR[:, :, ::-1])[2:-2, 2:-2].mean() < 9
    rgb = camera_reads(tmp_path / "again", jpeg(BGR), "bayer_rggb8; jpeg compressed bgr8")
    assert np.abs(rgb.astype(int) - BGR[:, :, ::-1]).mean() < 6, "it was made a picture before"


def test_red_and_blue_that_lie_in_each_others_place_are_mended(tmp_path):
    """``compressed rgb8``: image_transport's own subscribers take the file's channels in this order."""
    rgb = camera_reads(tmp_path, jpeg(BGR[:, :, ::-1]), "rgb8; jpeg compressed rgb8")
    assert np.abs(rgb.astype(int) - BGR[:, :, ::-1]).mean() < 8


@pytest.mark.parametrize("raw", [True, False])
def test_pictures_of_twelve_bits_are_not_dark(tmp_path, raw):
    deep = GRAY.astype(np.uint16) << 4
    if raw:
        record = ("/front/image_raw", START, ROS2.raw(START, "front", deep, "mono16"))
        (item,), _ = read(write_bag(tmp_path / "b", [record]), cameras=["/front/image_raw"])
        rgb = decode_rgb(item.keyframe.encoded)
    else:
        rgb = camera_reads(tmp_path, png(deep), "mono16; png compressed ")
    assert np.abs(rgb[:, :, 0].astype(int) - GRAY).mean() < 4


def test_video_is_named_with_the_way_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    records = [(FRONT, START, ROS2.compressed(START, "front", b"\0\0\0\1\x67" + bytes(200), "h264"))]
    with pytest.raises(DataError, match=r"no camera.*/front/image/compressed is left out: h264 video needs PyAV"):
        read(write_bag(tmp_path / "b", records))


@pytest.mark.parametrize(
    ("encoding", "shape", "size"),
    [("uyvy", (4, 3, 2), 24), ("rgb8", (4, 4, 3), 20), ("mono8", (0, 0, 1), 0), ("bgr8", (1 << 20, 1 << 20, 3), 64)],
)
def test_images_that_their_messages_do_not_hold_are_counted(tmp_path, encoding, shape, size):
    """Odd width of pixels in pairs, missing data, no size, and a size that would fill the memory."""
    height, width, channels = shape
    records = [(name.replace("/compressed", "_color"), log, message) for name, log, message in front(segments=False)]
    good = [ROS2.raw(stamp(i), "front", view(SCENE, 20 * i), "bgr8") for i in range(3)]
    bad = ROS2.raw(stamp(4), "front", view(SCENE, 90), "bgr8")
    bad.height, bad.width, bad.step, bad.encoding = height, width, width * channels, encoding
    bad.data = np.zeros(size, np.uint8)
    records = [("/front/image_color", stamp(i), message) for i, message in enumerate([*good, bad])]
    items, bag = read(write_bag(tmp_path / "b", records))
    assert len(items) == 3
    assert (told(bag)[IMAGES_UNREADABLE].count, told(bag)[IMAGES_UNREADABLE].of) == (1, 4)
    assert "/front/image_color 1: " in told(bag)[IMAGES_UNREADABLE].text


def masks_as(encoding, kind, change=lambda image: image):
    def edit(_, message):
        values = change(np.frombuffer(message.data.tobytes(), "<u2").reshape(message.height, message.width)).astype(kind)
        at = stamp_to_ns(message.header.stamp)
        return ROS2.raw(at, "front", np.ascontiguousarray(values), encoding)

    return edit


@pytest.mark.parametrize(
    ("encoding", "kind"), [("32SC1", "<i4"), ("16SC1", "<i2"), ("16UC1", "<u2"), ("mono8", "u1"), ("8UC1", "u1")]
)
def test_masks_of_any_whole_numbers(tmp_path, encoding, kind):
    def small(image):
        return image % 250 if kind == "u1" else np.where(image > 0, image.astype(int), -1 if "i" in kind else 0)

    items, bag = read(write_bag(tmp_path / "b", edited(front(), MASKS, masks_as(encoding, kind, small))))
    for i, item in enumerate(items):
        np.testing.assert_array_equal(item.segments, labels(i) % 250 if kind == "u1" else labels(i))
    assert told(bag) == {}


def test_masks_that_are_no_ids_are_named(tmp_path):
    edit = masks_as("rgb8", "u1", lambda image: np.dstack([image] * 3))
    items, bag = read(write_bag(tmp_path / "b", edited(front(), MASKS, edit)))
    assert all(item.segments is None for item in items)
    assert told(bag)[MASKS_UNREADABLE].count == COUNT
    assert "rgb8, which are no ids; publish them as mono16" in told(bag)[MASKS_UNREADABLE].text


@pytest.mark.parametrize("late_ms", [3, -3])
def test_masks_with_the_segmenters_own_stamps(tmp_path, late_ms):
    records = edited(front(), MASKS, lambda k, m: stamped(m, stamp_to_ns(m.header.stamp) + late_ms * 10**6))
    path = write_bag(tmp_path / "b", records)
    for i, item in enumerate(read(path)[0]):
        np.testing.assert_array_equal(item.segments, labels(i))
    items, _ = read(path, tolerance=0.001)
    assert all(item.segments is None for item in items)
    assert "the nearest mask is 3 ms off" in items[COUNT // 2].reason
    assert "stamp_tolerance" in items[COUNT // 2].reason


def test_masks_that_were_recorded_too_late_are_told(tmp_path):
    records = [(name, log + (20 * SECOND if name == MASKS else 0), message) for name, log, message in front(count=40)]
    _, bag = read(write_bag(tmp_path / "b", records))
    assert told(bag)[MASKS_TOO_LATE].count > 10
    assert "up to 20 s after" in told(bag)[MASKS_TOO_LATE].text


def test_the_only_masks_of_a_frame_are_found_under_another_name(tmp_path):
    records = [("/sam/masks" if name == MASKS else name, log, message) for name, log, message in front()]
    items, bag = read(write_bag(tmp_path / "b", records))
    assert all(item.segments is not None for item in items)
    assert f"/sam/masks for {FRONT}" in told(bag)[MASK_TOPICS_ASSUMED].text
    again = [("/other/labels", log, message) for name, log, message in records if name == "/sam/masks"]
    items, bag = read(write_bag(tmp_path / "two", records + again))
    assert all(item.segments is None for item in items), "of two nobody knows which"
    assert "these may be masks: /other/labels, /sam/masks" in bag.without_masks()


def test_masks_of_half_the_size_are_scaled(tmp_path):
    halved = masks_as("mono16", "<u2", lambda image: image[::2, ::2])
    items, _ = read(write_bag(tmp_path / "b", edited(front(), MASKS, halved)))
    findings = Findings()
    recorded = RecordedSegments(items, 2, 0.0, findings)
    for i, keyframe in enumerate(recorded.keyframes()):
        agree = (recorded.segment(keyframe).labels == labels(i)).mean()
        assert agree > 0.97
    (found,) = findings.list()
    assert (found.kind, found.count) == (SCALED, COUNT)


def test_why_there_are_no_masks_reaches_the_person(tmp_path):
    items, bag = read(write_bag(tmp_path / "b", front(segments=False)))
    findings = Findings()
    recorded = RecordedSegments(items, 1, 0.0, findings, bag.without_masks())
    for keyframe in recorded.keyframes():
        recorded.segment(keyframe)
    (found,) = findings.list()
    assert (found.kind, found.count) == (NOT_RECORDED, COUNT)
    assert f"no topic called segments beside {FRONT}" in found.text


def test_positions_by_another_clock_are_not_used_and_measured(tmp_path):
    records = edited(
        front(), "/fix", lambda k, m: stamped(m, m.header.stamp.sec * SECOND + m.header.stamp.nanosec + 18 * SECOND)
    )
    items, bag = read(write_bag(tmp_path / "b", records))
    assert all(item.keyframe.geo is None for item in items)
    assert "+18.0 s off" in told(bag)[FIXES_CLOCK].text
    assert (told(bag)[WITHOUT_POSITION].count, told(bag)[WITHOUT_POSITION].of) == (COUNT, COUNT)


def test_of_two_receivers_the_busier_is_read_and_the_other_named(tmp_path):
    records = [*front(), ("/spare/fix", START, ROS2.fix(START, 10.0, 13.0))]
    _, bag = read(write_bag(tmp_path / "b", records))
    assert "/spare/fix" in told(bag)[FIX_TOPICS_LEFT_OUT].text
    assert "/fix has most messages" in told(bag)[FIX_TOPICS_LEFT_OUT].text


def test_a_picture_that_is_damaged_inside_is_used_and_counted(tmp_path):
    pytest.importorskip("simplejpeg")
    torn = bytearray(jpeg(BGR))
    middle = len(torn) // 2
    del torn[middle : middle + 400]
    record = (FRONT, START, ROS2.compressed(START, "front", bytes(torn)))
    items, bag = read(write_bag(tmp_path / "b", [record]))
    assert len(items) == 1
    assert told(bag)[DAMAGED].count == 1


@pytest.mark.parametrize("storage", ["mcap", "db3", "bag"])
def test_random_damage_ends_in_words(tmp_path, storage):
    """Whatever bytes change or are missing, the rest is read or the recording is refused."""
    rng = np.random.default_rng(7)
    records = drive(ROS1 if storage == "bag" else ROS2, cameras=("front",), count=3, segments=storage != "bag")
    path = write_bag(tmp_path / f"whole.{storage}", records, storage)
    file = path if path.is_file() else storage_file(path)
    whole = file.read_bytes()
    damaged = tmp_path / f"damaged.{storage}"
    for _ in range(8):
        data = bytearray(whole)
        for at in rng.integers(0, len(data) - 100, int(rng.integers(1, 25))):
            if rng.random() < 0.3:
                del data[at : at + int(rng.integers(1, 40))]
            else:
                data[at : at + 4] = rng.bytes(4) if rng.random() < 0.5 else b"\xff" * 4
        damaged.write_bytes(data)
        with contextlib.suppress(DataError, UsageError):
            items, bag = read(damaged)
            assert len(items) == bag.counts["kept"]


def test_a_topics_row_that_holds_anything_is_survived(tmp_path):
    file = storage_file(write_bag(tmp_path / "b", front(segments=False), "db3"))
    with sqlite3.connect(file) as database:
        database.execute("UPDATE topics SET offered_qos_profiles = x'ff00', serialization_format = 7 WHERE name = '/fix'")
    items, bag = read(file)
    assert len(items) == COUNT
    assert told(bag)[MESSAGES_UNFIT].count == 2 * COUNT + 1
