"""The SAM or SAM 2 that the network builds on: its image encoder, frozen, and its mask decoder to begin with."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.networks.weights import WEIGHT_NAMES, Model
from seg2d3d_ros.prompts.network.pointmap import InputFrame
from seg2d3d_ros.segmentation.models.mask_models import HubSam

if TYPE_CHECKING:
    import torch

PACKAGES = {"torch": "torch", "torchvision": "torchvision", "transformers": "transformers", "safetensors": "safetensors"}
"""Modules that it needs, and what they are called in pip."""
PER_CELL = 4
"""Cells of a mask along each side of a cell of the encoder's grid: the decoder enlarges so much."""
MASK_LOGIT = 10.0
"""What a pixel of a mask that is given as a prompt counts: SAM was trained with its own logits."""


@dataclass(frozen=True)
class EncodedView:
    """An image as the encoder saw it.

    Attributes:
        frame: where the image lies in what the encoder saw.
        levels: embeddings in half precision, each (1, C, h, w), on the CPU; the last is the coarsest, the only one of SAM.
        code: for ``BaseSam.enlarged``.
    """

    frame: InputFrame
    levels: tuple[torch.Tensor, ...]
    code: Any

    @property
    def bytes(self) -> int:
        """Of memory."""
        return sum(level.numel() * level.element_size() for level in self.levels)


class BaseSam(HubSam):
    """A SAM, SAM 2 or SAM 2.1 in transformers' format. Nothing of it is trained.

    Attributes:
        name: what the user called it, with its revision.
    """

    def __init__(self, model: Model, runtime: Runtime) -> None:
        super().__init__(model.path, runtime)
        self.name = f"{model.name}@{model.revision}" if model.revision else model.name
        self.runtime = runtime

    def _read(self) -> Any:
        return super()._read().requires_grad_(False)

    @cached_property
    def digest(self) -> str:
        """sha256 of its weights."""
        return weights_digest(self._path)

    @property
    def cells(self) -> int:
        """Along each side of the encoder's grid."""
        self.load()
        sizes = getattr(self._model, "backbone_feature_sizes", None)
        if sizes is not None:
            return int(sizes[-1][0])
        vision = self._model.config.vision_config
        return int(vision.image_size) // int(vision.patch_size)

    @property
    def width(self) -> int:
        """Channels of an embedding."""
        self.load()
        return int(self._model.mask_decoder.hidden_size)

    def decoder(self) -> Any:
        """A copy of the mask decoder, as it is before any training."""
        self.load()
        return copy.deepcopy(self._model.mask_decoder).cpu()

    def encoded(self, images: Sequence[np.ndarray]) -> list[EncodedView]:
        """(H, W, 3) uint8 RGB images as the encoder sees them."""
        self.load()
        found = []
        for code in self._runtime.map(self._encode, images):
            size, used, levels, single = code
            kept = tuple(level.cpu().half() for level in levels)
            side = int(self._model.config.vision_config.image_size) if single else max(used)
            found.append(EncodedView(InputFrame(size, used, side), kept, (size, used, None, single)))
        return found

    def dense(self, masks: torch.Tensor | None) -> torch.Tensor:
        """Embeddings of masks (V, 1, 4h, 4w) that are given as prompts, (V, C, h, w); (1, C, 1, 1) where there is none."""
        self.load()
        prompts = self._model.prompt_encoder
        if masks is None:
            return prompts.no_mask_embed.weight.reshape(1, -1, 1, 1)
        device = prompts.no_mask_embed.weight.device  # the CPU, where a GPU's memory did not suffice
        return prompts.mask_embed(((2.0 * masks - 1.0) * MASK_LOGIT).to(device))

    def enlarged(self, view: EncodedView, logits: torch.Tensor) -> torch.Tensor:
        """Mask logits (K, 4h, 4w) in the image's size (K, H, W)."""
        return self._enlarge(view.code, logits)


def obtain_base(name: str, settings: NetworkSettings, findings: Findings) -> BaseSam:
    """The base model of that name, whose weights are fetched where the settings allow it. Nothing here imports torch.

    Raises:
        UsageError: packages or weights are missing, or the weights are in the format of another library.
        DataError: a download did not succeed.
    """
    (model,) = settings.obtain([name], PACKAGES)
    if model.is_file or not model.path.is_dir():
        raise UsageError(
            f"{model.name}: a checkpoint of the segment_anything package; the prompts' network needs a folder of transformers: "
            "facebook/sam-vit-base, or a SAM 2 (`seg2d3d models`)"
        )
    return BaseSam(model, settings.runtime(findings))


def weights_digest(folder: Path) -> str:
    """sha256 over the files of weights of a folder of transformers.

    Raises:
        DataError: it holds none, or they cannot be read.
    """
    chosen = next((name for name in WEIGHT_NAMES if (folder / name).is_file()), None)
    if chosen is None:
        raise DataError(f"{folder}: holds no weights: none of {', '.join(WEIGHT_NAMES)}")
    stem = chosen.partition(".")[0]
    paths = sorted(folder.glob(f"{stem}-*-of-*")) if chosen.endswith(".index.json") else [folder / chosen]
    digest = hashlib.sha256()
    try:
        for path in paths:
            with path.open("rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()
