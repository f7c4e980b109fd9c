"""Masks and keyframes that belong together: by camera and stamp, in any order, within a tolerance."""

from __future__ import annotations

import pytest

from seg2d3d_ros.keyframes.streams.mask_matching import KEPT, MaskMatching, Moment

MS = 1_000_000
FRAME = 100 * MS


def moment(n, off=0, camera="front"):
    return Moment(camera, n * FRAME + off * MS)


def matched(matching, keyframes, masks):
    """What goes together when keyframe n comes just before mask n."""
    pairs = {}
    for n, mask in enumerate(masks):
        if n in keyframes:
            assert matching.keyframe(keyframes[n]) is None
        pairs |= dict(matching.mask(mask, n))
    return pairs


def test_the_same_stamp_is_found_in_either_order():
    matching = MaskMatching(0.005)
    assert matching.mask(moment(1), "one") == []
    assert matching.keyframe(moment(1)) == "one"
    assert matching.keyframe(moment(2)) is None
    assert matching.mask(moment(2), "two") == [(moment(2), "two")]
    assert matching.keyframe(moment(2, camera="left")) is None, "another camera's"


@pytest.mark.parametrize("off", [3, -3])
def test_a_stamp_within_the_tolerance_counts_when_later_masks_have_come(off):
    keyframes = {1: moment(1), 3: moment(3)}
    pairs = matched(MaskMatching(0.005), keyframes, [moment(n, off) for n in range(6)])
    assert pairs == {moment(1): 1, moment(3): 3}


def test_the_same_stamp_goes_before_a_near_one():
    matching = MaskMatching(0.05)
    matching.keyframe(moment(1))
    assert matching.mask(moment(1, 20), "near") == []
    assert matching.mask(moment(1), "same") == [(moment(1), "same")]


def test_a_keyframe_whose_patience_is_over_takes_the_nearest():
    matching = MaskMatching(0.005)
    matching.keyframe(moment(1))
    matching.mask(moment(1, 4), "4")
    matching.mask(moment(1, 2), "2")
    assert matching.settle(moment(1)) == "2"
    assert matching.settle(moment(2)) is None


def test_masks_that_are_too_far_off_are_not_taken_and_the_distance_is_said():
    matching = MaskMatching(0.005)
    pairs = matched(matching, {1: moment(1)}, [moment(n, 10) for n in range(6)])
    assert pairs == {}
    assert matching.settle(moment(1)) is None
    assert matching.why_not(moment(1)) == "the nearest mask is 10 ms off, more than segmentation.stamp_tolerance (5 ms)"
    assert matching.why_not(Moment("front", 3_600_000 * MS)).startswith("the nearest mask is 3599 s off")


def test_masks_with_a_frame_of_their_own_go_by_their_stamps_where_only_one_camera_fits():
    matching = MaskMatching(0.005)
    matching.keyframe(moment(1))
    matching.mask(moment(1, camera="segmenter"), "one")
    assert matching.settle(moment(1)) == "one"
    matching.keyframe(moment(2))
    matching.keyframe(moment(2, camera="left"))
    matching.mask(moment(2, camera="segmenter"), "two")
    assert matching.settle(moment(2)) is None, "front or left?"
    assert matching.why_not(moment(2)) == "the masks have the frame_id segmenter, the image front"


def test_masks_of_images_that_never_become_keyframes_do_not_pile_up():
    matching = MaskMatching(0.005)
    for n in range(3 * KEPT):
        matching.mask(moment(n), n)
    assert matching.keyframe(moment(3 * KEPT - 1)) == 3 * KEPT - 1
    assert len(matching._masks) < KEPT + 1
    for n in range(3 * KEPT):
        matching.keyframe(moment(n, camera="left"))
    assert len(matching._keyframes) <= KEPT


def test_a_camera_whose_keyframes_have_yet_to_come_keeps_its_masks():
    """The first masks of a drive come before each camera has had a keyframe."""
    known = MaskMatching(0.005, cameras=("front", "left"))
    several = MaskMatching(0.005)
    for matching, others in ((known, ["left"]), (several, ["left", "right"])):
        assert matching.keyframe(moment(1)) is None
        given = [pair for n in (1, 2) for camera in others for pair in matching.mask(moment(n, camera=camera), camera)]
        assert [pair for pair in given if pair[0] == moment(1)] == []
        assert matching.keyframe(moment(1, camera="left")) == "left"
