"""Compare a map with a register or with another map: what is matched, moved, missing, new."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seg2d3d_ros.comparison.compared_things import ComparedThing, things_of
from seg2d3d_ros.comparison.pairing import FEW, match
from seg2d3d_ros.comparison.register_file import read_register
from seg2d3d_ros.comparison.sight import half_angles, in_view, reach
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.export.contents import Contents
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.mapstore.held_map import look_into

MATCHED, MOVED, MISSING, NEW, AGAIN, COVERED, UNSEEN = "matched", "moved", "missing", "new", "again", "covered", "unseen"
MEANING = {
    MATCHED: "in both, where it should be",
    MOVED: "in both, elsewhere than the rest of the map says",
    MISSING: "known, in view of the cameras, and not found",
    NEW: "found, and not known",
    AGAIN: "found on a known thing that another instance has: a thing in two parts, or two on one plot",
    COVERED: "known, where an instance lies that has another partner: two things in one, or two plots of one thing",
    UNSEEN: "known, and out of the cameras' view: nothing is said of it",
}
SIGMAS = 3.0

NOTHING_COMMON = Kind(
    "comparison_unlike",
    "comparisons in which too few things agree to tell how far the whole map is off",
    cause="{detail}",
    remedy="check --with-crs and the map's positions; with a map that is far off, raise --within",
)
WHOLE_MAP_OFF = Kind(
    "comparison_off",
    "maps that lie elsewhere than what they are compared with, as a whole",
    cause="{detail}: positions by satellites, or the register, are off by that; it is taken out before a thing counts as moved",
    remedy="nothing need be done for the comparison; give better positions (RTK) where the place itself matters",
)


@dataclass(frozen=True)
class ComparisonRow:
    """One line of a comparison; ``east`` and ``north`` are the displacement in metres without the common part, ``sigmas`` its
    length in standard deviations, where these are known."""

    status: str
    instance: str | None
    known: str | None
    kind: str
    distance: float | None
    east: float | None
    north: float | None
    shape: Any = field(compare=False)
    sigmas: float | None = None


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        rows: own things first.
        common: (2,) metres east and north by which the whole map is off; 0 where too few pairs tell.
        reach: metres up to which known things count as in view.
        system: the projected system, for people; ``wkt`` for files.
        cameras: (K, 2) in plan.
    """

    rows: Sequence[ComparisonRow]
    common: np.ndarray
    reach: float
    system: str
    wkt: str | None
    cameras: np.ndarray

    @property
    def counts(self) -> dict[str, int]:
        """How many rows of each status, all of them named."""
        found = Counter(row.status for row in self.rows)
        return {status: found[status] for status in MEANING}

    def to_json(self) -> dict[str, Any]:
        """JSON-able."""
        names = ("status", "instance", "known", "kind", "distance", "east", "north", "sigmas")
        return {
            "counts": self.counts,
            "common": [round(float(value), 4) for value in self.common],
            "reach": round(self.reach, 2),
            "system": self.system,
            "rows": [{name: getattr(row, name) for name in names} for row in self.rows],
        }


def compare_map(
    root: Path,
    other: Path,
    findings: Findings,
    *,
    within: float,
    moved: float,
    layer: str | None = None,
    id_field: str | None = None,
    crs: str | None = None,
) -> Comparison:
    """Compare the map in ``root`` with a map directory or a vector file.

    Args:
        within: metres up to which two things may be the same.
        moved: metres from which a matched thing counts as moved; or three standard deviations of its position.
        layer, id_field, crs: as in ``read_register``.

    Raises:
        DataError: one of the two has no place on the Earth, or holds nothing to compare.
    """
    contents = Contents.of(look_into(root), findings=findings)
    if contents.coordinates.crs is None:
        raise DataError(f"{root}: does not lie on the Earth, so it cannot be compared; make it with positions (--gps)")
    own = things_of(contents)
    if other.is_dir():
        theirs = Contents.of(look_into(other), crs=contents.coordinates.wkt, findings=findings)
        if theirs.coordinates.crs is None:
            raise DataError(f"{other}: does not lie on the Earth, so it cannot be compared; make it with positions (--gps)")
        known = things_of(theirs)
    else:
        known = read_register(other, contents.coordinates.crs, findings, layer=layer, id_field=id_field, crs=crs)
    if not own or not known:
        raise DataError(f"{root if not own else other}: holds nothing with a place, so there is nothing to compare")
    return _compare(contents, own, known, findings, within, moved)


