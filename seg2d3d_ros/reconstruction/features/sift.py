"""SIFT features: found by OpenCV, matched by COLMAP."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.colmap import pycolmap, thread_count
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.reconstruction.features.local_features import pair_list, verification
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

CONTRAST = 0.02
"""OpenCV's contrast threshold, half its default: façades in shadow keep their features, the cap drops the rest."""


class Sift:
    """See ``LocalFeatures``; the features of largest scale are kept."""

    def __init__(self, config: ReconstructionConfig) -> None:
        self._config = config

    def find(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``LocalFeatures``; the descriptors are (N, 128) uint8 RootSIFT.

        OpenCV's SIFT (which also searches at twice the image's size) is several times faster than pycolmap's and lets
        other threads run. Descriptors are normalised as COLMAP does it: Arandjelović and Zisserman, Three things everyone
        should know to improve object retrieval, CVPR 2012; then scaled by 512 to bytes.
        """
        sift: Any = cv2.SIFT_create(  # type: ignore[attr-defined]
            nfeatures=0, contrastThreshold=CONTRAST, enable_precise_upscale=True
        )
        found = sift.detect(gray, None)
        sizes = np.array([k.size for k in found])
        kept = np.sort(np.argsort(-sizes, kind="stable")[: self._config.max_features])
        found, values = sift.compute(gray, [found[i] for i in kept])
        if not found:
            return np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8)
        # OpenCV puts the first pixel's centre at 0, COLMAP at 0.5; OpenCV's size is a diameter.
        keypoints = np.array([(k.pt[0] + 0.5, k.pt[1] + 0.5, k.size / 2, np.deg2rad(k.angle)) for k in found], np.float32)
        values /= np.maximum(values.sum(1, keepdims=True), 1e-12)
        return keypoints, np.rint(512 * np.sqrt(values)).clip(0, 255).astype(np.uint8)

    def match(self, database: FeatureDatabase, pairs: Sequence[tuple[int, int]], names: Mapping[int, str]) -> None:
        """See ``LocalFeatures``."""
        matching = pycolmap.FeatureMatchingOptions()
        matching.use_gpu = False
        matching.num_threads = thread_count(self._config.threads)
        pairing = pycolmap.ImportedPairingOptions()
        with pair_list(pairs, names) as listing:
            pairing.match_list_path = listing
            checks = verification(self._config)
            pycolmap.match_image_pairs(database.path, matching, pairing, checks, pycolmap.Device.cpu)
