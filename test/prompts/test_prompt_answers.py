"""Clicks to objects: their place, what they mean, and the masks in all views, against a truth that is known."""

from dataclasses import replace

import numpy as np
import pytest
from helpers_clicks import HOUSE, STOREY, WINDOW, middle, overlap_in_all_views, pixel
from helpers_level_map import MODEL, labelled
from helpers_levels import DEPTH, FOCAL, HEIGHT, NAMES, WIDTH, camera_centers, picture, things

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.geometry.masks import Region, overlap, region_of
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.prompts.carrying import RegionCarrier
from seg2d3d_ros.prompts.choosing import PlacedClick, choose
from seg2d3d_ros.prompts.lifting import lift
from seg2d3d_ros.prompts.point_votes import points_held
from seg2d3d_ros.prompts.session import PromptSession
from seg2d3d_ros.prompts.sights import sights
from seg2d3d_ros.prompts.things import FlatThings

NOTHING = np.empty((0, 3))


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return PromptSession(labelled(tmp_path_factory.mktemp("prompts") / "map")[0].root)


@pytest.mark.parametrize(("thing", "level", "least"), [(HOUSE, "coarse", 0.9), (STOREY, "1", 0.8), (WINDOW, "fine", 0.75)])
@pytest.mark.parametrize("k", [1, 4])
def test_a_click_reaches_every_view_at_every_level(session, thing, level, least, k):
    answer = session.ask([Click(NAMES[k], pixel(*middle(WINDOW), k))], level)
    assert overlap_in_all_views(answer.regions, thing) >= least
    assert 0 < len(answer.carried) < len(answer.regions)  # own masks where there are some, carried ones where not


def test_further_clicks_say_which_of_the_things_is_meant(session):
    k, (x, y) = 3, middle(WINDOW)
    click = Click(NAMES[k], pixel(x, y, k))
    assert overlap_in_all_views(session.ask([click]).regions, WINDOW) >= 0.75
    beside = Click(NAMES[k], pixel(x + 2.0, y, k))  # on the wall of the same storey
    assert overlap_in_all_views(session.ask([click, beside]).regions, STOREY) >= 0.8
    above = Click(NAMES[k + 1], pixel(x, y - 6.0, k + 1))
    assert overlap_in_all_views(session.ask([click, beside, above]).regions, HOUSE) >= 0.9
    without = Click(NAMES[k + 2], pixel(x + 2.0, y - 3.0, k + 2), positive=False)
    assert overlap_in_all_views(session.ask([click, beside, without]).regions, STOREY) >= 0.8


def test_clicks_that_no_single_thing_agrees_with_are_put_together(session):
    first, second = [t for t in things() if t.level == 2 and t.parent == STOREY.id][:2]
    third = next(t for t in things() if t.level == 2 and t.parent not in (STOREY.id,))
    wall = (first.box[2] + second.box[0]) / 2, middle(first)[1]
    clicks = [Click(NAMES[3], pixel(*middle(first), 3)), Click(NAMES[3], pixel(*middle(third), 3))]
    clicks.append(Click(NAMES[3], pixel(*wall, 3), positive=False))
    answer = session.ask(clicks)
    assert len(answer.choice.include) == 2
    truth = np.zeros((HEIGHT, WIDTH), bool)
    for thing in (first, third):
        region = picture(thing, 3)
        truth[region.window] |= region.pixels
    assert overlap(region_of(truth), answer.regions[NAMES[3]]) >= 0.7


def test_a_box_takes_what_fits_it_best(session):
    for thing in (HOUSE, STOREY):
        for k, name in enumerate(NAMES):
            shown = [i for i in session.things.shown(name) if i > 0]
            truth = picture(thing, k)
            if truth is None or not any(overlap(session.things.region(i, name), truth) > 0.8 for i in shown):
                continue
            answer = session.ask([], box=(name, tuple(map(float, truth.box))))
            assert overlap_in_all_views(answer.regions, thing) >= 0.8
            break
        else:
            raise AssertionError("no view shows it")


