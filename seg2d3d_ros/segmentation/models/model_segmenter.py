"""What the segmenters that run models share: prompts that make sense, and weights that are loaded and freed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.networks.runtime import Loadable, Runtime
from seg2d3d_ros.sections.segmentation_config import SegmentationConfig
from seg2d3d_ros.segmentation.segmenter import require_prompts
from seg2d3d_ros.types import Keyframe, Segments


class ModelSegmenter(ABC):
    """A segmenter that runs models. Nothing is loaded before it is used.

    Attributes:
        runtime: device and batches; its ``notes`` say what had to be given up.
    """

    def __init__(self, models: Sequence[Loadable], runtime: Runtime, config: SegmentationConfig):
        """Refuse to look for nothing, and for one thing twice.

        Raises:
            UsageError: no prompt, or two that are the same.
        """
        require_prompts(config.prompts)
        if len({prompt.casefold() for prompt in config.prompts}) != len(config.prompts):
            raise UsageError(f"the same prompt twice: {', '.join(config.prompts)}")
        self._models, self._config, self.runtime = models, config, runtime

    def load(self) -> None:
        """Read the weights; else the first image waits for them."""
        for model in self._models:
            model.load()

    def close(self) -> None:
        """Free the models; they are loaded again if the segmenter is used again."""
        for model in self._models:
            model.free()
        self.runtime.release()

    @abstractmethod
    def asking_for(self, config: SegmentationConfig) -> ModelSegmenter:
        """The same loaded models with other prompts and thresholds. Raises like the constructor."""

    @abstractmethod
    def segment(self, keyframe: Keyframe) -> Segments:
        """The objects of one keyframe.

        Raises:
            DataError: an image that cannot be decoded, or weights that are unsuitable.
        """
