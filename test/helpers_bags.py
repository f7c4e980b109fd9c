"""Recordings for tests, written with rosbags."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

SECOND = 1_000_000_000
START = 1_700_000_000 * SECOND
JAZZY = get_typestore(Stores.ROS2_JAZZY)
NOETIC = get_typestore(Stores.ROS1_NOETIC)


class Messages:
    """Builds ROS messages of one typestore."""

    def __init__(self, store=JAZZY):
        self.store = store
        self.ros1 = store is NOETIC

    def make(self, msgtype, **fields):
        return self.store.types[msgtype](**fields)

    def header(self, stamp, frame):
        time = self.make("builtin_interfaces/msg/Time", sec=stamp // SECOND, nanosec=stamp % SECOND)
        extra = {"seq": 0} if self.ros1 else {}
        return self.make("std_msgs/msg/Header", stamp=time, frame_id=frame, **extra)

    def compressed(self, stamp, frame, encoded, form="jpeg"):
        data = np.frombuffer(encoded, np.uint8)
        return self.make("sensor_msgs/msg/CompressedImage", header=self.header(stamp, frame), format=form, data=data)

    def raw(self, stamp, frame, pixels, encoding, padding=0, bigendian=0):
        row = pixels.shape[1] * (pixels.shape[2] if pixels.ndim == 3 else 1) * pixels.itemsize
        rows = np.zeros((pixels.shape[0], row + padding), np.uint8)
        rows[:, :row] = np.ascontiguousarray(pixels).view(np.uint8).reshape(pixels.shape[0], row)
        return self.make(
            "sensor_msgs/msg/Image",
            header=self.header(stamp, frame),
            height=pixels.shape[0],
            width=pixels.shape[1],
            encoding=encoding,
            is_bigendian=bigendian,
            step=row + padding,
            data=rows.ravel(),
        )

    def info(self, stamp, frame, width, height, k, d=(), model="plumb_bob", p=None, binning=0, roi=(0, 0, 0, 0)):
        region = self.make(
            "sensor_msgs/msg/RegionOfInterest",
            x_offset=roi[0],
            y_offset=roi[1],
            height=roi[3],
            width=roi[2],
            do_rectify=False,
        )
        matrix = np.array([k[0], 0, k[2], 0, k[1], k[3], 0, 0, 1], float)
        projection = np.zeros(12) if p is None else np.array([p[0], 0, p[2], 0, 0, p[1], p[3], 0, 0, 0, 1, 0], float)
        values = {"d": np.array(d, float), "k": matrix, "r": np.eye(3).ravel(), "p": projection}
        return self.make(
            "sensor_msgs/msg/CameraInfo",
            header=self.header(stamp, frame),
            height=height,
            width=width,
            distortion_model=model,
            binning_x=binning,
            binning_y=binning,
            roi=region,
            **{(name.upper() if self.ros1 else name): value for name, value in values.items()},
        )

    def fix(self, stamp, latitude, longitude, altitude=100.0, status=0, sigma=2.0):
        return self.make(
            "sensor_msgs/msg/NavSatFix",
            header=self.header(stamp, "gps"),
            status=self.make("sensor_msgs/msg/NavSatStatus", status=status, service=1),
            latitude=latitude,
            longitude=longitude,
            altitude=altitude,
            position_covariance=(np.eye(3) * sigma**2).ravel(),
            position_covariance_type=2,
        )

    def text(self, words):
        return self.make("std_msgs/msg/String", data=words)


ROS2, ROS1 = Messages(JAZZY), Messages(NOETIC)


def write_bag(path: Path, records, storage="mcap") -> Path:
    """Write ``records`` = [(topic, log time, message)], sorted by log time, and return the path to read."""
    if storage == "bag":
        writer, kind = Writer1(path), NOETIC
    else:
        plugin = StoragePlugin.MCAP if storage == "mcap" else StoragePlugin.SQLITE3
        writer, kind = Writer(path, version=9, storage_plugin=plugin), JAZZY
    with writer:
        connections = {}
        for topic, log, message in sorted(records, key=lambda record: record[1]):
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=kind)
            serialize = kind.serialize_ros1 if storage == "bag" else kind.serialize_cdr
            writer.write(connections[topic], log, serialize(message, message.__msgtype__))
    return path


def storage_file(bag: Path) -> Path:
    """The one data file in a rosbag2 directory."""
    (file,) = [p for p in bag.iterdir() if p.suffix in (".mcap", ".db3")]
    return file


def wall(seed=0, width=2000, height=200) -> np.ndarray:
    """(H, W, 3) uint8 BGR with detail at several scales."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for cell in (6, 16, 40):
        noise = rng.random((height // cell + 1, width // cell + 1, 3)).astype(np.float32)
        total += cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC) * 80
    return np.clip(total, 0, 255).astype(np.uint8)


def view(scene, x, width=160, height=120) -> np.ndarray:
    """What a camera sees at ``x``: (120, 160, 3)."""
    return np.ascontiguousarray(scene[20 : 20 + height, x : x + width])


def jpeg(bgr) -> bytes:
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
