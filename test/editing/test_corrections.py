"""Corrections of a map: what each does to labels, tracks and clouds, and that undo gives back every bit of it."""

import json
import shutil

import numpy as np
import pytest
from helpers_clicks import WINDOW, middle, overlap_in_all_views, pixel
from helpers_edited_map import assert_consistent, codes, content, labels, pixels, tracks
from helpers_level_map import MODEL, labelled
from helpers_levels import DEPTH, NAMES, SIDE, things

import seg2d3d_ros
from seg2d3d_ros.cli.main import main
from seg2d3d_ros.editing.operations import COVERED, UNDIVIDED
from seg2d3d_ros.editing.replaying import EDITS_HIDDEN, EDITS_SHOWN
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.mapstore.directory.inventory import take_inventory
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, cloud_points, read_points, write_points
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.correcting import MapEditor

LEFT, RIGHT = 1, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = labelled(tmp_path_factory.mktemp("made") / "map")[0].root
    known = tracks(root)
    assert sorted(known) == [LEFT, RIGHT]
    assert known[LEFT]["box3d"]["center"][0] < known[RIGHT]["box3d"]["center"][0]
    dense = MODEL.xyz[::3]
    instance = (1 + (dense[:, 0] > SIDE)).astype(np.int32)
    shape = np.zeros((len(dense), 3), np.uint8), instance, np.ones(len(dense), np.float32)
    write_points(root / "dense.ply", cloud_points(dense, *shape))
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "map")


def test_merged_instances_are_one_everywhere(root):
    before, points = tracks(root), {i: pixels(root, i) for i in (LEFT, RIGHT)}
    done = MapEditor(root, "Ada").merge([RIGHT, LEFT])
    assert done.ids == [LEFT]
    assert done.edit.author == "Ada"
    assert_consistent(root)
    (item,) = tracks(root).values()
    assert item["points"] == before[LEFT]["points"] + before[RIGHT]["points"]
    assert pixels(root, LEFT) == sum(points.values())
    assert len(item["observations"]) == sum(len(old["observations"]) for old in before.values())
    assert item["box3d"]["size"][0] > 1.7 * SIDE
    assert set(read_points(root / "dense.ply", CLOUD_POINT)["instance"].tolist()) == {LEFT}
    assert codes(root)["edits_shown"] == 1 == MapStore(root).read_metrics()["counts"]["edits"]
    assert not take_inventory(root).foreign


@pytest.mark.parametrize("above", [False, True])
def test_a_line_divides_an_instance_in_space(root, above):
    """The line is drawn in one image, or from above; every image and cloud follows it."""
    x = 3.0
    if above:
        done = MapEditor(root).split_from_above(LEFT, (x, 0, DEPTH - 3), (x, 0, DEPTH + 3))
    else:
        done = MapEditor(root).split_in_image(LEFT, NAMES[3], pixel(x, -8.0, 3), pixel(x, -1.0, 3))
    assert_consistent(root)
    kept, new = done.ids
    assert kept == LEFT, "the larger part, right of the line, keeps the number"
    # All points are on one plane, at known places: the line must divide them there, in the images to a pixel or two.
    for file, layout in (("points.ply", None), ("dense.ply", CLOUD_POINT)):
        points = read_points(root / file, *([] if layout is None else [layout]))
        assert points["x"][points["instance"] == new].max() < x + 0.1 < 0.2 + points["x"][points["instance"] == kept].min()
    shown = 0
    for k, name in enumerate(NAMES):
        border = pixel(x, 0, k)[0]
        for i, side in ((new, -1), (kept, 1)):
            columns = np.flatnonzero((labels(root)[name] == i).any(axis=0))
            shown += len(columns) > 0
            wrong = columns[side * (columns - border) < -3] if len(columns) else columns
            assert len(wrong) == 0, (name, i, border)
    assert shown > 12
    assert tracks(root)[new]["class"] == tracks(root)[kept]["class"]
    assert all(0 < o.get("share", 1) <= 1 for o in tracks(root)[new]["observations"])
    with pytest.raises(UsageError, match="does not pass through"):
        MapEditor(root).split_from_above(kept, (-30, 0, 0), (-30, 0, 9))


