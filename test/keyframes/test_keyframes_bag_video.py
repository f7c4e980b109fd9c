"""Video in bags: H.264 and H.265 in the messages of three packages, from the first keyframe on, and what is lost."""

from __future__ import annotations

from fractions import Fraction

import cv2
import numpy as np
import pytest
from helpers_bags import JAZZY, ROS2, SECOND, START, jpeg, view, write_bag
from helpers_drive_bag import SCENE, K, read
from rosbags.typesys import get_types_from_msg

from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.recording.video.h264_gaps import FrameNumbers
from seg2d3d_ros.recording.video.video_stream import BEFORE_KEYFRAME, VIDEO_LOST

av = pytest.importorskip("av")
COUNT, GROUP = 24, 8
"""Pictures, and from one keyframe to the next."""
FOXGLOVE, FFMPEG = "foxglove_msgs/msg/CompressedVideo", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"
DEFINITIONS = {
    FOXGLOVE: "builtin_interfaces/Time timestamp\nstring frame_id\nuint8[] data\nstring format\n",
    FFMPEG: "std_msgs/Header header\nint32 width\nint32 height\nstring encoding\nuint64 pts\nuint8 flags\n"
    "bool is_bigendian\nuint8[] data\n",
}
for name, definition in DEFINITIONS.items():
    if name not in JAZZY.types:
        JAZZY.register(get_types_from_msg(definition, name))


def stamp(k):
    return START + k * SECOND // 10


def picture(k):
    """(120, 160, 3) BGR."""
    return view(SCENE, 20 * k)


def encode(codec, **options):
    """One packet for each picture."""
    if codec not in av.codecs_available:
        pytest.skip(f"this build of FFmpeg has no {codec}")
    encoder = av.CodecContext.create(codec, "w")
    encoder.width, encoder.height, encoder.pix_fmt = 160, 120, "yuv420p"
    encoder.time_base, encoder.framerate, encoder.gop_size, encoder.max_b_frames = Fraction(1, 10), Fraction(10), GROUP, 0
    encoder.options = {"tune": "zerolatency", "preset": "ultrafast", **options}
    packets = []
    for k in range(COUNT):
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture(k)), format="bgr24")
        frame.pts = k
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    packets += [bytes(packet) for packet in encoder.encode()]
    assert len(packets) == COUNT
    return packets


@pytest.fixture(scope="module")
def h264():
    return encode("libx264")


def compressed_image(k, data):
    return ROS2.compressed(stamp(k), "front", data, "h264")


