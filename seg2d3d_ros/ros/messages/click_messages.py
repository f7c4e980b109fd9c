"""Clicks, and the objects that they mean, as standard messages.

A click is a geometry_msgs/PointStamped. In the map's frame it is a place, as RViz publishes it; in any other frame it is a
pixel of the keyframe with that header: ``x y`` follow ROS, the first pixel's centre is (0, 0), and ``z`` says nothing.

A request is a std_msgs/String of JSON with the options of ``seg2d3d prompt``: ``{"image": NAME, "click": [[X, Y], …],
"negative": [[X, Y], …], "box": [X0, Y0, X1, Y1], "point": [[X, Y, Z], …], "instance": ID, "level": LEVEL}``. Its pixels are
those of the command: the first pixel's centre is (.5, .5).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from geometry_msgs.msg import PointStamped
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.ros.messages.conversion import array_to_cloud, keyframe_name, labels_to_image, pack_rgb
from seg2d3d_ros.ros.messages.instance_messages import LABELLED_POINT

_KEYS = ("image", "click", "negative", "box", "point", "instance", "level")


@dataclass(frozen=True)
class ClickRequest:
    """What somebody asks for; as for ``prompts.prompting.ask``. An empty level is that of the parameter."""

    clicks: tuple[Click, ...]
    box: tuple[str, tuple[float, float, float, float]] | None = None
    instance: int | None = None
    level: str = ""


def message_to_click(message: PointStamped, map_frame: str, *, positive: bool) -> Click:
    """A click.

    Raises:
        UsageError: a coordinate that is no number.
    """
    point = message.point
    if not all(map(math.isfinite, (point.x, point.y, point.z))):
        raise UsageError(f"a click in {message.header.frame_id} has a coordinate that is no number")
    if message.header.frame_id == map_frame:
        return Click(None, positive=positive, xyz=(point.x, point.y, point.z))
    return Click(keyframe_name(message.header), (point.x + 0.5, point.y + 0.5), positive)


def text_to_request(text: str) -> ClickRequest:
    """A request.

    Raises:
        UsageError: it is no JSON of this kind; it says what is.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the request is no JSON ({error})") from error
    if not isinstance(document, dict) or (unknown := sorted(document.keys() - set(_KEYS))):
        wrong = "a table" if not isinstance(document, dict) else f"no {', '.join(map(str, unknown))}"
        raise UsageError(f"the request must be {wrong}; it may have {', '.join(_KEYS)}")
    name, instance, level = (document.get(key) for key in ("image", "instance", "level"))
    if not isinstance(name, str | None) or not isinstance(level, str | int | None) or isinstance(level, bool):
        raise UsageError("the request's image and level are names")
    if instance is not None and (not isinstance(instance, int) or isinstance(instance, bool)):
        raise UsageError("the request's instance is an id, a whole number")
    if not name and any(document.get(key) for key in ("click", "negative", "box")):
        raise UsageError("click, negative and box are pixels of an image: the request must name it")
    clicks = [Click(name, (x, y), key == "click") for key in ("click", "negative") for x, y in _rows(document, key, 2)]
    clicks += [Click(None, xyz=(x, y, z)) for x, y, z in _rows(document, "point", 3)]
    box = None
    if document.get("box"):
        ((x0, y0, x1, y1),) = _rows({"box": [document["box"]]}, "box", 4)
        if not (x0 < x1 and y0 < y1):
            raise UsageError("the request's box is left, upper, right and lower border")
        box = (str(name), (x0, y0, x1, y1))
    if not clicks and box is None:
        raise UsageError("the request asks for nothing: give image and click, or point")
    return ClickRequest(tuple(clicks), box, instance, "" if level is None else str(level))


def _rows(document: dict[str, Any], key: str, count: int) -> list[list[float]]:
    rows = document.get(key) or []
    numbers = int | float
    fine = isinstance(rows, list) and all(
        isinstance(row, list)
        and len(row) == count
        and all(isinstance(v, numbers) and not isinstance(v, bool) and math.isfinite(v) for v in row)
        for row in rows
    )
    if not fine:
        raise UsageError(f"the request's {key} is a list of lists of {count} numbers")
    return [[float(v) for v in row] for row in rows]


def object_mask(region: Region, shape: tuple[int, int], instance: int, header: Header) -> Image:
    """``prompts/labels``: mono16, the object's id where it is, 0 elsewhere."""
    labels = np.zeros(shape, np.uint16)
    labels[region.window][region.pixels] = instance
    return labels_to_image(labels, header)


def object_cloud(xyz: np.ndarray, confidence: np.ndarray, instance: int, header: Header) -> PointCloud2:
    """``prompts/points``: the object's points (N, 3), as ``instances/points`` has them; class 0 = not said."""
    points = np.zeros(len(xyz), LABELLED_POINT)
    points["x"], points["y"], points["z"] = xyz.T
    points["rgb"] = pack_rgb(instance_colors(np.full(len(xyz), instance)))
    points["instance_id"], points["confidence"] = instance, confidence
    return array_to_cloud(points, header)
