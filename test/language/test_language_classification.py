"""Instances are named after the drive; those that no label fits clearly keep their name and are counted."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.language.classification import INSTANCES_UNNAMED, name_instances
from seg2d3d_ros.mapstore.files.embeddings_file import Embeddings
from seg2d3d_ros.mapstore.store import MapStore

TRACKS = {"instances": [{"id": number, "class": "object"} for number in (1, 2, 3)]}


class Words:
    """Each of three words is an axis, the neutral ones point between the first two."""

    scale = 10.0

    def texts(self, texts):
        axes = {"house": [1.0, 0.0, 0.0], "tower": [0.0, 1.0, 0.0], "shop": [0.0, 0.0, 1.0]}
        return np.array([axes.get(text, [0.7, 0.7, 0.1]) for text in texts], np.float32)


def embeddings(*vectors) -> Embeddings:
    count = len(vectors)
    return Embeddings("m", "f", np.arange(1, count + 1), np.array(vectors, np.float32), np.full(count, ""), np.ones(count, int))


def test_the_probability_is_that_of_the_models_scale_beside_labels_and_neutral_words():
    found = name_instances(["house", "tower"], TRACKS, embeddings([1, 0, 0]), Words(), 0.1, Findings())
    weights = np.exp(10.0 * np.array([1.0, 0.0, 0.7, 0.7, 0.7, 0.7]))
    share = weights / weights.sum()
    assert found[0].probability == pytest.approx(share[0], abs=1e-6)
    assert found[0].margin == pytest.approx(share[0] - share[2], abs=1e-6)
    assert found[0].class_name == "house"


def test_what_is_between_two_labels_or_none_of_them_keeps_its_name():
    findings = Findings()
    given = embeddings([1, 0, 0], [0.71, 0.70, 0.0], [0.05, 0.05, 0.99])
    found = name_instances(["house", "tower"], TRACKS, given, Words(), 0.1, findings)
    assert [item.class_name for item in found] == ["house", "object", "object"]
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.of, finding.examples) == (INSTANCES_UNNAMED, 2, 3, ("2", "3"))
    assert [item.class_name for item in name_instances(["house", "shop"], TRACKS, given, Words(), 0.1, Findings())][2] == "shop"
    wide = name_instances(["house", "shop"], TRACKS, given, Words(), 1.0, Findings())
    assert [item.class_name for item in wide] == ["object"] * 3


def test_labels_that_make_no_sense_are_refused():
    for labels in ([], ["house", "House"]):
        with pytest.raises(UsageError):
            name_instances(labels, TRACKS, embeddings([1, 0, 0]), Words(), 0.1, Findings())


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_full_descriptions_as_labels_name_nine_of_ten(trained, street, tmp_path, capsys, kind):
    root, truth = street
    shutil.copytree(root, tmp_path / "map")
    labels = [word for name in truth.values() for word in ("--label", name)]
    command = ["classify", str(tmp_path / "map"), *labels, "--model", str(trained / kind), "--set", "words.margin=0"]
    before = (tmp_path / "map/tracks.json").read_bytes()
    assert main([*command, "--dry-run", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (tmp_path / "map/tracks.json").read_bytes() == before
    right = [truth[item["id"]] == item["class"] for item in answer["instances"]]
    assert len(right) == 24
    assert np.mean(right) >= 0.9
    assert main(command) == 0
    said = capsys.readouterr()
    named = {item["id"]: item for item in MapStore(tmp_path / "map").read_tracks()["instances"]}
    assert {number: item["class"] for number, item in named.items()} == {i["id"]: i["class"] for i in answer["instances"]}
    assert {item["detected_class"] for item in named.values() if item["class"] != "object"} == {"object"}
    assert "instance 10" in said.out
    assert "named: " in said.out.splitlines()[-1]
    assert "red brick house" in (tmp_path / "map/report.html").read_text()


def test_the_note_about_unnamed_instances_goes_when_all_are_named(trained, street, tmp_path, capsys):
    shutil.copytree(street[0], tmp_path / "map")
    command = [
        "classify",
        str(tmp_path / "map"),
        "--label",
        "red brick house,blue brick shop",
        "--model",
        str(trained / "clip"),
    ]
    assert main([*command, "--set", "words.margin=1"]) == 0
    assert "keep the name they had: 24 of 24" in capsys.readouterr().err
    codes = [entry["code"] for entry in MapStore(tmp_path / "map").read_metrics()["findings"]]
    assert codes == ["instances_unnamed"]
    assert main([*command, "--label", ",".join(street[1].values()), "--set", "words.margin=0"]) == 2
    every = [word for name in street[1].values() for word in ("--label", name)]
    assert main(["classify", str(tmp_path / "map"), *every, "--model", str(trained / "clip"), "--set", "words.margin=0"]) == 0
    left = [item for item in MapStore(tmp_path / "map").read_metrics()["findings"] if item["code"] == "instances_unnamed"]
    kept = [item for item in MapStore(tmp_path / "map").read_tracks()["instances"] if item["class"] == "object"]
    assert sum(item["count"] for item in left) == len(kept)
