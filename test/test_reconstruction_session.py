"""A growing map: what the worker is given, when it solves, and that nothing is lost when it dies."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.session import MAX_AHEAD, MappingSession, Schedule
from seg2d3d_ros.reconstruction.worker import Added, Failed, Rejected, Revision
from seg2d3d_ros.types import Keyframe


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
