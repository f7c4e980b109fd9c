"""Scenes and data sets: what views say, kept whole; what is wrong with them, in words."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers_learning import UP, VOXEL, street_cloud, street_scene, street_views
from helpers_maps import two_houses, write_result

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.learning import dataset_making
from seg2d3d_ros.learning.cloud_tiles import cut_tile, superpoint_labels
from seg2d3d_ros.learning.dataset_folder import SCENES_UNREADABLE, read_card, read_scene, write_card, write_scene
from seg2d3d_ros.learning.dataset_making import EMBEDDINGS_DIFFER, MAPS_LEFT_OUT, counts, make_dataset, split_streets
from seg2d3d_ros.learning.learning_scene import UNKNOWN
from seg2d3d_ros.learning.map_scenes import map_scene
from seg2d3d_ros.learning.pointcept_files import write_pointcept
from seg2d3d_ros.learning.scene_building import (
    POINTS_NOT_FINITE,
    VIEWS_WITHOUT_MASKS,
    Cloud,
    build_scene,
    prepare_cloud,
    upright,
)
from seg2d3d_ros.mapstore.files.embeddings_file import Embeddings, write_embeddings
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.sections.association_config import AssociationConfig


def silent(*_):
    pass


@pytest.fixture(scope="module")
def street():
    return street_scene()


def test_views_say_nothing_of_what_they_do_not_see():
    scene, owner = street_scene(places=(2.0, 6.0))
    far = scene.xyz[:, 0] + scene.origin[0] > 15
    assert (scene.instance[far & (owner == 3)] == UNKNOWN).all()
    known = scene.instance != UNKNOWN
    assert known.any()
    assert (scene.instance[known] == owner[known]).mean() > 0.95
    whole = scene.whole()
    assert not np.isin(np.flatnonzero(~known), whole.point).any()
    first = next(scene.by_view(own=True))
    assert set(first.point.tolist()) == set(np.flatnonzero(np.abs(scene.xyz[:, 0] + scene.origin[0] - 2) < 6).tolist())


def test_a_clouds_up_becomes_z():
    cloud, _ = street_cloud()
    up = np.array([0.6, 0.0, 0.8])
    tilted = Cloud(cloud.xyz @ upright(up), cloud.rgb, up)  # of an upright vector, its inverse makes ``up``
    straight, turned = (prepare_cloud(c, 0, Findings()) for c in (cloud, tilted))
    assert np.allclose(np.ptp(turned.xyz[:, 2]), np.ptp(straight.xyz[:, 2]), atol=1e-3)
    assert np.allclose(upright(up) @ up, UP)
    assert np.allclose(upright(-UP) @ -UP, UP)


def test_points_that_are_no_places_and_views_without_masks_are_counted():
    cloud, owner = street_cloud()
    cloud.xyz[:3] = np.nan
    cloud.xyz[3] = 1e300
    findings = Findings()
    prepared = prepare_cloud(cloud, 0, findings)
    xyz = cloud.xyz[prepared.row]
    views = street_views(xyz, owner[prepared.row], (2.0, 10.0))
    nothing = replace(views[1], masks=replace(views[1].masks, label=0 * views[1].instance), instance=0 * views[1].instance)
    scene = build_scene("s", prepared, [views[0], nothing], findings)
    assert scene.views == ("view0",)
    assert {(f.kind, f.count) for f in findings.list()} == {(POINTS_NOT_FINITE, 4), (VIEWS_WITHOUT_MASKS, 1)}
    with pytest.raises(DataError, match="none of its 1 views has a mask"):
        build_scene("s", prepared, [nothing], findings)
    with pytest.raises(DataError, match="0 of them with finite"):
        prepare_cloud(Cloud(np.full((5, 3), np.nan), None, UP), 0, findings)


def test_labels_over_superpoints_are_those_of_most_points_that_the_view_sees(street):
    scene, owner = street
    tile = cut_tile(scene.xyz, scene.rgb, scene.normal, scene.superpoint, np.zeros(2), 50.0, VOXEL)
    view = next(scene.by_view(own=False))
    labels = superpoint_labels(tile, view, len(scene.xyz), 3)
    seen_points = np.isin(tile.point, view.point)
    assert set(labels.seen.tolist()) == set(tile.superpoint[seen_points].tolist())
    for row, label in enumerate(labels.label.tolist()):
        mine = np.isin(tile.superpoint, labels.seen[labels.inside[row]]) & seen_points
        assert (owner[tile.point[mine]] == label).mean() > 0.9
    few = superpoint_labels(tile, view, len(scene.xyz), 10**6)
    assert len(few.label) == 0
    assert not (
        owner[tile.point[np.isin(tile.superpoint, few.seen)]] > 0
    ).any()  # too small to be known: unseen, not background


def test_scenes_come_back_from_disk_and_damaged_ones_are_refused(street, tmp_path):
    scene, _ = street
    path = tmp_path / "a.npz"
    write_scene(path, scene)
    again = read_scene(path)
    assert again.views == scene.views
    np.testing.assert_array_equal(again.view_mask, scene.view_mask)
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-300])
    np.savez(tmp_path / "pickled.npz", **{**np.load(path), "xyz": np.array([{"a": 1}], object)})
    write_scene(tmp_path / "nan.npz", replace(scene, xyz=np.where(scene.xyz > 0, np.nan, scene.xyz)))
    write_scene(tmp_path / "beyond.npz", replace(scene, view_point=scene.view_point + 10**6))
    for name in ("cut", "pickled", "nan", "beyond", "missing"):
        with pytest.raises(DataError, match="make the data set again"):
            read_scene(tmp_path / f"{name}.npz")


def test_a_card_says_what_there_is_and_bad_ones_are_refused_in_words(street, tmp_path):
    scene, _ = street
    facts = {"file": "a.npz", "split": "train", "source": "map", **counts(scene)}
    for name in ("a", "b"):
        write_scene(tmp_path / f"{name}.npz", scene)
    write_card(tmp_path, [facts, {**facts, "file": "b.npz"}, {**facts, "file": "c.npz", "split": "test"}], 0.25, {}, 0)
    (tmp_path / "b.npz").write_bytes(b"PK")
    data, findings = read_card(tmp_path), Findings()
    assert (data.voxel, data.files["test"]) == (0.25, ("c.npz",))
    assert [s.name for s in data.scenes("train", findings)] == [scene.name]
    assert [(f.kind, f.count, f.of) for f in findings.list()] == [(SCENES_UNREADABLE, 1, 2)]
    with pytest.raises(DataError, match="test split"):
        data.scenes("test", Findings())
    card = json.loads((tmp_path / "dataset.json").read_text())
    for change, words in (
        ({"version": 9}, "version 9"),
        ({"scenes": []}, "empty"),
        ({"scenes": [{**facts, "file": "../a.npz"}]}, "make no sense"),
        ({"format": "other"}, "not the card"),
    ):
        (tmp_path / "dataset.json").write_text(json.dumps({**card, **change}))
        with pytest.raises(DataError, match=words):
            read_card(tmp_path)
    with pytest.raises(UsageError, match="no data set"):
        read_card(tmp_path / "nowhere")


def test_streets_are_divided_whole_and_some_are_left_to_train_on():
    names = [f"s{k}" for k in range(10)]
    found = split_streets(names, (0.2, 0.3), 1)
    assert sorted(found.values()) == ["test"] * 3 + ["train"] * 5 + ["validation"] * 2
    assert found == split_streets(names, (0.2, 0.3), 1)
    assert list(split_streets(["one"], (0.4, 0.5), 0).values()) == ["train"]


@pytest.fixture
def houses(tmp_path, monkeypatch):
    """A map of two houses, whose model is given in place of COLMAP's files."""
    root, (model, segments) = tmp_path / "map", two_houses()
    store = MapStore(root)
    for item in segments.values():
        store.write_segments(item, ["building"])
    incidence = build_incidence([model], segments)
    write_result(store, [model], segments, incidence, associate(incidence, model.xyz, AssociationConfig()), ["building"])
    monkeypatch.setattr("seg2d3d_ros.learning.map_scenes.read_models", lambda _: [model])
    return root


