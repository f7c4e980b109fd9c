"""The report in a real browser: on wide and narrow screens and on paper, with and without scripts and WebGL."""

import re

import pytest
from helpers_browser import DRAWS_IN_3D, WITHOUT_3D, browser, launched, opened
from helpers_report import street

from seg2d3d_ros.report import write_report


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    root = tmp_path_factory.mktemp("map")
    street(root, houses=4, stops=4, points=600)
    return write_report(root)


@pytest.fixture(scope="module")
def chromium():
    with browser(*DRAWS_IN_3D) as found:
        yield found


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1400, "light")])
def test_it_fits_the_screen_asks_for_nothing_and_turns_in_3d(chromium, report, width, scheme):
    with opened(chromium, report, viewport={"width": width, "height": 900}, color_scheme=scheme) as page:
        page.wait_for_selector("#stage.live canvas")
        assert page.evaluate("document.documentElement.scrollWidth") == width
        assert page.locator(".still").is_hidden()
        page.locator("a[data-instance='2']").click()
        assert "building 2" in page.locator(".viewer-card").inner_text()
        page.locator(".viewer-card a").click()
        assert page.evaluate("location.hash") == "#instance-2"
        assert page.trouble == []


def test_on_paper_the_picture_stands_for_the_view_and_nothing_is_folded_away(chromium, report):
    with opened(chromium, report) as page:
        page.wait_for_selector("#stage.live canvas")
        document = page.pdf(format="A4")
        assert document.startswith(b"%PDF")
        assert 3 <= len(re.findall(rb"/Type\s*/Page\b", document)) <= 20
        page.emulate_media(media="print")
        assert page.locator(".still").is_visible()
        assert page.locator(".viewer").is_hidden()
        assert page.locator("nav").is_hidden()
        assert page.get_by_text("association.min_points", exact=True).is_visible()
        assert page.trouble == []


def test_without_scripts_or_webgl_there_is_a_picture(chromium, report):
    with opened(chromium, report, java_script_enabled=False) as page:
        assert page.locator(".still").is_visible()
        assert "this is a picture" in page.locator("#view").inner_text()
    with launched(chromium.browser_type, *WITHOUT_3D) as other, opened(other, report) as page:
        assert page.evaluate("MapViewer.supported()") is False
        assert page.locator(".still").is_visible()
        assert page.locator("canvas").count() == 0
        assert page.trouble == []


def test_the_keyboard_reaches_everything(chromium, report):
    with opened(chromium, report) as page:
        page.wait_for_selector("#stage.live canvas")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.className") == "skip"
        page.locator(".viewer canvas").focus()
        page.keyboard.press("n")
        page.wait_for_function("!document.querySelector('.viewer-card').hidden")
        assert "building 1" in page.locator(".viewer-card").inner_text()
        page.keyboard.press("Escape")
        assert page.locator(".viewer-card").is_hidden()
