"""Labels carried to a LiDAR's cloud: scans, occlusion, votes."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.lidar import cloud_file
from seg2d3d_ros.lidar.carry import Carried, carry_labels
from seg2d3d_ros.lidar.cloud_file import write_cloud
from seg2d3d_ros.lidar.labeller import (
    SCANS_EMPTY,
    SCANS_IN_GAPS,
    SCANS_OUTSIDE,
    SCANS_WITHOUT_MOUNT,
    Carry,
    CloudLabeller,
    check_metric,
)
from seg2d3d_ros.lidar.scans import cloud_to_array, read_scan
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, read_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.sections.cloud_config import CloudConfig
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.shown_labels import LabelledView
from seg2d3d_ros.types import SparseModel, WorldFrame

SECOND = 1_000_000_000
CAMERA = Camera("PINHOLE", 200, 100, (100.0, 100.0, 100.0, 50.0))


def pose(x: float = 0.0, y: float = 0.0, z: float = 0.0, yaw: float = 0.0) -> Pose:
    return Pose(Rotation.from_euler("z", yaw, degrees=True).as_matrix(), np.array([x, y, z]))


# Scans


def cloud(fields: dict[str, np.ndarray], stamp_ns: int = 0, big: bool = False) -> SimpleNamespace:
    codes = {"i1": 1, "u1": 2, "i2": 3, "u2": 4, "i4": 5, "u4": 6, "f4": 7, "f8": 8}
    layout = np.dtype(
        [(name, values.dtype.newbyteorder(">" if big else "<"), values.shape[1:]) for name, values in fields.items()]
    )
    points = np.empty(len(next(iter(fields.values()))), layout)
    for name, values in fields.items():
        points[name] = values
    described = [
        SimpleNamespace(name=n, offset=o[1], datatype=codes[o[0].base.str[1:]], count=max(1, math.prod(o[0].shape)))
        for n, o in (layout.fields or {}).items()
    ]
    stamp = SimpleNamespace(sec=stamp_ns // SECOND, nanosec=stamp_ns % SECOND)
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id="lidar"), height=1, width=len(points), fields=described,
        is_bigendian=big, point_step=layout.itemsize, row_step=points.nbytes, data=points.view(np.uint8), is_dense=False,
    )  # fmt: skip


def xyz_fields(xyz: np.ndarray) -> dict[str, np.ndarray]:
    return {name: xyz[:, k].astype("f4") for k, name in enumerate("xyz")}


@pytest.mark.parametrize("big", [False, True])
def test_points_without_a_return_are_left_out(big: bool):
    xyz = np.array([[1, 2, 3], [np.nan, 0, 0], [0, 0, 0], [4, 5, 6]], "f4")
    message = cloud({**xyz_fields(xyz), "intensity": np.array([7, 8, 9, 10], "u2")}, 5 * SECOND + 7, big)
    scan = read_scan(message, "/lidar")
    assert (scan.stamp_ns, scan.frame_id, scan.row.tolist()) == (5 * SECOND + 7, "lidar", [0, 3])
    np.testing.assert_array_equal(scan.xyz, xyz[[0, 3]])
    np.testing.assert_array_equal(scan.intensity, [7, 10])
    assert scan.offset is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("time", np.array([0.0, 0.05], "f4")),
        ("t", np.array([0, 50_000_000], "u4")),
        ("timestamp", np.array([1000.0, 1000.05], "f8")),
    ],
)
def test_times_of_points_as_drivers_write_them(name: str, values: np.ndarray):
    scan = read_scan(cloud({**xyz_fields(np.ones((2, 3))), name: values}, 1000 * SECOND), "/lidar")
    tolerance = 1e-6
    if name == "timestamp":
        assert scan.offset is None, "a thousand seconds is neither an offset nor a time of day"
        scan = read_scan(cloud({**xyz_fields(np.ones((2, 3))), name: values + 2e9}, 2_000_001_000 * SECOND), "/lidar")
        tolerance = 1e-6
    np.testing.assert_allclose(scan.offset, [0.0, 0.05], atol=tolerance)


def test_fields_of_several_numbers_are_neither_places_nor_times():
    xyz, pairs = xyz_fields(np.ones((4, 3))), np.ones((4, 2), "f4")
    scan = read_scan(cloud({**xyz, "intensity": pairs, "time": pairs}), "/lidar")
    assert (len(scan.xyz), scan.intensity, scan.offset) == (4, None, None)
    with pytest.raises(DataError, match="no field y among x, z"):
        read_scan(cloud({**xyz, "y": pairs}), "/lidar")


def test_clouds_that_are_none():
    with pytest.raises(DataError, match=r"/x: no field z among x, y"):
        read_scan(cloud({"x": np.ones(2, "f4"), "y": np.ones(2, "f4")}), "/x")
    message = cloud(xyz_fields(np.ones((4, 3))))
    message.data = message.data[:20]
    with pytest.raises(DataError, match="does not hold"):
        cloud_to_array(message)
    message.fields[0].datatype = 99
    with pytest.raises(DataError, match="does not hold 4×1 points"):
        cloud_to_array(message)
    assert len(read_scan(cloud(xyz_fields(np.empty((0, 3)))), "/x").xyz) == 0


# Votes


def wall(depth: float, half: float, step: float, x: float = 0.0) -> np.ndarray:
    """(N, 3) points of a square wall across the view, in the camera's frame (z forward)."""
    grid = np.arange(-half, half + step / 2, step)
    a, b = np.meshgrid(grid + x, grid)
    return np.stack([a.ravel(), b.ravel(), np.full(a.size, depth)], axis=1)


