"""The recording as a rosbag2 in one mcap file, with embedded message definitions, written without ROS."""

from __future__ import annotations

import heapq
import itertools
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.pose import Pose
from seg2d3d_ros.geometry.wgs84 import from_enu
from seg2d3d_ros.recording.calibration import info_from_camera
from seg2d3d_ros.recording.storage.message_types import jazzy
from seg2d3d_ros.simulation.gnss import DATUM, Fix
from seg2d3d_ros.simulation.lidar_scanner import FRAME, POINT, TOPIC, Sweep

NO_FIX, FIX = -1, 0
DIAGONAL_KNOWN, TYPE_UNKNOWN = 2, 0
GPS_SERVICE = 1


@dataclass(frozen=True)
class Shot:
    """One picture for the bag: ``jpeg`` is the image file's content; ``segments`` (H, W) uint16 local ids with their classes, 1
    where nobody says."""

    camera: str
    stamp_ns: int
    jpeg: bytes
    segments: np.ndarray
    classes: Mapping[int, int] = field(default_factory=dict)


class BagMessages:
    """ROS 2 messages from the simulator's values."""

    def __init__(self, camera: Camera) -> None:
        self._types, self._camera = jazzy().types, camera

    def _new(self, name: str, /, **fields: Any) -> Any:
        return self._types[name](**fields)

    def header(self, stamp_ns: int, frame: str) -> Any:
        """std_msgs/Header."""
        seconds, rest = divmod(stamp_ns, 1_000_000_000)
        return self._new(
            "std_msgs/msg/Header", stamp=self._new("builtin_interfaces/msg/Time", sec=seconds, nanosec=rest), frame_id=frame
        )

    def of_shots(self, shots: Iterable[Shot]) -> Iterator[tuple[int, str, Any]]:
        """(time in ns, topic, message) of each picture: its calibration, itself, its segments."""
        for shot in shots:
            yield shot.stamp_ns, f"/{shot.camera}/camera_info", self.camera_info(shot)
            yield shot.stamp_ns, f"/{shot.camera}/image/compressed", self.compressed(shot)
            yield shot.stamp_ns, f"/{shot.camera}/segments", self.segments(shot)

    def compressed(self, shot: Shot) -> Any:
        """sensor_msgs/CompressedImage with the file's own bytes."""
        data = np.frombuffer(shot.jpeg, np.uint8)
        return self._new(
            "sensor_msgs/msg/CompressedImage", header=self.header(shot.stamp_ns, shot.camera), format="jpeg", data=data
        )

    def camera_info(self, shot: Shot) -> Any:
        """sensor_msgs/CameraInfo."""
        described = info_from_camera(self._camera)
        assert described is not None
        model, k, distortion = described
        roi = self._new("sensor_msgs/msg/RegionOfInterest", x_offset=0, y_offset=0, height=0, width=0, do_rectify=False)
        return self._new(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(shot.stamp_ns, shot.camera),
            height=self._camera.height,
            width=self._camera.width,
            distortion_model=model,
            d=np.array(distortion),
            k=np.array(k),
            r=np.eye(3).ravel(),
            p=np.insert(k, [3, 6, 9], 0.0),
            binning_x=0,
            binning_y=0,
            roi=roi,
        )

    def segments(self, shot: Shot) -> Any:
        """sensor_msgs/Image mono16: ``class_id * 1000 + id``."""
        height, width = shot.segments.shape
        class_of = np.ones(int(shot.segments.max(initial=0)) + 1, np.int64)
        for i, class_id in shot.classes.items():
            class_of[i] = class_id
        values = np.where(shot.segments > 0, shot.segments + 1000 * class_of[shot.segments], 0).astype("<u2")
        return self._new(
            "sensor_msgs/msg/Image",
            header=self.header(shot.stamp_ns, shot.camera),
            height=height,
            width=width,
            encoding="mono16",
            is_bigendian=0,
            step=2 * width,
            data=np.frombuffer(values.tobytes(), np.uint8),
        )

    def fix(self, fix: Fix, stamp_ns: int) -> Any:
        """sensor_msgs/NavSatFix; NaN and status -1 where the receiver has no position."""
        position = from_enu(fix.enu, DATUM)[0] if fix.valid else None
        nowhere = float("nan")
        variance = np.array([1.0, 1.0, 4.0]) * fix.sigma**2 if fix.valid else np.zeros(3)
        return self._new(
            "sensor_msgs/msg/NavSatFix",
            header=self.header(stamp_ns, "gps"),
            status=self._new("sensor_msgs/msg/NavSatStatus", status=FIX if fix.valid else NO_FIX, service=GPS_SERVICE),
            latitude=position.latitude if position else nowhere,
            longitude=position.longitude if position else nowhere,
            altitude=position.altitude if position else nowhere,
            position_covariance=np.diag(variance).ravel(),
            position_covariance_type=DIAGONAL_KNOWN if fix.valid else TYPE_UNKNOWN,
        )

    def scan(self, sweep: Sweep) -> Any:
        """sensor_msgs/PointCloud2 with the fields of ``lidar_scanner.POINT``."""
        kinds = {"<f4": 7, "<u2": 4}
        fields = [
            self._new("sensor_msgs/msg/PointField", name=name, offset=int(place), datatype=kinds[kind.str], count=1)
            for name, (kind, place, *_) in (POINT.fields or {}).items()
        ]
        return self._new(
            "sensor_msgs/msg/PointCloud2",
            header=self.header(sweep.stamp_ns, FRAME),
            height=1,
            width=len(sweep.points),
            fields=fields,
            is_bigendian=False,
            point_step=POINT.itemsize,
            row_step=POINT.itemsize * len(sweep.points),
            data=np.frombuffer(sweep.points.tobytes(), np.uint8),
            is_dense=True,
        )

    def static_transforms(self, stamp_ns: int, base_from_sensor: Mapping[str, Pose]) -> Any:
        """tf2_msgs/TFMessage with base_link -> each sensor's frame."""
        transforms, header = [], self.header(stamp_ns, "base_link")
        for frame, pose in base_from_sensor.items():
            shift, turn = pose.translation.tolist(), pose.quaternion.tolist()
            translation = self._new("geometry_msgs/msg/Vector3", **dict(zip("xyz", shift, strict=True)))
            rotation = self._new("geometry_msgs/msg/Quaternion", **dict(zip("xyzw", turn, strict=True)))
            transform = self._new("geometry_msgs/msg/Transform", translation=translation, rotation=rotation)
            transforms.append(
                self._new("geometry_msgs/msg/TransformStamped", header=header, child_frame_id=frame, transform=transform)
            )
        return self._new("tf2_msgs/msg/TFMessage", transforms=transforms)


