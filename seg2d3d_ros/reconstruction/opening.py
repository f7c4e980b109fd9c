"""Which reconstructor a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.given_model import GivenModel
from seg2d3d_ros.reconstruction.online.online_mapper import nothing
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.reconstruction.reconstructor import Reconstructor
from seg2d3d_ros.sections.reconstruction_config import ReconstructionConfig


def open_reconstructor(
    root: Path,
    config: ReconstructionConfig,
    networks: NetworkSettings | None = None,
    cancelled: Callable[[], None] = nothing,
    *,
    live: bool = False,
) -> Reconstructor:
    """The reconstructor that ``config`` asks for; ``live`` where keyframes arrive one after the other.

    Args:
        networks: where models for the features come from and run.
        cancelled: asked between the steps of an online mapper; it may raise.

    Raises:
        UsageError: a finished model was given for keyframes that have yet to come, or fixed poses for the online mode.
    """
    if config.model:
        if live:
            raise UsageError("reconstruction.model, a finished model, is for `seg2d3d run`: images to come are not in it")
        return GivenModel(root, config)
    if not config.is_online(live=live):
        return BatchReconstructor(root, config, networks)
    if config.trust == "fixed":
        raise UsageError(
            "reconstruction.trust: fixed is for all images at once (reconstruction.mode: batch); online, poses are a prior"
        )
    return OnlineReconstructor(root, config, cancelled, networks)
