"""What keyframes tell of their vehicle (mounts, odometry) comes back from the database and gives models their scale."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import cv2
import numpy as np
import pytest
from helpers_scene import render, textures
from helpers_walk import CAMERA, SECOND
from scipy.spatial.transform import Rotation

from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

pytest.importorskip("pycolmap")

BASELINE = 0.6
MOUNTS = {"a": Pose.identity(), "b": Pose(np.eye(3), np.array([BASELINE, 0.0, 0.0]))}


def keyframes(cameras: str, stops: int) -> list[Keyframe]:
    """A walk of 6 m in steps of a second past two houses, with cameras beside each other."""
    paint, found = textures(1), []
    for k, x in enumerate(np.linspace(-3, 3, stops)):
        for camera in cameras:
            photo, _ = render(paint, float(x + MOUNTS[camera].translation[0]), yaw=0.0)
            stamp = (100 + k) * SECOND
            name = f"{camera}_{stamp}"
            encoded = cv2.imencode(".png", photo[..., ::-1])[1].tobytes()
            frame = Keyframe(name, camera, stamp, encoded, CAMERA, file_name=f"{name}.png")
            found.append(replace(frame, odometry=Pose(np.eye(3), np.array([x, 0.0, 0.0]))))
    return found


def solved(root, mode: str, frames: list[Keyframe]):
    reconstructor = open_reconstructor(root, ReconstructionConfig(mode=mode, max_features=1000, threads=1))
    try:
        for frame in frames:
            reconstructor.add(frame)
        (model,) = reconstructor.solve().models
    finally:
        reconstructor.close()
    return model


def length(model, camera: str) -> float:
    """Metres between the first and the last image of a camera."""
    own = sorted(name for name in model.names if name.startswith(camera))
    first, last = (model.centers[model.names.index(name)] for name in (own[0], own[-1]))
    return float(np.linalg.norm(last - first))


@pytest.mark.parametrize("mode", ["batch", "online"])
def test_odometry_alone_makes_a_map_metric(tmp_path, mode):
    model = solved(tmp_path, mode, keyframes("a", 8))
    assert (len(model.names), model.frame.kind) == (8, "metric")
    assert length(model, "a") == pytest.approx(6.0, rel=0.02)


@pytest.mark.parametrize("mode", ["batch", "online"])
def test_mounts_alone_make_a_map_metric_and_hold_in_it(tmp_path, mode):
    frames = [replace(f, mount=MOUNTS[f.camera_name], odometry=None) for f in keyframes("ab", 6)]
    model = solved(tmp_path, mode, frames)
    assert (len(model.names), model.frame.kind) == (12, "metric")
    assert 0.003 < model.frame.scale_sigma < 0.05, "of a baseline of 0.6 m"
    assert length(model, "a") == pytest.approx(6.0, rel=0.02)
    poses = dict(zip(model.names, model.pose, strict=True))
    for frame in frames[::2]:
        a_from_b = poses[frame.name] @ poses["b" + frame.name[1:]].inverse()
        np.testing.assert_allclose(a_from_b.matrix, MOUNTS["b"].matrix, atol=1e-6)


def test_without_them_the_scale_stays_arbitrary(tmp_path):
    model = solved(tmp_path, "batch", [replace(f, odometry=None) for f in keyframes("a", 6)])
    assert model.frame.kind == "arbitrary"


def test_poses_in_the_database_are_lists_of_numbers_as_ever(tmp_path):
    """Maps that were written before hold 4 × 4 lists; what is written now must be read by what came before."""
    mount = Pose(Rotation.from_euler("z", 0.3).as_matrix(), np.array([1.0, 2.0, 3.0]))
    frame = replace(keyframes("a", 1)[0], mount=mount)
    reconstructor = open_reconstructor(tmp_path, ReconstructionConfig(mode="batch", max_features=200, threads=1))
    reconstructor.add(frame)
    reconstructor.close()
    with sqlite3.connect(tmp_path / "database.db") as tables:
        ((name, text),) = tables.execute("SELECT camera_name, base_from_camera FROM seg2d3d_mounts").fetchall()
        assert name == "a"
        np.testing.assert_array_equal(json.loads(text), mount.matrix)
        ((text,),) = tables.execute("SELECT odom_from_base FROM seg2d3d_odometry").fetchall()
        np.testing.assert_array_equal(json.loads(text), frame.odometry.matrix)
        former = np.linalg.inv(mount.matrix).tolist()
        tables.execute("INSERT INTO seg2d3d_mounts VALUES ('b', ?)", (json.dumps(former),))
    tables.close()
    database = FeatureDatabase(tmp_path / "database.db")
    found = database.mounts()
    assert next(iter(database.odometry().values())).translation.tolist() == [-3.0, 0.0, 0.0]
    database.close()
    np.testing.assert_array_equal(found["b"].matrix, former)
