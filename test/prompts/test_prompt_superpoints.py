"""A prompted object in a dense cloud: with superpoints, what no view sees goes with its surface."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from helpers_clicks import WINDOW, middle, pixel
from helpers_level_map import labelled
from helpers_levels import NAMES

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, cloud_points, read_points, write_points
from seg2d3d_ros.prompts import laying
from seg2d3d_ros.prompts.point_completion import points_completed
from seg2d3d_ros.prompts.point_votes import points_held
from seg2d3d_ros.prompts.sights import Sight
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig

CAMERA = Camera("PINHOLE", 1280, 960, (800.0, 800.0, 640.0, 480.0))


def wall_with_sign():
    """Points (N, 3) of a wall at 10 m, and which are those of a sign on it."""
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(-4, 4, 0.1), np.arange(-3, 3, 0.1)))
    sign = (np.abs(x) < 1.5) & (np.abs(y) < 1)
    return np.stack([x, y, np.full(len(x), 10.0)], axis=1), sign


def sight(name: str, x: float, y: float) -> Sight:
    """A camera that looks along z, and has no points that hide anything."""
    none = np.empty(0, int)
    return Sight(name, View(CAMERA, Pose(np.eye(3), np.array([-x, -y, 0]))), none, np.empty((0, 2)), np.empty(0), None)


def mask_of(view: View, xyz: np.ndarray):
    """The pixels of a box about points."""
    pixels, _ = view.project(xyz)
    rows, columns = np.mgrid[: view.camera.height, : view.camera.width]
    (x0, y0), (x1, y1) = pixels.min(axis=0), pixels.max(axis=0)
    return region_of((columns > x0 - 1) & (columns < x1) & (rows > y0 - 1) & (rows < y1))


def test_what_no_image_shows_goes_with_its_surface():
    xyz, sign = wall_with_sign()
    views = [sight(f"view{k}", x, y=-5.4) for k, x in enumerate((-1.0, 0.0, 1.0))]  # the images show no lower edge of the sign
    regions = {item.name: mask_of(item.view, xyz[sign]) for item in views}
    rgb = np.where(sign[:, None], 200, 90).astype(np.uint8).repeat(3, axis=1)
    unseen = ~np.any([item.sees(xyz) for item in views], axis=0)
    assert 0.05 < (sign & unseen).sum() / sign.sum() < 0.4
    rows, _ = points_held(views, regions, xyz)
    assert not unseen[rows].any()
    rows, share = points_completed(views, regions, xyz, rgb, SuperpointConfig())
    mine = np.isin(np.arange(len(xyz)), rows)
    assert (mine & sign).sum() / (mine | sign).sum() > 0.97
    assert share.dtype == np.float32
    assert (share > 0.5).all()


def test_nothing_is_completed_where_no_view_holds_a_point():
    xyz, _ = wall_with_sign()
    rows, share = points_completed([sight("view", 0.0, 0.0)], {}, xyz, np.zeros((len(xyz), 3), np.uint8), SuperpointConfig())
    assert (len(rows), len(share)) == (0, 0)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("made") / "map")[0].root


@pytest.mark.parametrize("complete", [False, True])
def test_the_map_says_whether_dense_clouds_are_completed(made, tmp_path, monkeypatch, complete):
    root = shutil.copytree(made, tmp_path / "map")
    x0, y0, x1, y1 = WINDOW.box
    x, y = (grid.ravel() for grid in np.meshgrid(np.arange(x0 - 1, x1 + 1, 0.15), np.arange(y0 - 1, y1 + 1, 0.15)))
    count = len(x)
    nothing = np.zeros((count, 3), np.uint8), np.zeros(count, np.int32), np.zeros(count, np.float32)
    write_points(root / "dense.ply", cloud_points(np.stack([x, y, np.full(count, 12.0)], axis=1), *nothing))
    config = (root / "config.yaml").read_text()
    assert "complete: false" in config
    (root / "config.yaml").write_text(config.replace("complete: false", f"complete: {str(complete).lower()}"))
    asked = []
    real = laying.points_completed
    monkeypatch.setattr(laying, "points_completed", lambda *given: asked.append(given) or real(*given))
    click = "{:.2f},{:.2f}".format(*pixel(*middle(WINDOW), 3))
    assert main(["prompt", str(root), "--image", NAMES[3], "--click", click]) == 0
    assert bool(asked) is complete
    cloud = read_points(root / "dense.ply", CLOUD_POINT)
    inside = (x > x0) & (x < x1) & (y > y0) & (y < y1)
    assert ((cloud["instance"] > 0) == inside).mean() > 0.95
