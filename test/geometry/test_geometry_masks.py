"""Masks divided into cells: how many, where their centres lie, and that none is smaller than a pixel."""

import numpy as np
import pytest

from seg2d3d_ros.geometry.masks import cell_grid


def test_a_large_box_is_divided_along_its_longer_side():
    (rows, columns), centers, side = cell_grid((10, 20, 210, 70), 50)
    assert (rows, columns) == (12, 50)
    assert side == pytest.approx(4.0)
    np.testing.assert_allclose(centers[0], [12.0, 20 + 25 / 12])
    np.testing.assert_allclose(centers[1] - centers[0], [4.0, 0.0])
    np.testing.assert_allclose(centers[columns] - centers[0], [0.0, 50 / 12])
    np.testing.assert_allclose(centers[-1], [208.0, 70 - 25 / 12])


def test_a_small_box_has_a_cell_for_each_pixel():
    cells, centers, side = cell_grid((3, 4, 5, 7), 50)
    assert (cells, side) == ((3, 2), 1.0)
    assert centers.tolist() == [[3.5, 4.5], [4.5, 4.5], [3.5, 5.5], [4.5, 5.5], [3.5, 6.5], [4.5, 6.5]]
