"""Keyframes that are odd (late, twice, of another size, no image at all) are used or left out, and counted."""

from __future__ import annotations

import numpy as np
from helpers_session import Scene

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.pipeline.live.arrivals import (
    AGAIN,
    JUMP_AHEAD,
    JUMP_BACK,
    LATE,
    RECALIBRATED,
    RESIZED,
    SAME_PICTURE,
    SAME_STAMP,
)
from seg2d3d_ros.pipeline.live.mapping_session import KEYFRAMES_REJECTED
from seg2d3d_ros.types import Keyframe


def picture(value: int, size: tuple[int, int] = (64, 48)) -> bytes:
    return encode_jpeg(np.full((size[1], size[0], 3), value, np.uint8))


SECOND = 1_000_000_000


def counts(scene):
    """The findings; the diagnostics' values say the same in words."""
    found = {found.kind: found.count for found in scene.findings.list()}
    odd = {kind.what: count for kind, count in found.items() if kind != KEYFRAMES_REJECTED}
    assert scene.session.figures.odd == odd
    return found


def test_odd_keyframes_are_used_and_counted(tmp_path):
    """Out of order, jumps in time, another size, another calibration, two cameras at one time: all become keyframes."""
    scene = Scene(tmp_path)
    wide, narrow = (Camera("PINHOLE", 64, 48, (f, f, 32, 24)) for f in (50, 60))

    def send(camera, second, value, size=(64, 48), calibration=wide):
        name = f"{camera}_{int(second * SECOND)}"
        frame = Keyframe(name, camera, int(second * SECOND), picture(value, size), calibration, file_name=f"{name}.jpg")
        return scene.session.receive(frame)

    def odd():
        return counts(scene)

    assert send("front", 100, 1)
    assert send("front", 102, 2)
    assert send("left", 102, 3), "the same time, another camera"
    assert odd() == {}
    assert send("front", 101.5, 4)
    assert odd() == {LATE: 1}
    assert send("front", 50, 5)
    assert odd() == {LATE: 1, JUMP_BACK: 1}
    assert send("front", 51, 6), "from there on the new time counts"
    assert send("front", 51 + 7200, 7)
    assert odd() == {LATE: 1, JUMP_BACK: 1, JUMP_AHEAD: 1}
    assert send("front", 51 + 7201, 8, size=(32, 24))
    assert send("front", 51 + 7202, 9, size=(32, 24))
    assert odd()[RESIZED] == 1
    assert send("left", 103, 10, calibration=narrow)
    assert odd() == {LATE: 1, JUMP_BACK: 1, JUMP_AHEAD: 1, RESIZED: 1, RECALIBRATED: 1}
    scene.run()
    assert len(scene.worker.database) == 10
    assert scene.session.figures.rejected == {}


def test_a_picture_that_comes_twice_is_left_out_and_known_after_a_restart(tmp_path):
    def frame(camera, second, value):
        name = f"{camera}_{second}"
        return Keyframe(name, camera, second, picture(value), file_name=f"{name}.jpg")

    first = Scene(tmp_path)
    assert first.session.receive(frame("front", 1, 50))
    assert not first.session.receive(frame("front", 2, 50))
    assert not first.session.receive(frame("left", 1, 50)), "one camera under two names"
    assert first.session.receive(frame("front", 3, 51))
    assert counts(first) == {SAME_PICTURE: 2}
    assert first.session.figures.rejected["front_2"] == "front_2: the same picture as front_1"
    assert not first.session.receive(frame("front", 1, 50))
    assert not first.session.receive(frame("front", 1, 99))
    assert counts(first) == {SAME_PICTURE: 2, AGAIN: 1, SAME_STAMP: 1}
    first.session.close()
    second = Scene(tmp_path)
    assert not second.session.receive(frame("front", 9, 51))
    assert counts(second) == {SAME_PICTURE: 1}
    assert not (tmp_path / "map/keyframes/front_9.jpg").exists()


def test_what_is_no_image_is_left_to_the_decoder(tmp_path):
    scene = Scene(tmp_path, bad={"front_1"})
    scene.receive(0, 1, 2)  # bytes without a picture in them
    scene.run()
    assert counts(scene) == {KEYFRAMES_REJECTED: 1}
    assert set(scene.session.figures.rejected) == {"front_1"}
