"""A map at one granularity: its files, its ids, another level later, and a tree that other code opens."""

import json

import numpy as np
import pytest
from helpers_level_map import MASKS, MODEL, configured, labelled
from helpers_levels import NAMES, WIDTH

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.granularity.map_tree import open_tree
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.directory.inventory import take_inventory
from seg2d3d_ros.mapstore.directory.swap import building_path
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.granular_choice import MASKS_WITHOUT_NODE
from seg2d3d_ros.segmentation.finest import flat_choice


@pytest.fixture(scope="module")
def coarse(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("coarse") / "map")


def test_the_map_shows_whole_objects_in_all_images(coarse):
    store, _, revision = coarse
    tracks = store.read_tracks()["instances"]
    houses = [item for item in tracks if item["points"] > 200]
    assert len(houses) == 2
    assert all(item["parent"] == 0 and item["level"] == 0 and 0 < item["stability"] <= 1 for item in houses)
    for item in houses:
        assert len({observation["image"] for observation in item["observations"]}) >= 10
        assert any(observation.get("recovered") for observation in item["observations"])
    assert revision.counts["instances"] == len(tracks)
    labels = read_labels(store.label_path(NAMES[6]))
    assert {item["id"] for item in houses} <= set(np.unique(labels).tolist())


def test_every_file_of_it_is_the_maps(coarse):
    store = coarse[0]
    found = take_inventory(store.root)
    assert not found.foreign
    assert {"granularity.json", f"masks/{NAMES[0]}.json"} <= set(found.files)


def test_masks_lie_in_coco_files_and_come_back(coarse):
    store = coarse[0]
    document = json.loads((store.root / "masks" / f"{NAMES[0]}.json").read_text())
    assert document["images"][0]["width"] == WIDTH
    assert len(document["annotations"]) == len(MASKS[NAMES[0]])
    again = store.read_overlapping(NAMES[0], ("object",))
    assert again.counts == MASKS[NAMES[0]].counts


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d["annotations"][0]["segmentation"].update(size=[1, 1]),
        lambda d: d["annotations"][0]["segmentation"].update(counts="abc"),
        lambda d: d["images"][0].update(width=10**9),
        lambda d: d.update(images=[]),
        lambda d: d["annotations"][0].update(category_id=[]),
    ],
)
def test_a_damaged_file_of_masks_is_named_before_it_is_decoded(coarse, tmp_path, damage):
    document = json.loads((coarse[0].root / "masks" / f"{NAMES[0]}.json").read_text())
    damage(document)
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/a.json").write_text(json.dumps(document))
    with pytest.raises(DataError, match=r"masks/a\.json: damaged"):
        MapStore(tmp_path).read_overlapping("a", ("object",))


def test_the_tree_is_open_to_other_code(coarse):
    store = coarse[0]
    tree = open_tree(store.root)
    assert tree.granularity == "coarse"
    assert {node.id for node in tree.chosen} == {node.id for node in tree.roots}
    house = max(tree.roots, key=lambda node: len(node.points))
    parts = tree.children(house.id)
    assert parts
    assert all(tree.parent(part.id) == house and part.level == 1 for part in parts)
    name = next(iter(parts[0].masks))
    region = tree.region(parts[0].id, name)
    x0, y0, x1, y1 = region.box
    at = tree.at(name, ((x0 + x1) / 2, (y0 + y1) / 2))
    assert parts[0] in at
    assert tree.region(parts[0].id, "nowhere") is None
    assert set(parts[0].points) <= set(MODEL.point_ids.tolist())
    with pytest.raises(DataError, match="--granularity"):
        open_tree(store.root / "masks")


def test_another_level_later_keeps_ids_and_needs_no_masks_again(tmp_path):
    store, _, _ = labelled(tmp_path / "map", "coarse")
    before = {node.id: set(node.masks.items()) for node in open_tree(store.root).nodes}
    store.update_metrics({"truth": {"methods": {}}})
    assert main(["regroup", str(store.root), "--granularity", "fine"]) == 0
    tree = open_tree(store.root)
    assert {node.id: set(node.masks.items()) for node in tree.nodes} == before
    tracks = store.read_tracks()["instances"]
    assert {item["id"] for item in tracks} <= {node.id for node in tree.nodes if not tree.children(node.id)}
    assert max(item["level"] for item in tracks) >= 1
    assert len(tracks) > 4
    metrics = store.read_metrics()
    assert "truth" not in metrics
    assert metrics["counts"]["instances"] == len(tracks)
    assert metrics["counts"]["registered"] == 12
    assert not (tmp_path / "map.building").exists()


