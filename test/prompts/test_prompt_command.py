"""seg2d3d prompt: what it writes, ids that stay, what lies beneath, and prompts that outlive another association."""

import json
import shutil

import numpy as np
import pytest
from helpers_clicks import STOREY, WINDOW, middle, overlap_in_all_views, pixel
from helpers_level_map import MODEL, configured, labelled
from helpers_levels import NAMES, things

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.granularity.map_tree import open_tree
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.directory.inventory import take_inventory
from seg2d3d_ros.mapstore.files.prompts_file import Click, read_prompts
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, cloud_points, read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.prompts.kept_prompts import NOT_SHOWN, OTHER_SIZE, RELAID, lay_again
from seg2d3d_ros.prompts.prompting import LOW_LIFT, ask
from seg2d3d_ros.prompts.session import PromptSession


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("made") / "map")[0].root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "map")


def asked(capsys, root, *options) -> dict:
    assert main(["prompt", str(root), *map(str, options), "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def at(thing, k, dx=0.0, dy=0.0) -> str:
    x, y = middle(thing)
    return "{:.2f},{:.2f}".format(*pixel(x + dx, y + dy, k))


def regions(root, instance):
    found = {name: region_of(read_labels(root / "labels" / f"{name}.png") == instance) for name in NAMES}
    return {name: region for name, region in found.items() if region is not None}


def test_a_click_is_at_once_in_labels_tracks_and_points(root, capsys):
    before = {item["id"]: item for item in MapStore(root).read_tracks()["instances"]}
    dense = np.random.default_rng(0).choice(MODEL.xyz, 300)
    shape = np.zeros((300, 3), np.uint8), np.zeros(300, np.int32), np.zeros(300, np.float32)
    write_points(root / "dense.ply", cloud_points(dense, *shape))
    MapStore(root).update_metrics({"truth": {"methods": {}}})
    answer = asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3))
    i = answer["instance"]
    assert i not in before
    assert "truth" not in MapStore(root).read_metrics(), "it was measured on other labels"
    assert i >= max(node.id for node in open_tree(root).nodes)
    assert overlap_in_all_views(regions(root, i), WINDOW) >= 0.75
    assert sorted(regions(root, i)) == answer["images"]
    tracks = {item["id"]: item for item in MapStore(root).read_tracks()["instances"]}
    assert [o["image"] for o in tracks[i]["observations"]] == answer["images"]
    for observation in tracks[i]["observations"]:
        assert tuple(observation["box"]) == regions(root, i)[observation["image"]].box
    assert any(o.get("recovered") for o in tracks[i]["observations"])
    x0, y0, x1, y1 = WINDOW.box
    np.testing.assert_allclose(tracks[i]["box3d"]["center"][:2], middle(WINDOW), atol=0.3)
    for file in ("points.ply", "points_rgb.ply"):
        points = read_points(root / file)
        inside = (points["x"] > x0) & (points["x"] < x1) & (points["y"] > y0) & (points["y"] < y1)
        mine = points["instance"] == i
        assert mine.sum() == answer["points"] == tracks[i]["points"] > 5
        assert (mine & inside).sum() >= 0.8 * (mine | inside).sum()
    cloud = read_points(root / "dense.ply", CLOUD_POINT)
    inside = (cloud["x"] > x0) & (cloud["x"] < x1) & (cloud["y"] > y0) & (cloud["y"] < y1)
    assert inside.any()
    assert ((cloud["instance"] == i) == inside).mean() > 0.97
    # The house around it lost these points, and nothing else.
    house = max((item for item in before.values() if item["points"] > 200), key=lambda item: -item["box3d"]["min"][0])
    assert before[house["id"]]["points"] - tracks[house["id"]]["points"] == answer["points"]
    assert not take_inventory(root).foreign
    assert not (root.parent / "map.building").exists()


def test_further_clicks_refine_the_same_instance_and_what_lay_beneath_comes_back(root, capsys):
    labels = {name: read_labels(root / "labels" / f"{name}.png") for name in NAMES}
    points, tracks = read_points(root / "points.ply"), MapStore(root).read_tracks()
    wide = asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3), "--level", "1")
    i = wide["instance"]
    assert overlap_in_all_views(regions(root, i), STOREY) >= 0.8
    narrow = asked(
        capsys, root, "--instance", i, "--image", NAMES[4], "--click", at(WINDOW, 4), "--negative", at(WINDOW, 4, dx=2.0)
    )
    assert narrow["instance"] == i
    assert len(read_prompts(root).objects[0].clicks) == 3
    for name in NAMES:
        now = read_labels(root / "labels" / f"{name}.png")
        np.testing.assert_array_equal(now[now != i], labels[name][now != i])
    now = read_points(root / "points.ply")
    assert 0 < (now["instance"] == i).sum() == narrow["points"] < wide["points"]
    for column in ("instance", "confidence", "red"):
        np.testing.assert_array_equal(now[column][now["instance"] != i], points[column][now["instance"] != i])
    house = asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3), "--level", "coarse")
    assert house["instance"] in {item["id"] for item in tracks["instances"]}  # it is the map's own instance
    assert main(["prompt", str(root), "--instance", "9999", "--image", NAMES[3], "--click", "5,5"]) == 2
    assert "no such instance" in capsys.readouterr().err


