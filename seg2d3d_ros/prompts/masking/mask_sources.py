"""Who is asked for the masks of an image: a mask model, or a double of one."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Protocol

from seg2d3d_ros.config import Config
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.segmentation.models.mask_models import Mask, MaskModel, MaskPrompt, obtain_mask_model

KEPT_CODES = 64
"""Encoded images that are held at once: 4 MB each with SAM, 15 MB with SAM 2."""
IMAGES_UNREADABLE = Kind(
    "prompt_images_unreadable",
    "images that the mask model could not be asked about",
    cause="the photograph cannot be read ({reason})",
    remedy="put the photographs back where they were, and ask again; in these images the answer is made without the model",
)


class MaskSource(Protocol):
    """Gives masks for prompts to one image."""

    def masks(self, name: str, prompts: Sequence[MaskPrompt]) -> list[list[Mask]]:
        """For each prompt to a keyframe the masks that it may mean, the likeliest first; empty lists where there are none."""
        ...


class ModelMasks:
    """A mask model; each image is encoded once.

    Args:
        findings: gets the images that cannot be read.
    """

    def __init__(self, store: MapStore, model: MaskModel, findings: Findings) -> None:
        self._store, self._model, self._findings = store, model, findings
        self._records: dict[str, KeyframeRecord] = {}
        self._code = lru_cache(KEPT_CODES)(self._encoded)

    def masks(self, name: str, prompts: Sequence[MaskPrompt]) -> list[list[Mask]]:
        """See ``MaskSource``."""
        code = self._code(name) if prompts else None
        return [[] for _ in prompts] if code is None else self._model.from_prompts(code, prompts)

    def _encoded(self, name: str) -> Any:
        if name not in self._records:  # a map may grow
            self._records = {record.name: record for record in self._store.read_keyframes()}
        record = self._records.get(name)
        try:
            if record is None:
                raise DataError("it is no keyframe of the map")
            image = decode_rgb(self._store.read_image(record), name)
        except DataError as error:
            self._findings.add(IMAGES_UNREADABLE, name, reason=str(error))
            return None
        return self._model.encode(image)


def model_masks(store: MapStore, config: Config, findings: Findings) -> ModelMasks | None:
    """The mask model that the configuration names (``clicks.model``); None where it names none. Nothing here imports torch.

    Raises:
        UsageError: packages or weights are missing; it says the way out.
        DataError: a download did not succeed.
    """
    if not config.clicks.model:
        return None
    return ModelMasks(store, obtain_mask_model(config.clicks.model, config.segmentation.networks, findings), findings)


def box_overlap(a: Sequence[float], b: Sequence[float]) -> float:
    """Intersection over union of two boxes ``x0 y0 x1 y1``."""
    width, height = (max(0.0, min(a[k + 2], b[k + 2]) - max(a[k], b[k])) for k in (0, 1))
    areas = [(c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)]
    return float(width * height / max(sum(areas) - width * height, 1e-9))