def foxglove(k, data, form="h264"):
    time = ROS2.make("builtin_interfaces/msg/Time", sec=stamp(k) // SECOND, nanosec=stamp(k) % SECOND)
    return ROS2.make(FOXGLOVE, timestamp=time, frame_id="front", data=np.frombuffer(data, np.uint8), format=form)


def ffmpeg(k, data, encoding="libx264"):
    facts = {"width": 160, "height": 120, "pts": k, "flags": 0, "is_bigendian": False, "encoding": encoding}
    return ROS2.make(FFMPEG, header=ROS2.header(stamp(k), "front"), data=np.frombuffer(data, np.uint8), **facts)


def bag(tmp_path, messages, topic="/front/image_raw/ffmpeg", more=()):
    info = ("/front/camera_info", START, ROS2.info(START, "front", 160, 120, K))
    records = [(topic, stamp(k) + 1000, message) for k, message in messages]
    return write_bag(tmp_path / "b", [info, *more, *records])


def places(items):
    return [(item.keyframe.stamp_ns - START) * 10 // SECOND for item in items]


def told(opened):
    return {finding.kind: finding.count for finding in opened.findings.list()}


@pytest.mark.parametrize("make", [compressed_image, foxglove, ffmpeg])
def test_packets_of_every_package_become_keyframes(tmp_path, h264, make):
    items, opened = read(bag(tmp_path, [(k, make(k, data)) for k, data in enumerate(h264)]))
    assert places(items) == list(range(COUNT))
    assert not told(opened)
    for k in (0, COUNT - 1):
        keyframe = items[k].keyframe
        assert (keyframe.camera_name, keyframe.camera.params[0]) == ("front", K[0])
        shown = cv2.cvtColor(decode_rgb(keyframe.encoded), cv2.COLOR_RGB2BGR)
        assert np.abs(shown.astype(int) - picture(k)).mean() < 12


def test_h265(tmp_path):
    packets = encode("libx265", **{"x265-params": "log-level=none"})
    items, opened = read(bag(tmp_path, [(k, foxglove(k, data, "h265")) for k, data in enumerate(packets)]))
    assert places(items) == list(range(COUNT))
    assert not told(opened)


def test_a_recording_that_begins_between_keyframes(tmp_path, h264):
    items, opened = read(bag(tmp_path, [(k, ffmpeg(k, data)) for k, data in enumerate(h264) if k >= 3]))
    assert places(items) == list(range(GROUP, COUNT))
    assert told(opened) == {BEFORE_KEYFRAME: GROUP - 3}


def test_after_a_lost_packet_nothing_smeared_is_used(tmp_path, h264):
    lost = GROUP + 3
    items, opened = read(bag(tmp_path, [(k, ffmpeg(k, data)) for k, data in enumerate(h264) if k != lost]))
    assert places(items) == [k for k in range(COUNT) if not lost <= k < 2 * GROUP]
    assert told(opened) == {VIDEO_LOST: 2 * GROUP - lost - 1}
    assert "packets are missing" in opened.findings.list()[0].text


def test_a_damaged_packet_costs_its_group(tmp_path, h264):
    hurt = [(k, ffmpeg(k, bytes(40) if k == 5 else data)) for k, data in enumerate(h264)]
    items, opened = read(bag(tmp_path, hurt))
    assert places(items) == [k for k in range(COUNT) if not 5 <= k < GROUP]
    assert told(opened) == {VIDEO_LOST: GROUP - 5}


def test_pictures_are_taken_before_video_of_the_same_camera(tmp_path, h264):
    more = [("/front/image_raw/compressed", stamp(k), ROS2.compressed(stamp(k), "front", jpeg(picture(k)))) for k in range(3)]
    items, opened = read(bag(tmp_path, [(k, ffmpeg(k, data)) for k, data in enumerate(h264)], more=more))
    assert len(items) == 3
    assert "/front/image_raw/ffmpeg" in opened.left_out


def test_other_codecs_are_named(tmp_path, h264):
    more = [("/left/image/compressed", START, ROS2.compressed(START, "left", jpeg(picture(0))))]
    _, opened = read(bag(tmp_path, [(0, ffmpeg(0, h264[0], "ffv1"))], more=more))
    assert "ffv1 is not read" in opened.left_out["/front/image_raw/ffmpeg"]


@pytest.mark.parametrize("options", [{"profile": "baseline"}, {"profile": "high", "ref": "3"}, {"profile": "high444"}])
def test_gaps_are_told_by_the_numbers_of_the_pictures(options):
    """Each profile writes its sequence parameters in another way."""
    packets = encode("libx264", **options)
    numbers = FrameNumbers()
    assert not any(numbers.misses(packet) for packet in packets)
    numbers = FrameNumbers()
    assert [k for k, packet in enumerate(packets) if k not in (3, 12, 13) and numbers.misses(packet)] == [4, 14]


def unit(kind, *fields):
    """A unit of annex B: numbers as unsigned Exp-Golomb codes, texts as bits."""
    bits = ""
    for field in fields:
        code = f"{field + 1:b}" if isinstance(field, int) else field
        bits += code if isinstance(field, str) else "0" * (len(code) - 1) + code
    bits += "1" + "0" * (-(len(bits) + 1) % 8)
    return bytes([0, 0, 1, kind]) + int(bits, 2).to_bytes(len(bits) // 8, "big")


def test_scaling_lists_stand_before_the_numbers_size():
    """The first list ends after two numbers (-8 makes the next 0), the seventh has all 64, six are missing."""
    ends, whole = ("1", 0, 16), ("1", *[0] * 64)
    lists = [*ends, *["0"] * 5, *whole, "0"]
    parameters = unit(0x67, f"{100:08b}" + "0" * 16, 0, 1, 0, 0, "0", "1", *lists, 2, 2, 1, "0", 10, 10, "1")
    slices = [unit(0x61, 0, 5, 0, f"{number:06b}") for number in (1, 2, 3, 62, 63, 0, 1)]
    numbers = FrameNumbers()
    assert not numbers.misses(parameters + unit(0x65, 0, 7, 0, "0" * 6))
    assert [numbers.misses(one) for one in slices] == [False, False, False, True, False, False, False]


def test_nonsense_misses_nothing():
    rng = np.random.default_rng(0)
    numbers = FrameNumbers()
    for _ in range(200):
        numbers.misses(b"\0\0\1" + bytes([rng.choice([0x67, 0x61, 0x65])]) + rng.bytes(int(rng.integers(0, 40))))
