"""What was heard on a graph while somebody listened: values, without ROS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.recording.topics import TopicTypes


@dataclass
class TopicHeard:
    """One topic.

    Attributes:
        name, msgtype: as the graph has them.
        publishers: full names of the nodes that publish it.
        offered: their qualities of service in words, each once.
        unfit: why one of them is not heard by whom asks as the pipeline does; empty where all are.
        arrivals: when its messages came (ns of this computer's clock).
        stamps: of their headers, in the same order; nothing for messages without one.
        size: bytes of all messages together.
        first: the first message, or None.
        kept: all messages of topics that are small.
    """

    name: str
    msgtype: str
    publishers: Sequence[str] = ()
    offered: Sequence[str] = ()
    unfit: str = ""
    arrivals: list[int] = field(default_factory=list)
    stamps: list[int] = field(default_factory=list)
    size: int = 0
    first: Any = None
    kept: list[Any] = field(default_factory=list)

    @property
    def count(self) -> int:
        """How many messages came."""
        return len(self.arrivals)

    @property
    def rate(self) -> float:
        """Messages per second; 0 where fewer than two came."""
        span = (self.arrivals[-1] - self.arrivals[0]) * 1e-9 if self.count > 1 else 0.0
        return (self.count - 1) / span if span > 0 else 0.0

    @property
    def behind(self) -> float:
        """Seconds between a message's stamp and its arrival, in the middle; 0 where there are no stamps."""
        pairs = zip(self.arrivals, self.stamps, strict=False)
        return median((came - stamp) * 1e-9 for came, stamp in pairs) if self.stamps else 0.0

    @property
    def backwards(self) -> int:
        """How often a stamp was not newer than the one before."""
        return sum(new <= old for old, new in zip(self.stamps, self.stamps[1:], strict=False))

    @property
    def missing(self) -> int:
        """About how many messages did not arrive, by the distance that their stamps usually have."""
        distances = [new - old for old, new in zip(self.stamps, self.stamps[1:], strict=False) if new > old]
        if len(distances) < 5:
            return 0
        usual = median(distances)
        return sum(max(round(distance / usual) - 1, 0) for distance in distances)


@dataclass
class GraphHeard:
    """A graph.

    Attributes:
        seconds: how long somebody listened.
        types: of all topics with a publisher.
        inputs: of those that are no results of a pipeline.
        topics: what was heard, by name.
        frames: by /tf_static and /tf.
        reads_frames: whether the type of /tf is installed.
        nodes: full names, and how many nodes have each.
        pipelines: namespaces of pipelines that run.
        statuses: by node of a pipeline, level (0 to 3) and words of its newest report.
    """

    seconds: float
    types: TopicTypes
    inputs: TopicTypes
    topics: Mapping[str, TopicHeard]
    frames: FrameTree = field(default_factory=FrameTree)
    reads_frames: bool = True
    nodes: Counter[str] = field(default_factory=Counter)
    pipelines: Sequence[str] = ()
    statuses: Mapping[str, tuple[int, str]] = field(default_factory=dict)

    def of_type(self, *msgtypes: str) -> list[TopicHeard]:
        """The inputs of these types, by name."""
        return [
            self.topics[name] for name in sorted(self.inputs) if name in self.topics and set(self.inputs[name]) & set(msgtypes)
        ]
