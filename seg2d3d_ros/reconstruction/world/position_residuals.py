"""How far the images of a map lie from their positions, and whether that is what the positions claim."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from seg2d3d_ros.findings import EXAMPLES, Finding, Findings, Kind
from seg2d3d_ros.reconstruction.world.clock_offset import ClockOffset, clock_offset

MAP_CONTRADICTED = Kind(
    "map_contradicted",
    "images of a map whose positions contradict it",
    cause="they lie {rms} m (rms) from their positions, which claim {claimed} m{most}",
    remedy="do not measure in this map before you know which is wrong: the positions (clock, datum, which image they belong "
    "to, a claim that is too good) or the map (too little overlap, wrong matches); metrics.json has the distance of each image",
)
POSITIONS_OFF = Kind(
    "positions_off",
    "positions that the images contradict",
    cause="they lie {least} m and more from where the images say, {times} times what they claim",
    remedy="check these fixes (reflections, clock, the wrong file); they do not pull at the map",
)
CONTRADICTED = 2.0
"""A map is contradicted where its positions scatter by so many times what they claim."""
OFF = 6.0
"""A single position is off at so many standard deviations, or times the scatter of all where that is larger."""
TYPICAL = {3: 1.5382, 2: 1.1774}
"""Median length of a vector of three, and of two, standard normal numbers."""
SAME_CAMERA = 1.5
"""A camera is named where its images lie farther off than those of all others by this factor."""


@dataclass(frozen=True)
class PositionResiduals:
    """Of N images of a map in the frame of its positions.

    Attributes:
        names: (N) names of the images.
        cameras: (N) names of their cameras.
        metres: (N,) between the image in the map and its position, of the coordinates that were measured.
        sigmas: (N,) standard deviations that the positions claim.
        measured: (N,) int, 3, or 2 where the height is unknown.
        clock: by how much the positions' clock is off, where that explains the distances.
    """

    names: list[str]
    cameras: list[str]
    metres: np.ndarray
    sigmas: np.ndarray
    measured: np.ndarray
    clock: ClockOffset | None = None

    @property
    def scatter(self) -> float:
        """How many times what they claim the positions scatter about the map."""
        typical = np.where(self.measured == 3, TYPICAL[3], TYPICAL[2])
        return float(np.median(self.metres / self.sigmas / typical)) if len(self.metres) else 0.0

    @property
    def claimed(self) -> float:
        """Metres that the distances are by their claims (rms of all measured coordinates, the middle of all positions)."""
        return float(np.median(self.sigmas * np.sqrt(self.measured))) if len(self.names) else 0.0

    @property
    def off(self) -> np.ndarray:
        """(N,) bool: positions that do not fit although others do."""
        return np.asarray(self.metres > OFF * self.sigmas * max(self.scatter, 1.0))

    def tell(self, findings: Findings) -> None:
        """Say where map and positions contradict each other."""
        if self.clock is not None:
            self.clock.tell(findings)
        off, count = self.off, len(self.names)
        if self.scatter > CONTRADICTED:
            kept = self.metres[~off]
            most = self._worst_camera()
            details = {"rms": f"{_rms(kept):.2f}", "claimed": f"{self.claimed:.2f}", "most": most}
            findings.put(Finding(MAP_CONTRADICTED, int((~off).sum()), count, (), details))
        if off.any():
            order = np.argsort(-self.metres)
            shown = tuple(f"{self.names[k]} by {self.metres[k]:.1f} m" for k in order[:EXAMPLES] if off[k])
            times = float((self.metres / self.sigmas)[off].min())
            details = {"least": f"{self.metres[off].min():.1f}", "times": f"{times:.0f}"}
            findings.put(Finding(POSITIONS_OFF, int(off.sum()), count, shown, details))

    def by_camera(self) -> dict[str, float]:
        """Camera name -> rms distance in metres, of the positions that are not off."""
        good, names = ~self.off, np.array(self.cameras)
        return {name: _rms(self.metres[good & (names == name)]) for name in sorted(set(names[good].tolist()))}

    def in_words(self) -> dict[str, str]:
        """For /diagnostics."""
        return {
            "distance to positions, rms [m]": f"{_rms(self.metres[~self.off]):.2f}",
            "positions scatter, times their claim": f"{self.scatter:.1f}",
            "positions off": f"{int(self.off.sum())} of {len(self.names)}",
        }

    def to_json(self) -> dict[str, Any]:
        """For metrics.json, in metres."""
        good = ~self.off
        return {
            "images": len(self.names),
            "rms": round(_rms(self.metres[good]), 4),
            "claimed": round(self.claimed, 4),
            "scatter": round(self.scatter, 3),
            "off": int(self.off.sum()),
            "cameras": {name: round(value, 4) for name, value in self.by_camera().items()},
            "distances": {name: round(float(metres), 4) for name, metres in zip(self.names, self.metres, strict=True)},
        }

    def _worst_camera(self) -> str:
        by_camera, names = self.by_camera(), np.array(self.cameras)
        worst = max(by_camera, key=lambda name: by_camera[name])
        others = self.metres[~self.off & (names != worst)]
        if not len(others) or by_camera[worst] < SAME_CAMERA * _rms(others):
            return ""
        return f", those of camera {worst} {by_camera[worst]:.2f} m"


def position_residuals(
    centers: Mapping[str, np.ndarray],
    cameras: Mapping[str, str],
    positions: Mapping[str, np.ndarray],
    sigmas: Mapping[str, float],
    heights: Collection[str],
    stamps_ns: Mapping[str, int],
) -> PositionResiduals:
    """Of the images that have both a place in the map and a position.

    Args:
        centers: image name -> (3,) metres in the map.
        cameras: image name -> camera name.
        positions: image name -> (3,) metres in the same frame.
        sigmas: image name -> standard deviation in metres.
        heights: names of the images whose third coordinate was measured.
        stamps_ns: image name -> capture time, 0 = unknown.
    """
    names = sorted(centers.keys() & positions.keys())
    apart = np.array([centers[n] - positions[n] for n in names]).reshape(-1, 3)
    measured = np.array([3 if n in heights else 2 for n in names], np.int64)
    apart[measured == 2, 2] = 0.0
    claimed = np.array([sigmas[n] for n in names])
    stamps, places = np.array([stamps_ns[n] for n in names], np.int64), np.array([centers[n] for n in names]).reshape(-1, 3)
    taken_by = [cameras[n] for n in names]
    clock = clock_offset(taken_by, stamps, places, -apart, claimed)
    return PositionResiduals(names, taken_by, np.linalg.norm(apart, axis=1), claimed, measured, clock)


def _rms(metres: np.ndarray) -> float:
    return float(np.sqrt(np.mean(metres**2))) if len(metres) else 0.0
