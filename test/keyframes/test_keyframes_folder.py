"""A folder of photographs as keyframes, damaged and odd ones included."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.image_files import require_complete
from seg2d3d_ros.images import decode_rgb, encode_jpeg, encode_png, image_size
from seg2d3d_ros.keyframes.camera_file import read_camera_file
from seg2d3d_ros.keyframes.folder import read_folder
from seg2d3d_ros.keyframes.positions.image_positions import ROWS_WITHOUT_IMAGE, WITHOUT_POSITION

STAMP = 1_700_000_000_123_456_789


def picture(seed=0, width=64, height=48):
    rng = np.random.default_rng(seed)
    return cv2.resize(rng.integers(0, 255, (8, 8, 3), dtype=np.uint8), (width, height), interpolation=cv2.INTER_CUBIC)


def save(path, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(picture(seed)) if path.suffix == ".png" else encode_jpeg(picture(seed)))
    return path


def save_with_exif(path, tags, photo_tags):
    exif = Image.Exif()
    exif.update(tags)
    exif.get_ifd(0x8769).update(photo_tags)
    Image.fromarray(picture()).save(path, exif=exif)


def test_names_order_and_bytes(tmp_path):
    for name in ("img10.jpg", "img2.jpg", "img1.PNG", "notes.txt", ".hidden.jpg"):
        save(tmp_path / name) if name != "notes.txt" else (tmp_path / name).write_text("x")
    folder = read_folder(tmp_path)
    keyframes = list(folder)
    assert len(folder) == 3
    assert [k.name for k in keyframes] == ["img1", "img2", "img10"]
    assert [k.file_name for k in keyframes] == ["img1.PNG", "img2.jpg", "img10.jpg"]
    assert keyframes[1].encoded == (tmp_path / "img2.jpg").read_bytes()
    assert keyframes[1].source == str(tmp_path / "img2.jpg")
    assert keyframes[1].camera_name == "camera"
    assert keyframes[1].stamp_ns == 0
    assert keyframes[1].geo is None
    assert folder.skipped == {}
    assert [k.name for k in folder] == ["img1", "img2", "img10"], "a second iteration reads again"


def test_shuffle_is_a_permutation_by_seed(tmp_path):
    for index in range(12):
        save(tmp_path / f"{index}.jpg")
    orders = [[k.name for k in read_folder(tmp_path, order=o)] for o in ("shuffle:1", "shuffle:1", "shuffle:2", "name")]
    assert orders[0] == orders[1]
    assert orders[0] != orders[2]
    assert orders[0] != orders[3]
    assert sorted(orders[0]) == sorted(orders[3])


@pytest.mark.parametrize("order", ["shuffle", "shuffle:", "shuffle:x", "shuffle:-1", "random", ""])
def test_bad_order(tmp_path, order):
    save(tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="shuffle:SEED"):
        read_folder(tmp_path, order=order)


def test_one_folder_per_camera(tmp_path):
    save(tmp_path / "left" / "0001.jpg", 1)
    save(tmp_path / "front" / "0001.jpg", 2)
    save(tmp_path / ".thumbs" / "0001.jpg", 3)
    keyframes = list(read_folder(tmp_path))
    assert [(k.name, k.camera_name, k.file_name) for k in keyframes] == [
        ("front_0001", "front", "front/0001.jpg"),
        ("left_0001", "left", "left/0001.jpg"),
    ]


def test_stream_names_give_camera_and_time(tmp_path):
    save(tmp_path / f"front_{STAMP}.jpg")
    save(tmp_path / "front_20240506.jpg")
    by_name = {k.name: k for k in read_folder(tmp_path)}
    assert by_name[f"front_{STAMP}"].camera_name == "front"
    assert by_name[f"front_{STAMP}"].stamp_ns == STAMP
    assert by_name["front_20240506"].camera_name == "camera"
    assert by_name["front_20240506"].stamp_ns == 0


def test_damaged_images_among_good_ones_are_skipped_with_reason(tmp_path, caplog):
    for name in "adf":
        save(tmp_path / f"{name}.jpg")
    save(tmp_path / "g.png")
    good = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(good[: len(good) // 2])
    (tmp_path / "c.jpg").write_bytes(b"this is no image")
    (tmp_path / "e.jpg").write_bytes(b"")
    (tmp_path / "h.png").write_bytes((tmp_path / "g.png").read_bytes()[:-20])
    folder = read_folder(tmp_path)
    assert [k.name for k in folder] == ["a", "d", "f", "g"]
    assert list(folder.skipped) == ["b", "c", "e", "h"]
    reasons = folder.skipped
    assert "cut off" in reasons["b"]
    assert "no image" in reasons["c"]
    assert all(f"{name}." in reason for name, reason in reasons.items())
    assert "left out" in caplog.text


def test_all_images_damaged(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"none of 1 images.*a\.jpg"):
        list(read_folder(tmp_path))


def test_empty_missing_and_wrong_folders(tmp_path):
    with pytest.raises(DataError, match=r"no images.*\.jpg"):
        read_folder(tmp_path)
    with pytest.raises(UsageError, match="no such folder"):
        read_folder(tmp_path / "nowhere")
    (tmp_path / "street.mcap").write_bytes(b"")
    with pytest.raises(UsageError, match="seg2d3d bag"):
        read_folder(tmp_path / "street.mcap")
    save(tmp_path / "out" / "images" / "a.jpg")
    save(tmp_path / "out" / "segments" / "a.png")
    with pytest.raises(UsageError, match=r"give .*out/images"):
        read_folder(tmp_path / "out")


def test_one_image_is_fine_here(tmp_path):
    save(tmp_path / "a.jpg")
    assert [k.name for k in read_folder(tmp_path)] == ["a"]


def test_files_of_one_stem(tmp_path):
    for name in ("a.png", "a.jpg", "b.jpg", "c.JPEG", "c.png"):
        save(tmp_path / name)
    (tmp_path / "b.bmp").write_bytes(cv2.imencode(".bmp", picture())[1].tobytes())
    folder = read_folder(tmp_path)
    assert [k.file_name for k in folder] == ["a.jpg", "b.jpg", "c.JPEG"]
    assert list(folder.skipped) == ["a.png", "b.bmp", "c.png"]
    assert "same name" in folder.skipped["a.png"]


def test_capture_time_and_device_from_exif(tmp_path):
    photo = {0x9003: "2024:05:06 07:08:09", 0x9291: "25", 0x9011: "+02:00"}
    save_with_exif(tmp_path / "a.jpg", {0x010F: "Canon", 0x0110: "Canon EOS R5"}, photo)
    (keyframe,) = read_folder(tmp_path)
    assert keyframe.stamp_ns == 1_714_972_089_250_000_000  # date -u -d '2024-05-06 05:08:09' +%s
    assert keyframe.camera_name == "Canon_EOS_R5"


def test_focal_length_and_position_from_exif_unless_something_else_is_given(tmp_path):
    exif = Image.Exif()
    exif.get_ifd(0x8769).update({0xA405: 28})
    exif.get_ifd(0x8825).update({1: "N", 2: (55.0, 30.0, 0.0), 3: "E", 4: (13.0, 15.0, 0.0)})
    (tmp_path / "in").mkdir()
    Image.fromarray(picture()).save(tmp_path / "in" / "a.jpg", exif=exif)
    (keyframe,) = read_folder(tmp_path / "in")
    assert keyframe.camera.params[0] == pytest.approx(28 * 80 / np.hypot(36, 24))
    assert (keyframe.geo.latitude, keyframe.geo.longitude) == (55.5, 13.25)
    (tmp_path / "camera.json").write_text('{"model": "PINHOLE", "width": 64, "height": 48, "params": [50, 51, 32, 24]}')
    (keyframe,) = read_folder(tmp_path / "in", camera=tmp_path / "camera.json", gps=None)
    assert keyframe.camera.model == "PINHOLE"
    assert keyframe.geo is None


def test_each_photo_is_opened_for_its_tags_and_for_its_size_before_decoding(tmp_path, monkeypatch):
    for name in "abc":
        save(tmp_path / f"{name}.jpg")
    opened = []
    open_image = Image.open
    monkeypatch.setattr(Image, "open", lambda *args, **options: opened.append(1) or open_image(*args, **options))
    assert len(list(read_folder(tmp_path))) == 3
    assert len(opened) == 6


def test_positions_from_csv_by_name_or_stem(tmp_path):
    save(tmp_path / "in" / "front" / "0001.jpg")
    save(tmp_path / "in" / "front" / "0002.jpg")
    table = tmp_path / "gps.csv"
    table.write_text("image,latitude,longitude,altitude\nfront_0001,55.5,13.5,10\n0002.jpg,55.6,13.6,11\n")
    first, second = read_folder(tmp_path / "in", gps=table)
    assert (first.geo.latitude, first.geo.longitude, first.geo.altitude) == (55.5, 13.5, 10)
    assert second.geo.latitude == 55.6
    table.write_text("image,latitude,longitude,altitude\nother,55.5,13.5,10\n")
    findings = Findings()
    assert [k.geo for k in read_folder(tmp_path / "in", gps=table, findings=findings)] == [None, None]
    assert {f.kind: f.count for f in findings.list()} == {ROWS_WITHOUT_IMAGE: 1, WITHOUT_POSITION: 2}


def test_the_bytes_are_cut_at_any_place(tmp_path):
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)
    path = tmp_path / "thumb.jpg"
    exif = Image.Exif()
    exif[0x010E] = "x" * 50
    Image.fromarray(noisy).save(path, exif=exif, progressive=True)
    for encoded in (encode_jpeg(noisy), encode_png(noisy), path.read_bytes()):
        assert decode_rgb(encoded).shape == (48, 64, 3)
        assert decode_rgb(encoded + b"trailing bytes").shape == (48, 64, 3)
        assert image_size(encoded) == (64, 48)
        # The last 12 bytes of a PNG are its end chunk: length, name, checksum.
        for cut in [*range(0, len(encoded) - 12, 97), len(encoded) - 13]:
            with pytest.raises(DataError):
                decode_rgb(encoded[:cut])


def test_the_end_of_an_embedded_thumbnail_is_not_the_end_of_the_image():
    thumbnail, whole = encode_jpeg(picture(1, 16, 16)), encode_jpeg(picture(2))
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail
    encoded = whole[:2] + segment + whole[2:]
    require_complete(encoded)
    with pytest.raises(DataError, match="cut off"):
        require_complete(encoded[:-2])


def test_a_png_without_its_end_is_refused_without_decoding():
    encoded = encode_png(picture())
    require_complete(encoded)
    with pytest.raises(DataError, match="cut off"):
        require_complete(encoded[:-12])


def test_one_camera_file_for_all(tmp_path):
    save(tmp_path / "in" / "a.jpg")
    file = tmp_path / "camera.json"
    file.write_text('{"model": "PINHOLE", "width": 64, "height": 48, "params": [50, 51, 32, 24]}')
    assert read_camera_file(file)
    (keyframe,) = read_folder(tmp_path / "in", camera=file)
    assert keyframe.camera.params == (50, 51, 32, 24)
    assert keyframe.camera.calibrated
