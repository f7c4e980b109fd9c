"""seg2d3d train prompts and prompt --network: what is trained, that it learns, goes on after a kill, and what it answers."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from helpers_checkpoints import write_sam2
from helpers_clicks import HOUSE, WINDOW, middle, pixel
from helpers_levels import HEIGHT, NAMES, WIDTH, picture, things
from helpers_prompt_network import painted_map, write_small_sam

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.geometry.masks import overlap, region_of
from seg2d3d_ros.images import read_labels
from seg2d3d_ros.mapstore.files.prompts_file import Click
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.prompts.choosing import PlacedClick
from seg2d3d_ros.prompts.network.pointmap import SceneScale
from seg2d3d_ros.prompts.prompting import NETWORK_EMPTY, ask
from seg2d3d_ros.prompts.session import PromptSession

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
from seg2d3d_ros.networks.obtaining import NetworkSettings  # noqa: E402
from seg2d3d_ros.prompts.network.encoded_map import EncodedMap  # noqa: E402
from seg2d3d_ros.prompts.network.learning_task import NO_IMAGE, LearningTask  # noqa: E402
from seg2d3d_ros.prompts.network.network_folder import open_network  # noqa: E402
from seg2d3d_ros.prompts.network.network_masks import NetworkMasks  # noqa: E402
from seg2d3d_ros.prompts.network.place_network import PlaceNetwork  # noqa: E402

CPU = NetworkSettings(device="cpu")
STEPS = 220


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return painted_map(tmp_path_factory.mktemp("painted") / "map")


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_small_sam(tmp_path_factory.mktemp("base") / "sam")


def train(root, base, out, *options) -> int:
    given = ["--out", out, "--base", base, "--device", "cpu", "--learning-rate", "3e-3", *options]
    return main(["train", "prompts", *map(str, [root, *given])])


@pytest.fixture(scope="module")
def trained(root, base, tmp_path_factory):
    out = tmp_path_factory.mktemp("trained") / "model"
    assert train(root, base, out, "--steps", STEPS) == 0
    return out


@pytest.fixture(scope="module")
def session(root):
    return PromptSession(root)


@pytest.fixture(scope="module")
def network(trained, session):
    return NetworkMasks(*_opened(trained, session))


def _opened(folder, session):
    network, base = open_network(folder, CPU, Findings())
    return network, EncodedMap(session, base)


def test_only_decoder_and_codes_are_trained(trained, root, base):
    network, model = open_network(trained, CPU, Findings())
    fresh = PlaceNetwork(model.decoder(), model.width, 0)
    task = LearningTask(fresh, model, [root])
    terms = task.loss(fresh.weights, 0, np.random.default_rng(0))
    sum(terms.values()).backward()
    assert all(p.grad is None and not p.requires_grad for p in model._model.parameters())
    learning = {name for name, p in fresh.weights.named_parameters() if p.requires_grad}
    assert {name for name, p in fresh.weights.named_parameters() if p.grad is not None} == learning
    assert sum(p.numel() for p in fresh.weights.parameters() if p.requires_grad) == fresh.trained
    after, before = network.weights.state_dict(), fresh.weights.state_dict()
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == learning
    assert {"codes.projection.weight", "codes.prompt", "codes.sureness", "codes.nowhere"} < changed


def test_the_loss_falls(trained):
    lines = [json.loads(line) for line in (trained / "figures.jsonl").read_text().splitlines()]
    assert len(lines) == STEPS
    cost = [line["focal"] + line["dice"] for line in lines]
    assert np.mean(cost[-30:]) < 0.7 * np.mean(cost[:30])


def test_an_object_is_cut_out_in_views_that_nobody_clicked_in(session, network):
    k = 4
    x, y = middle(HOUSE)
    click = Click(NAMES[k], pixel(x - 2.0, y + 1.0, k))
    answer = session.ask([click], "0", network=network)
    values = {}
    for j, name in enumerate(NAMES):
        truth = picture(HOUSE, j)
        if j != k and truth is not None and truth.area >= 5000:
            values[name] = overlap(truth, answer.regions[name]) if name in answer.regions else 0.0
    assert len(values) > 4
    assert np.mean(list(values.values())) >= 0.6, values
    other = next(t for t in things() if t.level == 0 and t.id != HOUSE.id)
    there = session.ask([Click(NAMES[k], pixel(*middle(other), k))], "0", network=network)
    shared = [n for n in answer.regions if n in there.regions]
    assert np.mean([overlap(answer.regions[n], there.regions[n]) for n in shared] or [0.0]) < 0.4


def test_the_answer_does_not_depend_on_the_order_of_clicks_and_images(session, network):
    clicks = [Click(NAMES[k], pixel(*middle(HOUSE), k)) for k in (2, 5)]
    first, second = (session.ask(order, "0", network=network).regions for order in (clicks, clicks[::-1]))
    assert first.keys() == second.keys()
    for name in first:
        assert overlap(first[name], second[name]) > 0.97


def test_small_pieces_and_empty_answers_are_left_out_and_counted(session, network, monkeypatch):
    click = Click(NAMES[4], pixel(*middle(HOUSE), 4))
    seen = set(session.ask([click], "0", network=network).regions)
    decoded = NetworkMasks._decoded

    def mostly_nothing(self, chosen, *given):
        nothing = torch.full((3, 32, 32), -5.0)
        speck = nothing.clone()
        speck[:, 3, 3] = 5.2  # less than a thousandth of the image is above 0
        made = {NAMES[5]: nothing, NAMES[6]: speck}
        found = zip(chosen, decoded(self, chosen, *given), strict=True)
        return [made.get(session.sights[k].name, logits) for k, logits in found]

    monkeypatch.setattr(NetworkMasks, "_decoded", mostly_nothing)
    findings = Findings()
    item = ask(session, [click], level="0", findings=findings, network=network)
    assert {NAMES[5], NAMES[6]} <= seen
    assert not {NAMES[5], NAMES[6]} & item.regions.keys()
    (finding,) = [f for f in findings.list() if f.kind is NETWORK_EMPTY]
    assert finding.count >= 2
    assert finding.of == finding.count + len(item.regions)
    assert str(item.id) in finding.text
    monkeypatch.setattr(NetworkMasks, "_decoded", lambda self, chosen, *given: [torch.full((3, 32, 32), -5.0)] * len(chosen))
    with pytest.raises(DataError, match="finds nothing there in any of the"):
        session.ask([click], "0", network=network)


def test_what_the_network_is_not_asked(session, network):
    with pytest.raises(DataError, match="no 3D point lies near"):
        session.ask([Click(NAMES[0], (2.5, 2.5))], network=network)
    with pytest.raises(UsageError, match="a box says nothing"):
        session.ask([], box=(NAMES[0], (5.0, 5.0, 50.0, 50.0)), network=network)


def test_a_place_in_the_world_is_a_prompt(session, network):
    x, y = middle(HOUSE)
    from_place = session.ask([Click(None, xyz=(x, y, 12.0))], "0", network=network).regions
    from_click = session.ask([Click(NAMES[4], pixel(x, y, 4))], "0", network=network).regions
    both = from_place.keys() & from_click.keys()
    assert len(both) > 4
    assert np.mean([overlap(from_place[n], from_click[n]) for n in both]) > 0.8


def test_the_level_that_agrees_with_all_clicks_is_taken_in_every_view(network):
    logits = torch.full((3, 32, 32), -5.0)
    logits[0], logits[1, 8:24, 8:24], logits[2, 14:18, 14:18] = 5.0, 5.0, 5.0  # in each other
    frame = network.encoded.views([0])[0].frame
    scale = np.array([frame.size[1] / frame.used[1], frame.size[0] / frame.used[0]]) * frame.side / 32

    def clicked(column, row, positive=True):
        return PlacedClick(NAMES[0], (np.array([column, row]) + 0.5) * scale, np.zeros(3), 1.0, positive)

    inner, middle_one, outer = clicked(15, 15), clicked(10, 10), clicked(2, 2)
    chosen = network._level
    assert [chosen({0: logits}, [inner], level) for level in ("coarse", "fine", "0", "1", "2", "7")] == [0, 2, 0, 1, 2, 2]
    assert chosen({0: logits}, [inner, middle_one], "fine") == 1
    assert chosen({0: logits}, [inner, outer], "fine") == 0
    assert chosen({0: logits}, [inner, replace(middle_one, positive=False)], "coarse") == 2
    logits[1] *= 0.1  # unsure
    assert chosen({0: logits}, [inner], "auto") in (0, 2)


def test_a_training_that_was_killed_goes_on_to_the_same_weights(root, base, tmp_path):
    from safetensors.torch import load_file

    assert train(root, base, tmp_path / "whole", "--steps", 4) == 0
    stopped = LearningTask.loss

    def dies(self, model, step, random):
        if step == 2:
            raise KeyboardInterrupt
        return stopped(self, model, step, random)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LearningTask, "loss", dies)
        train(root, base, tmp_path / "parts", "--steps", 4, "--save-seconds", 0)
    assert not (tmp_path / "parts/model.safetensors").exists()
    assert train(root, base, tmp_path / "parts", "--steps", 4, "--save-seconds", 0, "--resume") == 0
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_another_base_another_version_and_damage_are_refused_in_words(trained, base, tmp_path):
    other = write_small_sam(tmp_path / "other", seed=1)
    with pytest.raises(DataError, match="take the same base model"):
        open_network(trained, CPU, Findings(), str(other))
    (tmp_path / "sam.pth").write_bytes(b"")
    with pytest.raises(UsageError, match="a checkpoint of the segment_anything package"):
        open_network(trained, CPU, Findings(), str(tmp_path / "sam.pth"))
    for key, value, words in (("version", 99, "version 99"), ("kind", "cloud", "'cloud'"), ("base", None, "which base model")):
        folder = shutil.copytree(trained, tmp_path / key)
        document = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps({**document, key: value}))
        with pytest.raises(DataError, match=words):
            open_network(folder, CPU, Findings())
    folder = shutil.copytree(trained, tmp_path / "cut")
    (folder / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes()[:-100])
    with pytest.raises(DataError, match="damaged or cut off"):
        open_network(folder, CPU, Findings())


def test_the_command_draws_the_networks_masks(root, trained, tmp_path, capsys):
    copy = shutil.copytree(root, tmp_path / "map")
    where = "{:.2f},{:.2f}".format(*pixel(*middle(HOUSE), 4))
    given = [
        "--image",
        NAMES[4],
        "--click",
        where,
        "--level",
        "0",
        "--network",
        str(trained),
        "--set",
        "segmentation.device=cpu",
        "--json",
    ]
    capsys.readouterr()
    assert main(["prompt", str(copy), *given]) == 0
    answer = json.loads(capsys.readouterr().out.splitlines()[-1])
    item = next(t for t in MapStore(copy).read_tracks()["instances"] if t["id"] == answer["instance"])
    assert item["class"] == "object"
    assert len(answer["images"]) > 4
    drawn = region_of(read_labels(copy / "labels" / f"{NAMES[6]}.png") == answer["instance"])
    assert overlap(drawn, picture(HOUSE, 6)) > 0.4
    assert main(["prompt", str(copy), *given[:4], "--network", str(tmp_path)]) == 2
    assert "no folder of a trained model" in capsys.readouterr().err


def test_images_that_are_gone_are_counted_and_not_asked(root, base, trained, tmp_path):
    copy = shutil.copytree(root, tmp_path / "map")
    store = MapStore(copy)
    records = {record.name: record for record in store.read_keyframes()}
    store.image_path(records[NAMES[3]]).unlink()
    network, model = open_network(trained, CPU, Findings())
    findings = Findings()
    task = LearningTask(network, model, [copy], findings=findings)
    assert [(f.count, f.of, f.examples) for f in findings.list() if f.kind is NO_IMAGE] == [(1, len(NAMES), (NAMES[3],))]
    asked = [task._questions.draw(np.random.default_rng(k), 4) for k in range(6)]
    assert all(3 not in question.views for questions in asked for question in questions)
    session = PromptSession(copy)
    answer = session.ask(
        [Click(NAMES[4], pixel(*middle(WINDOW), 4))], "0", network=NetworkMasks(network, EncodedMap(session, model))
    )
    assert NAMES[3] not in {*answer.regions, *answer.empty}
    for record in records.values():
        store.image_path(record).unlink(missing_ok=True)
    with pytest.raises(DataError, match="none of its images is there"):
        LearningTask(network, model, [copy])


def test_sam_2_is_a_base_too(root, session, tmp_path):
    """Its decoder takes finer embeddings beside the coarsest ones, and its images are stretched to a square."""
    out = tmp_path / "model"
    sam2 = write_sam2(tmp_path / "sam2")
    assert train(root, sam2, out, "--steps", 2) == 0
    network, encoded = _opened(out, session)
    view = encoded.views([4])[0]
    assert len(view.levels) == 3
    assert view.frame.used == (64, 64)
    places = [PlacedClick(NAMES[4], np.array(pixel(*middle(HOUSE), 4)), np.array([*middle(HOUSE), 12.0]), 0.9, True)]
    scale = SceneScale(np.array([8.0, -4.0, 12.0]), np.array([5.0, 3.0, 0.1]), 0.3)
    (logits,) = NetworkMasks(network, encoded)._decoded([4], places, scale)
    assert logits.shape == (3, 16, 16)
    assert encoded.base.enlarged(view, logits[:1]).shape == (1, HEIGHT, WIDTH)
    frozen = {n for n, p in network.weights.named_parameters() if not p.requires_grad}
    assert {"decoder.conv_s0.weight", "decoder.conv_s1.weight"} < frozen, "they belong to the encoder"


def test_wrong_use_is_said(root, base, tmp_path, capsys):
    assert train(root, base, tmp_path / "m", "--truth", tmp_path, "--truth", tmp_path) == 2
    assert "1 maps and 2 times --truth" in capsys.readouterr().err
    assert train(root, base, tmp_path / "m", "--truth", tmp_path) == 2
    assert "holds no folder truth/" in capsys.readouterr().err
    assert train(root, "sam_vit_b", tmp_path / "m", "--models-dir", tmp_path) == 2
    assert train(root, base, tmp_path / "m", "--questions", 0) == 2
