"""What ``write_faults.py`` disturbs: each command that writes, with a tiny input, and the stores of the live nodes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "test"))
from helpers_bags import storage_file, write_bag
from helpers_drive_bag import drive
from helpers_exported_map import exported_map
from helpers_level_map import labelled
from helpers_scene import write_scene

from seg2d3d_ros.cli.main import main
from seg2d3d_ros.disk.atomic import write_json
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.geometry.label_runs import LabelRuns
from seg2d3d_ros.images import read_labels, write_labels
from seg2d3d_ros.lidar.kept_scans import KeptScans
from seg2d3d_ros.lidar.scans import Scan
from seg2d3d_ros.mapstore.held_map import hold_map
from seg2d3d_ros.mapstore.journal import IdentityJournal
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.types import Keyframe, Segments

SETTINGS = [
    word
    for name, value in (("seed", 1), ("max_features", 400), ("threads", 1))
    for word in ("--set", f"reconstruction.{name}={value}")
]
EXPORTS = (
    *("ply", "laz", "copc", "e57", "gpkg", "geojson", "geoparquet", "cityjson", "parquet", "3dtiles", "oriented-imagery"),
    *("coco", "mot", "yolo", "panoptic", "kitti-mots", "colmap", "kapture", "nerfstudio", "tum"),
)


@dataclass(frozen=True)
class Job:
    """A command with a small input; ``{base}`` and ``{work}`` in its words stand for folders.

    Attributes:
        words: of the command line.
        former: which prepared map lies in ``{work}/map`` before; "" = none.
        more: words with which an interrupted one is called again, where it left something in its ``--out``.
        replaces: the former map must be as before or be replaced as a whole; else each of its files.
        half_made: prepare ``{work}`` by killing the same command in the middle, so that there is something to resume.
        python: called instead of the command.
    """

    words: tuple[str, ...] = ()
    former: str = ""
    more: tuple[str, ...] = ()
    replaces: bool = False
    half_made: bool = False
    python: Callable[[Path], None] | None = None

    def arguments(self, base: Path, work: Path) -> list[str]:
        """The command line."""
        name, click = (base / "click").read_text().split() if "{click}" in self.words else ("", "")
        return [word.format(base=base, work=work, name=name, click=click) for word in self.words]


def _run(mode: str, *more: str) -> tuple[str, ...]:
    photos = ("run", "{base}/scene/images", "--segments", "{base}/scene/segments", "--camera", "{base}/scene/camera.json")
    place = ("--label", "building", "--out", "{work}/map", "--gps", "{base}/gps.csv")
    return (*photos, *place, "--set", f"reconstruction.mode={mode}", *SETTINGS, *more)


def live_stores(work: Path) -> None:
    """What the nodes write while they map, one thing after the other as a drive brings it; a failure costs that one."""
    from seg2d3d_ros.errors import Seg2d3dError

    failures = []

    def attempt(store: Callable[[], object]) -> None:
        try:
            store()
        except Seg2d3dError as error:  # the nodes put it into /diagnostics, and go on
            failures.append(str(error))

    camera = Camera("PINHOLE", 64, 48, (60.0, 60.0, 32.0, 24.0))
    with hold_map(work / "live") as held:
        store, journal, scans = held.store, IdentityJournal(work / "live"), KeptScans(work / "live/scans", 1 << 20)
        records: list[KeyframeRecord] = []
        for k in range(3):
            name = f"front_{k}"
            frame = Keyframe(name, "front", k, b"\xff\xd8" + bytes(2000), camera, file_name=f"{name}.jpg")
            labels = np.full((48, 64), 7, np.uint16)
            facts = np.array([7], np.uint16), np.array([1], np.int32), np.array([0.9], np.float32)

            def keep(frame: Keyframe = frame) -> None:
                image = store.write_image(frame).relative_to(store.root)
                grown = [*records, KeyframeRecord.of(frame, image)]
                store.write_keyframes(grown)
                records[:] = grown

            attempt(keep)
            attempt(partial(store.write_segments, Segments(name, labels, *facts), ("building",)))
            attempt(partial(store.write_labels, name, LabelRuns.of(labels)))
            attempt(partial(journal.append, k + 2, {name: {7: k + 1}}))
            attempt(partial(scans.add, Scan(k, "lidar", np.zeros((50, 3), np.float32), None, None, None)))
        attempt(partial(write_json, store.root / "tracks.json", {"instances": [], "frame": {"kind": "arbitrary"}}))
        attempt(partial(journal.restart, 9))
        held.mark("whole")
    if failures:
        print("\n".join(f"WARNING {line}" for line in failures), file=sys.stderr)


JOBS = {
    "run": Job(_run("batch"), more=("--resume",)),
    "run over a map": Job(_run("batch"), former="map", more=("--resume",), replaces=True),
    "run online": Job(_run("online"), more=("--resume",)),
    "run --resume": Job(_run("online", "--resume"), half_made=True),
    "bag": Job(("bag", "{base}/drive.mcap", "--label", "building", "--out", "{work}/map", *SETTINGS), more=("--resume",)),
    "regroup": Job(("regroup", "{work}/map", "--granularity", "fine"), former="levels", replaces=True),
    "prompt": Job(("prompt", "{work}/map", "--image", "{name}", "--click", "{click}"), former="levels"),
    "evaluate": Job(("evaluate", "{work}/map", "--truth", "{base}/truth"), former="street"),
    "report": Job(("report", "{work}/map"), former="street"),
    "superpoints": Job(("superpoints", "{work}/map", "--out", "{work}/pieces.ply"), former="street"),
    "compare": Job(
        ("compare", "{work}/map", "--with", "{base}/street", "--out", "{work}/changes.gpkg", "--page", "{work}/changes.html"),
        former="street",
    ),
    "dataset": Job(("dataset", "{work}/map", "--out", "{work}/data", "--pointcept"), former="map"),
    "train": Job(
        (
            "train",
            "{base}/data",
            "--out",
            "{work}/model",
            "--steps",
            "2",
            "--device",
            "cpu",
            "--stage",
            "1",
            "--save-seconds",
            "0",
        ),
        more=("--resume",),
    ),
    **{
        f"export {name}": Job(("export", "{work}/map", "--format", name, "--out", "{work}/out" + ending), former="street")
        for name, ending in zip(
            EXPORTS,
            (".ply", ".laz", ".copc.laz", ".e57", ".gpkg", ".geojson", ".parquet", ".json", "", "", ".csv", ".json", *[""] * 8),
            strict=True,
        )
    },
    "live stores": Job(python=live_stores),
}


def prepare(base: Path, names: list[str]) -> None:
    """The inputs of these jobs."""
    jobs = [JOBS[name] for name in names]
    words = " ".join(word for job in jobs for word in job.words)
    formers = {job.former for job in jobs}
    if "map" in formers or "{base}/scene" in words or "{base}/data" in words:
        make_scene(base)
    if "map" in formers or "{base}/data" in words:
        _must(_run("batch"), base, base)
    if "levels" in formers:
        store, _, _ = labelled(base / "levels")
        name = store.read_keyframes()[0].name
        rows, columns = np.nonzero(store.read_labels(name))
        (base / "click").write_text(f"{name} {columns[len(columns) // 2]}.5,{rows[len(rows) // 2]}.5")
    if "street" in formers:
        store = exported_map(base / "street")
        for path in (store.root / "labels").iterdir():  # not the segmenter's own pixels, which are no truth
            write_labels(base / "truth" / path.name, np.roll(read_labels(path), 6, axis=1))
    if "{base}/data" in words:
        _must(("dataset", "{base}/map", "--out", "{base}/data"), base, base)
    if "drive.mcap" in words:
        written = write_bag(base / "one", drive(cameras=("front",), count=8), "mcap")
        os.replace(storage_file(written), base / "drive.mcap")  # noqa: PTH105


def make_scene(base: Path) -> None:
    """Five photographs with masks and positions."""
    write_scene(base / "scene", 5)
    rows = [f"photo{k:02d}.jpg,55.7,{13.19 + 2.0 * k * 1.59e-5:.8f},{40 + 0.1 * (k % 2)},0.05" for k in range(5)]
    (base / "gps.csv").write_text("\n".join(["image,latitude,longitude,altitude,sigma", *rows]) + "\n")


def _must(words: tuple[str, ...], base: Path, work: Path) -> None:
    arguments = [word.format(base=base, work=work) for word in words]
    if code := main(arguments):
        raise SystemExit(f"seg2d3d {' '.join(arguments)} ended with {code}")
