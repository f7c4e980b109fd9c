"""``keyframes/prompts``: what a mask model is asked to look for again, one message for each keyframe that misses something.

PointCloud2 ``u v instance_id class_id role length``, ``header`` = the keyframe's own. ``u v`` follow ROS: the first pixel's
centre is (0, 0). For each missed instance the rows of ``role``

* 1: its 3D points as they should be seen; a mask must hold most of them;
* 2: points of anything else; a mask must hold few of them;
* 3: the region where it should be seen, in runs of ``length`` pixels from (u, v) to the right; 0 for all other rows.

The answer is the keyframe's ``keyframes/segments``, with the new masks or as it was.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from seg2d3d_ros.association.masks.missed import MissedView
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.pipeline.second_look import Ask
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, keyframe_name
from seg2d3d_ros.ros.messages.map_messages import wanted_fields

PROMPTS_TOPIC = "keyframes/prompts"
SEGMENTS_TOPIC = "keyframes/segments"
"""Where the answers come."""
PROMPT = np.dtype(
    [("u", "f4"), ("v", "f4"), ("instance_id", "i4"), ("class_id", "u2"), ("role", "u2"), ("length", "u4")]
)  # fmt: skip
OWN, OTHER, RUN = 1, 2, 3
_HALF_PIXEL = np.float32(0.5)


def prompts_to_cloud(asks: Sequence[Ask], header: Header) -> PointCloud2:
    """The message of one keyframe."""
    parts = [np.empty(0, PROMPT)]
    for ask in asks:
        runs = _runs(ask.expected)
        points = ((OWN, ask.missed.xy - _HALF_PIXEL), (OTHER, ask.missed.others - _HALF_PIXEL), (RUN, runs[:, :2]))
        for role, xy in points:
            part = np.zeros(len(xy), PROMPT)
            part["u"], part["v"] = xy.T
            part["instance_id"], part["class_id"], part["role"] = ask.missed.instance, ask.missed.class_id, role
            if role == RUN:
                part["length"] = runs[:, 2]
            parts.append(part)
    return array_to_cloud(np.concatenate(parts), header)


def cloud_to_asks(message: PointCloud2, shape: tuple[int, int]) -> list[Ask]:
    """The inverse of ``prompts_to_cloud``; ``MissedView.point`` and ``keyframe`` do not travel, ``confidence`` is 1.

    Args:
        shape: (H, W) of the keyframe's image.

    Raises:
        DataError: another layout, or a region that lies outside the image or is empty.
    """
    rows = wanted_fields(message, PROMPT, PROMPTS_TOPIC)
    name = keyframe_name(message.header)
    asks = []
    for instance in np.unique(rows["instance_id"]).tolist():
        mine = rows[rows["instance_id"] == instance]
        xy = np.stack([mine["u"], mine["v"]], axis=1)
        if not np.isfinite(xy).all():
            raise DataError(f"{PROMPTS_TOPIC}: the prompts of {name} hold places that are no numbers")
        of = {role: xy[mine["role"] == role] for role in (OWN, OTHER, RUN)}
        expected = _region(of[RUN], mine["length"][mine["role"] == RUN], shape)
        if expected is None or len(of[OWN]) == 0:
            raise DataError(f"{PROMPTS_TOPIC}: instance {instance} has no region or no points in the image of {name}")
        own, others = of[OWN] + _HALF_PIXEL, of[OTHER] + _HALF_PIXEL
        class_id = int(mine["class_id"][0])
        asks.append(Ask(MissedView(name, 0, instance, class_id, np.empty(0, np.int32), own, others, 1.0), expected))
    return asks


def _runs(region: Region) -> np.ndarray:
    """(R, 3) int64 first column, row, and length of each horizontal run of a region's pixels, in the image."""
    edges = np.diff(np.pad(region.pixels, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    row, begin = np.nonzero(edges == 1)
    end = np.nonzero(edges == -1)[1]
    return np.column_stack([begin + region.box[0], row + region.box[1], end - begin]).astype(np.int64)


def _region(begin: np.ndarray, length: np.ndarray, shape: tuple[int, int]) -> Region | None:
    """The inverse of ``_runs``; None where a run leaves the image or there is none."""
    height, width = shape
    u, v, n = begin[:, 0], begin[:, 1], length.astype(np.float64)
    if len(n) > width * height or not ((u >= 0) & (v >= 0) & (v <= height - 1) & (n >= 1) & (u + n <= width)).all():
        return None
    mask = np.zeros(shape, bool)
    for x, y, count in zip(u.astype(int).tolist(), v.astype(int).tolist(), length.tolist(), strict=True):
        mask[y, x : x + count] = True
    return region_of(mask)
