"""Identities for the same raw masks by other means: what any method must beat, and what none can much exceed."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.evaluation.cloud import MapCloud
from seg2d3d_ros.evaluation.clustering import owners
from seg2d3d_ros.evaluation.overlaps import Overlaps
from seg2d3d_ros.sections.association_config import AssociationConfig


def one_id(raw: Overlaps) -> np.ndarray:
    """(R,) one id for everything."""
    return np.ones(len(raw.region_label), np.int64)


def one_id_per_mask(raw: Overlaps) -> np.ndarray:
    """(R,) a new id for every mask."""
    return np.arange(1, len(raw.region_label) + 1)


def oracle(raw: Overlaps) -> np.ndarray:
    """(R,) the object each mask belongs to (``clustering.owners``), 0 for masks of no object.

    What a perfect association makes of these masks. Fragments of one object are joined; a mask over two objects stays one.
    """
    return owners(raw) + 1


def published(cloud: MapCloud, raw: Overlaps) -> np.ndarray:
    """(R,) ids of the published method (arXiv 2605.26725) with the paper's thresholds, on the map's own reconstruction."""
    instances = associate(cloud.incidence, cloud.xyz, AssociationConfig(method="published"))
    labels = np.zeros(len(raw.region_label) + 1, np.int64)  # the last one is of segments in images without truth
    labels[cloud.region] = instances.segment_instance
    return labels[:-1]


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(A, B) IoU of boxes (A, 4) and (B, 4) ``x0 y0 x1 y1``."""
    corner, opposite = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    inside = np.prod(np.clip(opposite - corner, 0, None), axis=2)
    size_a, size_b = (np.prod(np.clip(boxes[:, 2:] - boxes[:, :2], 0, None), axis=1) for boxes in (a, b))
    union = size_a[:, None] + size_b[None] - inside
    return np.divide(inside, union, out=np.zeros(union.shape), where=union > 0)


def iou_tracker(raw: Overlaps, boxes: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """(R,) ids of the IoU tracker (Bochinski et al., AVSS 2017) over the images in file-name order.

    A track goes on with the box of the next image that overlaps its last one most, if their IoU reaches ``threshold``,
    and ends otherwise. Older tracks choose first. Its filters by score and length are left out: every mask is kept.

    Args:
        boxes: (R, 4) ``x0 y0 x1 y1``.
    """
    labels = np.zeros(len(boxes), np.int64)
    last = np.empty(0, np.int64)
    boxes = boxes.astype(float)
    for now in regions_by_image(raw):
        overlap = box_iou(boxes[last], boxes[now])
        for k, region in enumerate(last):
            best = int(overlap[k].argmax()) if len(now) else -1
            if best >= 0 and overlap[k, best] >= threshold:
                labels[now[best]] = labels[region]
                overlap[:, best] = -1.0
        fresh = now[labels[now] == 0]
        labels[fresh] = labels.max(initial=0) + 1 + np.arange(len(fresh))
        last = now[np.argsort(labels[now])]
    return labels


def regions_by_image(raw: Overlaps) -> Iterator[np.ndarray]:
    """The regions of each image, image by image; empty where an image has none."""
    bounds = np.searchsorted(raw.region_image, np.arange(len(raw.names) + 1))
    for start, end in pairwise(bounds.tolist()):
        yield np.arange(start, end)
