"""What speaks for two instances of two blocks being one object: the masks of common images, common points, and their place."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from seg2d3d_ros.city.joining.block_content import BlockContent
from seg2d3d_ros.city.joining.common_points import CommonPoints
from seg2d3d_ros.geometry.similarity import Similarity

POINT_WEIGHT = 0.1
"""Ten points that both hold count as much as a mask that both hold."""
ENOUGH = 1.0
"""Masks, or as many points, that make two instances one."""
AGREE = 0.5
"""Of what either holds in the common images, and the other block gives to anything, the share that both must hold."""
INSIDE = 0.6
"""Share of the points of each that must lie in the other's box, where no mask and no point is common."""
FEW, MARGIN, NEAR = 8, 0.3, 0.5
"""Points that tell where an instance is; metres that boxes are grown by; metres between two thin things that are one."""

Instance = tuple[str, int]
"""Name of a block, and the instance's id there."""


@dataclass(frozen=True)
class SameObject:
    """Two instances of two blocks are one object.

    Attributes:
        one, other: the instances.
        support: masks, and points by their weight, that both hold; 0 where only their place speaks for it.
        agreement: share of what could speak for it that does.
    """

    one: Instance
    other: Instance
    support: float
    agreement: float


def same_by_images(a: BlockContent, b: BlockContent, common: CommonPoints) -> list[SameObject]:
    """Instances that hold the same masks of common images, and the same points.

    The masks of an image are the same in both blocks. What one block gives to an instance and the other to none says nothing.
    """
    votes: defaultdict[tuple[int, int], float] = defaultdict(float)
    of_a: defaultdict[int, float] = defaultdict(float)
    of_b: defaultdict[int, float] = defaultdict(float)
    images = set(common.images)
    for key, in_a in a.shown.items():
        in_b = b.shown.get(key) if key[0] in images else None
        if in_b is not None:
            _vote(votes, of_a, of_b, in_a, in_b, 1.0)
    pairs = np.unique(np.stack([common.point_a, common.point_b], axis=1), axis=0) if len(common) else np.zeros((0, 2), int)
    for one, other in zip(a.instance_of_point[pairs[:, 0]].tolist(), b.instance_of_point[pairs[:, 1]].tolist(), strict=True):
        if one and other:
            _vote(votes, of_a, of_b, [one], [other], POINT_WEIGHT)
    found = []
    for (one, other), support in votes.items():
        agreement = support / max(min(of_a[one], of_b[other]), 1e-9)
        if support >= ENOUGH - 1e-9 and agreement >= AGREE and a.instances[one]["class"] == b.instances[other]["class"]:
            found.append(SameObject((a.name, one), (b.name, other), support, agreement))
    return found


def _vote(
    votes: MutableMapping[tuple[int, int], float],
    of_a: MutableMapping[int, float],
    of_b: MutableMapping[int, float],
    in_a: Sequence[int],
    in_b: Sequence[int],
    weight: float,
) -> None:
    """A mask, or a point, of these instances; a mask that was cut counts for each part's best partner, in equal shares."""
    share = weight / (len(in_a) * len(in_b))
    for one in in_a:
        for other in in_b:
            votes[one, other] += share
    for one in in_a:
        of_a[one] += weight / len(in_a)
    for other in in_b:
        of_b[other] += weight / len(in_b)


def same_by_place(
    a: BlockContent,
    b: BlockContent,
    city_from_a: Similarity,
    city_from_b: Similarity,
    taken: set[Instance],
    *,
    metric: bool,
) -> list[SameObject]:
    """Instances that fill the same place, of those that have no partner in the other block by images.

    Each has most of its points in the box of the other; or both are thin things whose places are one within their
    uncertainties. ``metric`` says whether the city's unit is the metre.
    """
    left_a, left_b = (_places(c, similarity, taken) for c, similarity in ((a, city_from_a), (b, city_from_b)))
    found = []
    for one, place_a in left_a.items():
        for other, place_b in left_b.items():
            if a.instances[one]["class"] != b.instances[other]["class"]:
                continue
            inside = place_a.inside(place_b, MARGIN if metric else 0.0)
            if inside >= INSIDE:
                found.append(SameObject((a.name, one), (b.name, other), 0.0, inside))
    best_a: dict[int, float] = {}
    best_b: dict[int, float] = {}
    for item in found:
        best_a[item.one[1]] = max(best_a.get(item.one[1], 0.0), item.agreement)
        best_b[item.other[1]] = max(best_b.get(item.other[1], 0.0), item.agreement)
    return [i for i in found if i.agreement >= best_a[i.one[1]] and i.agreement >= best_b[i.other[1]]]


@dataclass(frozen=True, eq=False)
class _Place:
    """Where an instance is, in the city's frame."""

    xyz: np.ndarray
    center: np.ndarray
    half: np.ndarray
    rotation: np.ndarray
    foot: np.ndarray | None
    sigma: float

    def inside(self, other: _Place, margin: float) -> float:
        """The lesser share of the points of one in the box of the other; of thin things 1 where they stand in one place."""
        if self.foot is not None and other.foot is not None:
            away = float(np.linalg.norm(self.foot - other.foot))
            near = min(max(NEAR * margin / MARGIN, 2.0 * float(np.hypot(self.sigma, other.sigma))), 3 * NEAR)
            return 1.0 - 0.3 * away / near if margin and away <= near else 0.0
        reach = float(np.linalg.norm(self.half) + np.linalg.norm(other.half))
        if min(len(self.xyz), len(other.xyz)) < FEW or np.linalg.norm(self.center - other.center) > reach:
            return 0.0
        return min(_share_in(self.xyz, other, margin), _share_in(other.xyz, self, margin))


def _share_in(xyz: np.ndarray, box: _Place, margin: float) -> float:
    local = (xyz - box.center) @ box.rotation
    return float((np.abs(local) <= box.half + margin).all(axis=1).mean())


def _places(content: BlockContent, city_from_block: Similarity, taken: set[Instance]) -> dict[int, _Place]:
    found = {}
    of_instance = content.points["instance"]
    for number, item in content.instances.items():
        if (content.name, number) in taken or "box3d" not in item:
            continue
        mine = content.points[of_instance == number]
        xyz = city_from_block.apply(np.stack([mine[axis] for axis in "xyz"], axis=1).astype(np.float64))
        box, scale = item["box3d"], city_from_block.scale
        turn = city_from_block.rotation @ Rotation.from_quat(box["quaternion_xyzw"]).as_matrix()
        by_rays = len(xyz) < FEW and "position" in item  # what has points is told by these
        foot = city_from_block.apply(np.array([item["position"]]))[0] if by_rays else None
        sigma = scale * float(np.sqrt(np.trace(np.array(item["covariance"])[:2, :2]))) if "covariance" in item else 0.0
        center = city_from_block.apply(np.array([box["center"]]))[0]
        found[number] = _Place(xyz, center, scale * np.array(box["size"]) / 2, turn, foot, sigma)
    return found