def test_a_map_becomes_a_scene_with_both_kinds_of_labels(houses):
    ids = np.array([1], np.int32)
    vectors = np.ones((1, 4), np.float32) / 2
    write_embeddings(houses, Embeddings("clip", "f", ids, vectors, np.array(["d"]), ids))
    scene = map_scene(houses, "m", 0.0, 40.0, "auto", Findings())
    assert len(scene.xyz) == 40
    assert scene.views == ("view0", "view1", "view2", "view3")
    own = [tuple(np.unique(view.label)) for view in scene.by_view(own=True)]
    assert own == [(3, 11), (4, 12), (5, 13), (6, 14)]
    for view in scene.by_view(own=False):
        assert len(np.unique(view.label[view.point < 20])) == 1
        assert set(np.unique(view.label)) == {1, 2}
    assert scene.text_model == "clip"
    assert scene.text.shape == (1, 4)


def test_maps_without_masks_are_told_and_the_others_become_a_data_set(houses, tmp_path):
    bare = tmp_path / "bare"
    MapStore(bare).write_keyframes([])
    findings, options = Findings(), {"voxel": 0.25, "reach": 40.0, "cloud": "auto", "held_out": (0.0, 0.0), "seed": 0}
    facts = make_dataset([houses, bare], tmp_path / "d", **options, pointcept=True, findings=findings, progress=silent)
    assert [(f["file"], f["instances"], f["masks"]) for f in facts] == [("map.npz", 2, 8)]
    (left_out,) = [f for f in findings.list() if f.kind is MAPS_LEFT_OUT]
    assert left_out.count == 1
    assert "no masks" in left_out.text
    assert read_card(tmp_path / "d").files["train"] == ("map.npz",)
    folder = tmp_path / "d/pointcept/train/map"
    assert len(np.load(folder / "coord.npy")) == facts[0]["points"]
    assert set(np.load(folder / "instance.npy")) == {0, 1}
    with pytest.raises(DataError, match="no masks"):
        make_dataset([bare], tmp_path / "e", **options, pointcept=False, findings=Findings(), progress=silent)
    with pytest.raises(UsageError, match="not an empty folder"):
        make_dataset([houses], tmp_path / "d", **options, pointcept=False, findings=Findings(), progress=silent)


def test_embeddings_of_several_models_are_left_out_and_told(street, tmp_path, monkeypatch):
    scene, _ = street
    with_text = replace(scene, text_instance=np.array([1], np.int32), text=np.ones((1, 4), np.float32), text_model="clip")
    made = iter([with_text, replace(scene, name="other")])
    monkeypatch.setattr(dataset_making, "map_scene", lambda *_: next(made))
    findings, options = Findings(), {"voxel": 0.25, "reach": 40.0, "cloud": "auto", "held_out": (0.0, 0.0), "seed": 0}
    make_dataset([tmp_path, tmp_path / "b"], tmp_path / "d", **options, pointcept=False, findings=findings, progress=silent)
    assert [(f.kind, f.count) for f in findings.list()] == [(EMBEDDINGS_DIFFER, 1)]
    assert read_card(tmp_path / "d").text == 0


def test_pointcept_tells_the_unknown_from_the_background(tmp_path):
    scene, _ = street_scene(places=(2.0,))
    write_pointcept(tmp_path, scene)
    segment = np.load(tmp_path / "segment.npy")
    assert ((segment == -1) == (scene.instance == UNKNOWN)).all()
    assert ((segment == 1) == (scene.instance == 0)).all()
