"""Places of instances against those of true objects, in whatever frame the map is."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers_thin import thin_world

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.evaluation.positions import TRUTH_FILE, evaluate_positions
from seg2d3d_ros.evaluation.table import format_result

TURN = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@pytest.fixture
def model():
    return thin_world(posts=[(12.0, 4.0)], cameras=6, road=20).model


def truth_of(model, tmp_path, objects):
    """The truth in a frame that is turned, moved and four times as large as the map's."""
    cameras = {
        name: (4 * TURN @ center + [5.0, 6.0, 7.0]).tolist() for name, center in zip(model.names, model.centers, strict=True)
    }
    placed = [{"class": kind, "position": (4 * TURN @ np.array(xyz) + [5.0, 6.0, 7.0]).tolist()} for kind, xyz in objects]
    (tmp_path / TRUTH_FILE).write_text(json.dumps({"objects": placed, "cameras": cameras}))
    return tmp_path


def test_instances_count_within_half_a_metre_and_once(model, tmp_path):
    truth = truth_of(model, tmp_path, [("post", (12.0, 4.0, 0.0)), ("post", (18.0, 4.0, 0.0)), ("lid", (9.0, 1.0, 0.0))])
    tracks = {
        "instances": [
            {"class": "post", "position": [12.1, 4.0, 1.0]},  # 0.4 m
            {"class": "post", "box3d": {"center": [12.0, 4.05, 9.0]}},  # nearer to the same one, which has one instance only
            {"class": "post", "box3d": {"center": [18.2, 4.0, 0.0]}},  # 0.8 m
            {"class": "post"},
            {"class": "lid", "position": [9.0, 1.0, 0.0], "component": 1},
        ]
    }
    found = evaluate_positions(truth, model, tracks)
    assert (found["post"]["objects"], found["post"]["found"], found["post"]["right"]) == (2, 3, 1)
    assert found["post"]["f1"] == pytest.approx(2 / 5)
    assert found["post"]["error"] == pytest.approx(0.2, abs=1e-6)
    assert (found["lid"]["found"], found["lid"]["precision"], found["lid"]["recall"], found["lid"]["f1"]) == (0, None, 0.0, 0.0)
    text = format_result({"methods": {}, "notes": [], "positions": found})
    assert "0.5 m" in text
    assert "post" in text


@pytest.mark.parametrize("content", ['{"objects": []}', '{"objects": [{"class": "a"}], "cameras": {}}', "[1]"])
def test_a_damaged_truth_is_named(model, tmp_path, content):
    (tmp_path / TRUTH_FILE).write_text(content)
    with pytest.raises(DataError, match=r"objects\.json"):
        evaluate_positions(tmp_path, model, {"instances": []})


def test_a_truth_of_other_images_is_named(model, tmp_path):
    (tmp_path / TRUTH_FILE).write_text(json.dumps({"objects": [], "cameras": {"other": [0, 0, 0]}}))
    with pytest.raises(DataError, match="0 of the map's 6 images"):
        evaluate_positions(tmp_path, model, {"instances": []})
