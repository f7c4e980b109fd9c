"""Keyframes into the database: features where they are wanted, and the camera that took them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from seg2d3d_ros.config import ReconstructionConfig
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import image_size
from seg2d3d_ros.progress import Stopwatch
from seg2d3d_ros.reconstruction.database import FeatureDatabase
from seg2d3d_ros.reconstruction.features.camera_masks import CameraMasks
from seg2d3d_ros.reconstruction.features.sift import extract
from seg2d3d_ros.types import Keyframe


class FeatureIntake:
    """Takes keyframes into a database, each once.

    Args:
        database: gets cameras, images and features.
        config: how many features, and where the masks of the vehicle's own parts are.
        watch: gets the stage ``features``.

    Raises:
        UsageError: there is no file where ``config.masks`` says.
    """

    def __init__(self, database: FeatureDatabase, config: ReconstructionConfig, watch: Stopwatch) -> None:
        self._database, self._config, self._watch = database, config, watch
        self._masks = CameraMasks(Path(config.masks)) if config.masks else None
        self._features = {row.name: row.features for row in database.images()}

    @property
    def names(self) -> tuple[str, ...]:
        """Keyframes in the database."""
        return tuple(self._features)

    def add(self, keyframe: Keyframe, ignore: np.ndarray | None = None) -> int:
        """See ``Reconstructor.add``."""
        if keyframe.name not in self._features:
            with self._watch("features"):
                self._features[keyframe.name] = self._extract(keyframe, ignore)
        return self._features[keyframe.name]

    def _extract(self, keyframe: Keyframe, ignore: np.ndarray | None) -> int:
        source = keyframe.source or keyframe.name
        if self._masks is not None:
            own = self._masks.ignored(keyframe.camera_name, *image_size(keyframe.encoded, source))
            ignore = own if ignore is None else ignore if own is None else ignore | own
        features = extract(
            keyframe.encoded,
            source=source,
            max_image_size=self._config.max_image_size,
            max_features=self._config.max_features,
            ignore=ignore,
        )
        camera = keyframe.camera or Camera.guess(features.width, features.height)
        camera_id = self._database.camera_id(keyframe.camera_name, camera.scaled(features.width, features.height, source))
        self._database.add_image(keyframe, camera_id, features)
        return len(features)
