"""A worker that is too slow for the drive: what is given up, in which order, and that it is taken back."""

from __future__ import annotations

import numpy as np
from helpers_session import Scene, names

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.pipeline.live.load import IMAGE_SCALE, LEVELS, MACHINE_TOO_SLOW, PATIENCE, Load
from seg2d3d_ros.pipeline.live.schedule import Schedule
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.worker.worker_events import Add
from seg2d3d_ros.reconstruction.worker.worker_process import _execute
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

MAX_WAIT = 10.0
STEP = PATIENCE * MAX_WAIT


def test_levels_go_up_in_order_while_it_is_not_enough_and_down_when_it_is():
    now = [0.0]
    load = Load(MAX_WAIT, lambda: now[0])
    heard = []
    for second in range(400):
        now[0] = float(second)
        if load.look(late=20 <= second < 200):
            heard.append((second, load.words))
    up = [(20, "fewer keyframes"), (40, "fewer keyframes, fewer features"), (60, ", ".join(LEVELS[1:]))]
    assert heard[:3] == up
    assert [words for _, words in heard[3:]] == ["fewer keyframes, fewer features", "fewer keyframes", "none"]
    assert [second for second, _ in heard[3:]] == [199 + STEP, 199 + 2 * STEP, 199 + 3 * STEP]


def test_without_a_limit_nothing_is_given_up():
    load = Load(0.0, lambda: 1e9)
    assert not load.look(late=True)
    assert load.level == 0


class Drive:
    """A keyframe each second; the worker takes ``seconds`` for one, by the size of the images that are searched."""

    def __init__(self, tmp_path, seconds):
        self.scene = Scene(tmp_path, Schedule.online(growth=0.3, idle=3.0), max_wait=MAX_WAIT)
        self.seconds, self.free, self.levels, self.sent = seconds, 0.0, [], 0

    def go(self, seconds, arriving=True):
        for _ in range(seconds):
            if arriving:
                self.scene.receive(self.sent)
                self.sent += 1
            self.scene.session.tick()
            self.levels.append(self.scene.session.load.level)
            while self.scene.worker.jobs and self.free <= self.scene.now:
                job = self.scene.worker.jobs[0]
                size = 1.0 if job is None else self.scene.worker.scales[job.name]
                self.free = max(self.free, self.scene.now) + self.seconds * size**2
                self.scene.worker.step()
            self.scene.now += 1.0

    @property
    def found(self):
        return {finding.kind: finding for finding in self.scene.findings.list()}


def test_a_machine_that_keeps_up_gives_nothing_up(tmp_path):
    drive = Drive(tmp_path, 0.9)
    drive.go(80)
    assert set(drive.levels) == {0}
    assert set(drive.scene.worker.scales.values()) == {1.0}


def test_where_fewer_features_are_enough_it_stays_there(tmp_path):
    drive = Drive(tmp_path, 1.5)
    drive.go(120)
    assert max(drive.levels) == 2
    assert IMAGE_SCALE in drive.scene.worker.scales.values()
    assert drive.scene.session.backlog.oldest_seconds <= MAX_WAIT + 1


def test_a_far_too_slow_machine_gives_up_all_in_order_says_so_and_loses_nothing(tmp_path):
    drive = Drive(tmp_path, 8.0)
    drive.go(100)
    first = [drive.levels.index(level) for level in (1, 2, 3)]
    assert first == sorted(first)
    assert drive.found[MACHINE_TOO_SLOW].count == 3
    assert "fewer keyframes, fewer features, later global steps" in drive.found[MACHINE_TOO_SLOW].text
    assert drive.scene.session.backlog.oldest_seconds <= MAX_WAIT + 1, "latency stays bounded"
    before = len(drive.scene.revisions)
    drive.go(8, arriving=False)
    assert not drive.scene.session.solving, "no global step in the first pause"
    assert len(drive.scene.revisions) == before
    drive.seconds = 0.1
    drive.go(round(4 * STEP) + 10, arriving=False)
    assert drive.levels[-1] == 0
    assert MACHINE_TOO_SLOW not in drive.found
    assert len(drive.scene.revisions) > before, "the global step is made up for"
    drive.scene.session.request_solution()
    drive.scene.run()
    assert drive.scene.worker.database == names(*range(drive.sent))


def test_a_global_step_in_a_pause_waits_while_the_machine_is_far_too_slow(tmp_path):
    scene = Scene(tmp_path, Schedule.online(growth=0.3, idle=3.0), max_wait=MAX_WAIT)
    load = scene.session.load
    for level in (1, 2, 3):
        load.look(late=True)
        assert load.level == level
        scene.now += STEP
    scene.now -= STEP
    scene.receive(0, 1, 2, 3)
    for _ in range(8):
        scene.session.tick()
        scene.worker.step()
    scene.now += 5.0
    scene.session.tick()
    assert (load.level, scene.session.solving) == (3, False), "a pause, and it would be due"
    scene.now += STEP
    scene.session.tick()
    assert (load.level, scene.session.solving) == (2, True)


def test_what_is_finished_is_done_in_full(tmp_path):
    drive = Drive(tmp_path, 8.0)
    drive.go(100)
    assert drive.scene.session.load.image_scale == IMAGE_SCALE
    waiting = drive.scene.session.backlog
    before = set(drive.scene.worker.scales)
    assert len(waiting) > 20
    drive.scene.session.request_solution()
    drive.scene.run()
    later = {name: scale for name, scale in drive.scene.worker.scales.items() if name not in before}
    assert set(later.values()) == {1.0}


def test_the_worker_finds_fewer_features_in_smaller_images(tmp_path):
    picture = np.random.default_rng(1).integers(0, 255, (60, 80, 3), np.uint8).repeat(6, 0).repeat(6, 1)
    reconstructor = BatchReconstructor(tmp_path, ReconstructionConfig(max_image_size=480, max_features=1000))
    counts = []
    for number, scale in enumerate((1.0, IMAGE_SCALE)):
        keyframe = Keyframe(f"front_{number}", "front", number, encode_jpeg(picture), file_name=f"front_{number}.jpg")
        (added,) = _execute(reconstructor, Add(keyframe, None, scale), None)
        counts.append(added.features)
    reconstructor.close()
    assert counts == [1000, round(1000 * IMAGE_SCALE**2)]
