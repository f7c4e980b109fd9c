"""What words have found, as one picture: a row for each instance, with its largest views."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.language.word_search import PICTURES, Found
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.mapstore.stored import StoredImages, recent
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.report.pictures import CROP_HEIGHT, crop

FILE = "found.png"
"""In the map directory: the last search."""
_LEFT, _GAP, _HEAD = 190, 8, 44
_WIDTH = 1120
_INK, _PAPER, _FAINT = (30, 30, 30), 255, (120, 120, 120)


def contact_sheet(store: MapStore, words: str, found: Sequence[Found]) -> bytes:
    """A PNG file with the instances in their order: rank, id, class, scores and pictures. Pictures that cannot be read are
    missing in it."""
    sheet = np.full((_HEAD + max(len(found), 1) * (CROP_HEIGHT + _GAP), _WIDTH, 3), _PAPER, np.uint8)
    _write(sheet, f'"{words}"', 12, 29, 0.8)
    used = _LEFT + CROP_HEIGHT
    photo = recent(StoredImages(store))
    for rank, item in enumerate(found):
        top = _HEAD + rank * (CROP_HEIGHT + _GAP)
        color = tuple(instance_colors([item.id])[0].tolist())
        cv2.rectangle(sheet, (12, top + 6), (20, top + CROP_HEIGHT - 6), color, -1)
        lines = [f"{rank + 1}. instance {item.id}", item.class_name, f"similarity {item.similarity:.3f}"]
        lines += [f"relevance {item.relevance:.2f}", *(["doubtful"] if item.doubtful else [])]
        if item.position is not None:
            lines.append("{:.1f}, {:.1f}, {:.1f}".format(*item.position))
        for line, text in enumerate(lines):
            _write(sheet, text, 30, top + 24 + 24 * line, 0.5, _INK if line < 3 else _FAINT)
        left = _LEFT
        for picture in _pictures(store, item, photo):
            room = min(picture.shape[1], _WIDTH - left)
            if room < 40:
                break
            sheet[top : top + CROP_HEIGHT, left : left + room] = picture[:, :room]
            left += room + _GAP
        used = max(used, left)
    return encode_png(sheet[:, : min(used, _WIDTH)])


def _pictures(store: MapStore, item: Found, photo: Callable[[str], np.ndarray | None]) -> list[np.ndarray]:
    pictures = []
    for name, box in list(item.boxes.items())[:PICTURES]:
        try:
            image, labels = photo(name), store.read_labels(name)
        except (Seg2d3dError, OSError):
            continue
        if image is not None:
            pictures.append(crop(image, labels, item.id, box))
    return pictures


def _write(sheet: np.ndarray, text: str, x: int, y: int, scale: float, color: tuple[int, int, int] = _INK) -> None:
    # OpenCV's letters are those of ASCII.
    shown = text.encode("ascii", "replace").decode()
    cv2.putText(sheet, shown, (x, y), cv2.FONT_HERSHEY_SIMPLEX, scale, color, 1, cv2.LINE_AA)
