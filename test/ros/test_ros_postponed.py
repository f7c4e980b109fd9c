"""Keyframes that a slow segmenter puts aside."""

from __future__ import annotations

import itertools

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.ros.exchange.postponed import SEGMENTATION_BEHIND, SEGMENTATION_LOST, Postponed


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


def simulated(delay, every, takes, count):
    """Keyframes come every so many seconds to a segmenter that takes so long for one: seconds that each waited, by number."""
    clock, findings = Clock(), Findings()
    postponed = Postponed(delay, findings, clock)
    queue, waited, arrival = [], {}, {}
    free, came = clock.now, 0
    while came < count or queue or len(postponed):
        if came < count and (clock.now >= 100.0 + came * every):
            postponed.came(str(came))
            arrival[str(came)] = clock.now
            queue.append(str(came))
            came += 1
            continue
        if clock.now >= free:
            name = None
            while queue and name is None:
                name = queue.pop(0)
                name = name if postponed.due(name) else None
            if name is None and not queue:
                name = postponed.next()
            if name is not None:
                waited[name] = clock.now - arrival[name]
                free = clock.now + takes
        clock.now += 0.25
    return waited, postponed, findings


def test_a_segmenter_that_keeps_up_puts_nothing_aside():
    waited, postponed, findings = simulated(10.0, 1.0, 1.0, 60)
    assert len(waited) == 60
    assert (postponed.total, findings.list()) == (0, [])


def test_whoever_is_not_put_aside_waits_no_longer_than_the_delay_and_nobody_is_lost():
    waited, postponed, findings = simulated(10.0, 1.0, 5.0, 200)
    assert len(waited) == 200
    assert postponed.total > 100
    in_time = [name for name, seconds in waited.items() if seconds <= 10.0]
    assert 30 <= len(in_time) == 200 - postponed.total, "a fifth of them, spread over the drive"
    numbers = sorted(map(int, in_time))
    assert max(b - a for a, b in itertools.pairwise(numbers)) <= 8
    assert findings.list() == [], "all have followed"


def test_without_a_limit_all_go_in_order():
    waited, postponed, _ = simulated(0.0, 1.0, 5.0, 20)
    assert list(waited) == [str(n) for n in range(20)]
    assert postponed.total == 0


def test_those_aside_are_told_until_they_have_followed():
    clock, findings = Clock(), Findings()
    postponed = Postponed(10.0, findings, clock)
    for name in "abc":
        postponed.came(name)
    clock.now += 11
    assert [postponed.due(name) for name in "abc"] == [False, False, False]
    (finding,) = findings.list()
    assert (finding.kind, finding.count) == (SEGMENTATION_BEHIND, 3)
    assert "max_wait (10 s)" in finding.text
    assert [postponed.next() for _ in range(4)] == ["c", "b", "a", None], "the newest first"
    postponed.lost("a")
    assert [finding.kind for finding in findings.list()] == [SEGMENTATION_LOST]
    assert postponed.due("resegmented"), "whoever did not come as a new keyframe is never put aside"
