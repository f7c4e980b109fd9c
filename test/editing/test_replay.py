"""Corrections outlive every way in which labels are made anew: batch, resume, regroup, live finalize, prompt, a new run."""

import json
import shutil

import numpy as np
import pytest
from helpers_clicks import WINDOW, middle, pixel
from helpers_edited_map import assert_consistent, codes, content, labels, pixels, tracks
from helpers_level_map import MASKS, MODEL, configured, labelled
from helpers_levels import DEPTH, NAMES

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.editing.editable_map import EditableMap
from seg2d3d_ros.editing.operations import MASKS_GONE
from seg2d3d_ros.editing.references import find, reference
from seg2d3d_ros.editing.replaying import (
    CLOUD_BEHIND,
    EDITS_HIDDEN,
    EDITS_LOST,
    edits_lifted,
    lift,
    replay,
)
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.directory.marker import is_copy, mark_copy
from seg2d3d_ros.mapstore.directory.swap import building_path
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, cloud_points, read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.association_session import AssociationSession
from seg2d3d_ros.pipeline.correcting import MapEditor
from seg2d3d_ros.pipeline.figures import write_association_figures
from seg2d3d_ros.segmentation.finest import flat_choice

LEFT, RIGHT = 1, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Named, divided, and one deleted."""
    root = labelled(tmp_path_factory.mktemp("made") / "map")[0].root
    editor = MapEditor(root)
    editor.rename([LEFT], "shop")
    editor.split_from_above(LEFT, (3, 0, DEPTH - 3), (3, 0, DEPTH + 3))
    editor.delete([RIGHT])
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "map")


def assert_corrected(root) -> None:
    """Two shops that touch at x = 3, and nothing of the other house."""
    assert_consistent(root)
    known = tracks(root)
    assert {item["class"] for item in known.values()} == {"shop"}
    assert len(known) == 2
    points = read_points(root / "points.ply")
    first, second = sorted((points["x"][points["instance"] == i] for i in known), key=np.median)
    assert first.max() < 3.2
    assert second.min() > 2.8
    assert not (points["instance"][points["x"] > 9] > 0).any()
    assert codes(root)["edits_shown"] == 3
    assert MapStore(root).read_metrics()["counts"]["edits"] == 3


def updated(root, granularity="coarse") -> None:
    """What `run --resume` does after the reconstruction."""
    store = MapStore(root)
    revision = AssociationSession(store, configured(granularity)).update([MODEL], full=True)
    store.update_metrics({"findings": []})
    write_association_figures(store, revision, 1.0)


def test_a_resumed_run_makes_them_again(root):
    updated(root)
    assert_corrected(root)
    before = content(root)
    updated(root)
    assert content(root) == before, "nothing adds up"


def test_numbers_may_change(root):
    """Without anything that keeps ids, the houses get other numbers; they are found by where they are seen."""
    store = MapStore(root)
    lift(store)
    document = store.read_tracks()
    for item in document["instances"]:
        item["id"] += 40
    (root / "tracks.json").write_text(json.dumps(document))
    for name, picture in labels(root).items():
        from seg2d3d_ros.geometry.label_runs import LabelRuns

        store.write_labels(name, LabelRuns.of(np.where(picture > 0, picture + 40, 0).astype(np.uint16)))
    for file in ("points.ply", "points_rgb.ply"):
        points = read_points(root / file)
        points["instance"][points["instance"] > 0] += 40
        write_points(root / file, points)
    findings = Findings()
    store.update_metrics(
        {"counts": store.read_metrics()["counts"] | replay(store, findings), "findings": [f.to_json() for f in findings.list()]}
    )
    assert_corrected(root)
    assert LEFT not in tracks(root)


def test_regroup_makes_them_again_where_they_find_their_objects(root, capsys):
    assert main(["regroup", str(root), "--granularity", "coarse"]) == 0
    assert_corrected(root)
    assert "corrections by people that the map shows: 3 of 3" in capsys.readouterr().out
    assert main(["regroup", str(root), "--granularity", "coarse", "--no-edits"]) == 0
    assert sorted({item["class"] for item in tracks(root).values()}) == ["object"]
    assert codes(root)[EDITS_HIDDEN.code] == 3
    assert main(["regroup", str(root), "--granularity", "2", "--edits"]) == 0, "windows, which are none of these things"
    assert_consistent(root)
    assert codes(root)[EDITS_LOST.code] >= 1
    assert codes(root)[EDITS_LOST.code] + codes(root).get("edits_shown", 0) == 3
    capsys.readouterr()
    assert main(["edit", str(root), "list"]) == 0
    assert "not shown" in capsys.readouterr().out


def test_a_live_map_makes_them_when_it_is_finalized(root):
    store, config = MapStore(root), configured("coarse")
    session = AssociationSession(store, config)
    session.receive(flat_choice(MASKS[NAMES[2]]))
    partly = session.update([MODEL])
    assert [f.kind for f in partly.findings if f.kind is EDITS_HIDDEN]
    assert {item["class"] for item in tracks(root).values()} == {"object"}, "no mixture of both"
    assert not (root / "unedited.npz").exists()
    assert not list((root / "unedited").glob("*.png")), "or they would come back over newer labels"
    whole = session.update([MODEL], full=True)
    store.update_metrics({"findings": []})
    write_association_figures(store, whole, 1.0)
    assert_corrected(root)


def test_a_prompt_lies_beneath_them(root, capsys):
    click = "{},{}".format(*pixel(*middle(WINDOW), 3))
    assert main(["prompt", str(root), "--image", NAMES[3], "--click", click, "--json"]) == 0
    window = json.loads(capsys.readouterr().out.splitlines()[-1])["instance"]
    known = tracks(root)
    assert known[window]["prompted"]
    assert sorted(item["class"] for i, item in known.items() if i != window) == ["shop", "shop"]
    assert codes(root)["edits_shown"] == 3
    made_by_hand = max(i for i, item in known.items() if item["class"] == "shop" and i not in (LEFT, window))
    assert main(["prompt", str(root), "--instance", str(made_by_hand), "--image", NAMES[3], "--click", click]) == 2
    assert "redraw" in capsys.readouterr().err


def test_a_new_run_into_the_same_folder_tries_them_on_the_new_map(root, tmp_path, capsys):
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    for path in (root / "keyframes").glob("*.png"):
        shutil.copy(path, images / f"{path.stem}.jpg")  # as the model calls them
    shutil.copytree(root / "segments", masks)
    for path in masks.glob("*.json"):
        path.unlink()
    words = ["run", str(images), "--label", "object", "--segments", str(masks), "--out", str(root), "--gps", "none"]
    words += ["--model", str(shutil.copytree(root / "sparse" / "0", tmp_path / "model"))]
    assert main(words) == 0, capsys.readouterr().err
    assert len((root / "edits.jsonl").read_text().splitlines()) == 3
    assert_consistent(root)
    assert codes(root)["edits_shown"] == 3
    assert {item["class"] for item in tracks(root).values()} == {"shop"}
    assert main([*words, "--no-edits"]) == 0
    assert {item["class"] for item in tracks(root).values()} == {"object"}
    assert codes(root)[EDITS_HIDDEN.code] == 3
    assert main([*words, "--resume", "--edits"]) == 0
    assert {item["class"] for item in tracks(root).values()} == {"shop"}


def test_things_that_are_gone_are_told_and_kept_in_the_log(root):
    store = MapStore(root)
    lift(store)
    for name, picture in labels(root).items():
        from seg2d3d_ros.geometry.label_runs import LabelRuns

        store.write_labels(name, LabelRuns.of(np.where(picture == LEFT, 0, picture).astype(np.uint16)))
    document = store.read_tracks()
    document["instances"] = [item for item in document["instances"] if item["id"] != LEFT]
    (root / "tracks.json").write_text(json.dumps(document))
    findings = Findings()
    counts = replay(store, findings)
    assert (counts["edits"], counts["edits_lost"]) == (1, 2)
    (lost,) = [f for f in findings.list() if f.kind is EDITS_LOST]
    assert lost.count == 2
    assert tracks(root) == {}
    assert len((root / "edits.jsonl").read_text().splitlines()) == 3


def test_a_part_of_something_larger_is_not_taken_for_it(root):
    """Both houses as one instance: to delete one of them would delete the other."""
    store = MapStore(root)
    lift(store)
    (root / "edits.jsonl").rename(root.with_name("away"))
    MapEditor(root).merge([LEFT, RIGHT])
    (root / "edits.jsonl").unlink()
    shutil.rmtree(root / "unedited")
    (root / "unedited.npz").unlink()
    (root.with_name("away")).rename(root / "edits.jsonl")
    findings = Findings()
    counts = replay(store, findings)
    assert (counts["edits"], counts["edits_lost"]) == (0, 3)
    assert "larger instance" in next(f for f in findings.list() if f.kind is EDITS_LOST).text
    assert len(tracks(root)) == 1


def test_redrawn_masks_whose_images_are_gone_are_told(root):
    MapEditor(root).redraw([Click(NAMES[3], pixel(*middle(WINDOW), 3))])
    store = MapStore(root)
    lift(store)
    lines = (root / "edits.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])
    masks = last["object"]["masks"]
    masks["gone"] = masks.pop(next(iter(masks)))
    (root / "edits.jsonl").write_text("\n".join([*lines[:-1], json.dumps(last)]) + "\n")
    findings = Findings()
    assert replay(store, findings)["edits"] == 4
    assert [(f.count, f.examples) for f in findings.list() if f.kind is MASKS_GONE] == [(1, ("gone",))]


def test_a_cloud_that_was_labelled_meanwhile_is_told(root):
    """It was made while a correction was shown; without it, its points have numbers that no instance has."""
    MapEditor(root).undo()
    new = max(tracks(root))
    xyz = np.zeros((4, 3))
    shape = np.zeros((4, 3), np.uint8), np.array([0, LEFT, new, new], np.int32), np.ones(4, np.float32)
    write_points(root / "dense.ply", cloud_points(xyz, *shape))
    MapEditor(root).undo()
    assert new not in tracks(root)
    assert codes(root)[CLOUD_BEHIND.code] == 1
    assert read_points(root / "dense.ply", CLOUD_POINT)["instance"].tolist() == [0, LEFT, new, new]


def test_what_was_killed_while_it_took_them_off_is_completed(root, monkeypatch):
    raw = content(root)
    store = MapStore(root)

    def killed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("seg2d3d_ros.editing.replaying.write_points", killed)
    with pytest.raises(KeyboardInterrupt):
        lift(store)
    monkeypatch.undo()
    lift(store)
    assert sorted({item["class"] for item in tracks(root).values()}) == ["object"]
    assert not (root / "unedited.npz").exists()
    with edits_lifted(store, Findings()):
        pass
    replay(store, Findings())
    assert content(root) == raw


def test_a_copy_whose_process_was_killed_is_in_nobody_s_way(root):
    beside = building_path(root)
    shutil.copytree(root, beside)
    mark_copy(beside)
    marker = json.loads((beside / "map.json").read_text())
    (beside / "map.json").write_text(json.dumps(marker | {"state": "building"}))
    assert is_copy(beside)
    before = pixels(root, LEFT)
    MapEditor(root).undo()
    assert pixels(root, RIGHT) > 0
    assert pixels(root, LEFT) == before
    assert not beside.exists()
    assert "copy" not in json.loads((root / "map.json").read_text())


def test_a_thing_that_came_out_in_pieces_is_all_of_them_but_what_was_asked_for(root):
    store = MapStore(root)
    lift(store)
    edited = EditableMap(store)
    told = reference(edited, LEFT)
    for i in (60, 61):
        edited.items[i] = {**edited.items[LEFT], "id": i, "observations": []}
    edited.items[61]["prompted"] = True
    for name in edited.images_of([LEFT]):
        picture = edited.labels(name)
        columns = np.flatnonzero((picture == LEFT).any(axis=0))
        place = np.linspace(0, 1, len(columns))
        for i, low, high in ((60, 0.45, 0.85), (61, 0.85, 1.1)):
            some = columns[(place >= low) & (place < high)]
            picture[:, some] = np.where(picture[:, some] == LEFT, i, picture[:, some])
        edited.relabel(name, picture)
    found = find(edited, told, None)
    assert found.whole
    assert sorted(found.ids) == [LEFT, 60]
