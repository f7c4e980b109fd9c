"""A growing map: what the worker is given, when it solves, and that nothing is lost when it dies."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pytest

from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.arrivals import (
    AGAIN,
    JUMP_AHEAD,
    JUMP_BACK,
    LATE,
    RECALIBRATED,
    RESIZED,
    SAME_PICTURE,
    SAME_STAMP,
)
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.session import MAX_AHEAD, MappingSession, Schedule
from seg2d3d_ros.reconstruction.worker import Added, Failed, Opened, Rejected, Revision, Stopped
from seg2d3d_ros.types import Camera, Keyframe, SparseModel


@dataclass
class FakeWorker:
    """Answers one job per ``step``; ``bad`` keyframes are rejected, ``deadly`` ones end it without an answer."""

    bad: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    unsolvable: bool = False
    jobs: list = field(default_factory=list)
    news: list = field(default_factory=list)
    database: set[str] = field(default_factory=set)
    closed: bool = False

    def add(self, keyframe: Keyframe, ignore=None) -> None:
        self.jobs.append(keyframe)

    def solve(self) -> None:
        self.jobs.append(None)

    def events(self) -> list:
        news, self.news = self.news, []
        return news

    def cancel(self) -> bool:
        """The job at work is stopped; a keyframe is in the database by then."""
        if not self.jobs:
            return False
        job = self.jobs.pop(0)
        if job is not None:
            self.database.add(job.name)
            self.news.append(Added(job.name, 100))
        self.news.append(Stopped("cancelled"))
        return True

    def close(self) -> None:
        self.closed = True

    @property
    def busy(self) -> bool:
        return bool(self.jobs)

    def step(self) -> None:
        if not self.jobs:
            return
        job = self.jobs[0]
        if job is None:
            self.news.append(Failed("no") if self.unsolvable else Revision(Reconstruction([])))
        elif job.name in self.bad:
            self.news.append(Rejected(job.name, f"{job.name}: damaged"))
        elif job.name in self.deadly:
            self.news += [Failed("signal 11, repeats this"), Failed("signal 11, given up")]
        else:
            self.database.add(job.name)
            self.news.append(Added(job.name, 100))
        self.jobs.pop(0)

    def kill(self, message: str) -> None:
        """The process dies; the command in flight is repeated by a new one."""
        self.news.append(Failed(message))


class Scene:
    def __init__(self, tmp_path, schedule: Schedule | None = None, **worker) -> None:
        self.now, self.revisions, self.failures = 0.0, [], []
        self.worker = FakeWorker(**worker)
        self.session = MappingSession(
            MapStore(tmp_path / "map"),
            lambda: self.worker,
            schedule or Schedule(every=1000, idle=1e9),
            on_revision=lambda r: self.revisions.append(set(self.worker.database)),
            on_failure=self.failures.append,
            clock=lambda: self.now,
        )

    def receive(self, *numbers: int) -> None:
        for k in numbers:
            name = f"front_{k}"
            self.session.receive(Keyframe(name, "front", k, b"bytes %d" % k, file_name=f"{name}.jpg"))

    def run(self, steps: int = 200) -> None:
        for _ in range(steps):
            self.session.tick()
            self.worker.step()
        self.session.tick()


def names(*numbers: int) -> set[str]:
    return {f"front_{k}" for k in numbers}


@pytest.mark.parametrize(
    ("new", "solved", "quiet", "due"),
    [
        (9, 0, 0, False),
        (10, 0, 0, True),
        (29, 100, 0, False),  # 30 % of 100
        (30, 100, 0, True),
        (1, 100, 3, True),  # idle
        (0, 100, 99, False),
        (1, 0, 99, False),  # one image is no map
    ],
)
def test_schedule(new, solved, quiet, due):
    assert Schedule(every=10, growth=0.3, idle=3).due(new, solved, quiet) is due


def test_solutions_while_it_grows_cost_a_bounded_multiple_of_the_last():
    schedule, solved, cost = Schedule(every=10, growth=0.3, idle=1e9), 0, 0
    for total in range(1, 1001):
        if schedule.due(total - solved, solved, 0):
            solved, cost = total, cost + total
    assert cost <= (1 + 1 / 0.3) * solved


def test_everything_received_is_in_the_requested_solution(tmp_path):
    scene = Scene(tmp_path)
    scene.receive(*range(12))
    scene.session.request_solution()
    assert not scene.session.settled
    scene.run()
    assert scene.session.settled
    assert scene.revisions == [names(*range(12))]
    scene.session.request_solution()
    scene.run()
    assert scene.session.settled
    assert len(scene.revisions) == 1, "nothing new: the last solution stands"


def test_images_wait_on_disk_not_in_the_worker(tmp_path):
    scene = Scene(tmp_path)
    scene.receive(*range(12))
    scene.session.tick()
    assert len(scene.worker.jobs) == MAX_AHEAD
    assert len(scene.session.store.read_keyframes()) == 12, "on record before the worker hears of it"
    assert scene.worker.jobs[0].encoded == b"bytes 0"


def test_a_worker_that_never_catches_up_still_solves_now_and_then(tmp_path):
    scene = Scene(tmp_path, Schedule(every=10, growth=0.3, idle=1e9))
    for k in range(0, 400, 2):
        scene.receive(k, k + 1)  # two arrive each second, one gets done
        scene.now += 1.0
        scene.session.tick()
        scene.worker.step()
    assert scene.session.pending > 100
    sizes = [len(known) for known in scene.revisions]
    assert 3 <= len(sizes) <= 200 / 30
    assert sizes == sorted(sizes)


def test_a_requested_solution_is_not_delayed_by_others(tmp_path):
    scene = Scene(tmp_path, Schedule(every=1, growth=0, idle=1e9))
    scene.receive(*range(30))
    scene.session.request_solution()
    scene.now = 1000.0
    scene.run()
    assert scene.revisions == [names(*range(30))]


def test_a_keyframe_that_comes_again_counts_once(tmp_path):
    scene = Scene(tmp_path)
    scene.receive(1, 1, 2)
    assert scene.session.pending == 2
    scene.run()
    scene.receive(1)
    assert scene.session.pending == 0
    assert scene.worker.database == names(1, 2)
    assert scene.session.figures.received == 4


def test_rejected_keyframes_do_not_hold_the_map_up(tmp_path):
    scene = Scene(tmp_path, bad={"front_1"})
    scene.receive(0, 1, 2)
    scene.session.request_solution()
    scene.run()
    assert scene.session.settled
    assert scene.revisions == [names(0, 2)]
    assert scene.session.figures.rejected == {"front_1": "front_1: damaged"}


def test_too_little_for_a_map_is_said_not_waited_for(tmp_path):
    scene = Scene(tmp_path, bad={"front_1"})
    scene.receive(0, 1)
    scene.session.request_solution()
    scene.run()
    assert scene.session.settled
    assert "1 usable keyframes" in scene.session.gave_up


@pytest.mark.parametrize("after", [0, 1, 3, 5, 8])
def test_nothing_is_lost_when_the_worker_is_killed(tmp_path, after):
    scene = Scene(tmp_path)
    scene.receive(*range(6))
    scene.session.request_solution()
    for _ in range(after):
        scene.session.tick()
        scene.worker.step()
    scene.worker.kill("killed by signal 9")
    scene.run()
    assert scene.session.settled
    assert scene.revisions[-1] == names(*range(6))
    assert scene.failures == ["killed by signal 9"]


def test_a_deadly_keyframe_is_given_up_and_the_others_go_on(tmp_path):
    scene = Scene(tmp_path, deadly={"front_1"})
    scene.receive(*range(4))
    scene.session.request_solution()
    scene.run()
    assert scene.session.settled
    assert scene.revisions[-1] == names(0, 2, 3)
    assert scene.session.figures.rejected == {"front_1": "front_1: signal 11, given up"}
    assert scene.session.figures.failures == 2


def test_a_solution_that_fails_is_given_up_until_something_new_comes(tmp_path):
    scene = Scene(tmp_path, Schedule(every=2, growth=0, idle=1e9), unsolvable=True)
    scene.receive(0, 1, 2)
    scene.session.request_solution()
    scene.run()
    assert scene.session.settled
    assert scene.session.gave_up == "no"
    assert scene.failures == ["no"], "not tried again and again"
    scene.worker.unsolvable = False
    scene.receive(3, 4)
    scene.run()
    assert scene.revisions == [names(*range(5))]


def test_an_earlier_map_is_continued(tmp_path):
    first = Scene(tmp_path)
    first.receive(0, 1, 2)
    first.session.close()
    assert first.worker.closed
    second = Scene(tmp_path)
    second.receive(2, 3)
    second.session.request_solution()
    second.run()
    assert second.revisions == [names(0, 1, 2, 3)]
    assert [r.name for r in second.session.store.read_keyframes()] == sorted(names(0, 1, 2, 3))


def test_an_image_that_vanished_from_disk_is_rejected(tmp_path):
    first = Scene(tmp_path)
    first.receive(0, 1, 2)
    first.session.close()
    (tmp_path / "map/keyframes/front_1.jpg").unlink()
    second = Scene(tmp_path)
    second.session.request_solution()
    second.run()
    assert second.revisions == [names(0, 2)]
    assert "front_1" in second.session.figures.rejected


@pytest.mark.parametrize(
    ("new", "solved", "quiet", "due"),
    [(500, 10, 0, False), (29, 100, 99, False), (30, 100, 3, True), (30, 100, 2, False), (5, 0, 3, True)],
)
def test_a_map_that_grows_by_itself_is_solved_in_pauses_after_growth(new, solved, quiet, due):
    assert Schedule.online(growth=0.3, idle=3).due(new, solved, quiet) is due


def test_a_revision_on_the_way_is_published_but_settles_nothing(tmp_path):
    scene = Scene(tmp_path, Schedule.online(growth=0.3, idle=1e9))
    scene.receive(1, 2, 3)
    scene.run()
    scene.worker.news.append(Revision(Reconstruction([]), final=False))
    scene.session.tick()
    assert len(scene.revisions) == 1
    assert scene.session.new == 3
    scene.session.request_solution()
    scene.session.tick()
    assert scene.session.solving
    scene.worker.news.append(Revision(Reconstruction([]), final=False))
    scene.session.tick()
    assert len(scene.revisions) == 2
    assert scene.session.solving
    scene.run()
    assert scene.session.settled
    assert scene.session.new == 0


def opened(numbers, registered):
    model = SparseModel(
        names=tuple(sorted(names(*registered))),
        cameras=(),
        camera_from_world=np.zeros((len(registered), 3, 4)),
        xyz=np.zeros((0, 3)),
        rgb=np.zeros((0, 3), np.uint8),
        error=np.zeros(0, np.float32),
        point_ids=np.zeros(0, np.int64),
        obs_keyframe=np.zeros(0, np.int32),
        obs_point=np.zeros(0, np.int32),
        obs_xy=np.zeros((0, 2)),
    )
    return Opened(tuple(names(*numbers)), Reconstruction([model]))


def test_a_map_on_disk_is_published_at_once_and_not_made_again(tmp_path):
    first = Scene(tmp_path)
    first.receive(*range(6))
    first.session.close()
    second = Scene(tmp_path, Schedule.online(growth=0.3, idle=3))
    second.worker.database |= names(*range(5))
    second.worker.news.append(opened(range(5), range(4)))
    second.session.tick()
    assert len(second.revisions) == 1, "the map that was there"
    assert [job.name for job in second.worker.jobs] == ["front_5"], "only what the database lacks"
    second.run()
    second.now = 100.0
    second.run()
    assert len(second.revisions) == 2, "two of six are new: solved in the pause"
    assert second.revisions[-1] == names(*range(6))


def test_what_was_only_grown_before_the_kill_is_still_finished_on_request(tmp_path):
    first = Scene(tmp_path)
    first.receive(*range(4))
    first.session.close()
    second = Scene(tmp_path, Schedule.online(growth=0.3, idle=3))
    second.worker.database |= names(*range(4))
    second.worker.news.append(opened(range(4), range(4)))
    second.now = 100.0
    second.run()
    assert len(second.revisions) == 1, "no solution of its own accord: nothing has grown"
    second.session.request_solution()
    second.run()
    assert len(second.revisions) == 2
    assert second.session.settled


def test_a_cancelled_solution_is_given_up_and_said(tmp_path):
    scene = Scene(tmp_path, Schedule(every=2, growth=0, idle=1e9))
    scene.receive(0, 1, 2)
    scene.session.request_solution()
    while not scene.session.solving:
        scene.session.tick()
        if scene.worker.jobs and scene.worker.jobs[0] is not None:
            scene.worker.step()
    assert scene.session.cancel()
    scene.session.tick()
    assert scene.session.settled
    assert scene.session.gave_up == "cancelled"
    scene.run()
    assert scene.revisions == [], "not tried again by itself"
    assert scene.failures == [], "no failure: somebody wanted it"
    scene.receive(3, 4)
    scene.run()
    assert scene.revisions == [names(*range(5))]
    assert not scene.session.cancel()


def test_a_solution_that_still_waits_for_keyframes_is_cancelled_at_once(tmp_path):
    scene = Scene(tmp_path)
    scene.receive(*range(12))
    scene.session.request_solution()
    scene.session.tick()
    assert scene.session.cancel()
    assert scene.session.settled, "whoever waits is told now"
    assert scene.session.gave_up == "cancelled"
    scene.run()
    assert scene.worker.database == names(*range(12)), "the keyframes are taken in all the same"
    assert scene.revisions == []
    scene.session.request_solution()
    assert not scene.session.settled
    scene.run()
    assert scene.revisions == [names(*range(12))]


def test_nothing_happens_after_the_end(tmp_path):
    scene = Scene(tmp_path)
    scene.receive(0, 1)
    scene.session.close()
    scene.session.tick()
    assert scene.worker.jobs == []


def picture(value: int, size: tuple[int, int] = (64, 48)) -> bytes:
    return encode_jpeg(np.full((size[1], size[0], 3), value, np.uint8))


SECOND = 1_000_000_000


def test_odd_keyframes_are_used_and_counted(tmp_path):
    """Out of order, jumps in time, another size, another calibration, two cameras at one time: all become keyframes."""
    scene = Scene(tmp_path)
    wide, narrow = (Camera("PINHOLE", 64, 48, (f, f, 32, 24)) for f in (50, 60))

    def send(camera, second, value, size=(64, 48), calibration=wide):
        name = f"{camera}_{int(second * SECOND)}"
        frame = Keyframe(name, camera, int(second * SECOND), picture(value, size), calibration, file_name=f"{name}.jpg")
        return scene.session.receive(frame)

    odd = scene.session.figures.odd
    assert send("front", 100, 1)
    assert send("front", 102, 2)
    assert send("left", 102, 3), "the same time, another camera"
    assert odd == {}
    assert send("front", 101.5, 4)
    assert odd == {LATE: 1}
    assert send("front", 50, 5)
    assert odd == {LATE: 1, JUMP_BACK: 1}
    assert send("front", 51, 6), "from there on the new time counts"
    assert send("front", 51 + 7200, 7)
    assert odd == {LATE: 1, JUMP_BACK: 1, JUMP_AHEAD: 1}
    assert send("front", 51 + 7201, 8, size=(32, 24))
    assert send("front", 51 + 7202, 9, size=(32, 24))
    assert odd[RESIZED] == 1
    assert send("left", 103, 10, calibration=narrow)
    assert odd == {LATE: 1, JUMP_BACK: 1, JUMP_AHEAD: 1, RESIZED: 1, RECALIBRATED: 1}
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
    assert first.session.figures.odd == {SAME_PICTURE: 2}
    assert first.session.figures.rejected["front_2"] == "front_2: the same picture as front_1"
    assert not first.session.receive(frame("front", 1, 50))
    assert not first.session.receive(frame("front", 1, 99))
    assert first.session.figures.odd == {SAME_PICTURE: 2, AGAIN: 1, SAME_STAMP: 1}
    first.session.close()
    second = Scene(tmp_path)
    assert not second.session.receive(frame("front", 9, 51))
    assert second.session.figures.odd == {SAME_PICTURE: 1}
    assert not (tmp_path / "map/keyframes/front_9.jpg").exists()


def test_what_is_no_image_is_left_to_the_decoder(tmp_path):
    scene = Scene(tmp_path, bad={"front_1"})
    scene.receive(0, 1, 2)  # bytes without a picture in them
    scene.run()
    assert scene.session.figures.odd == {}
    assert set(scene.session.figures.rejected) == {"front_1"}
