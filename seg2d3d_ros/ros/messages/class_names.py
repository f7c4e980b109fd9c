"""The names behind the class ids of ``keyframes/segments``: a latched JSON list; class id k is the k-th name.

Names are only ever added, so that the ids of segments that were sent before keep their meaning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from std_msgs.msg import String

from seg2d3d_ros.disk.documents import parse_json
from seg2d3d_ros.errors import DataError

CLASSES_TOPIC = "keyframes/classes"


def class_names_message(names: Sequence[str]) -> String:
    """The names as a message."""
    return String(data=json.dumps(list(names), ensure_ascii=False))


def read_class_names(message: String) -> tuple[str, ...]:
    """The names from a message.

    Raises:
        DataError: no list of texts.
    """
    names = parse_json(message.data, CLASSES_TOPIC)
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{CLASSES_TOPIC}: expected a list of class names, got {message.data[:80]}")
    return tuple(names)


def added(names: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """``names`` and those of ``more`` that are new, in this order."""
    return tuple(dict.fromkeys((*names, *more)))
