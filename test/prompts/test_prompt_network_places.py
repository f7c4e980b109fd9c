"""What the network is told of places: a surface for every cell, one scale for a scene, and codes that views share."""

import numpy as np
import pytest
from helpers_level_map import MODEL
from helpers_levels import DEPTH, FOCAL, HEIGHT, WIDTH, camera_centers
from helpers_prompt_network import write_small_sam

from seg2d3d_ros.geometry.masks import region_of
from seg2d3d_ros.prompts.lifting import lift, lift_all
from seg2d3d_ros.prompts.network.pointmap import InputFrame, SceneScale, pointmap
from seg2d3d_ros.prompts.sights import sights

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from seg2d3d_ros.findings import Findings  # noqa: E402
from seg2d3d_ros.networks.obtaining import NetworkSettings  # noqa: E402
from seg2d3d_ros.prompts.network.base_model import obtain_base  # noqa: E402
from seg2d3d_ros.prompts.network.place_network import PlaceNetwork  # noqa: E402

NOTHING = np.empty((0, 3))
FRAME = InputFrame((HEIGHT, WIDTH), (48, 64), 64)


@pytest.fixture(scope="module")
def views():
    return sights([MODEL])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return obtain_base(str(write_small_sam(tmp_path_factory.mktemp("base"))), NetworkSettings(device="cpu"), Findings())


def test_cells_lie_at_their_pixels_and_padding_has_none():
    pixels = FRAME.pixels(8).reshape(8, 8, 2)
    np.testing.assert_allclose(pixels[0, 0], [WIDTH / 16, HEIGHT / 12])
    assert np.isfinite(pixels[:6]).all()
    assert np.isnan(pixels[6:]).all()  # 48 of 64 rows
    for column, row in ((0, 0), (3, 5), (7, 2)):
        assert FRAME.cell(pixels[row, column], 8) == (column, row)


def test_every_cell_on_the_fronts_has_its_place_and_the_sky_has_none(views):
    k = 5
    pixels = FRAME.pixels(32)
    found = pointmap(views[k], pixels, [], NOTHING)
    center = camera_centers()[k]
    expected = np.column_stack([(pixels - [WIDTH / 2, HEIGHT / 2]) / FOCAL * DEPTH + center[:2], np.full(len(pixels), DEPTH)])
    with np.errstate(invalid="ignore"):
        front = (expected[:, 0] > 0) & (expected[:, 0] < 16) & (expected[:, 1] > -9) & (expected[:, 1] < 0)
        far = expected[:, 1] > 1.8
    assert front.sum() > 100
    assert far.sum() > 20
    assert found.known[front].all()
    np.testing.assert_allclose(found.xyz[front], expected[front], atol=0.15)
    assert not found.known[far].any()
    assert (found.confidence[found.known] > 0).all()
    assert (found.confidence[~found.known] == 0).all()


