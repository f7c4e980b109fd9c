"""What the prompts' network learns from: objects of a map or of the truth, and questions about them."""

import numpy as np
import pytest
from helpers_levels import NAMES, picture, things, truth_image
from helpers_prompt_network import painted_map, write_small_sam

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import overlap
from seg2d3d_ros.images import encode_png
from seg2d3d_ros.prompts.network.known_objects import known_objects
from seg2d3d_ros.prompts.session import PromptSession

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from seg2d3d_ros.networks.obtaining import NetworkSettings  # noqa: E402
from seg2d3d_ros.prompts.network.base_model import obtain_base  # noqa: E402
from seg2d3d_ros.prompts.network.encoded_map import EncodedMap  # noqa: E402
from seg2d3d_ros.prompts.network.mask_losses import mask_losses  # noqa: E402
from seg2d3d_ros.prompts.network.questions import CLICKS, Questions  # noqa: E402


@pytest.fixture(scope="module")
def session(tmp_path_factory):
    return PromptSession(painted_map(tmp_path_factory.mktemp("painted") / "map"))


@pytest.fixture(scope="module")
def street(tmp_path_factory):
    root = tmp_path_factory.mktemp("street")
    for level, folder in enumerate(("truth", "truth_storeys", "truth_parts")):
        (root / folder).mkdir()
        for k, name in enumerate(NAMES):
            labels = truth_image(level, k)
            labels[0, 0] = 65535  # is not judged
            (root / folder / f"{name}.png").write_bytes(encode_png(labels))
    return root


@pytest.fixture(scope="module")
def questions(session, street, tmp_path_factory):
    base = obtain_base(str(write_small_sam(tmp_path_factory.mktemp("base"))), NetworkSettings(device="cpu"), Findings())
    encoded = EncodedMap(session, base, fine=True)
    return Questions([encoded], [known_objects(session, street)]), encoded


def test_the_truth_teaches_every_object_of_every_level(session, street):
    found = known_objects(session, street)
    assert found.complete
    assert len(found.objects) == len(things())
    truths = iter(sorted(things(), key=lambda thing: (thing.level, thing.id)))
    for item, thing in zip(found.objects, truths, strict=True):
        assert item.level == thing.level
        for k, name in enumerate(NAMES):
            region = found.region(item.id, name)
            assert (region is not None) == (name in item.views)
            if item.level == 2 and region is not None:
                assert overlap(region, picture(thing, k)) == 1.0
    with pytest.raises(UsageError, match="holds no folder truth/"):
        known_objects(session, street / "truth")


def test_a_map_teaches_the_nodes_of_its_tree_with_their_levels(session):
    found = known_objects(session)
    assert not found.complete
    assert {item.level for item in found.objects} >= {0, 1, 2}
    for item in found.objects:
        thing = session.things[item.id]
        assert item.id > 0
        assert item.level in (None, min(thing.level, 2))
        assert all(item.id in session.things.shown(name) for name in item.views)
    parents = {session.things[item.id].parent for item in found.objects}
    lonely = [i for i in found.objects if session.things[i.id].parent == 0 and i.id not in parents]
    assert all(item.level is None for item in lonely)


def test_a_map_without_objects_is_refused(session, monkeypatch):
    monkeypatch.setattr(type(session.things), "shown", lambda self, name: set())
    with pytest.raises(DataError, match="nothing to learn from"):
        known_objects(session)


def test_questions_are_those_of_the_paper(questions):
    drawn = [questions[0].draw(np.random.default_rng(k), 2) for k in range(120)]
    counts = np.array([len(found[0].positive) for found in drawn])
    assert all(len({len(q.positive) for q in found}) == 1 for found in drawn)
    assert counts.max() == CLICKS == 10
    assert 0.35 < (counts == CLICKS).mean() < 0.65
    assert set(counts) >= {1, 2, 3, 5}
    every = [q for found in drawn for q in found]
    ten = [q for q in every if len(q.positive) == CLICKS]
    assert all((~q.positive).sum() <= 1 for q in ten)
    assert any((~q.positive).any() for q in ten)
    assert all(q.positive.any() for q in every)
    assert 0.1 < np.mean([found[0].given is not None for found in drawn]) < 0.3
    assert {q.level for q in every} == {0, 1, 2}
    given = [(q.given[v], q.masks[v]) for q in every if q.given is not None for v in range(len(q.views)) if q.masks[v].any()]
    assert np.mean([(a != b).any() for a, b in given]) > 0.7, "perturbed"
    assert np.mean([(a & b).sum() / max((a | b).sum(), 1) for a, b in given]) > 0.3, "but like the truth"


def test_clicks_lie_on_the_object_or_beside_it_and_views_say_what_they_show(questions):
    draw, encoded = questions
    absent = 0
    for seed in range(40):
        for question in draw.draw(np.random.default_rng(seed), 2):
            assert len(question.masks) == len(question.counted) == len(question.views) <= 4
            assert set(question.views) <= set(question.scene)
            assert not (question.masks & ~question.counted).any()
            absent += sum(not mask.any() for mask in question.masks)
            # Every click lies in a cell of its kind in one of the views that are asked.
            for place, positive in zip(question.places, question.positive, strict=True):
                cells = [
                    np.flatnonzero((encoded.fine_places(k).xyz == place.astype(np.float32)).all(axis=1)) for k in question.views
                ]
                there = [mask[cell] for mask, cell in zip(question.masks, cells, strict=True) if len(cell)]
                assert there
                assert any((held == positive).any() for held in there)
    assert absent > 0, "some views are asked that do not show the object"


def test_the_losses_have_their_published_form():
    logits, truth = torch.tensor([[2.0, -1.0, 0.5, 9.0]]), torch.tensor([[1.0, 0.0, 1.0, 1.0]])
    counted = torch.tensor([[1.0, 1.0, 1.0, 0.0]])  # the last cell is outside the image
    focal, dice = mask_losses(logits, truth, counted)
    p = 1 / (1 + np.exp(-logits.numpy()[0, :3]))
    expected = [
        0.9 * (1 - p[0]) ** 1.5 * -np.log(p[0]),
        0.1 * p[1] ** 1.5 * -np.log(1 - p[1]),
        0.9 * (1 - p[2]) ** 1.5 * -np.log(p[2]),
    ]
    assert float(focal) == pytest.approx(np.mean(expected), rel=1e-4)
    assert float(dice) == pytest.approx(0.05 * (1 - (2 * (p[0] + p[2]) + 1) / (p.sum() + 3 + 1)), rel=1e-4)
