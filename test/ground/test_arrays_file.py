"""Files of arrays: whatever is wrong with them is one exception with a reason."""

import io
import zipfile

import numpy as np
import pytest

from seg2d3d_ros.disk.arrays_file import read_arrays


@pytest.fixture
def content():
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.arange(500.0), b=np.array("word"))
    return stream.getvalue()


def with_member(name, data, form=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", form) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def test_what_was_written_is_read(content, tmp_path):
    (tmp_path / "x.npz").write_bytes(content)
    found = read_arrays(tmp_path / "x.npz")
    np.testing.assert_array_equal(found["a"], np.arange(500.0))
    assert str(found["b"]) == "word"
    with pytest.raises(FileNotFoundError):
        read_arrays(tmp_path / "y.npz")


def test_damage_is_a_value_error_with_a_reason(content, tmp_path):
    spoilt = bytearray(content)
    spoilt[60:90] = b"\xff" * 30  # inside the compressed data: zlib's own error
    pickled = io.BytesIO()
    np.save(pickled, np.array([{}], object), allow_pickle=True)
    for wrong in (
        b"",
        b"no archive",
        content[:-40],
        bytes(spoilt),
        with_member("a.npy", b"\x93NUMPY\x01\x00v\x00{'descr': '<f8', 'fortran_order': False, 'shape': ((((" + b" " * 70),
        with_member("a.npy", pickled.getvalue()),
        with_member("a.txt", b"words"),
    ):
        (tmp_path / "x.npz").write_bytes(wrong)
        with pytest.raises(ValueError, match=r"\w") as told:
            read_arrays(tmp_path / "x.npz")
        assert "\n" not in str(told.value)


def test_more_than_the_limit_is_not_unpacked(tmp_path):
    bomb = with_member("a.npy", bytes(1 << 20), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 5000
    (tmp_path / "x.npz").write_bytes(bomb)
    with pytest.raises(ValueError, match="unpacked larger than 0 MB"):
        read_arrays(tmp_path / "x.npz", limit=1 << 19)
