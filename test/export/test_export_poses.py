"""Poses for reconstruction programs, each read back by hand or by another library, to a billionth of a metre."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pycolmap
import pytest
from helpers_exported_map import codes_of, contents_of
from helpers_odd_map import (
    CAMERAS,
    DATUM,
    FRONT,
    HEIGHT,
    PHOTOS,
    REAR,
    REGISTERED,
    START,
    WIDTH,
    odd_labels,
    odd_map,
    odd_model,
)
from PIL import Image
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.contents import IMAGES_WITHOUT_LABELS
from seg2d3d_ros.export.names import inside, plain_names, without_separators
from seg2d3d_ros.export.poses import colmap_writer, kapture_writer, kitti_writer, nerfstudio_writer, tum_writer
from seg2d3d_ros.export.poses.colmap_writer import IMAGES_RENAMED
from seg2d3d_ros.export.poses.nerfstudio_writer import LENS_UNKNOWN, MASK_UNKNOWN, lens
from seg2d3d_ros.export.poses.posed_images import (
    IMAGES_WITHOUT_POSE,
    POSES_ELSEWHERE,
    POSES_WITHOUT_IMAGE,
    TIMES_UNKNOWN,
)
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.mapstore.store import MapStore

EXACT = 1e-9
LABELS = odd_labels()
MODEL = odd_model(REGISTERED, 0, "enu")
POSE = {name: np.vstack([pose, [0, 0, 0, 1]]) for name, pose in zip(MODEL.names, MODEL.camera_from_world, strict=True)}
"""(4, 4) camera_from_world by keyframe."""
WRITERS = [colmap_writer, kapture_writer, kitti_writer, nerfstudio_writer, tum_writer]
BY_CAMERA = {FRONT: ("front_left", ["Straße 1", "Straße 2"]), REAR: ("front_left_2", ["rear_1", "rear_2"])}
"""By camera its file, and its images in the order of time."""
LEFT_OUT = {IMAGES_WITHOUT_POSE.code, POSES_ELSEWHERE.code, IMAGES_WITHOUT_LABELS.code}
FRAME_IN_WORDS = "metres east, north, up of 55.7000000, 13.1900000, 40.000 m"


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> MapStore:
    return odd_map(tmp_path_factory.mktemp("odd"))


def without_spaces(name: str) -> str:
    return PHOTOS[name][2].replace(" ", "_")


def check_masks(folder: Path, file_of) -> None:
    """Every registered image with labels has a mask and ids in COLMAP's naming, and no other has any."""
    labelled = [name for name in REGISTERED if name in LABELS]
    for kind in ("masks", "labels"):
        found = {path.relative_to(folder / kind).as_posix() for path in (folder / kind).rglob("*.png")}
        assert {f"{file_of(name)}.png" for name in labelled} == found - {"rear/2.jpg.png"}
    for name in labelled:
        with Image.open(folder / f"masks/{file_of(name)}.png") as mask:
            np.testing.assert_array_equal(np.asarray(mask), np.where(LABELS[name] > 0, 255, 0))
        ids = cv2.imread(str(folder / f"labels/{file_of(name)}.png"), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(ids, LABELS[name])


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__.rpartition(".")[2])
def test_what_has_no_pose_is_told_and_where_the_frame_lies_is_stated(writer, store, tmp_path):
    contents, findings = contents_of(store)
    assert writer.export(contents, tmp_path / "out").endswith(FRAME_IN_WORDS)
    assert set(codes_of(findings)) - {IMAGES_RENAMED.code, MASK_UNKNOWN.code} == LEFT_OUT
    told = {finding.kind: (finding.count, finding.examples) for finding in findings.list()}
    assert told[IMAGES_WITHOUT_POSE] == (1, ("rear_3",))
    assert told[POSES_ELSEWHERE] == (1, ("rear_4",))
    note = json.loads((tmp_path / "out/frame.json").read_text())
    assert note["kind"] == "enu"
    assert tuple(note["datum"].values()) == DATUM


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__.rpartition(".")[2])
def test_a_map_that_is_nowhere_on_the_earth_and_shows_nothing_still_has_poses(writer, tmp_path):
    contents, _ = contents_of(odd_map(tmp_path, kind="arbitrary", empty=True))
    summary = writer.export(contents, tmp_path / "out")
    assert summary.startswith("4 ")
    assert summary.endswith("from an origin and in a unit of its own")
    assert "datum" not in json.loads((tmp_path / "out/frame.json").read_text())


