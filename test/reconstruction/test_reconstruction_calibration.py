"""Calibrations that are wrong: named by their camera, by what the images say of them and by what no lens is like."""

import copy
import types

import cv2
import numpy as np
import pycolmap
import pytest

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.reconstruction.adjustment import whole_model
from seg2d3d_ros.reconstruction.calibration.plausibility import CALIBRATION_IMPLAUSIBLE, tell_implausible
from seg2d3d_ros.reconstruction.calibration.self_calibration import (
    CALIBRATION_DOUBTED,
    PER_CAMERA,
    SelfCalibration,
    doubt_calibrations,
    exchanged,
    self_calibrations,
)
from seg2d3d_ros.reconstruction.features.camera_masks import MASK_HIDES_MOST, CameraMasks

NAMES = {1: "left", 2: "right"}


@pytest.fixture(scope="module")
def street():
    """Cameras 1 and 2, of 1024 × 768 pixels and a focal length of 1280, with half a pixel of noise."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 2, 1, 8
    options.num_points3D = 250
    pycolmap.set_random_seed(3)
    model = pycolmap.synthesize_dataset(options)
    noise = pycolmap.SyntheticNoiseOptions()
    noise.point2D_stddev = 0.5
    pycolmap.synthesize_noise(noise, model)
    return model


def believing(street, change):
    """The model as it is adjusted to a camera 1 whose parameters were changed."""
    model = copy.deepcopy(street)
    params = np.array(model.camera(1).params)
    change(params)
    model.camera(1).params = params
    config = whole_model(model, model.cameras)
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    pycolmap.create_default_bundle_adjuster(options, config, model).solve()
    return model


def said_of(model):
    findings = Findings()
    before = {i: image.cam_from_world().matrix() for i, image in model.images.items()}
    doubt_calibrations([model], {1, 2}, NAMES, 1, findings)
    assert all((model.image(i).cam_from_world().matrix() == pose).all() for i, pose in before.items()), "it is not changed"
    return findings.list()


def test_right_calibrations_are_not_doubted(street):
    assert said_of(street) == []
    for result in self_calibrations(street, {1, 2}, 1).values():
        assert result.held < 1.03 * result.freed
        assert result.moved < 0.02


def halve(params):
    params[0] /= 2


def bend(params):
    params[3] = -0.6


@pytest.mark.parametrize(("change", "words"), [(halve, "as of images twice the size"), (bend, "as of rectified images")])
def test_a_wrong_calibration_is_named_without_positions(street, change, words):
    (finding,) = said_of(believing(street, change))
    assert (finding.kind, finding.count, finding.of, finding.examples) == (CALIBRATION_DOUBTED, 1, 2, ("left",))
    assert words in finding.text


def test_raw_images_with_the_intrinsics_of_rectified_ones_are_named_without_positions():
    """P has no distortion, and so no coefficient that could be set free: the lens is given some."""
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig = 1, 1, 8
    options.num_points3D = 250
    options.camera_model_id = pycolmap.CameraModelId.OPENCV
    options.camera_params = [1280.0, 1280.0, 512.0, 384.0, -0.6, 0.1, 0.0, 0.0]
    pycolmap.set_random_seed(3)
    raw = pycolmap.synthesize_dataset(options)
    noise = pycolmap.SyntheticNoiseOptions()
    noise.point2D_stddev = 0.5
    pycolmap.synthesize_noise(noise, raw)

    def told(camera):
        camera.model, camera.params = pycolmap.CameraModelId.PINHOLE, [1100.0, 1100.0, 512.0, 384.0]

    model = copy.deepcopy(raw)
    told(model.camera(1))
    options = pycolmap.BundleAdjustmentOptions()
    options.print_summary = False
    pycolmap.create_default_bundle_adjuster(options, whole_model(model, model.cameras), model).solve()
    findings = Findings()
    doubt_calibrations([model], {1}, NAMES, 1, findings)
    (finding,) = findings.list()
    assert (finding.kind, finding.examples) == (CALIBRATION_DOUBTED, ("left",))
    assert "as of raw images, with the P of rectified ones" in finding.text
    assert model.camera(1).model == pycolmap.CameraModelId.PINHOLE, "the map's camera stays"


def test_of_many_images_some_are_asked(street, monkeypatch):
    monkeypatch.setattr("seg2d3d_ros.reconstruction.calibration.self_calibration.PER_CAMERA", 5)
    asked = []
    keep = "seg2d3d_ros.reconstruction.calibration.self_calibration.keep_images"
    monkeypatch.setattr(keep, lambda model, ids: asked.append(ids) or copy.deepcopy(model))
    self_calibrations(street, {1}, 1)
    assert {street.image(i).camera_id for i in asked[0]} == {1}
    assert len(asked[0]) == 5 < PER_CAMERA


def test_a_focal_length_alone_is_believed_only_to_positions():
    result = SelfCalibration(focal=1.3, moved=0.1, held=0.30, freed=0.29, size=1000)
    assert result.contradicts(positions=True)
    assert not result.contradicts(positions=False), "a vehicle that looks ahead does not determine it"


@pytest.mark.parametrize(
    ("bent", "freed", "contradicted"),
    [((0.0, 0.05), 0.2, True), ((0.05, 0.0), 0.2, True), ((0.0, 0.008), 0.2, False), ((0.0, 0.05), 0.29, False)],
)
def test_a_distortion_that_focal_length_and_pose_hide_is_seen(bent, freed, contradicted):
    result = SelfCalibration(focal=1.02, moved=0.016, held=0.30, freed=freed, size=1000, bent=bent)
    assert result.contradicts(positions=True) == result.contradicts(positions=False) == contradicted


@pytest.mark.parametrize(
    ("camera", "words"),
    [
        (Camera("PINHOLE", 640, 480, (500.0, 500.0, 520.0, 240.0)), "principal point 520, 240"),
        (Camera("PINHOLE", 640, 480, (500.0, 400.0, 320.0, 240.0)), "not square"),
        (Camera("PINHOLE", 640, 480, (90.0, 90.0, 320.0, 240.0)), "a view of 149"),
        (Camera("OPENCV", 640, 480, (300.0, 300.0, 320.0, 240.0, -0.6, 0.02, 0.0, 0.0)), "bends the picture back"),
        (Camera("OPENCV_FISHEYE", 640, 480, (90.0, 90.0, 320.0, 240.0, 0.0, 0.0, 0.0, 0.0)), ""),
        (Camera("OPENCV", 640, 480, (400.0, 401.0, 330.0, 236.0, -0.3, 0.1, 0.001, 0.0)), ""),
        (Camera("PINHOLE", 1242, 375, (721.5, 721.5, 609.6, 172.9)), ""),
    ],
)
def test_what_no_lens_is_like(camera, words):
    findings = Findings()
    tell_implausible({"left": camera, "right": Camera("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0))}, findings)
    found = findings.list()
    assert [(f.kind, f.count, f.of, f.examples) for f in found] == [(CALIBRATION_IMPLAUSIBLE, 1, 2, ("left",))] * bool(words)
    assert all(words in f.text for f in found)


def test_a_mask_that_hides_most_of_the_image_is_named(tmp_path):
    for name, rows in (("left", 70), ("right", 20)):
        mask = np.full((100, 80), 255, np.uint8)
        mask[:rows] = 0
        cv2.imwrite(str(tmp_path / f"{name}.png"), mask)
    findings = Findings()
    CameraMasks(tmp_path).tell(["left", "left", "right", "rear"], findings)
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.of, finding.examples) == (MASK_HIDES_MOST, 1, 2, ("left",))
    assert "70 % of left" in finding.text


def test_two_cameras_with_each_other_s_calibration_are_named():
    swapped = {"front": (500.0, 810.0), "left": (800.0, 495.0)}
    assert exchanged(swapped) == [("front", "left")]
    assert exchanged({**swapped, "rear": (650.0, 700.0)}) == [("front", "left")]
    assert exchanged({"front": (500.0, 810.0), "left": (800.0, 800.0)}) == [], "one alone is wrong"
    assert exchanged({"front": (500.0, 505.0), "left": (505.0, 500.0)}) == [], "of one kind: nothing can tell"


def test_exchanged_cameras_are_said_first(monkeypatch):
    focal = {1: 500.0, 2: 800.0}
    cameras = {k: Camera("PINHOLE", 1000, 800, (f, f, 500.0, 400.0)).to_colmap() for k, f in focal.items()}
    results = {1: SelfCalibration(1.6, 0.2, 2.0, 0.5, 1000), 2: SelfCalibration(0.625, 0.2, 2.0, 0.5, 1000)}
    monkeypatch.setattr("seg2d3d_ros.reconstruction.calibration.self_calibration.self_calibrations", lambda *_: results)
    findings = Findings()
    model = types.SimpleNamespace(camera=cameras.get)
    doubt_calibrations([model], [1, 2], {1: "front", 2: "left"}, 1, findings)
    (found,) = findings.list()
    assert "left free it becomes another: front and left look exchanged" in found.text