def test_a_place_in_the_world_is_a_click_in_every_view(session):
    answer = session.ask([Click(None, xyz=(*middle(STOREY), DEPTH))], "coarse")
    assert overlap_in_all_views(answer.regions, HOUSE) >= 0.9


def test_a_click_where_nothing_is_says_so(session):
    k = 0
    with pytest.raises(DataError, match="no object is known there"):
        session.ask([Click(NAMES[k], (2.5, 2.5))])  # left of the houses
    with pytest.raises(UsageError, match="outside"):
        session.ask([Click(NAMES[k], (WIDTH + 5.0, 2.5))])
    with pytest.raises(UsageError, match="is no keyframe"):
        session.ask([Click("nobody", (5.0, 2.5))])


def test_a_pixel_is_lifted_to_the_surface_of_its_own_mask(session):
    sight = session.sights[4]
    xy = np.array(pixel(3.0, -4.0, 4))
    found = lift(sight, xy, [], NOTHING)
    np.testing.assert_allclose(found.xyz, [3.0, -4.0, DEPTH], atol=0.1)
    # Points nearer than the wall all around, outside the mask: without the mask they bend the surface, with it they do not.
    near = replace(sight, depth=np.where(np.abs(sight.xy - xy).max(axis=1) > 12, sight.depth / 3, sight.depth))
    box = tuple(int(v) for v in (*(xy - 12), *(xy + 12)))
    mask = Region(box, np.ones((box[3] - box[1], box[2] - box[0]), bool))
    assert abs(lift(near, xy, [mask], NOTHING).xyz[2] - DEPTH) < 0.3
    assert abs(lift(near, xy, [], NOTHING).xyz[2] - DEPTH) > 1.0
    lonely = lift(sight, xy + [40, 0], [mask], NOTHING)  # its mask's points are far from it
    assert lonely.confidence < 0.6 * lift(near, xy, [mask], NOTHING).confidence
    assert lift(replace(sight, tree=None), xy, [mask], NOTHING) is None


def test_the_nearest_surface_of_a_dense_cloud_is_what_a_pixel_shows(session):
    sight, xy = session.sights[4], np.array(pixel(3.0, -4.0, 4))
    grid = np.stack(np.meshgrid(np.linspace(-0.3, 0.3, 40), np.linspace(-0.3, 0.3, 40)), axis=-1).reshape(-1, 2)
    ray = (np.array([3.0, -4.0, DEPTH]) - sight.view.center) / DEPTH
    sheets = [sight.view.center + ray * z + np.column_stack([grid, np.zeros(len(grid))]) for z in (5.0, 9.0)]
    found = lift(sight, xy, [], np.concatenate(sheets))
    np.testing.assert_allclose(found.xyz[2], 5.0, atol=0.01)
    assert found.confidence > 0.8


def pillar(model, x=4.0, width=1.2, z=7.0):
    """The model with a pillar before the fronts: 300 points that every view sees, and no longer what lies behind them."""
    rng = np.random.default_rng(1)
    count = len(model.xyz)
    extra = np.column_stack([rng.uniform(x - width / 2, x + width / 2, 300), rng.uniform(-12, 2, 300), np.full(300, z)])
    keyframe, point, pixels = [], [], []
    hidden = np.zeros(len(model.obs_point), bool)
    for k, center in enumerate(camera_centers()):
        xy = (extra - center)[:, :2] / (extra - center)[:, 2:] * FOCAL + [WIDTH / 2, HEIGHT / 2]
        seen = np.flatnonzero(((xy > 0) & (xy < [WIDTH, HEIGHT])).all(axis=1))
        keyframe.append(np.full(len(seen), k, np.int32))
        point.append((seen + count).astype(np.int32))
        pixels.append(xy[seen].astype(np.float32))
        left, right = ((x + side * width / 2 - center[0]) / z * FOCAL + WIDTH / 2 for side in (-1, 1))
        hidden |= (model.obs_keyframe == k) & (model.obs_xy[:, 0] > left) & (model.obs_xy[:, 0] < right)
    return replace(
        model,
        xyz=np.concatenate([model.xyz, extra]),
        rgb=np.full((count + 300, 3), 100, np.uint8),
        error=np.full(count + 300, 0.5, np.float32),
        point_ids=np.arange(count + 300, dtype=np.int64) + 5,
        obs_keyframe=np.concatenate([model.obs_keyframe[~hidden], *keyframe]),
        obs_point=np.concatenate([model.obs_point[~hidden], *point]),
        obs_xy=np.concatenate([model.obs_xy[~hidden], *pixels]),
    )