def at(x: float, labels: np.ndarray | None, **more) -> LabelledView:
    matrix = np.hstack([np.eye(3), [[-x], [0.0], [0.0]]])
    return LabelledView(View(CAMERA, Pose.from_matrix(matrix)), lambda: labels, **more)


def labels_of(value: int, columns: slice = slice(None)) -> np.ndarray:
    image = np.zeros((100, 200), np.uint16)
    image[:, columns] = value
    return image


@pytest.mark.parametrize("step", [0.05, 0.3])
def test_what_stands_behind_gets_no_label_from_the_wall_in_front(step: float):
    """The nearer wall covers the middle; its gaps are 1 to 6 pixels wide."""
    front, back = wall(5.0, 1.0, step), wall(12.0, 5.0, 0.25)
    xyz = np.concatenate([front, back])
    got = carry_labels(xyz, [at(0.0, labels_of(7))], 50.0)
    assert (got.instance[: len(front)] == 7).all()
    behind = np.abs(back[:, :2]).max(axis=1) < 12 / 5 * (1.0 - step)
    beside = np.abs(back[:, :2]).max(axis=1) > 12 / 5 * (1.0 + 2.5 * step) + 0.3
    inside = np.abs(back[:, 1]) < 5.9
    assert (got.confidence[len(front) :][behind] == 0).all()
    assert (got.instance[len(front) :][beside & inside] == 7).all()


def test_a_slanted_wall_does_not_hide_itself():
    along = np.arange(0, 30, 0.15)
    a, b = np.meshgrid(along, np.arange(-2, 2, 0.15))
    xyz = np.stack([2.0 + 0 * a.ravel(), b.ravel(), 3.0 + a.ravel()], axis=1)  # a house front 2 m beside the view, seen along
    got = carry_labels(xyz, [at(0.0, labels_of(3))], 25.0)
    # At 8 m the view grazes the wall at 14°, at 20 m at 6°.
    assert (got.instance[xyz[:, 2] < 8] == 3).mean() > 0.93
    assert (got.instance[xyz[:, 2] < 20] == 3).mean() > 0.6


def test_the_majority_of_views_wins_and_the_background_may_win():
    xyz = wall(10.0, 1.0, 0.2)
    views = [at(0.0, labels_of(4)), at(0.5, labels_of(4)), at(-0.5, labels_of(9))]
    got = carry_labels(xyz, views, 50.0)
    assert set(got.instance) == {4}
    np.testing.assert_allclose(got.confidence, 2 / 3, atol=1e-6)
    none = carry_labels(xyz, [at(0.0, labels_of(0)), at(0.5, labels_of(0)), at(-0.5, labels_of(9))], 50.0)
    assert set(none.instance) == {0}
    np.testing.assert_allclose(none.confidence, 2 / 3, atol=1e-6)
    for nothing in (carry_labels(xyz, [], 50.0), carry_labels(xyz, [at(0.0, None)], 50.0), carry_labels(xyz, views, 5.0)):
        assert not nothing.instance.any()
        assert not nothing.confidence.any()
    assert len(carry_labels(np.empty((0, 3)), views, 50.0).instance) == 0


