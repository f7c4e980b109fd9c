"""The second opinion: a global solution of the same pairs, which does not depend on the order of arrival.

It works on a copy of what it needs from the database, so that it can run in a thread (GLOMAP lets other threads run)
while the owner of the database goes on.
"""

from __future__ import annotations

import logging
import sqlite3
import tempfile
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import load_pycolmap
from seg2d3d_ros.reconstruction.batch.mappers import MIN_IMAGES, MapperTask, solve_component
from seg2d3d_ros.reconstruction.viewgraph import components

log = logging.getLogger(__name__)

TABLES = ("cameras", "rigs", "rig_sensors", "frames", "frame_data", "images", "keypoints", "two_view_geometries")
FIRST_CHECK = 12
CHECK_GROWTH = 3.0
"""A check is due at 12 images and whenever there are three times as many: all together cost half of the last one."""
DOUBT_GROWTH = 1.2
"""The same where new images contradict the map by strong pairs, as they do where a loop closes."""
TRACKS_PER_VIEW = 300
"""Tracks of an image that the global solution uses for its poses: more cost twice the time and move nothing."""
WORSE = 0.97
"""A global solution must explain at least this share of the matches that the model at hand explains. Epipolar agreement
cannot tell more: a model that bends itself to wrong matches explains some more of them than a straight one does."""
GPS_BETTER = 0.8
"""A solution is straighter by GPS when its residual is this share of the other's."""


@dataclass(frozen=True)
class Standing:
    """What speaks for a set of models.

    Attributes:
        images: registered.
        agreement: verified matches explained, see ``agreement``.
        gps: rms distance to the GPS positions in metres after the robust fit; NaN without.
    """

    images: int
    agreement: float
    gps: float = float("nan")


def prefer_global(challenger: Standing, incumbent: Standing) -> bool:
    """Whether a global solution takes the place of the model that grew.

    It must lose no image. The straighter one by GPS wins where GPS can tell; else the global one unless it explains
    clearly fewer matches, because no order of arrival has bent it.
    """
    if challenger.images < incumbent.images:
        return False
    if challenger.gps < GPS_BETTER * incumbent.gps or incumbent.gps < GPS_BETTER * challenger.gps:
        return challenger.gps < incumbent.gps and challenger.agreement > WORSE**2 * incumbent.agreement
    return challenger.agreement >= WORSE * incumbent.agreement


def copy_geometry(database: Path, target: Path) -> None:
    """Copy cameras, images, keypoints and verified pairs (no descriptors, no raw matches) into a new database."""
    load_pycolmap().Database.open(target).close()
    with sqlite3.connect(target, timeout=30.0, isolation_level=None) as connection:
        connection.execute("ATTACH DATABASE ? AS source", (str(database),))
        connection.execute("BEGIN")
        for table in TABLES:
            connection.execute(f"DELETE FROM main.{table}")
            connection.execute(f"INSERT INTO main.{table} SELECT * FROM source.{table}")
        connection.execute("COMMIT")
    connection.close()


class CrossCheck:
    """One global solution at a time, in a thread or at once.

    Args:
        threads: 1 = at once, so that the result does not depend on the machine's speed.

    Attributes:
        checked: registered images when the last check began.
        seen: images that it was given.
    """

    def __init__(self, threads: int) -> None:
        self._at_once = threads == 1
        self._thread: threading.Thread | None = None
        self._answer: list[Any] | None = None
        self.checked = 0
        self.seen = 0

    def due(self, images: int, *, doubted: bool = False) -> bool:
        """Whether a map of this many registered images, which there may be reason to doubt, asks for a check."""
        growth = DOUBT_GROWTH if doubted else CHECK_GROWTH
        return self._thread is None and images >= max(FIRST_CHECK, growth * self.checked)

    def start(self, task: MapperTask, image_ids: Sequence[int], pairs: np.ndarray, images: int) -> None:
        """Begin to solve the images ``image_ids``; ``images`` is the number registered at present."""
        self.checked, self.seen = images, len(image_ids)
        folder = tempfile.TemporaryDirectory(prefix="seg2d3d_", ignore_cleanup_errors=True)
        copy = Path(folder.name) / "database.db"
        copy_geometry(task.database, copy)
        own = replace(task, database=copy, tracks_per_view=TRACKS_PER_VIEW)

        def work() -> None:
            try:
                self._answer = solve_all(own, image_ids, pairs, "global")
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

    @property
    def running(self) -> bool:
        """Whether a solution is under way."""
        return self._thread is not None and self._thread.is_alive()

    def take(self, *, wait: Callable[[], None] | None = None) -> list[Any] | None:
        """The models of the check that has ended, once; None where there is none.

        Args:
            wait: wait for it, calling this ten times a second (it may raise, which leaves the check running).
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


def solve_all(task: MapperTask, image_ids: Sequence[int], pairs: np.ndarray, mapper: str) -> list[Any]:
    """Models of every component of the view graph, the largest first."""
    models: list[Any] = []
    for part in components(pairs, image_ids, task.min_matches):
        if len(part) >= MIN_IMAGES:
            models.extend(solve_component(task, part, pairs, mapper))
    return sorted(models, key=lambda m: (-m.num_reg_images(), -m.num_points3D()))
