"""A mapping session with a worker that answers step by step."""

from __future__ import annotations

from dataclasses import dataclass, field

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.pipeline.live.mapping_session import MappingSession
from seg2d3d_ros.pipeline.live.schedule import Schedule
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.worker.worker_events import Added, Failed, Rejected, Revised, Stopped
from seg2d3d_ros.types import Keyframe


class Solved:
    """A reconstructor that takes every image and answers with these models."""

    def __init__(self, *models) -> None:
        self.models, self.ignored = list(models), {}

    def add(self, keyframe: Keyframe, ignore=None) -> int:
        self.ignored[keyframe.name] = ignore
        return 1

    def solve(self, progress=None) -> Reconstruction:
        return Reconstruction(self.models, {}, {"mapping": 1.0}, [])

    def close(self) -> None:
        pass


@dataclass
class FakeWorker:
    """Answers one job per ``step``; ``bad`` keyframes are rejected, ``deadly`` ones end it without an answer."""

    bad: set[str] = field(default_factory=set)
    deadly: set[str] = field(default_factory=set)
    unsolvable: bool = False
    jobs: list = field(default_factory=list)
    news: list = field(default_factory=list)
    database: set[str] = field(default_factory=set)
    scales: dict[str, float] = field(default_factory=dict)
    closed: bool = False

    def add(self, keyframe: Keyframe, ignore=None, image_scale=1.0) -> None:
        self.jobs.append(keyframe)
        self.scales[keyframe.name] = image_scale

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
            self.news.append(Failed("no") if self.unsolvable else Revised(Reconstruction([])))
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
    def __init__(self, tmp_path, schedule: Schedule | None = None, max_wait: float = 0.0, **worker) -> None:
        self.now, self.revisions, self.failures, self.findings = 0.0, [], [], Findings()
        self.worker = FakeWorker(**worker)
        self.session = MappingSession(
            MapStore(tmp_path / "map"),
            lambda: self.worker,
            schedule or Schedule(every=1000, idle=1e9),
            on_revision=lambda r: self.revisions.append(set(self.worker.database)),
            on_failure=self.failures.append,
            max_wait=max_wait,
            findings=self.findings,
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
