"""What is done alike with every array of a dataclass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from seg2d3d_ros.arrays import check_array, concatenated, places, take
from seg2d3d_ros.errors import UsageError


@dataclass(frozen=True)
class Rows:
    number: np.ndarray
    xy: np.ndarray


ROWS = Rows(np.arange(3), np.arange(6.0).reshape(3, 2))


def test_every_array_is_concatenated_and_taken_from():
    both = concatenated([ROWS, take(ROWS, np.array([2, 0]))])
    assert both.number.tolist() == [0, 1, 2, 2, 0]
    assert both.xy.tolist() == [[0, 1], [2, 3], [4, 5], [4, 5], [0, 1]]
    assert take(ROWS, ROWS.number > 0).number.tolist() == [1, 2]


def test_places_of_each_label():
    found = places(np.array([2, -1, 0, 2, 5, 0]), 4)
    assert [rows.tolist() for rows in found] == [[2, 5], [], [0, 3], []]
    assert [rows.tolist() for rows in places(np.empty(0, int), 2)] == [[], []]


def test_shapes_and_dtypes_are_named():
    check_array("xy", ROWS.xy, (None, 2), "f")
    with pytest.raises(UsageError, match=r"xy: expected shape N×3"):
        check_array("xy", ROWS.xy, (None, 3), "f")
    with pytest.raises(UsageError, match="int64"):
        check_array("number", ROWS.number, (3,), "f")