def write_bag(
    path: Path,
    shots: Iterable[Shot],
    camera: Camera,
    fixes: Sequence[tuple[int, Fix]],
    base_from_sensor: Mapping[str, Pose],
    start_ns: int,
    scans: Iterable[Sweep] = (),
) -> None:
    """Write ``path`` (one mcap file), messages in order of time.

    Args:
        shots: in order of time, read one by one.
        fixes: (stamp in ns, fix) in order of time.
        base_from_sensor: where each sensor frame is on the vehicle.
        start_ns: when the recording begins.
        scans: of the LiDAR, in order of time, read one by one.
    """
    from rosbags.interfaces import Qos, QosDurability, QosHistory, QosLiveliness, QosReliability, QosTime
    from rosbags.rosbag2 import StoragePlugin, Writer

    messages = BagMessages(camera)
    latched = Qos(
        QosHistory.KEEP_LAST, 1, QosReliability.RELIABLE, QosDurability.TRANSIENT_LOCAL, QosTime(0, 0), QosTime(0, 0),
        QosLiveliness.AUTOMATIC, QosTime(0, 0), False,
    )  # fmt: skip
    in_order = itertools.chain(
        [(start_ns, "/tf_static", messages.static_transforms(start_ns, base_from_sensor))],
        heapq.merge(
            ((stamp_ns, "/fix", messages.fix(fix, stamp_ns)) for stamp_ns, fix in fixes),
            ((sweep.stamp_ns, TOPIC, messages.scan(sweep)) for sweep in scans),
            messages.of_shots(shots),
            key=lambda item: item[0],
        ),
    )
    folder = path.with_name(f".{path.stem}.writing")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        with Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
            connections: dict[str, Any] = {}
            for stamp_ns, topic, message in in_order:
                kind = message.__msgtype__
                if topic not in connections:
                    qos = [latched] if topic == "/tf_static" else []
                    connections[topic] = writer.add_connection(topic, kind, typestore=jazzy(), offered_qos_profiles=qos)
                writer.write(connections[topic], stamp_ns, jazzy().serialize_cdr(message, kind))
        next(folder.glob("*.mcap")).replace(path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
