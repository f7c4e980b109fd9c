"""Keyframes come faster than they are taken in: who is late steps aside, nobody is lost, and it is said."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_session import Scene, names

from seg2d3d_ros.pipeline.live.backlog import PUT_ASIDE, Backlog
from seg2d3d_ros.pipeline.live.schedule import Schedule


@pytest.mark.parametrize("surplus", [1, 2, 5])
def test_with_a_steady_surplus_every_few_are_taken_and_none_waits_longer_than_it_may(surplus):
    now, waits, taken = 0.0, [], []
    came: dict[str, float] = {}
    backlog = Backlog([], 10.0, lambda: now)
    for k in range(600):
        came[str(k)] = now
        backlog.add(str(k))
        backlog.thin()
        if k % surplus == 0:
            name = backlog.next()
            waits.append(now - came[name])
            taken.append(int(name))
        now += 1.0
    assert max(waits) <= 10.0
    late = np.diff([k for k in taken if k > 50])
    assert set(late.tolist()) == {surplus}, "thinned evenly"
    rest = []
    while (name := backlog.next()) is not None:
        rest.append(int(name))
    assert sorted(taken + rest) == list(range(600)), "none is lost, and none comes twice"


def test_a_keyframe_that_is_put_aside_is_named_until_it_is_taken_in():
    now = 0.0
    backlog = Backlog(["earlier"], 10.0, lambda: now)
    backlog.add("a")
    assert (backlog.thin(), backlog.aside, backlog.finding(1).count) == (0, 0, 0), "what an earlier run left is not late"
    now = 10.5
    backlog.add("b")
    assert backlog.oldest_seconds == 10.5
    assert backlog.thin() == 1
    found = backlog.finding(2)
    assert (found.kind, found.count, found.of, found.examples) == (PUT_ASIDE, 1, 2, ("a",))
    assert "waited for 10 s" in found.text
    assert [backlog.next() for _ in range(4)] == ["b", "earlier", "a", None]
    assert backlog.finding(2).count == 0


def test_without_a_limit_everybody_waits_in_turn():
    now = 0.0
    backlog = Backlog([], 0.0, lambda: now)
    backlog.add("a")
    now = 1e6
    backlog.add("b")
    assert backlog.thin() == 0
    assert [backlog.next(), backlog.next()] == ["a", "b"]


def test_what_the_database_has_need_not_wait():
    backlog = Backlog(["x", "y"], 1.0, lambda: 0.0)
    backlog.add("z")
    backlog.forget({"x", "z"})
    assert len(backlog) == 1
    assert backlog.aside == 0
    assert backlog.next() == "y"


def test_those_put_aside_are_in_the_requested_solution(tmp_path):
    scene = Scene(tmp_path, max_wait=10.0)
    for k in range(60):
        scene.receive(k)
        scene.now += 1.0
        scene.session.tick()
        if k % 3 == 0:
            scene.worker.step()
    assert scene.session.figures.put_aside > 20
    assert scene.session.backlog.oldest_seconds <= 10.0
    scene.session.request_solution()
    scene.now += 1000.0
    scene.run()
    assert scene.session.settled
    assert scene.revisions == [names(*range(60))]
    assert scene.session.backlog.aside == 0


def solving_in_a_pause(tmp_path, schedule):
    """A session whose worker is at a solution that nobody asked for, while a keyframe waits for longer than it may."""
    scene = Scene(tmp_path, schedule, max_wait=10.0)
    scene.receive(0, 1, 2, 3)
    for _ in range(8):
        scene.session.tick()
        scene.worker.step()
    scene.now += 5.0
    scene.session.tick()
    assert scene.session.solving
    scene.receive(4)
    scene.now += 9.0
    scene.session.tick()
    assert scene.session.solving, "not too long yet"
    scene.now += 2.0
    scene.session.tick()
    return scene


def test_a_solution_in_a_pause_gives_way_to_keyframes_that_wait(tmp_path):
    scene = solving_in_a_pause(tmp_path, Schedule.online(growth=0.3, idle=3.0))
    scene.session.tick()
    assert not scene.session.solving
    assert scene.session.figures.interrupted == 1
    scene.run()
    assert scene.worker.database == names(*range(5))
    scene.session.request_solution()
    scene.run()
    assert scene.session.settled
    assert scene.session.gave_up == ""
    assert scene.revisions[-1] == names(*range(5))


def test_who_asks_for_a_solution_while_one_is_given_up_gets_his_own(tmp_path):
    scene = solving_in_a_pause(tmp_path, Schedule.online(growth=0.3, idle=3.0))
    scene.session.request_solution()  # the worker's answer to the interruption is still on its way
    scene.run()
    assert scene.session.settled
    assert scene.session.gave_up == ""
    assert scene.revisions[-1] == names(*range(5))


def test_where_only_solutions_make_a_map_they_are_not_given_up(tmp_path):
    scene = solving_in_a_pause(tmp_path, Schedule(every=1000, growth=0.3, idle=3.0))
    assert scene.session.solving
    assert scene.session.figures.interrupted == 0


def test_a_solution_that_was_asked_for_is_not_given_up(tmp_path):
    scene = Scene(tmp_path, Schedule.online(growth=0.3, idle=1e9), max_wait=10.0)
    scene.receive(0, 1, 2, 3)
    scene.session.request_solution()
    for _ in range(4):
        scene.session.tick()
        scene.worker.step()
    scene.session.tick()
    assert scene.session.solving
    scene.receive(4)
    scene.now += 100.0
    scene.session.tick()
    assert scene.session.solving
    assert scene.session.figures.put_aside == 0, "a map that is being finished takes all in, in turn"
