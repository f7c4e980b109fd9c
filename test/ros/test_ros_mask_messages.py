"""Overlapping masks as a message: everything comes back, and what is damaged is refused before it is decoded."""

import json

import numpy as np
import pytest

pytest.importorskip("rclpy")

from helpers_levels import NAMES, cut_at_random
from helpers_map_nodes import header_of

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.ros.messages.mask_messages import FORMAT, masks_to_message, message_to_masks

pytestmark = pytest.mark.ros
MASKS = cut_at_random(1)[0][NAMES[4]]
HEADER = header_of("front_7")


def test_masks_come_back_as_they_were():
    message = masks_to_message(MASKS, ("object", "other"), HEADER)
    assert (message.format, message.header) == (FORMAT, HEADER)
    again, names = message_to_masks(message)
    assert names == ("object", "other")
    assert again.name == "front_7"
    assert again.counts == MASKS.counts
    for field in ("boxes", "classes"):
        np.testing.assert_array_equal(getattr(again, field), getattr(MASKS, field))
    np.testing.assert_allclose(again.scores, MASKS.scores, atol=1e-4)


@pytest.mark.parametrize(
    "damage",
    [
        lambda d: d["images"][0].update(height=10**6),
        lambda d: d["images"][0].update(width="wide"),
        lambda d: d.update(categories=[]),
        lambda d: d["annotations"][0]["segmentation"].update(counts="zzzz"),
        lambda d: d.update(annotations=7),
    ],
)
def test_damaged_messages_are_refused(damage):
    message = masks_to_message(MASKS, ("object",), HEADER)
    document = json.loads(bytes(message.data))
    damage(document)
    message.data = json.dumps(document).encode()
    with pytest.raises(DataError, match="keyframes/masks"):
        message_to_masks(message)


def test_another_format_and_no_json_are_refused():
    message = masks_to_message(MASKS, ("object",), HEADER)
    message.data = b"{"
    with pytest.raises(DataError, match="JSON"):
        message_to_masks(message)
    message.format = "jpeg"
    with pytest.raises(DataError, match="coco_rle"):
        message_to_masks(message)
