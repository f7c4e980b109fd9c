"""Label images in messages of any origin as arrays of ids."""

from __future__ import annotations

from typing import Any

import numpy as np

from seg2d3d_ros.errors import DataError
from seg2d3d_ros.images import decode_labels
from seg2d3d_ros.recording.raw_images import raw_array

_KINDS: dict[str, type] = {
    **dict.fromkeys(("mono8", "8UC1"), np.uint8),
    "8SC1": np.int8,
    **dict.fromkeys(("mono16", "16UC1"), np.uint16),
    "16SC1": np.int16,
    "32SC1": np.int32,
}
LABEL_ENCODINGS = tuple(_KINDS)
_HIGHEST = np.iinfo(np.uint16).max


def labels_from_message(message: Any, source: str) -> np.ndarray:
    """(H, W) uint16 of an ``Image`` of whole numbers, or of a ``CompressedImage`` with a PNG. Negative numbers are none, 0.

    Raises:
        DataError: colours, fractions, ids above 65535, or data that do not fit the size; the message names the way out.
    """
    if hasattr(message, "format"):
        return decode_labels(bytes(message.data), source)
    if message.encoding not in _KINDS:
        raise DataError(
            f"{source}: masks encoded as {message.encoding or 'nothing'}, which are no ids; publish them as mono16 "
            f"(class_id * 1000 + k), or as {', '.join(LABEL_ENCODINGS[:-1])} or {LABEL_ENCODINGS[-1]}"
        )
    values = raw_array(message, _KINDS[message.encoding], 1, source)
    if values.dtype in (np.uint8, np.uint16):
        return values.astype(np.uint16)
    if int(values.max()) > _HIGHEST:
        raise DataError(f"{source}: id {int(values.max())} is above {_HIGHEST}; publish class_id * 1000 + k")
    return np.maximum(values, 0).astype(np.uint16)
