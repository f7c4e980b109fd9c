"""Poses that somebody gave images, and how they find their photographs: by name, by time, or by order."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from seg2d3d_ros.findings import Finding, Findings, Kind
from seg2d3d_ros.geometry.attitude import AngleConvention
from seg2d3d_ros.geometry.given_pose import Axes, Body, GivenPose
from seg2d3d_ros.geometry.trajectory import StampedSeries
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.keyframes.folder_scan import PhotoFile
from seg2d3d_ros.sections.keyframe_config import KeyframeConfig

WITHOUT_POSE = Kind(
    "images_without_pose",
    "images without a pose",
    cause="{source} has none for them",
    remedy="they are matched and placed by their points, as without poses; see that names or times agree with the images'",
)


@dataclass(frozen=True)
class PoseHints:
    """What a file of poses may leave open.

    Attributes:
        body: what the poses are of.
        angles: convention of roll, pitch and yaw; None = whichever agrees with the images.
        sigma: standard deviation of places in metres, where the file does not say.
        rotation_sigma: of rotations, in degrees, where the file does not say.
        max_gap: seconds between two poses between which others are interpolated.
    """

    body: Body = "auto"
    angles: AngleConvention | None = None
    sigma: float = 0.1
    rotation_sigma: float = 0.5
    max_gap: float = 2.5

    @classmethod
    def of(cls, config: KeyframeConfig) -> PoseHints:
        """As the configuration says."""
        angles = None if config.pose_angles == "auto" else cast(AngleConvention, config.pose_angles)
        body = cast(Body, config.pose_body)
        return cls(body, angles, config.pose_sigma, config.pose_rotation_sigma, config.max_fix_gap)

    def pose(
        self,
        rotation: np.ndarray,
        position: np.ndarray | None,
        axes: Axes = "optical",
        *,
        body: Body | None = None,
        sigma: float = math.nan,
        rotation_sigma: float = math.nan,
        metric: bool = True,
    ) -> GivenPose:
        """A pose with all that its file leaves open; see ``GivenPose``. NaN = the file does not say."""
        turn = rotation_sigma if math.isfinite(rotation_sigma) else math.radians(self.rotation_sigma)
        place = sigma if math.isfinite(sigma) else self.sigma
        return GivenPose(rotation, position, axes, body or self.body, place, turn, metric)


@dataclass(frozen=True, eq=False)
class PoseRow:
    """A pose, the name of its image as the file writes it, and where it stands in the file.

    Attributes:
        line: number of the line, or of the entry.
        image: as the file names it.
        given: the pose.
        geo: the place, where the file says it on the Earth.
    """

    line: int
    image: str
    given: GivenPose
    geo: GeoPosition | None = None

    def metres_from(self, other: PoseRow) -> float:
        """Of its place from that of another."""
        if self.given.position is None or other.given.position is None:
            return 0.0
        return float(np.linalg.norm(self.given.position - other.given.position))


class PoseSource(ABC):
    """Knows the poses of photographs.

    Args:
        source: the file, for messages.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    @abstractmethod
    def of(self, photo: PhotoFile, stamp_ns: int) -> PoseRow | None:
        """The pose of a photograph that was taken at ``stamp_ns`` (0 = unknown); None where there is none."""

    def tell(self, missing: Sequence[str], images: int, findings: Findings) -> None:
        """Say how many images have no pose.

        Args:
            missing: their names.
            images: how many there are.
            findings: gets it.
        """
        findings.put(Finding(WITHOUT_POSE, len(missing), images, tuple(missing[:3]), {"source": self.source}))


class PosesByName(PoseSource):
    """Poses by the names of the photographs.

    Args:
        source: see ``PoseSource``.
        rows: name of the photograph -> its pose.
    """

    def __init__(self, source: str, rows: Mapping[str, PoseRow]) -> None:
        super().__init__(source)
        self._rows = rows

    def of(self, photo: PhotoFile, stamp_ns: int) -> PoseRow | None:
        """See ``PoseSource``."""
        return self._rows.get(photo.name)


class PosesByTime(PoseSource):
    """Poses along a way, interpolated where they are near enough in time.

    Args:
        source: see ``PoseSource``.
        stamps_ns: (N,) any order.
        rows: (N,) the poses.
        max_gap: seconds between two poses between which others are interpolated.
    """

    def __init__(self, source: str, stamps_ns: Sequence[int], rows: Sequence[PoseRow], max_gap: float) -> None:
        super().__init__(source)
        self._series: StampedSeries[GivenPose] = StampedSeries(max_gap)
        for stamp_ns, row in zip(stamps_ns, rows, strict=True):
            self._series.add(stamp_ns, row.given)

    def of(self, photo: PhotoFile, stamp_ns: int) -> PoseRow | None:
        """See ``PoseSource``."""
        given = self._series.at(stamp_ns) if stamp_ns > 0 else None
        return None if given is None else PoseRow(0, photo.name, given)


class PosesByOrder(PoseSource):
    """Poses without names or times: one for each image, or one for each moment of several cameras, in the order of names.

    Args:
        source: see ``PoseSource``.
        rows: the poses.
        photos: in the order of their names.
    """

    def __init__(self, source: str, rows: Sequence[PoseRow], photos: Sequence[PhotoFile]) -> None:
        super().__init__(source)
        by_camera: dict[str, list[str]] = {}
        for photo in photos:
            by_camera.setdefault(photo.camera_name, []).append(photo.name)
        self._rows: dict[str, PoseRow] = {}
        for names in by_camera.values() if len(rows) != len(photos) else [[photo.name for photo in photos]]:
            if len(names) == len(rows):
                self._rows.update(zip(names, rows, strict=True))

    def __bool__(self) -> bool:
        """Whether the number of poses is that of the images of at least one camera."""
        return bool(self._rows)

    def of(self, photo: PhotoFile, stamp_ns: int) -> PoseRow | None:
        """See ``PoseSource``."""
        return self._rows.get(photo.name)
