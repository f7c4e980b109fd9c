"""The 3D view in a real browser: it draws what it is given, and tells what is clicked."""

import io

import numpy as np
import pytest
from helpers_browser import DRAWS_IN_3D, browser, opened
from helpers_report import street
from PIL import Image

from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.palette import instance_colors
from seg2d3d_ros.viewer.browser import SCRIPTS, STYLE, asset, inline_json
from seg2d3d_ros.viewer.packing import pack
from seg2d3d_ros.viewer.scene_reading import read_scenes

PAGE = """<!doctype html><meta charset=utf-8><style>body{{margin:0}}#view{{height:600px}}{style}</style><div id=view></div>
<script id=scene type="application/json">{scene}</script>{scripts}<script>
var picked = [], element = document.getElementById("view");
for (const kind of ["instancepick", "camerapick"]) element.addEventListener(kind, (event) => picked.push(event.detail));
var viewer = new MapViewer(element, JSON.parse(document.getElementById("scene").textContent));
</script>"""
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    root = tmp_path_factory.mktemp("map")
    store = street(root, houses=4, stops=4, points=2000, mixed=EVIL)
    tracks, points = store.read_tracks(), store.read_points()
    for item in tracks["instances"]:
        xyz = np.stack([points[axis][points["instance"] == item["id"]] for axis in "xyz"], axis=1)
        low, high = xyz.min(axis=0).astype(float), xyz.max(axis=0).astype(float)
        item["box3d"] = {
            "center": ((low + high) / 2).tolist(),
            "size": (high - low).tolist(),
            "quaternion_xyzw": [0, 0, 0, 1],
            "min": low.tolist(),
            "max": high.tolist(),
        }
    write_json(root / "tracks.json", tracks)
    (scene,) = read_scenes(root)
    scripts = "".join(f"<script>{asset(name)}</script>" for name in SCRIPTS)
    path = root / "view.html"
    path.write_text(PAGE.format(style=asset(STYLE), scene=inline_json(pack(scene)), scripts=scripts))
    return path


@pytest.fixture(scope="module")
def chromium():
    with browser(*DRAWS_IN_3D) as found:
        yield found


@pytest.fixture
def page(chromium, file):
    with opened(chromium, file, viewport={"width": 900, "height": 600}) as found:
        found.wait_for_function("document.querySelectorAll('.viewer-labels span').length > 0")
        yield found
        assert found.trouble == []


def pixels(page):
    page.evaluate("new Promise((done) => { viewer.draw(); requestAnimationFrame(() => requestAnimationFrame(done)); })")
    return np.array(Image.open(io.BytesIO(page.screenshot())).convert("RGB")).astype(int)


def share(picture, color):
    return (np.abs(picture - color).max(axis=2) < 12).mean()


def test_each_instance_is_drawn_in_its_colour_and_can_be_coloured_otherwise(page):
    picture = pixels(page)
    colors = instance_colors(range(1, 5)).astype(int)
    assert all(share(picture, color) > 3e-4 for color in colors)
    page.evaluate("viewer.color('class'); for (const what of ['boxes', 'names', 'cameras']) viewer.show(what, false)")
    by_class = pixels(page)
    assert share(by_class, colors[0]) > 1e-3
    assert share(by_class, colors[1]) < 1e-5
    assert page.get_by_role("button", name="Boxes").get_attribute("aria-pressed") == "false"


def test_a_click_selects_the_instance_there_and_tells_it(page):
    page.evaluate("viewer.fit(1)")
    pixels(page)
    x, y, there = page.evaluate("""(() => {
      const near = [];
      const { place, count, instance } = viewer.cloud;
      viewer._project(place, count, (k, x, y, depth) => near.push([x, y, depth, instance[k]]));
      const mine = near.filter(([x, y, , id]) => id === 1 && x > 200 && x < 700 && y > 150 && y < 450);
      return mine.sort((a, b) => a[2] - b[2]).map(([x, y, , id]) => [x, y, id])[0];
    })()""")
    page.mouse.click(x, y)
    page.wait_for_function("picked.length > 0")
    assert page.evaluate("picked[0].id") == there == 1
    assert page.evaluate("viewer.selected") == 1
    assert f"{EVIL} 1" in page.locator(".viewer-card").inner_text(), "names are text, never markup"
    page.keyboard.press("n")
    page.wait_for_function("picked.length > 1")
    assert page.evaluate("picked[1].id") == 2
    page.keyboard.press("Escape")
    assert page.evaluate("viewer.selected") == 0
    assert page.locator(".viewer-card").is_hidden()


def test_a_click_beside_everything_selects_nothing_and_one_on_a_camera_names_it(page):
    page.evaluate("viewer.select(2)")
    page.mouse.click(880, 590)
    page.wait_for_function("picked.length > 0")
    assert page.evaluate("[picked[0].id, viewer.selected]") == [0, 0]
    assert page.evaluate("""(() => {
      let hit = null;
      const places = viewer.cameraPlaces.flatMap((place) => [...place]);
      viewer._project(places, 8, (k, x, y) => { hit ??= viewer._pickCamera(x, y).name; });
      return viewer.data.cameras.some((camera) => camera.name === hit);
    })()""")


def test_other_data_keep_the_view_and_the_selection(page):
    page.evaluate("viewer.select(3); viewer.fit(3)")
    before = page.evaluate("viewer.camera.position.toArray()")
    page.evaluate("viewer.load({ ...viewer.data, instances: viewer.data.instances.filter((item) => item.id !== 1) }, true)")
    assert page.evaluate("viewer.camera.position.toArray()") == pytest.approx(before, abs=1e-6)
    assert page.evaluate("viewer.selected") == 3
    page.evaluate("viewer.load({ ...viewer.data, instances: [] }, true)")
    assert page.evaluate("[viewer.selected, viewer.coloring]") == [0, "photo"]
    assert page.locator(".viewer-north").is_visible()
    page.evaluate("viewer.load({ ...viewer.data, north: null, unit: '' })")
    assert page.locator(".viewer-north").is_hidden(), "nobody knows where north is"
    assert page.locator(".viewer-scale").inner_text().endswith("of the model's units")
    page.evaluate("viewer.dispose()")
    assert page.locator("canvas").count() == 0


def test_all_of_the_map_is_in_the_first_view_of_any_window(page):
    for width, height in ((900, 600), (390, 700), (1400, 300)):
        page.set_viewport_size({"width": width, "height": height})
        page.evaluate(f"element.style.height = '{height}px'")
        page.wait_for_function(f"Math.abs(viewer.camera.aspect - {width / height}) < 0.01")
        page.evaluate("viewer.reset(); viewer.drawNow()")
        seen = page.evaluate("""(() => {
          const out = [];
          viewer._project(viewer._bounds().flatMap((corner) => [...corner]), 8, (k, x, y) => out.push([x, y]));
          return out;
        })()""")
        assert len(seen) == 8
        assert (np.array(seen) >= -1).all()
        assert (np.array(seen) <= [width + 1, height + 1]).all()
        assert (np.ptp(seen, axis=0) / [width, height]).max() > 0.6, "and fills it"
