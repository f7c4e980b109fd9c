"""A small map directory with a file of every kind, and what tests ask of directories."""

import atexit
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
from helpers_maps import two_houses, write_result

from seg2d3d_ros.association.incidence import build_incidence
from seg2d3d_ros.association.solve import associate
from seg2d3d_ros.config import Config
from seg2d3d_ros.geometry.camera import Camera
from seg2d3d_ros.images import encode_jpeg
from seg2d3d_ros.mapstore.directory.marker import MARKER_FILE, WHOLE, mark
from seg2d3d_ros.mapstore.journal import IdentityJournal
from seg2d3d_ros.mapstore.records import KeyframeRecord
from seg2d3d_ros.mapstore.store import MapStore
from seg2d3d_ros.sections.association_config import AssociationConfig
from seg2d3d_ros.types import Keyframe

ROOT = Path(__file__).parents[1]
NOTE = "which of the maps this is"


def _write(root: Path, marked: bool) -> MapStore:
    store = MapStore(root)
    model, segments = two_houses()
    incidence = build_incidence([model], segments)
    records = []
    for k, name in enumerate(model.names):
        camera = Camera("PINHOLE", 64, 48, (60.0, 60.0, 32.0, 24.0))
        keyframe = Keyframe(name, "front", k, encode_jpeg(np.full((48, 64, 3), 90, np.uint8)), camera, None, f"{name}.jpg")
        records.append(KeyframeRecord.of(keyframe, store.write_image(keyframe).relative_to(root)))
        store.write_segments(segments[name], ["building"])
        store.write_mask(name, np.zeros((48, 64), bool))
    if marked:
        store.write_segments(replace(segments["view0"], name="front_77"), ["building"])  # of a keyframe that was never kept
    store.write_keyframes(records)
    write_result(store, [model], segments, incidence, associate(incidence, model.xyz, AssociationConfig()), ["building"])
    store.write_config(Config())
    store.update_metrics({"counts": {"images": 4}, "note": NOTE})
    IdentityJournal(root).append(3, {"view0": {3: 1}})
    for name in ("sparse/0/images.bin", "sparse/0/frame.json", "scans/00000000000000000012.npz", "database.db", "report.html"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    if marked:
        mark(root, WHOLE)
    else:
        (root / "names.jsonl").unlink()
    return store


@cache
def _template(marked: bool) -> Path:
    """Written once: the files are flushed to the disk one by one."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return _write(Path(folder.name) / "map", marked).root


def write_map(root: Path, *, marked: bool = True, note: str = "") -> MapStore:
    """A live map of four keyframes, in an empty folder; ``note`` makes two maps differ."""
    there = (root / MARKER_FILE).read_bytes() if (root / MARKER_FILE).exists() else None
    shutil.copytree(_template(marked), root, dirs_exist_ok=True)
    if there is not None:
        (root / MARKER_FILE).write_bytes(there)
    text = (root / "metrics.json").read_text()
    (root / "metrics.json").write_text(text.replace(NOTE, note))
    return MapStore(root)


def contents(root: Path) -> dict[str, str]:
    """Every file below a folder, by its digest; links by where they lead."""
    return {
        str(path.relative_to(root)): str(path.readlink()) if path.is_symlink() else hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(Path(root).rglob("*"))
        if path.is_symlink() or path.is_file()
    }


def note_of(root: Path) -> str:
    """Which of two maps this is."""
    note: str = MapStore(root).read_metrics()["note"]
    return note


def start(code: str, *arguments: object, stdin: bool = False) -> subprocess.Popen:
    """A Python process that runs ``code`` with the project's modules and these helpers."""
    path = os.pathsep.join((str(ROOT), str(ROOT / "test")))
    environment = {**os.environ, "PYTHONPATH": path}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def kill(process: subprocess.Popen) -> None:
    """SIGKILL, and wait for it."""
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
