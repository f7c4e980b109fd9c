"""How far the picture moved between two images, and how sharp an image is."""

from __future__ import annotations

import math

import cv2
import numpy as np

MOTION_WIDTH = 320
SHARPNESS_WIDTH = 640

_MAX_HEIGHT = 8 * MOTION_WIDTH  # a picture of one column would become one of gigabytes
_MAX_CORNERS = 150
_MIN_CORNERS = 20  # below this the picture has too little texture to track
_WINDOW = (15, 15)
_MAX_ROUND_TRIP = 1.0  # pixels: a corner tracked forth and back comes home
_SAME = 4.0  # grey levels of 50 per standard deviation: mean difference of two pictures of one still scene
_MIN_RESPONSE = 0.1  # of phase correlation


class MotionView:
    """One image, prepared to be compared with others. ``gray``: (H, W) uint8 of any size."""

    def __init__(self, gray: np.ndarray):
        height = min(max(16, round(gray.shape[0] * MOTION_WIDTH / gray.shape[1])), _MAX_HEIGHT)
        small = cv2.resize(gray, (MOTION_WIDTH, height), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small.astype(np.float32), (3, 3), 0)
        # The exposure changes between images of a moving camera; its gain and offset must not count as motion.
        # The floor keeps the sensor noise of an empty picture (sky, lens cap) from being blown up to texture.
        spread = max(10.0, float(small.std()))
        self.pixels = np.clip((small - small.mean()) * (50.0 / spread) + 128.0, 0, 255).astype(np.uint8)
        self._corners: np.ndarray | None = None

    @property
    def corners(self) -> np.ndarray:
        """(N, 1, 2) float32: Shi-Tomasi corners, found once."""
        if self._corners is None:
            found = cv2.goodFeaturesToTrack(self.pixels, _MAX_CORNERS, 0.01, 7)
            self._corners = np.zeros((0, 1, 2), np.float32) if found is None else found
        return self._corners


def motion(reference: MotionView, current: MotionView) -> float:
    """Median displacement of the picture in image widths, ``inf`` where the view has changed beyond tracking.

    Sparse pyramidal Lucas-Kanade flow (Bouguet 2000), checked forth and back. Corners that are lost count as moved far:
    when a camera drives ahead, the near ones are lost and those close to the horizon stay. Pictures with too little texture
    are compared as a whole by phase correlation. About 3 ms.
    """
    if reference.pixels.shape != current.pixels.shape:
        return math.inf
    if len(reference.corners) < _MIN_CORNERS:
        return _whole_motion(reference, current)
    there, found, _ = cv2.calcOpticalFlowPyrLK(reference.pixels, current.pixels, reference.corners, None, winSize=_WINDOW)  # type: ignore[call-overload]
    back, returned, _ = cv2.calcOpticalFlowPyrLK(current.pixels, reference.pixels, there, None, winSize=_WINDOW)  # type: ignore[call-overload]
    home = np.linalg.norm(back - reference.corners, axis=2).ravel() < _MAX_ROUND_TRIP
    good = home & (found.ravel() == 1) & (returned.ravel() == 1)
    if 2 * good.sum() <= good.size:
        return 0.0 if _same(reference, current) else math.inf  # corners of pure noise cannot be tracked either
    steps = np.linalg.norm(there - reference.corners, axis=2).ravel()
    return float(np.median(np.where(good, steps, np.inf))) / MOTION_WIDTH


def _same(reference: MotionView, current: MotionView) -> bool:
    return float(cv2.absdiff(reference.pixels, current.pixels).mean()) < _SAME


def _whole_motion(reference: MotionView, current: MotionView) -> float:
    first, second = reference.pixels.astype(np.float32), current.pixels.astype(np.float32)
    (x, y), response = cv2.phaseCorrelate(first, second, cv2.createHanningWindow(first.shape[::-1], cv2.CV_32F))
    if response > _MIN_RESPONSE:
        return math.hypot(x, y) / MOTION_WIDTH
    return 0.0 if _same(reference, current) else math.inf


def sharpness(gray: np.ndarray) -> float:
    """Variance of the Laplacian over the variance of the picture, (H, W) uint8 of any size, scaled to 640 pixels' width.

    The Laplacian's variance (Pech-Pacheco et al., ICPR 2000) grows with contrast, so a dim image would count as blurred;
    the quotient does not change with gain and offset. A slight Gaussian first, or noise would count as detail.
    """
    if gray.shape[1] > SHARPNESS_WIDTH:
        size = (SHARPNESS_WIDTH, max(1, round(gray.shape[0] * SHARPNESS_WIDTH / gray.shape[1])))
        gray = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    smooth = cv2.GaussianBlur(gray.astype(np.float32), (3, 3), 0)
    return float(cv2.Laplacian(smooth, cv2.CV_32F).var()) / max(1.0, float(smooth.var()))
