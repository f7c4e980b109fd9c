"""The thread that works for a node."""

from __future__ import annotations

import threading

from seg2d3d_ros.ros.node.worker_thread import WorkerThread


def test_a_worker_goes_on_after_errors_and_tells_them():
    errors, done = [], []

    def work(item):
        if item % 2:
            raise ValueError(item)
        done.append(item)

    worker = WorkerThread("w", work, on_error=lambda name, error: errors.append((name, error.args)))
    for item in range(4):
        worker.put(item)
    assert worker.drain(5)
    assert (done, errors) == ([0, 2], [("w", (1,)), ("w", (3,))])
    assert (worker.done, worker.failed, worker.last_error) == (2, 2, "ValueError: 3")
    assert worker.close()
    assert worker.close()
    assert not worker.put(5)


def test_closing_a_worker_waits_for_the_item_at_work_and_forgets_the_others():
    begun, gate, done = threading.Event(), threading.Event(), []
    worker = WorkerThread("w", lambda item: (begun.set(), gate.wait(5), done.append(item)))
    worker.put(1)
    worker.put(2)
    assert begun.wait(5)
    assert not worker.close(timeout=0.05), "the item is still at work"
    gate.set()
    assert worker.close()
    assert done == [1]
