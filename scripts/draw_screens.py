#!/usr/bin/env python3
"""Take the pictures of the report in docs/images: scripts/draw_screens.py MAP. Needs playwright and Chromium.

The pictures in the repository are of a simulated street (``seg2d3d simulate STREET --seed 61``, then ``seg2d3d run``).
"""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
from playwright.sync_api import Page, sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
QUALITY = 72


def main(report: Path) -> None:
    """Screens of a report: wide and light, narrow and dark, and the 3D view with an instance."""
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)

        def take(name: str, page: Page, width: int, **options: object) -> None:
            path = Path(folder) / f"{name}.png"
            page.screenshot(path=path, **options)
            picture = cv2.imread(str(path))
            size = (width, round(picture.shape[0] * width / picture.shape[1]))
            small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(IMAGES / f"{name}.jpg"), small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])

        def opened(width: int, height: int, scheme: str) -> Page:
            page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme)
            page.goto(report.resolve().as_uri())
            page.wait_for_selector("#stage.live canvas")
            page.wait_for_timeout(500)
            return page

        wide = opened(1400, 1500, "light")
        take("report", wide, 1100)
        wide.locator("a[data-instance]").first.click()
        wide.locator("#stage").scroll_into_view_if_needed()
        take("report_3d", wide, 1000, clip=wide.locator("#stage").bounding_box())
        take("report_gallery", wide, 1000, full_page=True, clip={**page_box(wide, ".gallery"), "height": 860})
        phone = opened(390, 1400, "dark")
        take("report_phone", phone, 390)
        browser.close()


def page_box(page: Page, selector: str) -> dict[str, float]:
    """Where an element is on the whole page."""
    return page.evaluate(
        "(selector) => { const box = document.querySelector(selector).getBoundingClientRect();"
        " return { x: box.x, y: box.y + scrollY, width: box.width, height: box.height }; }",
        selector,
    )


if __name__ == "__main__":
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "report.html").is_file():
        sys.exit("scripts/draw_screens.py MAP: a map directory with a report.html")
    main(Path(sys.argv[1]) / "report.html")