def columns_behind(k: int, x=4.0, width=1.2, z=7.0) -> tuple[float, float]:
    return tuple((x + side * width / 2 - camera_centers()[k][0]) / z * FOCAL + WIDTH / 2 for side in (-1, 1))


class Boards:
    """One board on the wall, 2 m wide, that some views have a mask of; the pillar is cut out of it."""

    def __init__(self, masked: set[int]):
        self.masked = {NAMES[k] for k in masked}
        self._thing = FlatThings({"instances": [{"id": 1, "class": "board", "observations": []}]}, {}, {})[1]

    def truth(self, k: int) -> np.ndarray:
        (x0, y0), (x1, y1) = pixel(3.0, -6.0, k), pixel(5.0, -3.0, k)
        pixels = np.zeros((HEIGHT, WIDTH), bool)
        pixels[max(round(y0), 0) : max(round(y1), 0), max(round(x0), 0) : max(round(x1), 0)] = True
        left, right = columns_behind(k)
        pixels[:, max(round(left), 0) : max(round(right), 0)] = False
        return pixels

    def __getitem__(self, thing):
        return self._thing

    def shown(self, name):
        return {1} if name in self.masked else set()

    def region(self, thing, name):
        return region_of(self.truth(NAMES.index(name))) if name in self.masked else None

    def holding(self, name, xy):
        truth = self.truth(NAMES.index(name))
        return [self.shown(name) if truth[int(y), int(x)] else set() for x, y in xy]

    def shape(self, name):
        return (HEIGHT, WIDTH)

    def parts(self, thing):
        return ()


def test_what_is_hidden_has_no_mask_and_no_say():
    there = sights([pillar(MODEL)])
    boards = Boards({0, 1, 2, 9, 10, 11})
    carrier = RegionCarrier(there, boards)
    visible, answered, behind = [], [], 0
    for k in range(3, 9):
        truth = boards.truth(k)
        region, carried = carrier.region(1, k)
        assert carried or region is None
        found = np.zeros((HEIGHT, WIDTH), bool)
        if region is not None:
            found[region.window] = region.pixels
        left, right = columns_behind(k)
        behind += int(found[:, max(round(left) + 3, 0) : max(round(right) - 3, 0)].sum())
        if truth.sum() >= 150:
            visible.append(k)
            answered.append((truth & found).sum() / (truth | found).sum())
    assert len(visible) >= 4
    assert np.mean(answered) >= 0.6
    blind = sum(int(boards.truth(k).sum()) for k in range(3, 9))
    assert behind <= 0.15 * blind
    # A click on the board, in a view that sees it, is not denied by the views in which the pillar is before that place.
    place = np.array([3.6, -4.5, DEPTH])
    xy = np.array(pixel(3.6, -4.5, 1))
    hidden = [s.name for s in there if s.hidden(*s.view.project(place[None]))[0]]
    assert 1 <= len(hidden) < len(NAMES)
    click = PlacedClick(NAMES[1], xy, place, 1.0, True)
    assert choose([click], there, boards).include == (1,)


def test_points_are_the_objects_where_most_views_that_see_them_say_so(session):
    answer = session.ask([Click(NAMES[4], pixel(*middle(WINDOW), 4))], "coarse")
    rows, share = points_held(session.sights, answer.regions, session.xyz)
    x0, y0, x1, y1 = HOUSE.box
    inside = ((session.xyz[:, :2] > [x0, y0]) & (session.xyz[:, :2] < [x1, y1])).all(axis=1)
    held = np.zeros(len(inside), bool)
    held[rows] = True
    assert (held & inside).sum() >= 0.95 * (held | inside).sum()
    assert ((share > 0.5) & (share <= 1)).all()
