"""A growing map: what the worker is given, when it solves, and that nothing is lost when it dies."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_session import Scene, names

from seg2d3d_ros.pipeline.live.mapping_session import KEYFRAMES_REJECTED, MAX_AHEAD, WORKER_FAILED
from seg2d3d_ros.pipeline.live.schedule import Schedule
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.worker.worker_events import Opened, Revised
from seg2d3d_ros.types import SparseModel


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
    scene.worker.news.append(Revised(Reconstruction([]), final=False))
    scene.session.tick()
    assert len(scene.revisions) == 1
    assert scene.session.new == 3
    scene.session.request_solution()
    scene.session.tick()
    assert scene.session.solving
    scene.worker.news.append(Revised(Reconstruction([]), final=False))
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


def test_a_worker_that_fails_is_a_finding_with_its_reason(tmp_path):
    scene = Scene(tmp_path, deadly={"front_1"})
    scene.receive(0, 1, 2)
    scene.run()
    kinds = {found.kind: found for found in scene.findings.list()}
    assert kinds[WORKER_FAILED].count == len(scene.failures) == 2
    assert "signal 11, given up" in kinds[WORKER_FAILED].text
    assert kinds[KEYFRAMES_REJECTED].examples == ("front_1",)
