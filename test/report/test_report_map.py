"""The plan: which way is up and right, what it shows, and whether its bar and its marks tell the truth."""

import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_report import LOOK_NORTH, street
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.report.content import read_content
from seg2d3d_ros.report.page import render
from seg2d3d_ros.report.plan import PlanView, make_plan, nice_length, plan_axes, window
from seg2d3d_ros.report.raster import draw_points
from seg2d3d_ros.types import SparseModel


def model_of(rotations, centers=None):
    """A model with these camera_from_world rotations and no points."""
    rotations = np.asarray(rotations, float)
    centers = np.zeros((len(rotations), 3)) if centers is None else np.asarray(centers, float)
    poses = np.concatenate([rotations, -np.einsum("kij,kj->ki", rotations, centers)[:, :, None]], axis=2)
    return SparseModel(
        names=tuple(f"c{k}" for k in range(len(rotations))),
        cameras=(Camera("PINHOLE", 8, 6, (5.0, 5.0, 4.0, 3.0)),) * len(rotations),
        camera_from_world=poses,
        xyz=np.empty((0, 3)),
        rgb=np.empty((0, 3), np.uint8),
        error=np.empty(0, np.float32),
        point_ids=np.empty(0, np.int64),
        obs_keyframe=np.empty(0, np.int32),
        obs_point=np.empty(0, np.int32),
        obs_xy=np.empty((0, 2), np.float32),
    )


def test_a_plan_is_seen_from_above_not_from_below():
    rng = np.random.default_rng(0)
    up = np.array([0.3, -0.5, 0.8]) / np.linalg.norm([0.3, -0.5, 0.8])
    first, second = plan_axes(up, rng.normal(size=(20, 3)))
    assert np.cross(first, second) == pytest.approx(up)


def test_the_longest_extent_runs_to_the_right():
    line = np.linspace([0, 0, 0], [3, 4, 0], 10)
    flat = line @ plan_axes(np.array([0, 0, 1.0]), line).T
    assert flat[-1] - flat[0] == pytest.approx([5, 0])


def test_stray_points_do_not_shrink_the_street():
    rng = np.random.default_rng(1)
    cameras = np.stack([np.linspace(0, 100, 30), np.zeros(30)], axis=1)
    houses = rng.uniform([0, -12], [100, 12], (500, 2))
    calm = window(cameras, houses, houses)
    strays = np.concatenate([houses, rng.normal(0, 1e5, (40, 2))])
    low, high = window(cameras, strays, strays)
    assert (high - low < 1.6 * (calm[1] - calm[0])).all()
    assert ((cameras >= low) & (cameras <= high)).all()
    one_lost = np.concatenate([cameras, [[1e6, 1e6]]])
    low, high = window(one_lost, houses, houses)
    assert (high - low).max() < 400


@pytest.mark.parametrize("count", [0, 1, 2])
def test_very_small_maps_have_a_window(count):
    xy = np.arange(2.0 * count).reshape(-1, 2)
    none = np.empty((0, 2))
    for groups in ((xy, none, none), (none, xy, none), (none, none, xy), (xy, xy, xy)):
        low, high = window(*groups)
        assert (high > low).all()


@given(st.floats(1e-4, 1e6))
def test_scale_bars_have_round_lengths_that_fit(most):
    length = nice_length(most)
    assert most / 2.51 < length <= most * 1.000001
    assert round(length / 10 ** np.floor(np.log10(length * 1.000001)), 6) in (1, 2, 5)


def test_the_bar_is_as_long_as_it_says(tmp_path):
    content = read_content(street(tmp_path).root)
    svg = render(content)
    x0, x1, metres = re.search(
        r'class=scale><path d="M(\d+) [\d.]+V[\d.]+H([\d.]+)V[^>]*/><text[^>]*>([\d.]+) m<', svg
    ).groups()
    first, last = re.findall(r'<path d="M([\d.]+) [^>]*><title>left (?:0|11).0 s</title>', svg)
    stops = 40 * 11 / 12
    assert (float(x1) - float(x0)) / float(metres) == pytest.approx(abs(float(last) - float(first)) / stops, rel=0.01)


