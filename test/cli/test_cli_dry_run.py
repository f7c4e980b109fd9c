"""``--dry-run``: says what a map would be made of and take, refuses what the command would, and writes nothing."""

import json
import shutil
from collections import namedtuple

import cv2
import numpy as np
import pytest
from helpers_bags import ROS2, START, write_bag
from helpers_mapdir import contents, write_map

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.cli.making import dry_run


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setattr(dry_run, "probe", lambda: 0.1)
    (tmp_path / "photos").mkdir()
    for k in range(3):
        cv2.imwrite(str(tmp_path / f"photos/p{k}.jpg"), np.full((48, 64, 3), 60 * k, np.uint8))
    return tmp_path / "photos"


def planned(capsys, *words, code=0) -> dict:
    assert main([*map(str, words), "--dry-run", "--json"]) == code
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_photographs_are_counted_and_nothing_is_written(photos, tmp_path, capsys):
    before = contents(tmp_path)
    plan = planned(capsys, "run", photos, "--segmenter", "none", "--out", tmp_path / "map", "--preset", "drone")
    assert contents(tmp_path) == before
    assert (plan["images"], plan["exact"], plan["dry_run"]) == (3, True, True)
    assert plan["stages"] == ["reading", "features", "matching", "mapping", "georeference", "overlays", "report"]
    assert plan["config"]["reconstruction.max_pairs"] == 44
    low, high = plan["bytes"]
    assert 0 < low < high < plan["free"]
    text = "\n".join(plan["text"])
    for words in ("3 photographs", "a rough estimate", "free in", "nothing was written"):
        assert words in text


def test_what_takes_longer_is_said_to_take_longer(photos, tmp_path, capsys, monkeypatch):
    words = ["run", photos, "--out", tmp_path / "map", "--label", "house"]
    plain = planned(capsys, *words, "--segmenter", "none")["seconds"]
    more = planned(capsys, *words, "--segmenter", "none", "--set", "reconstruction.max_features=40000")["seconds"]
    model = planned(capsys, *words, "--segmenter", "grounded_sam", "--set", "segmentation.device=cpu")
    monkeypatch.setattr(dry_run, "probe", lambda: 10.0)
    slow = planned(capsys, *words, "--segmenter", "none")["seconds"]
    assert plain[1] < more[1]
    assert plain[1] < model["seconds"][0]
    assert slow[1] > 50 * plain[1]
    assert "masks (grounded_sam)" in model["stages"]


def test_a_map_that_is_there_is_told_and_stays(photos, tmp_path, capsys):
    out = write_map(tmp_path / "map", note="old").root
    before = contents(tmp_path)
    words = ["run", photos, "--segmenter", "none", "--out", out]
    assert f"{out} is replaced when the new map is whole" in "\n".join(planned(capsys, *words)["text"])
    assert f"{out} is continued" in "\n".join(planned(capsys, *words, "--resume")["text"])
    assert contents(tmp_path) == before


def test_what_the_command_would_refuse_is_refused(photos, tmp_path, capsys):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/letter.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    assert "letter.txt" in planned(capsys, "run", photos, "--segmenter", "none", "--out", tmp_path / "mine", code=2)["text"]
    assert "is a file" in planned(capsys, "run", photos, "--segmenter", "none", "--out", tmp_path / "file", code=2)["text"]
    assert planned(capsys, "run", photos, "--out", tmp_path / "m", code=2)["reason"] == "usage", "no masks are given"


def test_a_full_disk_and_missing_models_are_found_before_hours_of_work(photos, tmp_path, capsys, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1000))
    words = ["run", photos, "--label", "house", "--segmenter", "grounded_sam", "--out", tmp_path / "map"]
    monkeypatch.setenv("SEG2D3D_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    codes = {finding["code"] for finding in planned(capsys, *words)["findings"]}
    assert {dry_run.NO_ROOM.code, dry_run.MODEL_MISSING.code} <= codes
    assert dry_run.MODEL_MISSING.code not in {f["code"] for f in planned(capsys, *words, "--download")["findings"]}


def test_a_bags_images_are_an_upper_bound(photos, tmp_path, capsys):
    picture = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    times = [START + k * 10**8 for k in range(5)]
    bag = write_bag(tmp_path / "bag", [("/front/image", t, ROS2.compressed(t, "front", picture)) for t in times])
    before = contents(tmp_path)
    plan = planned(capsys, "bag", bag, "--segmenter", "none", "--out", tmp_path / "map")
    assert (plan["images"], plan["exact"]) == (5, False)
    assert "at most" in "\n".join(plan["text"])
    assert "/front/image" in plan["text"][0]
    assert contents(tmp_path) == before