def test_a_regroup_recovers_as_the_map_was_made_or_as_it_is_told(tmp_path):
    store, _, _ = labelled(tmp_path / "map", "coarse")

    def recovered(*options: str) -> int:
        assert main(["regroup", str(store.root), "--granularity", "1", *options]) == 0
        return sum(bool(o.get("recovered")) for item in store.read_tracks()["instances"] for o in item["observations"])

    drawn = recovered()
    assert drawn > 0
    counts = store.read_metrics()["counts"]
    assert counts["missed_views"] >= counts["recovered_views"] > 0, "what is drawn was missed"
    assert recovered("--no-recover") == recovered() == 0
    assert recovered("--recover") == drawn


def test_a_regroup_that_fails_leaves_the_map_as_it_was(tmp_path, capsys):
    store, _, _ = labelled(tmp_path / "map", "coarse")
    tracks = (store.root / "tracks.json").read_bytes()
    (store.root / "masks" / f"{NAMES[3]}.json").write_text("{")
    assert main(["regroup", str(store.root), "--granularity", "fine"]) == 1
    error = capsys.readouterr().err
    assert f"masks/{NAMES[3]}.json" in error.splitlines()[-1], "below the bar of the stage"
    assert error.count("seg2d3d regroup") == 1
    assert (store.root / "tracks.json").read_bytes() == tracks
    assert not building_path(store.root).exists(), "the next call would be refused"
    assert main(["regroup", str(store.root), "--granularity", "tiny"]) == 2
    for path in (store.root / "masks").iterdir():
        path.unlink()
    assert main(["regroup", str(store.root)]) == 1
    assert "no overlapping masks" in capsys.readouterr().err


def test_updates_between_keep_the_ids_that_a_whole_solution_gave(tmp_path):
    store, config = MapStore(tmp_path), configured("coarse")
    session = AssociationSession(store, config)
    for name in NAMES[:9]:
        session.receive(flat_choice(MASKS[name]))
    first = {item["id"] for item in _tracks(session.update([MODEL], full=True), store) if item["points"] > 200}
    session.receive(flat_choice(MASKS[NAMES[9]]))
    session.update([MODEL])
    for name in NAMES[10:]:
        session.receive(flat_choice(MASKS[name]))
    second = {item["id"] for item in _tracks(session.update([MODEL], full=True), store) if item["points"] > 200}
    assert first == second
    assert len(first) == 2
    again = AssociationSession(store, config)  # a node that was started again
    third = {item["id"] for item in _tracks(again.update([MODEL], full=True), store) if item["points"] > 200}
    assert third == first


def _tracks(_revision, store):
    return store.read_tracks()["instances"]


def test_masks_without_a_place_in_the_tree_are_counted(tmp_path):
    _, _, revision = labelled(tmp_path, "auto")
    alone = [finding for finding in revision.findings if finding.kind is MASKS_WITHOUT_NODE]
    nodes = json.loads((tmp_path / "granularity.json").read_text())["nodes"]
    placed = sum(len(places) for node in nodes for places in node["masks"].values())
    total = sum(len(item) for item in MASKS.values())
    assert sum(finding.count for finding in alone) == total - placed
    assert all(finding.of == total for finding in alone)


def test_granularity_none_leaves_each_image_its_own_choice(tmp_path):
    store, _, _ = labelled(tmp_path, "none")
    assert not (tmp_path / "granularity.json").exists()
    np.testing.assert_array_equal(read_labels(store.segment_path(NAMES[0])), flat_choice(MASKS[NAMES[0]]).labels)
    with pytest.raises(UsageError, match="granularity"):
        AssociationSession(store, configured("huge"))


def test_a_tree_goes_with_its_masks(tmp_path):
    store, _, _ = labelled(tmp_path, "coarse")
    store.clear_overlapping()
    assert not store.overlapping_names()
    AssociationSession(store, configured("coarse")).update([MODEL], full=True)
    assert not (tmp_path / "granularity.json").exists()
    assert all("parent" not in item for item in store.read_tracks()["instances"])


def test_a_damaged_tree_is_named(tmp_path):
    (tmp_path / "granularity.json").write_text('{"granularity": "fine", "next_id": 2, "nodes": [{"id": 1, "parent": 9}]}')
    with pytest.raises(DataError, match=r"granularity\.json: damaged"):
        open_tree(tmp_path)
