"""``keyframes/masks``: the overlapping masks of a keyframe, one message for each that has some.

sensor_msgs/CompressedImage with ``format`` = ``coco_rle`` and ``header`` = the keyframe's own; ``data`` is the UTF-8 text of a
COCO document: ``images`` with one entry of the keyframe's width and height, ``categories`` with the names of the classes,
``annotations`` with ``segmentation`` (``size`` and compressed run lengths as ``counts``), ``category_id``, ``score`` and
``stability_score``. It is what ``masks/<name>.json`` of a map directory holds: some hundred bytes a mask. The flat choice from
these masks comes on ``keyframes/segments``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from seg2d3d_ros.disk.documents import parse_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.mapstore.files.masks_file import masks_document, masks_in
from seg2d3d_ros.ros.messages.conversion import fill, keyframe_name

MASKS_TOPIC = "keyframes/masks"
FORMAT = "coco_rle"


def masks_to_message(masks: OverlappingMasks, class_names: Sequence[str], header: Header) -> CompressedImage:
    """The message of one keyframe; class id k is ``class_names[k - 1]``."""
    text = json.dumps(masks_document(masks, class_names), separators=(",", ":"))
    return CompressedImage(header=header, format=FORMAT, data=fill(text.encode()))


def message_to_masks(message: CompressedImage) -> tuple[OverlappingMasks, tuple[str, ...]]:
    """The inverse: masks and class names.

    Raises:
        DataError: another format, or a document that is damaged or for an image that is too large.
    """
    if message.format != FORMAT:
        raise DataError(f"{MASKS_TOPIC}: format {message.format[:40]!r}; expected {FORMAT!r}")
    document = parse_json(bytes(message.data), MASKS_TOPIC)
    try:
        return masks_in(document, keyframe_name(message.header))
    except ValueError as error:
        raise DataError(f"{MASKS_TOPIC}: {error}") from error
