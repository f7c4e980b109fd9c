"""The segmenter that the configuration names."""

from __future__ import annotations

from pathlib import Path

from seg2d3d_ros.config import SegmentationConfig
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.segmentation.base import Segmenter
from seg2d3d_ros.segmentation.label_images import LabelImages


def create_segmenter(config: SegmentationConfig, directory: Path | None = None) -> Segmenter | None:
    """Build the segmenter for images that come without masks; None for ``segmenter: none`` (reconstruction only).

    Args:
        directory: the label images, for ``label_images``.

    Raises:
        UsageError: a missing or unusable directory, or ``topic``, whose masks come with the images.
    """
    if config.segmenter == "none":
        return None
    if config.segmenter == "label_images":
        if directory is None:
            raise UsageError("label_images needs a directory of masks: --segments DIR; or --segmenter none for no objects")
        return LabelImages(directory, config.prompts, config.min_area)
    raise UsageError("segmenter 'topic' takes masks from a ROS topic or a bag; for a folder use --segments DIR")
