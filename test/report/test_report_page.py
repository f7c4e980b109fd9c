"""The page as a reader's browser sees it: parsed, its pictures decoded, its words compared with the map directory."""

import base64
import dataclasses
import hashlib
import json
import re
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest
from helpers_report import street, write_label_file

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.config import Config, make_config
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import LEVELS, Finding, Findings, Kind
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.palette import hex_color, instance_colors
from seg2d3d_ros.report import write_report
from seg2d3d_ros.report.content import read_content
from seg2d3d_ros.report.facts import inputs, tiles
from seg2d3d_ros.report.overlays import NO_OVERLAY, write_overlays
from seg2d3d_ros.report.strips import CONTACT_PICTURES, MAX_CARDS, MAX_STRIPS
from seg2d3d_ros.report.words import duration, file_size

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Images, links, text, and for each instance its pictures' captions; refuses tags that do not nest."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.open, self.images, self.addresses, self.words, self.ids = [], [], [], [], []
        self.instance, self.captions, self.more, self.script_types, self.scripts = None, {}, {}, [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        if tag not in VOID:
            self.open.append(tag)
        self.addresses += [v for k, v in attributes if k in ("src", "href", "srcset", "data", "action", "poster")]
        if tag in ("img", "image"):
            self.images.append(values.get("src") or values.get("href"))
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "article":
            self.instance = int(values["id"].removeprefix("instance-"))
            self.captions[self.instance] = []
        assert tag not in ("iframe", "object", "embed", "base", "form", "link")
        if tag == "script":
            assert "src" not in values
            self.script_types.append(values.get("type", ""))
        assert not any(k.startswith("on") for k, _ in attributes)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        if tag == "article":
            self.instance = None

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            assert "url(" not in data
            assert "@import" not in data
            return
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
            return
        self.words.append(data)
        if self.instance is not None:
            if self.open[-1] == "figcaption":
                self.captions[self.instance].append(data)
            elif found := re.fullmatch(r"(\d+) of (\d+) views", data):
                self.more[self.instance] = int(found[2]) - int(found[1])

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def decoded(uri):
    head, _, body = uri.partition(";base64,")
    assert head in ("data:image/jpeg", "data:image/png")
    image = cv2.imdecode(np.frombuffer(base64.b64decode(body, validate=True), np.uint8), cv2.IMREAD_UNCHANGED)
    assert image is not None
    return image


def page_of(root):
    return Page(write_report(root).read_text())


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return street(tmp_path_factory.mktemp("map"))


@pytest.fixture(scope="module")
def page(store):
    return page_of(store.root)


def test_the_page_needs_nothing_but_itself(page, store):
    assert page.images
    for uri in page.images:
        assert decoded(uri).size
    links = [address for address in page.addresses if not address.startswith(("data:image/", "#"))]
    assert "points.ply" in links
    assert [link for link in links if not (store.root / link).exists()] == [], "files of the map, relative to the page"
    text = (store.root / "report.html").read_text()
    policy = re.search('http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'; img-src data:;")
    allowed = re.findall("'sha256-([^']*)'", policy)
    assert page.script_types == ["application/json", "", "", ""]
    assert [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in page.scripts[1:]] == allowed
    anchors = {a[1:] for a in page.addresses if a.startswith("#")}
    assert anchors <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))


def test_the_headline_states_the_result_in_words(page, store):
    points = int((store.read_points()["instance"] > 0).sum())
    assert f"24 of 26 images registered, 10 instances of “building” with {points:,} points; it took 1 min 33 s." in page.text


def test_each_strip_is_its_instances_track_in_order_of_capture(page, store):
    tracks = store.read_tracks()["instances"]
    assert set(page.captions) == {item["id"] for item in tracks}
    stamp = {record.name: record.stamp_ns for record in store.read_keyframes()}
    for item in tracks:
        names = sorted({observation["image"] for observation in item["observations"]}, key=stamp.get)
        assert page.captions[item["id"]] == [f"{name.split('_')[0]} {stamp[name] // 10**9}.0 s" for name in names]
    assert page.more == {}
    sizes = [len(names) for names in page.captions.values()]
    assert sizes == sorted(sizes, reverse=True)


