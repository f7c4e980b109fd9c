"""The values that pass between packages: frozen dataclasses of NumPy arrays, checked when built.

Conventions
    * Transforms are named ``target_from_source``; ``camera_from_world`` maps world points into the camera
      (x right, y down, z forward).
    * Pixel coordinates are COLMAP's: the centre of the top-left pixel is (0.5, 0.5), so the pixel that holds
      a keypoint is ``floor(xy)``. ROS and OpenCV put that centre at (0, 0): convert at the border.
    * Ids: 0 means "none" for segments and instances.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import sparse
from scipy.spatial.transform import Rotation

from seg2d3d_ros.errors import UsageError

FrameKind = Literal["arbitrary", "metric", "enu"]


def _check(name: str, array: np.ndarray, shape: tuple[int | None, ...], kind: str) -> None:
    """Raise ``UsageError`` unless ``array`` has ``shape`` (None = any length) and a dtype of one of the kinds."""
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=True))
    if not fits or array.dtype.kind not in kind:
        wanted = "×".join("N" if n is None else str(n) for n in shape)
        raise UsageError(f"{name}: expected shape {wanted} and dtype kind {kind!r}, got {array.shape} {array.dtype}")


@dataclass(frozen=True)
class Camera:
    """Intrinsics in COLMAP's terms (model name and parameter order as in ``pycolmap.CameraModelId``).

    ``calibrated`` False marks a guess (EXIF focal length, field-of-view default) that the reconstruction refines.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]
    calibrated: bool = True

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0 or not np.isfinite(self.params).all():
            raise UsageError(f"camera {self.model}: size {self.width}×{self.height} and params {self.params} do not make sense")


@dataclass(frozen=True)
class GeoPosition:
    """A WGS84 position of the camera or the vehicle's antenna: degrees, degrees, metres above the ellipsoid.

    ``covariance``: 3×3 in metres², east-north-up, or None where the receiver does not say.
    """

    latitude: float
    longitude: float
    altitude: float
    covariance: np.ndarray | None = None

    def __post_init__(self) -> None:
        finite = np.isfinite([self.latitude, self.longitude, self.altitude]).all()
        if not finite or abs(self.latitude) > 90 or abs(self.longitude) > 360:
            raise UsageError(f"not a WGS84 position: {self.latitude}, {self.longitude}, {self.altitude}")


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
        mount: (4, 4) ``base_from_camera`` in metres, where the camera's place on the vehicle is known (TF).
        odometry: (4, 4) ``odom_from_base`` at the capture time: metres, drifting, from the wheels or an IMU.
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
    mount: np.ndarray | None = field(default=None, compare=False, repr=False)
    odometry: np.ndarray | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Segments:
    """The objects found in one keyframe. Overlaps were resolved by score before: one label a pixel.

    Attributes:
        name: the keyframe's name.
        labels: (H, W) uint16, 0 = none, else a segment id that means nothing beyond this image.
        ids: (S,) uint16 ascending, the segment ids that occur.
        classes: (S,) int32, 1-based index into the prompts.
        scores: (S,) float32 in [0, 1].
    """

    name: str
    labels: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    scores: np.ndarray

    def __post_init__(self) -> None:
        _check(f"{self.name}: labels", self.labels, (None, None), "u")
        _check(f"{self.name}: ids", self.ids, (None,), "u")
        _check(f"{self.name}: classes", self.classes, (len(self.ids),), "i")
        _check(f"{self.name}: scores", self.scores, (len(self.ids),), "f")

    @property
    def boxes(self) -> np.ndarray:
        """(S, 4) int32 ``x0 y0 x1 y1``, the last pixel excluded."""
        from seg2d3d_ros.images import label_boxes

        return label_boxes(self.labels, self.ids)


