"""A live map, while keyframes arrive: what to hand to the reconstruction worker, and when to solve again.

No threads and no ROS here: the owner calls ``receive`` for each keyframe and ``tick`` several times a second, from one
thread. The map directory is the queue: a keyframe is on disk, and in keyframes.json, before the worker hears of it.
Nothing is lost when the worker or the whole process dies; a new session on the same directory goes on from there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.pipeline.live.arrivals import Arrivals
from seg2d3d_ros.pipeline.live.backlog import Backlog
from seg2d3d_ros.pipeline.live.load import LATER_STEPS, Load
from seg2d3d_ros.pipeline.live.schedule import MIN_KEYFRAMES, Schedule
from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.reconstruction.worker.worker_events import Added, Event, Failed, Opened, Progressed, Rejected, Revised, Stopped
from seg2d3d_ros.reconstruction.worker.worker_handle import ReconstructionWorker
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig
from seg2d3d_ros.types import Keyframe

log = logging.getLogger(__name__)

MAX_AHEAD = 4
"""Keyframes that may be with the worker at once; the others wait on disk instead of in memory."""
BACKLOG_SECONDS = 30.0
"""While keyframes wait, there is at least this much time between two solutions."""

KEYFRAMES_REJECTED = Kind(
    "keyframes_rejected",
    "keyframes that the reconstruction could not use",
    cause="{reason}",
    remedy="look at the image in MAP/keyframes; a damaged one comes from the camera's driver or the recording",
)
WORKER_FAILED = Kind(
    "worker_failed",
    "times that the reconstruction's process failed",
    cause="{reason}",
    remedy="it is started again and nothing is lost; where it happens often, look for memory (dmesg: out of memory)",
)


@dataclass
class MappingFigures:
    """What a session reports of itself."""

    received: int = 0
    added: int = 0
    rejected: dict[str, str] = field(default_factory=dict)
    failures: int = 0
    last_failure: str = ""
    stage: str = ""
    progress: tuple[str, int, int] = ("", 0, 0)
    """Stage, done, total of what the worker solves."""
    odd: dict[str, int] = field(default_factory=dict)
    """What was odd about keyframes (see ``arrivals``), counted."""
    put_aside: int = 0
    """Keyframes that waited too long and let others go first (see ``backlog``), those taken in since included."""
    interrupted: int = 0
    """Solutions that were given up because keyframes waited too long for their end."""


class MappingSession:
    """Feeds a worker and takes its revisions.

    Args:
        make_worker: starts the process that owns the database in ``store.root``.
        on_revision: called from ``tick`` with each new ``Reconstruction``.
        on_failure: called from ``tick`` with a message whenever the worker failed.
        findings: gets what is odd about keyframes, left out or late.
        max_wait: seconds that a keyframe may wait for the worker before it lets others go first; 0 = as long as it takes.

    Attributes:
        gave_up: why the requested solution was given up; empty if it was not.
    """

    def __init__(
        self,
        store: MapStore,
        make_worker: Callable[[], ReconstructionWorker],
        schedule: Schedule,
        *,
        on_revision: Callable[[Reconstruction], object],
        on_failure: Callable[[str], object],
        max_wait: float = 0.0,
        findings: Findings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.store, self.schedule, self.figures = store, schedule, MappingFigures()
        self.records = {record.name: record for record in store.read_keyframes()}
        self.reconstruction: Reconstruction | None = None
        self._findings = Findings() if findings is None else findings
        self._arrivals = Arrivals(lambda name: store.read_image(self.records[name]), self._findings)
        self.figures.odd = self._arrivals.counts
        self._arrivals.remember(self.records.values(), lambda record: store.image_path(record).stat().st_size)
        self._on_revision, self._on_failure, self._clock = on_revision, on_failure, clock
        self.backlog, self.load = Backlog(self.records, max_wait, clock), Load(max_wait, clock)
        self._aside_told = 0
        self._with_worker: list[str] = []
        self._added: set[str] = set()
        self._solving: set[str] | None = None
        self._solved: set[str] = set()
        self._finished: set[str] | None = None
        self._wanted = self._asked = self._interrupted = False
        self.gave_up = ""
        self._unsaved = self._closed = self._cancelled = False
        self._last_arrival = self._solution_start = self._solution_end = clock()
        self._solution_seconds = 0.0
        self._worker = make_worker()
        if self.records:
            log.info("%s: going on with the %d keyframes of an earlier map", store.root, len(self.records))

    def receive(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> bool:
        """Keep a keyframe on disk and queue it; False for one that is in the map already (a bag in a loop), and for a
        picture that is there already under another name.

        Args:
            ignore: (H, W) bool, True where keypoints are not wanted.

        Raises:
            DataError: the disk is full.
        """
        self.figures.received += 1
        self._last_arrival = self._clock()
        if keyframe.name in self.records:
            self._arrivals.again(keyframe)
            return False
        if (twin := self._arrivals.twin(keyframe)) is not None:
            self.figures.rejected[keyframe.name] = f"{keyframe.name}: the same picture as {twin}"
            return False
        image = self.store.write_image(keyframe).relative_to(self.store.root)
        if ignore is not None and ignore.any():
            self.store.write_mask(keyframe.name, ignore)
        self.records[keyframe.name] = KeyframeRecord.of(keyframe, image)
        self._arrivals.take(keyframe)
        self._unsaved = True
        self.backlog.add(keyframe.name)
        return True

    def save(self) -> None:
        """Write keyframes.json where it is behind."""
        if self._unsaved:
            self.store.write_keyframes(list(self.records.values()))
            self._unsaved = False

    @property
    def pending(self) -> int:
        """Keyframes that are not in the database yet."""
        return len(self.backlog) + len(self._with_worker)

    @property
    def solving(self) -> bool:
        """Whether the worker is at a solution."""
        return self._solving is not None

    @property
    def taken(self) -> Collection[str]:
        """Names of the keyframes in the database."""
        return self._added

    @property
    def new(self) -> int:
        """Keyframes in the database that no solution, and no revision of an earlier run, has seen yet."""
        return len(self._added - self._solved)

    def request_solution(self) -> None:
        """Solve as soon as all pending keyframes are in, even if none is new where there is no solution yet."""
        self._wanted, self._cancelled, self.gave_up = True, False, ""

    @property
    def settled(self) -> bool:
        """After ``request_solution``: whether everything received is in the present solution, was given up, or cancelled."""
        return self._cancelled or not (self._wanted or self.pending or self.solving)

    def cancel(self) -> bool:
        """Stop what the worker does now; a solution that was asked for is given up, even if keyframes still wait for it.

        Returns:
            whether there was anything to stop.
        """
        asked = self._wanted or self.solving
        if asked:
            self._wanted, self._cancelled, self.gave_up = False, True, "cancelled"
        return self._worker.cancel() or asked

    def tick(self) -> None:
        """Take the worker's news, hand over keyframes, start a solution where one is due."""
        if self._closed:
            return
        idle = not self._worker.busy  # asked first: what happens meanwhile is the next tick's
        for event in self._worker.events():
            self._take(event)
        if idle:
            self._write_off()
        self.save()
        self._keep_up()
        self._tell_who_waits()
        hold = self._solution_due_in_backlog()
        while len(self._with_worker) < MAX_AHEAD and not self.solving and not hold:
            if (name := self.backlog.next()) is None:
                break
            self._hand_over(name)
        if self.solving or self._with_worker:
            return
        quiet = self._clock() - self._last_arrival
        if self._wanted and not self.backlog:
            self._wanted = False
            if self._finished == self._added and self.reconstruction is not None:
                return
            if len(self._added) < MIN_KEYFRAMES:
                self.gave_up = f"{len(self._added)} usable keyframes: a map needs at least {MIN_KEYFRAMES}"
                return
            self._start_solution(asked=True)
        elif self.schedule.due(self.new, len(self._solved), quiet) and not self._postponed:
            self._start_solution()

    def close(self) -> None:
        """Save, and end the worker, whatever it does; further ticks do nothing."""
        self._closed = True
        self.save()
        self._worker.close()

    # Inside

    def _hand_over(self, name: str) -> None:
        record = self.records[name]
        try:
            encoded, ignore = self.store.read_image(record), self.store.read_mask(name)
        except DataError as error:
            self._reject(name, str(error))
            return
        self._with_worker.append(name)
        scale = 1.0 if self._wanted else self.load.image_scale
        self._worker.add(record.keyframe(encoded), ignore, scale)

    def _keep_up(self) -> None:
        """Let nobody wait too long: give up a solution that nobody asked for, put keyframes aside that are too old, and where
        that is not enough, what ``load`` says."""
        if self._wanted or self._asked:
            return
        if self.load.look(self.backlog.late):
            log.info("to keep up with the keyframes: %s given up", self.load.words)
            self._findings.put(self.load.finding())
        if not self.backlog.late:
            return
        if self.solving and self.schedule.interruptible and not self._interrupted:
            self._interrupted = self._worker.cancel()
            self.figures.interrupted += self._interrupted
            log.info("keyframes wait: the solution in this pause is given up; the map goes on from its last revision")
        self.figures.put_aside += self.backlog.thin()

    def _tell_who_waits(self) -> None:
        """Keep the finding of those put aside up to date: it goes when they are taken in."""
        if (aside := self.backlog.aside) != self._aside_told:
            self._aside_told = aside
            self._findings.put(self.backlog.finding(len(self.records)))

    def _solution_due_in_backlog(self) -> bool:
        """Whether to let the worker run dry for a solution although keyframes wait: where they come faster than it can
        take them there would never be a map. Solutions then take a fifth of the time at most."""
        rest = max(BACKLOG_SECONDS, 4 * self._solution_seconds)
        due = self.schedule.due(self.new, len(self._solved), 0.0)
        return bool(self.backlog) and not self._wanted and due and self._clock() - self._solution_end >= rest

    @property
    def _postponed(self) -> bool:
        """Whether solutions in pauses wait until the machine keeps up: the map grows without them."""
        return self.schedule.interruptible and self.load.level >= LATER_STEPS

    def _start_solution(self, *, asked: bool = False) -> None:
        self._solving, self._solution_start = set(self._added), self._clock()
        self._asked, self._interrupted = asked, False
        self._worker.solve()

    def _take(self, event: Event) -> None:
        if isinstance(event, Opened):
            self._opened(event)
        elif isinstance(event, Added):
            self._answered(event.name)
            self._added.add(event.name)
            self.figures.added = len(self._added)
        elif isinstance(event, Rejected):
            self._answered(event.name)
            self._reject(event.name, event.reason)
        elif isinstance(event, Progressed):
            self.figures.progress = (event.stage, event.done, event.total)
            self.figures.stage = f"{event.stage} {event.done}/{event.total}"
        elif isinstance(event, Revised):
            if event.final:
                self._finished, self._solving, self._asked = self._solving or set(self._added), None, False
                self._solved = self._finished
                self._solution_end = self._clock()
                self._solution_seconds = self._solution_end - self._solution_start
                self.figures.stage = ""
            self._revised(event.reconstruction)
        elif isinstance(event, Failed):
            self._findings.add(WORKER_FAILED, reason=event.message)
            self.figures.failures += 1
            self.figures.last_failure = event.message
            self._on_failure(event.message)
        elif isinstance(event, Stopped):
            self.figures.stage = ""
            log.info("the reconstruction was stopped: %s", event.message)
            self._give_up(event.message)

    def _opened(self, event: Opened) -> None:
        """Take over what an earlier process left: nothing of it is done again, and whoever listens gets the map at once."""
        there = set(event.names) & self.records.keys()
        self._added |= there
        self.figures.added = len(self._added)
        self.backlog.forget(there)
        if event.reconstruction is not None and event.reconstruction.models:
            if not self._solved:
                self._solved = there & {name for model in event.reconstruction.models for name in model.names}
            self._revised(event.reconstruction)

    def _revised(self, reconstruction: Reconstruction) -> None:
        self.reconstruction = reconstruction
        self._on_revision(reconstruction)

    def _give_up(self, reason: str) -> None:
        """Leave a solution that runs, and begin none before something new arrives; what was solved before stays."""
        if self._solving is not None:
            self._solved, self._solving, self._asked = self._solving, None, False
            self.gave_up = "" if self._interrupted else reason  # whoever asks now gets another one

    def _answered(self, name: str) -> None:
        if name in self._with_worker:
            self._with_worker.remove(name)

    def _reject(self, name: str, reason: str) -> None:
        log.debug("left out: %s", reason)
        self._findings.add(KEYFRAMES_REJECTED, name, reason=reason)
        self.figures.rejected[name] = reason

    def _write_off(self) -> None:
        """The worker has nothing left to do: what it did not answer, it has given up."""
        lost, self._with_worker = self._with_worker, []
        for name in lost:
            self._reject(name, f"{name}: {self.figures.last_failure}")
        self._give_up(self.figures.last_failure)


def worker_factory(
    store: MapStore, config: ReconstructionConfig, networks: NetworkSettings
) -> Callable[[], ReconstructionWorker]:
    """Starts the real worker process on a map directory."""
    return lambda: ReconstructionWorker(store.root, config, networks)
