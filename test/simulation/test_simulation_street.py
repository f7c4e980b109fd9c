"""Layout, meshes, textures and the ray caster of the simulated street."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.simulation.drive import CAMERA_NAMES, Drive, base_from_camera, make_camera
from seg2d3d_ros.simulation.scene import mesh as solids
from seg2d3d_ros.simulation.scene.render import Scene
from seg2d3d_ros.simulation.scene.sky import sky_color
from seg2d3d_ros.simulation.scene.street import LANE, SIDE_STREET, build_street, plan_lots
from seg2d3d_ros.simulation.scene.styles import TYPICAL
from seg2d3d_ros.simulation.scene.texture_atlas import TextureAtlas
from seg2d3d_ros.simulation.scene.textures import TextureSet, noise

FORWARD = Pose(np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]]), np.zeros(3))
"""A camera at the origin that looks along x, z up."""


@given(seed=st.integers(0, 10_000), buildings=st.integers(2, 40))
@settings(max_examples=60, deadline=None)
def test_houses_touch_or_leave_a_side_street_and_stand_clear_of_the_road(seed: int, buildings: int) -> None:
    lots, length = plan_lots(np.random.default_rng(seed), buildings)
    assert [lot.label for lot in lots] == list(range(1, buildings + 1))
    for side in (-1, 1):
        own = [lot for lot in lots if lot.side == side]
        assert len(own) in (buildings // 2, (buildings + 1) // 2)
        assert own[0].x0 == pytest.approx(0.0)
        assert own[-1].x1 == pytest.approx(length)
        gaps = [b.x0 - a.x1 for a, b in itertools.pairwise(own)]
        assert all(gap == pytest.approx(0.0, abs=1e-9) or gap == pytest.approx(SIDE_STREET) for gap in gaps)
        assert any(gap > 1.0 for gap in gaps) == (len(own) >= 3)
    assert all(lot.front > TYPICAL.half_width + 2.0 and lot.width > 3.0 and lot.height >= 7.0 for lot in lots)


def test_windows_repeat_across_houses_but_facades_differ() -> None:
    street = build_street(np.random.SeedSequence(3), 4)
    facades = [street.mesh.texture[np.flatnonzero(street.mesh.label == lot.label)[0]] for lot in street.lots]
    assert len(set(facades)) == 4
    images = [street.textures.images[t] for t in facades]
    assert len({image.tobytes() for image in images}) == 4
    assert min(image.std() for image in images) > 12.0


def test_placed_turns_counter_clockwise_and_moves() -> None:
    point = solids.polygon([(1, 0, 0), (2, 0, 0), (1, 1, 0)], [(0, 0)] * 3, 0).placed(10.0, 20.0, 3.0, np.pi / 2)
    np.testing.assert_allclose(point.triangles[0], [(10, 21, 3), (10, 22, 3), (9, 21, 3)], atol=1e-5)


@given(st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_box_faces_point_outwards_and_close(seed: int) -> None:
    rng = np.random.default_rng(seed)
    low = rng.uniform(-5, 5, 3)
    high = low + rng.uniform(0.1, 4.0, 3)
    t = solids.box(tuple(low), tuple(high), 0).triangles.astype(float)
    normal = np.cross(t[:, 1] - t[:, 0], t[:, 2] - t[:, 0])
    assert ((normal * (t.mean(1) - (low + high) / 2)).sum(1) > 0).all()
    volume = np.einsum("ij,ij->i", t[:, 0], np.cross(t[:, 1], t[:, 2])).sum() / 6
    assert volume == pytest.approx(np.prod(high - low), rel=1e-3)


def test_noise_has_unit_scale_and_depends_on_the_generator_only() -> None:
    first = noise(np.random.default_rng(5), 200, 300, 64.0)
    assert first.shape == (200, 300)
    assert 0.15 < first.std() < 1.0
    np.testing.assert_array_equal(first, noise(np.random.default_rng(5), 200, 300, 64.0))


def _checker_scene() -> tuple[Scene, np.ndarray]:
    """A rectangle with label 3 at x = 10 m in front of a camera at the origin that looks along +x."""
    textures = TextureSet()
    image = np.zeros((64, 64, 3), np.uint8)
    image[:, :32] = (255, 0, 0)
    image[:, 32:] = (0, 0, 255)
    wall = solids.quad([(10, 2.03, -1.51), (10, -3.27, -1.51), (10, -3.27, 2.26), (10, 2.03, 2.26)], textures.add(image), 3)
    empty = solids.concatenate([])
    return Scene(wall, empty, TextureAtlas(textures), np.array([-1.0, 0.0, 0.0])), wall.triangles


def test_labels_are_what_the_ray_through_the_pixel_centre_hits_exactly() -> None:
    """Half a pixel's shift would fail: the pixel (column, row) belongs to the ray through (column + 0.5, row + 0.5)."""
    scene, _ = _checker_scene()
    camera = Camera("PINHOLE", 200, 160, (100.0, 110.0, 97.5, 82.5))
    _, labels = scene.render(camera, FORWARD)
    u, v = np.meshgrid(np.arange(200) + 0.5, np.arange(160) + 0.5)
    y, z = -(u - 97.5) / 100.0 * 10, -(v - 82.5) / 110.0 * 10
    np.testing.assert_array_equal(labels, np.where((y < 2.03) & (y > -3.27) & (z > -1.51) & (z < 2.26), 3, 0))


