"""Poses of photographs in the files of navigation systems, benchmarks and other programs; each line to its image, or said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.wgs84 import from_enu
from seg2d3d_ros.keyframes.folder_scan import PhotoFile
from seg2d3d_ros.keyframes.positions.image_positions import ROWS_UNREADABLE, ROWS_WITHOUT_IMAGE
from seg2d3d_ros.keyframes.positions.pose_file import read_poses
from seg2d3d_ros.keyframes.positions.pose_rows import WITHOUT_POSE, PoseHints

DATUM = (48.85, 2.33, 40.0)
TURNS = Rotation.random(4, rng=3)
PLACES = np.random.default_rng(4).normal(0, 20, (4, 3))
WORLD_FROM_CAMERA = Pose(TURNS.as_matrix(), PLACES)
NAMES = [f"{camera}/000{k}.jpg" for camera in ("left", "right") for k in (1, 2)]


def photos(*names):
    return [PhotoFile("_".join(Path(n).with_suffix("").parts), Path(n).parent.name, n, Path("/drive") / n) for n in names]


def read(path, text, *, names=NAMES, hints=None, findings=None, stamps=None):
    """Name of the photograph -> its row."""
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    files = photos(*names)
    source = read_poses(path, files, hints or PoseHints(), findings or Findings())
    rows = {f.name: source.of(f, (stamps or {}).get(f.file_name, 0)) for f in files}
    return {name: row for name, row in rows.items() if row is not None}


def check(rows, places=PLACES, turns=TURNS):
    """Of the four photographs, in the file's own frame."""
    assert len(rows) == 4
    for (_, row), place, turn in zip(sorted(rows.items()), places, turns, strict=True):
        np.testing.assert_allclose(row.given.position, place, atol=1e-6)
        np.testing.assert_allclose(row.given.rotation, turn.as_matrix(), atol=1e-6)


def line(first, k):
    return " ".join([str(first), *(f"{v:.9f}" for v in (*PLACES[k], *TURNS[k].as_quat()))])


def test_a_table_says_place_and_angles_and_how_good_they_are(tmp_path):
    text = "image,latitude,longitude,altitude,roll,pitch,heading,sigma,sigma_yaw\n" + "\n".join(
        f"{name},48.85,2.33,40,1,2,{30 + k},0.05,0.2" for k, name in enumerate(NAMES)
    )
    rows = read(tmp_path / "ins.csv", text)
    given = rows["left_0002"].given
    assert (given.axes, given.body, given.position, given.sigma) == ("angles", "auto", None, pytest.approx(0.05))
    assert np.degrees(given.rotation_sigma) == pytest.approx(0.2)
    ahead = next(iter(given.readings(None).values())) @ [0, 0, 1]
    assert np.degrees(np.arctan2(ahead[0], ahead[1])) == pytest.approx(31.0)
    assert rows["left_0002"].geo.latitude == 48.85
    told = read(tmp_path / "ins.csv", text, hints=PoseHints(body="vehicle", angles="enu"))["left_0002"].given
    assert (told.axes, told.body) == ("enu", "vehicle")
    np.testing.assert_allclose(told.rotation @ [1, 0, 0], [np.cos(np.radians(31)), np.sin(np.radians(31)), -0.035], atol=2e-3)


def test_what_a_table_does_not_say_comes_from_the_configuration(tmp_path):
    text = "image;lat;lon;alt;omega;phi;kappa\n" + "\n".join(f"{name};48,85;2,33;40;90;0;0" for name in NAMES)
    (row, *_) = read(tmp_path / "opk.csv", text, hints=PoseHints(sigma=0.3, rotation_sigma=2.0)).values()
    assert (row.given.axes, row.given.body) == ("optical", "camera")
    assert (row.given.sigma, row.geo.sigma) == (pytest.approx(0.3), pytest.approx(0.3))
    assert np.degrees(row.given.rotation_sigma) == pytest.approx(2.0)
    np.testing.assert_allclose(row.given.rotation @ [0, 0, 1], [0, 1, 0], atol=1e-12)


def test_quaternions_of_a_table_are_the_cameras_axes_in_the_world(tmp_path):
    text = "image,latitude,longitude,altitude,qx,qy,qz,qw\n" + "\n".join(
        ",".join([name, "48.85", "2.33", "40", *(f"{v:.9f}" for v in TURNS[k].as_quat())]) for k, name in enumerate(NAMES)
    )
    rows = read(tmp_path / "poses.csv", text)
    for (_, row), turn in zip(sorted(rows.items()), TURNS, strict=True):
        np.testing.assert_allclose(row.given.rotation, turn.as_matrix(), atol=1e-6)


def test_a_table_of_places_alone_holds_no_poses(tmp_path):
    with pytest.raises(DataError, match=r"roll, pitch, yaw .* --gps"):
        read(tmp_path / "gps.csv", "image,latitude,longitude\nleft/0001.jpg,48.85,2.33\n")
    with pytest.raises(UsageError, match="no such file of poses"):
        read_poses(tmp_path / "none.csv", photos(*NAMES), PoseHints(), Findings())


