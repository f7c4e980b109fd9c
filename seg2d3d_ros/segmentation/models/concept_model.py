"""Words, and boxes around examples -> all masks of what they mean: SAM 3 (arXiv 2511.16719) through transformers 5."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.geometry.masks import Region, region_of
from seg2d3d_ros.networks.checkpoints import load_pretrained
from seg2d3d_ros.networks.runtime import LazyModel

TEXT_TOKENS = 32
"""What the processor fills texts up to; longer ones would be refused by the model deep inside."""
PIXELS_AT_ONCE = 1 << 25
"""Pixels of full-size mask probabilities that are held at once (float32)."""


@dataclass(frozen=True)
class ConceptQuery:
    """What is looked for in one image.

    Attributes:
        text: a short noun phrase; empty = only what the boxes show.
        boxes: (B, 4) ``x0 y0 x1 y1`` around examples, in pixels of the image; may be empty where there is a text.
        positive: (B,) bool, False = a box around what is not meant.
        threshold: masks with a lower score are dropped.
    """

    text: str
    boxes: np.ndarray
    positive: np.ndarray
    threshold: float

    @classmethod
    def of(cls, text: str, threshold: float, boxes: object = (), positive: object = ()) -> ConceptQuery:
        """From anything array-like; without boxes, of the text alone."""
        return cls(text, np.asarray(boxes, np.float32).reshape(-1, 4), np.asarray(positive, bool).ravel(), threshold)


@dataclass(frozen=True)
class ConceptMask:
    """One mask with its score in [0, 1]."""

    region: Region
    score: float


def require_concept_models() -> None:
    """Refuse what cannot run SAM 3, before anything is downloaded. Nothing is imported.

    Raises:
        UsageError: Python, or transformers, is too old.
    """
    others = "take the segmenter grounded_sam, which finds objects by text, too"
    if sys.version_info < (3, 11):
        raise UsageError(
            f"segmenter sam3 needs transformers 5 and with it Python 3.11; this is Python {sys.version.split()[0]}: {others}"
        )
    try:
        version = importlib.metadata.version("transformers")
    except importlib.metadata.PackageNotFoundError:
        return  # what is missing altogether is told together with the weights
    if int(version.partition(".")[0]) < 5:
        raise UsageError(
            f"segmenter sam3 needs transformers 5, this is {version}: {sys.executable} -m pip install 'transformers>=5', "
            f"or {others}"
        )


class ConceptModel(LazyModel):
    """The loaded model: an image and several queries in, masks out. The image is encoded once, whatever their number."""

    def _read(self) -> Any:
        from transformers import Sam3Model, Sam3Processor

        self._processor = load_pretrained(Sam3Processor, self._path)
        return load_pretrained(Sam3Model, self._path)

    @property
    def most(self) -> int:
        """How many masks a query can have."""
        self.load()
        return int(self._model.config.detr_decoder_config.num_queries)

    def masks(self, image: np.ndarray, queries: Sequence[ConceptQuery]) -> list[list[ConceptMask]]:
        """The masks of each query in a (H, W, 3) uint8 RGB image, from the best score down.

        Raises:
            UsageError: a text that is longer than the model reads.
        """
        self.load()
        for query in queries:
            if (length := len(self._processor.tokenizer(query.text)["input_ids"])) > TEXT_TOKENS:
                raise UsageError(f"prompt {query.text!r} has {length} tokens, SAM 3 reads {TEXT_TOKENS}: say it in fewer words")
        return self._runtime.map(lambda images: [self._masks(images[0], queries)], [image], batch=1)[0]

    def _masks(self, image: np.ndarray, queries: Sequence[ConceptQuery]) -> list[list[ConceptMask]]:
        device, size = self._runtime.device, image.shape[:2]
        pixels = self._processor(images=image, return_tensors="pt")["pixel_values"].to(device)
        seen = self._model.get_vision_features(pixel_values=pixels)
        found = []
        for query in queries:
            prompts: dict[str, Any] = {"text": query.text or None, "original_sizes": [list(size)]}
            if len(query.boxes):
                prompts["input_boxes"] = [query.boxes.tolist()]
                prompts["input_boxes_labels"] = [query.positive.astype(int).tolist()]
            inputs = self._processor(**prompts, return_tensors="pt")
            given = {name: value.to(device) for name, value in inputs.items() if name != "original_sizes"}
            outputs = self._model(vision_embeds=seen, **given)
            self._runtime.check(outputs.pred_logits)
            found.append(self._kept(outputs, query.threshold, size))
        return found

    def _kept(self, outputs: Any, threshold: float, size: tuple[int, int]) -> list[ConceptMask]:
        """The library's own choice and enlargement, a few masks at a time: 200 of a large photograph would fill the memory."""
        step = max(1, PIXELS_AT_ONCE // (size[0] * size[1]))
        kept: list[ConceptMask] = []
        for start in range(0, outputs.pred_logits.shape[1], step):
            part = type(outputs)(
                pred_masks=outputs.pred_masks[:, start : start + step].float(),
                pred_boxes=outputs.pred_boxes[:, start : start + step].float(),
                pred_logits=outputs.pred_logits[:, start : start + step].float(),
                presence_logits=None if outputs.presence_logits is None else outputs.presence_logits.float(),
            )
            (answer,) = self._processor.post_process_instance_segmentation(part, threshold=threshold, target_sizes=[size])
            for score, mask in zip(answer["scores"].tolist(), answer["masks"].cpu().numpy(), strict=True):
                if (region := region_of(mask > 0)) is not None:
                    kept.append(ConceptMask(region, float(score)))
        return sorted(kept, key=lambda mask: -mask.score)
