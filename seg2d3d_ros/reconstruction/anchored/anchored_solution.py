"""What came of a solution that positions hold in place, and how it compares with others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from seg2d3d_ros.colmap import pycolmap
from seg2d3d_ros.findings import Finding
from seg2d3d_ros.reconstruction.anchored.relative_poses import Pair, RelativePose, keypoints_of
from seg2d3d_ros.reconstruction.world.msac import msac_scores

ABOUT = 0.97
"""Share of another solution's confirmed matches that is as good."""
SURE_MATCHES, SURE_POSITIONS, MAX_MISSING = 0.85, 0.8, 0.1
"""A solution that confirms smaller shares of matches and positions, or leaves out a larger one of the images, may be wrong."""


@dataclass(frozen=True)
class AnchoredSolution:
    """What came of it.

    Attributes:
        model: images are frames of their own.
        relative: the verified pairs.
        agreement: share of the positions that it confirms, to within what they claim; those of images that it lacks count.
        findings: what is doubtful about mounts and calibrations.
        settled: whether given rotations say how it is turned as a whole.
        refused: ids of images that are not registered because their keypoints contradict their positions.
    """

    model: pycolmap.Reconstruction
    relative: Mapping[Pair, RelativePose]
    agreement: float
    findings: list[Finding] = field(default_factory=list)
    refused: frozenset[int] = frozenset()
    settled: bool = False

    @property
    def sure(self) -> bool:
        """Whether matches and positions both speak for it, and hardly an image is missing."""
        images = {i for pair in self.relative for i in pair}
        missing = len(images - set(self.model.reg_image_ids()))
        return self.support >= SURE_MATCHES and self.agreement >= SURE_POSITIONS and missing <= MAX_MISSING * len(images)

    @cached_property
    def confirmed(self) -> float:
        """See ``confirmed_matches``."""
        return confirmed_matches(self.model, self.relative)

    @property
    def support(self) -> float:
        """Share of the verified matches between its images that its poses confirm."""
        there = set(self.model.reg_image_ids())
        return self.confirmed / max(sum(len(pose.matches) for pair, pose in self.relative.items() if set(pair) <= there), 1)

    def beats(self, models: Iterable[pycolmap.Reconstruction]) -> bool:
        """Whether it confirms about as many matches as other models of the same images, or more.

        About: a model that bends itself to wrong matches fits some more of them than a straight one does.
        """
        return self.confirmed >= ABOUT * sum(confirmed_matches(model, self.relative) for model in models)


def confirmed_matches(model: pycolmap.Reconstruction, relative: Mapping[Pair, RelativePose]) -> float:
    """Verified matches between registered images that the poses confirm (MSAC)."""
    there = set(model.reg_image_ids())
    pairs = [pair for pair in relative if set(pair) <= there]
    return float(msac_scores(model, pairs, lambda a, b: relative[a, b].matches, lambda i: keypoints_of(model.image(i))).sum())
