"""Classes of fixed models: which one a prompt means, and which query owns a pixel."""

from __future__ import annotations

import numpy as np
import pytest

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.segmentation.models.panoptic import competition, matched

NAMES = {0: "wall", 1: "building, edifice", 2: "house", 3: "construction--structure--bridge", 4: "building-other-merged"}


def test_prompts_match_names_synonyms_and_last_parts():
    assert matched(["House", "BUILDING"], NAMES) == {2: 1, 1: 2, 4: 2}
    assert matched(["bridge"], NAMES) == {3: 1}
    assert matched(["edifice"], NAMES) == {1: 1}
    with pytest.raises(UsageError, match="did you mean 'house'"):
        matched(["houses"], NAMES)
    with pytest.raises(UsageError, match="its classes: building"):
        matched(["zebra"], NAMES)


def test_pixels_go_to_the_better_query_and_the_loser_of_most_of_its_mask_goes():
    masks = np.zeros((4, 4, 10))
    masks[0, :, :6] = 0.9
    masks[1, :, 5:9] = 0.8  # loses a quarter of its 16 pixels to query 0
    masks[2, :, :5] = 0.6  # loses all
    masks[3, :, 9] = 0.6
    masks[3, :2, 8:9] = 0.9  # wins one row of two beside its own column
    masks[0, :, 9] = 0.3  # below a half: not its own
    kept = dict(competition(np.array([0.9, 0.8, 0.5, 0.9]), masks))
    assert set(kept) == {0, 3}
    np.testing.assert_array_equal(kept[0], masks[0] >= 0.5)
    assert kept[3].sum() == 6
    alone = dict(competition(np.array([0.9]), masks[:1]))
    np.testing.assert_array_equal(alone[0], masks[0] >= 0.5)
    assert competition(np.zeros(0), np.zeros((0, 4, 10))) == []
