"""Words find the instances that they describe; what is kept is used again, and only while it holds."""

from __future__ import annotations

import json
import shutil

import cv2
import helpers_words
import numpy as np
import pytest

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.findings import Findings
from seg2d3d_ros.language import embedding
from seg2d3d_ros.language.contact_sheet import contact_sheet
from seg2d3d_ros.language.embedding import INSTANCES_UNSEEN, VIEWS_UNUSED, embed_map
from seg2d3d_ros.language.text_image_model import TextImageModel, obtain_model
from seg2d3d_ros.language.word_search import FOUND_DOUBTFUL, NEUTRAL, NO_POSITION, find
from seg2d3d_ros.mapstore.files.embeddings_file import FILE, Embeddings, read_embeddings
from seg2d3d_ros.mapstore.held_map import change_map
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.networks.obtaining import NetworkSettings
from seg2d3d_ros.networks.runtime import Runtime
from seg2d3d_ros.networks.weights import find_model


def model_of(trained, kind="clip") -> TextImageModel:
    return TextImageModel(find_model(str(trained / kind), trained), Runtime("cpu", "full"))


@pytest.fixture
def copy(street, tmp_path):
    """A map of its own for a test that changes it."""
    shutil.copytree(street[0], tmp_path / "map")
    return MapStore(tmp_path / "map")


class Double:
    """A model whose vectors are known: a picture's is its mean colour, a text's is looked up."""

    name, fingerprint, side, scale = "double", "1", 32, 10.0
    neutral = np.array([128, 128, 128], np.uint8)

    def __init__(self, known=None):
        self.seen, self._known = 0, known or {}

    def images(self, pictures):
        self.seen += len(pictures)
        found = np.array([picture.reshape(-1, 3).mean(axis=0) for picture in pictures], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)

    def texts(self, texts):
        return np.array([self._known.get(text, [0.0, 0.0, 1.0]) for text in texts], np.float32)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_the_first_answer_is_right_for_nine_of_ten_descriptions(trained, street, tmp_path, kind):
    """Colour × material × kind: 24 descriptions, of which each is true of one instance; chance is 1 in 24."""
    root, truth = street
    shutil.copytree(root, tmp_path / "map")
    store, model, findings = MapStore(tmp_path / "map"), model_of(trained, kind), Findings()
    embeddings = embed_map(store, model, 6, findings)
    assert embeddings.ids.tolist() == sorted(truth)
    np.testing.assert_allclose(np.linalg.norm(embeddings.vectors, axis=1), 1.0, atol=1e-5)
    tracks = store.read_tracks()
    answers = {name: find(name, tracks, embeddings, model, 3, findings) for name in truth.values()}
    right = sum(truth[found[0].id] == name for name, found in answers.items())
    assert right >= 0.9 * len(truth)
    assert all(found[0].relevance > 0.5 for found in answers.values())
    similarities = [item.similarity for item in answers["red brick house"]]
    assert similarities == sorted(similarities, reverse=True)
    assert findings.list() == []


def test_the_command_prints_positions_and_draws_the_sheet(trained, street, tmp_path, capsys):
    root, truth = street
    shutil.copytree(root, tmp_path / "map")
    wanted = next(number for number, name in truth.items() if name == "blue plaster tower")
    command = ["find", str(tmp_path / "map"), "blue plaster tower", "--top", "3", "--model", str(trained / "clip")]
    assert main([*command, "--set", "segmentation.device=cpu"]) == 0
    said = capsys.readouterr().out
    assert f"instance {wanted}" in said.splitlines()[1]
    assert f"at {10 * wanted:.2f} 0.00 3.00" in said.splitlines()[1]
    assert len(said.splitlines()) == 5
    sheet = cv2.imread(str(tmp_path / "map/found.png"))
    assert sheet.shape[0] > 3 * 168
    assert sheet[60:200, 200:700].std() > 20  # a picture is there
    assert main([*command, "--json", "--sheet", str(tmp_path / "other.png")]) == 0
    answer = json.loads(capsys.readouterr().out)
    first = answer["instances"][0]
    assert (first["id"], first["position"]) == (wanted, [10.0 * wanted, 0.0, 3.0])
    assert first["geographic"]["latitude"] == pytest.approx(55.7, abs=1e-4)
    assert first["geographic"]["longitude"] > 13.2
    assert (tmp_path / "other.png").exists()
    with change_map(tmp_path / "map"):  # the new files belong to the map
        pass
    assert main(["find", str(tmp_path / "map"), "!!", "--model", str(trained / "clip")]) == 2
    assert "no words" in capsys.readouterr().err


def test_words_without_an_answer_say_so(copy):
    model, findings = Double({"sofa": [0.0, 1.0, 0.0], "object": [0.6, 0.6, 0.52]}), Findings()
    found = find("sofa", copy.read_tracks(), embed_map(copy, model, 3, findings), model, 4, findings)
    assert len(found) == 4
    assert all(item.doubtful and item.relevance < 0.5 for item in found)
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.of) == (FOUND_DOUBTFUL, 4, 4)
    assert "doubtful" not in NEUTRAL
    assert contact_sheet(copy, "sofa", found)[:4] == b"\x89PNG"


def test_a_found_instance_without_a_box_is_counted(copy):
    tracks = copy.read_tracks()
    del tracks["instances"][0]["box3d"]
    write_json(copy.root / "tracks.json", tracks)
    model, findings = Double(), Findings()
    found = find("x", copy.read_tracks(), embed_map(copy, model, 3, findings), model, 24, findings)
    (lost,) = [item for item in found if item.position is None]
    assert lost.id == tracks["instances"][0]["id"]
    assert lost.to_json()["position"] is None
    assert NO_POSITION in {finding.kind for finding in findings.list()}


