"""Which reconstructor a configuration asks for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from seg2d3d_ros.config import ReconstructionConfig
from seg2d3d_ros.reconstruction.batch.batch_reconstructor import BatchReconstructor
from seg2d3d_ros.reconstruction.online.online_mapper import nothing
from seg2d3d_ros.reconstruction.online.online_reconstructor import OnlineReconstructor
from seg2d3d_ros.reconstruction.reconstructor import Reconstructor


def open_reconstructor(
    root: Path, config: ReconstructionConfig, cancelled: Callable[[], None] = nothing, *, live: bool = False
) -> Reconstructor:
    """The reconstructor that ``config.mode`` asks for; ``live`` where keyframes arrive one after the other."""
    return OnlineReconstructor(root, config, cancelled) if config.is_online(live=live) else BatchReconstructor(root, config)
