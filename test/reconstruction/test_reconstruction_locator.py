"""Where images are by GPS and odometry, which of them a scale comes from, and what is said where nothing tells it."""

from dataclasses import replace

import numpy as np
import pycolmap
import pytest
from scipy.spatial.transform import Rotation

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.wgs84 import GeoPosition, from_enu, to_enu
from seg2d3d_ros.reconstruction.database import FeatureDatabase, ImageRow, database_name
from seg2d3d_ros.reconstruction.world.georeference import MIN_POSITIONS, Scale
from seg2d3d_ros.reconstruction.world.locator import (
    ALTITUDE_UNKNOWN,
    FRAME_KEPT,
    NOT_GEOREFERENCED,
    ODOMETRY_SIGMA,
    UP_ASSUMED,
    Locator,
)
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import SparseModel, WorldFrame

METRE = 1 / 111320.0
COUNT = 12
CONFIG = ReconstructionConfig()


def place(i):
    """Metres east, north, up of image ``i``: a bend, so that heading and tilt are determined."""
    return np.array([2.0 * i, 0.2 * i**2, 0.0])


def rows(*, gps=(), sigma=0.05, flat=()):
    def geo(i):
        east, north, up = place(i) if i not in flat else (*place(i)[:2], np.nan)
        return GeoPosition(METRE * north, METRE * east, up, sigma**2 * np.eye(3)) if i in gps else None

    return [ImageRow(i, 1, f"{i}", f"{i}.jpg", "cam", 10**9 * i, 100, geo(i)) for i in range(1, COUNT + 1)]


def model(scale=0.5):
    """Level cameras that look north, at the true places in units of ``1 / scale`` metres."""
    found = pycolmap.Reconstruction()
    found.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 100.0, 100, 100))
    camera_from_world = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    for i in range(1, COUNT + 1):
        image = pycolmap.Image(name=f"{i}.jpg", keypoints=np.zeros((1, 2)), camera_id=1, image_id=i)
        pose = Pose(camera_from_world, -camera_from_world @ (scale * place(i)))
        found.add_image_with_trivial_frame(image, pose.to_colmap())
    return found


class Known(FeatureDatabase):
    """A database that knows odometry of all images."""

    def odometry(self):
        return {i: Pose(np.eye(3), place(i)) for i in range(1, COUNT + 1)}


@pytest.fixture
def database(tmp_path):
    return FeatureDatabase(tmp_path / "d.db")


def locator(database, images, **config):
    return Locator(database, images, ReconstructionConfig(**config))


def test_the_datum_waits_for_positions_and_stays(database):
    assert locator(database, rows(gps=(1, 2))).world is None
    assert locator(database, rows(gps=(1, 2))).positions == {}
    first = locator(database, rows(gps=(1, 2, 3)))
    assert set(first.positions) == set(first.sigmas) == {1, 2, 3}
    later = locator(database, rows(gps=range(6, 13)))
    assert later.world == first.world
    np.testing.assert_allclose(later.positions[12] - later.positions[6], place(12) - place(6), atol=0.3)


def test_poor_positions_are_left_out(database):
    assert locator(database, rows(gps=range(1, 9), sigma=9.0), max_gps_sigma=8.0).positions == {}


def test_neighbours_are_by_gps_else_by_odometry(tmp_path):
    database = Known(tmp_path / "d.db")
    assert set(locator(database, rows()).places) == set(range(1, 13))
    assert set(locator(database, rows(gps=(1, 2, 3))).places) == {1, 2, 3}


def test_scales_come_from_the_rig_then_gps_then_odometry(tmp_path):
    odometry, nothing = Known(tmp_path / "d.db"), FeatureDatabase(tmp_path / "e.db")
    known = locator(odometry, rows())
    by_rig = Scale(3.0, 0.01)
    assert known.scale(model(), by_rig) == by_rig
    assert known.scale(model()).factor == pytest.approx(2.0, rel=1e-6)
    assert known.scale(model()).sigma == ODOMETRY_SIGMA
    assert known.best_scale(model()) == pytest.approx(2.0, rel=1e-6)
    assert locator(nothing, rows()).best_scale(model()) is None
    located = locator(nothing, rows(gps=range(1, 13)))
    assert located.scale(model()) is None
    assert located.best_scale(model()) == pytest.approx(2.0, rel=0.02)
    assert known.best_scale(model(), by_rig) == 3.0


@pytest.mark.parametrize(("rig_sigma", "gps_sigma", "expected"), [(0.05, 0.1, 2.0), (0.001, 3.0, 2.6)])
def test_rig_and_gps_are_weighed_by_their_uncertainties(database, rig_sigma, gps_sigma, expected):
    """The rig says 2.6, 60 m of positions say 2: which of them is right is for their standard deviations to tell."""
    located = locator(database, rows(gps=range(1, 13), sigma=gps_sigma))
    assert located.best_scale(model(), Scale(2.6, rig_sigma)) == pytest.approx(expected, rel=0.02)


