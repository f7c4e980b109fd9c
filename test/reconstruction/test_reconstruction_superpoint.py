"""Learned features: a small LightGlue with SuperPoint, through files on disk, database and verification, as the real one."""

import dataclasses
import json
import shutil

import cv2
import numpy as np
import pytest
from helpers_checkpoints import write_lightglue
from helpers_reconstruction import drain

pytest.importorskip("transformers", reason="models need the extra [sam]")

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.features.feature_choice import open_features
from seg2d3d_ros.reconstruction.features.superpoint import normalised
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.reconstruction.worker.worker_events import Added, Failed, Rejected
from seg2d3d_ros.reconstruction.worker.worker_handle import ReconstructionWorker
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

SHIFT = np.array([24, 16])
"""Pixels between two pictures of one texture; a multiple of the eight pixels that the network looks at together."""


@pytest.fixture(scope="module")
def lightglue(tmp_path_factory):
    return write_lightglue(tmp_path_factory.mktemp("models") / "lightglue")


@pytest.fixture
def config(lightglue):
    return ReconstructionConfig(features="superpoint", features_model=str(lightglue), max_features=500, threads=1)


@pytest.fixture(scope="module")
def texture():
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (240, 320), np.uint8), (5, 5), 1.5)


def crops(texture):
    """Two windows of equal size, and one of another shape."""
    x, y = SHIFT
    return texture[:192, :256], texture[y : y + 192, x : x + 256], texture[y : y + 144, x : x + 272]


def keyframe(name, gray):
    height, width = gray.shape
    camera = Camera("PINHOLE", width, height, (300.0, 300.0, width / 2, height / 2))
    encoded = cv2.imencode(".png", cv2.cvtColor(gray, cv2.COLOR_GRAY2RGB))[1].tobytes()
    return Keyframe(name, f"c{width}", 0, encoded, camera, file_name=f"{name}.png")


def test_keypoints_move_with_the_picture_and_the_best_are_kept(config, texture):
    import torch

    features = open_features(config, NetworkSettings(device="cpu"), Findings())
    first, second, _ = crops(texture)
    (a, of_a), (b, _) = features.find(first), features.find(second)
    assert len(a) == len(of_a) > 100
    np.testing.assert_allclose(np.linalg.norm(of_a, axis=1), 1, rtol=1e-4)
    assert (a[:, :2] % 1 == 0.5).all()
    expected = {tuple(xy) for xy in a[:, :2] - SHIFT}
    assert np.mean([tuple(xy) in expected for xy in b[:, :2]]) > 0.4
    few, _ = open_features(dataclasses.replace(config, max_features=20), NetworkSettings(device="cpu"), Findings()).find(first)
    np.testing.assert_array_equal(few, a[:20])
    detector = features._model.keypoint_detector.detector
    relative, scores = detector(torch.from_numpy(first).float()[None, None] / 255)[:2]
    best = relative[0, scores[0].argmax()].detach().numpy() * first.shape[::-1]
    np.testing.assert_allclose(a[0, :2], best + 0.5, atol=1e-3)


def test_matches_are_right_verified_and_survive_the_process(config, texture, tmp_path):
    """Two pictures shifted against each other, one of another shape, a blank one."""
    pictures = [*crops(texture), np.full((192, 256), 128, np.uint8)]
    opened = BatchReconstructor(tmp_path, config, NetworkSettings(device="cpu"))
    counts = [opened.add(keyframe(f"k{i}", picture)) for i, picture in enumerate(pictures)]
    assert min(counts[:3]) > 100
    assert counts[3] == 0
    rows = opened.database.images()
    opened.matcher.match_all(rows, {}, more=False)
    assert {(a, b) for a, b, _ in opened.matcher.tried.rows().tolist()} == {(1, 2), (1, 3), (2, 3)}
    opened.close()
    again = BatchReconstructor(tmp_path, config, NetworkSettings(device="cpu"))
    for first, second, shift in ((1, 2, SHIFT), (1, 3, SHIFT), (2, 3, [0, 0])):
        matches = again.database.inlier_matches(first, second)
        moved = again.database.keypoints(first)[matches[:, 0], :2] - again.database.keypoints(second)[matches[:, 1], :2]
        assert len(matches) > 50
        assert np.mean((moved == shift).all(1)) > 0.8
    assert again.database.descriptors(1, 10).shape == (10, 64)
    _, descriptors = again._local.find(pictures[0])
    np.testing.assert_allclose(again.database.descriptors(1), descriptors, atol=1e-3)
    assert len(again.matcher.recognition.ranked(1, [2, 3])) == 2
    again.close()


