"""A node that only remembers what is asked of it: for parts of nodes, without ROS's middleware."""

from __future__ import annotations

import types

from seg2d3d_ros.findings import Findings


class RememberingNode:
    """Remembers what is asked of it."""

    def __init__(self):
        self.callbacks, self.timers, self.counts, self.words = {}, [], {}, []
        self.graph = {}
        self.findings = Findings()
        self.diagnostics = types.SimpleNamespace(count=self.count, findings=self.findings, set=lambda *what: None)
        self.errors = types.SimpleNamespace(refused=lambda topic, error: self.words.append(str(error)))

    def count(self, key, step=1):
        self.counts[key] = self.counts.get(key, 0) + step
        return self.counts[key]

    def subscribe(self, kind, topic, callback, profile, **other):
        self.callbacks[topic] = callback

    def every(self, seconds, callback):
        self.timers.append(callback)

    def get_logger(self):
        return types.SimpleNamespace(warning=self.words.append, info=self.words.append)

    def resolve_topic_name(self, name):
        return name if name.startswith("/") else f"/{name}"

    def get_publishers_info_by_topic(self, topic):
        return []

    def get_topic_names_and_types(self):
        return list(self.graph.items())

    def count_publishers(self, topic):
        return int(topic in self.graph)
