"""Keyframes from bags: the same as from the folder, whatever the storage, and what is left of damaged ones."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers_bags import ROS1, ROS2, SECOND, START, jpeg, storage_file, view, wall, write_bag
from helpers_drive_bag import (
    BGR,
    COUNT,
    GRAY,
    RAW,
    SCENE,
    K,
    camera_of,
    drive,
    labels,
    latitude,
    odometry,
    read,
    stamp,
)

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.images import decode_rgb, encode_png
from seg2d3d_ros.keyframes import bag_keyframes
from seg2d3d_ros.keyframes.bag_keyframes import read_bag
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.keyframes.panoramas.panorama_cutting import PANORAMAS
from seg2d3d_ros.keyframes.streams.camera_input import CALIBRATION_UNUSABLE, IMAGES_UNREADABLE, NO_CAMERA_INFO
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.encoding import from_mono16
from seg2d3d_ros.segmentation.files.label_images import LabelImages


@pytest.mark.parametrize("storage", ["mcap", "db3", "bag"])
def test_a_bag_equals_its_folder(tmp_path, storage):
    messages = ROS1 if storage == "bag" else ROS2
    path = write_bag(tmp_path / f"street.{storage}", drive(messages, segments=storage != "bag"), storage)
    (tmp_path / "images").mkdir()
    (tmp_path / "segments").mkdir()
    table = ["image,latitude,longitude,altitude"]
    for camera in range(2):
        for i in range(COUNT):
            name = f"{('front', 'left')[camera]}_{stamp(i)}"
            (tmp_path / "images" / f"{name}.jpg").write_bytes(jpeg(view(SCENE, 20 * i + 300 * camera)))
            (tmp_path / "segments" / f"{name}.png").write_bytes(encode_png(labels(i)))
            table.append(f"{name},{latitude(stamp(i))},13.0,100.0")
    (tmp_path / "gps.csv").write_text("\n".join(table))
    (tmp_path / "camera.json").write_text('{"model":"PINHOLE","width":160,"height":120,"params":[120,121,80,60]}')
    wanted = {k.name: k for k in read_folder(tmp_path / "images", camera=tmp_path / "camera.json", gps=tmp_path / "gps.csv")}
    masks = LabelImages(tmp_path / "segments", SegmentationConfig(prompts=("house",)))

    items, bag = read(path)
    assert sorted(item.keyframe.name for item in items) == sorted(wanted)
    for keyframe, segments, _ in items:
        same = wanted[keyframe.name]
        for field in ("name", "camera_name", "stamp_ns", "encoded", "camera", "file_name"):
            assert getattr(keyframe, field) == getattr(same, field), field
        assert keyframe.geo.latitude == pytest.approx(same.geo.latitude, abs=1e-9)
        assert keyframe.geo.longitude == 13.0
        np.testing.assert_allclose(keyframe.geo.covariance, np.eye(3) * 4.0)
        if storage != "bag":
            np.testing.assert_array_equal(segments, masks.segment(same).labels)
            assert from_mono16(keyframe.name, segments, 2).classes.tolist() == [1, 2]
    assert bag.findings.list() == []
    assert bag.counts["seen"] == bag.counts["kept"] == 2 * COUNT
    times = [item.keyframe.stamp_ns for item in items]
    assert np.all(np.diff(times) > -SECOND)


def test_file_directory_and_lost_metadata_read_the_same(tmp_path):
    path = write_bag(tmp_path / "street", drive())
    whole = [item.keyframe.name for item in read(path)[0]]
    assert [item.keyframe.name for item in read(storage_file(path))[0]] == whole
    (path / "metadata.yaml").unlink()
    assert [item.keyframe.name for item in read(path)[0]] == whole
    (path / "metadata.yaml").write_text("nonsense: [")
    items, bag = read(path)
    assert [item.keyframe.name for item in items] == whole
    assert "street" in bag.findings.list()[0].text


@pytest.mark.parametrize("storage", ["mcap", "db3"])
@pytest.mark.parametrize("share", [0.95, 0.6])
@pytest.mark.parametrize("as_directory", [False, True])
def test_a_bag_cut_off_in_the_middle(tmp_path, storage, share, as_directory):
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    records = drive(cameras=("front",), segments=False, count=60)
    # Incompressible company, so that the file has many chunks and pages.
    records += [("/noise", stamp(i), ROS2.raw(stamp(i), "x", np.roll(noise, i, 0), "64FC1")) for i in range(60)]
    path = write_bag(tmp_path / "street", records, storage)
    file = storage_file(path)
    data = file.read_bytes()
    whole = [item.keyframe for item in read(path)[0]]
    file.write_bytes(data[: int(len(data) * share)])
    items, bag = read(path if as_directory else file)
    kept = [item.keyframe for item in items]
    assert 0.4 * share * len(whole) < len(kept) < len(whole)
    assert [(k.name, k.encoded, k.camera) for k in kept] == [(k.name, k.encoded, k.camera) for k in whole[: len(kept)]]
    assert any("cut off" in words and file.name in words for words in [f.text for f in bag.findings.list()])


@pytest.mark.parametrize("storage", ["mcap", "db3"])
def test_a_bag_cut_off_at_its_beginning(tmp_path, storage):
    file = storage_file(write_bag(tmp_path / "street", drive(), storage))
    file.write_bytes(file.read_bytes()[:200])
    with pytest.raises(DataError, match=rf"street\.{storage}.*nothing can be read"):
        read_bag(file)
    file.write_bytes(b"")
    with pytest.raises(DataError, match="nothing can be read"):
        read_bag(file)


def test_a_damaged_place_in_an_indexed_bag(tmp_path):
    records = drive(cameras=("front",), segments=False, count=60)
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    records += [("/noise", stamp(i), ROS2.raw(stamp(i), "x", noise, "64FC1")) for i in range(60)]
    file = storage_file(write_bag(tmp_path / "street", records))
    whole, _ = read(file)
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 200_000] = b"\xff" * 200_000
    file.write_bytes(data)
    items, bag = read(file)
    assert 0 < len(items) < len(whole)
    assert any("damaged" in words for words in [f.text for f in bag.findings.list()])


def test_no_camera_lists_what_there_is(tmp_path):
    records = [("/chatter", START, ROS2.text("hello")), ("/fix", START, ROS2.fix(START, 50.0, 13.0))]
    path = write_bag(tmp_path / "b", records)
    with pytest.raises(
        DataError, match=r"no camera.*/chatter \(std_msgs/msg/String, 1\).*/fix \(sensor_msgs/msg/NavSatFix, 1\)"
    ):
        read_bag(path)


def test_only_depth_images(tmp_path):
    depth = np.ones((120, 160), np.uint16)
    path = write_bag(tmp_path / "b", [("/depth/image", START, ROS2.raw(START, "depth", depth, "16UC1"))])
    with pytest.raises(DataError, match=r"no camera.*/depth/image"):
        read_bag(path)


def test_no_such_bag(tmp_path):
    with pytest.raises(UsageError, match="no such bag"):
        read_bag(tmp_path / "nowhere.mcap")
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(UsageError, match="not a recording"):
        read_bag(tmp_path / "a.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="seg2d3d run"):
        read_bag(tmp_path / "empty")


def test_missing_calibration_is_said_once_with_the_topic_looked_for(tmp_path, caplog):
    path = write_bag(tmp_path / "b", drive(cameras=("front",), info=False, segments=False))
    items, bag = read(path)
    assert len(items) == COUNT
    assert all(item.keyframe.camera is None for item in items)
    (found,) = bag.findings.list()
    assert (found.kind, found.count) == (NO_CAMERA_INFO, COUNT)
    assert "/front/camera_info" in found.text


@pytest.mark.parametrize("change", [{"k": (0, 0, 0, 0)}, {"model": "odd", "d": (1.0,)}, {"width": 100}])
def test_a_calibration_that_cannot_be_used_is_said(tmp_path, change):
    values = {"k": K, "width": 160, "height": 120, **change}
    info = ROS2.info(START, "front", values["width"], 120, values["k"], values.get("d", ()), values.get("model", "plumb_bob"))
    image = ROS2.compressed(START, "front", jpeg(view(SCENE, 0)))
    path = write_bag(tmp_path / "b", [("/front/camera_info", START, info), ("/front/image/compressed", START, image)])
    items, bag = read(path)
    assert items[0].keyframe.camera is None
    (found,) = bag.findings.list()
    assert found.kind is CALIBRATION_UNUSABLE
    assert "/front/camera_info" in found.text


def test_distortion_and_half_a_pixel(tmp_path):
    camera = camera_of(tmp_path, ROS2.info(START, "front", 160, 120, K, (0.1, -0.2, 0.001, 0.002, 0.0)))
    assert camera.model == "OPENCV"
    assert camera.params == (120.0, 121.0, 80.0, 60.0, 0.1, -0.2, 0.001, 0.002)


def test_region_of_interest_and_binning(tmp_path):
    # A sensor of 400×300; the part of 320×240 at (40, 20) is read out, two by two pixels as one.
    info = ROS2.info(START, "front", 400, 300, (240.0, 242.0, 199.5, 139.5), binning=2, roi=(40, 20, 320, 240))
    camera = camera_of(tmp_path, info)
    assert (camera.width, camera.height) == (160, 120)
    np.testing.assert_allclose(camera.params, (120.0, 121.0, 80.0, 60.0))


def test_rectified_images_have_the_projection_and_no_distortion(tmp_path):
    info = ROS2.info(START, "front", 160, 120, K, (0.1, -0.2, 0.0, 0.0, 0.0), p=(100.0, 101.0, 78.5, 58.5))
    camera = camera_of(tmp_path, info, "/front/image_rect_color")
    assert camera.model == "PINHOLE"
    assert camera.params == (100.0, 101.0, 79.0, 59.0)


def test_calibration_of_another_size(tmp_path):
    camera = camera_of(tmp_path, ROS2.info(START, "front", 320, 240, (240.0, 242.0, 159.5, 119.5)))
    np.testing.assert_allclose(camera.params, (120.0, 121.0, 80.0, 60.0))


def test_images_of_two_sizes_have_a_calibration_each(tmp_path):
    records = [("/front/camera_info", START, ROS2.info(START, "front", 160, 120, K))]
    for i, size in enumerate([(160, 120), (80, 60)]):
        picture = cv2.resize(view(SCENE, 40 * i), size)
        records.append(("/front/image_raw", stamp(i), ROS2.raw(stamp(i), "front", picture, "bgr8")))
    items, _ = read(write_bag(tmp_path / "b", records))
    cameras = [item.keyframe.camera for item in items]
    assert [(c.width, c.height) for c in cameras] == [(160, 120), (80, 60)]
    np.testing.assert_allclose(cameras[1].params, np.array(cameras[0].params) / 2)


@pytest.mark.parametrize("missing", ["fix", "odom"])
def test_keyframes_wait_for_each_of_what_belongs_to_them(tmp_path, missing):
    """Fixes or odometry that come a second after their images are still theirs."""
    records = [r for r in drive(cameras=("front",), segments=False, count=20) if r[0] != "/fix"]
    for j in range(40):
        t = START + j * SECOND // 5
        late = {missing: SECOND}
        records.append(("/fix", t + late.get("fix", 0), ROS2.fix(t, latitude(t), 13.0)))
        records.append(("/odom", t + late.get("odom", 0), odometry(t, j)))
    items, bag = read(write_bag(tmp_path / "b", records), odom_topic="/odom", config=KeyframeConfig(max_fix_gap=2.0))
    assert len(items) == 20
    assert all(item.keyframe.geo is not None and item.keyframe.odometry is not None for item in items)
    assert bag.counts["without_position"] == 0


@pytest.mark.parametrize("encoding", list(RAW))
@pytest.mark.parametrize("padding", [0, 6])
def test_raw_images(tmp_path, encoding, padding):
    pixels, tolerance = RAW[encoding]
    record = ("/front/image_raw", START, ROS2.raw(START, "front", pixels, encoding, padding))
    (item,), _ = read(write_bag(tmp_path / "b", [record]), cameras=["/front/image_raw"])
    assert item.keyframe.file_name == f"front_{START}.jpg"
    rgb = decode_rgb(item.keyframe.encoded)
    wanted = np.repeat(GRAY[:, :, None], 3, 2) if encoding.startswith("mono") else BGR[:, :, ::-1]
    error = np.abs(rgb.astype(int) - wanted)[2:-2, 2:-2].mean()
    assert error < tolerance
    if not encoding.startswith("mono"):
        swapped = np.abs(rgb[:, :, ::-1].astype(int) - wanted)[2:-2, 2:-2].mean()
        assert swapped > 3 * error, "red and blue are in their places"


def test_big_endian_label_images(tmp_path):
    image = ROS2.raw(START, "front", labels(0).byteswap(), "mono16", padding=4, bigendian=1)
    records = [
        ("/front/image/compressed", START, ROS2.compressed(START, "front", jpeg(BGR))),
        ("/front/segments", START, image),
    ]
    (item,), _ = read(write_bag(tmp_path / "b", records))
    np.testing.assert_array_equal(item.segments, labels(0))


def test_unknown_encoding_is_named(tmp_path):
    record = ("/front/image_raw", START, ROS2.raw(START, "front", GRAY, "secret9"))
    with pytest.raises(DataError, match=r"/front/image_raw 1: encoding 'secret9' is not supported.*mono8"):
        read(write_bag(tmp_path / "b", [record]))


def test_damaged_images_among_good_ones(tmp_path):
    records = drive(cameras=("front",), segments=False)
    bad = jpeg(view(SCENE, 5))[:-500]
    records.append(("/front/image/compressed", stamp(20), ROS2.compressed(stamp(20), "front", bad)))
    records.append(("/front/image/compressed", stamp(21), ROS2.compressed(stamp(21), "front", b"")))
    items, bag = read(write_bag(tmp_path / "b", records))
    assert len(items) == COUNT
    assert bag.counts["undecodable"] == 2
    (found,) = bag.findings.list()
    assert (found.kind, found.count, found.of) == (IMAGES_UNREADABLE, 2, COUNT + 2)
    assert "/front/image/compressed 2: " in found.text
    assert "cut off" in found.text


def test_segments_that_come_late_or_not_at_all(tmp_path):
    records = drive(cameras=("front",), count=40)
    late = [(t, log + 4 * SECOND if t == "/front/segments" else log, m) for t, log, m in records]
    dropped = [r for r in late if r[0] != "/front/segments" or r[2].header.stamp.nanosec != 500_000_000]
    items, bag = read(write_bag(tmp_path / "b", dropped))
    assert [item.keyframe.stamp_ns for item in items] == [stamp(i) for i in range(40)], "none overtakes one that waits"
    missing = [item.keyframe.stamp_ns % SECOND for item in items if item.segments is None]
    assert missing == [500_000_000] * 10
    assert bag.counts["segments_missing"] == 10
    for keyframe, image, reason in items:
        assert (image is None) == bool(reason)
        if image is not None:
            np.testing.assert_array_equal(image, labels((keyframe.stamp_ns - START) * 4 // SECOND))


def test_label_images_of_what_is_no_keyframe_are_not_held(tmp_path, monkeypatch):
    records = []
    for i in range(200):
        t = stamp(i)
        records.append(("/front/image/compressed", t, ROS2.compressed(t, "front", jpeg(view(SCENE, 0)))))
        records.append(("/front/segments", t, ROS2.raw(t, "front", labels(0), "mono16")))
    runs = []
    reading = bag_keyframes.BagPass
    monkeypatch.setattr(bag_keyframes, "BagPass", lambda *args: runs.append(reading(*args)) or runs[0])
    items, _ = read(write_bag(tmp_path / "b", records))
    assert len(items) < 5
    assert 10 < len(runs[0].masks) < 60, "of the last seconds"


def test_positions_stop_at_gaps_and_without_reception(tmp_path):
    records = [r for r in drive(cameras=("front",), segments=False, count=40) if r[0] != "/fix"]
    for j in range(60):
        t = START + j * SECOND // 5
        gone = 15 <= j < 30
        records.append(("/fix", t, ROS2.fix(t, float("nan") if j % 2 and gone else 50.0, 13.0, status=-1 if gone else 0)))
    items, bag = read(write_bag(tmp_path / "b", records), config=KeyframeConfig(max_fix_gap=2.5))
    without = [(item.keyframe.stamp_ns - START) / SECOND for item in items if item.keyframe.geo is None]
    assert without == [3.0 + i / 4 for i in range(12)]  # from the last fix at 2.8 s to the next at 6.0 s, which counts
    assert bag.counts["fixes_refused"] == 15
    assert bag.counts["without_position"] == 12


def test_images_wait_for_the_fix_after_them(tmp_path):
    records = [r for r in drive(cameras=("front",), segments=False, count=12) if r[0] != "/fix"]
    records += [("/fix", t, ROS2.fix(t, latitude(t), 13.0)) for t in range(START, START + 4 * SECOND, SECOND)]
    items, _ = read(write_bag(tmp_path / "b", records))
    for keyframe, *_ in items:
        assert keyframe.geo.latitude == pytest.approx(latitude(keyframe.stamp_ns), abs=1e-9)


def test_fix_topic_by_name(tmp_path):
    records = drive(cameras=("front",), segments=False)
    records += [("/other/fix", START + j * SECOND // 2, ROS2.fix(START + j * SECOND // 2, 10.0, 13.0)) for j in range(9)]
    path = write_bag(tmp_path / "b", records)
    assert read(path)[0][3].keyframe.geo.latitude > 49
    assert read(path, fix_topic="other/fix")[0][3].keyframe.geo.latitude == 10.0
    with pytest.raises(UsageError, match=r"/fix, /other/fix"):
        read_bag(path, fix_topic="/nowhere")


def test_progress_counts_up_to_the_total(tmp_path):
    path = write_bag(tmp_path / "b", drive())
    seen = []
    read(path, progress=lambda *report: seen.append(report))
    assert {stage for stage, _, _ in seen} == {"reading"}
    totals = {total for _, _, total in seen}
    assert totals == {4 * COUNT + 2 * COUNT + 1}
    assert [done for _, done, _ in seen] == list(range(1, totals.pop() + 1))


def test_a_slow_drive_is_thinned_out(tmp_path):
    records = []
    for i in range(100):
        t = START + i * SECOND // 30
        records.append(("/front/image_raw", t, ROS2.raw(t, "front", view(SCENE, i), "bgr8")))
    items, bag = read(write_bag(tmp_path / "b", records), config=KeyframeConfig(min_motion=0.05))
    steps = np.diff([item.keyframe.stamp_ns for item in items]) * 30 / SECOND
    np.testing.assert_allclose(steps, 8, atol=1.1)  # pixels of 160
    assert bag.counts["seen"] == 100
    assert bag.counts["redundant"] == 100 - len(items)


def test_recorded_panoramas_become_views_with_their_part_of_the_masks(tmp_path):
    """2:1 pictures of a topic, where the parameter says that they are panoramas."""
    pixels = wall(5)[:100, :200]
    mask = np.zeros((100, 200), np.uint16)
    mask[45:55, 90:110] = 1007  # ahead
    records = [("/pano/image/compressed", START, ROS2.compressed(START, "pano", jpeg(pixels)))]
    records.append(("/pano/segments", START + 1, ROS2.raw(START, "pano", mask, "mono16")))
    path = write_bag(tmp_path / "b", records)
    (item,), _ = read(path)
    assert item.keyframe.view is None
    items, bag = read(path, config=KeyframeConfig(panorama="always", panorama_views=4))
    assert [item.keyframe.name for item in items] == [f"pano_{tag}_{START}" for tag in ("000", "090", "180", "270")]
    assert {(item.keyframe.stamp_ns, item.keyframe.view.panorama) for item in items} == {(START, f"pano_{START}")}
    assert [np.unique(item.segments).tolist() for item in items] == [[0, 1007], [0], [0], [0]]
    assert items[0].segments.shape == items[0].keyframe.size[::-1]
    assert [finding.kind for finding in bag.findings.list() if finding.kind == PANORAMAS]