def test_near_views_count_more():
    xyz = wall(10.0, 0.5, 0.2)
    far = LabelledView(View(CAMERA, Pose(np.eye(3), np.array([0.0, 0.0, 15.0]))), lambda: labels_of(9))
    assert set(carry_labels(xyz, [far, at(0.0, labels_of(4))], 50.0).instance) == {4}


def test_colours_come_from_the_nearest_view_at_the_size_it_has():
    xyz = wall(10.0, 0.5, 0.2)
    red, blue = (np.full((50, 100, 3), c, np.uint8) for c in ((255, 0, 0), (0, 0, 255)))
    far = LabelledView(View(CAMERA, Pose(np.eye(3), np.array([0.0, 0.0, 15.0]))), lambda: labels_of(1), lambda: blue)
    got = carry_labels(xyz, [far, at(0.0, labels_of(1), image=lambda: red)], 50.0)
    assert (got.rgb == [255, 0, 0]).all()


def test_lens_distortion_that_turns_back_shows_nothing_beyond_the_image():
    """Beyond 60° this polynomial bends rays back into the image."""
    lens = dataclasses.replace(CAMERA, model="OPENCV", params=(100.0, 100.0, 100.0, 50.0, -0.25, 0.0, 0.0, 0.0))
    angles = np.radians([0.0, 20.0, 62.0, 63.4, 75.0])
    xyz = np.stack([10 * np.sin(angles), 0 * angles, 10 * np.cos(angles)], axis=1)
    item = LabelledView(View(lens, Pose.identity()), lambda: labels_of(5))
    assert (carry_labels(xyz, [item], 50.0).instance > 0).tolist() == [True, True, False, False, False]


# The whole


def drive(frame: WorldFrame = WorldFrame("enu", (52.0, 13.0, 40.0))) -> SparseModel:
    """A camera that moves 1 m/s to the right, one keyframe a second, looking along world y; z is up."""
    camera_from_axes = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    poses = [np.hstack([camera_from_axes, -camera_from_axes @ np.array([[k], [0.0], [0.0]])]) for k in range(6)]
    none = np.empty(0, np.int32)
    return SparseModel(
        tuple(f"front_{k * SECOND}" for k in range(6)), (CAMERA,) * 6, np.array(poses), np.empty((0, 3)),
        np.empty((0, 3), np.uint8), np.empty(0, np.float32), np.empty(0, np.int64), none, none,
        np.empty((0, 2), np.float32), frame,
    )  # fmt: skip


def labeller(
    model: SparseModel, superpoints: SuperpointConfig | None = None, carry: Carry | None = None, **config
) -> CloudLabeller:
    tree = FrameTree()
    base_from_camera = Pose(np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]).T, np.zeros(3))
    tree.add("base", "front_optical", base_from_camera)
    tree.add("base", "lidar", pose(0.0, 0.0, 1.0, 30.0))
    moments = {name: ("front", int(name.split("_")[1])) for name in model.names}
    values = {"interval": 0.0, "voxel": 0.0, **config}
    return CloudLabeller(
        [model], moments, tree, CloudConfig(**values), labels=lambda name: labels_of(6, slice(0, 100)),
        frame_of_camera={"front": "front_optical"}, superpoints=superpoints, carry=carry,
    )  # fmt: skip


def scan_of(world: np.ndarray, stamp_s: float, offset: np.ndarray | None = None):
    """What the LiDAR of ``drive`` measures of world points (N, 3), each at its own moment."""
    offset = np.zeros(len(world)) if offset is None else offset
    at_time = [(pose(stamp_s + o) @ pose(0, 0, 1, 30)).inverse() for o in offset]
    local = np.array([m.apply(p[None])[0] for m, p in zip(at_time, world, strict=True)])
    return read_scan(cloud({**xyz_fields(local), "time": offset.astype("f4")}, round(stamp_s * SECOND)), "/lidar")


