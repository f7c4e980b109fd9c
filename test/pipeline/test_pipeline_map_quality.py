"""The quality of a live map: newest keyframes without a place, cameras that fit worse, focal lengths that creep."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.pipeline.live.camera_watch import CAMERA_FITS_WORSE, FOCAL_DRIFTS
from seg2d3d_ros.pipeline.live.map_quality import MapQuality
from seg2d3d_ros.pipeline.live.registration_trend import RECENT, REGISTRATION_SINKS, SETTLING, RegistrationTrend
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.types import SparseModel

PINHOLE = Camera("PINHOLE", 640, 480, (500.0, 500.0, 320.0, 240.0))


def map_of(images, errors, *, focal=500.0):
    """A model of images ahead of each other, each with twenty points; ``errors``: pixels by which each image's are off."""
    rng = np.random.default_rng(5)
    camera = dataclasses.replace(PINHOLE, params=(focal, focal, 320.0, 240.0))
    xyz = np.column_stack([rng.uniform(-4, 4, 20), rng.uniform(-3, 3, 20), rng.uniform(20, 30, 20)])
    poses = np.tile(np.eye(3, 4), (len(images), 1, 1))
    poses[:, 2, 3] = np.arange(len(images)) * 0.1
    pixels = [camera.project(xyz @ pose[:, :3].T + pose[:, 3]) + [off, 0] for pose, off in zip(poses, errors, strict=True)]
    return SparseModel(
        names=tuple(images),
        cameras=(camera,) * len(images),
        camera_from_world=poses,
        xyz=xyz,
        rgb=np.zeros((20, 3), np.uint8),
        error=np.zeros(20, np.float32),
        point_ids=np.arange(20),
        obs_keyframe=np.repeat(np.arange(len(images), dtype=np.int32), 20),
        obs_point=np.tile(np.arange(20, dtype=np.int32), len(images)),
        obs_xy=np.concatenate(pixels).astype(np.float32),
    )


def records(names, camera=None):
    made = [KeyframeRecord(name, name.split("_")[0], k, f"{name}.jpg", f"{name}.jpg", camera) for k, name in enumerate(names)]
    return {record.name: record for record in made}


class Look:
    def __init__(self):
        self.findings = Findings()
        self.quality = MapQuality(self.findings)

    def __call__(self, model, known, taken=None):
        return self.quality.look(Reconstruction([model]), known, known if taken is None else taken)

    @property
    def found(self):
        return {finding.kind: finding for finding in self.findings.list()}


def test_newest_keyframes_without_a_place_are_told_until_they_find_one():
    names = [f"front_{k}" for k in range(80)]
    trend = RegistrationTrend()
    assert trend.look(names[:RECENT], set())[0] is None, "too few to judge"
    share, finding = trend.look(names, set(names))
    assert (share, finding.count) == (1.0, 0)
    share, finding = trend.look(names, set(names[:55]))
    assert share == pytest.approx(9 / RECENT)
    assert (finding.kind, finding.count, finding.of) == (REGISTRATION_SINKS, 21, RECENT)
    assert "of those before them 46 of 46 were" in finding.text
    assert finding.examples[-1] == names[-SETTLING - 1], "the very last ones may still wait for their neighbours"
    assert trend.look(names, set(names[:65]))[1].count == 11, "63 % are not yet enough to be calm"
    assert trend.look(names, set(names[:70]))[1].count == 0


def test_a_lens_that_was_touched_shows_in_the_error_of_its_newest_images():
    look, images = Look(), [f"front_{k}" for k in range(20)]
    known = records(images, PINHOLE)
    values = look(map_of(images[:10], [0.4] * 10), known, images[:10])
    assert values["reprojection error of front [px]"] == "0.40"
    values = look(map_of(images, [0.4] * 10 + [1.6] * 10), known)
    assert values["reprojection error of front [px]"] == "1.60"
    assert look.found.keys() == {CAMERA_FITS_WORSE}
    assert "front: 1.60 pixels of reprojection error, 0.40 at first" in look.found[CAMERA_FITS_WORSE].text
    look(map_of(images, [0.4] * 20), known)
    assert look.found == {}


def test_small_errors_may_double():
    look, images = Look(), [f"front_{k}" for k in range(20)]
    look(map_of(images[:10], [0.2] * 10), records(images[:10]))
    look(map_of(images, [0.2] * 10 + [0.8] * 10), records(images))
    assert look.found == {}


@pytest.mark.parametrize(("calibration", "kinds"), [(None, {FOCAL_DRIFTS}), (PINHOLE, set())])
def test_the_focal_length_of_an_uncalibrated_camera_should_settle(calibration, kinds):
    look, images = Look(), [f"front_{k}" for k in range(40)]
    known = records(images, calibration)
    assert look(map_of(images[:5], [0.1] * 5, focal=400), known)["focal length of front [px]"] == "400.0", (
        "it may seek at first"
    )
    look(map_of(images[:30], [0.1] * 30, focal=500), known)
    assert look.found == {}
    look(map_of(images, [0.1] * 40, focal=530), known)
    assert look.found.keys() == kinds
    if kinds:
        assert "front: 500 to 530 pixels" in look.found[FOCAL_DRIFTS].text


def test_only_another_revision_is_looked_at(monkeypatch):
    look, images = Look(), [f"front_{k}" for k in range(10)]
    same = Reconstruction([map_of(images, [0.1] * 10)])
    first = look.quality.look(same, records(images), images)
    monkeypatch.setattr(look.quality, "_cameras", None)  # would fail
    assert look.quality.look(same, records(images), images) == first
    assert look.quality.look(None, {}, ()) == first
