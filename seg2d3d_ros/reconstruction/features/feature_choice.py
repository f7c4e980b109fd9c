"""Which features a map is made of."""

from __future__ import annotations

from seg2d3d_ros.findings import Findings
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.reconstruction.features.local_features import LocalFeatures
from seg2d3d_ros.reconstruction.features.sift import Sift
from seg2d3d_ros.reconstruction.features.superpoint import PACKAGES, SuperPoint
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig


def open_features(config: ReconstructionConfig, networks: NetworkSettings, findings: Findings) -> LocalFeatures:
    """The features that ``config`` asks for; models are found, or fetched, but not yet loaded.

    Raises:
        UsageError, DataError: packages or weights are missing, or could not be downloaded.
    """
    if config.features == "sift":
        return Sift(config)
    (model,) = networks.obtain([config.features_model], PACKAGES)
    return SuperPoint(model.path, networks.runtime(findings), config)