def test_textures_are_not_mirrored() -> None:
    scene, _ = _checker_scene()
    color, labels = scene.render(Camera("PINHOLE", 200, 160, (100.0, 100.0, 100.0, 80.0)), FORWARD)
    columns = np.flatnonzero(labels[80])
    assert color[80, columns[3], 0] > 150 > color[80, columns[3], 2]
    assert color[80, columns[-4], 2] > 150 > color[80, columns[-4], 0]


def test_sky_is_finite_and_blue_above() -> None:
    up = sky_color(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.7, 0.0, -0.7]], np.float32), np.array([0.0, 0.6, 0.8]))
    assert np.isfinite(up).all()
    assert (up >= 0).all()
    assert (up <= 255).all()


def test_mipmaps_average_a_fine_pattern() -> None:
    textures = TextureSet()
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    textures.add(stripes)
    atlas = TextureAtlas(textures)
    uv = np.random.default_rng(0).uniform(-3, 3, (500, 2)).astype(np.float32)
    texture = np.zeros(500, np.int32)
    far = atlas.sample(texture, uv, np.full(500, 8.0, np.float32))
    near = atlas.sample(texture, uv, np.full(500, 0.5, np.float32))
    np.testing.assert_allclose(far, 100.0, atol=2.0)
    assert near.std() > 30.0


def test_the_drive_goes_down_and_back_in_the_other_lane_at_about_5_metres_a_second() -> None:
    drive = Drive(np.random.default_rng(2), 60.0, 40)
    x = np.array([stop.street_from_base.translation[0] for stop in drive.stops])
    y = np.array([stop.street_from_base.translation[1] for stop in drive.stops])
    legs = np.array([stop.leg for stop in drive.stops])
    times = np.array([stop.time for stop in drive.stops])
    assert (np.diff(times) > 0).all()
    for leg, sign in ((0, 1), (1, -1)):
        own = legs == leg
        assert own.sum() == 20
        assert (sign * np.diff(x[own]) > 0).all()
        assert np.abs(y[own] + sign * LANE).max() < 0.3
        speed = np.abs(np.diff(x[own])) / np.diff(times[own])
        assert 4.0 < np.median(speed) < 6.0
        forward = np.array([s.street_from_base.rotation[0, 0] for s in drive.stops])[own]
        assert (sign * forward > 0.99).all()
    rng = np.random.default_rng(0)
    for time in rng.uniform(0, drive.end_time, 50):
        step = np.linalg.norm(drive.pose(time + 0.02).translation - drive.pose(time).translation)
        assert step < 0.02 * 8.0


def test_cameras_look_ahead_to_the_left_and_to_the_right() -> None:
    axes = {name: base_from_camera(name).rotation for name in CAMERA_NAMES}
    for rotation in axes.values():
        np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(rotation) == pytest.approx(1.0)
        assert rotation[2, 1] < -0.9
        assert rotation[2, 2] > 0.05
    assert axes["front"][0, 2] > 0.95
    assert axes["left"][1, 2] > 0.8
    assert axes["right"][1, 2] < -0.8
    camera = make_camera(960, 640)
    assert camera.params == pytest.approx((480.0, 480.0, 480.0, 320.0))


def test_traffic_moves_and_keeps_to_its_lane() -> None:
    street = build_street(np.random.SeedSequence(1), 4)
    first, later = street.movers_at(3.0, 0, 1.0, 2.0), street.movers_at(3.5, 0, 1.5, 4.5)
    assert len(first.label) > 100
    assert not np.array_equal(first.triangles, later.triangles)
    assert (first.label == 0).all()
    for mover in street.movers:
        if mover.leg >= 0 and not mover.follows:
            assert mover.speed * mover.y < 0, "traffic keeps to the right: towards -x on the +y side"
