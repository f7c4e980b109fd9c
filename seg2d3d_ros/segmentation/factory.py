"""The segmenter that the configuration names."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.files.label_images import LabelImages
from seg2d3d_ros.segmentation.files.mask_lists import MaskLists, holds_mask_lists
from seg2d3d_ros.segmentation.files.panorama_masks import PanoramaMasks
from seg2d3d_ros.segmentation.segmenter import Segmenter

MODELS = {
    "grounded_sam": ("detector_model", "mask_model"),
    "panoptic": ("panoptic_model",),
    "everything": ("mask_model",),
    "sam3": ("concept_model",),
}
"""Segmenters that run models, and the parameters that name these."""


def create_segmenter(
    config: SegmentationConfig, directory: Path | None = None, findings: Findings | None = None
) -> Segmenter | None:
    """Build the segmenter for images that come without masks; None for ``segmenter: none`` (reconstruction only).

    Args:
        directory: the label images, for ``label_images``; the file, for ``coco``.
        findings: gets what the segmenter cannot use or has to give up.

    Raises:
        UsageError: a missing or unusable directory, missing weights or packages (with what to do), or ``topic``, whose
            masks come with the images.
        DataError: a damaged file, or a download that did not succeed.
    """
    if config.segmenter == "none":
        if config.movable:
            raise UsageError("movable classes need somebody who finds them: choose another segmenter than none")
        return None
    if config.segmenter == "everything" and config.movable:
        raise UsageError("segmenter everything knows no classes: segmentation.movable does not go with it")
    findings = Findings() if findings is None else findings
    config = replace(config, prompts=config.asked)
    if config.segmenter == "label_images":
        if directory is None:
            raise UsageError("label_images needs a directory of masks: --segments DIR; or --segmenter none for no objects")
        if holds_mask_lists(directory):
            return PanoramaMasks(MaskLists(directory, config, findings), findings)
        return PanoramaMasks(LabelImages(directory, config, findings), findings)
    if config.segmenter == "coco":
        from seg2d3d_ros.segmentation.files.coco import CocoInstances

        if directory is None:
            raise UsageError("coco needs a COCO JSON file of instances: --segments FILE.json")
        return PanoramaMasks(CocoInstances(directory, config, findings), findings)
    if config.segmenter in MODELS:
        return _model_segmenter(config, findings)
    raise UsageError("segmenter 'topic' takes masks from a ROS topic or a bag; for a folder use --segments DIR")


def _model_segmenter(config: SegmentationConfig, findings: Findings) -> Segmenter:
    """Find the weights, without importing torch, and put the parts together."""
    from seg2d3d_ros.networks.weights import cache_home
    from seg2d3d_ros.segmentation.cache import CachedSegmenter
    from seg2d3d_ros.segmentation.models.concept_model import ConceptModel, require_concept_models
    from seg2d3d_ros.segmentation.models.everything import Everything
    from seg2d3d_ros.segmentation.models.grounded_sam import GroundedSam
    from seg2d3d_ros.segmentation.models.grounding_dino import GroundingDino
    from seg2d3d_ros.segmentation.models.mask_models import mask_model, mask_packages
    from seg2d3d_ros.segmentation.models.model_segmenter import ModelSegmenter
    from seg2d3d_ros.segmentation.models.panoptic import Panoptic
    from seg2d3d_ros.segmentation.models.sam3 import Sam3

    if config.segmenter == "sam3":
        require_concept_models()
    settings = config.networks
    names = [getattr(config, parameter) for parameter in MODELS[config.segmenter]]
    models = settings.find(names)
    models, runtime = settings.obtain(names, mask_packages(models)), settings.runtime(findings)
    inner: ModelSegmenter
    if config.segmenter == "grounded_sam":
        inner = GroundedSam(GroundingDino(models[0].path, runtime), mask_model(models[1], runtime), runtime, config)
    elif config.segmenter == "everything":
        inner = Everything(mask_model(models[0], runtime), runtime, config)
    elif config.segmenter == "sam3":
        inner = Sam3(ConceptModel(models[0].path, runtime), runtime, config, findings)
    else:
        inner = Panoptic(models[0].path, runtime, config)
    kept = None if config.cache_dir == "none" else Path(config.cache_dir or cache_home() / "segments").expanduser()
    weights = [model.fingerprint for model in models]
    if config.segmenter == "sam3" and config.exemplars:  # what is in the file counts, beside its name
        weights.append(hashlib.sha256(Path(config.exemplars).expanduser().read_bytes()).hexdigest())
    return CachedSegmenter(inner, weights, config, kept)
