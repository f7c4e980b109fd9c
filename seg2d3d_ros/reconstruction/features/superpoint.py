"""SuperPoint keypoints, matched by LightGlue: for images that are farther apart than SIFT bears.

DeTone et al., SuperPoint: Self-Supervised Interest Point Detection and Description, CVPR workshops 2018; Lindenberger et al.,
LightGlue: Local Feature Matching at Light Speed, ICCV 2023. The networks are those of transformers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.networks.checkpoints import load_pretrained
from seg2d3d_ros.networks.runtime import LazyModel, Runtime
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.reconstruction.features.local_features import pair_list, verification
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig

PACKAGES = {"torch": "torch", "transformers": "transformers", "safetensors": "safetensors"}
"""Modules that it needs, and what they are called in pip."""
SMALLEST = 16
"""Pixels; the network halves an image three times and needs something to remain."""
SIZE = 64
"""Of the square in which the model is told keypoints of any image; any size would do."""


class SuperPoint(LazyModel):
    """See ``LocalFeatures``; the keypoints of highest score are kept.

    The model of transformers finds the keypoints of two images and matches them in one go. Here an image is looked at once:
    its features come from the database when it is matched.

    Args:
        path: folder of a LightGlue with its SuperPoint.
        runtime: runs them.
        config: how many keypoints, and what makes a pair.
    """

    def __init__(self, path: Path, runtime: Runtime, config: ReconstructionConfig) -> None:
        super().__init__(path, runtime)
        self._config = config

    def _read(self) -> Any:
        from transformers import LightGlueForKeypointMatching

        model = load_pretrained(LightGlueForKeypointMatching, self._path)
        if model.config.keypoint_detector_config.model_type != "superpoint":
            raise DataError(f"{self._path}: this LightGlue was trained for other keypoints than SuperPoint's; choose another")
        model.keypoint_detector = _remembering(model.keypoint_detector)
        return model

    def find(self, gray: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """See ``LocalFeatures``; the descriptors are float32 of unit length."""
        self.load()
        size = int(self._model.config.keypoint_detector_config.descriptor_decoder_dim)
        if min(gray.shape) < SMALLEST or gray.min() == gray.max():
            return np.zeros((0, 4), np.float32), np.zeros((0, size), np.float32)
        return self._runtime.map(self._find, [gray], batch=1)[0]

    def _find(self, grays: Sequence[np.ndarray]) -> list[tuple[np.ndarray, np.ndarray]]:
        import torch

        pixels = torch.from_numpy(grays[0]).to(self._runtime.device).float()[None, None] / 255
        relative, scores, descriptors, _ = self._model.keypoint_detector.detector(pixels)[:4]
        self._runtime.check(descriptors)
        best = scores[0].argsort(descending=True, stable=True)[: self._config.max_features]
        height, width = grays[0].shape
        xy = relative[0, best].float().cpu().numpy() * [width, height]
        # The network numbers pixels; COLMAP puts the first one's centre at 0.5.
        keypoints = np.column_stack([np.rint(xy) + 0.5, np.ones(len(xy)), np.zeros(len(xy))]).astype(np.float32)
        return [(keypoints, descriptors[0, best].float().cpu().numpy())]

    def match(self, database: FeatureDatabase, pairs: Sequence[tuple[int, int]], names: Mapping[int, str]) -> None:
        """See ``LocalFeatures``."""
        self.load()
        cameras = database.image_cameras({i for pair in pairs for i in pair})
        told: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for pair in pairs:
            for i in pair:
                if i not in told:
                    told[i] = normalised(database.keypoints(i)[:, :2], cameras[i]), database.descriptors(i)
            database.write_matches(*pair, self._matches(*(told[i] for i in pair)))
        with pair_list(pairs, names) as listing:
            pycolmap.verify_matches(database.path, listing, verification(self._config))

    def _matches(self, *images: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """(M, 2) indices of keypoints of two images."""
        if not all(len(xy) for xy, _ in images):
            return np.empty((0, 2), np.int64)
        return self._runtime.map(self._match, [images], batch=1)[0]

    def _match(self, batch: Sequence[tuple[tuple[np.ndarray, np.ndarray], ...]]) -> list[np.ndarray]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        device = self._runtime.device
        xy, descriptors = (
            pad_sequence([torch.from_numpy(image[k]).to(device) for image in batch[0]], batch_first=True) for k in (0, 1)
        )
        first, second = (len(image[0]) for image in batch[0])
        there = torch.arange(xy.shape[1], device=device)[None] < torch.tensor([[first], [second]], device=device)
        self._model.keypoint_detector.remembered = (xy, there.to(xy), descriptors, there.int())
        try:
            answer = self._model(torch.zeros(1, 2, 1, SIZE, SIZE, device=device))
        finally:
            self._model.keypoint_detector.remembered = None
        self._runtime.check(answer.matching_scores)
        partner = answer.matches[0, 0, :first].cpu().numpy().astype(np.int64)
        mine = np.flatnonzero((partner >= 0) & (partner < second))
        return [np.column_stack([mine, partner[mine]])]


def normalised(xy: np.ndarray, camera: Camera) -> np.ndarray:
    """(N, 2) float32: pixels as LightGlue wants them, with the middle of the image at .5 and its longer side from 0 to 1; so
    images of any shapes may be matched."""
    size = np.array([camera.width, camera.height])
    return ((xy - size / 2) / size.max() + 0.5).astype(np.float32)


def _remembering(detector: Any) -> Any:
    """A detector of which LightGlue gets the features that it was told instead of looking at pixels."""
    import torch

    class Remembering(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.detector = detector
            self.remembered: Any = None

        def forward(self, pixels: Any) -> Any:
            return self.remembered

    return Remembering()
