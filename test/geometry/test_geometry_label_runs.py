"""Label images as runs: the image comes back, and what is asked of the runs is what the image says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.label_runs import LabelRuns


def blocks(seed: int, shape=(40, 61)) -> np.ndarray:
    """Rectangles over each other; some are as wide as the image, so that runs go on in the next row."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.uint16)
    for label in rng.permutation(np.arange(1, 9) * 700):
        y0, y1 = np.sort(rng.integers(0, shape[0] + 1, 2))
        x0, x1 = np.sort(rng.integers(0, shape[1] + 1, 2)) if label % 3 else (0, shape[1])
        labels[y0:y1, x0:x1] = label
    return labels


@pytest.mark.parametrize("seed", range(8))
def test_what_the_runs_say_is_what_the_image_says(seed):
    labels = blocks(seed)
    runs = LabelRuns.of(labels)
    ids = np.unique(labels[labels > 0])
    np.testing.assert_array_equal(runs.image(), labels)
    assert runs.image().dtype == np.uint16
    v, u = np.indices(labels.shape)
    np.testing.assert_array_equal(runs.at(np.stack([u.ravel(), v.ravel()], axis=1)), labels.ravel())
    asked = np.append(ids, 60000).astype(np.uint16)
    np.testing.assert_array_equal(runs.areas(asked), [(labels == i).sum() for i in asked])
    places = ndimage.find_objects(labels.astype(np.int32))
    expected = [(p[1].start, p[0].start, p[1].stop, p[0].stop) for p in (places[i - 1] for i in ids.tolist())]
    np.testing.assert_array_equal(runs.boxes(asked), [*expected, (0, 0, 0, 0)])


def test_labels_are_replaced_and_dropped():
    labels = blocks(3)
    ids = np.unique(labels[labels > 0]).tolist()
    table = {ids[0]: 65535, ids[1]: ids[0]}
    expected = np.zeros_like(labels)
    for old, new in table.items():
        expected[labels == old] = new
    np.testing.assert_array_equal(LabelRuns.of(labels).mapped(table).image(), expected)
    np.testing.assert_array_equal(LabelRuns.of(labels).mapped({}).image(), 0)
    np.testing.assert_array_equal(LabelRuns.of(labels).only(ids[1:3]).image(), np.where(np.isin(labels, ids[1:3]), labels, 0))


def test_ids_beyond_16_bits_are_refused():
    with pytest.raises(DataError, match="65536"):
        LabelRuns.of(np.ones((2, 2), np.uint16)).mapped({1: 65536})


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (3, 1), (1, 5)])
def test_small_images(shape):
    for labels in (np.zeros(shape, np.uint16), np.full(shape, 65535, np.uint16)):
        runs = LabelRuns.of(labels)
        np.testing.assert_array_equal(runs.image(), labels)
        assert len(runs.starts) == min(1, labels.size)


def test_masks_of_houses_take_little():
    labels = np.zeros((768, 1024), np.uint16)
    for k in range(6):
        labels[100:600, 20 + 160 * k : 170 + 160 * k] = k + 1
    runs = LabelRuns.of(labels)
    assert runs.starts.nbytes + runs.values.nbytes < labels.nbytes / 25
