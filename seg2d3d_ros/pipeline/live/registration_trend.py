"""Whether new keyframes still find their place in a live map: a camera that moved, darkness or speed shows there first."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from seg2d3d_ros.findings import Finding, Kind

REGISTRATION_SINKS = Kind(
    "registration_sinks",
    "of the newest keyframes, those that are not in the map",
    cause="of those before them {before} were; it is darker, faster, or has less texture there, or a camera has moved or its "
    "calibration has changed",
    remedy="look at the newest images in MAP/keyframes; drive this stretch again, slower, where it matters",
)
RECENT = 30
"""Newest keyframes that are judged, but for the very last ones, …"""
SETTLING = 4
"""… which may still be waiting for their neighbours."""
SUNK = 0.5
"""Less than this share of them in the map is told; it goes when more than ``RISEN`` are."""
RISEN = 0.7


class RegistrationTrend:
    """Call ``look`` after each revision."""

    def __init__(self) -> None:
        self._sunk = False

    def look(self, taken: Sequence[str], registered: Collection[str]) -> tuple[float | None, Finding]:
        """The share of the newest keyframes that are in the map, None where they are too few, and the finding of it.

        Args:
            taken: names of the keyframes that the map was given, in the order of their arrival.
            registered: of those in the map.
        """
        settled = taken[: max(len(taken) - SETTLING, 0)]
        recent, before = settled[-RECENT:], settled[:-RECENT]
        if len(recent) < RECENT:
            return None, Finding(REGISTRATION_SINKS, 0)
        lacking = [name for name in recent if name not in registered]
        share = 1.0 - len(lacking) / RECENT
        self._sunk = share < (RISEN if self._sunk else SUNK)
        there = sum(name in registered for name in before)
        words = f"{there} of {len(before)}" if before else "none came, so that none"
        count = len(lacking) if self._sunk else 0
        return share, Finding(REGISTRATION_SINKS, count, RECENT, tuple(lacking[-3:]), {"before": words})
