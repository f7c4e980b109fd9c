"""Results of models, kept by image, models, prompts and thresholds: to run again costs nothing."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np

from seg2d3d_ros.disk.arrays_file import read_arrays
from seg2d3d_ros.disk.atomic import write_bytes
from seg2d3d_ros.errors import DataError, Seg2d3dError
from seg2d3d_ros.geometry.overlapping.overlapping_masks import OverlappingMasks
from seg2d3d_ros.geometry.overlapping.run_lengths import checked_runs
from seg2d3d_ros.images import decode_labels, encode_png
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.models.mask_models import Looker
from seg2d3d_ros.segmentation.models.model_segmenter import ModelSegmenter
from seg2d3d_ros.types import Keyframe, Segments

log = logging.getLogger(__name__)

VERSION = 2
"""Grows when the same models, parameters and image give another result."""
_NO_MATTER = {"device", "batch_size", "models_dir", "allow_download", "cache_dir", "cache_size", "movable", "second_look"} | {
    "segments_pattern",
    "segments_void",
    "segments_orientation",
}
"""Parameters that do not change the result."""


class CachedSegmenter:
    """A model's segmenter that looks into a folder first. The models are loaded at the first image that is not there.

    Attributes:
        hits, misses: images that were found, and that the models had to look at.
        batch: how many keyframes are best given to ``segment_all`` at once.
    """

    def __init__(self, inner: ModelSegmenter, models: Sequence[str], config: SegmentationConfig, folder: Path | None):
        """Keep the results of ``inner``.

        Args:
            models: fingerprints of the weights.
            folder: None = keep nothing.
        """
        self._inner, self._models, self._config, self._folder = inner, list(models), config, folder
        self.hits = self.misses = 0
        self.batch = int(getattr(inner, "batch", 1))
        facts = {f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.name not in _NO_MATTER}
        self._settings = json.dumps([VERSION, self._models, facts], sort_keys=True).encode()
        self._bytes: int | None = None

    @property
    def runtime(self) -> Runtime:
        """Device, batches, and what had to be given up."""
        return self._inner.runtime

    @property
    def looker(self) -> Looker | None:
        """The segmenter inside if it can take a second look, else None."""
        return self._inner if isinstance(self._inner, Looker) else None

    def load(self) -> None:
        """Read the weights now."""
        self._inner.load()

    def close(self) -> None:
        """Free the models."""
        self._inner.close()

    def asking_for(self, prompts: Sequence[str]) -> CachedSegmenter:
        """The same loaded models, looking for something else.

        Raises:
            UsageError: prompts that make no sense, or that the model does not know.
        """
        config = dataclasses.replace(self._config, prompts=tuple(prompts))
        return CachedSegmenter(self._inner.asking_for(config), self._models, config, self._folder)

    def segment(self, keyframe: Keyframe) -> Segments:
        """The objects of one keyframe. Raises ``DataError`` as the segmenter does."""
        return self.segment_all([keyframe])[0]

    def segment_all(self, keyframes: Sequence[Keyframe]) -> list[Segments]:
        """The objects of several keyframes. Raises like ``segment``."""
        found = [self._read(keyframe) for keyframe in keyframes]
        rest = [keyframe for keyframe, segments in zip(keyframes, found, strict=True) if segments is None]
        self.hits, self.misses = self.hits + len(found) - len(rest), self.misses + len(rest)
        together = getattr(self._inner, "segment_all", None)
        made = together(rest) if together and rest else [self._inner.segment(keyframe) for keyframe in rest]
        for keyframe, segments in zip(rest, made, strict=True):
            self._write(keyframe, segments)
        fresh = iter(made)
        return [next(fresh) if segments is None else segments for segments in found]

    def _path(self, keyframe: Keyframe) -> Path:
        assert self._folder is not None
        key = hashlib.sha256(self._settings + hashlib.sha256(keyframe.encoded).digest()).hexdigest()
        return self._folder / key[:2] / f"{key[2:]}.npz"

    def _read(self, keyframe: Keyframe) -> Segments | None:
        if self._folder is None:
            return None
        path = self._path(keyframe)
        try:
            stored = read_arrays(path)
            labels = decode_labels(stored["labels"].tobytes(), str(path))
            segments = Segments(keyframe.name, labels, stored["ids"], stored["classes"], stored["scores"])
            if "counts" in stored:
                segments = dataclasses.replace(segments, overlapping=_overlapping(keyframe.name, labels.shape, stored))
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError, Seg2d3dError) as error:
            log.warning("%s: a damaged result is made again (%s)", path, error)
            return None
        return segments

    def _write(self, keyframe: Keyframe, segments: Segments) -> None:
        if self._folder is None:
            return
        labels, stream = np.frombuffer(encode_png(segments.labels), np.uint8), io.BytesIO()
        arrays = {"labels": labels, "ids": segments.ids, "classes": segments.classes, "scores": segments.scores}
        arrays |= {} if segments.overlapping is None else _stored(segments.overlapping)
        np.savez(stream, **cast(Any, arrays))
        try:
            write_bytes(self._path(keyframe), stream.getvalue())
        except DataError as error:
            log.warning("the result is not kept: %s", error)
            return
        self._bytes = self._measure() if self._bytes is None else self._bytes + stream.tell()
        if self._bytes > self._config.cache_size * 1_000_000:
            self._shrink()

    def _measure(self) -> int:
        assert self._folder is not None
        return sum(path.stat().st_size for path in self._folder.glob("??/*.npz"))

    def _shrink(self) -> None:
        """Delete what was not used for longest, down to nine tenths of the size."""
        assert self._folder is not None
        files = sorted((p.stat().st_mtime_ns, p.stat().st_size, p) for p in self._folder.glob("??/*.npz"))
        self._bytes = sum(size for _, size, _ in files)
        for _, size, path in files:
            if self._bytes <= 0.9 * self._config.cache_size * 1_000_000:
                break
            path.unlink(missing_ok=True)
            self._bytes -= size


def _stored(masks: OverlappingMasks) -> dict[str, np.ndarray]:
    """Overlapping masks as arrays: the run lengths one after the other, and where each ends."""
    return {
        "counts": np.frombuffer(b"".join(masks.counts), np.uint8),
        "ends": np.cumsum([len(counts) for counts in masks.counts], dtype=np.int64),
        "mask_boxes": masks.boxes,
        "mask_classes": masks.classes,
        "mask_scores": masks.scores,
        "stabilities": masks.stabilities,
    }


def _overlapping(name: str, shape: tuple[int, int], stored: Mapping[str, np.ndarray]) -> OverlappingMasks:
    """The inverse. Raises ``ValueError`` where run lengths do not fit the image."""
    raw, ends = stored["counts"].tobytes(), stored["ends"].tolist()
    counts = tuple(raw[first:last] for first, last in zip([0, *ends[:-1]], ends, strict=True))
    for item in counts:
        checked_runs(item, shape[0] * shape[1])
    keys = ("mask_boxes", "mask_classes", "mask_scores", "stabilities")
    return OverlappingMasks(name, shape, counts, *(stored[key] for key in keys))
