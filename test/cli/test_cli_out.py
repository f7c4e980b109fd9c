"""``--out`` as a person meets it: what was there before stays until the new map is whole, and messages say how to go on."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
from helpers_mapdir import contents, write_map

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.directory.marker import read_marker
from seg2d3d_ros.pipeline import offline


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"photos/p{k}.jpg"), np.full((48, 64, 3), 60 * k, np.uint8))
    return tmp_path / "photos"


@pytest.fixture
def out(tmp_path):
    """An old map, whose files must not change."""
    return write_map(tmp_path / "map", note="old").root


def run(photos, out, *more):
    return main(["run", str(photos), "--label", "building", "--segmenter", "none", "--out", str(out), *more])


def ends_with(monkeypatch, error, note="half"):
    """A build that writes half a map and ends like this; with None it succeeds."""

    def build_map(keyframes, store, config, segmenter, **_):
        list(keyframes)
        write_map(store.root, note=note)
        store.update_metrics(
            {
                "counts": dict.fromkeys(
                    ("registered_largest", "images", "registered", "components", "model_points", "points", "instances")
                    + ("segments", "segments_with_instance", "labelled_points"),
                    1,
                ),
                "unregistered": [],
                "warnings": [],
            }
        )
        shutil.rmtree(store.root / "sparse")
        if error is not None:
            raise error

    monkeypatch.setattr(offline, "build_map", build_map)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (DataError("nothing came out"), 1),
        (KeyboardInterrupt(), 130),
        (DataError("database.db: cannot be written (No space left on device)"), 1),
    ],
    ids=["no result", "Ctrl-C", "disk full"],
)
def test_whatever_ends_a_run_the_old_map_is_as_it_was(photos, out, capsys, monkeypatch, error, status):
    before = contents(out)
    ends_with(monkeypatch, error)
    assert run(photos, out) == status
    last = capsys.readouterr().err.splitlines()[-1]
    assert f"what there is so far is in {out}.building, and --resume goes on with it; {out} is unchanged" in last
    assert contents(out) == before
    assert read_marker(out.with_name("map.building")).state == "building"
    ends_with(monkeypatch, None, note="new")
    assert run(photos, out, "--resume") == 0
    assert "new" in (out / "metrics.json").read_text()
    assert sorted(path.name for path in out.parent.iterdir()) == ["map", "photos"]


def test_junk_images_and_a_bad_rig_leave_the_old_map(photos, out, tmp_path, capsys):
    before = contents(out)
    (tmp_path / "rig.yaml").write_text("nonsense")
    assert run(photos, out, "--rig", str(tmp_path / "rig.yaml")) in (1, 2)
    assert "is unchanged" in capsys.readouterr().err
    assert contents(out) == before
    assert not out.with_name("map.building").exists(), "nothing was kept, so nothing is left"
    for path in photos.iterdir():
        path.write_bytes(b"no image")
    assert run(photos, out) == 1
    assert f"{out} is unchanged" in capsys.readouterr().err
    assert contents(out) == before


def test_a_first_run_that_fails_early_leaves_no_folder(photos, tmp_path, capsys):
    (tmp_path / "rig.yaml").write_text("nonsense")
    assert run(photos, tmp_path / "map", "--rig", str(tmp_path / "rig.yaml")) in (1, 2)
    assert not (tmp_path / "map").exists()
    assert "so far" not in capsys.readouterr().err


def test_a_full_disk_is_one_line(photos, tmp_path, capsys, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert run(photos, tmp_path / "map") == 1
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "Traceback" not in said


def test_the_report_names_the_place_of_the_map_and_not_where_it_was_built(photos, out, monkeypatch):
    ends_with(monkeypatch, None)
    assert run(photos, out) == 0
    page = (out / "report.html").read_text()
    assert str(out) in page or "“map”" in page
    assert ".building" not in page


def test_two_kinds_of_demo_do_not_replace_each_other(photos, tmp_path, capsys, monkeypatch):
    out = tmp_path / "demo"
    (out / "street").mkdir(parents=True)
    assert main(["demo", "--images", str(photos), "--segments", str(photos), "--out", str(out)]) == 2
    assert "a simulated street; give another --out" in capsys.readouterr().err
    (out / "street").rmdir()
    write_map(out / "map")
    before = contents(out)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert main(["demo", "--out", str(out)]) == 2
    assert "holds a map that no demo of the street made" in capsys.readouterr().err
    assert contents(out) == before


def test_objects_were_asked_for_and_none_came_out(tmp_path, capsys):
    """Exit status 1, with the likely cause; the map is kept. ``--segmenter none`` asks for none."""
    from helpers_scene import write_scene

    scene = write_scene(tmp_path / "scene")
    out = tmp_path / "map"
    words = ["run", str(scene / "images"), "--label", "house", "--label", "shed", "--segments", str(scene / "segments")]
    strict = ["--method", "published", "--set", "association.min_points=1000"]
    fast = ["--set", "reconstruction.max_features=900", "--camera", str(scene / "camera.json"), "--out", str(out)]
    assert main([*words, *strict, *fast]) == 1
    said = capsys.readouterr().err
    assert "no house or shed was found" in said
    assert f"what there is so far is in {out}" in said
    assert json.loads((out / "metrics.json").read_text())["counts"]["registered"] > 5
    assert (out / "report.html").exists()


def test_a_disk_that_runs_full_inside_a_library_names_the_map_and_what_is_kept(photos, out, monkeypatch, capsys):
    ends_with(monkeypatch, RuntimeError("database or disk is full"))
    assert run(photos, out) == 1
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seg2d3d")]
    beside = f"{out}.building"
    assert f"{beside}: cannot be written (database or disk is full); free space" in line
    assert f"{beside}, and --resume goes on with it; {out} is unchanged" in line
    ends_with(monkeypatch, RuntimeError("of ours"))
    assert run(photos, out) == 1
    assert "unexpected RuntimeError" in capsys.readouterr().err