def test_tum_lines_with_names(tmp_path):
    check(read(tmp_path / "poses.txt", "# name x y z qx qy qz qw\n" + "\n".join(line(n, k) for k, n in enumerate(NAMES))))


@pytest.mark.parametrize("form", ["{0}.{1:09d}", "{0}{1:09d}"], ids=["seconds", "nanoseconds"])
def test_tum_lines_with_times_are_interpolated_where_they_are_near(tmp_path, form):
    stamps = [1_700_000_000_123_456_789 + k * 500_000_000 for k in (0, 1, 9, 10)]
    text = "\n".join(line(form.format(*divmod(stamp, 10**9)), k) for k, stamp in enumerate(stamps))
    middle = stamps[0] + 125_000_000
    text += "\n1700000001.5 nothing\n"
    at = dict(zip(NAMES, (stamps[0], middle, stamps[1] + 10**9, stamps[3] + 10**9), strict=True))
    findings = Findings()
    rows = read(tmp_path / "poses.tum", text, stamps=at, findings=findings)
    assert [(f.kind, f.count, f.of, f.examples) for f in findings.list()] == [(ROWS_UNREADABLE, 1, 5, ("line 5",))]
    assert set(rows) == {"left_0001", "left_0002"}, "of the others no pose is near enough"
    np.testing.assert_allclose(rows["left_0001"].given.position, PLACES[0], atol=1e-6)
    np.testing.assert_allclose(rows["left_0002"].given.position, 0.75 * PLACES[0] + 0.25 * PLACES[1], atol=1e-6)


def test_kitti_lines_go_by_order(tmp_path):
    def text(count):
        return "\n".join(" ".join(f"{v:.9f}" for v in WORLD_FROM_CAMERA.matrix[k, :3].ravel()) for k in range(count))

    check(read(tmp_path / "poses.txt", text(4)))
    both = read(tmp_path / "poses.txt", text(2))
    assert len(both) == 4, "one line for each moment of two cameras"
    np.testing.assert_allclose(both["right_0002"].given.position, PLACES[1], atol=1e-6)
    with pytest.raises(DataError, match="3 poses for 4 images"):
        read(tmp_path / "poses.txt", text(3))


def test_nerfstudio_looks_backward_and_has_y_up(tmp_path):
    matrices = WORLD_FROM_CAMERA.matrix.copy()
    matrices[:, :3, 1:3] *= -1
    frames = [
        {"file_path": f"./images/{name}", "transform_matrix": matrix.tolist()}
        for name, matrix in zip(NAMES, matrices, strict=True)
    ]
    rows = read(tmp_path / "transforms.json", {"frames": frames})
    check(rows)
    assert not rows["left_0001"].given.metric
    with pytest.raises(DataError, match=r"frame 1: .* no rotation"):
        read(tmp_path / "transforms.json", {"frames": [{"file_path": "a.jpg", "transform_matrix": np.ones((4, 4)).tolist()}]})


@pytest.mark.parametrize("located", [True, False])
def test_opensfm_turns_the_world_into_the_camera(tmp_path, located):
    shots = {}
    for k, name in enumerate(NAMES):
        pose = WORLD_FROM_CAMERA[k].inverse()
        turn = Rotation.from_matrix(pose.rotation).as_rotvec()
        shots[name] = {"rotation": turn.tolist(), "translation": pose.translation.tolist(), "camera": "c"}
    reference = {"reference_lla": dict(zip(("latitude", "longitude", "altitude"), DATUM, strict=True))} if located else {}
    rows = read(tmp_path / "reconstruction.json", [{"shots": {}}, {"shots": shots, **reference}])
    if not located:
        return check(rows)
    there = from_enu(PLACES, DATUM)
    for (_, row), geo, turn in zip(sorted(rows.items()), there, TURNS, strict=True):
        np.testing.assert_allclose(row.geo.coordinates, geo.coordinates, atol=1e-9)
        np.testing.assert_allclose(row.given.rotation, turn.as_matrix(), atol=1e-9)
        assert row.given.position is None
    return None


def test_images_without_a_pose_and_poses_without_an_image_are_said(tmp_path):
    findings = Findings()
    text = "\n".join([line("left/0001.jpg", 0), line("left/0009.jpg", 1)])
    files = photos(*NAMES)
    path = tmp_path / "poses.txt"
    path.write_text(text)
    source = read_poses(path, files, PoseHints(), findings)
    missing = [f.name for f in files if source.of(f, 0) is None]
    source.tell(missing, len(files), findings)
    told = {finding.kind: finding for finding in findings.list()}
    assert told[ROWS_WITHOUT_IMAGE].examples == ("left/0009.jpg",)
    assert (told[WITHOUT_POSE].count, told[WITHOUT_POSE].of) == (3, 4)
    assert str(path) in told[WITHOUT_POSE].text
