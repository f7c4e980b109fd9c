"""What a vision transformer says of the pictures, carried to the points that they show: an input of the network beside colour.

Any model of transformers whose tokens are the picture's patches will do; DINOv2 (arXiv 2304.07193) is meant. Its vectors are
brought to ``CHANNELS`` values by a fixed random rotation, which keeps their products (Johnson and Lindenstrauss) and needs
nothing to be stored: two data sets, and a cloud years later, are in one space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.views import View
from seg2d3d_ros.mapstore.stored import StoredImages
from seg2d3d_ros.networks.checkpoints import load_pretrained, read_config
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.networks.runtime import LazyModel, Runtime
from seg2d3d_ros.networks.weights import Model
from seg2d3d_ros.progress import Progress
from seg2d3d_ros.superpoints.shown_labels import LabelledView, shown_labels

CHANNELS = 64
"""Values of a point's feature."""
LONGEST = 518
"""Pixels of a picture's longer side as the model sees it, roughly: what DINOv2 was trained with."""
REACH = 40.0
"""Metres between a camera and what it sees, where nobody says otherwise."""
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, where a model's files say nothing."""
PlaceFeatures = Callable[[np.ndarray], np.ndarray]
"""(N, 3) places in a cloud's frame -> (N, ``CHANNELS``) what pictures show there, NaN where none does."""
PACKAGES = {"torch": "torch", "transformers": "transformers", "safetensors": "safetensors"}

FEATURES_MISSING = Kind(
    "image_features_missing",
    "points of a cloud without image features",
    cause="no picture shows them, or its file is gone",
    remedy="put the photographs back where they were; the network goes by shape and colour there",
)
FEATURES_UNUSED = Kind(
    "image_features_unused",
    "clouds labelled without the image features that the network learnt to use",
    cause="{reason}",
    remedy="give the map directory and the model's weights (--image-model, --download), or train without --image-model",
)


class ImageFeatures(LazyModel):
    """A vision transformer from a folder of transformers.

    Args:
        model: found with ``find_model``.

    Attributes:
        name: what the user called it, with its revision.
    """

    def __init__(self, model: Model, runtime: Runtime):
        super().__init__(model.path, runtime)
        self.name = f"{model.name}@{model.revision}" if model.revision else model.name
        facts = read_config(model.path / "config.json")
        patch = facts.get("patch_size")
        if not isinstance(patch, int) or not 1 <= patch <= 64:
            raise DataError(f"{model.path}: not a vision transformer (config.json has no patch_size); take a DINOv2")
        self._patch = patch
        path = model.path / "preprocessor_config.json"
        given = read_config(path) if path.is_file() else {}
        mean, std = (np.array(given.get(key) or usual) for key, usual in (("image_mean", _MEAN), ("image_std", _STD)))
        self._mean, self._std = mean.astype(np.float32), std.astype(np.float32)

    def _read(self) -> Any:
        import transformers

        return load_pretrained(transformers.AutoModel, self._path)

    def grid(self, picture: np.ndarray) -> np.ndarray:
        """(h, w, ``CHANNELS``) float32 of the patches of a picture (H, W, 3) uint8 RGB.

        Raises:
            DataError: a model whose tokens are no patches.
        """
        self.load()
        return np.asarray(self._runtime.map(self._grids, [picture], batch=1)[0])

    def _grids(self, pictures: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        import torch

        found = []
        for picture in pictures:
            scale = LONGEST / max(picture.shape[:2])
            h, w = (max(1, round(side * scale / self._patch)) for side in picture.shape[:2])
            small = cv2.resize(picture, (w * self._patch, h * self._patch), interpolation=cv2.INTER_AREA)
            pixels = ((small / np.float32(255) - self._mean) / self._std).transpose(2, 0, 1)[None]
            answer = self._model(torch.from_numpy(np.ascontiguousarray(pixels)).to(self._runtime.device))
            tokens = answer.last_hidden_state
            if tokens.ndim != 3 or tokens.shape[1] < h * w:
                raise DataError(f"{self._path}: its answer has no vector for each patch of a picture; take a DINOv2")
            self._runtime.check(tokens)
            vectors = tokens[0, -h * w :].float().cpu().numpy()  # before the patches there are a class and registers
            vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
            found.append((vectors @ rotation(vectors.shape[1])).reshape(h, w, CHANNELS).astype(np.float32))
        return found


@cache
def rotation(width: int) -> np.ndarray:
    """(width, ``CHANNELS``) float32 that brings vectors of length 1 to values about 1, the same on every machine."""
    drawn = np.random.RandomState(width).standard_normal((width, CHANNELS))  # whose stream NumPy has frozen
    return np.asarray(drawn, np.float32)


def obtain_features(name: str, settings: NetworkSettings, findings: Findings) -> ImageFeatures:
    """The model of that name, whose weights are fetched where the settings allow it. Nothing here imports torch.

    Raises:
        UsageError: packages or weights are missing; it says the way out.
        DataError: a download did not succeed, or the model is of another kind.
    """
    (model,) = settings.obtain([name], PACKAGES)
    if not Path(model.path).is_dir():
        raise UsageError(f"{model.path}: no folder with a model of transformers")
    return ImageFeatures(model, settings.runtime(findings))


def point_features(
    xyz: np.ndarray,
    views: Iterable[tuple[str, View]],
    photos: StoredImages,
    model: ImageFeatures,
    reach: float,
    findings: Findings,
    progress: Progress | None = None,
) -> np.ndarray:
    """(N, ``CHANNELS``) float16 of points: the mean over the pictures that show them, NaN where none does.

    Args:
        xyz: (N, 3) metres in the views' frame; they hide each other.
        views: keyframes' names and their cameras with poses.
        reach: metres between a camera and what it sees.
    """
    total, count = np.zeros((len(xyz), CHANNELS), np.float32), np.zeros(len(xyz), np.int32)
    known = list(views)
    for done, (name, view) in enumerate(known, 1):
        shown = next(shown_labels(xyz, [LabelledView(view, lambda: np.zeros((1, 1), np.uint16))], reach), None)
        if shown is not None and (picture := photos.get(name)) is not None:
            _, item = shown
            size = (view.camera.width, view.camera.height)
            total[item.point] += sampled_grid(model.grid(picture), item.pixels, size)
            count[item.point] += 1
        if progress is not None:
            progress("image features", done, len(known))
    findings.add(FEATURES_MISSING, count=int((count == 0).sum()), of=len(xyz))
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(count[:, None] > 0, total / count[:, None], np.nan), np.float16)


def sampled_grid(grid: np.ndarray, pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(n, C) float32 between the middles of patches (h, w, C), at pixels (n, 2) of a picture of this width and height."""
    h, w = grid.shape[:2]
    place = pixels / np.array(size) * (w, h) - 0.5
    x, y = place[:, 0].clip(0, w - 1), place[:, 1].clip(0, h - 1)
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    right, bottom = np.minimum(left + 1, w - 1), np.minimum(top + 1, h - 1)
    u, v = (x - left)[:, None], (y - top)[:, None]
    above = grid[top, left] * (1 - u) + grid[top, right] * u
    below = grid[bottom, left] * (1 - u) + grid[bottom, right] * u
    return np.asarray(above * (1 - v) + below * v, np.float32)
