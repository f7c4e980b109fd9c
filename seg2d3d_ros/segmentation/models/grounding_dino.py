"""Text -> boxes: Grounding DINO (Liu et al., ECCV 2024, arXiv 2303.05499) through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.networks.checkpoints import load_pretrained
from seg2d3d_ros.networks.runtime import LazyModel, Loadable
from seg2d3d_ros.segmentation.models.detections import Detections


class Detector(Loadable, Protocol):
    """Finds boxes for prompts."""

    def detect(self, images: Sequence[np.ndarray], prompts: Sequence[str], floor: float) -> list[Detections]:
        """The boxes of each (H, W, 3) uint8 RGB image with a score of at least ``floor``, in pixels of that image."""
        ...


class GroundingDino(LazyModel):
    """All prompts go through the model in one caption, ``building. car.``; a box belongs to the prompt whose own words
    it answers best, so that no box can be given to a mixture of two prompts."""

    def _read(self) -> Any:
        from transformers import AutoImageProcessor, AutoModelForZeroShotObjectDetection, AutoTokenizer

        self._tokenizer = load_pretrained(AutoTokenizer, self._path)
        self._processor = load_pretrained(AutoImageProcessor, self._path)
        return load_pretrained(AutoModelForZeroShotObjectDetection, self._path)

    def detect(self, images: Sequence[np.ndarray], prompts: Sequence[str], floor: float) -> list[Detections]:
        """See ``Detector``.

        Raises:
            UsageError: the prompts are longer than the model's text.
        """
        self.load()
        caption = " ".join(f"{plain(prompt)}." for prompt in prompts)
        tokens = self._tokenizer([caption], return_tensors="pt")
        limit = int(getattr(self._model.config, "max_text_len", 256))
        if tokens["input_ids"].shape[1] > limit:
            raise UsageError(f"the prompts have {tokens['input_ids'].shape[1]} tokens, the detector reads {limit}: name fewer")
        spans = prompt_spans(tokens["input_ids"][0].tolist(), self._dot(), len(prompts))
        # Only equal sizes share a batch: padding would change what is found.
        found: dict[int, Detections] = {}
        for shape in dict.fromkeys(image.shape for image in images):
            rows = [row for row, image in enumerate(images) if image.shape == shape]
            same = self._runtime.map(lambda batch: self._detect(batch, tokens, spans, floor), [images[row] for row in rows])
            found.update(zip(rows, same, strict=True))
        return [found[row] for row in range(len(images))]

    def _dot(self) -> int:
        return int(self._tokenizer.convert_tokens_to_ids("."))

    def _detect(self, images: Sequence[np.ndarray], tokens: Any, spans: list[range], floor: float) -> list[Detections]:
        device = self._runtime.device
        pixels = self._processor(images=list(images), return_tensors="pt")
        text = {key: value.expand(len(images), -1).to(device) for key, value in tokens.items()}
        outputs = self._model(**{key: value.to(device) for key, value in pixels.items()}, **text)
        self._runtime.check(outputs.logits)
        self._runtime.check(outputs.pred_boxes)
        found = []
        for image, logits, relative in zip(images, outputs.logits.float(), outputs.pred_boxes.float(), strict=True):
            words = logits.sigmoid().cpu().numpy()
            scores = np.stack([words[:, span].max(axis=1) for span in spans], axis=1)
            best = scores.max(axis=1)
            rows = np.flatnonzero(best >= floor)
            boxes = corners(relative.cpu().numpy()[rows], image.shape[1], image.shape[0])
            found.append(Detections.of(boxes, scores[rows].argmax(axis=1) + 1, best[rows]))
        return found


def plain(prompt: str) -> str:
    """A prompt as the model was trained on: lower case, and no full stop, which separates prompts.

    Raises:
        UsageError: nothing is left of it.
    """
    text = " ".join(prompt.replace(".", " ").lower().split())
    if not text:
        raise UsageError(f"prompt {prompt!r} has no words")
    return text


def prompt_spans(input_ids: list[int], dot: int, count: int) -> list[range]:
    """The token positions of each prompt in a caption; the first token opens the text, a ``dot`` ends each prompt."""
    ends = [position for position, token in enumerate(input_ids) if token == dot]
    if len(ends) != count:
        raise UsageError(f"the tokenizer makes {len(ends)} parts of {count} prompts; leave punctuation out of them")
    return [range(start + 1, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def corners(relative: np.ndarray, width: int, height: int) -> np.ndarray:
    """(N, 4) ``x0 y0 x1 y1`` in pixels from relative centre, width and height."""
    half = relative[:, 2:] / 2
    low_high = np.concatenate([relative[:, :2] - half, relative[:, :2] + half], axis=1)
    return (low_high * np.array([width, height, width, height])).astype(np.float32)