@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.__name__.rpartition(".")[2])
def test_a_map_without_a_model_is_refused_and_nothing_is_left(writer, tmp_path):
    store = odd_map(tmp_path)
    (store.root / "sparse").rename(tmp_path / "taken")
    with pytest.raises(DataError, match="no reconstruction"):
        writer.export(contents_of(store)[0], tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"map", "photos", "taken"}


def test_colmap_reads_its_text_and_finds_images_and_masks_by_name(store, tmp_path):
    contents, findings = contents_of(store)
    folder = tmp_path / "out"
    assert colmap_writer.export(contents, folder).startswith("4 images, 6 points, 3 masks")
    (renamed,) = [one for one in findings.list() if one.kind is IMAGES_RENAMED]
    assert renamed.count == 2, "COLMAP's reader cuts names at spaces"
    found = pycolmap.Reconstruction(folder / "sparse/0")
    images = {image.name: image for image in found.images.values()}
    assert images.keys() == {without_spaces(name) for name in REGISTERED}
    for name in REGISTERED:
        image = images[without_spaces(name)]
        np.testing.assert_allclose(image.cam_from_world().matrix(), POSE[name][:3], atol=EXACT)
        camera = found.camera(image.camera_id)
        expected = CAMERAS[PHOTOS[name][0]]
        assert (camera.model.name, camera.width, camera.height) == (expected.model, WIDTH, HEIGHT)
        np.testing.assert_array_equal(camera.params, expected.params)
        with Image.open(folder / "images" / image.name) as photo:
            assert photo.size == (WIDTH, HEIGHT)
    assert {k: point.xyz.tolist() for k, point in found.points3D.items()} == dict(enumerate(MODEL.xyz.tolist(), start=1))
    check_masks(folder, without_spaces)


class CutOff:
    """A model that COLMAP writes to a disk that gets full, which it does not notice."""

    def __init__(self, model: pycolmap.Reconstruction) -> None:
        self._model, self.num_reg_images, self.num_points3D = model, model.num_reg_images, model.num_points3D

    def write_text(self, folder: Path) -> None:
        self._model.write_text(folder)
        path = folder / "points3D.txt"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-2]))


def test_a_model_that_was_cut_off_when_it_was_written_is_noticed(store, tmp_path):
    whole = pycolmap.Reconstruction(store.root / "sparse/0")
    with pytest.raises(DataError, match="cannot be written"):
        colmap_writer._write(CutOff(whole), tmp_path)


def test_the_text_of_colmap_says_the_same_to_a_reader_of_its_lines(store, tmp_path):
    colmap_writer.export(contents_of(store)[0], tmp_path / "out")
    lines = (tmp_path / "out/sparse/0/images.txt").read_text().splitlines()
    heads = [line.split() for line in lines if not line.startswith("#")][::2]
    found = {words[9]: np.array(words[1:8], float) for words in heads}
    for name in REGISTERED:
        w, x, y, z, *shift = found[without_spaces(name)]
        np.testing.assert_allclose(Rotation.from_quat([x, y, z, w]).as_matrix(), POSE[name][:3, :3], atol=EXACT)
        np.testing.assert_allclose(shift, POSE[name][:3, 3], atol=EXACT)


