"""Clouds of other programs: read as they are, refused in words; the commands around them."""

import numpy as np
import pytest
from helpers_learning import VOXEL, street_cloud, street_scene

from seg2d3d_ros.cli.learning import train as train_command
from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.learning.cloud_reading import as_bytes, read_cloud_file
from seg2d3d_ros.learning.cloud_segmentation import SegmentedCloud
from seg2d3d_ros.learning.dataset_folder import write_card, write_scene
from seg2d3d_ros.learning.dataset_making import counts
from seg2d3d_ros.learning.labelled_file import write_labelled
from seg2d3d_ros.learning.scene_building import Cloud
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, cloud_points, write_points

XYZ = np.array([[448262.123, 5_412_931.25, 12.5], [448263.0, 5_412_932.5, 13.0], [1.0, 2.0, np.nan]])
RGB = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90]])


def header(order: str, properties: str, count: int = 3) -> bytes:
    lines = "".join(f"property {item}\n" for item in properties.split(", "))
    return f"ply\nformat {order} 1.0\ncomment made by hand\nelement vertex {count}\n{lines}end_header\n".encode()


@pytest.mark.parametrize("order", ["<", ">", ""])
def test_ply_files_of_other_programs(tmp_path, order):
    path = tmp_path / "cloud.ply"
    names = {"<": "binary_little_endian", ">": "binary_big_endian", "": "ascii"}
    head = header(names[order], "double x, double y, double z, float intensity, uchar red, uchar green, uchar blue")
    if order:
        layout = np.dtype([(n, order + "f8") for n in "xyz"] + [("i", order + "f4")] + [(n, "u1") for n in "rgb"])
        points = np.zeros(3, layout)
        for k in range(3):
            points["xyz"[k]], points["rgb"[k]] = XYZ[:, k], RGB[:, k]
        body = points.tobytes()
    else:
        body = "".join(
            f"{x:.3f} {y:.3f} {z:.3f} 0.5 {r} {g} {b}\n" for (x, y, z), (r, g, b) in zip(XYZ, RGB, strict=True)
        ).encode()
    faces = b"element face 1\nproperty list uchar int vertex_indices\nend_header\n"
    path.write_bytes(head.replace(b"end_header\n", faces) + body + (b"3 0 1 2\n" if not order else bytes(13)))
    cloud = read_cloud_file(path)
    np.testing.assert_allclose(cloud.xyz, XYZ, atol=1e-3)
    np.testing.assert_array_equal(cloud.rgb, RGB)
    path.write_bytes(head + body[:-9])
    with pytest.raises(DataError, match=r"damaged|cut off"):
        read_cloud_file(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no PLY file"),
        (b"ply\nformat ascii 1.0\n", "cut off"),
        (header("ascii", "float x, float y"), "no points with x, y and z"),
        (header("ascii", "float x, float y, float z", 0), "holds no point"),
        (header("ascii", "float x, float y, float z, list uchar int y2"), "not understood"),
        (header("ascii", "float x, float x, float y, float z"), "no points with"),
        (header("morse", "float x, float y, float z"), "no points with"),
        (header("ascii", "float x, float y, float z") + b"a b c\n", "damaged"),
        (b"ply\nformat ascii 1.0\nelement face 2\nproperty int a\nelement vertex 1\nend_header\n", "points first"),
    ],
)
def test_what_is_no_cloud_is_refused_in_words(tmp_path, content, words):
    path = tmp_path / "cloud.ply"
    path.write_bytes(content)
    with pytest.raises(DataError, match=words):
        read_cloud_file(path)


@pytest.mark.parametrize("order", ["ascii", "binary_little_endian"])
def test_more_points_than_announced_are_no_smaller_cloud(tmp_path, order):
    path = tmp_path / "cloud.ply"
    body = XYZ.astype("<f4").tobytes() if order != "ascii" else b"1 2 3\n4 5 6\n7 8 9\n"
    path.write_bytes(header(order, "float x, float y, float z", 2) + body)
    with pytest.raises(DataError, match="2 points are announced"):
        read_cloud_file(path)
    path.write_bytes(header(order, "float x, float y, float z", 3) + body + b"\n")
    assert len(read_cloud_file(path).xyz) == 3


