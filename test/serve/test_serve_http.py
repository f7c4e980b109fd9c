"""seg2d3d serve over HTTP: who may ask, what is served, and what a correction answers."""

import json
import os
import shutil
import threading
from io import BytesIO

import numpy as np
import pytest
from helpers_clicks import WINDOW, middle, pixel
from helpers_edited_map import assert_consistent, labels, tracks
from helpers_level_map import labelled
from helpers_levels import HEIGHT, NAMES, WIDTH
from PIL import Image

pytest.importorskip("starlette")
pytest.importorskip("httpx")
pytest.importorskip("uvicorn")

from starlette.testclient import TestClient

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.mapstore.held_map import change_map
from seg2d3d_ros.pipeline import correcting
from seg2d3d_ros.pipeline.correcting import MapEditor
from seg2d3d_ros.report import write_report
from seg2d3d_ros.serve.application import guarded
from seg2d3d_ros.serve.guard import MAX_BODY
from seg2d3d_ros.serve.requests import Corrector
from seg2d3d_ros.serve.served_map import ServedMap
from seg2d3d_ros.serve.server import serve

TOKEN, HOST = "the-token-of-this-test", "http://127.0.0.1:8123"
LEFT, RIGHT = 1, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("made") / "map")[0].root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "map")


def stranger(root) -> TestClient:
    served = ServedMap(root)
    return TestClient(guarded(served, Corrector(served, "Ada"), 8123, TOKEN), base_url=HOST)


@pytest.fixture
def page(root) -> TestClient:
    client = stranger(root)
    assert client.get("/", params={"token": TOKEN}).status_code == 200
    return client


def corrected(page, expected=200, **asked):
    asked = {"revision": page.get("/api/map").json()["revision"], **asked}
    answer = page.post("/api/correct", json=asked, headers={"origin": HOST})
    assert answer.status_code == expected, answer.text
    return answer.json()


def test_nobody_without_the_token_gets_anything(root):
    paths = ("/", "/page/app.js", "/api/map", "/api/scene", f"/api/picture/photo/640/{NAMES[0]}", "/nothing")
    for wrong in ({}, {"token": ""}, {"token": "x"}, {"token": TOKEN[:-1]}, {"token": "é" + TOKEN}):
        client = stranger(root)
        for path in paths:
            answer = client.get(path, params=wrong)
            assert answer.status_code == 403, (path, wrong)
            assert "set-cookie" not in answer.headers
    client = stranger(root)
    assert client.get("/api/map", params={"token": TOKEN}).status_code == 403, "only the page itself takes it from the address"
    client.cookies.set("seg2d3d_8123", "x")
    assert client.get("/api/map").status_code == 403
    assert client.post("/api/correct", json={"op": "undo"}, headers={"origin": HOST}).status_code == 403


def test_the_token_goes_into_a_cookie_that_scripts_and_other_sites_do_not_get(root):
    answer = stranger(root).get("/", params={"token": TOKEN}, follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_another_name_for_this_machine_is_refused(page):
    for host in ("evil.example", "evil.example:8123", "127.0.0.1:9", "127.0.0.1", "127.0.0.1.evil.example:8123", ""):
        assert page.get("/api/map", headers={"host": host}).status_code == 403, host
        assert page.get("/", params={"token": TOKEN}, headers={"host": host}).status_code == 403, host
    assert page.get("/api/map", headers={"host": "127.0.0.1:8123"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "null"},
        {"origin": "http://evil.example"},
        {"origin": "http://127.0.0.1:9"},
        {"origin": "https://127.0.0.1:8123"},
        {"origin": HOST, "sec-fetch-site": "cross-site"},
        {"origin": HOST, "sec-fetch-site": "same-site"},
    ],
)
def test_another_page_changes_nothing(root, page, headers):
    asked = {"op": "delete", "instances": [LEFT], "revision": page.get("/api/map").json()["revision"]}
    assert page.post("/api/correct", json=asked, headers=headers).status_code == 403
    assert sorted(tracks(root)) == [LEFT, RIGHT]


def test_every_answer_forbids_what_the_page_does_not_need(page):
    for path in ("/", "/page/app.js", "/api/map", f"/api/picture/photo/320/{NAMES[0]}", "/nothing"):
        headers = page.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert headers["cache-control"] == "no-store"


def test_only_the_files_of_the_page_and_the_images_of_the_map_are_served(root, page):
    (root.parent / "secret.png").write_bytes(b"secret")
    for path in (
        "/page/../application.py",
        "/page/%2e%2e%2fapplication.py",
        "/page/index.py",
        "/api/picture/photo/640/../../secret",
        "/api/picture/photo/640/..%2f..%2fsecret",
        "/api/picture/photo/640//etc/passwd",
        "/api/picture/labels/640/%2fetc%2fpasswd",
        "/api/picture/photo/640/nobody",
        "/api/picture/photo/641/" + NAMES[0],
        "/api/picture/photo/99999999999/" + NAMES[0],
        "/api/picture/other/640/" + NAMES[0],
        "/api/picture/thumb/320/99",
        "/api/picture/thumb/320/" + "9" * 400,
        "/api/picture/thumb/320/-1",
        "/api/size/nobody",
        "/api/size/../tracks.json",
        "/tracks.json",
    ):
        answer = page.get(path)
        assert answer.status_code == 404, path
        assert b"secret" not in answer.content