def test_nerfstudio_sees_points_where_opencv_does(store, tmp_path):
    contents, findings = contents_of(store)
    folder = tmp_path / "out"
    assert nerfstudio_writer.export(contents, folder).startswith("4 images, 6 points, 4 masks")
    document = json.loads((folder / "transforms.json").read_text())
    assert document["camera_model"] == "OPENCV"
    assert document["applied_transform"] == np.eye(4)[:3].tolist()
    frames = {Path(frame["file_path"]): frame for frame in document["frames"]}
    for name in REGISTERED:
        frame = frames[store.root.parent / "photos" / PHOTOS[name][2]]
        assert Path(frame["file_path"]).is_file()
        world_from_opengl = np.array(frame["transform_matrix"])
        camera_from_world = np.diag([1.0, -1.0, -1.0, 1.0]) @ np.linalg.inv(world_from_opengl)
        np.testing.assert_allclose(camera_from_world, POSE[name], atol=EXACT)
        matrix = np.array([[frame["fl_x"], 0, frame["cx"]], [0, frame["fl_y"], frame["cy"]], [0, 0, 1]])
        distortion = np.array([frame.get(key, 0.0) for key in ("k1", "k2", "p1", "p2")])
        ahead = np.array([[0.3, -0.2, 2.0], [-0.5, 0.4, 3.0], [0.1, 0.6, 5.0]])
        pixels = cv2.projectPoints(ahead, np.zeros(3), np.zeros(3), matrix, distortion)[0][:, 0]
        np.testing.assert_allclose(pixels, CAMERAS[PHOTOS[name][0]].project(ahead), atol=1e-6)
        assert (frame["w"], frame["h"]) == (WIDTH, HEIGHT)
        assert (folder / frame["mask_path"]).is_file(), "nerfstudio wants a mask of every image, or none"
    (lacking,) = [one for one in findings.list() if one.kind is MASK_UNKNOWN]
    assert lacking.examples == ("rear/2.jpg",)
    with Image.open(folder / "masks/rear/2.jpg.png") as mask:
        assert np.asarray(mask).max() == 0
    check_masks(folder, lambda name: PHOTOS[name][2])
    head, _, body = (folder / document["ply_file_path"]).read_bytes().partition(b"end_header\n")
    assert b"element vertex 6\n" in head
    points = np.frombuffer(body, [("xyz", "<f4", 3), ("rgb", "u1", 3)])
    np.testing.assert_allclose(points["xyz"], MODEL.xyz, atol=1e-5)
    np.testing.assert_array_equal(points["rgb"], MODEL.rgb)


def test_nerfstudio_gets_no_masks_where_nothing_is_labelled(tmp_path):
    nerfstudio_writer.export(contents_of(odd_map(tmp_path, empty=True))[0], tmp_path / "out")
    frames = json.loads((tmp_path / "out/transforms.json").read_text())["frames"]
    assert len(frames) == 4
    assert not any("mask_path" in frame for frame in frames), "with empty masks there would be nothing to train on"


@pytest.mark.parametrize(
    ("model", "params", "kind", "coefficients"),
    [
        ("PINHOLE", (50.0, 51.0, 30.0, 20.0), "OPENCV", {}),
        ("RADIAL", (50.0, 30.0, 20.0, 0.1, -0.01), "OPENCV", {"k1": 0.1, "k2": -0.01}),
        (
            "FULL_OPENCV",
            (50.0, 51.0, 30.0, 20.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0, 0, 0),
            "OPENCV",
            {"k1": 0.1, "p1": 0.3, "k3": 0.5},
        ),
        ("FULL_OPENCV", (50.0, 51.0, 30.0, 20.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0, 0), "", {}),
        ("OPENCV_FISHEYE", (50.0, 51.0, 30.0, 20.0, 0.1, 0.2, 0.3, 0.4), "OPENCV_FISHEYE", {"k1": 0.1, "k4": 0.4}),
        ("RADIAL_FISHEYE", (50.0, 30.0, 20.0, 0.1, 0.2), "OPENCV_FISHEYE", {"k2": 0.2}),
        ("FOV", (50.0, 51.0, 30.0, 20.0, 0.9), "", {}),
    ],
)
def test_lenses_in_nerfstudios_words(model, params, kind, coefficients):
    found, facts = lens(Camera(model, WIDTH, HEIGHT, params))
    assert found == kind
    assert coefficients.items() <= facts.items()


