"""Keyframes that a node keeps on disk for a second time."""

from __future__ import annotations

import resource
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy")
pytestmark = pytest.mark.ros

from seg2d3d_ros.errors import DataError  # noqa: E402
from seg2d3d_ros.findings import Findings  # noqa: E402
from seg2d3d_ros.ros.exchange.kept_keyframes import NOT_KEPT, KeptKeyframes  # noqa: E402
from seg2d3d_ros.ros.messages.conversion import make_header  # noqa: E402
from seg2d3d_ros.types import Keyframe  # noqa: E402

LABELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def filled(most, count):
    kept = KeptKeyframes(most, Findings())
    for k in range(count):
        kept.add(Keyframe(f"front_{k}", "front", k, f"picture {k}".encode()), make_header(k, "front"))
        kept.write_labels(f"front_{k}", LABELS + k)
    return kept


def test_the_newest_are_kept_with_picture_and_masks_and_nothing_else_lies_around():
    kept = filled(3, 5)
    assert [(k.name, k.encoded, h.stamp.nanosec) for k, h in kept.pictures()] == [
        (f"front_{k}", f"picture {k}".encode(), k) for k in (2, 3, 4)
    ]
    assert kept.get("front_1") is None
    keyframe, _ = kept.get("front_4")
    assert keyframe.encoded == b""
    np.testing.assert_array_equal(kept.read_labels(keyframe), LABELS + 4)
    folder = Path(keyframe.source).parent
    assert len(list(folder.iterdir())) == 6
    kept.close()
    assert not folder.exists()
    assert kept.get("front_4") is None
    assert list(kept.pictures()) == []


def test_one_that_goes_meanwhile_is_left_out():
    kept = filled(3, 3)
    pictures = kept.pictures()
    assert next(pictures)[0].name == "front_0"
    kept.add(Keyframe("front_3", "front", 3, b"new"), make_header(3, "front"))
    kept.add(Keyframe("front_4", "front", 4, b"new"), make_header(4, "front"))
    assert [k.name for k, _ in pictures] == ["front_2"]


def test_without_masks_and_without_room():
    kept = KeptKeyframes(1, Findings())
    kept.add(Keyframe("a", "front", 1, b"x"), make_header(1, "front"))
    with pytest.raises(DataError):
        kept.read_labels(kept.get("a")[0])
    none = filled(0, 2)
    assert none.get("front_1") is None


def test_a_full_disk_costs_the_second_time_and_not_the_first():
    """No exception reaches the node, which segments the keyframe all the same; what cannot be done later is told."""
    findings = Findings()
    kept = KeptKeyframes(3, findings)
    for k in range(2):
        kept.add(Keyframe(f"front_{k}", "front", k, b"x" * 100), make_header(k, "front"))
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50, former[1]))
    try:
        kept.add(Keyframe("front_2", "front", 2, b"x" * 100), make_header(2, "front"))
        kept.write_labels("front_1", np.random.default_rng(0).integers(0, 9, (40, 40)).astype(np.uint16))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)
    assert [k.name for k, _ in kept.pictures()] == ["front_0"]
    (told,) = findings.list()
    assert (told.kind, told.count) == (NOT_KEPT, 2)
    assert "File too large" in told.text
    folder = Path(kept.get("front_0")[0].source).parent
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