def test_the_page_gets_instances_images_and_pictures(page):
    content = page.get("/api/map").json()
    assert [(item["id"], item["class"], item["edited"]) for item in content["instances"]] == [
        (LEFT, "object", []),
        (RIGHT, "object", []),
    ]
    assert [image["name"] for image in content["images"]] == list(NAMES)
    assert all(item["size"] and item["best"] in item["images"] for item in content["instances"])
    name = next(image["name"] for image in content["images"] if LEFT in image["instances"])
    assert page.get(f"/api/size/{name}").json() == {"width": WIDTH, "height": HEIGHT}
    photo = Image.open(BytesIO(page.get(f"/api/picture/photo/640/{name}").content))
    assert (photo.format, photo.size) == ("JPEG", (WIDTH, HEIGHT)), "never made larger"
    drawn = np.asarray(Image.open(BytesIO(page.get(f"/api/picture/labels/640/{name}").content))).astype(int)
    assert LEFT in drawn[..., 0] * 256 + drawn[..., 1]
    assert Image.open(BytesIO(page.get(f"/api/picture/thumb/320/{LEFT}").content)).format == "JPEG"
    scene = page.get("/api/scene").json()
    assert scene
    assert {item["id"] for item in scene["instances"]} == {LEFT, RIGHT}


def test_corrections_are_made_and_answered_with_the_map_as_it_is_then(root, page):
    answer = corrected(
        page, op="split", instance=LEFT, line={"image": NAMES[3], "from": pixel(3, -8, 3), "to": pixel(3, -1, 3)}
    )
    assert answer["instances"] == [LEFT, 3]
    assert sorted(tracks(root)) == [LEFT, RIGHT, 3]
    assert corrected(page, op="merge", instances=[LEFT, 3])["instances"] == [LEFT]
    assert corrected(page, op="rename", instances=[RIGHT], name="<b>shop</b>")["map"]["instances"][1]["class"] == "<b>shop</b>"
    click = {"xy": pixel(*middle(WINDOW), 3), "positive": True}
    (new,) = corrected(page, op="redraw", image=NAMES[3], clicks=[click], name="window")["instances"]
    assert any((picture == new).any() for picture in labels(root).values())
    corrected(page, op="undo")
    answer = corrected(page, op="undo", of=3)
    assert [edit["state"] for edit in answer["map"]["edits"]] == ["shown", "shown", "undone", "undone", "undo", "undo"]
    assert {edit["author"] for edit in answer["map"]["edits"]} == {"Ada"}
    corrected(page, op="split", instance=RIGHT, above={"from": [12, 0, 0], "to": [12, 0, 9]})
    assert corrected(page, op="delete", instances=[LEFT])["instances"] == []
    assert LEFT not in tracks(root)
    assert_consistent(root)


@pytest.mark.parametrize(
    "asked",
    [
        {},
        [],
        "x",
        {"op": "nothing"},
        {"op": "merge"},
        {"op": "merge", "instances": [LEFT]},
        {"op": "merge", "instances": [LEFT, 99]},
        {"op": "merge", "instances": "12"},
        {"op": "merge", "instances": [LEFT, -1]},
        {"op": "delete", "instances": [0]},
        {"op": "delete", "instances": [1.5]},
        {"op": "delete", "instances": list(range(1, 2000))},
        {"op": "rename", "instances": [LEFT], "name": ""},
        {"op": "rename", "instances": [], "name": "shop"},
        {"op": "delete", "instances": []},
        {"op": "rename", "instances": [LEFT], "name": "x" * 5000},
        {"op": "rename", "instances": [LEFT], "name": "a\u0000b"},
        {"op": "split", "instance": LEFT},
        {"op": "split", "instance": LEFT, "line": {"image": "../../etc", "from": [1, 1], "to": [2, 2]}},
        {"op": "split", "instance": LEFT, "line": {"image": NAMES[3], "from": [1, 1], "to": [1, 1]}},
        {"op": "split", "instance": LEFT, "above": {"from": [1, 1], "to": [2, 2]}},
        {"op": "redraw", "image": "nobody", "clicks": [{"xy": [5, 5], "positive": True}]},
        {"op": "redraw", "image": NAMES[3], "clicks": []},
        {"op": "redraw", "image": NAMES[3], "clicks": [{"xy": [5, 5], "positive": True}], "level": "x"},
        {"op": "undo", "of": 77},
        {"op": "undo"},
    ],
)
def test_what_is_no_correction_is_refused_in_words(root, page, asked):
    if isinstance(asked, dict):
        asked = {"revision": page.get("/api/map").json()["revision"], **asked}
    answer = page.post("/api/correct", json=asked, headers={"origin": HOST})
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["error"]
    assert "Traceback" not in answer.text
    assert not (root / "edits.jsonl").exists()


