"""Depth from posed views: exact on a textured wall, silent where nothing is certain, labelled by the views that agree."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from seg2d3d_ros.dense import densify as dense
from seg2d3d_ros.dense.plane_sweep import UndistortedView, sweep
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.images import encode_png, write_labels
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.sections.cloud_config import CloudConfig
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.types import SparseModel, WorldFrame

WIDTH, HEIGHT, FOCAL, DEPTH = 160, 120, 150.0, 8.0
CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (FOCAL, FOCAL, WIDTH / 2, HEIGHT / 2))
MATRIX = np.array([[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]])
PIXELS_PER_METRE, MIDDLE = 40.0, 400.0


def texture() -> np.ndarray:
    """(800, 800) uint8: 20 m of a wall at z = ``DEPTH``."""
    rng = np.random.default_rng(4)
    rough = cv2.resize(rng.integers(0, 256, (200, 200)).astype(np.uint8), (800, 800), interpolation=cv2.INTER_CUBIC)
    return cv2.addWeighted(rough, 0.7, cv2.resize(rng.integers(0, 256, (50, 50)).astype(np.uint8), (800, 800)), 0.3, 0)


def pose(x: float, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> np.ndarray:
    rotation = cv2.Rodrigues(np.array([0.0, np.radians(yaw), 0.0]))[0]
    return np.hstack([rotation, -rotation @ [[x], [y], [z]]])


def photo(camera_from_world: np.ndarray, wall: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of the wall at z = ``DEPTH``; wall (0, 0) metres = texture pixel (400, 400)."""
    wall_from_texture = np.array(
        [
            [1 / PIXELS_PER_METRE, 0, -MIDDLE / PIXELS_PER_METRE],
            [0, 1 / PIXELS_PER_METRE, -MIDDLE / PIXELS_PER_METRE],
            [0, 0, 1],
        ]
    )
    world_from_wall = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, DEPTH]])
    onto = (
        MATRIX @ (camera_from_world[:, :3] @ world_from_wall + np.outer(camera_from_world[:, 3], [0, 0, 1])) @ wall_from_texture
    )
    half = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    return cv2.warpPerspective(wall, np.linalg.inv(half) @ onto @ half, (WIDTH, HEIGHT), flags=cv2.INTER_AREA)


def undistorted(poses: list[np.ndarray], wall: np.ndarray) -> list[UndistortedView]:
    return [UndistortedView(photo(p, wall).astype(np.float32), View(CAMERA, Pose.from_matrix(p)), 4.0, 20.0) for p in poses]


@pytest.mark.parametrize(
    "others",
    [
        [pose(-0.5), pose(0.5)],
        [pose(0.4, 0.2, 0.1, 4.0), pose(-0.5, 0.0, -0.2, -3.0)],
        [pose(0.0, 0.0, 1.5), pose(0.3, 0.0, 0.8)],  # forwards: no pair can be rectified
    ],
)
def test_depth_of_a_wall(others):
    view, *rest = undistorted([pose(0.0), *others], texture())
    depth = sweep(view, rest)
    inner = depth[15:-15, 25:-25]
    assert np.isfinite(inner).mean() > 0.8
    error = np.abs(inner[np.isfinite(inner)] - DEPTH) / DEPTH
    assert np.median(error) < 0.01
    assert np.percentile(error, 90) < 0.03
    row, column, xyz = view.points(depth)
    again = view.project(xyz)
    assert (np.stack([row, column]) == again[:2]).all(), "points project where they came from"
    np.testing.assert_allclose(again[2], depth[row, column], rtol=1e-6)


def test_nothing_is_said_of_a_blank_wall_or_where_views_differ():
    blank = undistorted([pose(0.0), pose(0.5)], np.full((800, 800), 90, np.uint8))
    assert np.isnan(sweep(blank[0], blank[1:])).all()
    view, other = undistorted([pose(0.0), pose(0.5)], texture())[0], undistorted([pose(0.5)], texture()[::-1])[0]
    assert np.isfinite(sweep(view, [other])).mean() < 0.2


