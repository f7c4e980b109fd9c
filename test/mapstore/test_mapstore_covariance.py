"""covariance.npz: written and read back, of another revision, damaged; and what a session makes of each."""

import numpy as np
import pytest

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.mapstore.directory.inventory import take_inventory
from seg2d3d_ros.mapstore.files.covariance_file import FILE, read_covariance, write_covariance
from seg2d3d_ros.mapstore.pose_covariance import PoseCovariance, PoseWindow


@pytest.fixture
def covariance():
    rng = np.random.default_rng(0)
    windows = []
    for rows in ([0, 1, 2], [1, 2, 3]):
        root = rng.normal(size=(6 * len(rows), 6 * len(rows))).astype(np.float32)
        windows.append(PoseWindow(np.array(rows, np.int32), root @ root.T))
    return PoseCovariance(("a", "b", "ä/c", "d"), tuple(windows), 0.4, absolute=True)


def test_it_comes_back_as_it_was(tmp_path, covariance):
    write_covariance(tmp_path, covariance, 7)
    found = read_covariance(tmp_path, 7)
    assert (found.names, found.pixel_sigma, found.absolute) == (covariance.names, 0.4, True)
    for before, after in zip(covariance.windows, found.windows, strict=True):
        np.testing.assert_array_equal(before.rows, after.rows)
        np.testing.assert_array_equal(np.tril(before.matrix), np.tril(after.matrix))
        np.testing.assert_array_equal(after.matrix, after.matrix.T)


def test_there_is_none_for_another_revision_or_without_a_file(tmp_path, covariance):
    assert read_covariance(tmp_path, 7) is None
    write_covariance(tmp_path, covariance, 7)
    assert read_covariance(tmp_path, 8) is None


@pytest.mark.parametrize("cut", [0, 10, 400, -1])
def test_a_file_that_is_cut_off_is_damaged(tmp_path, covariance, cut):
    write_covariance(tmp_path, covariance, 7)
    path = tmp_path / FILE
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError, match="damaged"):
        read_covariance(tmp_path, 7)


@pytest.mark.parametrize(
    "changed",
    [
        {"rows_0": np.array([0, 1, 9], np.int32)},
        {"rows_0": np.array([1, 0, 2], np.int32)},
        {"lower_0": np.zeros(5, np.float32)},
        {"lower_0": np.full(171, np.nan, np.float32)},
        {"windows": np.int64(3)},
        {"names": np.array([object()])},
    ],
)
def test_arrays_that_do_not_fit_together_are_damaged(tmp_path, covariance, changed):
    write_covariance(tmp_path, covariance, 7)
    with np.load(tmp_path / FILE) as file:
        arrays = {name: file[name] for name in file.files}
    np.savez(tmp_path / FILE, **{**arrays, **changed})
    with pytest.raises(DataError, match="damaged"):
        read_covariance(tmp_path, 7)


def test_it_is_a_file_of_the_map(tmp_path, covariance):
    folder = tmp_path / "sparse" / "0"
    folder.mkdir(parents=True)
    write_covariance(folder, covariance, 1)
    assert f"sparse/0/{FILE}" in take_inventory(tmp_path).files
