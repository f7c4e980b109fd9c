"""A finished COLMAP model in the place of a reconstruction: names, sizes, what is missing on either side."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from helpers_rigs import HEIGHT, STOPS, WIDTH, Drive

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.reconstruction.given_model import FRAME_KEPT, MODEL_IMAGES_ABSENT, GivenModel
from seg2d3d_ros.reconstruction.model_io import read_models
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

PICTURES = {size: encode_jpeg(np.full((size[1], size[0], 3), 90, np.uint8)) for size in ((640, 480), (1280, 960), (640, 400))}


def photograph(file_name, size=(WIDTH, HEIGHT), geo=None):
    name = file_name.replace("/", "_").rsplit(".", 1)[0]
    return Keyframe(name=name, encoded=PICTURES[size], file_name=file_name, camera_name="left", stamp_ns=0, geo=geo)


@pytest.fixture(scope="module")
def original():
    """Of eight images ``left/0001.jpg`` and on, with 500 points."""
    drive = Drive()
    (model,) = drive.models([("left",)])
    for k, image_id in enumerate(sorted(model.images)):
        model.image(image_id).name = f"left/{k:04d}.jpg"
    return model


@pytest.fixture(params=["binary", "text", "sparse/0"])
def folder(request, tmp_path, original):
    path = tmp_path / "model" / (request.param if "/" in request.param else "")
    path.mkdir(parents=True)
    (original.write_text if request.param == "text" else original.write_binary)(path)
    return tmp_path / "model"


@pytest.fixture
def given(tmp_path, original):
    """Makes a reconstructor of the model with these photographs in it."""
    path = tmp_path / "given"
    path.mkdir()
    original.write_binary(path)
    opened = []

    def make(*photographs):
        opened.append(GivenModel(tmp_path / "map", ReconstructionConfig(model=str(path))))
        for one in photographs:
            opened[-1].add(one)
        return opened[-1]

    (tmp_path / "map").mkdir()
    yield make
    for one in opened:
        one.close()


def everything(size=(WIDTH, HEIGHT)):
    return [photograph(f"left/{k:04d}.jpg", size) for k in range(STOPS)]


def test_it_is_taken_as_it_is_in_every_form(tmp_path, folder, original):
    root = tmp_path / "map"
    root.mkdir()
    reconstructor = open_reconstructor(root, ReconstructionConfig(model=str(folder)))
    for one in everything():
        assert reconstructor.add(one) == 0
    answer = reconstructor.solve()
    reconstructor.close()
    (model,) = answer.models
    assert (answer.unregistered, answer.findings, model.frame.kind) == ({}, [], "arbitrary")
    assert model.names == tuple(f"left_{k:04d}" for k in range(STOPS))
    poses = [original.image(i).cam_from_world().matrix() for i in sorted(original.images)]
    np.testing.assert_allclose(model.camera_from_world, poses, atol=1e-9)
    assert len(model.xyz) == original.num_points3D()
    (again,) = read_models(root)
    np.testing.assert_array_equal(again.obs_xy, model.obs_xy)


def test_photographs_of_another_size_are_the_models_scaled(given):
    small, large = given(*everything()).solve().models[0], given(*everything((1280, 960))).solve().models[0]
    np.testing.assert_allclose(large.obs_xy, 2 * small.obs_xy, rtol=1e-6)
    assert large.cameras[0].width == 1280
    np.testing.assert_allclose(large.cameras[0].params, 2 * np.array(small.cameras[0].params))


def test_photographs_of_another_shape_are_refused(given):
    with pytest.raises(DataError, match="640×400 pixels, in the given model 640×480"):
        given(photograph("left/0000.jpg", (640, 400)))


def test_the_end_of_a_name_suffices_where_it_is_the_only_one(given):
    answer = given(*(photograph(f"elsewhere/{k:04d}.jpg") for k in range(STOPS))).solve()
    assert answer.models[0].names[0] == "elsewhere_0000"
    with pytest.raises(DataError, match="one image for it and for elsewhere_0000"):
        given(photograph("elsewhere/0000.jpg"), photograph("other/0000.jpg"))


def test_what_is_missing_on_either_side_is_said(given):
    answer = given(*everything()[:5], photograph("left/9999.jpg")).solve()
    assert answer.unregistered == {"left_9999": "the given model has no image of this name"}
    (finding,) = answer.findings
    assert (finding.kind, finding.count, finding.of) == (MODEL_IMAGES_ABSENT, STOPS - 5, STOPS)
    (model,) = answer.models
    assert len(model.names) == 5
    assert np.bincount(model.obs_point, minlength=len(model.xyz)).min() >= 2, "points of the others alone are gone"


def test_positions_that_go_unused_are_said(given):
    place = GeoPosition(48.0, 2.0, 100.0)
    answer = given(*everything()[:4], *(photograph(f"left/{k:04d}.jpg", geo=place) for k in range(4, STOPS))).solve()
    (finding,) = answer.findings
    assert (finding.kind, finding.count) == (FRAME_KEPT, 4)


def test_folders_without_a_model_and_damaged_ones(tmp_path, original):
    with pytest.raises(UsageError, match="no COLMAP model there"):
        GivenModel(tmp_path, ReconstructionConfig(model=str(tmp_path)))
    original.write_text(tmp_path)
    (tmp_path / "images.txt").write_text("1 2 3\nhello\n")
    with pytest.raises(DataError, match="cannot read the model"):
        GivenModel(tmp_path, ReconstructionConfig(model=str(tmp_path)))
    original.write_binary(tmp_path)
    (tmp_path / "points3D.bin").write_bytes((tmp_path / "points3D.bin").read_bytes()[:-5])
    with pytest.raises(DataError, match=r"points3D\.bin"):
        GivenModel(tmp_path, ReconstructionConfig(model=str(tmp_path)))


def test_a_live_map_cannot_be_made_of_one(tmp_path):
    with pytest.raises(UsageError, match="for `seg2d3d run`"):
        open_reconstructor(tmp_path, ReconstructionConfig(model=str(tmp_path)), live=True)


def test_a_model_of_before_colmap_knew_rigs(given, tmp_path):
    for name in ("rigs.bin", "frames.bin"):
        (tmp_path / "given" / name).unlink()
    assert given(*everything()).solve().models[0].names[0] == "left_0000"


def test_an_image_that_two_models_have_is_in_the_larger_one(tmp_path, original):
    for number, left in ((0, 8), (1, 3)):
        model = copy.deepcopy(original)
        for image_id in sorted(model.reg_image_ids())[left:]:
            model.deregister_frame(model.image(image_id).frame_id)
        (tmp_path / "given" / str(number)).mkdir(parents=True)
        model.write_binary(tmp_path / "given" / str(number))
    reconstructor = GivenModel(tmp_path, ReconstructionConfig(model=str(tmp_path / "given")))
    for one in everything():
        reconstructor.add(one)
    answer = reconstructor.solve()
    reconstructor.close()
    assert ([len(model.names) for model in answer.models], answer.findings) == ([STOPS], [])


def test_models_of_different_databases_are_not_mixed_up(tmp_path, original):
    """Each has an image 1 of its own."""
    for number, folder in enumerate(("left", "right")):
        model = copy.deepcopy(original)
        for k, image_id in enumerate(sorted(model.images)):
            model.image(image_id).name = f"{folder}/{k:04d}.jpg"
        (tmp_path / "given" / str(number)).mkdir(parents=True)
        model.write_binary(tmp_path / "given" / str(number))
    reconstructor = GivenModel(tmp_path, ReconstructionConfig(model=str(tmp_path / "given")))
    for one in (*everything(), *(photograph(f"right/{k:04d}.jpg") for k in range(STOPS))):
        reconstructor.add(one)
    with pytest.raises(DataError, match="of different databases"):
        reconstructor.solve()
    reconstructor.close()
