"""Halves of keyframes, whose other half came while a node was not there."""

from __future__ import annotations

from seg2d3d_ros.pipeline.live.completeness import MAP_WITHOUT_MASKS, MASKS_WITHOUT_KEYFRAME, incomplete


def test_keyframes_without_masks_and_masks_without_keyframes_are_counted_with_their_names():
    in_map = ["a", "b", "c"]
    found = incomplete(in_map, answered={"a", "x"}, new={"a", "x"}, received={"a", "b", "c", "d"})
    without, lost = found
    assert (without.kind, without.count, without.of, without.examples) == (MAP_WITHOUT_MASKS, 2, 3, ("b", "c"))
    assert (lost.kind, lost.count, lost.of, lost.examples) == (MASKS_WITHOUT_KEYFRAME, 1, 2, ("x",))
    assert "2 of 3 (b, c)" in without.text
    assert "respawn:=true" in lost.text


def test_what_is_whole_is_no_finding():
    assert [f.count for f in incomplete(["a"], {"a"}, {"a"}, {"a"})] == [0, 0]


def test_without_the_record_of_keyframes_nothing_is_said_of_them():
    """The reconstruction may run on another machine."""
    assert [f.count for f in incomplete(["a"], {"a", "b"}, {"b"}, set())] == [0, 0]
