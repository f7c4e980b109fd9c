"""Superpoints of a map directory's clouds: the command, exports, and what it says of bad ones."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_maps import two_houses

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.config import Config
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import write_labels
from seg2d3d_ros.mapstore.directory.marker import WHOLE, mark
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, POINT, cloud_points, read_points, write_points
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints import map_superpoints as module
from seg2d3d_ros.superpoints.map_superpoints import POINTS_NOT_FINITE, POINTS_UNSEEN, map_superpoints, tiles
from seg2d3d_ros.superpoints.superpoint_file import SUPERPOINT
from seg2d3d_ros.types import WorldFrame


@pytest.fixture
def store(tmp_path, monkeypatch) -> MapStore:
    """Four keyframes of two houses, 1 on the left and 2 on the right; the cloud of a wall over both."""
    store = MapStore(tmp_path / "map")
    model, _ = two_houses()
    monkeypatch.setattr(module, "read_models", lambda root: [model])
    labels = np.where(np.arange(64) < 32, 1, 2).astype(np.uint16)[None].repeat(48, axis=0)
    records = []
    for k, name in enumerate(model.names):
        write_labels(store.label_path(name), labels)
        records.append(
            KeyframeRecord(
                name, "front", k + 1, f"{name}.png", f"{name}.png", Camera("PINHOLE", 64, 48, (60.0, 60.0, 32.0, 24.0))
            )
        )
    store.write_keyframes(records)
    store.write_config(Config())
    houses = [{"id": k, "class": "house", "score": 1.0, "points": 0, "component": 0, "observations": []} for k in (1, 2)]
    write_json(store.root / "tracks.json", {"instances": houses, "frame": {"kind": "enu"}})
    points = cloud_points(model.xyz, model.rgb, np.zeros(40), np.zeros(40), POINT)
    points["point_id"] = model.point_ids
    write_points(store.root / "points.ply", points)
    write_points(store.root / "points_rgb.ply", points)
    rng = np.random.default_rng(0)
    wall = np.stack([rng.uniform(-4, 4, 2000), rng.uniform(-3, 3, 2000), np.full(2000, 9.0)], axis=1)
    write_points(store.root / "dense.ply", cloud_points(wall, np.full((2000, 3), 90, np.uint8), np.zeros(2000), np.zeros(2000)))
    mark(store.root, WHOLE)
    return store


def divide(store: MapStore, cloud: str, findings: Findings | None = None, *, by_views: bool = True, **values):
    options = {"max_range": 40.0, "by_views": by_views, "progress": lambda *_: None}
    return map_superpoints(store, cloud, SuperpointConfig(**values), findings=findings or Findings(), **options)


def test_a_dense_cloud_gets_the_labels_of_both_houses(store):
    found = divide(store, "dense", scale=5.0)
    right = np.where(found.points["x"] < 0, 1, 2) == found.points["instance"]
    assert right.mean() > 0.98
    assert len(np.unique(found.superpoint[found.points["instance"] == 1])) < 5
    assert found.before == 0
    alone = divide(store, "dense", by_views=False, scale=5.0, by_gap=0.0)
    assert alone.superpoint.max() == 0, "geometry sees one wall"


def test_a_map_without_metres_is_scaled_to_see_what_hides_what(store, monkeypatch):
    """The same cloud and cameras, a thousand times smaller."""
    from dataclasses import replace

    (model,) = module.read_models(store.root)
    small = replace(model, xyz=model.xyz / 1000, frame=WorldFrame())
    monkeypatch.setattr(module, "read_models", lambda root: [small])
    points = read_points(store.root / "dense.ply", CLOUD_POINT)
    for axis in "xyz":
        points[axis] /= 1000
    write_points(store.root / "dense.ply", points)
    found = divide(store, "dense", scale=5.0)
    assert (found.points["instance"] > 0).mean() > 0.98


def test_sparse_points_are_labelled_where_keyframes_observe_them_and_keep_what_nobody_else_says(store):
    points = read_points(store.root / "points.ply")
    added = points[:3].copy()  # given to masks beyond the model: no keyframe observes them
    added["point_id"], added["x"], added["instance"], added["confidence"] = [2**31, 2**31 + 1, 2**31 + 2], 80.0, 9, 1.0
    write_points(store.root / "points.ply", np.concatenate([points, added]))
    findings = Findings()
    found = divide(store, "points", findings)
    np.testing.assert_array_equal(found.points["instance"], np.repeat([1, 2, 9], [20, 20, 3]))
    (unseen,) = findings.list()
    assert (unseen.kind, unseen.count, unseen.of) == (POINTS_UNSEEN, 3, 43)
    assert found.before == 3


def test_places_that_are_not_finite_are_counted_and_alone(store):
    points = read_points(store.root / "dense.ply", CLOUD_POINT)
    points["x"][[5, 9]] = np.nan
    write_points(store.root / "dense.ply", points)
    findings = Findings()
    found = divide(store, "dense", findings, scale=5.0)
    kinds = {item.kind: item.count for item in findings.list()}
    assert kinds[POINTS_NOT_FINITE] == 2
    assert np.bincount(found.superpoint)[found.superpoint[[5, 9]]].tolist() == [1, 1]


def test_without_labels_geometry_alone_decides_and_it_is_said(store):
    for path in (store.root / "labels").glob("*.png"):
        path.unlink()
    findings = Findings()
    found = divide(store, "dense", findings, scale=5.0, by_gap=0.0)
    assert (found.superpoint == 0).all()
    assert not found.points["instance"].any()
    assert [item.kind for item in findings.list()] == [POINTS_UNSEEN]


def test_tiles_hold_every_point_once():
    rng = np.random.default_rng(1)
    xyz = rng.uniform(0, [50, 3, 3], (1000, 3))
    xyz[7] = np.nan
    parts = list(tiles(xyz, 130))
    assert max(map(len, parts)) <= 130
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(1000))
    assert all(np.nanmax(xyz[part, 0]) - np.nanmin(xyz[part, 0]) < 10 for part in parts)
    assert sum(map(len, tiles(np.zeros((9, 3)), 4))) == 9


def test_a_large_cloud_is_divided_in_tiles(store, monkeypatch):
    monkeypatch.setattr(module, "TILE_POINTS", 600)
    found = divide(store, "dense", scale=5.0)
    np.testing.assert_array_equal(np.unique(found.superpoint), np.arange(found.superpoint.max() + 1))
    assert (np.where(found.points["x"] < 0, 1, 2) == found.points["instance"]).mean() > 0.97


def test_the_command_writes_a_column_of_superpoints(store, tmp_path, capsys):
    out = tmp_path / "out.ply"
    assert main(["superpoints", str(store.root), "--cloud", "dense", "--scale", "5", "--out", str(out)]) == 0
    points = read_points(out, SUPERPOINT)
    assert len(points) == 2000
    number = np.unique(points["superpoint"])
    np.testing.assert_array_equal(number, np.arange(len(number)))
    for k in number[:5]:
        mine = points[points["superpoint"] == k]
        assert len(np.unique(mine[["red", "green", "blue"]])) == 1, "one colour"
    words = capsys.readouterr().out
    assert f"2000 points in {len(number)} superpoints" in words


def test_export_completes_labels_and_colours_them(store, tmp_path):
    from seg2d3d_ros.palette import instance_colors

    out = tmp_path / "out.ply"
    assert main(["export", str(store.root), "--format", "ply", "--superpoints", "--out", str(out)]) == 0
    points = read_points(out)
    np.testing.assert_array_equal(points["instance"], np.repeat([1, 2], 20))
    assert tuple(points[["red", "green", "blue"]][0].tolist()) == tuple(instance_colors([1])[0])
    assert main(["export", str(store.root), "--format", "ply", "--out", str(out)]) == 0
    assert not read_points(out)["instance"].any()


def test_what_cannot_be_divided_is_said_in_one_line(store, tmp_path, capsys):
    def fails(code: int, words: str, *arguments: str) -> None:
        assert main(["superpoints", *arguments]) == code
        assert words in capsys.readouterr().err

    root, out = str(store.root), str(tmp_path / "out.ply")
    fails(1, "cloud.ply: is missing; make the map with 'seg2d3d bag … --cloud TOPIC'", root, "--cloud", "lidar", "--out", out)
    fails(2, "superpoints.scale: -1.0 is outside", root, "--scale", "-1", "--out", out)
    fails(2, "lies in the map directory", root, "--out", str(store.root / "out.ply"))
    fails(1, "no map directory", str(tmp_path / "none"), "--out", out)
    write_points(store.root / "cloud.ply", np.empty(0, CLOUD_POINT))
    fails(1, "cloud.ply: has no point", root, "--cloud", "lidar", "--out", out)
    (store.root / "dense.ply").write_bytes((store.root / "dense.ply").read_bytes()[:500])
    fails(1, "dense.ply: not a labelled cloud of this program, or cut off", root, "--cloud", "dense", "--out", out)


def test_colours_are_those_of_the_photographs(store, monkeypatch):
    """points.ply is coloured by instance, which must not tell superpoints apart; points_rgb.ply may lie in another order."""
    photo = read_points(store.root / "points_rgb.ply")[::-1].copy()
    photo["red"] = photo["point_id"]
    write_points(store.root / "points_rgb.ply", photo[:-1])
    seen = []
    monkeypatch.setattr(
        module, "partition", lambda xyz, config, *, rgb, shown: seen.append(rgb) or np.zeros(len(xyz), np.int32)
    )
    divide(store, "points")
    np.testing.assert_array_equal(seen[0][:, 0], [128, *range(8, 47)])