def test_every_pair_is_noted_and_one_that_was_cut_off_is_matched_again(config, texture, tmp_path, monkeypatch):
    """The first pair has matches that a killed process did not verify; the second has none at all."""
    opened = BatchReconstructor(tmp_path, config, NetworkSettings(device="cpu"))
    for k, picture in enumerate(crops(texture)):
        opened.add(keyframe(f"k{k}", picture))
    rows = opened.database.images()
    opened.database.write_matches(1, 2, np.array([[0, 1], [1, 0]]))
    opened.matcher.match([(1, 2)], rows)
    monkeypatch.setattr(opened._local, "_matches", lambda *images: np.empty((0, 2), np.int64))
    opened.matcher.match([(1, 3)], rows)
    assert opened.matcher.tried.of(1)[2] > 50
    assert opened.matcher.tried.of(1)[3] == 0
    opened.close()


def test_the_middle_of_any_image_is_the_models_middle():
    wide = Camera("PINHOLE", 400, 100, (300.0, 300.0, 200.0, 50.0))
    xy = np.array([[0, 0], [200, 50], [400, 100]])
    np.testing.assert_allclose(normalised(xy, wide), [[0, 0.375], [0.5, 0.5], [1, 0.625]])


def test_a_map_keeps_its_kind_of_keypoints(config, texture, tmp_path):
    for kind, other in (("sift", config), ("superpoint", ReconstructionConfig())):
        mine = ReconstructionConfig() if kind == "sift" else config
        opened = open_reconstructor(tmp_path / kind, mine, NetworkSettings(device="cpu"))
        opened.add(keyframe("k", texture))
        opened.close()
        with pytest.raises(UsageError, match=f"keypoints are of kind {kind}.*go on with reconstruction.features {kind}"):
            open_reconstructor(tmp_path / kind, other, NetworkSettings(device="cpu"))
        open_reconstructor(tmp_path / kind, mine, NetworkSettings(device="cpu")).close()


def test_a_worker_of_a_node_finds_the_features_too(config, lightglue, texture, tmp_path):
    """In a process of its own, that is told where models are and run."""
    shutil.copytree(lightglue, tmp_path / "models" / "some--model")
    named = dataclasses.replace(config, features_model="some/model")
    networks = NetworkSettings(folder=str(tmp_path / "models"), device="cpu")
    with ReconstructionWorker(tmp_path / "map", named, networks) as worker:
        worker.add(keyframe("k", texture))
        answers = drain(worker, lambda events: any(isinstance(event, Added | Rejected | Failed) for event in events))
    (added,) = (event for event in answers if isinstance(event, Added | Rejected | Failed))
    assert isinstance(added, Added)
    assert added.features > 100


def test_missing_weights_are_said_before_anything_is_done_with_their_licence(tmp_path, monkeypatch):
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    with pytest.raises(UsageError) as error:
        open_reconstructor(tmp_path / "map", ReconstructionConfig(features="superpoint"), NetworkSettings(folder=str(tmp_path)))
    for words in ("ETH-CVG/lightglue_superpoint", "--download", "SuperPoint non-commercial", "LightGlue Apache-2.0"):
        assert words in str(error.value)
    assert not (tmp_path / "map").exists()


def test_what_is_no_lightglue_of_superpoint_is_refused(config, lightglue, tmp_path):
    def refused(change, match):
        folder = tmp_path / f"m{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        for path in lightglue.iterdir():
            (folder / path.name).write_bytes(path.read_bytes())
        document = json.loads((folder / "config.json").read_text())
        change(document)
        (folder / "config.json").write_text(json.dumps(document))
        settings = dataclasses.replace(config, features_model=str(folder))
        with pytest.raises(DataError, match=match):
            open_features(settings, NetworkSettings(device="cpu"), Findings()).find(np.eye(64, dtype=np.uint8))

    detector = "keypoint_detector_config"
    refused(lambda d: d[detector].update(auto_map={"AutoModel": "disk--code.Disk"}), "own Python code")
    refused(lambda d: d.update(num_hidden_layers=3), "weights are missing|another model")