def test_models_are_moved_to_where_their_images_were(database):
    found, located = model(), locator(database, rows(gps=range(1, 13)))
    assert located.georeference(found, None, []).kind == "enu"
    centers = np.array([found.image(i).projection_center() for i in range(1, 13)])
    np.testing.assert_allclose(centers, [located.positions[i] for i in range(1, 13)], atol=0.2)


def test_an_unknown_altitude_is_not_zero_and_is_said(database):
    everywhere = range(1, 13)
    found, located, warnings = model(), locator(database, rows(gps=everywhere, flat=(3, 4, 5))), Findings()
    assert located.heights == {*everywhere} - {3, 4, 5}
    assert np.isfinite(list(located.positions.values())).all()
    assert located.georeference(found, None, warnings).kind == "enu"
    np.testing.assert_allclose(found.image(4).projection_center(), located.positions[4], atol=0.2)
    located.georeference(model(), None, warnings)
    (finding,) = warnings.list()
    assert (finding.kind, finding.count, finding.of) == (ALTITUDE_UNKNOWN, 3, 12), "counted once, however many models"
    nowhere = Locator(FeatureDatabase(database.path.with_name("e.db")), rows(gps=everywhere, flat=everywhere), CONFIG)
    assert nowhere.georeference(model(), None, warnings).kind == "enu"
    assert "heights in the map count from its cameras" in warnings.list()[0].text


def test_positions_too_poor_to_tell_the_vertical_are_said_unless_a_mount_tells_it(database):
    found, told = model(), Findings()
    poor = rows(gps=range(1, 13), sigma=3.0)
    located = locator(database, poor)
    assert located.georeference(found, None, told).kind == "enu"
    (finding,) = told.list()
    assert (finding.kind, finding.examples) == (UP_ASSUMED, ("12 images from 1.jpg",))
    again = Findings()
    located.tell_doubts(found, again)
    assert again.list() == told.list(), "of a model that lies in its frame already"
    ahead = Pose(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))
    for mount, kinds in ((ahead, []), (Pose.identity(), [UP_ASSUMED])):  # of the optical frame, of the camera's body
        told = Findings()
        assert Locator(database, poor, CONFIG, {"cam": mount}).georeference(model(), None, told).kind == "enu"
        assert [finding.kind for finding in told.list()] == kinds


def test_without_gps_a_known_scale_gives_metres(database):
    found, located, warnings = model(), locator(database, rows()), Findings()
    assert located.georeference(found, Scale(2.0, 0.01), warnings).kind == "metric"
    np.testing.assert_allclose(found.image(4).projection_center(), place(4), atol=1e-9)
    assert warnings.list() == []


def test_without_gps_the_cameras_say_what_is_up(database):
    """The solver's axes are those of its first camera: here the whole model lies on its back."""
    tilted = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    for scale in (None, 2.0):
        found, located = model(), locator(database, rows())
        found.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(tilted), np.zeros(3)))
        lying = np.array([found.image(i).projection_center() for i in range(1, COUNT + 1)])
        assert np.ptp(lying[:, 2]) > 5
        located.georeference(found, scale and Scale(scale, 0.01), Findings())
        standing = np.array([found.image(i).projection_center() for i in range(1, COUNT + 1)])
        np.testing.assert_allclose(standing[:, 2], 0.0, atol=1e-9)
        np.testing.assert_allclose(
            np.linalg.norm(np.diff(standing, axis=0), axis=1), (scale or 1.0) * np.linalg.norm(np.diff(lying, axis=0), axis=1)
        )
    left = model()
    left.transform(pycolmap.Sim3d(1.0, pycolmap.Rotation3d(tilted), np.zeros(3)))
    located.georeference(left, None, Findings(), level=False)
    np.testing.assert_allclose([left.image(i).projection_center() for i in range(1, COUNT + 1)], lying)


def test_what_keeps_a_model_arbitrary_is_said_where_something_could_have_told(database):
    warnings = Findings()
    assert locator(database, rows()).georeference(model(), None, warnings).kind == "arbitrary"
    assert warnings.list() == []
    assert locator(database, rows(gps=(1, 2, 3))).georeference(model(), None, warnings).kind == "arbitrary"
    (finding,) = warnings.list()
    assert (finding.kind, "only 3 images" in finding.text) == (NOT_GEOREFERENCED, True)
    assert f"at least {MIN_POSITIONS} images" in finding.text.replace("four", "4")
    found, named = model(), [replace(row, file_name=f"street #1/photo {row.name}.jpg") for row in rows(gps=(1, 2))]
    for row in named:
        found.image(row.image_id).name = database_name(row.file_name)
    locator(database, named).georeference(found, None, warnings)
    assert "12 images from street #1/photo 1.jpg" in warnings.list()[0].text, "not as COLMAP's database escapes it"
    mounted = Locator(
        FeatureDatabase(database.path.with_name("e.db")), rows(), ReconstructionConfig(), {"cam": Pose.identity()}
    )
    mounted.georeference(model(), None, warnings)
    assert "the mounted cameras share no points" in warnings.list()[0].text


