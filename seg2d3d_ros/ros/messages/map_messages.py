"""The sparse map as standard messages, and back.

What travels, and how a receiver puts it together again:

``map/points``
    PointCloud2 ``x y z rgb point_id component``: the points of **all** components, one after the other; ids are unique
    across them, and ``component`` counts them from 0, the largest. ``header`` = map frame and the revision's stamp, which
    is the revision's identity.
``map/observations``
    PointCloud2 ``u v point_id`` per keyframe, ``header`` = the keyframe's own. Only keyframes that changed since the
    last revision are sent; an empty cloud says that the keyframe is not (or no longer) in the map. ``u v`` follow ROS:
    the first pixel's centre is (0, 0).
    Behind the last one of a revision comes its end mark: an empty cloud whose header is that of ``map/points``. Order
    holds within a topic, so whoever has the mark has all observations of the revision (see ``ros.map_exchange.map_receiver``).
``map/cameras``, ``map/path/<camera>``
    PoseArray and Path of ``world_from_camera`` (z forward, optical frames), ``header`` as ``map/points``; each pose of
    a path has its keyframe's stamp. The poses of the array are those of the keyframes with observations, in the order
    of their headers' stamp and frame_id.
``map/camera_info``
    CameraInfo per keyframe, ``header`` = the keyframe's own: the intrinsics that the map was made with (refined ones
    where there was no calibration), sent when they change; K is zero for a lens that the message cannot describe.
``map/datum``
    NavSatFix: the map frame's origin on the Earth; status "no fix", position NaN, where the map is not georeferenced. Then
    ``position_covariance_type`` says whether its unit is known: "approximated", with infinite variances, for a map in
    metres at an unknown place (by a rig or odometry), "unknown" for an arbitrary scale.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from geometry_msgs.msg import Point, PoseArray, PoseStamped, Quaternion
from geometry_msgs.msg import Pose as PoseMessage
from nav_msgs.msg import Path
from sensor_msgs.msg import NavSatFix, PointCloud2
from std_msgs.msg import Header

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.wgs84 import GeoPosition
from seg2d3d_ros.lidar.scans import cloud_to_array
from seg2d3d_ros.recording.naming import camera_name, stamp_to_ns
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, fix_from_geo, make_header, pack_rgb, unpack_rgb
from seg2d3d_ros.types import SparseModel, WorldFrame

MAP_POINT = np.dtype([("x", "f4"), ("y", "f4"), ("z", "f4"), ("rgb", "f4"), ("point_id", "u4"), ("component", "u4")])
OBSERVATION = np.dtype([("u", "f4"), ("v", "f4"), ("point_id", "u4")])
_HALF_PIXEL = np.float32(0.5)


def path_topic(camera: str) -> str:
    """``map/path/<camera>`` in the characters that a topic name may have."""
    token = re.sub(r"\W", "_", camera_name(camera), flags=re.ASCII)
    return f"map/path/{token if not token[0].isdigit() else f'camera_{token}'}"


def _point_ids(model: SparseModel) -> np.ndarray:
    """(P,) uint32. Raises ``DataError`` where an id does not fit."""
    if len(model.point_ids) and not 0 <= model.point_ids.min() <= model.point_ids.max() <= np.iinfo(np.uint32).max:
        raise DataError(f"point ids up to {model.point_ids.max()} do not fit the uint32 of PointCloud2")
    return model.point_ids.astype(np.uint32)


# Out


def points_to_cloud(models: Sequence[SparseModel], header: Header) -> PointCloud2:
    """``map/points``."""
    parts = [np.empty(0, MAP_POINT)]
    for component, model in enumerate(models):
        part = np.empty(len(model.point_ids), MAP_POINT)
        part["x"], part["y"], part["z"] = model.xyz.T
        part["component"] = component
        part["rgb"], part["point_id"] = pack_rgb(model.rgb), _point_ids(model)
        parts.append(part)
    return array_to_cloud(np.concatenate(parts), header)


def observations_of(models: Sequence[SparseModel]) -> dict[str, np.ndarray]:
    """Per registered keyframe the (N,) ``OBSERVATION`` array, sorted by point id so that equal content has equal bytes."""
    found = {}
    for model in models:
        rows = np.empty(len(model.obs_point), OBSERVATION)
        rows["u"], rows["v"] = (model.obs_xy - _HALF_PIXEL).T
        rows["point_id"] = _point_ids(model)[model.obs_point]
        order = np.lexsort((rows["v"], rows["u"], rows["point_id"], model.obs_keyframe))
        bounds = np.searchsorted(model.obs_keyframe[order], np.arange(len(model.names) + 1))
        for k, name in enumerate(model.names):
            found[name] = rows[order[bounds[k] : bounds[k + 1]]]
    return found


def observations_to_cloud(rows: np.ndarray, header: Header) -> PointCloud2:
    """``map/observations`` of one keyframe."""
    return array_to_cloud(rows, header)


def end_mark(header: Header) -> PointCloud2:
    """The last message of a revision on ``map/observations``; ``header`` is that of ``map/points``."""
    return array_to_cloud(np.empty(0, OBSERVATION), header)


def poses_of(models: Sequence[SparseModel]) -> dict[str, PoseMessage]:
    """``world_from_camera`` by keyframe."""
    return {
        name: PoseMessage(
            position=Point(**dict(zip("xyz", pose.translation.tolist(), strict=True))),
            orientation=Quaternion(**dict(zip("xyzw", pose.quaternion.tolist(), strict=True))),
        )
        for model in models
        for name, pose in zip(model.names, model.pose.inverse(), strict=True)
    }


def by_header(names: Iterable[str], headers: Mapping[str, Header]) -> list[str]:
    """Keyframes in the order of ``map/cameras``."""
    return sorted(names, key=lambda name: (stamp_to_ns(headers[name].stamp), headers[name].frame_id))


def cameras_to_poses(models: Sequence[SparseModel], headers: Mapping[str, Header], header: Header) -> PoseArray:
    """``map/cameras``; ``headers`` are those of the keyframes with observations, by name."""
    poses = poses_of(models)
    return PoseArray(header=header, poses=[poses[name] for name in by_header(headers, headers)])


def camera_from_pose(message: PoseMessage) -> np.ndarray:
    """(3, 4) ``camera_from_world`` of a ``world_from_camera`` pose; NaN where the message holds none."""
    world_from_camera = Pose.from_ros(message.position, message.orientation)
    return np.full((3, 4), np.nan) if world_from_camera is None else world_from_camera.inverse().matrix[:3]


def cameras_to_paths(models: Sequence[SparseModel], headers: Mapping[str, Header], header: Header) -> dict[str, Path]:
    """Per camera (frame_id) its ``Path``, poses in the order of time.

    Args:
        headers: of the keyframes, by name; keyframes without one are left out.
    """
    stamped: dict[str, list[tuple[int, PoseMessage]]] = {}
    for name, pose in poses_of(models).items():
        if name in headers:
            stamped.setdefault(headers[name].frame_id, []).append((stamp_to_ns(headers[name].stamp), pose))
    return {
        camera: Path(
            header=header,
            poses=[
                PoseStamped(header=make_header(stamp, header.frame_id), pose=pose)
                for stamp, pose in sorted(items, key=lambda item: item[0])
            ],
        )
        for camera, items in stamped.items()
    }


def frame_to_fix(frame: WorldFrame, header: Header) -> NavSatFix:
    """``map/datum``."""
    message = fix_from_geo(GeoPosition(*frame.datum) if frame.datum is not None else None, header)
    if frame.kind == "metric":
        message.position_covariance_type = NavSatFix.COVARIANCE_TYPE_APPROXIMATED
        message.position_covariance = np.diag(np.full(3, np.inf)).ravel()
    return message


# In


UPRIGHT = WorldFrame(up=(0.0, 0.0, 1.0))
"""Models that are published stand upright, wherever they are."""


def frame_from_fix(message: NavSatFix) -> WorldFrame:
    """The inverse of ``frame_to_fix``."""
    geo = GeoPosition.from_ros(message)
    if geo is not None:
        return WorldFrame("enu", (geo.latitude, geo.longitude, geo.altitude))
    metres = message.position_covariance_type == NavSatFix.COVARIANCE_TYPE_APPROXIMATED
    return WorldFrame("metric" if metres else "arbitrary", up=UPRIGHT.up)


def wanted_fields(message: PointCloud2, wanted: np.dtype, topic: str) -> np.ndarray:
    """The structured array with exactly the wanted fields. Raises ``DataError`` where one is missing or no plain number."""
    array = cloud_to_array(message)
    missing = set(wanted.names or ()) - set(array.dtype.names or ())
    if missing:
        raise DataError(f"{topic}: the cloud has no field {', '.join(sorted(missing))}; it is not from this package")
    found = np.empty(len(array), wanted)
    for name in wanted.names or ():
        if array[name].ndim != 1 or array[name].dtype != wanted[name]:
            raise DataError(
                f"{topic}: the field {name} is {array.dtype[name]}, not {wanted[name]}; it is not from this package"
            )
        found[name] = array[name]
    return found


def assemble(
    points: np.ndarray,
    observations: Mapping[str, np.ndarray],
    frame: WorldFrame,
    poses: Mapping[str, np.ndarray] | None = None,
    cameras: Mapping[str, Camera | None] | None = None,
) -> list[SparseModel]:
    """The components of a map from its messages, in the sender's order, as association needs them.

    A keyframe is of the component whose points it observes; keyframes that observe none are left out. Reprojection errors
    do not travel: ``error`` is NaN. Where a pose is not known it is NaN, where one of a component's cameras is not known its
    ``cameras`` are empty.

    Args:
        points: (P,) ``MAP_POINT``.
        observations: per keyframe name (N,) ``OBSERVATION``; rows of unknown points are left out.
        frame: of the first component: ``map/datum`` says no more. Others may have any scale, and are taken so.
        poses: (3, 4) ``camera_from_world`` by keyframe name.
        cameras: intrinsics by keyframe name.
    """
    poses, cameras = poses or {}, cameras or {}
    points = points[np.argsort(points["point_id"], kind="stable")]
    known: dict[int, dict[str, tuple[np.ndarray, np.ndarray]]] = {}
    for name, rows in observations.items():
        place = np.searchsorted(points["point_id"], rows["point_id"])
        found = place < len(points)
        found[found] = points["point_id"][place[found]] == rows["point_id"][found]
        if not found.any():
            continue
        rows, place = rows[found], place[found]
        components, count = np.unique(points["component"][place], return_counts=True)
        component = int(components[count.argmax()])
        mine = points["component"][place] == component  # all, unless the next revision is on its way
        known.setdefault(component, {})[name] = (rows[mine], place[mine])
    return [
        _component(component, points, found, frame if component == 0 else UPRIGHT, poses, cameras)
        for component, found in sorted(known.items())
    ]


def _component(
    component: int,
    points: np.ndarray,
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    frame: WorldFrame,
    poses: Mapping[str, np.ndarray],
    cameras: Mapping[str, Camera | None],
) -> SparseModel:
    """One component; ``found``: by keyframe name its observations, and the place of each one's point in ``points``."""
    mine = points["component"] == component
    own, rows = points[mine], np.concatenate([rows for rows, _ in found.values()])
    intrinsics = [camera for name in found if (camera := cameras.get(name)) is not None]
    unknown = np.full((3, 4), np.nan)
    return SparseModel(
        names=tuple(found),
        cameras=tuple(intrinsics) if len(intrinsics) == len(found) else (),
        camera_from_world=np.array([poses.get(name, unknown) for name in found]),
        xyz=np.stack([own["x"], own["y"], own["z"]], axis=1).astype(np.float64),
        rgb=unpack_rgb(own["rgb"]),
        error=np.full(len(own), np.nan, np.float32),
        point_ids=own["point_id"].astype(np.int64),
        obs_keyframe=np.repeat(np.arange(len(found), dtype=np.int32), [len(rows) for rows, _ in found.values()]),
        obs_point=(np.cumsum(mine) - 1)[np.concatenate([place for _, place in found.values()])].astype(np.int32),
        obs_xy=np.stack([rows["u"], rows["v"]], axis=1) + _HALF_PIXEL,
        frame=frame,
        component=component,
    )
