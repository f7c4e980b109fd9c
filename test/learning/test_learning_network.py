"""The network: what a view does not see is unknown; three stages; clouds labelled without any image."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from helpers_learning import VOXEL, street_cloud, street_scene

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.learning.cloud_segmentation import CloudSegmenter, SegmentedCloud
from seg2d3d_ros.learning.cloud_tiles import SuperpointLabels, cut_tile
from seg2d3d_ros.learning.curriculum import CurriculumLoss, CurriculumOptions, train_stages
from seg2d3d_ros.learning.joining import TileObject, join_objects
from seg2d3d_ros.learning.live_labels import LiveLabels
from seg2d3d_ros.learning.point_pyramid import point_pyramid
from seg2d3d_ros.learning.scene_building import Cloud
from seg2d3d_ros.networks.training.training_options import TrainingOptions

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")
torch.set_num_threads(1)

from seg2d3d_ros.learning.network.instance_loss import view_loss  # noqa: E402
from seg2d3d_ros.learning.network.instance_network import InstanceNetwork, build_network  # noqa: E402
from seg2d3d_ros.learning.network.query_matching import mask_costs, match  # noqa: E402

SMALL = CurriculumOptions(radius=7.0, voxel=2 * VOXEL, views=2, least=2, width=32, heads=2, layers=1)
TRAINING = TrainingOptions(steps=30, learning_rate=6e-3, device="cpu", save_seconds=1e9)


@pytest.fixture(scope="module")
def scenes():
    return [street_scene(seed)[0] for seed in range(3)]


@pytest.fixture(scope="module")
def tile(scenes):
    scene = scenes[0]
    return cut_tile(scene.xyz, scene.rgb, scene.normal, scene.superpoint, np.zeros(2), 9.0, VOXEL)


@pytest.fixture(scope="module")
def model(scenes, tmp_path_factory):
    """Trained in all stages."""
    folder = tmp_path_factory.mktemp("model") / "m"
    return train_stages(scenes, VOXEL / 2, folder, (1, 2, 3), TRAINING, SMALL)


def half_seen(tile) -> SuperpointLabels:
    """A view that sees half of the superpoints, and half of these as one object."""
    seen = np.arange(0, tile.superpoints, 2)
    return SuperpointLabels(seen, np.ones(len(seen), np.float32), (seen < tile.superpoints // 2)[None], np.array([7]))


@pytest.mark.parametrize("partition", [True, False])
def test_what_a_view_does_not_see_teaches_nothing(tile, partition):
    torch.manual_seed(0)
    found = build_network({"width": 32, "heads": 2, "layers": 1})(tile)[-1]
    found.mask.retain_grad()
    found.object.retain_grad()
    labels = half_seen(tile)
    sum(view_loss(found, labels, np.random.default_rng(0), partition=partition).values()).backward()
    unseen = np.setdiff1d(np.arange(tile.superpoints), labels.seen)
    taught = [found.mask.grad[:, unseen], found.mask.grad[unseen], found.object.grad[unseen]]
    assert any(bool(part.any()) for part in taught) is not partition
    assert bool(found.mask.grad[labels.seen][:, labels.seen].any())
    assert bool(found.object.grad[labels.seen].all())


def test_only_a_query_inside_an_object_may_stand_for_it():
    inside = torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    logits = torch.full((4, 4), -3.0)
    logits[2] = torch.tensor([5.0, 5.0, -5.0, -5.0])  # the best mask of the first object, by a query outside
    logits[1] = torch.tensor([2.0, 1.0, -1.0, -1.0])
    query, target = match(torch.zeros(4), logits, inside, torch.ones(4), inside > 0.5)
    assert dict(zip(target.tolist(), query.tolist(), strict=True)) == {0: 1, 1: 3}


def test_costs_of_masks_are_those_of_the_definitions():
    logits, inside, weight = torch.tensor([[2.0, -1.0]]), torch.tensor([[1.0, 0.0]]), torch.tensor([1.0, 3.0])
    entropy, dice = mask_costs(logits, inside, weight)
    p = torch.sigmoid(logits[0])
    assert float(entropy) == pytest.approx(float(-(p[0].log() + 3 * (1 - p[1]).log()) / 4), rel=1e-5)
    assert float(dice) == pytest.approx(float(1 - (2 * p[0] + 1) / (p[0] + 3 * p[1] + 1 + 1)), rel=1e-5)


def test_levels_stand_for_the_points_below_them():
    xyz = np.random.default_rng(0).uniform(0, 8, (500, 3)).astype(np.float32)
    levels = point_pyramid(xyz, 0.5)
    assert [len(level.xyz) for level in levels] == sorted((len(level.xyz) for level in levels), reverse=True)
    for fine, coarse in pairwise(levels):
        assert (np.abs(fine.xyz - coarse.xyz[fine.parent]).max(axis=1) < 8.0).all()
        np.testing.assert_allclose(coarse.xyz[0], fine.xyz[fine.parent == 0].mean(axis=0), rtol=1e-4)
    assert (levels[0].near[:, 0] == np.arange(500)).all()


def test_networks_take_image_features_and_do_without(tile):
    torch.manual_seed(0)
    network = InstanceNetwork(32, 2, 1, text=4, image=3)
    shown = np.ones((len(tile.point), 3), np.float32)
    without, given, unseen = (network(replace(tile, image=image))[-1] for image in (None, shown, np.full_like(shown, np.nan)))
    assert without.mask.shape == (tile.superpoints, tile.superpoints)
    assert not torch.allclose(without.mask, given.mask)
    torch.testing.assert_close(without.mask, unseen.mask)
    torch.testing.assert_close(without.text.norm(dim=1), torch.ones(tile.superpoints))


def test_stages_go_on_from_each_other_and_a_street_never_seen_is_labelled(model):
    cloud, owner = street_cloud(seed=11)
    cloud.xyz[5] = np.nan
    findings = Findings()
    found = CloudSegmenter(model, "cpu", findings).segment(Cloud(cloud.xyz + [5e5, 6e6, 40.0], cloud.rgb, cloud.up))
    assert (found.instance[5], found.confidence[5], found.superpoint[5]) == (0, 0, -1)
    assert findings.list()[0].count == 1
    matched = 0
    for house in (1, 2, 3):
        labels, counts = np.unique(found.instance[(owner == house) & (found.instance > 0)], return_counts=True)
        best = counts.max(initial=0)
        union = (owner == house).sum() + (found.instance == labels[counts.argmax()]).sum() - best if len(labels) else 1
        matched += best / union > 0.5
    assert matched >= 2
    assert (found.instance[owner == 0] > 0).mean() < 0.2


def test_an_interrupted_stage_is_gone_on_with_and_others_are_left(scenes, tmp_path):
    from seg2d3d_ros.networks.training.weights_folder import read_tensors

    short = TrainingOptions(steps=3, device="cpu", save_seconds=0)

    def stop(stage, done, total):
        if stage.startswith("stage 2") and done == 1:
            raise KeyboardInterrupt

    train_stages(scenes, VOXEL / 2, tmp_path / "a", (1, 2), short, SMALL)
    with pytest.raises(KeyboardInterrupt):
        train_stages(scenes, VOXEL / 2, tmp_path / "b", (1, 2), short, SMALL, progress=stop)
    with pytest.raises(UsageError, match="--resume"):
        train_stages(scenes, VOXEL / 2, tmp_path / "b", (1, 2), short, SMALL)
    train_stages(scenes, VOXEL / 2, tmp_path / "b", (1, 2), short, SMALL, resume=True)
    first, second = (read_tensors(tmp_path / name / "model.safetensors")[0] for name in "ab")
    assert all(torch.equal(first[name], second[name]) for name in first)
    with pytest.raises(UsageError, match="stages"):
        train_stages(scenes, VOXEL / 2, tmp_path / "c", (4,), short, SMALL)


def test_stages_learn_from_what_their_names_say(scenes):
    own, agreed, whole = (CurriculumLoss(scenes, stage, SMALL)._views[0] for stage in (1, 2, 3))
    assert len(own) == len(agreed) == len(scenes[0].views)
    assert len(whole) == 1
    assert not np.array_equal(own[0].label, agreed[0].label)
    np.testing.assert_array_equal(own[0].point, agreed[0].point)
    with pytest.raises(DataError, match="no street"):
        CurriculumLoss(
            [street_scene(places=(2.0,))[0].__class__(**{**scenes[0].__dict__, "instance": 0 * scenes[0].instance})], 1, SMALL
        )


def thing(superpoints, seen, score=0.9):
    items = np.array(superpoints)
    return TileObject(items, np.ones(len(items), np.float32), np.array(seen), score)


def test_objects_that_tiles_cut_are_joined_and_parts_are_none():
    size = np.ones(10)
    first = [thing([0, 1, 2, 3], range(5)), thing([4], range(5), 0.5)]
    second = [thing([2, 3, 5, 6], range(2, 10), 0.8), thing([8, 9], range(2, 10), 0.7), thing([8], range(2, 10), 0.3)]
    joined = join_objects([first, second], size)
    instance, confidence = joined.instance, joined.confidence
    assert len(set(instance[[0, 1, 2, 3, 5, 6]])) == 1
    assert instance[8] == instance[9] != instance[0]
    assert instance[7] == 0
    assert (len(set(instance[instance > 0])), confidence[7]) == (3, 0)
    assert confidence[0] == pytest.approx(0.9)
    assert join_objects([], size).instance.tolist() == [0] * 10


def test_neighbours_stay_two():
    tiles = [[thing([0, 1, 2], range(6)), thing([3, 4, 5], range(6))], [thing([2, 3], range(1, 5), 0.4)]]
    instance = join_objects(tiles, np.ones(6)).instance
    assert instance[0] != instance[5]
    assert len(set(instance)) == 2


class Renaming:
    """Stands for a segmenter: houses by x, under other ids at each call."""

    voxel = 0.25

    def __init__(self):
        self.calls, self.sizes = 0, []

    def segment(self, cloud):
        self.calls += 1
        self.sizes.append(len(cloud.xyz))
        house = np.floor(cloud.xyz[:, 0] / 8).astype(np.int32)
        instance = 1 + (house + self.calls) % 5
        return SegmentedCloud(instance.astype(np.int32), np.full(len(house), 0.8, np.float32), instance)


def test_live_labels_keep_their_ids_while_the_drive_goes_on():
    rng, segmenter = np.random.default_rng(0), Renaming()
    live = LiveLabels(segmenter, np.array([0.0, 0.0, 1.0]))
    ids: dict[int, set[int]] = {}
    for begin in (0.0, 4.0, 8.0):
        xyz = np.column_stack([rng.uniform(begin, begin + 15.9, 3000), rng.uniform(0, 1, (3000, 2))])
        carried = live(xyz, [])
        for house in range(4):
            ids.setdefault(house, set()).update(carried.instance[np.floor(xyz[:, 0] / 8) == house].tolist())
    assert all(len(found) <= 1 for found in ids.values())
    assert len(set.union(*ids.values())) == len([found for found in ids.values() if found])
    assert segmenter.sizes[1] > 3000  # what came before is looked at, too
