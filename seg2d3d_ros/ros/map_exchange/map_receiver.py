"""Puts the map's messages together: a revision is complete when all of its messages are here, in whatever order.

``map/points``, ``map/observations``, ``map/cameras`` and ``map/datum`` are different topics, and order holds only within
one. A revision is therefore taken when its points are here **and** the end mark with the same header has come behind its
observations, and, from a sender that sends poses or the meaning of coordinates, these are here too.
A receiver that came late, or lost messages, sees it: points without a mark, points that fewer than two keyframes observe,
another number of poses than of keyframes with observations, or intrinsics of a part of them. It then asks the sender to
send everything again, until it is there (``ros.map_exchange.map_subscription``).
"""

from __future__ import annotations

import threading
import time

import numpy as np
from geometry_msgs.msg import PoseArray
from sensor_msgs.msg import CameraInfo, NavSatFix, PointCloud2
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.recording.calibration import camera_from_message
from seg2d3d_ros.recording.naming import stamp_to_ns
from seg2d3d_ros.ros.messages.conversion import keyframe_name
from seg2d3d_ros.ros.messages.map_messages import (
    MAP_POINT,
    OBSERVATION,
    assemble,
    by_header,
    camera_from_pose,
    frame_from_fix,
    wanted_fields,
)
from seg2d3d_ros.types import SparseModel, WorldFrame

RevisionKey = tuple[str, int]
"""Map frame and stamp in ns: what points and end mark of one revision share."""


def revision_of(header: Header) -> RevisionKey:
    """The identity of a revision."""
    return header.frame_id, stamp_to_ns(header.stamp)


class MapReceiver:
    """The newest map, from its messages. Safe to use from several threads.

    Attributes:
        last_message: when the last points or observations came (monotonic s).
    """

    def __init__(self, map_frame: str) -> None:
        self._map_frame = map_frame
        self._lock = threading.Lock()
        self.last_message = time.monotonic()
        self.clear()

    def clear(self) -> None:
        """Forget the map."""
        with self._lock:
            self._points = np.empty(0, MAP_POINT)
            self._points_revision: RevisionKey | None = None
            self._marked: RevisionKey | None = None
            self._observations: dict[str, np.ndarray] = {}
            self._headers: dict[str, Header] = {}
            self._frame = WorldFrame()
            self._frame_revision: RevisionKey | None = None
            self._poses: list[np.ndarray] = []
            self._poses_revision: RevisionKey | None = None
            self._cameras: dict[str, Camera | None] = {}

    def on_points(self, message: PointCloud2) -> None:
        """``map/points``."""
        points = wanted_fields(message, MAP_POINT, "map/points")
        _check_numbers(points, "xyz", "map/points")
        with self._lock:
            self.last_message = time.monotonic()
            self._points, self._points_revision = points, revision_of(message.header)

    def on_observations(self, message: PointCloud2) -> None:
        """``map/observations``, the end mark among them."""
        rows = wanted_fields(message, OBSERVATION, "map/observations")
        _check_numbers(rows, "uv", "map/observations")
        with self._lock:
            self.last_message = time.monotonic()
            if message.header.frame_id == self._map_frame:
                self._marked = revision_of(message.header)
                return
            name = keyframe_name(message.header)
            if len(rows):
                self._observations[name], self._headers[name] = rows, message.header
            else:
                self._observations.pop(name, None)

    def on_datum(self, message: NavSatFix) -> None:
        """``map/datum``."""
        with self._lock:
            self._frame, self._frame_revision = frame_from_fix(message), revision_of(message.header)

    def on_cameras(self, message: PoseArray) -> None:
        """``map/cameras``."""
        poses = [camera_from_pose(pose) for pose in message.poses]
        with self._lock:
            self._poses, self._poses_revision = poses, revision_of(message.header)

    def on_camera_info(self, message: CameraInfo) -> None:
        """``map/camera_info`` of one keyframe."""
        name = keyframe_name(message.header)
        camera = camera_from_message(message, (message.width, message.height), f"map/camera_info of {name}")
        with self._lock:
            self._cameras[name] = camera

    @property
    def revision(self) -> RevisionKey | None:
        """The revision whose points and observations are all here, or None while they are on their way."""
        with self._lock:
            others = {self._poses_revision, self._frame_revision} - {None}
            return self._points_revision if {self._points_revision, self._marked} | others == {self._points_revision} else None

    @property
    def announced(self) -> RevisionKey | None:
        """The newest revision of ``map/points``, complete or not."""
        with self._lock:
            return self._points_revision

    @property
    def names(self) -> list[str]:
        """The keyframes that are in the map now."""
        with self._lock:
            return list(self._observations)

    @property
    def headers(self) -> dict[str, Header]:
        """The header of each keyframe that was ever observed, by name."""
        with self._lock:
            return dict(self._headers)

    def missing(self) -> int:
        """Points that fewer than two observations hold: 0 for a whole map, as every 3D point comes from two views."""
        with self._lock:
            rows = np.concatenate([np.empty(0, OBSERVATION), *self._observations.values()])
            if self._points_revision is None:
                return 0
            seen, counts = np.unique(rows["point_id"], return_counts=True)
            return int(np.count_nonzero(~np.isin(self._points["point_id"], seen[counts >= 2])))

    def surplus(self) -> int:
        """Keyframes with observations beyond the poses of the complete revision (negative: too few of them); 0 where no
        poses are sent, or those of the revision are on their way."""
        with self._lock:
            known = self._points_revision is not None and self._points_revision == self._marked == self._poses_revision
            return len(self._observations) - len(self._poses) if known else 0

    def unknown_cameras(self) -> int:
        """Keyframes of the map without intrinsics; 0 where the sender sends none at all."""
        with self._lock:
            known = self._observations.keys() & self._cameras.keys()
            return len(self._observations) - len(known) if known else 0

    def forget_observations(self) -> None:
        """Wait for all observations anew: call it before the sender is asked for all of them."""
        with self._lock:
            self._observations, self._marked = {}, None

    def models(self) -> list[SparseModel]:
        """The components, largest first; empty before the first complete revision."""
        with self._lock:
            if self._points_revision is None:
                return []
            names = by_header(self._observations, self._headers)
            # Another number of poses than keyframes belongs to another revision.
            matching = len(self._poses) == len(names) and self._poses_revision == self._points_revision
            poses = dict(zip(names, self._poses, strict=True)) if matching else {}
            return assemble(self._points, self._observations, self._frame, poses, self._cameras)


def _check_numbers(rows: np.ndarray, fields: str, topic: str) -> None:
    """Raise ``DataError`` where coordinates are no numbers: they would be somebody's index or mean later on."""
    bad = sum(int(np.count_nonzero(~np.isfinite(rows[name]))) for name in fields)
    if bad:
        raise DataError(f"{topic}: {bad} coordinates that are no numbers; it is not from this package")
