"""Image features: of pictures, of points that pictures show, in data sets, in training, and where they are missing."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers_learning import VOXEL, street_scene
from helpers_report import street
from helpers_vision import write_dinov2

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.learning.curriculum import CurriculumLoss, CurriculumOptions
from seg2d3d_ros.learning.dataset_folder import SCENES_UNREADABLE, read_card, read_scene, write_card, write_scene
from seg2d3d_ros.learning.dataset_making import counts
from seg2d3d_ros.learning.image_features import (
    CHANNELS,
    FEATURES_MISSING,
    FEATURES_UNUSED,
    obtain_features,
    rotation,
    sampled_grid,
)
from seg2d3d_ros.learning.map_scenes import map_features, map_scene
from seg2d3d_ros.mapstore.point_cloud import CLOUD_POINT, write_points
from seg2d3d_ros.networks.obtaining import NetworkSettings

pytest.importorskip("transformers")
pytest.importorskip("torch").set_num_threads(1)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_dinov2(tmp_path_factory.mktemp("vision") / "dinov2")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A map with photographs, masks and a dense cloud."""
    store = street(tmp_path_factory.mktemp("street") / "map", houses=6, stops=3, points=1200)
    points = store.read_points()
    cloud = np.empty(len(points), CLOUD_POINT)
    for column in CLOUD_POINT.names:
        cloud[column] = points[column]
    write_points(store.root / "cloud.ply", cloud)
    return store.root


def asked(model):
    return obtain_features(str(model), NetworkSettings(device="cpu"), Findings())


def test_a_picture_gets_a_vector_for_each_patch(model):
    features = asked(model)
    picture = np.random.default_rng(0).integers(0, 255, (120, 240, 3), np.uint8)
    grid = features.grid(picture)
    assert grid.shape == (18, 37, CHANNELS)
    np.testing.assert_array_equal(grid, asked(model).grid(picture))
    other = picture.copy()
    other[:60] = 0
    changed = np.abs(features.grid(other) - grid).max(axis=(1, 2))
    assert changed[:8].min() > 0.1
    # The fixed rotation keeps products of unit vectors.
    unit = np.eye(24, dtype=np.float32)[:2]
    assert abs(float(np.prod(unit @ rotation(24) / np.sqrt(CHANNELS), axis=0).sum())) < 0.5
    assert float(np.square(unit @ rotation(24)).mean()) == pytest.approx(1.0, abs=0.3)


def test_values_between_the_middles_of_patches_are_mixed():
    grid = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    pixels = np.array([[5, 5], [10, 5], [5, 10], [15, 10], [29.9, 19.9], [-3, -3]])
    found = sampled_grid(grid, pixels, (30, 20))[:, 0]
    np.testing.assert_allclose(found, [0, 0.5, 1.5, 2.5, 5, 0], atol=1e-5)


def test_models_of_another_kind_are_refused_in_words(tmp_path, model):
    shutil.copytree(model, tmp_path / "other")
    config = json.loads((tmp_path / "other/config.json").read_text())
    del config["patch_size"]
    (tmp_path / "other/config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="DINOv2"):
        asked(tmp_path / "other")


def test_points_that_no_picture_shows_have_none_and_are_told(root, model, tmp_path):
    findings = Findings()
    scene = map_scene(root, "a", 0.5, 40.0, "auto", findings, asked(model))
    assert scene.image.shape == (len(scene.xyz), CHANNELS)
    there = np.isfinite(scene.image.astype(np.float32)).all(axis=1)
    assert 0.3 < there.mean() < 1
    assert [(f.kind, f.count) for f in findings.list() if f.kind == FEATURES_MISSING] == [
        (FEATURES_MISSING, int((~there).sum()))
    ]
    without = shutil.copytree(root, tmp_path / "map")
    for file in without.rglob("*.jpg"):
        file.unlink()
    findings = Findings()
    found = map_features(without, asked(model), 40.0, findings, None)(np.array([[1.0, 9.0, 2.0]]))
    assert np.isnan(found).all()
    assert findings.list()[0].kind == FEATURES_MISSING


def test_a_training_sees_them_in_most_steps():
    scene, _ = street_scene()
    image = np.ones((len(scene.xyz), 3), np.float16)
    loss = CurriculumLoss([replace(scene, image=image, image_model="m")], 3, CurriculumOptions(no_image=0.3))
    random = np.random.default_rng(0)
    drawn = [tile.image is not None for _, tile in filter(None, (loss.draw(random) for _ in range(60)))]
    assert 0.5 < np.mean(drawn) < 0.9


def test_a_scene_with_features_of_another_size_is_left_out_and_told(tmp_path):
    scene, _ = street_scene()
    facts = []
    for name, width in (("a", CHANNELS), ("b", 3)):
        image = np.zeros((len(scene.xyz), width), np.float16)
        write_scene(tmp_path / f"{name}.npz", replace(scene, name=name, image=image, image_model="m"))
        facts.append({"file": f"{name}.npz", "split": "train", "source": "map", **counts(scene)})
    write_card(tmp_path, facts, VOXEL, {}, 0, CHANNELS)
    findings = Findings()
    assert [item.name for item in read_card(tmp_path).scenes("train", findings)] == ["a"]
    assert [(f.kind, f.count) for f in findings.list()] == [(SCENES_UNREADABLE, 1)]


def test_from_maps_to_labels_by_commands(root, model, tmp_path, capsys):
    data, made, out = tmp_path / "data", tmp_path / "model", tmp_path / "out.ply"
    words = ["dataset", str(root), "--out", str(data), "--image-model", str(model), "--voxel", "0.5"]
    assert main([*words, "--set", "segmentation.device=cpu"]) == 0
    (file,) = data.glob("*.npz")
    assert read_scene(file).image_model == str(model)
    assert main(["train", str(data), "--out", str(made), "--steps", "1", "--stage", "3", "--device", "cpu"]) == 0
    facts = json.loads((made / "config.json").read_text())
    assert (facts["network"]["image"], facts["image_model"]) == (CHANNELS, str(model))
    capsys.readouterr()
    words = ["segment", "--model", str(made), "--out", str(out), "--device", "cpu"]
    assert main([*words, str(root), "--set", "segmentation.device=cpu"]) in (0, 1)  # one step teaches little
    assert FEATURES_UNUSED.what not in capsys.readouterr().out
    assert main([*words, str(root / "points.ply")]) in (0, 1)
    assert FEATURES_UNUSED.what in capsys.readouterr().out