def test_scans_are_placed_point_by_point_and_labelled():
    front = wall(8.0, 1.5, 0.25)
    world = np.stack([front[:, 0] + 2.5, front[:, 2], front[:, 1]], axis=1)
    machine = labeller(drive())
    assert machine.add(scan_of(world, 2.5, np.linspace(0, 0.1, len(world)))) is None
    assert machine.add(scan_of(world, 9.0)) is None
    got = machine.flush()
    assert got is not None
    np.testing.assert_allclose(got.xyz, world, atol=0.004)  # 1 m/s in steps of 5 ms, and float32
    assert set(got.instance) <= {0, 6}
    # The wall spans x = 1 … 4; six cameras at 0 … 5, of which the left half of each image shows the instance.
    assert (got.instance[world[:, 0] < 1.5] == 6).all()
    assert (got.instance[world[:, 0] > 3.5] == 0).all()
    assert (got.confidence > 0).all()
    assert (machine.counts["scans"], machine.counts["scans_used"], machine.counts["scans_lost"]) == (2, 1, 1)
    assert machine.counts["points"] == machine.counts["points_seen"] == len(world)
    assert machine.flush() is None


def test_why_scans_are_lost_is_counted_by_reason(tmp_path):
    model, world = drive(), wall(8.0, 1.5, 0.25)
    stamps = (1.0, 2.0, 3.0, 4.0, 15.0, 16.0)
    names = tuple(f"front_{round(t * SECOND)}" for t in stamps)
    machine = labeller(dataclasses.replace(model, names=names), interval=0.2)
    seen = scan_of(np.stack([world[:, 0] + 1.0, world[:, 2], world[:, 1]], axis=1), 1.0)
    scans = [dataclasses.replace(seen, stamp_ns=round(t * SECOND)) for t in (-19.0, 0.0, 1.5, 1.6, 2.5, 8.0, 9.0, 26.0)]
    scans += [dataclasses.replace(scans[2], stamp_ns=round(3.0 * SECOND), frame_id="radar")]
    scans += [read_scan(cloud(xyz_fields(np.zeros((5, 3))), round(3.5 * SECOND)), "/lidar")]
    findings = Findings()
    words = write_cloud(tmp_path / "cloud.ply", machine, scans, "/lidar", findings)
    told = {finding.kind: (finding.count, finding.of) for finding in findings.list()}
    assert told == {SCANS_OUTSIDE: (3, 10), SCANS_IN_GAPS: (2, 10), SCANS_WITHOUT_MOUNT: (1, 10), SCANS_EMPTY: (1, 10)}
    texts = " | ".join(finding.text for finding in findings.list())
    for part in ("up to 20.0 s", "up to 11.0 s lie between", "cloud.max_gap (3 s)", "from radar to a camera"):
        assert part in texts
    counts = machine.counts
    assert counts["scans_used"] + counts["scans_thinned"] + counts["scans_lost"] == counts["scans"] == 10
    assert (counts["scans_used"], counts["scans_thinned"]) == (2, 1)
    assert "7 of 10 scans lost" in words
    write_cloud(tmp_path / "cloud.ply", labeller(dataclasses.replace(model, names=names)), scans, "/lidar", findings)
    assert {finding.kind: finding.count for finding in findings.list()}[SCANS_OUTSIDE] == 3, "a second cloud does not add up"


def test_a_cloud_without_a_scan_that_can_be_used_says_all_reasons(tmp_path):
    machine = labeller(drive())
    late = dataclasses.replace(scan_of(wall(8.0, 1.5, 0.25), 1.0), stamp_ns=1000 * SECOND)
    with pytest.raises(
        DataError, match=r"/lidar: none of 1 scans could be used: scans before the first.*1 of 1.*995\.0 s.*clock"
    ):
        write_cloud(tmp_path / "cloud.ply", machine, [late], "/lidar", Findings())
    assert not (tmp_path / "cloud.ply").exists()


def test_one_bad_message_does_not_end_the_recording(tmp_path, monkeypatch):
    good, bad = cloud(xyz_fields(wall(8.0, 1.5, 0.25)), 2 * SECOND), cloud(xyz_fields(np.ones((4, 3))), 3 * SECOND)
    bad.data = bad.data[:20]
    monkeypatch.setattr(cloud_file, "CloudLabeller", lambda *_, **__: labeller(drive()))
    for name in ("read_models", "recorded_frames"):
        monkeypatch.setattr(cloud_file, name, lambda *_: None)
    recording = SimpleNamespace(
        topics={"/lidar": SimpleNamespace(count=2)}, messages=lambda _: [("/lidar", 0, bad), ("/lidar", 1, good)]
    )
    findings = Findings()
    options = {"frame_of_camera": {}, "progress": lambda *_: None, "findings": findings}
    words = cloud_file.label_recording(MapStore(tmp_path), recording, "/lidar", CloudConfig(), SuperpointConfig(), **options)
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.of) == (cloud_file.SCANS_UNREADABLE, 1, 2)
    assert "does not hold" in finding.text
    assert "1 of 2 scans lost" in words
    assert len(read_points(tmp_path / "cloud.ply", CLOUD_POINT)) > 0


