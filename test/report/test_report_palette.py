import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.palette import UNLABELLED, hex_color, instance_colors


def _hue(rgb):
    import cv2

    return cv2.cvtColor(rgb[None], cv2.COLOR_RGB2HSV_FULL)[0, :, 0].astype(float) * 360 / 256


@given(st.lists(st.integers(0, 2**31 - 1), max_size=40))
def test_a_colour_depends_on_the_id_alone(ids):
    together = instance_colors(ids)
    assert together.shape == (len(ids), 3)
    assert together.dtype == np.uint8
    for row, instance_id in zip(together, ids, strict=True):
        assert np.array_equal(row, instance_colors([instance_id])[0])


def test_no_instance_is_grey_and_instances_are_not():
    assert tuple(instance_colors([0])[0]) == UNLABELLED
    spread = np.ptp(instance_colors(np.arange(1, 300)).astype(int), axis=1)
    assert spread.min() > 60


def test_neighbouring_ids_lie_far_apart_in_hue():
    hue = _hue(instance_colors(np.arange(1, 301)))
    step = np.abs(np.diff(hue))
    assert np.minimum(step, 360 - step).min() > 60


def test_the_first_forty_colours_are_pairwise_distinct():
    colors = instance_colors(np.arange(1, 41)).astype(float)
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=2)
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 20


def test_hex_names_the_same_colour():
    red, green, blue = instance_colors([7])[0]
    assert hex_color(7) == f"#{red:02x}{green:02x}{blue:02x}"
