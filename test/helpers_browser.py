"""A real browser, without a network: tests that need one skip where playwright or Chromium is missing."""

import contextlib
import shutil

import pytest

PATIENCE = 120_000
"""Milliseconds that a condition may take on a crowded machine."""
DRAWS_IN_3D = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
WITHOUT_3D = ("--disable-gpu", "--disable-3d-apis")


@contextlib.contextmanager
def browser(*flags):
    """Chromium of the system, headless."""
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright, launched(playwright.chromium, *flags) as found:
        yield found


@contextlib.contextmanager
def launched(chromium, *flags):
    """One more browser of a kind that is running: ``browser.browser_type``."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium")
    found = chromium.launch(executable_path=program, args=["--no-sandbox", *flags])
    try:
        yield found
    finally:
        found.close()


@contextlib.contextmanager
def opened(in_browser, path, **options):
    """A page of a file; whatever it asks for, or complains about, is listed in its ``trouble``."""
    context = in_browser.new_context(**options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.trouble = []
    page.on("pageerror", lambda error: page.trouble.append(str(error)))
    page.on("console", lambda said: page.trouble.append(said.text) if said.type == "error" else None)
    page.on("request", lambda asked: page.trouble.append(asked.url) if not asked.url.startswith(("data:", "file:")) else None)
    page.goto(path.resolve().as_uri())
    try:
        yield page
    finally:
        context.close()
