"""Keyframes from videos with a track: times, positions, turned frames, damage."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta, timezone

import cv2
import numpy as np
import pytest

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.keyframes.streams.bag_pass import WITHOUT_POSITION
from seg2d3d_ros.keyframes.video.track import nanoseconds
from seg2d3d_ros.keyframes.video.video_file import (
    SEVERAL_VIDEO_STREAMS,
    VIDEO_DAMAGED,
    VIDEO_ENDS_EARLY,
    VIDEO_INTERLACED,
    VIDEO_TURNED,
)
from seg2d3d_ros.keyframes.video.video_keyframes import START_ASSUMED, TRACK_ELSEWHERE, read_video
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig

START = datetime(2024, 5, 6, 7, 8, 9, tzinfo=timezone.utc)
SECOND = 1_000_000_000
WIDTH, HEIGHT, RATE, FRAMES = 320, 160, 10, 40
STEP = 4  # pixels a frame: 1.25 % of the width


def wall():
    """A long texture that the camera drives along."""
    small = np.random.default_rng(0).integers(0, 255, (20, 120, 3), dtype=np.uint8)
    return cv2.resize(small, (WIDTH + STEP * FRAMES, HEIGHT), interpolation=cv2.INTER_CUBIC)


def record(path, *, creation="2024-05-06T07:08:09Z", codec="mpeg4", turned=0, times=range(FRAMES), options=None, second=False):
    """Write a video that looks along the wall; frame k is taken at ``times[k]`` tenths of a second."""
    av = pytest.importorskip("av")
    long = wall()
    with av.open(str(path), "w") as container:
        if creation:
            container.metadata["creation_time"] = creation
        stream = container.add_stream(codec, rate=RATE)
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = (
            WIDTH,
            HEIGHT,
            "yuvj420p" if codec == "mjpeg" else "yuv420p",
            5,
        )
        stream.bit_rate = 4_000_000
        stream.options = options or {}
        if second:
            preview = container.add_stream("mpeg4", rate=RATE)
            preview.width, preview.height, preview.pix_fmt = 32, 16, "yuv420p"
            container.mux(preview.encode(av.VideoFrame.from_ndarray(np.zeros((16, 32, 3), np.uint8), format="rgb24")))
            container.mux(preview.encode())
        if turned:
            stream.set_display_rotation(turned)
        for time in times:
            pixels = np.ascontiguousarray(long[:, time * STEP : time * STEP + WIDTH])
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = time
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def track(path, *, begin=-3.0, end=8.0, shift=0.0):
    """A GPX file with a fix every second, one moving east by 0.00001° a second; ``shift`` seconds off."""
    points = ""
    for k in np.arange(begin, end):
        moment = (START + timedelta(seconds=float(k) + shift)).strftime("%Y-%m-%dT%H:%M:%SZ")
        points += f'<trkpt lat="51" lon="{13 + 1e-5 * k:.7f}"><ele>100</ele><time>{moment}</time><hdop>1</hdop></trkpt>'
    path.write_text(f"<gpx><trk><trkseg>{points}</trkseg></trk></gpx>")
    return path


def read(video, **options):
    findings = Findings()
    config = KeyframeConfig(**options.pop("config", {}))
    keyframes = list(read_video(video, findings=findings, config=config, **options))
    return keyframes, {finding.kind: finding for finding in findings.list()}


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record(tmp_path_factory.mktemp("video") / "my drive.mp4")


def test_frames_that_moved_become_keyframes_with_time_and_position(drive, tmp_path):
    keyframes, told = read(drive, track=track(tmp_path / "t.gpx"))
    assert 10 <= len(keyframes) <= 20  # every second frame has moved by 2 % of the width
    first, last = keyframes[0], keyframes[-1]
    assert first.name == f"my_drive_{first.stamp_ns}"
    assert first.stamp_ns == nanoseconds(START)
    for keyframe in (first, last):
        seconds = (keyframe.stamp_ns - nanoseconds(START)) / SECOND
        assert keyframe.geo.longitude == pytest.approx(13 + 1e-5 * seconds, abs=1e-8)
        assert keyframe.geo.sigma == pytest.approx(4.0)
        pixels = decode_rgb(keyframe.encoded)
        begin = round(seconds * RATE) * STEP
        assert np.abs(pixels.astype(int) - wall()[:, begin : begin + WIDTH]).mean() < 20
    assert not told


def test_stamps_follow_the_frames_times_not_their_number(tmp_path):
    video = record(tmp_path / "v.mkv", times=[0, 2, 4, 6, 20, 22, 24, 39])
    keyframes, _ = read(video)
    tenths = [round((k.stamp_ns - keyframes[0].stamp_ns) / SECOND * RATE) for k in keyframes]
    assert tenths == [0, 2, 4, 6, 20, 22, 24, 39]


def test_turned_frames_are_stored_upright(tmp_path):
    video = record(tmp_path / "v.mp4", turned=90)  # counter-clockwise
    keyframes, told = read(video)
    pixels = decode_rgb(keyframes[0].encoded)
    assert pixels.shape == (WIDTH, HEIGHT, 3)
    assert np.abs(pixels.astype(int) - np.rot90(wall()[:, :WIDTH])).mean() < 20
    assert told[VIDEO_TURNED].count == 1


def test_a_track_of_another_clock_is_told_with_the_offset_that_mends_it(drive, tmp_path):
    gpx = track(tmp_path / "t.gpx", shift=7200)
    keyframes, told = read(drive, track=gpx)
    assert not any(k.geo for k in keyframes)
    assert "fix_clock_offset=-7200" in told[TRACK_ELSEWHERE].text
    assert told[WITHOUT_POSITION].count == len(keyframes)
    keyframes, told = read(drive, track=gpx, config={"fix_clock_offset": -7200.0})
    assert all(k.geo for k in keyframes)
    assert not told


@pytest.mark.parametrize(("name", "codec"), [("v.mkv", "mpeg4"), ("v.ts", "mpeg2video")])
def test_a_video_that_says_no_time_begins_with_its_track(tmp_path, name, codec):
    """The times in a transport stream do not begin at 0."""
    video = record(tmp_path / name, creation="", codec=codec)
    keyframes, told = read(video, track=track(tmp_path / "t.gpx", begin=0))
    assert keyframes[0].stamp_ns == nanoseconds(START)
    assert list(told) == [START_ASSUMED]
    assert read(video)[0][0].stamp_ns > 0


def test_a_broken_end_and_damage_inside_are_told_and_the_rest_is_used(tmp_path):
    whole = record(tmp_path / "v.mkv").read_bytes()
    (tmp_path / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    keyframes, told = read(tmp_path / "cut.mkv")
    assert 5 <= len(keyframes) < 20
    assert told[VIDEO_ENDS_EARLY].count == 1
    hurt = bytearray(record(tmp_path / "w.avi", codec="mjpeg").read_bytes())
    middle = hurt.find(b"\xff\xd8", len(hurt) // 2)
    hurt[middle : middle + 600] = bytes(600)
    (tmp_path / "w.avi").write_bytes(hurt)
    keyframes, told = read(tmp_path / "w.avi")
    assert len(keyframes) >= 10
    assert told[VIDEO_DAMAGED].count >= 1


def test_interlaced_frames_and_further_streams_are_told(tmp_path):
    av = pytest.importorskip("av")
    if "libx264" not in av.codecs_available:
        pytest.skip("this build of FFmpeg has no libx264")
    video = record(tmp_path / "v.mkv", codec="libx264", options={"x264-params": "tff=1"}, second=True, times=range(4))
    _, told = read(video)
    assert {kind: finding.count for kind, finding in told.items()} == {VIDEO_INTERLACED: 1, SEVERAL_VIDEO_STREAMS: 1}


def test_what_is_no_video(tmp_path):
    pytest.importorskip("av")
    for name, content in (("a.mp4", b"no video"), ("b.mp4", b"#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"no video that can be read"):
            read(tmp_path / name)


def test_without_pyav_the_command_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "v.mp4").write_bytes(b"")
    code = main(["run", str(tmp_path / "v.mp4"), "--label", "wall", "--segmenter", "none", "--out", str(tmp_path / "map")])
    assert code == 1
    assert "pip install av" in capsys.readouterr().err


def test_frames_of_2_to_1_are_panoramas_where_that_is_said(drive):
    keyframes, _ = read(drive, config={"panorama": "always", "panorama_views": 4})
    assert {k.camera_name for k in keyframes} == {f"my_drive_{degrees:03d}" for degrees in (0, 90, 180, 270)}
    assert len({k.stamp_ns for k in keyframes}) * 4 == len(keyframes)
