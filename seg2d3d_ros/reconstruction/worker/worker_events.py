"""What goes between the reconstruction worker and its owner."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from seg2d3d_ros.reconstruction.reconstructor import Reconstruction
from seg2d3d_ros.types import Keyframe


@dataclass(frozen=True)
class Opened:
    """The process has opened the map directory: the keyframes in its database, and the last revision, if there is one.

    Comes first, and again whenever the process had to be started again.
    """

    names: tuple[str, ...]
    reconstruction: Reconstruction | None = None


@dataclass(frozen=True)
class Added:
    """A keyframe is in the database."""

    name: str
    features: int


@dataclass(frozen=True)
class Rejected:
    """A keyframe could not be used."""

    name: str
    reason: str


@dataclass(frozen=True)
class Progressed:
    """How far the running solve is."""

    stage: str
    done: int
    total: int


@dataclass(frozen=True)
class Revised:
    """A new state of the map: ``final`` when it answers a solve, else keyframes came into an online map."""

    reconstruction: Reconstruction
    final: bool = True


@dataclass(frozen=True)
class Failed:
    """Something went wrong; the worker goes on with the next command."""

    message: str


@dataclass(frozen=True)
class Stopped:
    """The command that ran was cancelled; the map is in its last revision, and the worker goes on with the next command."""

    message: str


Event = Opened | Added | Rejected | Progressed | Revised | Failed | Stopped


@dataclass(frozen=True)
class Add:
    """The command to take a keyframe in; ``image_scale`` as in ``Reconstructor``."""

    keyframe: Keyframe
    ignore: np.ndarray | None
    image_scale: float = 1.0

    def __str__(self) -> str:
        return f"adding {self.keyframe.name}"


@dataclass(frozen=True)
class Solve:
    """The command to finish the map."""

    def __str__(self) -> str:
        return "solving"


Command = Add | Solve


@dataclass(frozen=True)
class Done:
    """The command has been executed; its events came before. It goes to the process's owner only."""