def test_houses_and_cameras_lie_where_they_are(tmp_path):
    svg = render(read_content(street(tmp_path).root))
    place = {
        int(i): (float(x), float(y))
        for i, x, y in re.findall(r'#instance-(\d+)"><title>[^<]*</title><rect x="([\d.]+)" y="([\d.]+)"', svg)
    }
    assert set(place) == set(range(1, 11))
    assert [i for i in sorted(place, key=lambda i: place[i][0]) if i % 2] == [1, 3, 5, 7, 9]
    assert max(place[i][1] for i in (1, 3, 5, 7, 9)) < min(place[i][1] for i in (2, 4, 6, 8, 10))
    y, tip = re.search(r'<path d="M[\d.]+ ([\d.]+)L[\d.]+ ([\d.]+)[^>]*><title>left 0.0 s<', svg).groups()
    assert float(tip) < float(y)  # the left camera looks north, which is up
    assert "rotate(0.0" in svg or "rotate(-0.0" in svg


def test_a_street_to_the_north_runs_across_with_north_to_the_right():
    centers = np.stack([np.zeros(20), np.linspace(100, 0, 20), np.zeros(20)], axis=1)
    plan = make_plan([model_of([LOOK_NORTH] * 20, centers)], np.empty((0, 3)), np.empty(0, np.int32), "enu")
    assert plan(np.array([[0, 1.0, 0]]))[0] == pytest.approx([1, 0], abs=1e-9)
    assert plan(np.array([[1.0, 0, 0]]))[0] == pytest.approx([0, -1], abs=1e-9)


def test_only_metric_maps_have_a_scale_and_only_enu_maps_an_arrow(tmp_path):
    svg = render(read_content(street(tmp_path, frame="arbitrary").root))
    assert "class=scale" not in svg
    assert "class=north" not in svg
    assert "without a scale" in svg


def test_points_are_drawn_in_their_colour_at_their_place():
    plan = PlanView(np.eye(3)[:2], np.zeros(2), np.array([10.0, 5.0]))
    xyz = np.array([[2.05, 1.05, 3], [8.05, 4.05, 0], [20, 1, 0]])
    png = draw_points(plan, xyz, np.array([7, 0, 7]), (100, 50))
    rgba = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    assert rgba.shape == (50, 100, 4)
    assert tuple(rgba[39, 20, :3]) == tuple(instance_colors([7])[0])
    assert rgba[39, 20, 3] == 255
    assert np.ptp(rgba[9, 80, :3]) == 0
    assert 0 < rgba[9, 80, 3] < 255
    assert (rgba[:, 90:, 3] == 0).all()


def test_components_without_a_common_frame_are_drawn_apart(tmp_path):
    store = street(tmp_path / "a", frame="arbitrary", houses=4, stops=3, points=300)
    street(tmp_path / "b", frame="arbitrary", houses=2, stops=2, points=40)
    (tmp_path / "b/sparse/0").rename(tmp_path / "a/sparse/1")
    svg = render(read_content(store.root))
    assert svg.count('aria-label="The map from above"') == 2
    assert "Component 0: 6 cameras" in svg
    assert "Component 1: 4 cameras" in svg


def test_the_smallest_components_are_counted_and_not_drawn(tmp_path):
    store = street(tmp_path / "a", frame="arbitrary", houses=2, stops=2, points=40)
    for k in range(1, 6):
        shutil.copytree(tmp_path / "a/sparse/0", tmp_path / f"a/sparse/{k}")
    page = render(read_content(store.root))
    assert page.count('aria-label="The map from above"') == 4
    assert "Not drawn: 2 smaller components with 8 images together." in page


def test_the_plan_of_positions_that_the_documentation_names(tmp_path):
    """``benchmarks/position_plan.py``: a picture where the map has positions, a sentence where it has none."""
    pytest.importorskip("matplotlib")
    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
    import position_plan

    root = street(tmp_path / "map").root
    position_plan.draw(root, tmp_path / "plan.png")
    picture = cv2.imread(str(tmp_path / "plan.png"))
    assert (picture != 255).any(axis=2).mean() > 0.01
    shutil.rmtree(root / "sparse")
    with pytest.raises(DataError, match="not in the frame of its positions"):
        position_plan.draw(root, tmp_path / "plan.png")