def wall_map(tmp_path, monkeypatch, frame: WorldFrame, poses: list[np.ndarray], brightness: float = 1.0) -> MapStore:
    """A map of the wall: instance 3 left of x = 0, 5 right of it, in all views but the last, which mixes them up."""
    wall = (texture() * brightness).astype(np.uint8)
    rng = np.random.default_rng(0)
    xyz = np.stack([rng.uniform(-3, 3, 60), rng.uniform(-2, 2, 60), np.full(60, DEPTH)], axis=1)
    store, records, observations = MapStore(tmp_path / "map"), [], []
    names = tuple(f"front_{k}" for k in range(len(poses)))
    for k, (name, p) in enumerate(zip(names, poses, strict=True)):
        image = cv2.cvtColor(photo(p, wall), cv2.COLOR_GRAY2RGB)
        (tmp_path / f"{name}.png").write_bytes(encode_png(image))
        records.append(KeyframeRecord(name, "front", k + 1, f"{name}.png", str(tmp_path / f"{name}.png"), CAMERA))
        boundary = photo(p, np.repeat(np.where(np.arange(800) < MIDDLE, 0, 255)[None], 800, axis=0).astype(np.uint8)) > 127
        store_labels = np.where(boundary, 5, 3).astype(np.uint16)
        write_labels(store.label_path(name), store_labels[:, ::-1] if k == len(poses) - 1 else store_labels)
        local = (xyz @ p[:, :3].T + p[:, 3]) @ MATRIX.T
        observations.append(local[:, :2] / local[:, 2:])
    store.write_keyframes(records)
    count = len(poses)
    model = SparseModel(
        names, (CAMERA,) * count, np.array(poses), xyz, np.zeros((60, 3), np.uint8), np.zeros(60, np.float32), np.arange(60),
        np.repeat(np.arange(count, dtype=np.int32), 60), np.tile(np.arange(60, dtype=np.int32), count),
        np.concatenate(observations).astype(np.float32), frame,
    )  # fmt: skip
    monkeypatch.setattr(dense, "read_models", lambda root: [model])
    return store


POSES = [pose(-0.9), pose(-0.45), pose(0.0), pose(0.45), pose(0.9)]


def test_a_map_becomes_a_dense_labelled_cloud(tmp_path, monkeypatch):
    store = wall_map(tmp_path, monkeypatch, WorldFrame("enu", (52.0, 13.0, 40.0)), POSES)
    done: list[tuple[str, int, int]] = []
    counts = dense.densify(store, CloudConfig(voxel=0.0), progress=lambda *step: done.append(step))
    points = read_points(store.root / "dense.ply", CLOUD_POINT)
    assert counts == {"views": 5, "points": len(points), "points_labelled": len(points)}
    assert done[-1] == ("dense", 5, 5)
    assert len(points) > 3 * WIDTH * HEIGHT * 0.6
    assert np.percentile(np.abs(points["z"] - DEPTH), 95) < 0.02 * DEPTH
    aside = np.abs(points["x"]) > 0.3
    right = np.where(points["x"] < 0, 3, 5) == points["instance"]
    assert right[aside].mean() > 0.9, "the view that mixes them up is outvoted"
    assert 0.5 < points["confidence"].mean() < 1.0
    thinned = dense.densify(store, CloudConfig(voxel=0.2), progress=lambda *step: None)
    assert thinned["points"] < counts["points"] / 4


def test_labels_are_completed_over_superpoints_where_the_parameters_say_so(tmp_path, monkeypatch):
    """The votes of the points of a superpoint are counted together, so that shares are other ones."""
    store = wall_map(tmp_path, monkeypatch, WorldFrame("enu", (52.0, 13.0, 40.0)), POSES)
    clouds = []
    for config in (None, SuperpointConfig(), SuperpointConfig(complete=True)):
        dense.densify(store, CloudConfig(voxel=0.05), config, progress=lambda *step: None)
        clouds.append(read_points(store.root / "dense.ply", CLOUD_POINT))
    np.testing.assert_array_equal(clouds[0], clouds[1])
    right = [(np.where(points["x"] < 0, 3, 5) == points["instance"])[np.abs(points["x"]) > 0.1].mean() for points in clouds]
    assert right[2] >= right[0] > 0.97
    assert not np.array_equal(clouds[2]["confidence"], clouds[0]["confidence"])


def test_without_metres_nothing_is_thinned(tmp_path, monkeypatch):
    store = wall_map(tmp_path, monkeypatch, WorldFrame(), POSES)
    assert dense.densify(store, CloudConfig(voxel=5.0), progress=lambda *step: None)["points"] > 1000


def test_two_views_are_not_enough_and_the_file_of_before_stays(tmp_path, monkeypatch):
    store = wall_map(tmp_path, monkeypatch, WorldFrame(), POSES[:2])
    with pytest.raises(DataError, match="no depth that 3 views agree on"):
        dense.densify(store, CloudConfig(), progress=lambda *step: None)
    assert not (store.root / "dense.ply").exists()


def test_neighbours_are_at_a_good_angle_and_ranges_hold_the_points(tmp_path, monkeypatch):
    store = wall_map(tmp_path, monkeypatch, WorldFrame(), [pose(0.0), pose(0.01), pose(0.6), pose(-0.6), pose(9.0)])
    (model,) = dense.read_models(store.root)
    found = dense.neighbours(model)
    assert set(found[0][:2]) == {2, 3}
    assert 4 not in found[0], "beyond 20°"
    near, far = dense.depth_ranges(model)
    assert (near < DEPTH).all()
    assert (far > DEPTH).all()
