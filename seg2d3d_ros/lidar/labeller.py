"""Scans in, labelled points in the map frame out, a stretch of the drive at a time so that memory stays bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Finding, Findings, Kind
from seg2d3d_ros.geometry.frames import FrameTree
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.trajectory import Trajectory
from seg2d3d_ros.geometry.voxels import one_per_voxel
from seg2d3d_ros.lidar.carry import Carried, carry_labels
from seg2d3d_ros.lidar.scans import Scan
from seg2d3d_ros.sections.cloud_config import CloudConfig
from seg2d3d_ros.sections.superpoint_config import SuperpointConfig
from seg2d3d_ros.superpoints.shown_labels import LabelledView
from seg2d3d_ros.types import SparseModel

CHUNK_POINTS = 400_000
"""Points that are labelled at once: they hide each other. About 100 MB."""
CHUNK_SECONDS = 10.0
"""Scans farther apart in time are not labelled together: what moved in between would hide what stands."""
POSE_STEP = 0.005
"""Seconds: within a turn the pose is computed this often."""


SCANS_OUTSIDE = Kind(
    "scans_outside_the_drive",
    "scans before the first keyframe in the map or after the last one",
    cause="the images of these parts of the drive are missing or were not registered, or the clocks differ (up to {seconds})",
    remedy="see which images are not in the map; let the LiDAR's stamps and the cameras' come from one clock",
)
SCANS_IN_GAPS = Kind(
    "scans_in_gaps",
    "scans between keyframes that are too far apart in time",
    cause="up to {seconds} lie between neighbouring keyframes of one component, more than cloud.max_gap ({max_gap})",
    remedy="more keyframes (keyframes.distance), images that can be registered, or a larger cloud.max_gap",
)
SCANS_WITHOUT_MOUNT = Kind(
    "scans_without_mount",
    "scans of a sensor whose place on the vehicle is unknown",
    cause="no chain of transforms leads from {frame} to a camera",
    remedy="record /tf_static, or give the sensor's place in the file that reconstruction.rig names",
)
SCANS_EMPTY = Kind(
    "scans_empty",
    "scans without a point in reach",
    cause="every point is invalid, at the origin, or farther away than 1.5 times cloud.max_range",
    remedy="check the sensor; raise cloud.max_range",
)


Carry = Callable[[np.ndarray, Sequence[LabelledView]], Carried]
"""``carry(xyz, views)``: the labels of points (N, 3) in the map frame, which these views may see."""


@dataclass(frozen=True)
class LabelledPoints:
    """N points of one or more scans in the map frame.

    Attributes:
        xyz: (N, 3) float64 metres.
        instance: (N,) int32, 0 = none.
        confidence: (N,) float32; 0 = no view sees the point.
        rgb: (N, 3) uint8.
        intensity: (N,) float32, NaN where the sensor gives none.
        scan: (N,) int32 number of the scan, counted from the labeller's first.
        row: (N,) int32 place in the scan's message.
        stamps: by number, the stamp in ns of each scan in it.
    """

    xyz: np.ndarray
    instance: np.ndarray
    confidence: np.ndarray
    rgb: np.ndarray
    intensity: np.ndarray
    scan: np.ndarray
    row: np.ndarray
    stamps: Mapping[int, int]


@dataclass
class _Chunk:
    """Scans that wait: by number their stamps, and of each one the places, intensities, numbers and rows of its points."""

    stamps: dict[int, int] = field(default_factory=dict)
    scans: list[tuple[np.ndarray, ...]] = field(default_factory=list)
    points: int = 0


class CloudLabeller:
    """Places scans by the keyframes' poses and carries the keyframes' labels to their points.

    Args:
        models: components; those in the frame of the largest one are used.
        moments: (camera name, stamp in ns) of each keyframe.
        frames: where the sensors are on the vehicle.
        frame_of_camera: TF frame of each camera, by camera name; a camera without an entry is its own frame.
        labels, image: give a keyframe's label image and picture, or None.
        superpoints: labels are completed over superpoints, if these parameters say so; None = never.
        carry: labels points in another way than by the views' labels.

    Attributes:
        counts: ``scans``, ``scans_thinned`` (closer in time than ``interval``), ``scans_lost``, ``scans_used``, ``points``,
            ``points_seen``, ``points_labelled``. Of the scans, those thinned, lost and used are all.
        findings: why scans were lost.

    Raises:
        DataError: the map is not metric.
    """

    def __init__(
        self,
        models: Sequence[SparseModel],
        moments: Mapping[str, tuple[str, int]],
        frames: FrameTree,
        config: CloudConfig,
        *,
        labels: Callable[[str], np.ndarray | None],
        image: Callable[[str], np.ndarray | None] = lambda name: None,
        frame_of_camera: Mapping[str, str] | None = None,
        superpoints: SuperpointConfig | None = None,
        carry: Carry | None = None,
    ) -> None:
        check_metric(models)
        self._models = [model for model in models if model.frame == models[0].frame]
        self._moments, self._frames, self._config = moments, frames, config
        self._frame_of_camera = dict(frame_of_camera or {})
        self._carry = carry
        self._superpoints = superpoints if superpoints is not None and superpoints.complete else None
        self._views = [
            LabelledView(view, lambda name=name: labels(name), lambda name=name: image(name))  # type: ignore[misc]
            for model in self._models
            for name, view in zip(model.names, model.views(), strict=True)
            if view is not None
        ]
        self._centers = np.array([item.view.center for item in self._views]).reshape(-1, 3)
        known = [moments[name][1] for model in self._models for name in model.names if name in moments]
        self._stamps = np.unique(np.array(known, np.int64))
        self._paths: dict[str, list[Trajectory]] = {}
        self._chunk, self._last_ns = _Chunk(), -(2**62)
        self._gap = self._outside = 0.0
        names = ("scans", "scans_thinned", "scans_lost", "scans_used", "points", "points_seen", "points_labelled")
        self.counts = dict.fromkeys(names, 0)
        self.findings = Findings()

    def covers(self, frame_id: str, stamp_ns: int) -> bool:
        """Whether a scan of this moment can be placed.

        Raises:
            DataError: the sensor's place on the vehicle is not known.
        """
        return any(path.covers(stamp_ns) for path in self.paths(frame_id))

    def seconds_after(self, stamp_ns: int) -> float:
        """How much of the drive after this moment is in the map: seconds between keyframes, gaps as ``max_gap`` at most."""
        later = np.append(stamp_ns, self._stamps[self._stamps > stamp_ns])
        return float(np.minimum(np.diff(later) * 1e-9, self._config.max_gap).sum())

    def paths(self, frame_id: str) -> list[Trajectory]:
        """The sensor's path in each component.

        Raises:
            DataError: its place on the vehicle is not known.
        """
        if frame_id not in self._paths:
            cameras = {camera for camera, _ in self._moments.values()}
            targets = {camera: self._frame_of_camera.get(camera, camera) for camera in sorted(cameras)}
            found = {camera: self._frames.find(target, frame_id) for camera, target in targets.items()}
            known = {camera: pose for camera, pose in found.items() if pose is not None}
            if not known:
                self._frames.get(next(iter(targets.values()), "camera"), frame_id)
            self._paths[frame_id] = [
                sensor_trajectory(model, self._moments, known, self._config.max_gap) for model in self._models
            ]
        return self._paths[frame_id]

    def label(self, scans: Iterable[Scan]) -> Iterator[LabelledPoints]:
        """Scans in order of time, labelled stretch by stretch; see ``add``."""
        for scan in scans:
            if (found := self.add(scan)) is not None:
                yield found
        if (found := self.flush()) is not None:
            yield found

    def add(self, scan: Scan) -> LabelledPoints | None:
        """Take a scan; the labelled points of the stretch that it ends, if it ends one.

        Scans closer in time to the last one than ``interval`` are left out; those that cannot be used are counted by reason.
        """
        self.counts["scans"] += 1
        gap = (scan.stamp_ns - self._last_ns) * 1e-9
        if 0 <= gap < self._config.interval - 1e-4:
            self.counts["scans_thinned"] += 1
            return None
        kept = _thinned(scan.xyz, self._config)
        if not self._usable(scan, len(kept)):
            return None
        finished = self.flush() if not 0 <= gap < CHUNK_SECONDS or self._chunk.points > CHUNK_POINTS else None
        self._last_ns = scan.stamp_ns
        self.counts["scans_used"] += 1
        chunk, number = self._chunk, self.counts["scans"] - 1
        intensity = np.full(len(kept), np.nan, np.float32) if scan.intensity is None else scan.intensity[kept]
        chunk.scans.append((self._placed(scan)[kept], intensity, np.full(len(kept), number, np.int32), scan.row[kept]))
        chunk.stamps[number] = scan.stamp_ns
        chunk.points += len(kept)
        return finished

    def _usable(self, scan: Scan, points: int) -> bool:
        """Whether a scan with so many points in reach can be placed; else it is counted as lost."""
        try:
            if not points:
                self.lose(SCANS_EMPTY)
            elif self.covers(scan.frame_id, scan.stamp_ns):
                return True
            else:
                self._lose_in_time(scan.stamp_ns)
        except DataError:
            self.lose(SCANS_WITHOUT_MOUNT, frame=scan.frame_id)
        return False

    def _lose_in_time(self, stamp_ns: int) -> None:
        stamps = self._stamps[self._stamps != 0]  # 0 = unknown
        before, after = stamps[stamps <= stamp_ns], stamps[stamps >= stamp_ns]
        if len(before) and len(after):
            self._gap = max(self._gap, (after[0] - before[-1]) * 1e-9)
            self.lose(SCANS_IN_GAPS, seconds=f"{self._gap:.1f} s", max_gap=f"{self._config.max_gap:g} s")
            return
        if len(before) or len(after):
            apart = stamp_ns - before[-1] if len(before) else after[0] - stamp_ns
            self._outside = max(self._outside, float(apart) * 1e-9)
        self.lose(SCANS_OUTSIDE, seconds=f"{self._outside:.1f} s" if len(stamps) else "no keyframe has a stamp")

    def lose(self, kind: Kind, **details: str) -> None:
        """Count a scan that cannot be used."""
        self.counts["scans_lost"] += 1
        self.findings.update([Finding(kind, 1, self.counts["scans"], details=dict(details))])

    def flush(self) -> LabelledPoints | None:
        """Label what waits."""
        chunk, self._chunk = self._chunk, _Chunk()
        if chunk.points == 0:
            return None
        xyz, intensity, scan, row = (np.concatenate(parts) for parts in zip(*chunk.scans, strict=True))
        kept = one_per_voxel(xyz, self._config.voxel)
        xyz, intensity, scan, row = xyz[kept], intensity[kept], scan[kept], row[kept]
        views = [self._views[k] for k in np.flatnonzero(self._reachable(xyz))]
        if self._carry is not None:
            carried = self._carry(xyz, views)
        else:
            carried = carry_labels(xyz, views, self._config.max_range, self._superpoints)
        self.counts["points"] += len(xyz)
        self.counts["points_seen"] += int(np.count_nonzero(carried.confidence))
        self.counts["points_labelled"] += int(np.count_nonzero(carried.instance))
        return LabelledPoints(xyz, carried.instance, carried.confidence, carried.rgb, intensity, scan, row, chunk.stamps)

    def _placed(self, scan: Scan) -> np.ndarray:
        """(N, 3) float64 points in the map frame, each by the pose of its own moment."""
        xyz = scan.xyz.astype(np.float64)
        path = next(path for path in self.paths(scan.frame_id) if path.covers(scan.stamp_ns))
        offset = np.zeros(len(xyz)) if scan.offset is None else scan.offset
        moment, place = np.unique(np.round(offset / POSE_STEP), return_inverse=True)
        return path.at(scan.stamp_ns, moment * POSE_STEP)[place].apply(xyz[:, None])[:, 0]

    def _reachable(self, xyz: np.ndarray) -> np.ndarray:
        """(V,) bool: views from which some of the points (N, 3) may be seen."""
        low, high = xyz.min(axis=0), xyz.max(axis=0)
        outside = np.maximum(low - self._centers, 0) + np.maximum(self._centers - high, 0)
        return np.linalg.norm(outside, axis=1) < self._config.max_range


def _thinned(xyz: np.ndarray, config: CloudConfig) -> np.ndarray:
    """Indices of the points (N, 3) of a scan that are neither too far for any camera nor closer together than a voxel."""
    near = np.flatnonzero((xyz**2).sum(axis=1) < (1.5 * config.max_range) ** 2)
    return near[one_per_voxel(xyz[near], config.voxel)]


def sensor_trajectory(
    model: SparseModel, moments: Mapping[str, tuple[str, int]], camera_from_sensor: Mapping[str, Pose], max_gap: float
) -> Trajectory:
    """The path of a sensor that is fixed to the cameras of one component.

    Args:
        model: metric.
        moments: camera name and stamp in ns of each keyframe; those without a stamp (0) say nothing.
        camera_from_sensor: by camera name; other cameras are left out.
    """
    stamps: list[int] = []
    poses: list[Pose] = []
    for name, camera_from_world in zip(model.names, model.pose, strict=True):
        camera, stamp_ns = moments.get(name, ("", 0))
        if stamp_ns and camera in camera_from_sensor and camera_from_world.finite:
            stamps.append(stamp_ns)
            poses.append(camera_from_world.inverse() @ camera_from_sensor[camera])
    return Trajectory(np.array(stamps, np.int64), Pose.stack(poses), max_gap)


def check_metric(models: Sequence[SparseModel]) -> None:
    """Raise ``DataError`` unless the largest component is metric."""
    if not models:
        raise DataError("there is no map to carry labels from")
    if models[0].frame.kind == "arbitrary":
        raise DataError(
            "labels cannot be carried to a LiDAR cloud: the map's scale is arbitrary, and the cloud is in metres. Positions "
            "(a NavSatFix topic), odometry, or the cameras' places on the vehicle (reconstruction.rig) give the map its scale"
        )
