"""A damaged COLMAP model is refused with its file's name, before COLMAP reads it."""

import random
import shutil
import struct

import numpy as np
import pycolmap
import pytest

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.reconstruction.model_check import check_model
from seg2d3d_ros.reconstruction.model_io import read_models, write_frame
from seg2d3d_ros.reconstruction.model_writer import ModelWriter
from seg2d3d_ros.reconstruction.opening import open_reconstructor
from seg2d3d_ros.types import WorldFrame

FILES = ("cameras.bin", "rigs.bin", "frames.bin", "images.bin", "points3D.bin")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A map folder with one small model: two rigs, one of them with two cameras."""
    root = tmp_path_factory.mktemp("map")
    options = pycolmap.SyntheticDatasetOptions()
    options.num_rigs, options.num_cameras_per_rig, options.num_frames_per_rig, options.num_points3D = 2, 2, 3, 40
    model = pycolmap.synthesize_dataset(options)
    folder = root / "sparse/0"
    folder.mkdir(parents=True)
    model.write_binary(folder)
    write_frame(folder, WorldFrame("metric"), 3, {})
    return root


@pytest.fixture
def root(whole, tmp_path):
    """A copy of it, to be damaged."""
    shutil.copytree(whole, tmp_path / "map")
    return tmp_path / "map"


def damage(root, name, change):
    """Change a file's bytes: ``change`` gets a bytearray and may give another."""
    path = root / "sparse/0" / name
    data = bytearray(path.read_bytes())
    path.write_bytes(bytes(change(data) or data))


def put(offset, form, *values):
    """Overwrite values at an offset."""
    return lambda data: struct.pack_into(f"<{form}", data, offset, *values)


def test_a_whole_model_is_read(whole):
    (model,) = read_models(whole)
    assert len(model.names) == 12
    assert len(model.point_ids) == 40
    assert model.frame.kind == "metric"


@pytest.mark.parametrize("name", FILES)
def test_an_absent_file_is_named(root, name):
    (root / "sparse/0" / name).unlink()
    with pytest.raises(DataError, match=rf"sparse/0: the COLMAP model lacks {name}; .*--resume"):
        read_models(root)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.clear() or b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        put(0, "Q", 2**63),
        put(0, "Q", 2**40),
        put(0, "Q", 0),
    ],
)
def test_a_count_or_length_that_is_wrong_is_refused(root, name, change):
    damage(root, name, change)
    with pytest.raises(DataError, match=rf"{name}: the COLMAP model is damaged: .*; take .*--resume"):
        read_models(root)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("cameras.bin", put(12, "i", 99), "unknown model 99"),
        ("cameras.bin", put(16, "Q", 0), "no possible size"),
        ("cameras.bin", put(32, "d", np.nan), "no possible size or parameters"),
        ("rigs.bin", put(20, "I", 77), "none of the cameras"),
        ("rigs.bin", put(16, "i", 1), "none of the cameras"),
        ("frames.bin", put(12, "I", 77), "rig 77"),
        ("frames.bin", put(16, "4d", 0, 0, 0, 0), "no rotation"),
        ("frames.bin", put(48, "d", np.inf), "no rotation and translation"),
        ("images.bin", put(68, "I", 77), "camera 77"),
        ("images.bin", put(44, "d", 5e5), "another pose"),
        ("images.bin", lambda data: data.replace(b"\0", b"\1")[8:], "frames.bin or cameras.bin|cut off|no end|no rotation"),
        ("points3D.bin", put(16, "d", np.nan), "no place"),
        ("points3D.bin", put(16, "d", 1e300), "no place"),
        ("points3D.bin", put(8, "Q", 2**60), "contradict"),
        ("points3D.bin", put(51, "Q", 2**61), "cut off"),
        ("points3D.bin", put(59, "I", 999), "contradict"),
        ("points3D.bin", put(63, "I", 2**31), "contradict"),
    ],
)
def test_files_that_contradict_each_other_or_hold_no_numbers_are_refused(root, name, change, words):
    damage(root, name, change)
    with pytest.raises(DataError, match=rf"{name}: the COLMAP model is damaged: .*({words})"):
        read_models(root)


def test_whatever_is_damaged_the_model_is_refused_or_read(whole, tmp_path):
    """Bits, bytes and lengths at random places; nothing but ``DataError`` comes out."""
    rng = random.Random(4)
    refused = taken = 0
    for k in range(150):
        root = tmp_path / str(k)
        shutil.copytree(whole, root)
        name = rng.choice((*FILES, "frame.json"))

        def change(data: bytearray) -> bytes | None:
            at = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                data[at : at + 8] = rng.choice([b"\xff" * 8, b"\0" * 8, b"\xff" * 7 + b"\x7f"])
            elif kind == 2:
                del data[at : at + rng.randrange(1, 30)]
            else:
                return bytes(data[:at])
            return None

        damage(root, name, change)
        try:
            read_models(root)
        except DataError as error:
            refused += "sparse/0" in str(error) and "\n" not in str(error)
        else:
            taken += 1
        shutil.rmtree(root)
    assert refused + taken == 150
    assert refused > 75


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"kind": "flat"}', '{"kind": "enu", "datum": [1], "revision": 1, "keyframes": {}}', "[" * 9999]
)
def test_a_damaged_frame_file_is_named(root, text):
    (root / "sparse/0/frame.json").write_text(text)
    with pytest.raises(DataError, match=r"frame\.json: .*--resume"):
        read_models(root)


def test_a_live_map_does_not_start_on_a_damaged_model(root):
    """The worker sends this text on, instead of reading for ever."""
    damage(root, "frames.bin", put(0, "Q", 2**62))
    with pytest.raises(DataError, match=r"frames\.bin"):
        open_reconstructor(root, Config().reconstruction, live=True)


def test_a_model_that_was_not_written_whole_is_no_revision(whole, tmp_path, monkeypatch):
    """COLMAP does not notice a full disk; the former revision stays."""
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    database = FeatureDatabase(tmp_path / "database.db")
    (tmp_path / "sparse/0/mark").write_text("former")
    model = pycolmap.Reconstruction(whole / "sparse/0")
    write = pycolmap.Reconstruction.write_binary

    def cut_off(self, folder):
        write(self, folder)
        path = folder / "points3D.bin"
        path.write_bytes(path.read_bytes()[:-100])

    monkeypatch.setattr(pycolmap.Reconstruction, "write_binary", cut_off)
    rows = [
        type("Row", (), {"image_id": i, "file_name": model.image(i).name, "name": model.image(i).name}) for i in model.images
    ]
    with pytest.raises(DataError, match=r"points3D\.bin: .*free space"):
        ModelWriter(tmp_path, database).write([model], [WorldFrame()], rows)
    database.close()
    assert (tmp_path / "sparse/0/mark").read_text() == "former"


def test_a_check_costs_no_memory_of_its_own_making(root):
    """A count of terabytes is refused without asking for them."""
    for name in FILES:
        damage(root, name, put(0, "Q", 2**50))
        with pytest.raises(DataError):
            check_model(root / "sparse/0")
