"""Models of fixed classes: Mask2Former (arXiv 2112.01527) and OneFormer (arXiv 2211.06220) through transformers."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from seg2d3d_ros.declaration import nearest
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.networks.checkpoints import load_pretrained, read_config
from seg2d3d_ros.networks.runtime import LazyModel, Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.models.finishing import finished, thresholds
from seg2d3d_ros.segmentation.models.model_segmenter import ModelSegmenter
from seg2d3d_ros.types import Keyframe, Segments

log = logging.getLogger(__name__)

MAX_SIDE = 1600
"""Masks are competed for at this size at most (pixels of the longer side) and then enlarged: the models see no more."""
OVERLAP = 0.8
"""A mask that keeps less than this share in the competition for pixels is dropped (both papers' setting)."""


class Network(LazyModel):
    """The loaded model: an image in, the queries' classes, probabilities and masks out."""

    def _read(self) -> Any:
        from transformers import AutoImageProcessor, AutoModelForUniversalSegmentation, AutoTokenizer

        model = load_pretrained(AutoModelForUniversalSegmentation, self._path)
        self._task: Any = None
        if model.config.model_type == "oneformer":
            with tempfile.TemporaryDirectory() as scratch:
                # The processor wants a table of classes, which only training uses, from a repository of its own.
                table = {str(index): {"name": name, "isthing": 0} for index, name in class_names(self._path).items()}
                (Path(scratch) / "classes.json").write_text(json.dumps(table))
                options = {"repo_path": scratch, "class_info_file": "classes.json"}
                self._processor = load_pretrained(AutoImageProcessor, self._path, **options)
            words = load_pretrained(AutoTokenizer, self._path)(
                ["the task is panoptic"], padding="max_length", max_length=model.config.task_seq_len, return_tensors="pt"
            )
            self._task = words["input_ids"] * words["attention_mask"]
        else:
            self._processor = load_pretrained(AutoImageProcessor, self._path)
        return model

    def infer(self, image: np.ndarray, accept: Callable[[int, float], bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Class (Q,), its probability (Q,) and mask probabilities (Q, h, w) of the queries that ``accept`` lets through.

        Args:
            image: (H, W, 3) uint8 RGB; h and w are H and W, reduced to at most ``MAX_SIDE``.
            accept: from class and probability.
        """
        self.load()
        return self._runtime.map(lambda images: [self._infer(images[0], accept)], [image], batch=1)[0]

    def _infer(self, image: np.ndarray, accept: Callable[[int, float], bool]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        import torch

        device = self._runtime.device
        extra = {} if self._task is None else {"task_inputs": ["panoptic"]}
        inputs = self._processor(images=[image], return_tensors="pt", **extra)
        # What the network saw; the rest is padding.
        seen = inputs["pixel_mask"][0]
        height, width = int(seen.any(1).sum()), int(seen.any(0).sum())
        given = {"pixel_mask": seen[None].to(device)} if self._task is None else {"task_inputs": self._task.to(device)}
        outputs = self._model(pixel_values=inputs["pixel_values"].to(device), **given)
        self._runtime.check(outputs.class_queries_logits)
        known = outputs.class_queries_logits[0].float().softmax(-1)
        probabilities, labels = known[:, :-1].max(-1)
        nothing = (known.argmax(-1) == known.shape[-1] - 1).tolist()
        facts = zip(labels.tolist(), probabilities.tolist(), nothing, strict=True)
        keep = torch.tensor([not none and accept(label, probability) for label, probability, none in facts], device=device)
        scale = min(1.0, MAX_SIDE / max(image.shape[:2]))
        target = [max(1, round(side * scale)) for side in image.shape[:2]]
        masks = outputs.masks_queries_logits[0][keep].float()[None]
        resize = torch.nn.functional.interpolate
        if masks.shape[1]:
            masks = resize(masks, size=tuple(seen.shape), mode="bilinear", align_corners=False)[..., :height, :width]
            masks = resize(masks, size=target, mode="bilinear", align_corners=False)
        return labels[keep].cpu().numpy(), probabilities[keep].cpu().numpy(), masks[0].sigmoid().cpu().numpy()


class Panoptic(ModelSegmenter):
    """Each prompt is the name of a class of the model, or one of the words it lists for it."""

    def __init__(self, folder: Path, runtime: Runtime, config: SegmentationConfig, network: Network | None = None):
        """Read the class names; the weights are read when they are used.

        Raises:
            UsageError: a prompt that is no class of the model (with the nearest names).
            DataError: no such model.
        """
        self._folder, self._network = folder, network or Network(folder, runtime)
        super().__init__([self._network], runtime, config)
        self._wanted = matched(config.prompts, class_names(folder))
        self._thresholds = thresholds(config, config.panoptic_threshold)
        if config.tile_size:
            log.warning("segmentation.tile_size does nothing with the segmenter panoptic: it looks at the whole image")

    def asking_for(self, config: SegmentationConfig) -> Panoptic:
        """See ``ModelSegmenter``."""
        return Panoptic(self._folder, self.runtime, config, self._network)

    def segment(self, keyframe: Keyframe) -> Segments:
        """See ``ModelSegmenter``."""
        image = decode_rgb(keyframe.encoded, keyframe.source or keyframe.name)
        labels, probabilities, masks = self._network.infer(image, self._accept)
        regions, classes, scores = [], [], []
        for row, mask in competition(probabilities, masks):
            if int(labels[row]) in self._wanted:
                enlarged = cv2.resize(mask.astype(np.uint8), image.shape[1::-1], interpolation=cv2.INTER_NEAREST_EXACT)
                regions.append(region_of(enlarged.astype(bool)))
                classes.append(self._wanted[int(labels[row])])
                scores.append(float(probabilities[row]))
        return finished(keyframe.name, image.shape[:2], regions, classes, scores, self._config)

    def _accept(self, label: int, score: float) -> bool:
        """Whether a mask may compete: also classes that nobody asked for keep their pixels from others."""
        prompt = self._wanted.get(label)
        return score > (self._config.panoptic_threshold if prompt is None else self._thresholds[prompt - 1])


def competition(probabilities: np.ndarray, masks: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Panoptic inference of both papers: each pixel goes to the query with the highest class × mask probability.

    Args:
        probabilities: (Q,) of each query's class.
        masks: (Q, H, W) in [0, 1].

    Returns:
        Query and its (H, W) bool mask; queries that lose more than a fifth of their mask are left out.
    """
    if len(masks) == 0:
        return []
    owner = (probabilities[:, None, None] * masks).argmax(axis=0)
    kept = []
    for query in range(len(masks)):
        own = masks[query] >= 0.5
        mask = own & (owner == query)
        if mask.any() and mask.sum() >= OVERLAP * own.sum():
            kept.append((query, mask))
    return kept


def class_names(folder: Path) -> dict[int, str]:
    """``{class: name}`` from a model's config.json.

    Raises:
        DataError: no such file, or one without class names.
    """
    path = folder / "config.json"
    try:
        return {int(index): str(name) for index, name in read_config(path)["id2label"].items()}
    except (ValueError, KeyError, AttributeError) as error:
        raise DataError(f"{path}: no class names in it ({type(error).__name__}: {error}); get the file again") from error


def matched(prompts: Sequence[str], names: dict[int, str]) -> dict[int, int]:
    """``{class of the model: 1-based prompt}``. A prompt matches a class of its name, or one of the synonyms in it
    (ADE20K: ``building, edifice``), or the last part of it (Vistas: ``construction--structure--building``).

    Raises:
        UsageError: a prompt that matches nothing, with the nearest names.
    """
    table: dict[int, int] = {}
    for number, prompt in enumerate(prompts, start=1):
        found = [index for index, name in names.items() if _folded(prompt) in _words(name)]
        if not found:
            every = sorted({word for name in names.values() for word in _words(name)})
            listed = ", ".join(sorted(set(names.values()))[:40])
            raise UsageError(
                f"prompt {prompt!r} is no class of this model{nearest(_folded(prompt), every)}; its classes: {listed}"
            )
        table.update(dict.fromkeys(found, number))
    return table


def _words(name: str) -> list[str]:
    parts = [_folded(part) for part in name.split(",")]
    return [_folded(name), *parts, *(part.rpartition("--")[2] for part in parts if "--" in part)]


def _folded(text: str) -> str:
    return " ".join(text.casefold().replace("_", " ").replace("-merged", "").replace("-other", "").split())
