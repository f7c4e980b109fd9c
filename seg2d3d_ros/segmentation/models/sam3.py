"""Text, or boxes around examples, in; the masks of all instances out, in one model (SAM 3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from seg2d3d_ros.disk.documents import read_json
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.geometry.masks import Region
from seg2d3d_ros.images import decode_rgb
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.models import tiles
from seg2d3d_ros.segmentation.models.concept_model import ConceptModel, ConceptQuery
from seg2d3d_ros.segmentation.models.detections import overlaps
from seg2d3d_ros.segmentation.models.everything import cut_off, distinct
from seg2d3d_ros.segmentation.models.finishing import finished, thresholds
from seg2d3d_ros.segmentation.models.grounded_sam import crop
from seg2d3d_ros.segmentation.models.mask_models import Mask
from seg2d3d_ros.segmentation.models.model_segmenter import ModelSegmenter
from seg2d3d_ros.types import Keyframe, Segments

LOOK_THRESHOLD, LOOK_OVERLAP = 0.3, 0.5
"""A second look takes the best mask of at least this score whose box overlaps the one that was asked for by so much."""

MASKS_AT_CAP = Kind(
    "masks_at_cap",
    "prompts of images that have as many masks as SAM 3 can give",
    cause="there are {cap} or more objects of one name in the picture, and the others are missing",
    remedy="segmentation.tile_size (e.g. 1008) looks at parts of the picture, each with masks of its own; or name rarer things",
)
Example = tuple[tuple[float, float, float, float], bool]


class Sam3(ModelSegmenter):
    """Each prompt is a query of its own; in images that ``exemplars`` names, boxes around examples go with it."""

    def __init__(
        self,
        model: ConceptModel,
        runtime: Runtime,
        config: SegmentationConfig,
        findings: Findings,
        examples: Mapping[str, Mapping[int, Sequence[Example]]] | None = None,
    ):
        """Nothing is loaded before it is used.

        Args:
            findings: gets the prompts that filled all masks.
            examples: by keyframe and 1-based prompt; None = those of the file that ``config.exemplars`` names.

        Raises:
            UsageError: prompts, thresholds or exemplars that make no sense.
        """
        super().__init__([model], runtime, config)
        self._model, self._findings = model, findings
        self._thresholds = thresholds(config, config.concept_threshold)
        self._examples = read_examples(config) if examples is None else examples

    def asking_for(self, config: SegmentationConfig) -> Sam3:
        """See ``ModelSegmenter``."""
        return Sam3(self._model, self.runtime, config, self._findings)

    def segment(self, keyframe: Keyframe) -> Segments:
        """See ``ModelSegmenter``."""
        image = decode_rgb(keyframe.encoded, keyframe.source or keyframe.name)
        height, width = image.shape[:2]
        found: dict[int, list[tuple[Region, float]]] = {number: [] for number in range(1, len(self._config.prompts) + 1)}
        for extent in tiles.extents(width, height, self._config.tile_size, self._config.tile_overlap):
            queries = [self._query(keyframe.name, number, extent) for number in found]
            for (number, regions), masks in zip(found.items(), self._model.masks(crop(image, extent), queries), strict=True):
                if len(masks) >= self._model.most:
                    prompt = self._config.prompts[number - 1]
                    self._findings.add(MASKS_AT_CAP, f"{prompt} in {keyframe.name}", cap=self._model.most)
                shifted = [(mask.region.shifted(int(extent[0]), int(extent[1])), mask.score) for mask in masks]
                regions += [item for item in shifted if not cut_off(item[0], extent, width, height)]
        kept = {number: distinct(regions, self._config.nms_iou) for number, regions in found.items()}
        rows = [(region, number, score) for number, regions in kept.items() for region, score in regions]
        shown, classes, scores = [row[0] for row in rows], [row[1] for row in rows], [row[2] for row in rows]
        return finished(keyframe.name, (height, width), shown, classes, scores, self._config)

    def look(self, keyframe: Keyframe, boxes: np.ndarray) -> list[Mask | None]:
        """The mask of what each box (N, 4) of a keyframe shows (``pipeline.second_look``): the box is the example, and of all
        that is like it the mask in it counts. Raises like ``segment``."""
        image = decode_rgb(keyframe.encoded, keyframe.source or keyframe.name)
        wanted = np.asarray(boxes, np.float32).reshape(-1, 4)
        found = self._model.masks(image, [ConceptQuery.of("", LOOK_THRESHOLD, [box], [True]) for box in wanted])
        answers: list[Mask | None] = []
        for box, masks in zip(wanted, found, strict=True):
            shares = overlaps(box[None], np.array([mask.region.box for mask in masks], np.float32).reshape(-1, 4))[0]
            good = [mask for mask, share in zip(masks, shares, strict=True) if share >= LOOK_OVERLAP]
            answers.append(Mask(good[0].region, good[0].score, 1.0) if good else None)
        return answers

    def _query(self, name: str, number: int, extent: np.ndarray) -> ConceptQuery:
        """A prompt in a part of an image, with the examples whose centre lies in it."""
        examples = self._examples.get(name, {}).get(number, ())
        boxes = np.array([box for box, _ in examples], np.float32).reshape(-1, 4) - np.tile(extent[:2], 2)
        size = extent[2:] - extent[:2]
        inside = ((boxes[:, :2] + boxes[:, 2:] >= 0) & (boxes[:, :2] + boxes[:, 2:] < 2 * size)).all(axis=1)
        positive = np.array([good for _, good in examples], bool)
        clipped = np.clip(boxes[inside], 0, np.tile(size, 2))
        return ConceptQuery(self._config.prompts[number - 1], clipped, positive[inside], float(self._thresholds[number - 1]))


def read_examples(config: SegmentationConfig) -> dict[str, dict[int, list[Example]]]:
    """The boxes of the file ``exemplars``, by keyframe and 1-based prompt; none without such a file.

    It holds ``{image: [{"label": prompt, "box": [x0, y0, x1, y1], "positive": true}]}``: images by their stem (or
    ``<camera>_<stamp ns>``), pixels from the image's upper left corner; ``label`` may be left out where there is one prompt.

    Raises:
        UsageError: no such file, or something else in it.
    """
    if not config.exemplars:
        return {}
    path = Path(config.exemplars).expanduser()
    document = read_json(path, error=UsageError)
    rows = {prompt.casefold(): number for number, prompt in enumerate(config.prompts, start=1)}
    found: dict[str, dict[int, list[Example]]] = {}
    try:
        for name, examples in document.items():
            for example in examples:
                label = str(example.get("label", config.prompts[0] if len(rows) == 1 else "")).casefold()
                x0, y0, x1, y1 = (float(value) for value in example["box"])
                if label not in rows or not (x0 < x1 and y0 < y1):
                    raise ValueError(f"{name}: a box needs x0 < x1, y0 < y1 and a label among {', '.join(config.prompts)}")
                box = ((x0, y0, x1, y1), bool(example.get("positive", True)))
                found.setdefault(str(name), {}).setdefault(rows[label], []).append(box)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise UsageError(
            f'{path}: not {{image: [{{"label": "house", "box": [x0, y0, x1, y1]}}]}} ({type(error).__name__}: {error})'
        ) from error
    return found