def _compare(
    contents: Contents,
    own: Sequence[ComparedThing],
    known: Sequence[ComparedThing],
    findings: Findings,
    within: float,
    moved: float,
) -> Comparison:
    model = contents.models[0]
    cameras = contents.coordinates.transform(model.centers)[:, :2]
    axis = contents.coordinates.transform(model.centers + model.pose.rotation[:, 2])[:, :2] - cameras
    axis = axis / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
    found = match(own, known, within)
    limit = reach(own, cameras)
    seen = in_view(known, cameras - found.common, axis, half_angles(model.cameras), limit)
    rows: list[ComparisonRow] = []
    partner = dict(found.pairs.tolist())
    place = {int(i): k for k, i in enumerate(found.pairs[:, 0])}
    for i, thing in enumerate(own):
        if i in partner:
            rest = found.displacement[place[i]] - found.common
            there = known[partner[i]]
            sigma = np.hypot(_sigma(thing, own, rest, found.common), _sigma(there, known, rest, found.common))
            size, east, north = float(np.linalg.norm(rest)), float(rest[0]), float(rest[1])
            status = MOVED if size > max(moved, SIGMAS * sigma) else MATCHED
            sigmas = size / float(sigma) if sigma > 0 else None
            rows.append(ComparisonRow(status, thing.name, there.name, thing.kind, size, east, north, thing.shape, sigmas))
        else:
            on = found.again.get(i)
            status, name = (NEW, None) if on is None else (AGAIN, known[on].name)
            rows.append(ComparisonRow(status, thing.name, name, thing.kind, None, None, None, thing.shape))
    taken = set(found.pairs[:, 1].tolist())
    for j, thing in enumerate(known):
        if j not in taken:
            by = found.covered.get(j)
            status = COVERED if by is not None else MISSING if seen[j] else UNSEEN
            rows.append(
                ComparisonRow(
                    status, None if by is None else own[by].name, thing.name, thing.kind, None, None, None, thing.shape
                )
            )
    _tell(found.common, len(found.pairs), min(len(own), int(seen.sum())), moved, findings)
    return Comparison(rows, found.common, limit, contents.coordinates.name, contents.coordinates.wkt, cameras)


def _sigma(thing: ComparedThing, things: Sequence[ComparedThing], rest: np.ndarray, common: np.ndarray) -> float:
    """Standard deviation in metres of a thing's position along ``rest`` (2,), which was found without the ``common`` part.

    The error of the map as a whole is in the covariance of each of its ``things``, and is the least of them: it went out with
    the common part, where there is one. 0 = unknown.
    """
    size = float(np.linalg.norm(rest))
    if thing.covariance is None or size == 0.0:
        return 0.0
    direction = rest / size
    own = float(direction @ thing.covariance @ direction)
    if not common.any():
        return float(np.sqrt(own))
    shared = min(float(direction @ other.covariance @ direction) for other in things if other.covariance is not None)
    return float(np.sqrt(own - shared))


def _tell(common: np.ndarray, pairs: int, possible: int, moved: float, findings: Findings) -> None:
    if pairs < FEW:
        findings.add(NOTHING_COMMON, count=1, detail=f"only {pairs} of {possible} things in view agree")
    elif float(np.linalg.norm(common)) > moved:
        east, north = common.tolist()
        findings.add(WHOLE_MAP_OFF, count=1, detail=f"{east:+.2f} m east, {north:+.2f} m north, by {pairs} pairs")


def summary(result: Comparison) -> Mapping[str, str]:
    """Status → "12  in both, where it should be", of those that occur."""
    return {status: f"{count:5d}  {MEANING[status]}" for status, count in result.counts.items() if count}
