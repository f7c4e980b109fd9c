"""ByteTrack (Zhang et al., ECCV 2022, algorithm 1) over the images in file-name order: a baseline.

Boxes of the raw masks; a Kalman filter with constant velocity predicts each track; boxes with high scores are matched
first, the others go to the tracks left over. As in the paper, and unlike the released code, a new track is output at
once, without waiting for its second box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from seg2d3d_ros.evaluation.baselines import box_iou, regions_by_image
from seg2d3d_ros.evaluation.overlaps import Overlaps

HIGH_SCORE, LOW_SCORE, NEW_SCORE = 0.6, 0.1, 0.7
FIRST_IOU, SECOND_IOU = 0.2, 0.5
MAX_LOST = 30
"""Images for which a lost track is remembered."""

_POSITION, _VELOCITY = 1 / 20, 1 / 160  # standard deviations in box heights, from DeepSORT
_TRANSITION = np.eye(8) + np.eye(8, k=4)


@dataclass
class _Track:
    """State: centre x, centre y, aspect ratio, height, and their velocities per image."""

    label: int
    mean: np.ndarray
    covariance: np.ndarray
    lost: int = 0

    @classmethod
    def start(cls, label: int, box: np.ndarray) -> _Track:
        measured = _measure(box)
        height = measured[3]
        p, v = 2 * _POSITION * height, 10 * _VELOCITY * height
        return cls(label, np.concatenate([measured, np.zeros(4)]), np.diag(np.square([p, p, 1e-2, p, v, v, 1e-5, v])))

    def predict(self) -> None:
        p, v = _POSITION * self.mean[3], _VELOCITY * self.mean[3]
        if self.lost:
            self.mean[7] = 0.0  # Out of sight, a height that goes on changing would soon be absurd.
        self.mean = _TRANSITION @ self.mean
        noise = np.diag(np.square([p, p, 1e-2, p, v, v, 1e-5, v]))
        self.covariance = _TRANSITION @ self.covariance @ _TRANSITION.T + noise

    def update(self, box: np.ndarray) -> None:
        p = _POSITION * self.mean[3]
        innovation = self.covariance[:4, :4] + np.diag(np.square([p, p, 1e-1, p]))
        gain = np.linalg.solve(innovation, self.covariance[:4]).T
        self.mean = self.mean + gain @ (_measure(box) - self.mean[:4])
        self.covariance = self.covariance - gain @ innovation @ gain.T
        self.lost = 0

    @property
    def box(self) -> np.ndarray:
        """(4,) ``x0 y0 x1 y1``."""
        x, y, aspect, height = self.mean[:4]
        half = np.array([aspect * height, height]) / 2
        return np.concatenate([[x, y] - half, [x, y] + half])


def bytetrack(raw: Overlaps, boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """(R,) ids; 0 for masks that no track takes.

    Args:
        boxes: (R, 4) ``x0 y0 x1 y1``.
        scores: (R,) in [0, 1].
    """
    labels = np.zeros(len(boxes), np.int64)
    boxes = boxes.astype(float)
    tracks: list[_Track] = []
    count = 0
    for now in regions_by_image(raw):
        for track in tracks:
            track.predict()
        high, low = now[scores[now] > HIGH_SCORE], now[(scores[now] > LOW_SCORE) & (scores[now] <= HIGH_SCORE)]
        rest, high = _associate(tracks, high, boxes, labels, FIRST_IOU)
        _associate([track for track in rest if not track.lost], low, boxes, labels, SECOND_IOU)
        seen = set(labels[now].tolist())
        for track in tracks:
            track.lost = 0 if track.label in seen else track.lost + 1
        tracks = [track for track in tracks if track.lost <= MAX_LOST]
        for region in high[scores[high] > NEW_SCORE]:
            count += 1
            labels[region] = count
            tracks.append(_Track.start(count, boxes[region]))
    return labels


def _associate(
    tracks: list[_Track], regions: np.ndarray, boxes: np.ndarray, labels: np.ndarray, min_iou: float
) -> tuple[list[_Track], np.ndarray]:
    """Match, update the matched tracks and ``labels``; returns the tracks and regions left over."""
    overlap = box_iou(np.array([track.box for track in tracks]).reshape(-1, 4), boxes[regions])
    rows, columns = gated_assignment(1.0 - overlap, 1.0 - min_iou)
    for row, column in zip(rows, columns, strict=True):
        tracks[row].update(boxes[regions[column]])
        labels[regions[column]] = tracks[row].label
    matched = set(rows.tolist())
    return [track for k, track in enumerate(tracks) if k not in matched], np.delete(regions, columns)


def gated_assignment(cost: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the assignment of (A, B) costs with the least sum, where staying single costs ``limit`` a pair."""
    rows, columns = cost.shape
    padded = np.full((rows + columns, rows + columns), limit / 2)
    padded[rows:, columns:] = 0.0
    padded[:rows, :columns] = cost
    row, column = linear_sum_assignment(padded)
    real = (row < rows) & (column < columns)
    return row[real], column[real]


def _measure(box: np.ndarray) -> np.ndarray:
    width, height = np.maximum(box[2:] - box[:2], 1e-6)
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2, width / height, height])