def test_a_deleted_instance_is_nowhere_and_a_renamed_one_keeps_its_detector_s_word(root):
    MapEditor(root).delete([LEFT])
    assert_consistent(root)
    assert sorted(tracks(root)) == [RIGHT]
    assert pixels(root, LEFT) == 0
    MapEditor(root).rename([RIGHT], "town hall")
    item = tracks(root)[RIGHT]
    assert (item["class"], item["detected_class"], item["edited"]) == ("town hall", "object", ["rename"])
    MapStore(root).rename_classes({RIGHT: "shop"})
    assert tracks(root)[RIGHT]["class"] == "town hall", "a person's word stays"
    MapEditor(root).undo()
    assert tracks(root)[RIGHT]["class"] == "shop", "what lay beneath was named meanwhile"
    MapEditor(root).undo()
    assert {i: item["class"] for i, item in tracks(root).items()} == {LEFT: "object", RIGHT: "shop"}


def test_a_click_redraws_an_instance_or_makes_a_new_one(root):
    click = Click(NAMES[3], pixel(*middle(WINDOW), 3))
    done = MapEditor(root).redraw([click], name="window")
    (new,) = done.ids
    assert new not in (LEFT, RIGHT)
    assert_consistent(root)
    drawn = {name: region_of(picture == new) for name, picture in labels(root).items()}
    assert overlap_in_all_views({name: region for name, region in drawn.items() if region}, WINDOW) >= 0.75
    assert tracks(root)[new]["class"] == "window"
    assert tracks(root)[new]["points"] > 0
    house = next(t for t in things() if t.level == 0)
    before = pixels(root, LEFT)
    again = MapEditor(root).redraw([click], instance=LEFT, level="1")
    assert again.ids == [LEFT]
    assert tracks(root)[LEFT]["class"] == "object"
    assert 0 < pixels(root, LEFT) < 0.6 * before, "a storey in the place of the house"
    assert_consistent(root)
    assert house.id == 1
    assert new not in tracks(root), "it lay within the storey"
    assert [(f.kind, f.examples) for f in again.findings if f.kind is COVERED] == [(COVERED, (str(new),))]


def test_undo_gives_back_every_bit_and_may_be_undone(root):
    states = [content(root)]
    editor = MapEditor(root)
    for change in (
        lambda: editor.split_from_above(LEFT, (3, 0, 0), (3, 0, 9)),
        lambda: editor.rename([LEFT], "shop"),
        lambda: editor.merge([3, RIGHT]),
        lambda: editor.redraw([Click(NAMES[3], pixel(*middle(WINDOW), 3))]),
        lambda: editor.delete([RIGHT]),
    ):
        change()
        assert_consistent(root)
        states.append(content(root))
    for state in reversed(states[:-1]):
        last = editor.undo()
        assert content(root) == state
    assert not (root / "unedited.npz").exists()
    assert not (root / "unedited").exists()
    editor.undo(last.edit.id)
    assert content(root) == states[1]
    assert main(["edit", str(root), "hide"]) == 0
    assert content(root) == states[0]
    assert codes(root)[EDITS_HIDDEN.code] == 1
    assert EDITS_SHOWN.code not in codes(root)
    with pytest.raises(UsageError, match="shows no corrections"):
        editor.delete([LEFT])
    assert main(["edit", str(root), "show"]) == 0
    assert content(root) == states[1]
    assert EDITS_HIDDEN.code not in codes(root)


def test_python_sees_the_map_with_corrections_and_without(root):
    raw = content(root)
    MapEditor(root).merge([LEFT, RIGHT])
    assert list(seg2d3d_ros.open_map(root).instances) == [LEFT]
    assert set(np.unique(seg2d3d_ros.open_map(root).labels(NAMES[5])).tolist()) <= {0, LEFT}
    without = seg2d3d_ros.open_map(root, edits=False)
    assert sorted(without.instances) == [LEFT, RIGHT]
    assert {name: without.labels(name).tobytes() for name in without.images} == raw["labels"]
    for cloud, file in (("points", "points.ply"), ("dense", "dense.ply")):
        assert without.points(cloud)["instance"].tolist() == raw["clouds"][file][0]