def test_reasons_warnings_times_inputs_and_truth_are_told(page):
    for words in (
        "too few matches with other images left_99",
        "3 of 60 segments hold no 3D point & cannot be associated",
        "mapping 48 s",
        "10 objects in 24 images; 1 seen in one image only, left out.",
        "this map 0.712 0.600 1",
        "one id per mask 0.100 – 0",
        "901 8 7 5 0.625 6 2",
        "a note from the evaluation",
        "positions for 24 of 24 images",
        f"method “{Config().association.method}”",
        "480 × 320 PINHOLE",
        "association.min_points 10",
        "points.ply",
    ):
        assert words in page.text.replace("\xa0", " ")


def test_distances_to_positions_stand_beside_them(store):
    content = read_content(store.root)
    positions = {"images": 9, "rms": 0.041, "claimed": 0.1, "off": 2, "cameras": {"front": 0.03, "rear": 0.05}}
    told = inputs(dataclasses.replace(content, metrics={**content.metrics, "positions": positions}))["GPS"]
    assert "images lie 0.04 m (rms) from their positions, which claim 0.10 m (front 0.03 m, rear 0.05 m)" in told
    assert told.endswith("2 positions are off")
    assert "images lie" not in inputs(content)["GPS"]


def test_what_needs_attention_tells_the_gravest_and_the_least_sure_before_the_others(tmp_path):
    store = street(tmp_path, houses=4, stops=3, points=200)
    document = store.read_tracks()
    for item, score in zip(document["instances"], (0.95, 0.3, 0.6, 0.99), strict=True):
        item["score"] = score
    write_json(tmp_path / "tracks.json", document)
    entries = [
        Finding(
            Kind(level, f"{level}s", cause="wrong in {place}", remedy="do this", level=level), 3, 7, (), {"place": "left_5"}
        )
        for level in LEVELS
    ]
    store.update_metrics({"findings": [entry.to_json() for entry in entries], "warnings": [entry.text for entry in entries]})
    text = page_of(tmp_path).text
    begin, end = (
        text.index("What needs attention", text.index("All settings")),
        text.index("Quality", text.index("do this")),
    )
    told = text[begin:end]
    assert "What needs attention: 1 error, 2 warnings, 1 note, 2 instances to look at" in text
    assert "2 instances with a score below 0.9, the least sure first: 2 0.30 · 3 0.60" in told
    sentence = "{0} {0}s: 3 of 7 Likely cause wrong in left_5 Way out do this"
    places = [told.index(sentence.format(level)) for level in reversed(LEVELS)]
    assert places == sorted(places)
    assert told.count("do this") == 3, "each once"


def test_overlays_show_labels_on_photographs_and_are_drawn_once(tmp_path):
    store = street(tmp_path, houses=2, stops=2, points=50)
    findings, (first, gone, *others) = Findings(), store.read_keyframes()
    (tmp_path / gone.image).unlink()
    assert write_overlays(store, 240, findings) == 3
    (finding,) = findings.list()
    assert (finding.kind, finding.count, finding.of, finding.examples) == (NO_OVERLAY, 1, 4, (gone.name,))
    picture = cv2.cvtColor(cv2.imread(str(store.overlay_path(first.name))), cv2.COLOR_BGR2RGB)
    assert picture.shape == (160, 240, 3)
    labels = cv2.resize(store.read_labels(first.name), (240, 160), interpolation=cv2.INTER_NEAREST)
    photo = cv2.cvtColor(cv2.imread(str(tmp_path / first.image)), cv2.COLOR_BGR2RGB)
    photo = cv2.resize(photo, (240, 160), interpolation=cv2.INTER_AREA).astype(float)
    change = picture - photo
    shown = next(i for i in np.unique(labels).tolist() if i)
    inner = cv2.erode((labels == shown).astype(np.uint8), np.ones((7, 7))) > 0
    towards = instance_colors([shown])[0] - photo[inner].mean(axis=0)
    assert np.median(np.abs(change[labels == 0])) < 3
    assert np.corrcoef(change[inner].mean(axis=0), towards)[0, 1] > 0.9
    assert write_overlays(store, 240, findings) == 0, "nothing is newer than its picture"
    assert findings.list() == [finding], "counted once, however often"
    write_label_file(store, others[0].name, store.read_labels(others[0].name))
    assert write_overlays(store, 240, Findings()) == 1
    assert write_overlays(store, 0, Findings()) == 0
    page_of(tmp_path)
    assert f'href="overlays/{first.name}.jpg"' in (tmp_path / "report.html").read_text()


