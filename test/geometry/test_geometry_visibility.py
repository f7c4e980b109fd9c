"""Sparse points hide what lies behind most of them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree

from seg2d3d_ros.geometry.visibility import OCCLUSION, occluded

XY = np.array([[0.0, 0.0], [1, 0], [0, 1], [1, 1], [30, 30]])
NEAR, FAR = 10.0, 10.0 * OCCLUSION


def hidden(depths: list[float], blocking: list[bool], depth: float, **options) -> bool:
    """Of a place between the first four points."""
    (answer,) = occluded(
        np.array([[0.4, 0.4]]), np.array([depth]), cKDTree(XY), np.array(depths), np.array(blocking), **options
    )
    return bool(answer)


@pytest.mark.parametrize(
    ("depths", "blocking", "depth", "expected"),
    [
        ([NEAR] * 4, [True] * 4, FAR + 0.1, True),
        ([NEAR] * 4, [True] * 4, FAR - 0.1, False),  # on the same surface
        ([NEAR] * 3 + [99], [True] * 4, FAR + 0.1, True),
        ([NEAR] * 2 + [99] * 2, [True] * 4, FAR + 0.1, False),  # half are not most
        ([NEAR] * 4, [True, True, False, False], FAR + 0.1, False),  # of the object itself
    ],
)
def test_most_of_the_neighbours_decide(depths, blocking, depth, expected):
    assert hidden([*depths, NEAR], [*blocking, True], depth, neighbours=4) == expected


def test_neighbours_count_within_the_radius_only():
    depths, blocking = [NEAR, 99, 99, 99, NEAR], [True] * 5
    assert not hidden(depths, blocking, 20.0, neighbours=4)
    assert hidden(depths, blocking, 20.0, neighbours=4, radius=0.6), "only the nearest point"
    assert not hidden(depths, blocking, 20.0, neighbours=4, radius=0.1), "no point"
    assert not hidden(depths, blocking, 20.0, neighbours=99), "all points, if there are fewer"


def test_a_point_does_not_count_for_itself():
    depth, blocking = np.array([20.0, NEAR, 20.0, NEAR, NEAR]), np.array([False, True, True, True, True])
    options = {"neighbours": 3}
    first = np.array([0])
    assert not occluded(XY[first], depth[first], cKDTree(XY), depth, blocking, **options)[0], "one of three"
    assert not occluded(XY[first], depth[first], cKDTree(XY), depth, blocking, **options, itself=first)[0], "one of two"
    depth[2] = NEAR
    assert occluded(XY[first], depth[first], cKDTree(XY), depth, blocking, **options, itself=first)[0]
