"""reconstruction_node: what its threads hand to each other."""

from __future__ import annotations

import threading

import pytest

pytest.importorskip("rclpy")

from helpers_map_nodes import header_of, scene
from helpers_reconstruction_node import ReconstructionBench
from helpers_ros import wait_for

from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.nodes import reconstruction_node
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.types import Keyframe

pytestmark = pytest.mark.ros


class TestThreads:
    """What crosses between the node's threads is guarded; deterministic: each test makes the other thread come in between."""

    def test_seconds_are_not_changed_while_they_are_read(self, world, tmp_path, monkeypatch):
        bench = ReconstructionBench(world, tmp_path, monkeypatch, {})
        node, writing = bench.node, threading.Event()
        node._seconds = Interrupted(mapping=1.0, on_reading=writing.set)

        def publish():
            writing.wait(10)
            node._newest = Reconstruction([], {}, {"another stage": 1.0})
            node._publish(None)
            node._seconds.written.set()

        other = threading.Thread(target=publish)
        other.start()
        with node._lock:
            node._report_figures()
        other.join(10)
        assert node._seconds["another stage"] == 1.0

    def test_whoever_reads_the_session_holds_its_lock(self, world, tmp_path, monkeypatch):
        monkeypatch.setattr(reconstruction_node, "REPORT_SECONDS", 0.1)
        bench = ReconstructionBench(world, tmp_path, monkeypatch, {2: scene(2)[0]})
        node, unguarded, told = bench.node, [], []

        class Watched(type(node._session)):
            def __getattribute__(self, name):
                if not node._lock._is_owned():
                    unguarded.append(name)
                return super().__getattribute__(name)

        monkeypatch.setattr(node.get_logger(), "info", told.append, raising=False)
        with node._lock:
            node._session.__class__ = Watched
        for name in ("front_1", "front_2"):
            bench.keyframe(name)
        assert bench.finalize().success
        assert wait_for(lambda: any("2 keyframes, 2 registered" in text for text in told))
        with node._lock:
            node._session.__class__ = Watched.__mro__[1]
        assert unguarded == []

    def test_keyframes_of_an_earlier_run_have_headers_without_asking_the_session(self, world, tmp_path, monkeypatch):
        model, _ = scene(2)
        store = MapStore(tmp_path)
        keyframes = [Keyframe(name, "front", int(name[-1]), b"\xff\xd8\xff", file_name=f"{name}.jpg") for name in model.names]
        store.write_keyframes([KeyframeRecord.of(k, store.write_image(k).relative_to(store.root)) for k in keyframes])
        node = ReconstructionBench(world, tmp_path, monkeypatch, {}).node
        node._session = None
        assert [node._header_of(name) for name in model.names] == [header_of(name) for name in model.names]


class Interrupted(dict):
    """Lets another thread in while it is read, if that gets in within a second."""

    def __init__(self, on_reading, **items):
        super().__init__(**items)
        self.on_reading, self.written = on_reading, threading.Event()

    def items(self):
        iterator = iter(super().items())
        yield next(iterator)
        self.on_reading()
        self.written.wait(1.0)
        yield from iterator