def test_cells_of_a_mask_lie_on_the_surface_of_its_own_points(views):
    """Points of another depth around the mask do not bend it; one pixel is lifted as all are."""
    sight = views[4]
    half = np.zeros((HEIGHT, WIDTH), bool)
    half[:, : WIDTH // 2] = True
    left = region_of(half)
    depth = np.where(left.holds(sight.xy), sight.depth, sight.depth * 0.6)
    bent = type(sight)(sight.name, sight.view, sight.point, sight.xy, depth, sight.tree)
    inside = np.array([[WIDTH / 2 - 4.0, 120.0], [WIDTH / 2 - 30.0, 100.0]])
    places, confidence = lift_all(bent, inside, [left], NOTHING)
    np.testing.assert_allclose(bent.view.depth(places), DEPTH, rtol=0.02)
    without, _ = lift_all(bent, inside[:1], [], NOTHING)
    assert bent.view.depth(without)[0] < 0.95 * DEPTH
    one = lift(bent, inside[0], [left], NOTHING)
    np.testing.assert_allclose(one.xyz, places[0], rtol=1e-6)
    assert one.confidence == pytest.approx(confidence[0])


def test_the_scale_is_that_of_the_scene_and_strays_do_not_count():
    rng = np.random.default_rng(0)
    xyz = rng.normal([10, -4, 2], [20, 3, 0.5], (4000, 3))
    sure = rng.random(4000)
    scale = SceneScale.of(np.vstack([xyz, [[1e6, 0, 0]]]), np.append(sure, 0.5))
    np.testing.assert_allclose(scale.mean, [10, -4, 2], atol=1.0)
    np.testing.assert_allclose(scale.deviation, [20, 3, 0.5], rtol=0.1)
    assert (~scale.sure(sure)).mean() == pytest.approx(0.15, abs=0.01)
    moved = SceneScale.of(1000 * xyz + 77, sure)  # another unit and origin tell the network the same
    np.testing.assert_allclose(moved.normalized(1000 * xyz + 77), SceneScale.of(xyz, sure).normalized(xyz), atol=1e-4)
    flat = SceneScale.of(xyz * [1, 1, 0], sure)
    assert np.isfinite(flat.normalized(xyz * [1, 1, 0])).all()


def test_one_place_has_one_code_in_two_views_and_as_a_prompt(views, base):
    network = PlaceNetwork(base.decoder(), base.width)
    place = np.array([5.0, -4.0, DEPTH])
    codes = []
    scale = SceneScale(np.array([8.0, -4.0, DEPTH]), np.array([5.0, 3.0, 0.1]), 0.3)
    for k in (4, 7):
        pixel, depth = views[k].view.project(place[None])
        lifted = views[k].view.back_project(pixel, depth)
        codes.append(network.place_codes(torch.from_numpy(scale.normalized(lifted)), torch.tensor([True])))
    torch.testing.assert_close(codes[0], codes[1], atol=1e-4, rtol=0)
    other = network.place_codes(torch.from_numpy(scale.normalized(place[None] + [0.5, 0, 0])), torch.tensor([True]))
    assert float((other - codes[0]).detach().abs().max()) > 0.05
    place_of = torch.from_numpy(scale.normalized(place[None]))
    positive, negative = (network.prompt_codes(place_of, torch.tensor([True]), torch.tensor([sign])) for sign in (True, False))
    says = network.weights["codes"].prompt
    torch.testing.assert_close(positive - says[1], codes[0], atol=1e-4, rtol=0)
    torch.testing.assert_close(negative - says[0], codes[0], atol=1e-4, rtol=0)
    unsure = network.place_codes(place_of, torch.tensor([False]))
    sureness = network.weights["codes"].sureness
    torch.testing.assert_close(codes[0] - unsure, (sureness[1] - sureness[0])[None], atol=1e-4, rtol=0)


def test_what_has_no_place_has_a_code_of_its_own_and_harms_no_gradient(base):
    network = PlaceNetwork(base.decoder(), base.width)
    places = torch.tensor([[0.1, 0.2, 0.3], [float("nan")] * 3])
    codes = network.place_codes(places, torch.tensor([True, True]))
    torch.testing.assert_close(codes[1], network.weights["codes"].nowhere)
    codes.sum().backward()
    assert torch.isfinite(network.weights["codes"].projection.weight.grad).all()


def test_a_view_is_told_by_all_prompts_and_by_no_other_view(base):
    """Single-view cross-attention: the mask of a view is the same whoever is asked beside it."""
    network = PlaceNetwork(base.decoder(), base.width)
    generator = torch.Generator().manual_seed(0)
    cells = base.cells**2
    levels = (torch.randn(3, base.width, base.cells, base.cells, generator=generator),)
    pixels = torch.randn(3, cells, base.width, generator=generator)
    prompts = torch.randn(1, 4, base.width, generator=generator)
    with torch.no_grad():
        every = network.masks(levels, pixels, prompts.expand(3, -1, -1), base.dense(None))
        alone = network.masks((levels[0][1:2],), pixels[1:2], prompts, base.dense(None))
        fewer = network.masks((levels[0][1:2],), pixels[1:2], prompts[:, :3], base.dense(None))
    assert every.shape == (3, 3, 4 * base.cells, 4 * base.cells)
    torch.testing.assert_close(every[1:2], alone, atol=1e-4, rtol=1e-4)
    assert float((alone - fewer).abs().max()) > 1e-3
