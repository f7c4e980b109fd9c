"""Selection of keyframes from synthetic camera motion with known displacements."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.keyframes.motion import MotionView, motion, sharpness
from seg2d3d_ros.keyframes.selection import ImageSelector, small_gray
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig
from seg2d3d_ros.types import Keyframe

WIDTH, HEIGHT = 320, 240
SECOND = 1_000_000_000
MIN_MOTION = 0.02


def scene(seed=0, width=4 * WIDTH):
    """A wide wall with detail at several scales."""
    rng = np.random.default_rng(seed)
    wall = np.zeros((HEIGHT + 40, width), np.float32)
    for cell in (4, 12, 40):
        noise = rng.random((wall.shape[0] // cell + 1, width // cell + 1)).astype(np.float32)
        wall += cv2.resize(noise, (width, wall.shape[0]), interpolation=cv2.INTER_CUBIC) * 80
    return np.clip(wall, 0, 255).astype(np.uint8)


WALL = scene()


def view(x, blur=0, wall=WALL):
    """The picture at ``x`` (pixels, subpixel)."""
    shift = np.array([[1, 0, -x], [0, 1, -10]], np.float32)
    gray = cv2.warpAffine(wall, shift, (WIDTH, HEIGHT))
    return cv2.blur(gray, (blur, blur)) if blur else gray


def frame(x, seconds, blur=0, camera="front", gray=None):
    gray = view(x, blur) if gray is None else gray
    stamp = round(seconds * SECOND)
    return Keyframe(f"{camera}_{stamp}", camera, stamp, encode_jpeg(np.repeat(gray[:, :, None], 3, 2), 95))


def stamps(keyframes):
    return [k.stamp_ns / SECOND for k in keyframes]


def offer(selector, keyframe):
    return selector.offer(keyframe.camera_name, keyframe.stamp_ns, lambda: small_gray(keyframe), keyframe)


def select(frames, **config):
    selector = ImageSelector(KeyframeConfig(min_motion=MIN_MOTION, **config))
    kept = [chosen for one in frames for chosen in offer(selector, one)] + selector.flush()
    counts = selector.counts
    assert counts.seen == len(frames)
    assert counts.kept == len(kept)
    assert counts.seen == counts.kept + counts.redundant + counts.undecodable + counts.repeated + counts.late
    return kept, counts


@settings(max_examples=25, deadline=None)
@given(st.floats(0.0, 60.0), st.sampled_from([0.3, 0.6, 1.0]), st.integers(-20, 40))
def test_measured_motion_is_the_true_one(pixels, gain, offset):
    moved = np.clip(view(100 + pixels) * gain + offset, 0, 255).astype(np.uint8)
    assert motion(MotionView(view(100)), MotionView(moved)) == pytest.approx(pixels / WIDTH, abs=0.002)


def test_another_view_counts_as_motion():
    assert motion(MotionView(view(0)), MotionView(view(0, wall=scene(7)))) > 1


@pytest.mark.parametrize("shape", [(2_000_000, 1), (1, 2_000_000)])
def test_a_strip_needs_no_more_memory_than_a_picture(shape):
    """Of one column it would be 320 × 640,000,000 pixels."""
    assert MotionView(np.zeros(shape, np.uint8)).pixels.size < 2**21


def test_views_without_texture():
    rng = np.random.default_rng(0)
    empty = [np.clip(120 + rng.normal(0, 1, (HEIGHT, WIDTH)), 0, 255).astype(np.uint8) for _ in range(2)]
    assert motion(MotionView(empty[0]), MotionView(empty[1])) == 0.0
    lamps = [cv2.circle(np.full((HEIGHT, WIDTH), 20, np.uint8), (150 + shift, 120), 6, 220, -1) for shift in (0, 16)]
    assert len(MotionView(lamps[0]).corners) < 20, "this test is about the fallback"
    assert motion(MotionView(lamps[0]), MotionView(lamps[1])) == pytest.approx(16 / WIDTH, abs=0.003)


@pytest.mark.parametrize("gain, offset", [(1.0, 0), (0.5, 60), (0.4, 0)])
def test_sharpness_falls_with_blur_and_not_with_exposure(gain, offset):
    sharp = view(50)
    exposed = (sharp * gain + offset).astype(np.uint8)
    assert sharpness(exposed) == pytest.approx(sharpness(sharp), rel=0.05)
    assert sharpness(cv2.blur(exposed, (5, 5))) < 0.7 * sharpness(sharp)
    assert sharpness(cv2.blur(exposed, (9, 9))) < 0.7 * sharpness(cv2.blur(exposed, (5, 5)))


@pytest.mark.parametrize("step", [0.5, 1.0, 2.1])
def test_slow_motion_gives_evenly_spaced_keyframes(step):
    frames = [frame(50 + step * i, i / 30) for i in range(int(160 / step))]
    kept, _ = select(frames)
    places = np.array(stamps(kept)) * 30 * step
    spacing = np.diff(places)
    wanted = MIN_MOTION * WIDTH
    assert spacing.min() > 0.95 * wanted
    assert spacing.max() < wanted + step + 0.5
    assert places[0] == 0
    assert places[-1] > step * (len(frames) - 1) - 2 * wanted


def test_standing_still_gives_one_keyframe():
    rng = np.random.default_rng(0)
    still = [np.clip(view(50) + rng.normal(0, 3, (HEIGHT, WIDTH)), 0, 255).astype(np.uint8) for _ in range(40)]
    kept, counts = select([frame(0, i / 10, gray=gray) for i, gray in enumerate(still)])
    assert len(kept) == 1
    assert counts.redundant == 39


def test_standing_still_with_max_interval():
    kept, _ = select([frame(50, i / 10) for i in range(101)], max_interval=3.0)
    assert stamps(kept) == [0.0, 3.0, 6.0, 9.0]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.floats(1.1, 6.0), min_size=3, max_size=12), st.lists(st.sampled_from([0, 0, 3, 7]), min_size=13, max_size=13)
)
def test_spaced_images_are_all_kept_sharp_or_not(steps, blurs):
    places = 20 + np.concatenate([[0], np.cumsum(steps)]) * MIN_MOTION * WIDTH
    frames = [frame(x, 0.2 * i, blurs[i]) for i, x in enumerate(places)]
    kept, _ = select(frames)
    assert [k.name for k in kept] == [k.name for k in frames]


def test_the_sharpest_of_a_place_is_kept():
    still = [frame(50, i / 10, blur) for i, blur in enumerate([9, 5, 0, 7, 0])]
    kept, _ = select([*still, frame(70, 1.0), frame(90, 1.1)])
    assert stamps(kept) == [0.2, 1.0, 1.1]


def test_a_keyframe_does_not_wait_longer_than_max_wait():
    selector = ImageSelector(KeyframeConfig(min_motion=MIN_MOTION, max_wait=0.5))
    out = {i: offer(selector, frame(50, i / 10, blur=5 if i < 8 else 0)) for i in range(12)}
    assert [i for i, chosen in out.items() if chosen] == [5]
    assert stamps(out[5]) == [0.0]
    assert selector.flush() == []


def test_cameras_do_not_disturb_each_other():
    frames = []
    for i in range(12):
        frames += [frame(50 + 10 * i, i / 10, camera="front"), frame(50, i / 10, camera="left")]
    kept, _ = select(frames)
    assert [k.stamp_ns for k in kept if k.camera_name == "front"] == [f.stamp_ns for f in frames[::2]]
    assert sum(k.camera_name == "left" for k in kept) == 1


def test_repeated_and_late_stamps_are_refused():
    a, b, c = frame(50, 1.0), frame(70, 1.2), frame(90, 1.1)
    kept, counts = select([a, a, b, c, b])
    assert stamps(kept) == [1.0, 1.2]
    assert counts.repeated == 2
    assert counts.late == 1


def test_a_looping_bag_adds_nothing():
    once = [frame(50 + 2 * i, i / 10) for i in range(60)]
    first, _ = select(once)
    kept, counts = select(once * 3)
    assert stamps(kept) == stamps(first)
    assert counts.restarts == 2
    assert counts.repeated == 2 * len(first)


def test_a_new_recording_with_earlier_time_starts_afresh():
    kept, counts = select([frame(50, 100.0), frame(70, 100.1), frame(70, 3.0), frame(90, 3.1)])
    assert stamps(kept) == [100.0, 100.1, 3.0, 3.1]
    assert counts.restarts == 1


def test_undecodable_images_are_counted():
    good = frame(50, 0.0)
    cut = Keyframe("front_1", "front", SECOND, frame(80, 1.0).encoded[:-300])
    kept, counts = select([good, cut, frame(80, 2.0)])
    assert stamps(kept) == [0.0, 2.0]
    assert counts.undecodable == 1