def test_bodies_that_are_too_large_or_no_json_are_refused(page):
    own = {"origin": HOST, "content-type": "application/json"}
    assert page.post("/api/correct", content=b"x" * (MAX_BODY + 1), headers=own).status_code == 413

    def pieces():
        for _ in range(MAX_BODY // 1000 + 2):
            yield b" " * 1000

    assert page.post("/api/correct", content=pieces(), headers=own).status_code == 413, "whatever its length is said to be"
    assert page.post("/api/correct", content=b"{", headers=own).status_code == 400
    assert page.post("/api/correct", content=b"[" * 60_000, headers=own).status_code == 400
    assert page.post("/api/correct", content=b"{}", headers={"origin": HOST, "content-type": "text/plain"}).status_code == 415
    assert page.get("/api/correct").status_code == 405


def test_what_a_page_saw_before_somebody_else_s_correction_is_not_corrected(root, page):
    """Two servers on one map: numbers may mean something else by now."""
    other = stranger(root)
    other.get("/", params={"token": TOKEN})
    seen = page.get("/api/map").json()["revision"]
    corrected(other, op="delete", instances=[LEFT])
    answer = page.post("/api/correct", json={"op": "delete", "instances": [RIGHT], "revision": seen}, headers={"origin": HOST})
    assert answer.status_code == 409
    assert "changed meanwhile" in answer.json()["error"]
    assert sorted(tracks(root)) == [RIGHT]
    assert [edit["what"] for edit in page.get("/api/map").json()["edits"]] == ["delete 1 (object)"]


def test_of_requests_at_once_one_is_done_and_the_others_are_told(root, page):
    seen = page.get("/api/map").json()["revision"]
    answers = []

    def ask(instance):
        body = {"op": "rename", "instances": [instance], "name": f"shop {instance}", "revision": seen}
        answers.append(page.post("/api/correct", json=body, headers={"origin": HOST}).status_code)

    threads = [threading.Thread(target=ask, args=(1 + k % 2,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [200, 409, 409, 409]
    assert len((root / "edits.jsonl").read_text().splitlines()) == 1


def test_a_map_that_another_program_writes_is_not_touched(root, page):
    with change_map(root):
        answer = corrected(page, 400, op="delete", instances=[LEFT])
    assert "in use by" in answer["error"]
    assert sorted(tracks(root)) == [LEFT, RIGHT]
    corrected(page, op="delete", instances=[LEFT])


def test_a_damaged_map_is_told_and_a_lost_photograph_too(root, page):
    (root / "keyframes" / f"{NAMES[1]}.png").unlink()
    answer = page.get(f"/api/picture/photo/640/{NAMES[1]}")
    assert answer.status_code == 422
    assert "no longer" in answer.json()["error"]
    (root / "tracks.json").write_text(json.dumps({"instances": 3}))
    answer = page.get("/api/map")
    assert answer.status_code == 422
    assert "damaged" in answer.json()["error"]


def test_what_is_no_map_is_not_served(tmp_path):
    (tmp_path / "photos").mkdir()
    for place in ("nowhere", "photos"):
        with pytest.raises(DataError, match="is no map directory"):
            ServedMap(tmp_path / place)


def test_a_failure_that_nobody_foresaw_is_an_answer_and_the_server_goes_on(page, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise KeyError("instances")

    with monkeypatch.context() as broken:
        broken.setattr(Corrector, "correct", fail)
        answer = page.post("/api/correct", json={}, headers={"origin": HOST})
    assert answer.status_code == 500
    assert "terminal" in answer.json()["error"]
    assert "KeyError" in caplog.text
    assert page.get("/api/map").status_code == 200


@pytest.mark.parametrize("port", [-1, 65536])
def test_what_is_no_port_is_refused_in_words(port):
    with pytest.raises(UsageError, match="from 1 to 65535"):
        serve(None, None, port, print)


def test_nor_what_it_saw_before_one_that_came_at_the_last_moment(root, page, monkeypatch):
    """Between the server's look at the map and its lock."""
    real = correcting.changed_copy

    def after_another(path, **options):
        monkeypatch.setattr(correcting, "changed_copy", real)
        MapEditor(root).delete([LEFT])
        return real(path, **options)

    seen = page.get("/api/map").json()["revision"]
    monkeypatch.setattr(correcting, "changed_copy", after_another)
    body = {"op": "delete", "instances": [RIGHT], "revision": seen}
    assert page.post("/api/correct", json=body, headers={"origin": HOST}).status_code == 409
    assert sorted(tracks(root)) == [RIGHT]
    assert len((root / "edits.jsonl").read_text().splitlines()) == 1


def test_a_folder_whose_name_is_no_text_is_served_and_reported(root):
    odd = root.rename(root.parent / os.fsdecode(b"stra\xdfe"))
    client = stranger(odd)
    client.get("/", params={"token": TOKEN})
    assert client.get("/api/map").json()["name"] == "stra\\udcdfe"
    write_report(odd)
    assert "stra\\udcdfe" in (odd / "report.html").read_text()