def test_images_of_lenses_that_nerfstudio_lacks_are_told(tmp_path):
    contents, findings = contents_of(odd_map(tmp_path))
    largest = contents.models[0]
    fov = Camera("FOV", WIDTH, HEIGHT, (50.0, 51.0, 30.0, 20.0, 0.9))
    contents.__dict__["models"] = [replace(largest, cameras=(fov, *largest.cameras[1:])), *contents.models[1:]]
    nerfstudio_writer.export(contents, tmp_path / "out")
    assert len(json.loads((tmp_path / "out/transforms.json").read_text())["frames"]) == 3
    assert LENS_UNKNOWN.code in codes_of(findings)
    contents.__dict__["models"] = [replace(largest, cameras=(fov,) * 4), *contents.models[1:]]
    with pytest.raises(DataError, match="--format colmap"):
        nerfstudio_writer.export(contents, tmp_path / "none")


def test_tum_has_every_nanosecond_and_the_cameras_places(store, tmp_path):
    contents, findings = contents_of(store)
    assert tum_writer.export(contents, tmp_path / "out").startswith("4 poses of 2 cameras, 3 masks")
    assert TIMES_UNKNOWN.code not in codes_of(findings)
    for camera, (file, names) in BY_CAMERA.items():
        lines = [line.split() for line in (tmp_path / f"out/{file}.txt").read_text().splitlines() if line[0] != "#"]
        for name, (time, *values) in zip(names, lines, strict=True):
            whole, _, rest = time.partition(".")
            assert int(whole) * 10**9 + int(rest) == PHOTOS[name][1]
            assert len(rest) == 9
            world_from_camera = np.linalg.inv(POSE[name])
            np.testing.assert_allclose(np.array(values[:3], float), world_from_camera[:3, 3], atol=EXACT)
            turn = Rotation.from_quat(np.array(values[3:], float)).as_matrix()
            np.testing.assert_allclose(turn, world_from_camera[:3, :3], atol=EXACT)
        with (tmp_path / f"out/{file}.csv").open(newline="") as table:
            rows = list(csv.DictReader(table))
        assert [(row["line"], row["image"]) for row in rows] == [(str(k), name) for k, name in enumerate(names, start=1)]
        for row in rows:
            assert (row["model"], int(row["width"])) == (CAMERAS[camera].model, WIDTH)
            assert tuple(map(float, row["params"].split())) == CAMERAS[camera].params
    check_masks(tmp_path / "out", lambda name: PHOTOS[name][2])


def test_kitti_rows_are_world_from_camera(store, tmp_path):
    assert kitti_writer.export(contents_of(store)[0], tmp_path / "out").startswith("4 poses of 2 cameras, 3 masks")
    for file, names in BY_CAMERA.values():
        matrices = np.loadtxt(tmp_path / f"out/{file}.txt").reshape(-1, 3, 4)
        for name, matrix in zip(names, matrices, strict=True):
            np.testing.assert_allclose(matrix, np.linalg.inv(POSE[name])[:3], atol=EXACT)
        assert (tmp_path / f"out/{file}.csv").exists()


@pytest.mark.parametrize("stamp", [0, START])
def test_images_without_times_of_their_own_are_numbered_and_that_is_told(tmp_path, stamp):
    store = odd_map(tmp_path)
    store.write_keyframes([replace(one, stamp_ns=stamp) for one in store.read_keyframes()])
    contents, findings = contents_of(store)
    tum_writer.export(contents, tmp_path / "tum")
    lines = (tmp_path / "tum/front_left.txt").read_text().splitlines()[1:]
    assert [line.split()[0] for line in lines] == ["0", "1"]
    (finding,) = [one for one in findings.list() if one.kind is TIMES_UNKNOWN]
    assert finding.examples == (FRONT, REAR)
    kapture_writer.export(contents, tmp_path / "kapture")
    assert [row[0] for row in kapture_rows(tmp_path / "kapture/sensors/records_camera.txt")] == ["0", "1", "2", "3"]


def kapture_rows(path: Path) -> list[list[str]]:
    """As kapture's own reader splits them."""
    first, *lines = path.read_text().splitlines()
    assert first == "# kapture format: 1.1"
    return [[word.strip() for word in line.split(",")] for line in lines if not line.startswith("#")]


