"""A network that learnt from embeddings names what it finds in a cloud, and says where it cannot."""

from __future__ import annotations

import json

import numpy as np
import pytest
from helpers_learning import VOXEL, street_cloud, street_scene
from helpers_words import NAMES

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.language.cloud_naming import WORDS_OF_ANOTHER_MODEL, name_cloud
from seg2d3d_ros.learning.cloud_segmentation import SegmentedCloud
from seg2d3d_ros.learning.dataset_folder import read_scene, write_card, write_scene
from seg2d3d_ros.learning.dataset_making import counts
from seg2d3d_ros.learning.joining import TileObject, join_objects
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, cloud_points, write_points


class Axes:
    """Stands for a text-image model: house and shop are axes, all else lies between."""

    name, scale = "axes", 20.0

    def texts(self, texts):
        axes = {"house": [1.0, 0.0], "shop": [0.0, 1.0]}
        return np.array([axes.get(text, [0.7, 0.7]) for text in texts], np.float32)


def segmented(*vectors) -> SegmentedCloud:
    count = len(vectors)
    ids = np.arange(1, count + 1, dtype=np.int32)
    return SegmentedCloud(ids, np.ones(count, np.float32), ids, np.array(vectors, np.float32) if count else None)


def test_instances_are_named_by_their_vectors():
    findings = Findings()
    found = name_cloud(["house", "shop"], segmented([0, 1], [1, 0], [0.71, 0.7]), "axes", Axes(), 0.1, findings)
    assert [(item.id, item.label, item.clear) for item in found[:2]] == [(1, "shop", True), (2, "house", True)]
    assert not found[2].clear
    assert [item.kind.code for item in findings.list()] == ["instances_unnamed"]
    assert name_cloud(["house"], segmented(), "axes", Axes(), 0.1, findings) == []


def test_another_text_image_model_is_told_or_refused():
    findings = Findings()
    name_cloud(["house"], segmented([1, 0]), "other", Axes(), 0.1, findings)
    assert findings.list()[0].kind == WORDS_OF_ANOTHER_MODEL
    with pytest.raises(UsageError, match="learnt 3 of axes"):
        name_cloud(["house"], segmented([1, 0, 0]), "axes", Axes(), 0.1, findings)


def test_vectors_of_an_object_that_tiles_cut_are_joined_by_their_scores():
    def thing(score, text):
        mine = np.arange(3)
        return TileObject(mine, np.ones(3, np.float32), mine, score, np.array(text, np.float32))

    joined = join_objects([[thing(0.9, [1, 0])], [thing(0.3, [0, 1])]], np.ones(3))
    np.testing.assert_allclose(joined.text, [np.array([0.9, 0.3]) / np.hypot(0.9, 0.3)], atol=1e-6)


def test_labels_by_command(trained, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from seg2d3d_ros.language.text_image_model import obtain_model
    from seg2d3d_ros.networks.obtaining import NetworkSettings

    where = str(trained / "clip")
    scene, _ = street_scene()
    ids = np.unique(scene.instance[scene.instance > 0]).astype(np.int32)
    # All instances of this street are red brick houses: few steps teach that, and few steps are all that a test can take.
    vector = obtain_model(where, NetworkSettings(device="cpu"), Findings()).texts([NAMES[0]])
    with_text = {"text_instance": ids, "text": np.repeat(vector, len(ids), axis=0), "text_model": where}
    scene = scene.__class__(**{**scene.__dict__, **with_text})
    data, model, cloud, out = (tmp_path / name for name in ("data", "model", "cloud.ply", "out.ply"))
    data.mkdir()
    write_scene(data / "a.npz", scene)
    assert read_scene(data / "a.npz").text_model == where
    item = {"file": "a.npz", "split": "train", "source": "map", **counts(scene)}
    write_card(data, [item], VOXEL / 2, {}, vector.shape[1])
    assert main(["train", str(data), "--out", str(model), "--steps", "60", "--device", "cpu", "--stage", "3"]) == 0
    assert json.loads((model / "config.json").read_text())["text_model"] == where
    held = street_cloud(0)[0]
    write_points(cloud, cloud_points(held.xyz, held.rgb, np.zeros(len(held.xyz)), np.zeros(len(held.xyz)), CLOUD_POINT))
    words = ["segment", str(cloud), "--model", str(model), "--out", str(out), "--device", "cpu"]
    assert main([*words, "--label", f"{NAMES[0]}, {NAMES[-1]}"]) == 0
    said = capsys.readouterr().out
    assert f"{NAMES[0]}" in said
    assert f"comment class 1: {NAMES[0]}".encode() in out.read_bytes()
    assert b"property int class" in out.read_bytes()
    assert NAMES[-1].encode() not in out.read_bytes()
