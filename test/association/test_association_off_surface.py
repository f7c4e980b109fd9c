"""Points that lie off the surface of their masks prove nothing; what lies on it, and what only one mask doubts, stays."""

from __future__ import annotations

import numpy as np
import pytest
from helpers_boards import FOCAL as BOARD_FOCAL
from helpers_boards import HEIGHT, WIDTH, Board, World, boards_world
from helpers_doppelgangers import FOCAL, STEP, masks, street, with_points
from helpers_doppelgangers import HEIGHT as STREET_HEIGHT
from helpers_doppelgangers import WIDTH as STREET_WIDTH
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.points.off_surface import off_surface, without_off_surface
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import SparseModel

HOUSES = (Board(-16, -2, 10), Board(2, 16, 10))
PLACES = (-11.0, -10.0, -9.0, 9.0, 10.0, 11.0)


def with_wrong_match(world: World, depth: float, first: int = 1, second: int = 4) -> SparseModel:
    """One more point, as deep as said, that a view of the left house and one of the right house match."""
    place = (PLACES[first] + PLACES[second]) / 2
    xyz = np.array([[place, 0.3, depth]])
    pixels = [BOARD_FOCAL * (xyz[:, :2] - [PLACES[k], 0.0]) / depth + [WIDTH / 2, HEIGHT / 2] for k in (first, second)]
    return with_points(world.model, xyz, [first, second], np.stack(pixels))


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1))
def test_points_on_a_facade_that_leads_into_the_distance_stay(seed):
    assert not off_surface(street(seed), masks()).any()


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_points_far_behind_it_are_found(seed, views):
    model = street(seed)
    rng = np.random.default_rng(seed)
    seen = list(range(1, 1 + views))
    xy = np.column_stack([rng.uniform(40, 160, 6), rng.uniform(200, 280, 6)])
    far = np.column_stack([(xy - [STREET_WIDTH / 2, STREET_HEIGHT / 2]) / FOCAL * 400.0, np.full(6, 400.0)])
    depth = 400.0 - STEP * np.array(seen)
    pixels = FOCAL * far[None, :, :2] / depth[:, None, None] + [STREET_WIDTH / 2, STREET_HEIGHT / 2]
    wrong = off_surface(with_points(model, far, seen, pixels), masks())
    assert wrong[-6:].all()
    assert not wrong[:-6].any()


@pytest.mark.parametrize("depth", [60.0, 250.0])
def test_one_wrong_match_far_behind_does_not_unite_two_houses(depth):
    world = boards_world(HOUSES, PLACES)
    model = with_wrong_match(world, depth)
    united, apart = (
        associate(build_incidence([m], world.segments, project=True), m.xyz, AssociationConfig())
        for m in (model, *without_off_surface([model], world.segments))
    )
    assert len(united.ids) == 1, "what the filter is for"
    assert len(apart.ids) == 2
    assert len(set(apart.segment_instance.tolist())) == 2


def test_without_masks_or_poses_nothing_is_off():
    world = boards_world(HOUSES, PLACES)
    model = with_wrong_match(world, 250.0)
    assert off_surface(model, world.segments)[-1]
    assert not off_surface(model, {}).any()
    few = {name: item for name, item in world.segments.items() if name in ("view1",)}
    assert off_surface(model, few)[-1], "the only mask that holds it says so"


@pytest.mark.parametrize(("second_depth", "off"), [(60.0, True), (30.0, False)])
def test_a_point_between_two_houses_is_on_neither(second_depth, off):
    """It is far behind one house's surface, and far before the other's: as many masks say "behind" as do not."""
    houses = (Board(-14, -4, 10), Board(-0.35 * second_depth, 14, second_depth))
    world = boards_world(houses, PLACES)
    assert bool(off_surface(with_wrong_match(world, 28.0, 2, 3), world.segments)[-1]) is off


def test_what_lies_before_the_surface_stays():
    """A bay, or a wing of the house."""
    world = boards_world((Board(-14, -6, 30, points=120),), (-11.0, -10.0, -9.0))
    before, behind = (
        with_points(
            world.model,
            np.array([[-10.0, 0.0, depth]]),
            [0, 2],
            np.array([[[BOARD_FOCAL * (-10.0 - x) / depth + WIDTH / 2, HEIGHT / 2]] for x in (-11.0, -9.0)]),
        )
        for depth in (15.0, 60.0)
    )
    assert not off_surface(before, world.segments).any()
    assert off_surface(behind, world.segments).nonzero()[0].tolist() == [120]
