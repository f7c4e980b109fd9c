"""Cameras on their side or head: the map is upright, over a restart too, and whoever said otherwise is named."""

import io
from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from test_reconstruction_locator import CONFIG, COUNT, place, rows

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.attitude import FLU_FROM_CAMERA
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.vertical.camera_up import EXIF, IMU, QUARTERS, CameraUp
from seg2d3d_ros.reconstruction.database import FeatureDatabase, Features
from seg2d3d_ros.reconstruction.world.locator import UP_ASSUMED, Locator
from seg2d3d_ros.reconstruction.world.rolled_images import IMAGES_ROLLED, UP_CONTRADICTED, UPSIDE_DOWN_DOUBTED, tell_upside_down
from seg2d3d_ros.types import Keyframe

STORED = {0: None, 1: CameraUp.of_exif(8), 2: CameraUp.of_exif(3), 3: CameraUp.of_exif(6)}
"""Quarter turns of a camera -> what the EXIF orientation of its pictures says."""
STREET = {i: np.array([2.0 * i, 0.0, 0.0]) for i in range(1, COUNT + 1)}
BEND = {i: place(i) for i in range(1, COUNT + 1)}
SPUN = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])


def drive(path, turns, scene=()):
    """Cameras that look north, turned about their viewing axes by quarters, in a model of half the size that lies anyhow."""
    found = pycolmap.Reconstruction()
    found.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 100.0, 100, 100))
    for i, turn in zip(path, np.broadcast_to(turns, COUNT), strict=True):
        rotation = QUARTERS[turn] @ np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ SPUN.T
        image = pycolmap.Image(name=f"{i}.jpg", keypoints=np.zeros((1, 2)), camera_id=1, image_id=i)
        pose = Pose(rotation, -rotation @ (SPUN @ path[i] / 2))
        found.add_image_with_trivial_frame(image, pose.to_colmap())
    for metres in scene:
        found.add_point3D(SPUN @ metres / 2, pycolmap.Track())
    return found


def placed(tmp_path, path, turns, told, *, gps=True, mount=None, scene=()):
    """How upright the model becomes (1 = upright), its frame, and what is said."""
    metre = 1 / 111320.0
    known = rows(gps=BEND, sigma=0.1) if gps else rows()
    images = [
        replace(row, up=up, geo=row.geo and replace(row.geo, latitude=metre * path[i][1], longitude=metre * path[i][0]))
        for (i, row), up in zip(enumerate(known, 1), told, strict=True)
    ]
    found, findings = drive(path, turns, scene), Findings()
    mounts = None if mount is None else {"cam": mount}
    frame = Locator(FeatureDatabase(tmp_path / "d.db"), images, CONFIG, mounts).georeference(found, None, findings)
    ups = [
        (QUARTERS[turn] @ [0, -1, 0]) @ found.image(i).cam_from_world().rotation.matrix()[:, 2]
        for i, turn in zip(path, np.broadcast_to(turns, COUNT), strict=True)
    ]
    return float(np.min(ups)), frame, {finding.kind: finding for finding in findings.list()}


@pytest.mark.parametrize("gps", [True, False])
@pytest.mark.parametrize("turn", [1, 2, 3])
def test_orientation_tags_make_the_map_upright(tmp_path, gps, turn):
    upright, frame, said = placed(tmp_path, STREET, turn, [STORED[turn]] * COUNT, gps=gps)
    assert upright > 0.98
    assert frame.kind == ("enu" if gps else "arbitrary")
    assert said == {}
    assert frame.up == (None if gps else (0.0, 0.0, 1.0)), "of a frame whose kind does not say it"


@pytest.mark.parametrize("gps", [True, False])
def test_portrait_and_landscape_photographs_make_one_upright_map(tmp_path, gps):
    turns = np.arange(COUNT) % 3
    upright, _, said = placed(tmp_path, STREET, turns, [STORED[turn] for turn in turns], gps=gps)
    assert upright > 0.98
    assert said == {}


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_positions_along_a_bend_tell_how_untold_cameras_are_rolled(tmp_path, turn):
    upright, _, said = placed(tmp_path, BEND, turn, [None] * COUNT)
    assert upright > 0.98
    assert said.keys() == {IMAGES_ROLLED}
    assert said[IMAGES_ROLLED].count == COUNT


