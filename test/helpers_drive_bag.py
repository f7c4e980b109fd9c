"""A drive past a wall as the records of a bag, and what its topics hold."""

from __future__ import annotations

import cv2
import numpy as np
from helpers_bags import ROS2, SECOND, START, jpeg, view, wall, write_bag

from seg2d3d_ros.keyframes.bag_keyframes import read_bag

K = (120.0, 121.0, 79.5, 59.5)
SCENE = wall()
COUNT = 14


def stamp(i):
    return START + i * SECOND // 4


def labels(i):
    image = np.zeros((120, 160), np.uint16)
    image[10:50, 5 + i : 60 + i] = 1001
    image[60:100, 5 + i : 60 + i] = 2001 + i
    return image


def latitude(t):
    return 50.0 + (t - START) * 1e-15


def drive(messages=ROS2, cameras=("front", "left"), segments=True, info=True, count=COUNT):
    """A drive past a wall, each image well apart from the last."""
    records = []
    for n, camera in enumerate(cameras):
        for i in range(count):
            t = stamp(i)
            image = messages.compressed(t, camera, jpeg(view(SCENE, 20 * i + 300 * n)))
            records.append((f"/{camera}/image/compressed", t + 1000, image))
            if info:
                records.append((f"/{camera}/camera_info", t + 1001, messages.info(t, camera, 160, 120, K)))
            if segments:
                records.append((f"/{camera}/segments", t + 1002, messages.raw(t, camera, labels(i), "mono16")))
    for j in range(-1, 2 * count):
        t = START + j * SECOND // 5 + 7
        records.append(("/fix", t + 1000, messages.fix(t, latitude(t), 13.0)))
    return records


def read(path, **options):
    with read_bag(path, **options) as bag:
        items = list(bag)
    return items, bag


def camera_of(tmp_path, info, topic="/front/image_raw", size=(160, 120)):
    pixels = np.ascontiguousarray(wall(3)[: size[1], : size[0]])
    records = [("/front/camera_info", START, info), (topic, START, ROS2.raw(START, "front", pixels, "bgr8"))]
    (item,), _ = read(write_bag(tmp_path / "b", records))
    return item.keyframe.camera


def odometry(t, x):
    make = ROS2.make
    pose = make(
        "geometry_msgs/msg/Pose",
        position=make("geometry_msgs/msg/Point", x=float(x), y=0.0, z=0.0),
        orientation=make("geometry_msgs/msg/Quaternion", x=0.0, y=0.0, z=0.0, w=1.0),
    )
    zero = make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    twist = make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
    return make(
        "nav_msgs/msg/Odometry",
        header=ROS2.header(t, "odom"),
        child_frame_id="base_link",
        pose=make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36)),
        twist=make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36)),
    )


BGR = view(SCENE, 0)
GRAY = cv2.cvtColor(BGR, cv2.COLOR_BGR2GRAY)
ALPHA = np.full(GRAY.shape, 9, np.uint8)[:, :, None]


def bayer(pattern):
    """The mosaic a sensor with this pattern would deliver."""
    mosaic = np.zeros(GRAY.shape, np.uint8)
    for place, colour in enumerate(pattern):
        mosaic[place // 2 :: 2, place % 2 :: 2] = BGR[place // 2 :: 2, place % 2 :: 2, "bgr".index(colour)]
    return mosaic


def yuyv(order):
    """4:2:2 by OpenCV's inverse (BT.601), chroma of the left pixel of each pair."""
    y, cr, cb = cv2.split(cv2.cvtColor(BGR, cv2.COLOR_BGR2YCrCb))
    packed = np.zeros((*GRAY.shape, 2), np.uint8)
    luma = (y.astype(float) * 219 / 255 + 16).astype(np.uint8)
    u, v = ((c.astype(float) - 128) * 224 / 255 + 128 for c in (cb, cr))
    packed[:, :, order.index("y")] = luma
    chroma = 1 - order.index("y")
    packed[:, 0::2, chroma] = u[:, 0::2]
    packed[:, 1::2, chroma] = v[:, 0::2]
    return packed


RAW = {
    "mono8": (GRAY, 3),
    "mono16": (GRAY.astype(np.uint16) << 8, 3),
    "bgr8": (BGR, 6),
    "rgb8": (BGR[:, :, ::-1], 6),
    "bgra8": (np.concatenate([BGR, ALPHA], 2), 6),
    "rgba8": (np.concatenate([BGR[:, :, ::-1], ALPHA], 2), 6),
    "bayer_rggb8": (bayer("rggb"), 9),
    "bayer_bggr8": (bayer("bggr"), 9),
    "bayer_gbrg8": (bayer("gbrg"), 9),
    "bayer_grbg8": (bayer("grbg"), 9),
    "yuv422": (yuyv("uy"), 9),
    "yuv422_yuy2": (yuyv("yu"), 9),
}
