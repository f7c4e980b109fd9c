"""Masks that a recording has of its own."""

import numpy as np

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.keyframes.streams.bag_pass import BagItem
from seg2d3d_ros.segmentation.files.bag_segments import NOT_RECORDED, RecordedSegments
from seg2d3d_ros.types import Keyframe


def test_keyframes_without_recorded_masks_are_counted_and_named():
    encoded, labels = encode_png(np.zeros((6, 8, 3), np.uint8)), np.full((6, 8), 1001, np.uint16)
    frames = [Keyframe(name, "cam", 0, encoded) for name in ("first", "second")]
    found = Findings()
    recorded = RecordedSegments([BagItem(frames[0], labels), BagItem(frames[1], None)], 1, 0.0, found)
    first, second = (recorded.segment(keyframe) for keyframe in recorded.keyframes())
    assert first.ids.tolist() == [1001]
    assert second is None  # nobody looked: not the same as nothing there
    ((kind, examples),) = [(finding.kind, finding.examples) for finding in found.list()]
    assert (kind, examples) == (NOT_RECORDED, ("second",))