def test_a_click_that_finds_nothing_changes_nothing(root, capsys):
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "map.json"}
    assert main(["prompt", str(root), "--image", NAMES[0], "--click", "2.5,2.5"]) == 1
    error = capsys.readouterr().err
    assert "no object is known there" in error
    assert "click on another part" in error
    assert error.count("\n") == 1
    assert not (root.parent / "map.building").exists()
    assert before == {path: path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "map.json"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--click", "5,5"], "--image"),
        (["--image", NAMES[0]], "nothing is asked for"),
        (["--image", NAMES[0], "--click", "5"], "--click 5: write 2 numbers"),
        (["--image", NAMES[0], "--click", "5,nan"], "write 2 numbers"),
        (["--image", NAMES[0], "--click", "5000,5"], "outside"),
        (["--image", "x", "--click", "5,5"], "is no keyframe"),
        (["--image", NAMES[0], "--negative", "5,5"], "nothing says where"),
        (["--image", NAMES[0], "--box", "50,5,5,50"], "--box"),
        (["--image", NAMES[0], "--click", "5,5", "--level", "tiny"], "--level tiny"),
    ],
)
def test_wrong_use_is_refused_in_a_line(made, capsys, options, word):
    assert main(["prompt", str(made), *options]) == 2
    error = capsys.readouterr().err
    assert word in error
    assert error.count("\n") == 1
    assert not (made.parent / "map.building").exists()


def test_a_prompt_that_cannot_be_written_leaves_the_map_as_it_was(root, capsys, monkeypatch):
    from seg2d3d_ros.prompts import laying

    def full(*_):
        raise DataError("the disk is full")

    labels = read_labels(root / "labels" / f"{NAMES[3]}.png")
    monkeypatch.setattr(laying, "write_points", full)
    assert main(["prompt", str(root), "--image", NAMES[3], "--click", at(WINDOW, 3)]) == 1
    assert "the disk is full" in capsys.readouterr().err
    assert not (root.parent / "map.building").exists()
    assert not (root / "prompts.json").exists()
    np.testing.assert_array_equal(labels, read_labels(root / "labels" / f"{NAMES[3]}.png"))


def test_a_damaged_file_of_prompts_is_named(root, capsys):
    asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3))
    document = json.loads((root / "prompts.json").read_text())
    next(iter(document["objects"][0]["masks"].values()))["counts"].append(10**12)
    (root / "prompts.json").write_text(json.dumps(document))
    assert main(["prompt", str(root), "--image", NAMES[3], "--click", at(WINDOW, 3)]) == 1
    assert "prompts.json: damaged" in capsys.readouterr().err


def test_prompts_outlive_another_granularity_and_say_so(root, capsys):
    i = asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3))["instance"]
    before = regions(root, i)
    assert main(["regroup", str(root), "--granularity", "fine"]) == 0
    assert RELAID.what in capsys.readouterr().out
    after = regions(root, i)
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[name].pixels, after[name].pixels) for name in before)
    tracks = {item["id"] for item in MapStore(root).read_tracks()["instances"]}
    assert i in tracks
    assert len(tracks) > 4  # the others are those of the new level
    beneath = {item["id"] for item in read_prompts(root).tracks["instances"]}
    assert beneath >= tracks - {i}
    said = [f["text"] for f in MapStore(root).read_metrics()["findings"] if f["code"] == RELAID.code]
    assert len(said) == 1
    assert f"{len(beneath - tracks)} of its instances lie wholly beneath" in said[0]


def test_updates_of_a_live_map_say_what_they_do_not_show(root, capsys):
    i = asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3))["instance"]
    session = AssociationSession(MapStore(root), configured("coarse"))
    findings = session.update([MODEL]).findings
    assert any(f.kind is NOT_SHOWN and f.count == len(read_prompts(root).images) for f in findings)
    whole = session.update([MODEL], full=True)
    assert any(f.kind is RELAID for f in whole.findings)
    assert not any(f.kind is NOT_SHOWN for f in whole.findings)
    assert i not in whole.instances.ids
    assert regions(root, i)


def test_masks_of_images_that_are_gone_are_counted(root, capsys):
    asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3))
    images = read_prompts(root).objects[0].regions
    findings = Findings()
    renamed = tuple("x" + name if name in list(images)[:2] else name for name in NAMES)
    lay_again(root, [type(MODEL)(**{**vars(MODEL), "names": renamed})], findings)
    lost = next(f for f in findings.list() if f.kind is OTHER_SIZE)
    assert (lost.count, lost.of) == (2, len(images))


def test_a_click_of_unsure_place_says_so(root, monkeypatch):
    from seg2d3d_ros.prompts import prompting

    session, findings = PromptSession(root), Findings()
    click = Click(NAMES[3], pixel(*middle(WINDOW), 3))
    monkeypatch.setattr(prompting, "LOW_CONFIDENCE", 2.0)
    ask(session, [click], findings=findings)
    assert [f.kind for f in findings.list()] == [LOW_LIFT]


def test_a_map_without_a_tree_is_asked_too(root, capsys):
    (root / "granularity.json").unlink()
    instances = [item["id"] for item in MapStore(root).read_tracks()["instances"] if item["points"] > 200]
    house = next(t for t in things() if t.level == 0)
    answer = asked(capsys, root, "--image", NAMES[3], "--click", at(WINDOW, 3))
    assert answer["instance"] in instances
    assert overlap_in_all_views(regions(root, answer["instance"]), house) >= 0.85
    again = asked(capsys, root, "--instance", answer["instance"], "--image", NAMES[5], "--click", at(WINDOW, 5, dx=1.0))
    assert again["instance"] == answer["instance"]


def test_a_foreign_file_is_refused_with_a_way_out_that_there_is(root, capsys):
    (root / "notes.txt").write_text("mine")
    assert main(["prompt", str(root), "--image", NAMES[3], "--click", at(WINDOW, 3)]) == 2
    said = capsys.readouterr().err
    assert "move what is not the map's own out" in said
    assert "--out" not in said
    assert (root / "notes.txt").read_text() == "mine"