def test_a_gap_in_the_drive_counts_as_no_more_than_scans_are_placed_in():
    model = drive()
    stamps = (0.0, 1.0, 2.0, 2.0, 30.0, 31.0)  # two cameras at 2 s; then the vehicle turns
    names = tuple(f"{camera}_{round(t * SECOND)}" for camera, t in zip("aaabaa", stamps, strict=True))
    machine = labeller(dataclasses.replace(model, names=names), max_gap=3.0)
    seconds = {t: machine.seconds_after(round(t * SECOND)) for t in (-9.0, 0.0, 1.5, 2.0, 29.0, 31.0, 40.0)}
    assert seconds == pytest.approx({-9.0: 9.0, 0.0: 6.0, 1.5: 4.5, 2.0: 4.0, 29.0: 2.0, 31.0: 0.0, 40.0: 0.0})


def test_scans_too_close_in_time_are_left_out_and_stretches_end_by_themselves(monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.lidar.labeller.CHUNK_POINTS", 150)
    world = np.random.default_rng(0).uniform(-1, 1, (100, 3)) + [2.5, 8, 0]
    machine = labeller(drive(), interval=0.2)
    pieces = [machine.add(scan_of(world, t)) for t in (1.0, 1.1, 1.2, 1.4, 1.6)]
    assert [p is not None for p in pieces] == [False, False, False, True, False]
    assert machine.counts["scans_used"] == 4
    assert set(pieces[3].scan) == {0, 2}
    assert pieces[3].stamps == {0: SECOND, 2: 1_200_000_000}


def test_a_map_without_metres_or_a_sensor_without_a_place_is_refused():
    with pytest.raises(DataError, match=r"scale is arbitrary.*NavSatFix"):
        labeller(drive(WorldFrame()))
    with pytest.raises(DataError, match="no map"):
        check_metric([])
    scan = dataclasses.replace(scan_of(np.ones((3, 3)), 2.5), frame_id="radar")
    with pytest.raises(DataError, match="no transform between 'radar' and 'front_optical'"):
        labeller(drive()).covers(scan.frame_id, scan.stamp_ns)


def test_points_may_be_labelled_without_any_mask():
    """As ``cloud_node`` does where ``cloud.model`` names a network."""
    asked = []

    def carry(xyz, views):
        asked.append(len(xyz))
        return Carried(np.full(len(xyz), 9, np.int32), np.ones(len(xyz), np.float32), np.zeros((len(xyz), 3), np.uint8))

    machine = labeller(drive(), carry=carry)
    wall = np.column_stack([np.linspace(0, 4, 30), np.full(30, 5.0), np.linspace(0.5, 2, 30)])
    found = list(machine.label([scan_of(wall, 2.0)]))
    assert asked == [30]
    assert (found[0].instance == 9).all()
    assert machine.counts["points_labelled"] == 30


def test_superpoints_carry_labels_to_what_no_view_sees():
    xyz = wall(10.0, 2.0, 0.1)
    narrow = LabelledView(View(dataclasses.replace(CAMERA, width=100), Pose.identity()), lambda: labels_of(5)[:, :100])
    plain = carry_labels(xyz, [narrow], 50.0)
    assert 0.1 < (plain.instance == 5).mean() < 0.9
    assert (carry_labels(xyz, [narrow], 50.0, SuperpointConfig(scale=100.0)).instance == 5).all()


def test_a_recordings_cloud_is_completed_where_the_parameters_say_so():
    """The votes of the points of a superpoint are counted together, so that shares are other ones."""
    front = wall(8.0, 1.5, 0.25)
    world = np.stack([front[:, 0] + 2.5, front[:, 2], front[:, 1]], axis=1)
    labels = []
    for config in (SuperpointConfig(complete=True, scale=100.0), SuperpointConfig(scale=100.0), None):
        machine = labeller(drive(), superpoints=config)
        machine.add(scan_of(world, 2.5))
        got = machine.flush()
        assert got is not None
        labels.append(got.confidence)
    assert not np.array_equal(labels[0], labels[1])
    np.testing.assert_array_equal(labels[1], labels[2])
