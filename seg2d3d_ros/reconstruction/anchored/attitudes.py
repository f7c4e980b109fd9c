"""What the given rotations of images mean, and whether the images agree with them."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.reconstruction.anchored.anchor import Anchor
from seg2d3d_ros.reconstruction.anchored.relative_poses import Pair, RelativePose
from seg2d3d_ros.reconstruction.anchored.rotations import angle_between
from seg2d3d_ros.reconstruction.rigs.rig_fit import MIN_PAIRS, median_rotation

log = logging.getLogger(__name__)

POSES_CONTRADICTED = Kind(
    "poses_contradicted",
    "given poses that the images contradict",
    cause="by the matches of image pairs they are turned by {degrees}° (read as {reading}){what}",
    remedy="check the convention of the angles (keyframes.pose_angles), what the poses are of (keyframes.pose_body, mounts) "
    "and which image each belongs to (names, clock)",
)
POSES_TURNED = Kind(
    "poses_turned",
    "cameras whose given poses are turned against the images",
    cause="by {degrees}°, alike in all of their images: their mount or the body of the poses is another than was stated; the "
    "turn is taken into account",
    remedy="state the mounts (TF, --rig) or what the poses are of (keyframes.pose_body) if the map is not as it should be",
)
POSES_UNUSED = Kind(
    "poses_unused",
    "given poses that do not hold the map",
    cause="{reason}",
    remedy="give more of the images a place and a rotation, and see that these fit (the notes on poses); the map is made as "
    "without them",
)
POSES_UNCONFIRMED = Kind(
    "poses_unconfirmed",
    "matches of image pairs that fixed poses contradict",
    cause="the poses are kept, as asked, but places or rotations are wrong, or the calibration is",
    remedy="use --trust prior, which corrects poses by the images, and see how far they move",
)
LARGEST_ERROR = np.deg2rad(30.0)
"""A pair that is farther off is wrong, by how much means nothing."""
PRECISE = np.deg2rad(3.0)
"""Given rotations whose pairs are off by less (median) are better than those from pairs."""
CONTRADICTED = np.deg2rad(5.0)
WRONG = np.deg2rad(15.0)
"""An image whose pairs are off by more (median), where those of the others are not, has the pose of another."""
TURNED = np.deg2rad(5.0)
"""A turn common to all images of a camera that is smaller may be that of the solution."""
FAR = 3.0
"""Standard deviations between two positions whose direction tells something."""


def reading_errors(anchor: Anchor, relative: Mapping[Pair, RelativePose], reading: str) -> np.ndarray:
    """(M, 2) radians by which rotation and direction of M pairs are off where the given rotations mean ``reading``.

    The direction is NaN where the images are too near to each other for it.
    """
    errors = []
    for (a, b), pair in relative.items():
        if reading in anchor.attitudes.get(a, {}) and reading in anchor.attitudes.get(b, {}):
            camera_from_world = anchor.attitudes[b][reading].T
            turn = angle_between(camera_from_world @ anchor.attitudes[a][reading], pair.second_from_first.rotation)
            errors.append((turn, _direction_error(anchor, a, b, camera_from_world, pair)))
    return np.array(errors).reshape(-1, 2)


def _direction_error(anchor: Anchor, a: int, b: int, camera_from_world: np.ndarray, pair: RelativePose) -> float:
    if a not in anchor.positions or b not in anchor.positions:
        return np.nan
    way = anchor.positions[a] - anchor.positions[b]
    length, norm = np.linalg.norm(way), np.linalg.norm(pair.second_from_first.translation)
    if length < FAR * np.hypot(anchor.sigmas[a], anchor.sigmas[b]) or norm == 0:
        return np.nan
    cosine = float(camera_from_world @ way @ pair.second_from_first.translation / (length * norm))
    return float(np.arccos(np.clip(cosine, -1.0, 1.0)))


def believed_attitudes(
    anchor: Anchor,
    relative: Mapping[Pair, RelativePose],
    averaged: Mapping[int, np.ndarray],
    cameras: Mapping[int, str],
    findings: Findings,
) -> tuple[dict[int, np.ndarray], bool]:
    """Image id -> (3, 3) ``camera_from_world`` by the given rotations, and whether they are better than averaged ones.

    Of several meanings the one is taken with which the pairs of images agree best. A turn that all images of a camera share
    (a mount that is not known, another body) is found by the averaged rotations and taken into account.

    Args:
        anchor: the given rotations.
        relative: verified pairs.
        averaged: image id -> (3, 3) ``camera_from_world`` from the pairs, in the positions' frame.
        cameras: image id -> name of its camera.
        findings: gets what does not fit.
    """
    readings = list(dict.fromkeys(name for readings in anchor.attitudes.values() for name in readings))
    if not readings:
        return {}, False
    costs = {name: _cost(reading_errors(anchor, relative, name)) for name in readings}
    reading = min(readings, key=lambda name: costs[name])
    log.info("given rotations are read as %s (%s)", reading, {name: f"{np.degrees(cost):.1f}" for name, cost in costs.items()})
    given = {i: known[reading].T for i, known in anchor.attitudes.items() if reading in known}
    given = _turned(given, averaged, cameras, findings)
    turns = _pair_turns(given, relative)
    typical = float(np.median([turn for of_image in turns.values() for turn in of_image])) if turns else 0.0
    if typical > CONTRADICTED:
        what = "" if anchor.fixed else ", so they are not used"
        findings.add(POSES_CONTRADICTED, count=len(given), degrees=f"{np.degrees(typical):.0f}", reading=reading, what=what)
        return (given, True) if anchor.fixed else ({}, False)
    wrong = _wrong_images(given, relative)
    if wrong:
        what = "" if anchor.fixed else ", so these are not used"
        worst = f"up to {np.degrees(max(wrong.values())):.0f}"
        names = [cameras[i] for i in wrong]
        findings.add(POSES_CONTRADICTED, *names, of=len(given), degrees=worst, reading=reading, what=what)
        if not anchor.fixed:
            given = {i: turn for i, turn in given.items() if i not in wrong}
    return given, typical <= PRECISE


def _wrong_images(given: Mapping[int, np.ndarray], relative: Mapping[Pair, RelativePose]) -> dict[int, float]:
    """Image id -> radians by which its rotation differs from what its pairs say, of the images that do not fit the others.

    The worst is taken out first: its neighbours may look wrong through it alone.
    """
    left, wrong = dict(given), dict[int, float]()
    while True:
        medians = {i: float(np.median(turns)) for i, turns in _pair_turns(left, relative).items() if len(turns) >= MIN_PAIRS}
        worst = max(medians, key=lambda i: medians[i], default=None)
        if worst is None or medians[worst] <= WRONG:
            return wrong
        wrong[worst] = medians[worst]
        del left[worst]


def _pair_turns(given: Mapping[int, np.ndarray], relative: Mapping[Pair, RelativePose]) -> dict[int, list[float]]:
    """Image id -> radians by which the rotations of its pairs differ from the given ones."""
    turns: dict[int, list[float]] = {}
    for (a, b), pair in relative.items():
        if a in given and b in given:
            turn = angle_between(given[b] @ given[a].T, pair.second_from_first.rotation)
            turns.setdefault(a, []).append(turn)
            turns.setdefault(b, []).append(turn)
    return turns


def _cost(errors: np.ndarray) -> float:
    """What speaks against a reading, in radians: the mean error of rotations and of directions, at most ``LARGEST_ERROR``."""
    if len(errors) == 0:
        return 0.0
    directions = errors[np.isfinite(errors[:, 1]), 1]
    return sum(float(np.minimum(part, LARGEST_ERROR).mean()) for part in (errors[:, 0], directions) if len(part))


def _turned(
    given: Mapping[int, np.ndarray], averaged: Mapping[int, np.ndarray], cameras: Mapping[int, str], findings: Findings
) -> dict[int, np.ndarray]:
    """The given rotations without the turn that all images of a camera share, where that is too large for an error."""
    turned = dict(given)
    for name in sorted(set(cameras.values())):
        both = [i for i in given if i in averaged and cameras[i] == name]
        if len(both) < MIN_PAIRS:
            continue
        turns = Rotation.from_matrix(np.array([averaged[i] @ given[i].T for i in both]))
        middle = median_rotation(turns)
        spread = float(np.median((middle.inv() * turns).magnitude()))
        if middle.magnitude() > TURNED and spread < PRECISE:
            findings.add(POSES_TURNED, name, degrees=f"{np.degrees(middle.magnitude()):.0f}")
            turned.update({i: middle.as_matrix() @ given[i] for i in given if cameras[i] == name})
    return turned
