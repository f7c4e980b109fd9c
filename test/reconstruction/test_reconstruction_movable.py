"""What moves, and the own vehicle, give no keypoints: masks, their order in a run, and a scene that they save."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from helpers_scene import HEIGHT, WIDTH, render, textures
from helpers_session import Solved

from seg2d3d_ros.config import make_config
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import encode_jpeg, write_labels
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredSegments
from seg2d3d_ros.pipeline.offline import build_map
from seg2d3d_ros.reconstruction import opening
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.features.camera_masks import CameraMasks
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.segmentation.factory import create_segmenter
from seg2d3d_ros.segmentation.movable import class_ids, movable_mask, without_classes
from seg2d3d_ros.types import Keyframe, Segments

CAMERA = Camera("PINHOLE", WIDTH, HEIGHT, (330.0, 330.0, WIDTH / 2, HEIGHT / 2))
CAR = (slice(70, 290), slice(70, 430))


def segments(name="k"):
    labels = np.zeros((6, 8), np.uint16)
    labels[:3], labels[4:] = 7, 9
    return Segments(name, labels, np.array([7, 9], np.uint16), np.array([1, 2], np.int32), np.ones(2, np.float32))


def photo(x, car=None):
    """The scene from x metres, and where the car is, a picture that stays in its place: it drives ahead as fast as we do."""
    picture, _ = render(textures(1), x, yaw=-0.04 * x)
    if car is not None:
        picture[CAR] = car[CAR]
    return encode_jpeg(picture, 95)


def car_picture():
    rng = np.random.default_rng(3)
    noise = rng.integers(0, 256, (HEIGHT // 6, WIDTH // 6, 3), np.uint8)
    return cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)


def inside_car():
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[CAR] = True
    return mask


def keyframe(name, encoded, camera="cam"):
    return Keyframe(name, camera, 0, encoded, CAMERA, file_name=f"{name}.jpg")


class TestClasses:
    def test_movable_classes_follow_the_prompts_and_are_looked_for(self):
        config = make_config({"segmentation.prompts": ["building", "Car"], "segmentation.movable": ["person", "car", "person"]})
        assert config.segmentation.movable_only == ("person",)
        assert config.segmentation.asked == ("building", "Car", "person")
        assert class_ids(config.segmentation.asked, config.segmentation.movable).tolist() == [2, 3]

    def test_the_mask_is_the_area_of_these_classes(self):
        np.testing.assert_array_equal(movable_mask(segments(), np.array([2])), segments().labels == 9)
        assert movable_mask(segments(), np.array([3])) is None

    def test_without_classes(self):
        rest = without_classes(segments(), np.array([2]))
        assert (rest.ids.tolist(), rest.classes.tolist()) == ([7], [1])
        np.testing.assert_array_equal(np.unique(rest.labels), [0, 7])
        assert without_classes(segments(), np.array([3])) is not None

    @pytest.mark.parametrize("segmenter", ["none", "everything"])
    def test_segmenters_without_classes_refuse(self, segmenter):
        with pytest.raises(UsageError, match="movable"):
            create_segmenter(make_config({"segmentation.segmenter": segmenter, "segmentation.movable": ["car"]}).segmentation)


class TestCameraMasks:
    def test_black_is_ignored(self, tmp_path):
        mask = np.full((6, 8), 255, np.uint16)
        mask[5] = 0
        write_labels(tmp_path / "front.png", mask)
        masks = CameraMasks(tmp_path)
        np.testing.assert_array_equal(masks.ignored("front", 8, 6), mask == 0)
        assert masks.ignored("left", 8, 6) is None
        assert CameraMasks(tmp_path / "front.png").ignored("left", 8, 6) is not None

    def test_another_size_is_refused_with_both_sizes(self, tmp_path):
        write_labels(tmp_path / "front.png", np.ones((6, 8), np.uint16))
        with pytest.raises(UsageError, match=r"8×6.*front.*9×6"):
            CameraMasks(tmp_path).ignored("front", 9, 6)

    def test_a_colour_picture_is_refused(self, tmp_path):
        cv2.imwrite(str(tmp_path / "front.png"), np.zeros((6, 8, 3), np.uint8))
        with pytest.raises(UsageError, match="one channel"):
            CameraMasks(tmp_path).ignored("front", 8, 6)

    @pytest.mark.parametrize("name", ["missing", "."])
    def test_nothing_there(self, tmp_path, name):
        with pytest.raises(UsageError, match=r"mask"):
            CameraMasks(tmp_path / name)

    def test_keypoints_on_the_bonnet_are_absent(self, tmp_path):
        mask = np.where(inside_car(), 0, 255).astype(np.uint16)
        write_labels(tmp_path / "cam.png", mask)
        reconstructor = BatchReconstructor(tmp_path / "map", ReconstructionConfig(max_features=1500, masks=str(tmp_path)))
        more = np.zeros((HEIGHT, WIDTH), bool)
        more[:40] = True
        reconstructor.add(keyframe("a", photo(0.0)), more)
        reconstructor.add(keyframe("b", photo(0.0), camera="other"))
        found = [np.floor(reconstructor.database.keypoints(i)[:, :2]).astype(int) for i in (1, 2)]
        reconstructor.close()
        hit = [(inside_car()[p[:, 1], p[:, 0]].sum(), more[p[:, 1], p[:, 0]].sum()) for p in found]
        assert hit[0] == (0, 0)
        assert len(found[0]) > 100
        assert hit[1][0] > 100  # the camera without mask


class Cars:
    """Says that there is a car, class 2, in every keyframe; and a building, class 1."""

    batch = 2

    def __init__(self):
        self.asked = []

    def segment_all(self, keyframes):
        self.asked += [k.name for k in keyframes]
        labels = np.where(inside_car(), 5, 3).astype(np.uint16)
        ids, classes = np.array([3, 5], np.uint16), np.array([1, 2], np.int32)
        return [Segments(k.name, labels, ids, classes, np.ones(2, np.float32)) for k in keyframes]


def test_a_run_finds_features_after_the_masks_and_maps_no_car(tmp_path, monkeypatch):
    config = make_config({"segmentation.prompts": ["building"], "segmentation.movable": ["car"]})
    store, reconstructor, segmenter = MapStore(tmp_path / "map"), Solved(), Cars()
    monkeypatch.setattr(opening, "open_reconstructor", lambda *_: reconstructor)
    with pytest.raises(DataError, match="no two images"):
        build_map(
            [keyframe(f"{k}", b"") for k in range(3)], store, config, segmenter, progress=lambda *_: None, findings=Findings()
        )
    assert segmenter.asked == ["0", "1", "2"]
    assert [r.name for r in store.read_keyframes()] == list(reconstructor.ignored) == ["0", "1", "2"]
    for ignore in reconstructor.ignored.values():
        np.testing.assert_array_equal(ignore, inside_car())
    stored = StoredSegments(store, ["0"], config.segmentation.prompts)["0"]
    assert stored.ids.tolist() == [3]


def positions_error(tmp_path, masked):
    config = ReconstructionConfig(max_features=1500, threads=1)
    reconstructor = BatchReconstructor(tmp_path / str(masked), config)
    x = np.linspace(-2.5, 2.5, 6)
    for k, place in enumerate(x):
        reconstructor.add(keyframe(f"{k}", photo(float(place), car_picture())), inside_car() if masked else None)
    models = reconstructor.solve().models
    reconstructor.close()
    if not models or len(models[0].names) < len(x):
        return np.inf
    truth = np.column_stack([x[[int(n) for n in models[0].names]], np.zeros((len(x), 2))])
    a, b = models[0].centers - models[0].centers.mean(0), truth - truth.mean(0)
    u, s, vt = np.linalg.svd(b.T @ a)
    d = np.diag([1, 1, np.sign(np.linalg.det(u @ vt))])
    scale = np.trace(np.diag(s) @ d) / max((a**2).sum(), 1e-12)
    return float(np.linalg.norm(scale * a @ (u @ d @ vt).T - b, axis=1).max())


def test_a_car_that_drives_ahead_does_not_bend_the_model(tmp_path):
    """The car fills half of each picture, always the same half: 5 m of way are mapped within 3 cm, else with it 10 cm off."""
    assert positions_error(tmp_path, masked=True) < 0.03
    assert positions_error(tmp_path, masked=False) > 0.1
