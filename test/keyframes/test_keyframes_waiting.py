"""Keyframes that wait for what belongs to them, and how it is brought together."""

from __future__ import annotations

import time
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seg2d3d_ros.keyframes.waiting import Companion, Synchronizer, WaitingKeyframes


class Bundles:
    """A synchronizer at times that the test says; what it delivers comes back from the call."""

    def __init__(self, main, others, **options):
        self._out = []
        self.inner = Synchronizer(main, others, self._out.append, **options)

    def add(self, part, key, value, now):
        return self._at(now, lambda: self.inner.add(part, key, value))

    def release(self, now):
        return self._at(now, self.inner.release)

    def _at(self, now, call):
        self._out.clear()
        with patch.object(time, "monotonic", lambda: now):
            call()
        return list(self._out)

    late = property(lambda self: self.inner.late)
    pending = property(lambda self: self.inner.pending)


@given(st.permutations([(part, key) for part in ("image", "info", "fix") for key in range(4)]))
def test_parts_are_brought_together_in_whatever_order_they_come(arrivals):
    synchronizer = Bundles("image", ("info", "fix"), timeout=1.0)
    given_out = [bundle for part, key in arrivals for bundle in synchronizer.add(part, key, (part, key), 0.0)]
    assert sorted(bundle["image"][1] for bundle in given_out) == [0, 1, 2, 3]
    assert all(bundle == {part: (part, bundle["image"][1]) for part in ("image", "info", "fix")} for bundle in given_out)
    assert synchronizer.pending == 0


def test_an_image_waits_from_its_own_arrival_and_then_goes_alone():
    synchronizer = Bundles("image", ("segments",), timeout=1.0)
    assert synchronizer.add("image", "a", 1, now=5.0) == []
    assert synchronizer.release(5.9) == []
    assert synchronizer.release(6.0) == [{"image": 1}]
    assert synchronizer.add("segments", "a", 2, now=6.1) == []
    assert (synchronizer.late, synchronizer.pending) == (1, 0)
    assert synchronizer.release(100.0) == []


def test_an_early_part_does_not_shorten_the_wait_for_the_others():
    synchronizer = Bundles("image", ("info", "fix"), timeout=1.0)
    synchronizer.add("info", "a", 2, now=0.0)
    synchronizer.add("image", "a", 1, now=5.0)
    assert synchronizer.release(5.5) == []
    assert synchronizer.release(6.0) == [{"info": 2, "image": 1}]


def test_segments_without_image_never_expire_and_make_room_first():
    synchronizer = Bundles("image", ("segments",), timeout=1.0, capacity=3)
    synchronizer.add("image", 0, "i", 0.0)
    for key in (1, 2, 3, 4):
        synchronizer.add("segments", key, "s", 0.0)
    assert synchronizer.add("image", 1, "i", 0.0) == [], "its segments had to go"
    assert synchronizer.add("image", 4, "i", 0.0) == [{"segments": "s", "image": "i"}]
    assert len(synchronizer.release(10.0)) == 2


def test_images_beyond_the_capacity_go_on_alone_the_oldest_first():
    synchronizer = Bundles("image", ("segments",), timeout=1.0, capacity=2)
    gone = [bundle for key in range(5) for bundle in synchronizer.add("image", key, key, 0.0)]
    assert gone == [{"image": 0}, {"image": 1}, {"image": 2}]
    assert synchronizer.add("segments", 1, "s", 0.0) == []
    assert (synchronizer.late, synchronizer.pending) == (1, 2)
    assert synchronizer.release(9.0) == [{"image": 3}, {"image": 4}]


def test_only_the_last_that_went_on_are_remembered():
    synchronizer = Bundles("image", ("segments",), timeout=1.0, capacity=1)
    for key in range(13):
        synchronizer.add("image", key, key, 0.0)
    for key, late in ((11, 1), (2, 2), (0, 2)):
        assert synchronizer.add("segments", key, "s", 0.0) == []
        assert synchronizer.late == late


def test_a_keyframe_that_comes_twice_goes_on_once():
    synchronizer = Bundles("image", ("segments",), timeout=1.0)
    synchronizer.add("image", 0, "first", 0.0)
    synchronizer.add("image", 0, "second", 0.5)
    assert synchronizer.release(2.0) == [{"image": "second"}]


def waiting(there, **options):
    """Keyframes that wait 2 for a companion of name a and 5 for one of name b; ``there`` says which have come."""
    companions = [Companion(lambda item: item in there["a"], 2.0), Companion(lambda item: item in there["b"], 5.0)]
    return WaitingKeyframes(companions, **options)


def test_each_companion_has_a_patience_of_its_own():
    there = {"a": {1}, "b": {2}}
    queue = waiting(there)
    for item in (1, 2, 3):
        queue.add(item, since=0.0)
    assert queue.release(1.9) == []
    assert queue.release(2.0) == [2], "the one that misses only what it waits 2 for"
    there["b"].add(3)
    assert queue.release(2.0) == [3]
    assert queue.release(4.9) == []
    assert queue.release(5.0) == [1]
    assert len(queue) == 0


@pytest.mark.parametrize("in_order", [True, False])
def test_none_overtakes_where_the_order_is_kept(in_order):
    there = {"a": {2}, "b": {2}}
    queue = waiting(there, in_order=in_order)
    for item in (1, 2, 3):
        queue.add(item, since=float(item))
    assert queue.release(3.0) == ([] if in_order else [2])
    assert queue.release(6.0) == ([1, 2] if in_order else [1])
    assert queue.release(6.0, everything=True) == [3]


@pytest.mark.parametrize("in_order", [True, False])
def test_beyond_the_capacity_the_oldest_go_on(in_order):
    queue = waiting({"a": (), "b": ()}, capacity=2, in_order=in_order)
    for item in range(5):
        queue.add(item, since=0.0)
    assert queue.release(0.0) == [0, 1, 2]
    assert queue.release(0.0) == []
    assert len(queue) == 2


def test_a_bundle_counts_as_pending_until_it_was_delivered():
    """A flush in another thread looks whether anything waits, then whether anything is in the queue that bundles go to."""
    seen = []
    synchronizer = Synchronizer("image", (), lambda _: seen.append(synchronizer.pending), timeout=1.0)
    synchronizer.add("image", 1, "x")
    assert (seen, synchronizer.pending) == ([1], 0)
