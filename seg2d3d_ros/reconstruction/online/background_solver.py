"""Global solutions beside the online mapper: in a thread, on a copy of the database.

GLOMAP lets other threads run, and on a copy of what it needs the owner of the database can go on.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.disk.leftovers import ScratchFolder
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.reconstruction.batch.components import solve_images
from seg2d3d_ros.reconstruction.batch.mappers import MapperTask

log = logging.getLogger(__name__)

TABLES = ("cameras", "rigs", "rig_sensors", "frames", "frame_data", "images", "keypoints", "two_view_geometries")
TRACKS_PER_VIEW = 300
"""Tracks of an image that the global solution uses for its poses: more cost twice the time and move nothing."""


def copy_geometry(database: Path, target: Path) -> None:
    """Copy cameras, images, keypoints and verified pairs (no descriptors, no raw matches) into a new database."""
    pycolmap.Database.open(target).close()
    with sqlite3.connect(target, timeout=30.0, isolation_level=None) as connection:
        connection.execute("ATTACH DATABASE ? AS source", (str(database),))
        connection.execute("BEGIN")
        for table in TABLES:
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM source.{table}")
        connection.execute("COMMIT")
    connection.close()


class BackgroundSolver:
    """One global solution at a time, in a thread or at once.

    Args:
        threads: 1 = at once, so that the result does not depend on the machine's speed.

    Attributes:
        findings: what the last solution doubts, taken or not: calibrations and mounts.
    """

    def __init__(self, threads: int) -> None:
        self._at_once = threads == 1
        self._thread: threading.Thread | None = None
        self._answer: list[pycolmap.Reconstruction] | None = None
        self.findings: list[Finding] = []

    @property
    def started(self) -> bool:
        """Whether there is a solution to ``take``, now or later."""
        return self._thread is not None or self._answer is not None

    @property
    def running(self) -> bool:
        """Whether a solution is under way."""
        return self._thread is not None and self._thread.is_alive()

    def start(self, task: MapperTask, image_ids: Sequence[int], pairs: np.ndarray) -> None:
        """Begin to solve the images ``image_ids``; see ``solve_images``."""
        folder = ScratchFolder()
        copy = Path(folder.name) / "database.db"
        copy_geometry(task.database, copy)
        own = replace(task, database=copy, tracks_per_view=TRACKS_PER_VIEW)

        def work() -> None:
            try:
                solved = solve_images(own, image_ids, pairs, "global")
                self.findings = [finding for one in solved for finding in one.findings]
                self._answer = [one.model for one in solved]
            except (RuntimeError, ValueError) as error:
                log.warning("the global solution failed: %s", error)
                self._answer = []
            finally:
                folder.cleanup()

        if self._at_once:
            work()
        else:
            self._thread = threading.Thread(target=work, name="global solution", daemon=True)
            self._thread.start()

    def take(self, *, wait: Callable[[], None] | None = None) -> list[pycolmap.Reconstruction] | None:
        """The models of the solution that has ended, once; None where there is none.

        Args:
            wait: wait for it, calling this ten times a second (it may raise, which leaves the solution running).
        """
        while wait is not None and self.running:
            wait()
            if self._thread is not None:
                self._thread.join(0.1)
        if self.running:
            return None
        self._thread = None
        answer, self._answer = self._answer, None
        return answer