def test_a_long_track_shows_twelve_pictures_evenly_and_counts_the_rest(tmp_path):
    store = street(tmp_path, houses=2, stops=26)
    tracks = store.read_tracks()
    item = tracks["instances"][0]
    names = [record.name for record in store.read_keyframes()]
    item["observations"] = [{**item["observations"][0], "image": name} for name in names]
    write_json(tmp_path / "tracks.json", tracks)
    page = page_of(tmp_path)
    shown = page.captions[item["id"]]
    assert len(shown) == 12
    captions = [read_content(tmp_path).caption(name) for name in names]
    assert (shown[0], shown[-1]) == (captions[0], captions[-1])
    gaps = np.diff([captions.index(caption) for caption in shown])
    assert gaps.max() - gaps.min() <= 1
    assert page.more[item["id"]] == len(names) - 12
    assert sum("in colours" in alt for alt in re.findall(r'alt="([^"]*)"', (tmp_path / "report.html").read_text())) == 24
    assert CONTACT_PICTURES == 24


def test_texts_from_files_cannot_become_markup(tmp_path):
    evil = "<script>alert(1)</script>&\"'"
    store = street(tmp_path, houses=2, stops=2, points=50, mixed=evil)
    store.update_metrics(
        {
            "warnings": [evil],
            "findings": [{"code": "evil", "level": "error", "count": 1, "of": 1, "examples": [evil], "text": f"lost: {evil}"}],
            "unregistered": [{"image": evil, "reason": evil}],
            "timings": {evil: 1.0},
            "truth": {"methods": {evil: {"coverage": evil}}, "notes": [evil]},
        }
    )
    page = page_of(tmp_path)
    assert page.text.count(evil) >= 8
    assert [item["class"] for item in json.loads(page.scripts[0])[0]["instances"]] == [evil, evil], "it reaches the 3D view"
    assert "<script>alert" not in (tmp_path / "report.html").read_text()


def test_names_of_images_cameras_and_prompts_cannot_become_markup(tmp_path):
    evil = "<script>alert(1)<img src=x onerror=alert(2)>"
    store = street(tmp_path, houses=2, stops=2, points=50)
    for path in (tmp_path / "keyframes.json", tmp_path / "tracks.json", *(tmp_path / "sparse/0").glob("*.json")):
        path.write_text(path.read_text().replace('"left_5"', json.dumps(evil)).replace('"left"', json.dumps(evil)))
    store.write_config(make_config({"segmentation.prompts": [evil]}))
    page = page_of(tmp_path)
    assert evil in page.captions[1][0]  # a picture of the strip, and the page's parser has refused no tag
    assert f"“{evil}”" in page.text
    assert page.text.count(evil) >= 6
    assert any(camera["name"] == evil for camera in json.loads(page.scripts[0])[0]["cameras"])
    assert not re.search("<script>alert|<img src=x", (tmp_path / "report.html").read_text())


def test_an_image_that_is_gone_leaves_words_in_its_place(tmp_path):
    store = street(tmp_path, houses=2, stops=3, points=50)
    gone, broken = store.read_keyframes()[:2]
    (tmp_path / gone.image).unlink()
    (tmp_path / broken.image).write_bytes(b"no image")
    page = page_of(tmp_path)
    assert "No picture: the image file is no longer at" in page.text
    assert "cannot be decoded" in page.text
    assert read_content(tmp_path).caption(gone.name) in page.captions[1]
    assert all(decoded(uri).size for uri in page.images)


