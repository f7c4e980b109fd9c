"""seg2d3d serve as a person uses it: the real command, a real browser."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from helpers_clicks import WINDOW, middle, pixel
from helpers_edited_map import assert_consistent, tracks
from helpers_level_map import labelled
from helpers_levels import HEIGHT, NAMES, WIDTH

playwright = pytest.importorskip("playwright.sync_api")
pytest.importorskip("starlette")
pytest.importorskip("uvicorn")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")
PATIENCE = 120_000
LEFT, RIGHT = 1, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return labelled(tmp_path_factory.mktemp("made") / "map")[0].root


@pytest.fixture
def server(made, tmp_path):
    """The map, the address, and the process."""
    root = shutil.copytree(made, tmp_path / "map")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "seg2d3d_ros", "serve", str(root), "--port", "0", "--author", "Ada"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True) as process:
        assert process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", process.stdout.readline())
        assert found
        yield root, found[0], process
        if process.poll() is None:
            process.kill()


@pytest.fixture
def page(server):
    with playwright.sync_playwright() as driver:
        options = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=options)
        page = browser.new_page(viewport={"width": 1300, "height": 800})
        page.set_default_timeout(PATIENCE)
        page.faults = []
        page.on("pageerror", lambda error: page.faults.append(str(error)))
        page.on("console", lambda message: page.faults.append(message.text) if message.type == "error" else None)
        page.goto(server[1])
        page.wait_for_selector("#canvas-box[data-shown]")
        yield page
        browser.close()


def at(page, x, y) -> tuple[float, float]:
    """Where a pixel of the photograph is on the screen."""
    box = page.locator("#overlay").bounding_box()
    return box["x"] + x / WIDTH * box["width"], box["y"] + y / HEIGHT * box["height"]


def revised(page, act) -> None:
    """Do something, and wait until the page shows what came of it."""
    before = page.evaluate("document.body.dataset.revision")
    act()
    page.wait_for_function("before => document.body.dataset.revision !== before && !document.body.dataset.busy", arg=before)


def shown(page, name) -> None:
    page.select_option("#images", name)
    page.wait_for_selector(f"#canvas-box[data-shown='{name}']")


def chosen(page) -> list[str]:
    return page.locator("#cards .card[aria-pressed=true] .name").all_inner_texts()


def test_a_person_looks_selects_and_corrects(server, page):
    root, address, process = server
    assert "token" not in page.url, "the address can be shown"
    assert page.locator("#cards .card").count() == 2
    # Select in the image, and with Shift in the gallery; merge by a key; undo by a button.
    shown(page, NAMES[6])
    page.mouse.click(*at(page, *pixel(4, -6, 6)))
    assert chosen(page) == ["object 1"]
    page.locator("#cards .card").nth(1).click(modifiers=["Shift"])
    assert chosen(page) == ["object 1", "object 2"]
    revised(page, lambda: page.keyboard.press("m"))
    assert list(tracks(root)) == [LEFT]
    assert page.locator("#edits li").first.inner_text().startswith("merge 1 (object), 2 (object)")
    revised(page, lambda: page.get_by_role("button", name="Undo", exact=True).click())
    assert sorted(tracks(root)) == [LEFT, RIGHT]
    # Split by a line that is drawn.
    shown(page, NAMES[3])
    page.locator("#cards .card").first.click()
    page.keyboard.press("s")
    assert "Draw a line" in page.inner_text("#hint")

    def draw():
        page.mouse.move(*at(page, *pixel(3, -8, 3)))
        page.mouse.down()
        page.mouse.move(*at(page, *pixel(3, -1, 3)), steps=4)
        page.mouse.up()

    revised(page, draw)
    assert sorted(tracks(root)) == [LEFT, RIGHT, 3]
    # Rename by the dialog; the word is text, whatever it looks like.
    page.locator("#cards .card").nth(2).click()
    page.keyboard.press("r")
    page.fill("#ask-value", "<img src=x onerror=alert(1)>")
    revised(page, lambda: page.keyboard.press("Enter"))
    assert tracks(root)[3]["class"] == "<img src=x onerror=alert(1)>"
    assert "<img src=x onerror=alert(1)> 3" in page.inner_text("#cards")
    # Redraw from a click, delete.
    page.keyboard.press("Escape")
    page.keyboard.press("d")
    page.mouse.click(*at(page, *pixel(*middle(WINDOW), 3)))
    revised(page, lambda: page.keyboard.press("Enter"))
    new = max(tracks(root))
    assert chosen(page) == [f"object {new}"]
    revised(page, lambda: page.keyboard.press("Delete"))
    assert new not in tracks(root)
    assert_consistent(root)
    # Filter, sort, search.
    page.fill("#search", "2")
    assert page.locator("#cards .card .name").all_inner_texts() == ["object 2"]
    page.fill("#search", "")
    page.select_option("#class", "object")
    assert page.inner_text("#count") == "2 of 3 instances"
    # What goes wrong is said in words, and nothing is changed.
    page.locator("#cards .card").first.click()
    page.keyboard.press("s")
    page.mouse.move(*at(page, 5, 200))
    page.mouse.down()
    page.mouse.move(*at(page, 5, 230), steps=3)
    page.mouse.up()
    page.wait_for_selector("#message.wrong")
    assert "does not pass through" in page.inner_text("#message")
    assert [fault for fault in page.faults if "400" not in fault] == []
    # Ctrl-C ends the server quietly.
    os.killpg(process.pid, signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait() == 0
    assert "6 corrections" in rest
    assert address.rpartition("=")[2] not in rest


def test_an_instance_is_picked_and_split_in_3d(server, page):
    root, _, _ = server
    page.click("#show-space")
    try:
        page.wait_for_selector("#space canvas")
    except playwright.TimeoutError:
        pytest.skip("this Chromium shows no WebGL")
    pick = "xyz => document.getElementById('space').dispatchEvent(new CustomEvent('instancepick', {detail: {id: 2, xyz}}))"
    page.evaluate(pick, [12, -4, 12])
    assert chosen(page) == ["object 2"]
    page.keyboard.press("s")
    page.evaluate(pick, [12, -4, 9])
    revised(page, lambda: page.evaluate(pick, [12, -4, 15]))
    assert sorted(tracks(root)) == [LEFT, RIGHT, 3]
    assert_consistent(root)
    assert page.faults == []


def test_what_another_program_changed_is_shown(server, page):
    root, _, _ = server
    from seg2d3d_ros.pipeline.correcting import MapEditor

    revised(page, lambda: MapEditor(Path(root)).delete([RIGHT]))
    assert page.locator("#cards .card").count() == 1
    page.wait_for_function("() => document.getElementById('message').textContent.includes('changed elsewhere')")