class Posed(FeatureDatabase):
    """A database whose images were given poses."""

    metric = True

    def given_poses(self):
        north = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])  # world_from_camera of a level one that looks there
        return {i: GivenPose(north, place(i) + 100.0, "optical", "camera", 0.1, 0.01, self.metric) for i in range(1, COUNT + 1)}


@pytest.mark.parametrize("metric", [True, False])
def test_poses_in_a_frame_of_their_own_are_the_map_and_gps_is_said_to_be_unused(tmp_path, metric):
    database = Posed(tmp_path / "d.db")
    database.metric = metric
    where, found, findings = locator(database, rows(gps=range(1, 9))), model(), Findings()
    assert where.world == WorldFrame("metric" if metric else "arbitrary", given=True)
    assert where.georeference(found, None, findings) == where.world
    np.testing.assert_allclose(found.image(3).projection_center(), place(3) + 100.0, atol=0.05)
    (kept,) = [f for f in findings.list() if f.kind == FRAME_KEPT]
    assert (kept.count, kept.of) == (8, COUNT)


def test_given_rotations_tell_the_vertical(tmp_path):
    """Of cameras that all lie on their side, which their rows alone cannot know."""
    where, found = locator(Posed(tmp_path / "d.db"), rows()), model()
    side = Pose(np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), np.zeros(3))
    ids = sorted(found.images)
    lying = Pose.stack([Pose.from_colmap(found.image(i).cam_from_world()) @ side for i in ids])
    (up,) = where.verticals(ids, lying)
    np.testing.assert_allclose(up.direction, side.rotation.T @ [0, 0, 1], atol=1e-6)
    assert up.sigma == pytest.approx(0.01)


def test_a_model_is_put_where_its_cameras_were_not_where_the_antenna_was(tmp_path):
    """The antenna is two metres ahead of a camera that looks ahead, and the vehicle turns by a right angle."""
    turns = [Rotation.from_euler("z", 90.0 * i / COUNT, degrees=True).as_matrix() for i in range(1, COUNT + 1)]
    ahead = Pose(np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.zeros(3))  # camera_from_base
    antenna, scale = np.array([2.0, 0.0, 1.0]), 0.5
    found = pycolmap.Reconstruction()
    found.add_camera_with_trivial_rig(pycolmap.Camera.create_from_model_name(1, "PINHOLE", 100.0, 100, 100))
    images = []
    for i, turn in enumerate(turns, start=1):
        rotation = ahead.rotation @ turn.T
        image = pycolmap.Image(name=f"{i}.jpg", keypoints=np.zeros((1, 2)), camera_id=1, image_id=i)
        found.add_image_with_trivial_frame(image, Pose(rotation, -rotation @ (scale * place(i))).to_colmap())
        there = from_enu((place(i) + turn @ antenna)[None], (0.0, 0.0, 0.0))[0]
        geo = GeoPosition(there.latitude, there.longitude, there.altitude, 0.05**2 * np.eye(3))
        images.append(ImageRow(i, 1, f"{i}", f"{i}.jpg", "cam", 10**9 * i, 100, geo))
    where = Locator(FeatureDatabase(tmp_path / "d.db"), images, CONFIG, {"cam": ahead.inverse()}, antenna)
    frame = where.georeference(found, None, Findings())
    truth = to_enu(from_enu(np.array([place(i) for i in range(1, COUNT + 1)]), (0.0, 0.0, 0.0)), frame.datum)
    np.testing.assert_allclose([found.image(i).projection_center() for i in range(1, COUNT + 1)], truth, atol=0.02)
    poses = np.array([found.image(i).cam_from_world().matrix() for i in range(1, COUNT + 1)])
    nothing = np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32), np.zeros(0, np.int64)
    none = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 2), np.float32)
    written = SparseModel(tuple(row.name for row in images), (), poses, *nothing, *none, frame=frame)
    assert where.residuals([written]).metres.max() < 0.02


def test_positions_that_are_a_second_late_are_said_to_be(database):
    """Each is that of the next image."""
    images = [
        replace(row, geo=later.geo) for row, later in zip(rows(gps=range(1, 12)), rows(gps=range(2, 13))[1:], strict=False)
    ]
    where, found = Locator(database, images, CONFIG), model(scale=1.0)
    found.deregister_frame(found.image(COUNT).frame_id)
    assert where.georeference(found, Scale(1.0, 0.001), Findings()).kind == "enu"
    poses = np.array([found.image(i).cam_from_world().matrix() for i in range(1, COUNT)])
    nothing = np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0, np.float32), np.zeros(0, np.int64)
    none = np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 2), np.float32)
    written = SparseModel(tuple(row.name for row in images), (), poses, *nothing, *none, frame=where.world)
    assert where.residuals([written]).clock.seconds == pytest.approx(1.0, abs=0.1)
