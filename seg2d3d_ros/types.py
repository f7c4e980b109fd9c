"""The values that pass between packages: frozen dataclasses of NumPy arrays, checked when built.

Conventions
    * Transforms are named ``target_from_source``; ``camera_from_world`` maps world points into the camera
      (x right, y down, z forward).
    * Pixel coordinates are COLMAP's: the centre of the top-left pixel is (0.5, 0.5), so the pixel that holds
      a keypoint is ``floor(xy)``. ROS and OpenCV put that centre at (0, 0): convert at the border.
    * Ids: 0 means "none" for segments and instances.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from scipy import sparse

from seg2d3d_ros.arrays import check_array, places
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.given_pose import GivenPose
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.geometry.oriented_boxes import OrientedBoxes
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.geometry.panorama.panorama_view import PanoramaView
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.up import Up, Z, up_of_cameras
from seg2d3d_ros.geometry.vertical.camera_up import CameraUp
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.geometry.wgs84 import GeoPosition

FrameKind = Literal["arbitrary", "metric", "enu"]


@dataclass(frozen=True)
class Keyframe:
    """One image that was chosen for the map.

    Attributes:
        name: key everywhere on disk: the image file's stem, or ``<camera>_<stamp ns>`` for streams.
        camera_name: which physical camera (ROS: the header's frame_id).
        stamp_ns: capture time in nanoseconds since the epoch, 0 if unknown.
        encoded: the image file's bytes (JPEG, PNG, …), decoded on demand by ``seg2d3d_ros.images``.
        camera: intrinsics, or None if nothing is known.
        geo: WGS84 position, or None.
        mount: ``base_from_camera`` in metres, where the camera's place on the vehicle is known (TF).
        up: the vertical in the camera frame, where a sensor measured it.
        odometry: ``odom_from_base`` at the capture time: metres, drifting, from the wheels or an IMU.
        view: which view of which panorama it is; None for an image that a camera took.
        given: the pose that a navigation system or another program gave the image, or None.
        file_name: the image's name in the COLMAP model and below the image folder, e.g. ``0001.jpg``.
        source: path or topic, for messages to the user.
    """

    name: str
    camera_name: str
    stamp_ns: int
    encoded: bytes = field(repr=False)
    camera: Camera | None = None
    geo: GeoPosition | None = None
    file_name: str = ""
    source: str = ""
    mount: Pose | None = field(default=None, compare=False, repr=False)
    up: CameraUp | None = field(default=None, compare=False, repr=False)
    odometry: Pose | None = field(default=None, compare=False, repr=False)
    view: PanoramaView | None = field(default=None, compare=False, repr=False)
    given: GivenPose | None = field(default=None, compare=False, repr=False)

    @cached_property
    def size(self) -> tuple[int, int]:
        """Width and height of the image, from its header.

        Raises:
            DataError: no image format that is known here.
        """
        from seg2d3d_ros.images import image_size  # brings OpenCV, which values alone need not

        return image_size(self.encoded, self.source or self.name)


@dataclass(frozen=True)
class Segments:
    """The objects found in one keyframe. Overlaps were resolved by score before: one label a pixel.

    Attributes:
        name: the keyframe's name.
        labels: (H, W) uint16, 0 = none, else a segment id that means nothing beyond this image.
        ids: (S,) uint16 ascending, the segment ids that occur.
        classes: (S,) int32, 1-based index into the prompts.
        scores: (S,) float32 in [0, 1].
        overlapping: the masks that these are a flat choice from; None where there are no others.
    """

    name: str
    labels: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    overlapping: OverlappingMasks | None = field(default=None, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_array(f"{self.name}: labels", self.labels, (None, None), "u")
        check_array(f"{self.name}: ids", self.ids, (None,), "u")
        check_array(f"{self.name}: classes", self.classes, (len(self.ids),), "i")
        check_array(f"{self.name}: scores", self.scores, (len(self.ids),), "f")

    @classmethod
    def from_runs(cls, name: str, runs: LabelRuns, ids: np.ndarray, classes: np.ndarray, scores: np.ndarray) -> Segments:
        """Segments whose label image is known as ``runs``, which are kept: nobody has to find them again."""
        segments = cls(name, runs.image(), ids, classes, scores)
        segments.__dict__["runs"] = runs  # the value of the cached property; the dataclass is frozen
        return segments

    @cached_property
    def runs(self) -> LabelRuns:
        """``labels`` as runs."""
        return LabelRuns.of(self.labels)

    @property
    def boxes(self) -> np.ndarray:
        """(S, 4) int32 ``x0 y0 x1 y1``, the last pixel excluded."""
        return self.runs.boxes(self.ids)


@dataclass(frozen=True)
class Observation:
    """One segment of a keyframe, or a part of one, that shows an instance: an entry of ``tracks.json``.

    Attributes:
        image: the keyframe's name.
        segment: id of the segment, also of one that is only in part the instance's; of a recovered region, a free id.
        instance, class_id: what is shown.
        box: ``x0 y0 x1 y1``, the last pixel excluded, of the segment or part.
        score: the detector's, of the segment.
        share: of the segment's pixels, how many are the instance's.
        recovered: no mask showed it; it was drawn from the instance's points.
        agreement: of the labelled 3D points in the segment or part, how many are the instance's.
    """

    image: str
    segment: int
    instance: int
    class_id: int
    box: tuple[int, int, int, int]
    score: float
    share: float = 1.0
    recovered: bool = False
    agreement: float = 1.0

    def sureness(self, instance_score: float) -> float:
        """How sure it is that the instance is seen here: as sure as the instance, as far as the points in the mask agree.

        Detectors' scores are not comparable with each other and do not enter, but for what was drawn without a mask.
        """
        return instance_score * self.agreement * (self.score if self.recovered else 1.0)


@dataclass(frozen=True)
class WorldFrame:
    """What the model's coordinates mean.

    ``arbitrary``: origin, axes and scale are the solver's. ``metric``: metres, arbitrary origin.
    ``enu``: metres east, north, up of ``datum`` (latitude, longitude in degrees, altitude in metres; WGS84).

    ``up`` is the unit vector that points up in the other frames; None = nobody asked, so that the cameras' rows tell it.
    ``given``: origin and axes are those of the poses that the images were given.
    ``scale_sigma``: relative standard deviation of the scale; None = unknown. It says how well the frame is known, not which
    it is: frames that differ in it only are equal.
    """

    kind: FrameKind = "arbitrary"
    datum: tuple[float, float, float] | None = None
    given: bool = False
    up: tuple[float, float, float] | None = None
    scale_sigma: float | None = field(default=None, compare=False)


@dataclass(frozen=True)
class SparseModel:
    """One connected component of the reconstruction: K registered keyframes, P points, N observations.

    Attributes:
        names: (K,) keyframe names.
        cameras: (K,) intrinsics of each keyframe.
        camera_from_world: (K, 3, 4) float64.
        xyz: (P, 3) float64 in the world frame.
        rgb: (P, 3) uint8.
        error: (P,) float32 mean reprojection error in pixels.
        point_ids: (P,) int64, unique over all components, stable between revisions.
        obs_keyframe: (N,) int32 index into ``names``.
        obs_point: (N,) int32 index into ``point_ids``.
        obs_xy: (N, 2) float32 pixel coordinates (see the module's conventions).
        component: 0 for the largest.
        revision: grows with every publication.
    """

    names: tuple[str, ...]
    cameras: tuple[Camera, ...]
    camera_from_world: np.ndarray
    xyz: np.ndarray
    rgb: np.ndarray
    error: np.ndarray
    point_ids: np.ndarray
    obs_keyframe: np.ndarray
    obs_point: np.ndarray
    obs_xy: np.ndarray
    frame: WorldFrame = field(default_factory=WorldFrame)
    component: int = 0
    revision: int = 0

    def __post_init__(self) -> None:
        keyframes, points, observations = len(self.names), len(self.point_ids), len(self.obs_point)
        check_array("camera_from_world", self.camera_from_world, (keyframes, 3, 4), "f")
        check_array("xyz", self.xyz, (points, 3), "f")
        check_array("rgb", self.rgb, (points, 3), "u")
        check_array("error", self.error, (points,), "f")
        check_array("obs_keyframe", self.obs_keyframe, (observations,), "i")
        check_array("obs_point", self.obs_point, (observations,), "i")
        check_array("obs_xy", self.obs_xy, (observations, 2), "f")

    @property
    def pose(self) -> Pose:
        """(K,) ``camera_from_world``; NaN where nobody said it."""
        return Pose.from_matrix(self.camera_from_world)

    @property
    def centers(self) -> np.ndarray:
        """(K, 3) camera centres in the world frame."""
        return self.pose.origin

    @property
    def posed(self) -> bool:
        """Whether the intrinsics and the poses of all keyframes are known."""
        return len(self.cameras) == len(self.names) and bool(np.isfinite(self.camera_from_world).all())

    @property
    def up(self) -> Up:
        """The vertical of the world frame: the z axis of a georeferenced model, else as the frame or the cameras say."""
        if self.frame.kind != "enu" and self.frame.up is None:
            return up_of_cameras(self.pose)
        return Up.exact(Z if self.frame.up is None else np.array(self.frame.up))

    def without_observations(self, points: np.ndarray) -> SparseModel:
        """The model without the observations of some points (P,) bool; the points themselves stay."""
        kept = ~points[self.obs_point]
        return replace(self, obs_keyframe=self.obs_keyframe[kept], obs_point=self.obs_point[kept], obs_xy=self.obs_xy[kept])

    def observation_depths(self) -> np.ndarray:
        """(N,) distance of each observation's point along the optical axis of its camera."""
        row = self.camera_from_world[self.obs_keyframe, 2]
        return np.einsum("ij,ij->i", row[:, :3], self.xyz[self.obs_point]) + row[:, 3]

    def views(self) -> Iterator[View | None]:
        """Camera and pose of each keyframe; None where they are unknown."""
        for k, pose in enumerate(self.pose):
            known = len(self.cameras) == len(self.names) and bool(pose.finite)
            yield View(self.cameras[k], pose, self.component) if known else None


@dataclass(frozen=True)
class Placements:
    """Where points lie in keyframes: N times a point, a pixel and the segment there.

    Attributes:
        keyframe: (N,) int32 index into the incidence's ``names``.
        segment: (N,) int32 row of the incidence, -1 where the pixel belongs to none.
        point: (N,) int32 column of the incidence.
        xy: (N, 2) float32 pixel coordinates (see the module's conventions).
    """

    keyframe: np.ndarray
    segment: np.ndarray
    point: np.ndarray
    xy: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.point)
        for name in ("keyframe", "segment", "point"):
            check_array(name, getattr(self, name), (count,), "i")
        check_array("xy", self.xy, (count, 2), "f")

    @classmethod
    def none(cls) -> Placements:
        """No placement."""
        nothing = np.empty(0, np.int32)
        return cls(nothing, nothing, nothing, np.empty((0, 2), np.float32))


@dataclass(frozen=True)
class Incidence:
    """Which segment holds which 3D points: S segments × P points, over K keyframes.

    Attributes:
        matrix: (S, P) CSR float32, the weight of each observation of a point inside a segment (1 in the paper).
        visibility: (K, P) CSR bool, the points that each keyframe observes, in a segment or not.
        names: (K,) keyframe names.
        segment_keyframe: (S,) int32 index into ``names``.
        segment_ids: (S,) uint16, the segment's id in its label image.
        classes: (S,) int32.
        scores: (S,) float32.
        point_ids: (P,) int64.
        observed: the keypoints behind ``matrix``; empty where nobody recorded their pixels.
        projected: points that a keyframe does not observe but, by its pose, should see (``association.projection``).
        xyz: (P, 3) where the points are, in their component's frame; None where nobody said.
    """

    matrix: sparse.csr_matrix
    visibility: sparse.csr_matrix
    names: tuple[str, ...]
    segment_keyframe: np.ndarray
    segment_ids: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    point_ids: np.ndarray
    observed: Placements = field(default_factory=Placements.none)
    projected: Placements = field(default_factory=Placements.none)
    xyz: np.ndarray | None = None

    def __post_init__(self) -> None:
        segments, points = self.matrix.shape
        if self.visibility.shape != (len(self.names), points) or len(self.point_ids) != points:
            raise UsageError(f"incidence: {self.matrix.shape} does not fit visibility {self.visibility.shape}")
        for name in ("segment_keyframe", "segment_ids", "classes", "scores"):
            check_array(name, getattr(self, name), (segments,), "iuf")


@dataclass(frozen=True)
class Cuts:
    """Segments that show more than one instance: C seeds, pixels inside such segments whose instance is known.

    Attributes:
        segment: (C,) int32 row of the incidence.
        instance: (C,) int32; 0 = one that is not shown (yet).
        xy: (C, 2) float32 pixel coordinates.
    """

    segment: np.ndarray
    instance: np.ndarray
    xy: np.ndarray

    @classmethod
    def none(cls) -> Cuts:
        """No segment is cut."""
        return cls(np.empty(0, np.int32), np.empty(0, np.int32), np.empty((0, 2), np.float32))

    def by_segment(self) -> dict[int, tuple[np.ndarray, np.ndarray]]:
        """Instances (c,) and pixels (c, 2) of each cut segment's seeds, by its row."""
        rows, place = np.unique(self.segment, return_inverse=True)
        groups = places(place.ravel(), len(rows))
        return {int(row): (self.instance[mine], self.xy[mine]) for row, mine in zip(rows, groups, strict=True)}


@dataclass(frozen=True)
class Instances:
    """The answer: one id for each physical object. S segments and P points in the incidence's order, I instances.

    Attributes:
        segment_instance: (S,) int32, 0 = none.
        point_instance: (P,) int32, 0 = none.
        point_confidence: (P,) float32, the winner's share of the votes; 0 where there is no instance.
        ids: (I,) int32 ascending.
        classes: (I,) int32.
        scores: (I,) float32 how sure each is (``association.judging.scores``).
        boxes: of the I instances.
        cuts: segments to be divided between instances; ``segment_instance`` names the largest part's.
    """

    segment_instance: np.ndarray
    point_instance: np.ndarray
    point_confidence: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: OrientedBoxes
    cuts: Cuts = field(default_factory=Cuts.none)

    def __post_init__(self) -> None:
        check_array("segment_instance", self.segment_instance, (None,), "i")
        check_array("point_instance", self.point_instance, (None,), "i")
        check_array("point_confidence", self.point_confidence, (len(self.point_instance),), "f")
        count = len(self.ids)
        check_array("classes", self.classes, (count,), "i")
        check_array("scores", self.scores, (count,), "f")
        check_array("boxes", self.boxes.center, (count, 3), "f")