def test_positions_along_a_bend_contradict_wrong_tags_and_mounts(tmp_path):
    upright, _, said = placed(tmp_path, BEND, 0, [STORED[2]] * COUNT)
    assert upright > 0.98
    assert said.keys() == {UP_CONTRADICTED}
    assert f"1.jpg by its {EXIF}" in said[UP_CONTRADICTED].text
    level = Pose(FLU_FROM_CAMERA, np.zeros(3))
    upright, _, said = placed(tmp_path, BEND, 2, [None] * COUNT, mount=level)
    assert upright > 0.98
    assert "12 of 12 (1.jpg by its mount" in said[UP_CONTRADICTED].text


def test_one_wrong_tag_among_many_is_named(tmp_path):
    told = [STORED[0]] * 4 + [STORED[1]] * 3 + [STORED[0]] * 5
    turns = np.array([0] * 4 + [1, 1, 0] + [0] * 5)
    upright, _, said = placed(tmp_path, STREET, turns, told)
    assert upright > 0.98
    assert said[UP_CONTRADICTED].examples == (f"7.jpg by its {EXIF}",)


def test_where_nothing_tells_the_map_lies_as_the_pictures_and_that_is_said(tmp_path):
    upright, _, said = placed(tmp_path, STREET, 2, [None] * COUNT)
    assert upright < -0.98
    assert said.keys() == {UP_ASSUMED}


@pytest.mark.parametrize("gps", [True, False])
def test_a_street_that_hangs_down_is_doubted(tmp_path, gps):
    rng = np.random.default_rng(0)
    street = np.column_stack([rng.uniform(0, 24, 300), np.full(300, 8.0), rng.uniform(-2, 9, 300)])
    for turn, told, doubted in ((2, None, True), (0, None, False), (2, STORED[2], False)):
        _, _, said = placed(tmp_path, STREET, turn, [told] * COUNT, gps=gps, scene=street)
        assert (UPSIDE_DOWN_DOUBTED in said) == doubted


@pytest.mark.parametrize("degrees", [0, 45])
def test_cameras_that_look_down_see_what_is_there(degrees):
    rng = np.random.default_rng(0)
    below = np.column_stack([rng.uniform(0, 24, 300), np.full(300, 8.0), rng.uniform(-9, -2, 300)])
    model, findings = drive(STREET, 0, below), Findings()
    model.transform(pycolmap.Sim3d(2.0, pycolmap.Rotation3d(SPUN.T), np.zeros(3)))
    pitch = Pose(Rotation.from_euler("x", degrees, degrees=True).as_matrix(), np.zeros(3))
    for i in STREET:
        image = model.image(i)
        model.frame(image.frame_id).rig_from_world = (pitch @ Pose.from_colmap(image.cam_from_world())).to_colmap()
    tell_upside_down(model, rows(), {}, findings, "a street")
    assert [finding.kind for finding in findings.list()] == ([UPSIDE_DOWN_DOUBTED] if degrees == 0 else [])


def photograph(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.new("RGB", (40, 30)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def test_verticals_outlive_the_process(tmp_path):
    database = FeatureDatabase(tmp_path / "d.db")
    camera_id = database.camera_id("c", Camera.guess(40, 30))
    nothing = Features(40, 30, np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8), np.zeros((0, 3), np.uint8))
    measured = CameraUp((0.6, -0.8, 0.0), 0.02, IMU)
    for name, orientation, up in (("a", 6, None), ("b", 1, None), ("c", 3, measured)):
        database.add_image(Keyframe(name, "c", 0, photograph(orientation), file_name=f"{name}.jpg", up=up), camera_id, nothing)
    database.close()
    again = FeatureDatabase(tmp_path / "d.db")
    assert [row.up for row in again.images()] == [CameraUp.of_exif(6), None, measured]
    again.close()
