"""The report's photographs: each keyframe is decoded once, used for all pictures that need it, and let go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import cv2
import numpy as np
from scipy import ndimage

from seg2d3d_ros.errors import Seg2d3dError
from seg2d3d_ros.images import decode_rgb, encode_jpeg
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.report.content import Instance
from seg2d3d_ros.report.words import ink

CROP_HEIGHT = 168
OVERLAY_WIDTH = 420
QUALITY = 78

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Pictures:
    """Finished pictures as JPEG bytes, and in words why others could not be made.

    ``crops`` by (instance id, keyframe name), ``overlays`` and ``missing`` by keyframe name.
    """

    crops: dict[tuple[int, str], bytes] = field(default_factory=dict)
    overlays: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def make_pictures(
    store: MapStore, records: Sequence[KeyframeRecord], crops: Mapping[str, Sequence[Instance]], overlays: Set[str]
) -> Pictures:
    """Make the crops (instances by keyframe name) and the overlays (keyframe names)."""
    pictures = Pictures()
    by_name = {record.name: record for record in records}
    for name in sorted(set(crops) | overlays):
        if name not in by_name:
            pictures.missing[name] = "not listed in keyframes.json"
            continue
        wanted = crops.get(name, ())
        try:
            labels = store.read_labels(name) if store.label_path(name).exists() else None
            image = decode_smaller(
                store, by_name[name], _reduction([item.boxes[name] for item in wanted], name in overlays, labels)
            )
        except (Seg2d3dError, OSError) as error:
            pictures.missing[name] = str(error)
            continue
        for item in wanted:
            pictures.crops[item.id, name] = encode_jpeg(crop(image, labels, item.id, item.boxes[name]), QUALITY)
        if name in overlays:
            pictures.overlays[name] = encode_jpeg(overlay(image, labels), QUALITY)
    return pictures


def _reduction(boxes: Sequence[Box], overlaid: bool, labels: np.ndarray | None) -> int:
    """1, 2, 4 or 8: how much smaller the image may be decoded and still be larger than every picture made of it."""
    if labels is None:
        return 1
    room = [labels.shape[1] / OVERLAY_WIDTH] if overlaid else []
    for box in boxes:
        _, y0, _, y1 = _surroundings(box, labels.shape)
        room.append((y1 - y0) / CROP_HEIGHT)
    return max(factor for factor in (1, 2, 4, 8) if factor <= max(1.0, min(room, default=1.0)))


def decode_smaller(store: MapStore, record: KeyframeRecord, reduction: int) -> np.ndarray:
    """(H, W, 3) uint8 RGB, made smaller while decoding; orientation ignored, as in the labels."""
    path = store.image_path(record)
    if not path.is_file():
        raise FileNotFoundError(f"the image file is no longer at {path}")
    return decode_rgb(path.read_bytes(), str(path), reduction)


def _surroundings(box: Box, shape: tuple[int, ...]) -> Box:
    """The box with a margin and a handsome aspect (between 0.75 and 2.2), inside an image of ``shape``."""
    height, width = shape[:2]
    x0, y0, x1, y1 = box
    half_w, half_h = max((x1 - x0) * 0.62, 16.0), max((y1 - y0) * 0.62, 16.0)
    half_w, half_h = max(half_w, 0.75 * half_h), max(half_h, half_w / 2.2)

    def fit(center: float, half: float, limit: int) -> tuple[int, int]:
        if 2 * half >= limit:
            return 0, limit
        start = min(max(center - half, 0.0), limit - 2 * half)
        return round(start), round(start + 2 * half)

    left, right = fit((x0 + x1) / 2, half_w, width)
    top, bottom = fit((y0 + y1) / 2, half_h, height)
    return left, top, max(right, left + 1), max(bottom, top + 1)


def crop(image: np.ndarray, labels: np.ndarray | None, instance_id: int, box: Box) -> np.ndarray:
    """(CROP_HEIGHT, W, 3) uint8: the instance outlined, its surroundings dimmed.

    Args:
        image: (H, W, 3) uint8 RGB, perhaps smaller than the label image.
        labels: (H, W) instance ids, or None: then the box is drawn instead of the mask.
        box: x0 y0 x1 y1 in pixels of the label image.
    """
    shape = image.shape if labels is None else labels.shape
    place = x0, y0, x1, y1 = _surroundings(box, shape)
    height = CROP_HEIGHT
    width = int(np.clip(round(height * (x1 - x0) / (y1 - y0)), 60, 3 * height))
    zoom = np.array([image.shape[1] / shape[1], image.shape[0] / shape[0]] * 2)
    a, b, c, d = np.rint(np.array(place) * zoom).astype(int)
    view = image[b : max(d, b + 1), a : max(c, a + 1)]
    view = cv2.resize(view, (width, height), interpolation=cv2.INTER_AREA if view.shape[0] > height else cv2.INTER_CUBIC)

    mask = np.zeros((height, width), np.uint8)
    if labels is not None:
        inside = (labels[y0:y1, x0:x1] == instance_id).astype(np.float32)
        mask = (cv2.resize(inside, (width, height), interpolation=cv2.INTER_LINEAR) > 0.5).astype(np.uint8)
    if not mask.any():
        corners = (np.array(box, float).reshape(2, 2) - [x0, y0]) * [width / (x1 - x0), height / (y1 - y0)]
        (left, top), (right, bottom) = np.rint(corners).astype(int).tolist()
        cv2.rectangle(mask, (left, top), (max(right - 1, left), max(bottom - 1, top)), 1, -1)
    grey = view.mean(axis=2, keepdims=True)
    dimmed = (0.55 * (0.3 * view + 0.7 * grey) + 70).astype(np.uint8)
    out = np.where(mask[:, :, None] > 0, view, dimmed)
    _outline(out, mask, instance_id)
    return out


def overlay(image: np.ndarray, labels: np.ndarray | None, width: int = OVERLAY_WIDTH) -> np.ndarray:
    """(H', width, 3) uint8: the image, its instances tinted, outlined and numbered."""
    height = int(np.clip(round(width * image.shape[0] / image.shape[1]), 40, 3 * width))
    out = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    if labels is None:
        return out
    small = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
    windows = {i: window for i, window in enumerate(ndimage.find_objects(small), 1) if window is not None}
    if windows:
        labelled, colors = small > 0, instance_colors(np.arange(max(windows) + 1))
        out[labelled] = cv2.addWeighted(out[labelled], 0.55, colors[small[labelled]], 0.45, 0.0)
    masks = {i: (small[window] == i).astype(np.uint8) for i, window in windows.items()}
    for i, (rows, columns) in windows.items():
        _outline(out, masks[i], i, (columns.start, rows.start))
    for i, (rows, columns) in windows.items():
        # At its pixel that is farthest from its border.
        bordered = cv2.copyMakeBorder(masks[i], 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        x, y = cv2.minMaxLoc(cv2.distanceTransform(bordered, cv2.DIST_L2, 3))[3]
        _tag(out, i, columns.start + x - 1, rows.start + y - 1)
    return out


def _outline(out: np.ndarray, mask: np.ndarray, instance_id: int, offset: tuple[int, int] = (0, 0)) -> None:
    """``offset``: x and y of the mask's corner in ``out``."""
    contours = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=offset)[0]
    cv2.drawContours(out, contours, -1, instance_colors([instance_id])[0].tolist(), 2, cv2.LINE_AA)


def _tag(out: np.ndarray, instance_id: int, x: int, y: int) -> None:
    """The id on its colour, centred at (x, y)."""
    text, font, scale = str(instance_id), cv2.FONT_HERSHEY_SIMPLEX, 0.6
    (width, height), _ = cv2.getTextSize(text, font, scale, 1)
    left = int(np.clip(x - width // 2, 3, max(out.shape[1] - width - 4, 3)))
    base = int(np.clip(y + height // 2, height + 3, max(out.shape[0] - 4, height + 3)))
    corner, opposite = (left - 3, base - height - 3), (left + width + 2, base + 3)
    cv2.rectangle(out, corner, opposite, instance_colors([instance_id])[0].tolist(), -1)
    color = (0, 0, 0) if ink(instance_id) == "#000" else (255, 255, 255)
    cv2.putText(out, text, (left, base), font, scale, color, 1, cv2.LINE_AA)
