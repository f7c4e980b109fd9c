"""The simulated LiDAR: its points lie on the street's surfaces, with the true house of each, and travel in the bag."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

pytest.importorskip("open3d")

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.visibility import seen_by, spacings
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.lidar.scans import cloud_to_array, read_scan
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.recording.reader import open_recording
from seg2d3d_ros.recording.recorded_frames import recorded_frames
from seg2d3d_ros.recording.topics import CLOUD
from seg2d3d_ros.simulation.drive import START_NS, Drive
from seg2d3d_ros.simulation.lidar_scanner import POINT, RATE, RINGS, base_from_lidar, sweeps
from seg2d3d_ros.simulation.scene.street import build_street
from seg2d3d_ros.simulation.street_folder import simulate

SEED = 5


def street_and_drive():
    street_seeds, drive_seeds, *_, lidar_seeds = np.random.SeedSequence(SEED).spawn(6)
    street = build_street(street_seeds, 2)
    return street, Drive(np.random.default_rng(drive_seeds), street.length, 3), lidar_seeds


def test_points_lie_on_surfaces_with_their_owner():
    import open3d as o3d

    street, drive, seeds = street_and_drive()
    scene = o3d.t.geometry.RaycastingScene()
    corners = np.ascontiguousarray(street.mesh.triangles.reshape(-1, 3))
    scene.add_triangles(o3d.core.Tensor(corners), o3d.core.Tensor(np.arange(len(corners), dtype=np.uint32).reshape(-1, 3)))
    turns = sweeps(street, drive, seeds)
    houses = set()
    for k, sweep in enumerate(turns):
        assert sweep.stamp_ns == START_NS + round(k / RATE * 1e9)
        if k % 12 != 11:
            continue
        points = sweep.points
        moments, place = np.unique(points["time"], return_inverse=True)
        poses = Pose.stack([drive.pose(k / RATE + float(t)) @ base_from_lidar() for t in moments])[place]
        local = np.stack([points[axis] for axis in "xyz"], axis=1)
        xyz = poses.apply(local[:, None])[:, 0]
        nearest = scene.compute_closest_points(o3d.core.Tensor(xyz.astype(np.float32)))
        gap = np.linalg.norm(nearest["points"].numpy() - xyz, axis=1)
        on = gap < 0.1  # the others are on what moves, which this scene lacks
        assert on.mean() > 0.8
        owner = street.mesh.label[nearest["primitive_ids"].numpy()]
        assert (owner[on] == points["truth"][on]).mean() > 0.97  # things touch
        houses |= set(points["truth"].tolist())
        assert points["ring"].max() < len(RINGS)
        assert 0 <= points["time"].min() <= points["time"].max() < 0.1
    assert {1, 2} <= houses


def test_the_bag_holds_the_scans_and_the_sensors_place_and_the_rest_is_the_same(tmp_path):
    small = {"seed": SEED, "buildings": 2, "keyframes": 2, "cameras": 1, "width": 96, "height": 64}
    out = simulate(tmp_path / "with", lidar=True, **small)
    with open_recording(out / "street.mcap") as recording:
        topic = recording.find("lidar/points", CLOUD)
        with pytest.raises(UsageError, match=r"no PointCloud2 on /radar; there are /lidar/points"):
            recording.find("/radar", CLOUD)
        np.testing.assert_allclose(
            recorded_frames(recording).get("base_link", "lidar").matrix, base_from_lidar().matrix, atol=1e-9
        )
        scans = [read_scan(message, topic) for _, _, message in recording.messages([topic])]
        message = recording.first(topic)
        stamps = [stamp for _, stamp, _ in recording.messages(list(recording.topics))]
    assert stamps == sorted(stamps)
    assert len(scans) > 10
    assert [s.stamp_ns for s in scans[:2]] == [START_NS, START_NS + 200_000_000]
    assert scans[0].frame_id == "lidar"
    assert cloud_to_array(message).dtype.names == POINT.names
    assert scans[0].offset is not None
    assert set(json.loads((out / "rig.json").read_text())["sensors"]) == {"front", "lidar", "gps"}
    without = simulate(tmp_path / "without", **small)
    for name in ("truth_poses.txt", "gps.csv", "camera.json"):
        assert (out / name).read_bytes() == (without / name).read_bytes()
    images = sorted(path.name for path in (out / "images").iterdir())
    assert all((out / "images" / n).read_bytes() == (without / "images" / n).read_bytes() for n in images)
    assert "lidar" not in json.loads((without / "rig.json").read_text())["sensors"]
    with pytest.raises(UsageError, match="written into the bag"):
        simulate(tmp_path / "no", lidar=True, bag=False, **small)


def test_a_dense_cloud_of_what_stands_has_its_true_owners(tmp_path):
    """And the same seed gives the same images with it and without."""
    options = {"seed": SEED, "buildings": 2, "keyframes": 4, "cameras": 1, "width": 96, "height": 64, "bag": False}
    simulate(tmp_path / "street", cloud=True, **options)
    simulate(tmp_path / "plain", **options)
    points = read_points(tmp_path / "street" / "truth" / "cloud.ply", CLOUD_POINT)
    assert {0, 1, 2} <= set(points["instance"].tolist())
    facts = json.loads((tmp_path / "street" / "camera.json").read_text())
    camera = Camera(facts["model"], facts["width"], facts["height"], tuple(facts["params"]))
    xyz = np.stack([points[axis] for axis in "xyz"], axis=1).astype(float)
    right = seen = 0
    for line in (tmp_path / "street" / "truth_poses.txt").read_text().splitlines()[3:]:
        name, *values = line.split()
        number = np.array(values, float)
        view = View(camera, Pose(Rotation.from_quat(np.roll(number[:4], -1)).as_matrix(), number[4:]).inverse())
        truth = read_labels(tmp_path / "street" / "truth" / f"{name[:-4]}.png")
        point, pixels, _ = seen_by(view, xyz, np.arange(len(xyz)), spacings(xyz))
        column, row = pixels.astype(int).T
        shown, owner = truth[row, column], points["instance"][point]
        house = np.isin(shown, [1, 2]) & np.isin(owner, [1, 2])
        right, seen = right + np.count_nonzero((shown == owner)[house]), seen + np.count_nonzero(house)
        same = [(tmp_path / folder / "images" / name).read_bytes() for folder in ("street", "plain")]
        assert same[0] == same[1]
    assert right > 0.97 * seen > 300
