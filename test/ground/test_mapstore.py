"""The map directory: what is written is read back, files are whole or absent, names cannot leave the directory."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from helpers_maps import two_houses, write_result

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.config import Config, load_config
from seg2d3d_ros.disk import atomic
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.mapstore.point_cloud import read_points, stray_points
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Instances, Keyframe


@pytest.fixture
def written(tmp_path):
    model, segments = two_houses()
    incidence = build_incidence([model], segments)
    instances = associate(incidence, model.xyz, AssociationConfig())
    store = MapStore(tmp_path / "map")
    write_result(store, [model], segments, incidence, instances, ["building"])
    return store, model, segments, instances


def test_labels_hold_the_persistent_id_of_every_pixel(written):
    store, _, segments, instances = written
    for name in segments:
        labels = store.read_labels(name)
        assert labels.dtype == np.uint16
        assert (labels > 0).sum() == (segments[name].labels > 0).sum()
        assert labels[20, 10] == instances.point_instance[0]
        assert labels[20, 50] == instances.point_instance[-1]


def test_tracks_follow_the_contract(written):
    store, model, segments, _ = written
    document = json.loads((store.root / "tracks.json").read_text())
    assert document["frame"] == {"kind": "enu", "datum": {"latitude": 55.7, "longitude": 13.2, "altitude": 40.0}}
    assert [i["id"] for i in document["instances"]] == [1, 2]
    for item in document["instances"]:
        assert item["class"] == "building"
        assert item["points"] == 20
        assert [o["image"] for o in item["observations"]] == list(model.names)
        for observation in item["observations"]:
            labels = store.read_labels(observation["image"])
            rows, columns = np.nonzero(labels == item["id"])
            assert observation["box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            assert (segments[observation["image"]].labels[rows, columns] == observation["segment"]).all()


def test_points_are_a_standard_binary_ply(written):
    store, model, _, instances = written
    points = store.read_points()
    assert points["point_id"].tolist() == model.point_ids.tolist()
    assert points["instance"].tolist() == instances.point_instance.tolist()
    assert np.allclose(points["x"], model.xyz[:, 0], atol=1e-5)
    head = (store.root / "points.ply").read_bytes().split(b"end_header")[0].decode()
    assert [line.split()[1:] for line in head.splitlines() if line.startswith("property")] == [
        ["float", "x"], ["float", "y"], ["float", "z"], ["uchar", "red"], ["uchar", "green"], ["uchar", "blue"],
        ["int", "instance"], ["float", "confidence"], ["uint", "point_id"],
    ]  # fmt: skip


def test_the_cloud_to_open_is_coloured_by_instance_and_the_other_by_the_photographs(written):
    store, model, _, _ = written
    points, photo = store.read_points(), read_points(store.root / "points_rgb.ply")
    colors, photo_colors = (np.stack([cloud[c] for c in ("red", "green", "blue")], axis=1) for cloud in (points, photo))
    np.testing.assert_array_equal(colors, instance_colors(points["instance"]))
    np.testing.assert_array_equal(photo_colors, model.rgb)
    for name in ("x", "instance", "point_id", "confidence"):
        np.testing.assert_array_equal(points[name], photo[name])


def test_strays_are_left_out_of_the_cloud_to_open_and_kept_in_the_other(tmp_path):
    rng = np.random.default_rng(1)
    street = rng.uniform([0, -10, 0], [300, 10, 12], (2000, 3))
    tower = np.array([[150.0, 0, 90], [150, 60, 5]])
    strays = np.array([[150.0, 0, 5000], [-2000, 0, 0], [np.nan, 0, 0]])
    xyz = np.concatenate([street, strays, tower])
    black, exact = np.zeros((len(xyz), 3), np.uint8), np.zeros(len(xyz), np.float32)
    model = dataclasses.replace(two_houses(2)[0], xyz=xyz, point_ids=np.arange(len(xyz)), rgb=black, error=exact)
    np.testing.assert_array_equal(np.flatnonzero(stray_points([model])), 2000 + np.arange(3))
    nothing = np.zeros(len(xyz), np.int32)
    instances = Instances(nothing, nothing, exact, nothing[:0], nothing[:0], exact[:0], OrientedBoxes.none())
    store = MapStore(tmp_path)
    store.write_summary([model], [], instances, ("building",))
    assert len(store.read_points()) == 2002
    assert len(read_points(tmp_path / "points_rgb.ply")) == 2005


def test_another_program_reads_the_ply(written):
    """open3d is not our reader: positions and colours arrive, and our extra fields do not disturb it."""
    o3d = pytest.importorskip("open3d")
    store, model, _, _ = written
    cloud = o3d.io.read_point_cloud(str(store.root / "points.ply"))
    assert np.allclose(np.asarray(cloud.points), model.xyz, atol=1e-5)


def test_a_cut_off_ply_is_refused(written):
    store = written[0]
    path = store.root / "points.ply"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(DataError, match=r"points\.ply.*cut off"):
        store.read_points()


def test_keyframes_and_segments_come_back(tmp_path):
    store = MapStore(tmp_path)
    geo = GeoPosition(55.7, 13.2, 10.0, np.diag([4.0, 4.0, 9.0]))
    keyframe = Keyframe("front_12", "front", 12, b"jpeg", Camera("PINHOLE", 64, 48, (1.0, 2.0, 3.0, 4.0)), geo, "front_12.jpg")
    path = store.write_image(keyframe)
    store.write_keyframes([KeyframeRecord.of(keyframe, path.relative_to(tmp_path))])
    (record,) = store.read_keyframes()
    assert record.camera == keyframe.camera
    assert record.geo.covariance.tolist() == geo.covariance.tolist()
    assert store.image_path(record).read_bytes() == b"jpeg"
    flat = dataclasses.replace(record, geo=GeoPosition(55.7, 13.2, float("nan")))
    store.write_keyframes([flat])
    assert "NaN" not in (tmp_path / "keyframes.json").read_text()
    assert not store.read_keyframes()[0].geo.has_altitude
    store.write_keyframes([record])

    _, segments = two_houses(1)
    item = dataclasses.replace(segments["view0"], classes=np.array([2, 1], np.int32))
    store.write_segments(item, ["building", "tree"])
    again = store.read_named_segments("view0").numbered(["building", "tree"])
    assert again.ids.tolist() == item.ids.tolist()
    assert again.classes.tolist() == [2, 1]
    assert again.scores == pytest.approx(item.scores, abs=1e-4)
    only_trees = store.read_named_segments("view0").numbered(["tree"])
    assert only_trees.ids.tolist() == [int(item.ids[0])]
    assert set(np.unique(only_trees.labels).tolist()) == {0, int(item.ids[0])}
    assert store.read_named_segments("absent") is None


def test_a_relative_map_directory_holds_the_same(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _, segments = two_houses()
    name, expected = next(iter(segments.items()))
    MapStore(Path("map")).write_segments(expected, ["building"])
    for root in (Path("map"), tmp_path / "map"):
        found = MapStore(root).read_named_segments(name).numbered(["building"])
        assert found.ids.tolist() == expected.ids.tolist()
        assert (found.labels == expected.labels).all()


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "a/../../../evil"])
def test_names_cannot_leave_the_map_directory(tmp_path, name):
    store = MapStore(tmp_path / "map")
    with pytest.raises(DataError, match="leads out"):
        store.write_image(Keyframe(name, "c", 0, b"x", file_name=name))
    with pytest.raises(DataError, match="leads out"):
        store.label_path(name)


def fill_the_disk(path):
    with atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise OSError(28, "No space left on device")


def test_a_failed_write_keeps_the_former_file(tmp_path):
    path = tmp_path / "metrics.json"
    atomic.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        atomic.write_json(path, {"a": float("nan")})
    with pytest.raises(DataError, match="cannot be written"):
        fill_the_disk(path)
    assert json.loads(path.read_text()) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.json"]


def test_metrics_are_merged_by_entry(tmp_path):
    store = MapStore(tmp_path)
    store.update_metrics({"timings": {"a": 1.0}, "counts": {"n": 1}})
    store.update_metrics({"timings": {"b": 2.0}})
    assert store.read_metrics() == {"timings": {"b": 2.0}, "counts": {"n": 1}}


def test_the_effective_configuration_is_kept(tmp_path):
    config = load_config(preset="fast", overrides={"segmentation.prompts": ["building", "tree"]})
    MapStore(tmp_path).write_config(config)
    assert load_config(file=tmp_path / "config.yaml") == config != Config()