def test_kapture_has_sensors_records_and_poses_of_the_world_in_the_camera(store, tmp_path):
    contents, _ = contents_of(store)
    folder = tmp_path / "out"
    assert kapture_writer.export(contents, folder).startswith("4 images of 2 cameras, 6 points, 3 masks")
    sensors = {row[0]: row for row in kapture_rows(folder / "sensors/sensors.txt")}
    poses = {(row[0], row[1]): np.array(row[2:], float) for row in kapture_rows(folder / "sensors/trajectories.txt")}
    records = {row[2]: (row[0], row[1]) for row in kapture_rows(folder / "sensors/records_camera.txt")}
    assert records.keys() == {without_spaces(name) for name in REGISTERED}
    for name in REGISTERED:
        stamp, sensor = records[without_spaces(name)]
        assert int(stamp) == PHOTOS[name][1]
        _, _, kind, model, width, height, *params = sensors[sensor]
        expected = CAMERAS[PHOTOS[name][0]]
        assert (kind, model, int(width), int(height)) == ("camera", expected.model, WIDTH, HEIGHT)
        np.testing.assert_array_equal(np.array(params, float), expected.params)
        w, x, y, z, *shift = poses[stamp, sensor]
        np.testing.assert_allclose(Rotation.from_quat([x, y, z, w]).as_matrix(), POSE[name][:3, :3], atol=EXACT)
        np.testing.assert_allclose(shift, POSE[name][:3, 3], atol=EXACT)
        with Image.open(folder / "sensors/records_data" / without_spaces(name)) as photo:
            assert photo.size == (WIDTH, HEIGHT)
    points = np.array(kapture_rows(folder / "reconstruction/points3d.txt"), float)
    np.testing.assert_array_equal(points, np.column_stack([MODEL.xyz, MODEL.rgb]))
    check_masks(folder, without_spaces)


def test_kapture_has_a_sensor_for_each_calibration_of_a_camera(tmp_path):
    store = odd_map(tmp_path)
    contents, _ = contents_of(store)
    largest = contents.models[0]
    other = replace(CAMERAS[FRONT], params=(51.0, *CAMERAS[FRONT].params[1:]))
    contents.__dict__["models"] = [replace(largest, cameras=(largest.cameras[0], other, *largest.cameras[2:]))]
    assert "of 3 cameras" in kapture_writer.export(contents, tmp_path / "out")
    sensors = {row[0]: row for row in kapture_rows(tmp_path / "out/sensors/sensors.txt")}
    assert len(sensors) == 3
    focal = {row[2]: sensors[row[1]][6] for row in kapture_rows(tmp_path / "out/sensors/records_camera.txt")}
    assert (focal["front_left/Straße_1.jpg"], focal["front_left/Straße_2.jpg"]) == ("50.5", "51")


def test_poses_of_images_that_the_map_does_not_list_are_told(tmp_path):
    store = odd_map(tmp_path)
    store.write_keyframes([one for one in store.read_keyframes() if one.name != "rear_2"])
    contents, findings = contents_of(store)
    assert kitti_writer.export(contents, tmp_path / "out").startswith("3 poses")
    assert POSES_WITHOUT_IMAGE.code in codes_of(findings)


def test_names_become_plain_and_stay_different():
    found = plain_names(["a/b", "a b", "A_b", "ü"])
    assert len({name.lower() for name in found.values()}) == 4
    assert found["A_b"] == "A_b", "a name that is plain already stays"
    files = without_separators(["my street/1.jpg", "my_street/1.jpg", "x,y.jpg"])
    assert files == {"my_street/1.jpg": "my_street/1.jpg", "my street/1.jpg": "my_street/1_2.jpg", "x,y.jpg": "x_y.jpg"}


@pytest.mark.parametrize("name", ["../up.png", "/etc/passwd", "a/../../b", "", "a\0b"])
def test_no_name_leads_out_of_the_folder(name, tmp_path):
    with pytest.raises(DataError, match="leads out"):
        inside(tmp_path / "out", name)
