"""Masks become polygons that hold the centres of exactly their pixels, whatever their shape."""

import cv2
import numpy as np
import pytest
from helpers_polygons import pixels_in
from pycocotools import mask as coder

from seg2d3d_ros.export.annotations.outlines import outlines, ring_area, with_slits
from seg2d3d_ros.geometry.masks import region_of


def random_mask(seed: int) -> np.ndarray:
    """Noise, or blobs with holes in holes."""
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 32, 2)
    noise = rng.random((height, width)).astype(np.float32)
    mask = noise < rng.uniform(0.1, 0.9) if seed % 3 == 0 else cv2.GaussianBlur(noise, (0, 0), rng.uniform(0.5, 4)) > 0.5
    mask[0, 0] = True
    return np.asarray(mask)


@pytest.mark.parametrize("seed", range(40))
def test_polygons_hold_exactly_the_pixels(seed):
    mask = random_mask(seed)
    parts = outlines(region_of(mask))
    found = np.zeros_like(mask)
    for part in parts:
        found ^= pixels_in(part.polygon(), *mask.shape)
    np.testing.assert_array_equal(found, mask)
    whole = with_slits(parts[0].polygon(), [part.polygon() for part in parts[1:]])
    np.testing.assert_array_equal(pixels_in(whole, *mask.shape), mask)
    by_coco = coder.decode(coder.merge(coder.frPyObjects([part.polygon().ravel().tolist() for part in parts], *mask.shape)))
    np.testing.assert_array_equal(by_coco.astype(bool), mask)


def test_parts_come_by_size_and_holes_turn_the_other_way():
    mask = np.zeros((30, 40), bool)
    mask[2:28, 2:30], mask[8:20, 8:20], mask[12:15, 33:38] = True, False, True
    large, small = outlines(region_of(mask))
    assert len(large.holes) == 1
    assert not small.holes
    assert ring_area(large.outer) * ring_area(large.holes[0]) < 0
    assert abs(ring_area(large.outer)) == pytest.approx(26 * 28, abs=1)
    assert len(large.outer) <= 8, "straight sides need no corners between"


def test_a_single_pixel_is_a_polygon_around_its_centre():
    mask = np.zeros((3, 4), bool)
    mask[1, 2] = True
    (part,) = outlines(region_of(mask))
    np.testing.assert_allclose(part.outer.mean(axis=0), [2.5, 1.5])
    assert len(part.outer) == 4