def test_embeddings_are_kept_while_their_pictures_and_the_model_are_the_same(copy):
    first, findings = Double(), Findings()
    before = embed_map(copy, first, 3, findings)
    assert first.seen == 24 * 3 * 2
    second = Double()
    again = embed_map(copy, second, 3, findings)
    assert second.seen == 0
    np.testing.assert_array_equal(again.vectors, before.vectors)
    # One label image changes: the four instances that it shows are looked at again, the others are not.
    labels = copy.read_labels("front_0000")
    labels[labels == 10] = 0
    labels[80:90, 30:40] = 10
    cv2.imwrite(str(copy.label_path("front_0000")), labels)
    third = Double()
    changed = embed_map(copy, third, 3, findings)
    assert third.seen == 4 * 3 * 2
    same = np.isclose(changed.vectors, before.vectors).all(axis=1)
    assert before.ids[~same].tolist() == [10]
    # An instance is gone, then another model comes.
    tracks = copy.read_tracks()
    del tracks["instances"][3]
    write_json(copy.root / "tracks.json", tracks)
    assert len(embed_map(copy, Double(), 3, findings)) == 23
    other = Double()
    other.fingerprint = "2"
    embed_map(copy, other, 3, findings)
    assert other.seen == 23 * 3 * 2
    assert read_embeddings(copy.root).fingerprint == "2"
    assert findings.list() == []


def test_a_map_without_instances_has_no_embeddings(copy):
    write_json(copy.root / "tracks.json", {"instances": [], "frame": {"kind": "arbitrary"}})
    found = embed_map(copy, Double(), 3, Findings())
    assert len(found) == 0
    assert find("house", copy.read_tracks(), found, Double(), 3, Findings()) == []


def test_missing_photographs_are_counted_and_asked_for_again(copy):
    photo = copy.root / "keyframes/front_0000.png"
    content = photo.read_bytes()
    photo.unlink()
    model, findings = Double(), Findings()
    assert len(embed_map(copy, model, 3, findings)) == 24
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.of) == (VIEWS_UNUSED, 4, 72)
    photo.write_bytes(content)
    model, findings = Double(), Findings()
    assert embed_map(copy, model, 3, findings).views.tolist() == [3] * 24
    assert (model.seen, findings.list()) == (4 * 3 * 2, [])
    for view in range(3):
        (copy.root / f"keyframes/front_000{view}.png").write_bytes(b"no image")
    (copy.root / FILE).unlink()
    findings = Findings()
    assert embed_map(copy, Double(), 3, findings).ids.tolist() == list(range(14, 34))
    counted = {finding.kind: finding for finding in findings.list()}
    assert counted[INSTANCES_UNSEEN].count == 4
    assert counted[INSTANCES_UNSEEN].examples == ("10", "11", "12")


def test_the_large_and_sharp_view_counts_most(copy):
    """Each picture's vector names its view: what the mean is made of can be read off."""

    class Counting(Double):
        def images(self, pictures):
            blurred = [cv2.Laplacian(picture, cv2.CV_32F).var() < 200 for picture in pictures]
            return np.array([[0.0, 1.0, 0.0] if soft else [1.0, 0.0, 0.0] for soft in blurred], np.float32)

    vectors = embed_map(copy, Counting(), 3, Findings()).vectors
    assert (vectors[:, 0] > 3 * vectors[:, 1]).all()
    assert embedding.view_weights(np.array([1.0, 0.5, 1.0]), np.array([10.0, 10.0, 5.0])) == pytest.approx([0.5, 0.25, 0.25])
    assert embedding.view_weights(np.array([0.0]), np.array([0.0])) == pytest.approx([1.0])


def test_damaged_embeddings_are_made_again(copy, caplog):
    embed_map(copy, Double(), 3, Findings())
    (copy.root / FILE).write_bytes(b"PK no archive")
    with pytest.raises(DataError, match="delete it"):
        read_embeddings(copy.root)
    model = Double()
    embed_map(copy, model, 3, Findings())
    assert model.seen == 24 * 3 * 2
    assert "damaged" in caplog.text
    assert isinstance(read_embeddings(copy.root), Embeddings)


def test_models_of_other_kinds_and_pickled_weights_are_refused(trained, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(trained / "clip", other)
    document = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**document, "model_type": "bert"}))
    with pytest.raises(DataError, match="'bert'; words need"):
        obtain_model(str(other), NetworkSettings(), Findings())
    shutil.copytree(trained / "clip", tmp_path / "pickled")
    (tmp_path / "pickled/model.safetensors").rename(tmp_path / "pickled/pytorch_model.bin")
    with pytest.raises(DataError, match=r"no model\.safetensors"):
        obtain_model(str(tmp_path / "pickled"), NetworkSettings(), Findings())
    with pytest.raises(UsageError, match=r"Apache-2\.0") as refusal:
        obtain_model("google/siglip2-base-patch16-224", NetworkSettings(str(tmp_path / "none")), Findings())
    assert "1501 MB" in str(refusal.value)


def test_long_questions_are_refused_and_not_cut_off(trained):
    with pytest.raises(UsageError, match="fewer words"):
        model_of(trained).texts(["red " * 20])


def test_the_crops_of_training_are_not_those_of_the_map():
    image, _ = helpers_words.scene(np.random.default_rng(1), {1: "red brick house"})
    other, _ = helpers_words.scene(np.random.default_rng(5), {1: "red brick house"})
    assert not np.array_equal(image, other)
