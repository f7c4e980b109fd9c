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
BEST_HEIGHT = 240
OVERLAY_WIDTH = 420
QUALITY = 78
QUALITIES = (QUALITY, 66, 52, 38, 25)
BUDGET = 7_000_000
"""Bytes of all JPEG pictures of a page together; a page holds base64, which is a third longer."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Pictures:
    """Finished pictures as JPEG bytes, and in words why others could not be made.

    ``best`` by instance id, ``crops`` by (instance id, keyframe name), ``overlays`` and ``missing`` by keyframe name.
    """

    best: dict[int, bytes] = field(default_factory=dict)
    crops: dict[tuple[int, str], bytes] = field(default_factory=dict)
    overlays: dict[str, bytes] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


def make_pictures(
    store: MapStore,
    records: Sequence[KeyframeRecord],
    best: Mapping[str, Sequence[Instance]],
    crops: Mapping[str, Sequence[Instance]],
    overlays: Set[str],
) -> Pictures:
    """Make the best views and the crops (instances by keyframe name) and the overlays (keyframe names).

    Each picture gets the same share of ``BUDGET`` for each of its pixels, and is compressed more where it needs more.
    """
    pictures = Pictures()
    by_name = {record.name: record for record in records}
    numbers = [sum(map(len, best.values())), sum(map(len, crops.values())), len(overlays)]
    areas = [1.5 * BEST_HEIGHT**2, 1.2 * CROP_HEIGHT**2, OVERLAY_WIDTH**2 / 1.4]
    share = BUDGET / max(float(np.dot(numbers, areas)), 1.0)
    for name in sorted(set(best) | set(crops) | overlays):
        if name not in by_name:
            pictures.missing[name] = "not listed in keyframes.json"
            continue
        shown, wanted = best.get(name, ()), crops.get(name, ())
        try:
            labels = store.read_labels(name) if store.label_path(name).exists() else None
            sizes = [(item.boxes[name], BEST_HEIGHT) for item in shown] + [(item.boxes[name], CROP_HEIGHT) for item in wanted]
            image = decode_smaller(store, by_name[name], _reduction(sizes, name in overlays, labels))
        except (Seg2d3dError, OSError) as error:
            pictures.missing[name] = str(error)
            continue
        for item in shown:
            pictures.best[item.id] = _encode(crop(image, labels, item.id, item.boxes[name], BEST_HEIGHT), share)
        for item in wanted:
            pictures.crops[item.id, name] = _encode(crop(image, labels, item.id, item.boxes[name]), share)
        if name in overlays:
            pictures.overlays[name] = _encode(overlay(image, labels), share)
    return pictures


def _encode(picture: np.ndarray, share: float) -> bytes:
    """JPEG, of the best quality that stays within ``share`` bytes a pixel, or of the poorest."""
    for quality in QUALITIES:
        encoded = encode_jpeg(picture, quality)
        if len(encoded) <= share * picture.shape[0] * picture.shape[1]:
            break
    return encoded


def _reduction(boxes: Sequence[tuple[Box, int]], overlaid: bool, labels: np.ndarray | None) -> int:
    """1, 2, 4 or 8: how much smaller the image may be decoded and still be larger than every picture made of it.

    ``boxes``: what is cropped, and how high the picture becomes.
    """
    if labels is None:
        return 1
    room = [labels.shape[1] / OVERLAY_WIDTH] if overlaid else []
    for box, height in boxes:
        _, y0, _, y1 = _surroundings(box, labels.shape)
        room.append((y1 - y0) / height)
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


def crop(image: np.ndarray, labels: np.ndarray | None, instance_id: int, box: Box, height: int = CROP_HEIGHT) -> np.ndarray:
    """(height, W, 3) uint8: the instance outlined, its surroundings dimmed.

    Args:
        image: (H, W, 3) uint8 RGB, perhaps smaller than the label image.
        labels: (H, W) instance ids, or None: then the box is drawn instead of the mask.
        box: x0 y0 x1 y1 in pixels of the label image.
    """
    shape = image.shape if labels is None else labels.shape
    place = x0, y0, x1, y1 = _surroundings(box, shape)
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