def test_other_formats_and_missing_files_are_refused_in_words(tmp_path):
    (tmp_path / "cloud.xyz").write_text("1 2 3\n")
    for name, words in (("cloud.xyz", "read from .ply"), ("nowhere.ply", "no such cloud")):
        with pytest.raises(UsageError, match=words):
            read_cloud_file(tmp_path / name)
    with pytest.raises(DataError, match="no map directory"):
        read_cloud_file(tmp_path)
    (tmp_path / "cloud.laz").write_bytes(b"LASF")
    with pytest.raises((UsageError, DataError), match=r"laspy|cannot be read"):
        read_cloud_file(tmp_path / "cloud.laz")


def test_las_files(tmp_path):
    laspy = pytest.importorskip("laspy")
    held = laspy.LasData(laspy.LasHeader(point_format=3, version="1.2"))
    held.header.scales, held.header.offsets = [0.001] * 3, XYZ[0]
    held.x, held.y, held.z = XYZ[:2].T
    held.red, held.green, held.blue = (RGB[:2] * 257).T.astype(np.uint16)
    held.write(tmp_path / "cloud.las")
    cloud = read_cloud_file(tmp_path / "cloud.las")
    np.testing.assert_allclose(cloud.xyz, XYZ[:2], atol=1e-3)
    np.testing.assert_array_equal(cloud.rgb, RGB[:2])


def test_colours_in_bytes_words_and_shares():
    np.testing.assert_array_equal(as_bytes(RGB.astype(np.uint16) * 257), RGB)
    np.testing.assert_array_equal(as_bytes((RGB / 255 + 1e-6).astype(np.float32)), RGB)
    assert as_bytes(np.zeros((3, 3), np.uint8)) is None


def test_labelled_clouds_keep_surveyors_coordinates(tmp_path):
    found = SegmentedCloud(np.array([3, 0, 0], np.int32), np.array([0.5, 0, 0], np.float32), np.array([0, 1, -1], np.int32))
    write_labelled(tmp_path / "a.ply", Cloud(XYZ, None, np.array([0.0, 0.0, 1.0])), found)
    np.testing.assert_array_equal(read_cloud_file(tmp_path / "a.ply").xyz, XYZ)
    assert b"property int instance" in (tmp_path / "a.ply").read_bytes()


def test_from_data_set_to_labelled_cloud_by_commands(tmp_path, capsys):
    pytest.importorskip("torch").set_num_threads(1)
    scene, _ = street_scene()
    data, model, cloud = tmp_path / "data", tmp_path / "model", tmp_path / "cloud.ply"
    data.mkdir()
    write_scene(data / "a.npz", scene)
    write_card(data, [{"file": "a.npz", "split": "train", "source": "map", **counts(scene)}], VOXEL / 2, {}, 0)
    held = street_cloud(5)[0]
    write_points(cloud, cloud_points(held.xyz, held.rgb, np.zeros(len(held.xyz)), np.zeros(len(held.xyz)), CLOUD_POINT))
    words = ["train", str(data), "--out", str(model), "--steps", "1", "--device", "cpu"]
    assert main([*words, "--stage", "3"]) == 0
    assert main([*words, "--stage", "3"]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*words, "--stage", "3", "--resume"]) == 0
    code = main(["segment", str(cloud), "--model", str(model), "--out", str(tmp_path / "out.ply"), "--device", "cpu"])
    said = capsys.readouterr()
    assert code in (0, 1)  # one step teaches little
    assert f"of {len(held.xyz)} points" in said.out
    assert len(read_cloud_file(tmp_path / "out.ply").xyz) == len(held.xyz)
    (model / "model.safetensors").write_bytes(b"\x80\x04K\x01.")
    assert main(["segment", str(cloud), "--model", str(model), "--out", str(tmp_path / "out.ply")]) == 1
    assert "damaged" in capsys.readouterr().err
    assert main(["segment", str(cloud), "--model", str(data), "--out", str(tmp_path / "out.ply")]) == 2
    assert "no folder of a trained model" in capsys.readouterr().err
    assert main(["segment", str(cloud), "--model", str(model), "--out", str(tmp_path / "out.txt")]) == 2


def test_train_says_what_it_takes(tmp_path, capsys, monkeypatch):
    assert main(["train", str(tmp_path), "--out", str(tmp_path / "m")]) == 2
    assert "no data set" in capsys.readouterr().err
    assert main(["train", str(tmp_path), str(tmp_path), "--out", str(tmp_path / "m")]) == 2
    assert "one data set" in capsys.readouterr().err
    monkeypatch.setattr(train_command, "_prompts_command", lambda: None)
    assert main(["train", "prompts", str(tmp_path), "--out", str(tmp_path / "m")]) == 2
    assert "no decoder of prompts" in capsys.readouterr().err
