"""``seg2d3d view --save``: what rerun's own reader finds in the file."""

import sys

import numpy as np
import pytest
from helpers_report import street

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.viewer.rerun_recording import KEYFRAME_WITHOUT_PICTURE

chunk = pytest.importorskip("rerun.chunk", reason="rerun-sdk with a reader is not installed")


def box_of(center, size):
    low, high = np.subtract(center, np.divide(size, 2)), np.add(center, np.divide(size, 2))
    return {"center": center, "size": size, "quaternion_xyzw": [0, 0, 0, 1], "min": low.tolist(), "max": high.tolist()}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    root = tmp_path_factory.mktemp("map") / "map"
    store = street(root, houses=4, stops=3, points=300, mixed="`|house")
    tracks = store.read_tracks()
    tracks["instances"][0]["box3d"] = box_of([4, 9, 3], [8, 1, 6])
    write_json(root / "tracks.json", tracks)
    out = root.parent / "map.rrd"
    assert main(["view", str(root), "--save", str(out), "--width", "240"]) == 0
    return store, out, rows(out)


def rows(path):
    """{entity path: [{column: value}]} of the recording, blueprint and properties left out."""
    found = {}
    for piece in chunk.RrdReader(str(path)).stream():
        table = piece.to_record_batch()
        for k in range(table.num_rows):
            row = {}
            for name, column in zip(table.schema.names, table.columns, strict=True):
                scalar = column[k]
                if name in ("time", "log_time", "log_tick"):
                    row[name] = scalar.value
                elif not name.startswith("rerun.controls"):
                    row[name] = scalar.as_py()
            found.setdefault(piece.entity_path, []).append(row)
    return found


def test_the_drive_has_each_camera_with_its_pose_image_and_labels(recorded):
    store, _, found = recorded
    for camera in ("left", "right"):
        seen = found[f"/world/cameras/{camera}/image"]
        stamps = sorted(record.stamp_ns for record in store.read_keyframes() if record.camera_name == camera)
        assert sorted(row["time"] for row in seen) == stamps
        picture = decode_rgb(bytes(seen[0]["EncodedImage:blob"][0]))
        assert picture.shape == (160, 240, 3)
        assert len(found[f"/world/cameras/{camera}/labels"]) == 3
    places = [row["Transform3D:translation"][0] for row in found["/world/cameras/left"] if row.get("Transform3D:translation")]
    assert np.sort(np.array(places)[:, 0]) == pytest.approx([16 / 6, 48 / 6, 80 / 6], abs=1e-4)


def test_each_instance_appears_with_its_first_image_and_has_its_turn(recorded):
    store, _, found = recorded
    points = store.read_points()
    stamp = {record.name: record.stamp_ns for record in store.read_keyframes()}
    for item in store.read_tracks()["instances"]:
        (row,) = found[f"/world/instances/{item['id']}"]
        assert row["time"] == min(stamp[seen["image"]] for seen in item["observations"])
        places = np.array(row["Points3D:positions"])
        own = points[points["instance"] == item["id"]]
        assert places == pytest.approx(np.stack([own[axis] for axis in "xyz"], axis=1))
    turns = [row["instance"] for row in found["/instance/points"]]
    assert sorted(turns) == [1, 2, 3, 4]
    assert all("time" not in row and "log_time" not in row for row in found["/instance/points"])
    boxes = {row["instance"]: row["Boxes3D:half_sizes"] for row in found["/instance/points/box"]}
    assert boxes[1] == [pytest.approx([4, 0.5, 3])]
    assert boxes[2] == [], "the box of another instance does not stay"
    facts = {row["instance"]: row["TextDocument:text"][0] for row in found["/instance/facts"]}
    assert facts[1].startswith("# `'|house` 1\n"), "no class can become markup"
    assert "8.0 × 1.0 × 6.0" in facts[1]


def test_points_of_no_instance_are_there_and_names_have_their_colours(recorded):
    store, _, found = recorded
    (row,) = found["/world/points"]
    assert len(row["Points3D:positions"]) == (store.read_points()["instance"] == 0).sum()
    (context,) = found["/"]
    assert "`|house 3" in str(context["AnnotationContext:context"])


def test_an_image_that_is_gone_is_told_and_costs_nothing_else(recorded, tmp_path, capsys):
    store = street(tmp_path / "map", houses=2, stops=2, points=60)
    gone = store.read_keyframes()[1]
    (tmp_path / "map" / gone.image).unlink()
    assert main(["view", str(tmp_path / "map"), "--save", str(tmp_path / "a.rrd")]) == 0
    assert f"note: {KEYFRAME_WITHOUT_PICTURE.what}: 1 of 4 ({gone.name})" in capsys.readouterr().err
    found = rows(tmp_path / "a.rrd")
    assert len([row for row in found["/world/cameras/left/image"] if row.get("EncodedImage:blob")]) == 1


def test_what_cannot_be_shown_is_refused_in_one_line(tmp_path, capsys, monkeypatch):
    root = street(tmp_path / "map", houses=2, stops=2, points=60).root
    assert main(["view", str(tmp_path / "nothing"), "--save", str(tmp_path / "a.rrd")]) == 1
    assert main(["view", str(root), "--save", str(root / "a.rrd")]) == 2
    assert main(["view", str(root), "--save", str(tmp_path)]) == 2
    assert main(["view", str(root), "--save", str(tmp_path / "a.txt")]) == 2
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert main(["view", str(root), "--save", str(tmp_path / "a.rrd")]) == 1
    said = capsys.readouterr().err
    assert "seg2d3d_ros[view]" in said
    assert "Traceback" not in said
    assert not (tmp_path / "a.rrd").exists()


def test_without_save_the_viewer_is_opened(tmp_path, monkeypatch, capsys):
    import rerun

    root = street(tmp_path / "map", houses=2, stops=2, points=60).root
    opened = []
    monkeypatch.setattr(rerun.RecordingStream, "spawn", lambda self, **_: opened.append(self))
    assert main(["view", str(root)]) == 0
    assert len(opened) == 1
    assert "the viewer shows it" in capsys.readouterr().out