@dataclass(frozen=True)
class WorldFrame:
    """What the model's coordinates mean.

    ``arbitrary``: origin, axes and scale are the solver's. ``metric``: metres, arbitrary origin.
    ``enu``: metres east, north, up of ``datum`` (latitude, longitude in degrees, altitude in metres; WGS84).
    """

    kind: FrameKind = "arbitrary"
    datum: tuple[float, float, float] | None = None


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
        _check("camera_from_world", self.camera_from_world, (keyframes, 3, 4), "f")
        _check("xyz", self.xyz, (points, 3), "f")
        _check("rgb", self.rgb, (points, 3), "u")
        _check("error", self.error, (points,), "f")
        _check("obs_keyframe", self.obs_keyframe, (observations,), "i")
        _check("obs_point", self.obs_point, (observations,), "i")
        _check("obs_xy", self.obs_xy, (observations, 2), "f")

    @property
    def centers(self) -> np.ndarray:
        """(K, 3) camera centres in the world frame."""
        rotation, translation = self.camera_from_world[:, :, :3], self.camera_from_world[:, :, 3]
        return -np.einsum("kji,kj->ki", rotation, translation)


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
            _check(name, getattr(self, name), (count,), "i")
        _check("xy", self.xy, (count, 2), "f")

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

    def __post_init__(self) -> None:
        segments, points = self.matrix.shape
        if self.visibility.shape != (len(self.names), points) or len(self.point_ids) != points:
            raise UsageError(f"incidence: {self.matrix.shape} does not fit visibility {self.visibility.shape}")
        for name in ("segment_keyframe", "segment_ids", "classes", "scores"):
            _check(name, getattr(self, name), (segments,), "iuf")


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


@dataclass(frozen=True)
class Boxes:
    """B upright boxes in the world frame; NaN throughout for an instance without points.

    Attributes:
        center: (B, 3) float64.
        size: (B, 3) float64, full lengths along the box's own axes: the longer horizontal side, the shorter one, the height.
        rotation: (B, 3, 3) float64 ``world_from_box``; its last column is up.
    """

    center: np.ndarray
    size: np.ndarray
    rotation: np.ndarray

    def __post_init__(self) -> None:
        count = len(self.center)
        _check("center", self.center, (count, 3), "f")
        _check("size", self.size, (count, 3), "f")
        _check("rotation", self.rotation, (count, 3, 3), "f")

    @classmethod
    def none(cls, count: int = 0) -> Boxes:
        """So many instances without points."""
        return cls(np.full((count, 3), np.nan), np.full((count, 3), np.nan), np.full((count, 3, 3), np.nan))

    def __len__(self) -> int:
        return len(self.center)

    def __getitem__(self, rows: np.ndarray | slice) -> Boxes:
        """The boxes of these rows, in their order."""
        return Boxes(self.center[rows], self.size[rows], self.rotation[rows])

    @property
    def known(self) -> np.ndarray:
        """(B,) bool: instances that have points."""
        return np.isfinite(self.center).all(axis=1)

    @property
    def corners(self) -> np.ndarray:
        """(B, 8, 3) corners in the world frame."""
        signs = np.stack(np.meshgrid([-0.5, 0.5], [-0.5, 0.5], [-0.5, 0.5], indexing="ij"), axis=-1).reshape(8, 3)
        return self.center[:, None] + np.einsum("bij,bkj->bki", self.rotation, signs * self.size[:, None])

    @property
    def bounds(self) -> np.ndarray:
        """(B, 2, 3) lower and upper corner of the axis-aligned boxes around them."""
        corners = self.corners
        return np.stack([corners.min(axis=1), corners.max(axis=1)], axis=1)

    @property
    def quaternions(self) -> np.ndarray:
        """(B, 4) ``world_from_box`` as x y z w with w ≥ 0."""
        found = np.full((len(self), 4), np.nan)
        if self.known.any():
            found[self.known] = Rotation.from_matrix(self.rotation[self.known]).as_quat(canonical=True)
        return found


@dataclass(frozen=True)
class Instances:
    """The answer: one id for each physical object. S segments and P points in the incidence's order, I instances.

    Attributes:
        segment_instance: (S,) int32, 0 = none.
        point_instance: (P,) int32, 0 = none.
        point_confidence: (P,) float32, the winner's share of the votes; 0 where there is no instance.
        ids: (I,) int32 ascending.
        classes: (I,) int32.
        scores: (I,) float32.
        boxes: of the I instances.
        cuts: segments to be divided between instances; ``segment_instance`` names the largest part's.
    """

    segment_instance: np.ndarray
    point_instance: np.ndarray
    point_confidence: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    scores: np.ndarray
    boxes: Boxes
    cuts: Cuts = field(default_factory=Cuts.none)

    def __post_init__(self) -> None:
        _check("segment_instance", self.segment_instance, (None,), "i")
        _check("point_instance", self.point_instance, (None,), "i")
        _check("point_confidence", self.point_confidence, (len(self.point_instance),), "f")
        count = len(self.ids)
        _check("classes", self.classes, (count,), "i")
        _check("scores", self.scores, (count,), "f")
        _check("boxes", self.boxes.center, (count, 3), "f")