def test_what_is_no_correction_changes_nothing(root):
    before, editor = content(root), MapEditor(root)
    for wrong in (
        lambda: editor.merge([LEFT]),
        lambda: editor.merge([LEFT, 77]),
        lambda: editor.rename([LEFT], "  "),
        lambda: editor.rename([LEFT], "a\x1b[2J"),
        lambda: editor.split_in_image(LEFT, "nobody", (0, 0), (9, 9)),
        lambda: editor.split_in_image(LEFT, NAMES[3], (5, 5), (5, 5)),
        lambda: editor.split_from_above(LEFT, (3, 0), (3, 9)),  # z is not up here
        lambda: editor.split_from_above(LEFT, (3, 0, 5), (3, 7, 5)),  # one above the other
        lambda: editor.undo(),
        lambda: editor.undo(3),
        lambda: editor.redraw([]),
        lambda: editor.redraw([Click(NAMES[0], (2.5, 2.5))]),
    ):
        with pytest.raises((UsageError, DataError)):
            wrong()
        assert content(root) == before
        assert not (root / "edits.jsonl").exists()
    assert not root.with_name("map.building").exists()


def test_an_image_that_cannot_be_divided_is_told(root):
    """An image that sees no point says nothing of the places of its pixels."""
    store = MapStore(root)
    alone = np.zeros_like(store.read_labels(NAMES[0]))
    alone[50:90, 50:90] = LEFT
    from seg2d3d_ros.geometry.label_runs import LabelRuns

    store.write_labels("unposed", LabelRuns.of(alone))
    document = store.read_tracks()
    seen = {"image": "unposed", "segment": 1, "box": [50, 50, 90, 90], "score": 1.0, "detector_score": 1.0}
    next(item for item in document["instances"] if item["id"] == LEFT)["observations"].append(seen)
    (root / "tracks.json").write_text(json.dumps(document))
    MapEditor(root).split_from_above(LEFT, (3, 0, 0), (3, 0, 9))
    assert codes(root)[UNDIVIDED.code] == 1
    assert set(np.unique(labels(root)["unposed"]).tolist()) == {0, LEFT}, "the larger part keeps it"


def test_the_command_says_what_it_did(root, capsys):
    def said(*words) -> str:
        capsys.readouterr()
        assert main(["edit", str(root), *map(str, words)]) == 0
        return capsys.readouterr().out

    assert "3" in said(
        "split", LEFT, "--image", f"{NAMES[3]}.png", "--line", "{},{},{},{}".format(*pixel(3, -8, 3), *pixel(3, -1, 3))
    )
    answer = json.loads(said("merge", 1, 3, "--json").splitlines()[-1])
    assert (answer["edit"], answer["instances"]) == (2, [1])
    assert "“shop”" in said("rename", 1, "--name", "shop", "--author", "Ada")
    said("redraw", "--image", NAMES[3], "--click", "{},{}".format(*pixel(*middle(WINDOW), 3)))
    said("undo")
    listed = json.loads(said("list", "--json").splitlines()[-1])["edits"]
    assert [line["state"] for line in listed] == ["shown", "shown", "shown", "undone", "an undo"]
    assert listed[2]["author"] == "Ada"
    assert "Ada" in said("list")
    assert main(["edit", str(root), "undo", "4"]) == 2
    assert "4 is undone already" in capsys.readouterr().err
    assert "as the software made it" in said("hide")
    assert "hidden" in said("list")
    assert "with its corrections" in said("show")
    assert "hidden" not in said("list")
    assert main(["edit", str(root), "split", "1", "--line", "1,2,3,4"]) == 2
    assert main(["edit", str(root), "split", "1", "--image", NAMES[3], "--line", "1,2,3"]) == 2
    assert main(["edit", str(root), "delete", "99"]) == 2
    assert "no instance 99; tracks.json" in capsys.readouterr().err