def test_label_images_of_another_size_missing_or_empty(tmp_path):
    store = street(tmp_path, houses=2, stops=3, points=50)
    names = [record.name for record in store.read_keyframes()]
    labels = store.read_labels(names[0])
    write_label_file(store, names[0], labels[::2, ::2])
    store.label_path(names[1]).unlink()
    write_label_file(store, names[2], np.zeros((1, 1), np.uint16))
    page = page_of(tmp_path)
    assert "No picture" not in page.text
    assert all(decoded(uri).size for uri in page.images)


def test_an_empty_map_still_helps(tmp_path):
    MapStore(tmp_path).write_keyframes([])
    page = page_of(tmp_path)
    assert "This map is still empty" in page.text
    assert "Give 'seg2d3d run' a folder" in page.text
    assert page.images == []


def test_a_map_without_model_or_instances_says_why(tmp_path):
    store = street(tmp_path, houses=2, stops=2, points=60)
    write_json(tmp_path / "tracks.json", {"instances": [], "frame": {"kind": "enu"}})
    assert "no instance was found" in page_of(tmp_path).text
    for path in (tmp_path / "sparse" / "0").iterdir():
        path.unlink()
    (tmp_path / "sparse" / "0").rmdir()
    (tmp_path / "points.ply").unlink()
    store.update_metrics({"counts": {}, "unregistered": [{"image": "a", "reason": "alone"}]})
    text = page_of(tmp_path).text
    assert "No 3D model: 0 of 5 images registered." in text
    assert "They must overlap" in text


def test_a_damaged_file_costs_its_part_only(tmp_path):
    street(tmp_path, houses=2, stops=2, points=60)
    (tmp_path / "points.ply").write_bytes(b"ply\n")
    (tmp_path / "metrics.json").write_text("{")
    page = page_of(tmp_path)
    assert "points.ply: not a labelled cloud" in page.text
    assert "metrics.json: no valid JSON" in page.text
    assert page.captions


def test_many_instances_stay_a_small_page(tmp_path):
    store = street(tmp_path, houses=2, stops=2, points=60)
    tracks = store.read_tracks()
    first = tracks["instances"][0]
    tracks["instances"] = [{**first, "id": i} for i in range(1, MAX_CARDS + 41)]
    write_json(tmp_path / "tracks.json", tracks)
    page = page_of(tmp_path)
    assert len(page.captions) == MAX_CARDS
    assert sum(len(shown) > 0 for shown in page.captions.values()) == MAX_STRIPS
    assert f"Table of all {MAX_CARDS + 40} instances, 40 of them, seen less often, without a picture here" in page.text
    assert (tmp_path / "report.html").stat().st_size < 8e6
    assert f"instance-{MAX_CARDS + 40}" in page.ids


def test_the_command_writes_the_page_and_refuses_other_folders(tmp_path, capsys):
    street(tmp_path / "map", houses=2, stops=2, points=60)
    assert main(["report", str(tmp_path / "map")]) == 0
    assert "report.html" in capsys.readouterr().out
    (tmp_path / "other").mkdir()
    assert main(["report", str(tmp_path / "other")]) == 1
    assert "is no map directory" in capsys.readouterr().err
    with pytest.raises(DataError, match="no map directory"):
        write_report(tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_strips_use_the_shared_colours(store):
    text = write_report(store.root).read_text()
    for item in store.read_tracks()["instances"]:
        assert f'style="background:{hex_color(item["id"])};' in text


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.44, "0.4 s"), (9.96, "10 s"), (59.6, "1 min 0 s"), (125, "2 min 5 s"), (3600, "1 h 0 min")]
)
def test_durations_in_words(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(("size", "words"), [(999, "999 B"), (1400, "1.4 kB"), (999_600, "1.0 MB"), (23_400_000, "23 MB")])
def test_sizes_in_words(size, words):
    assert file_size(size) == words


def test_how_well_the_scale_is_known_is_told(store):
    content = read_content(store.root)
    assert "Scale known to" not in tiles(content)
    known = dataclasses.replace(content.models[0].frame, scale_sigma=0.0163)
    models = [dataclasses.replace(content.models[0], frame=known), *content.models[1:]]
    assert tiles(dataclasses.replace(content, models=models))["Scale known to"] == "1.6 %"
