"""``--scene``: which street, who carries the cameras through it, and how far rows of houses are detected."""

from __future__ import annotations

from dataclasses import dataclass, replace

from seg2d3d_ros.simulation.detector import DetectorQuality
from seg2d3d_ros.simulation.drive import PEDESTRIAN, SURVEY_VEHICLE, VEHICLE, Carrier
from seg2d3d_ros.simulation.scene.styles import HARD_DRIVEN, HARD_ON_FOOT, TYPICAL, SceneStyle

SCENES = ("typical", "hard")
SLIVER = 0.0004
"""Share of an image from which on a house counts in its truth, in a typical street."""
FAR_ROW = 0.004
"""The same in a hard one, where far rows are one mask: what a person marks as a house of its own."""


@dataclass(frozen=True)
class Scenario:
    """What a scene is made of.

    Attributes:
        far_merge: the least chance that a row of far houses is found as one mask.
        sliver: houses that show less than this share of an image are ignored in its truth.
    """

    style: SceneStyle
    carrier: Carrier
    far_merge: float = 0.0
    sliver: float = SLIVER

    def detected_by(self, quality: DetectorQuality) -> DetectorQuality:
        """A detector's quality in this scene; one that never unites far houses does not here either."""
        return replace(quality, far_merge=max(quality.far_merge, self.far_merge)) if quality.far_merge else quality


def scenario(scene: str, cameras: int) -> Scenario:
    """The scene with so many cameras: ``hard`` with one is a walk, with more a survey drive."""
    if scene == "hard":
        style, carrier = (HARD_ON_FOOT, PEDESTRIAN) if cameras == 1 else (HARD_DRIVEN, SURVEY_VEHICLE)
        return Scenario(style, carrier, 0.95, FAR_ROW)
    return Scenario(TYPICAL, VEHICLE)
