"""A mask model asked for a prompt in every view: what it is asked, how the views vote, and what is said where they disagree."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers_checkpoints import write_sam
from helpers_clicks import HOUSE, STOREY, WINDOW, middle, overlap_in_all_views, pixel
from helpers_level_map import MODEL, labelled
from helpers_levels import DEPTH, HEIGHT, NAMES, WIDTH, picture, things

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import Region, overlap, region_of
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.prompts.choosing import PlacedClick, seen_at
from seg2d3d_ros.prompts.masking.agreement import Ballot, Proposal
from seg2d3d_ros.prompts.masking.mask_sources import IMAGES_UNREADABLE, ModelMasks
from seg2d3d_ros.prompts.masking.refining import ROUNDS
from seg2d3d_ros.prompts.prompting import MODEL_DISAGREES, OWN, VOTES, ask
from seg2d3d_ros.prompts.session import PromptSession
from seg2d3d_ros.prompts.sights import sights
from seg2d3d_ros.segmentation.models.mask_models import Mask, MaskPrompt

CORNER = Region((0, 0, 40, 30), np.ones((30, 40), bool))


class TrueMasks:
    """Gives the true mask of one thing, or in some views a wrong one; remembers what it was asked.

    Args:
        wrong: what it gives in some views instead, by name.
        obeys: it gives the wrong one only until a point says that this is not meant.
    """

    def __init__(self, thing, wrong=None, obeys=False):
        self.thing, self.wrong, self.obeys = thing, wrong or {}, obeys
        self.asked: list[tuple[str, MaskPrompt]] = []

    def masks(self, name, prompts):
        self.asked += [(name, prompt) for prompt in prompts]
        return [[Mask(r, 0.9, 0.9)] if (r := self.region(name, prompt)) is not None else [] for prompt in prompts]

    def region(self, name, prompt):
        region = self.wrong.get(name)
        if region is not None and not (self.obeys and (region.holds(prompt.points) != prompt.positive).any()):
            return region
        return picture(self.thing, NAMES.index(name))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("model") / "map")[0].root


@pytest.mark.parametrize(("thing", "level"), [(HOUSE, "coarse"), (STOREY, "1"), (WINDOW, "fine")])
def test_a_model_makes_the_masks_exact_in_every_view(made, thing, level):
    clicks = [Click(NAMES[4], pixel(*middle(WINDOW), 4))]
    without = overlap_in_all_views(PromptSession(made).ask(clicks, level).regions, thing)
    model = TrueMasks(thing)
    answer = PromptSession(made, model).ask(clicks, level)
    assert overlap_in_all_views(answer.regions, thing) > max(0.97, without)
    assert answer.asked == {name for name, _ in model.asked} > {NAMES[4]}
    assert not answer.disagreeing
    assert not answer.carried


def test_it_is_asked_with_the_visible_clicks_of_both_kinds_and_the_box_of_the_region(made):
    model, k = TrueMasks(WINDOW), 4
    x, y = middle(WINDOW)
    clicks = [Click(NAMES[k], pixel(x, y, k)), Click(NAMES[k + 1], pixel(x + 2.0, y, k + 1), False)]
    PromptSession(made, model).ask(clicks)
    own = [prompt for name, prompt in model.asked if name == NAMES[k]]
    assert any(prompt.box is None for prompt in own)
    with_box = next(prompt for prompt in own if prompt.box is not None)
    np.testing.assert_allclose(with_box.box, picture(WINDOW, k).box, atol=6)
    for name, prompt in model.asked:
        j = NAMES.index(name)
        expected = [(np.array(pixel(x + dx, y, j)), dx == 0) for dx in (0.0, 2.0)]
        inside = [(xy, positive) for xy, positive in expected if 0 <= xy[0] < WIDTH]
        for (xy, positive), given, said in zip(inside, prompt.points, prompt.positive, strict=False):
            np.testing.assert_allclose(given, xy, atol=3)
            assert said == positive
    far = [k for k in range(len(NAMES)) if picture(WINDOW, k) is None]
    assert not {NAMES[k] for k in far} & {name for name, _ in model.asked}


def test_views_that_mean_another_thing_are_asked_again_until_they_agree(made):
    wrong = {NAMES[k]: picture(HOUSE, k) for k in (3, 6)}
    model = TrueMasks(WINDOW, wrong, obeys=True)
    answer = PromptSession(made, model).ask([Click(NAMES[4], pixel(*middle(WINDOW), 4))])
    for name in wrong:
        again = [prompt for asked, prompt in model.asked if asked == name]
        assert 2 < len(again) <= 2 + ROUNDS
        assert not again[-1].positive.all(), "a point in what is too much"
        assert overlap(answer.regions[name], picture(WINDOW, NAMES.index(name))) > 0.97
    assert not answer.disagreeing


def test_views_that_never_agree_get_the_votes_of_the_others_and_are_counted(made):
    wrong = {NAMES[k]: picture(HOUSE, k) for k in (3, 6)}
    findings, session = Findings(), PromptSession(made, TrueMasks(WINDOW, wrong))
    item = ask(session, [Click(NAMES[4], pixel(*middle(WINDOW), 4))], findings=findings)
    for name in wrong:
        assert overlap(item.regions[name][0], picture(WINDOW, NAMES.index(name))) > 0.8
    (finding,) = [f for f in findings.list() if f.kind is MODEL_DISAGREES]
    assert set(finding.examples) == wrong.keys()
    assert finding.count == 2
    assert finding.of > 4
    assert VOTES in finding.text


def test_a_model_that_talks_nonsense_changes_nothing_and_that_is_said(made):
    click = [Click(NAMES[4], pixel(*middle(WINDOW), 4))]
    known = PromptSession(made).ask(click)
    findings = Findings()
    session = PromptSession(made, TrueMasks(WINDOW, dict.fromkeys(NAMES, CORNER)))
    item = ask(session, click, findings=findings)
    for name, region in known.regions.items():
        assert overlap(item.regions[name][0], region) > 0.85
    (finding,) = [f for f in findings.list() if f.kind is MODEL_DISAGREES]
    assert finding.count == finding.of
    silent = TrueMasks(WINDOW)
    silent.region = lambda *_: None
    assert PromptSession(made, silent).ask(click).disagreeing, "no mask at all is no agreement"


def test_a_model_answers_where_the_map_has_no_mask(made, tmp_path):
    root = shutil.copytree(made, tmp_path / "map")
    (root / "granularity.json").unlink()
    document = json.loads((root / "tracks.json").read_text())
    (root / "tracks.json").write_text(json.dumps({**document, "instances": []}))
    click = [Click(NAMES[4], pixel(*middle(STOREY), 4))]
    findings = Findings()
    item = ask(PromptSession(root, TrueMasks(STOREY)), click, findings=findings)
    assert overlap_in_all_views({name: region for name, (region, _) in item.regions.items()}, STOREY) > 0.9
    assert item.class_name == "object"
    assert not [f for f in findings.list() if f.kind is MODEL_DISAGREES]


def test_the_belief_a_settlement_starts_with_decides_on_the_level(made):
    sights = PromptSession(made).sights
    proposals = [Proposal(k, region) for t in (HOUSE, WINDOW) for k in range(3, 8) if (region := picture(t, k)) is not None]
    ballot = Ballot(sights, proposals)
    for thing, numbers in ((HOUSE, [0]), (WINDOW, [len(proposals) - 1])):
        agreed = ballot.settle(ballot.start(numbers))
        assert len(agreed.chosen) >= 3
        assert min(agreed.fit.values()) > 0.85
        assert agreed.strength < 0.6, "most views that see it have no proposal"
        for k, number in agreed.chosen.items():
            assert ballot.proposals[number].region.box == picture(thing, k).box


def test_an_image_that_cannot_be_read_is_counted_and_left_out(made, tmp_path):
    class Anything:
        def encode(self, image):
            assert image.shape == (HEIGHT, WIDTH, 3)
            self.encoded = getattr(self, "encoded", 0) + 1
            return "code"

        def from_prompts(self, code, prompts):
            assert code == "code"
            return [[Mask(CORNER, 1.0, 1.0)] for _ in prompts]

    root = shutil.copytree(made, tmp_path / "map")
    session, findings, model = PromptSession(root), Findings(), Anything()
    session.store.image_path(session.store.read_keyframes()[2]).unlink()
    source, prompts = ModelMasks(session.store, model, findings), [MaskPrompt(np.zeros((1, 2)), np.ones(1, bool))]
    assert [len(source.masks(name, prompts)[0]) for name in (*NAMES[:4], *NAMES[:4])] == [1, 1, 0, 1] * 2
    assert model.encoded == 3, "each image once"
    (finding,) = findings.list()
    assert (finding.kind, finding.examples, finding.count) == (IMAGES_UNREADABLE, (NAMES[2],), 1)


def test_the_command_asks_a_real_model_class_with_random_weights(made, tmp_path, capsys):
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    torch.set_num_threads(1)
    root, weights = shutil.copytree(made, tmp_path / "map"), write_sam(tmp_path / "sam")
    capsys.readouterr()
    asked = ["prompt", str(root), "--image", NAMES[3], "--click", "{:.1f},{:.1f}".format(*pixel(*middle(WINDOW), 3)), "--json"]
    assert main([*asked, "--model", str(weights), "--set", "segmentation.device=cpu"]) == 0
    said = capsys.readouterr().out
    assert MODEL_DISAGREES.what in said, "random weights mean nothing"
    assert OWN in said or VOTES in said
    assert json.loads(said.splitlines()[-1])["points"] > 5
    assert main([*asked, "--model", "facebook/sam-vit-base", "--set", f"segmentation.models_dir={tmp_path}/none"]) == 2
    refused = capsys.readouterr().err
    assert "375 MB, Apache-2.0" in refused
    assert "--download" in refused
    assert main([*asked, "--model", "sam_vit_z"]) == 2


def test_parts_of_a_map_that_have_no_place_in_common_do_not_hear_of_each_other():
    other = replace(MODEL, names=tuple("x" + name for name in NAMES), component=1)
    there = sights([MODEL, other])  # at the same coordinates, which mean nothing between the two
    found = seen_at(
        PlacedClick(NAMES[4], np.array(pixel(*middle(WINDOW), 4)), np.array([*middle(WINDOW), DEPTH]), 1.0, True), there
    )
    assert 4 < len(found) == sum(there[k].name in NAMES for k, _, _ in found)
    ballot = Ballot(there, [Proposal(4, picture(WINDOW, 4)), Proposal(len(NAMES) + 4, picture(HOUSE, 4))])
    agreed = ballot.settle(ballot.start([0]))
    assert agreed.shows
    assert all(there[k].view.component == 0 for k in agreed.shows | agreed.chosen.keys())


def test_regions_of_views_are_whole_images_only_where_asked(made):
    # What a view's mask and the votes differ in is looked for among the places of the map, never outside the image.
    model = TrueMasks(STOREY, {NAMES[3]: region_of(np.ones((HEIGHT, WIDTH), bool))})
    PromptSession(made, model).ask([Click(NAMES[4], pixel(*middle(STOREY), 4))], "1")
    for _, prompt in model.asked:
        assert ((prompt.points >= 0) & (prompt.points <= [WIDTH, HEIGHT])).all()


def test_all_levels_of_the_row_are_there():
    assert {t.level for t in things()} == {0, 1, 2}
