"""``seg2d3d doctor``: what is installed, what is missing for which feature, and the command that mends it; ``--live``: what is
wrong with a running ROS graph."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from seg2d3d_ros.cli.output.telling import tell, tell_result
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.export.formats import FORMATS
from seg2d3d_ros.networks.weights import KNOWN, find_model, models_dir

_PIP = f"{sys.executable} -m pip install"
_CHECKOUT = Path(__file__).parents[3]


def _extra(name: str) -> str:
    """How to get what an extra brings: from the checkout, or from the wheel that this was installed from."""
    if (_CHECKOUT / "setup.py").exists():
        return f"{_PIP} '.[{name}]'   (in {_CHECKOUT})"
    return f"{_PIP} 'seg2d3d_ros[{name}] @ {_origin()}'"


def _origin() -> str:
    """The folder or wheel that this was installed from, as pip noted it; its own words where that is gone."""
    with suppress(importlib.metadata.PackageNotFoundError, ValueError, TypeError, KeyError):
        note = importlib.metadata.distribution("seg2d3d_ros").read_text("direct_url.json")
        url = str(json.loads(note or "")["url"])
        if not url.startswith("file://") or Path(unquote(urlsplit(url).path)).exists():
            return url
    return "file:///FOLDER/seg2d3d_ros-….whl"


_NEEDS = {
    "core": (
        ("numpy", "scipy", "cv2", "yaml", "PIL", "tqdm", "jinja2"),
        f"{_PIP} numpy scipy opencv-python-headless pyyaml pillow tqdm jinja2",
    ),
    "reconstruction": (("pycolmap",), f"{_PIP} 'pycolmap>=4.2,<4.3'"),
    "masks from COCO files": (("pycocotools",), f"{_PIP} pycocotools"),
    "damage inside JPEG images": (("simplejpeg",), f"{_PIP} simplejpeg"),
    "HEIC photos (optional)": (("pi_heif",), f"{_PIP} pi-heif"),
    "videos, H.264 and H.265 in bags (optional)": (("av",), f"{_PIP} av"),
    "exports to point clouds and GIS (optional)": (
        tuple(sorted({library for item in FORMATS.values() for library in item.needs})),
        _extra("export"),
    ),
    "the map in the browser (serve; optional)": (("starlette", "uvicorn"), _extra("serve")),
    "the viewer rerun (view; optional)": (("rerun",), _extra("view")),
    "several blocks of a city at a time (city; optional)": (("ray",), _extra("city")),
    "rosbags without ROS": (("rosbags",), f"{_PIP} rosbags"),
    "rosbags that were cut off": (("mcap",), f"{_PIP} mcap"),
    "simulator": (
        ("open3d",),
        f"{_PIP} open3d  and, as root: apt-get install libusb-1.0-0 libgl1 libgomp1 libx11-6",
    ),
    "ROS nodes": (
        (
            "rclpy", "sensor_msgs.msg", "geometry_msgs.msg", "nav_msgs.msg", "visualization_msgs.msg", "diagnostic_msgs.msg",
            "std_srvs.srv",
        ),
        f"source /opt/ros/jazzy/setup.bash, or without a distribution: {_extra('ros')}",
    ),
    "objects by text or class (grounded_sam, panoptic, everything)": (
        ("torch", "torchvision", "transformers", "segment_anything"),
        _extra("sam"),
    ),
    "objects by text with SAM 3 (sam3; optional, Python 3.11)": (("transformers.models.sam3",), _extra("sam3")),
    "networks that label clouds (train, segment, cloud.model)": (("torch", "safetensors"), _extra("learn")),
    "detections as vision_msgs (optional)": (("vision_msgs.msg",), "apt-get install ros-jazzy-vision-msgs"),
    "TF of keyframes (optional)": (("tf2_msgs.msg",), "apt-get install ros-jazzy-tf2-msgs"),
}  # fmt: skip
"""The modules that a feature needs, and how to get them."""
# pycolmap must not be imported before NumPy: OpenCV's PNG encoder aborts otherwise.
_PROBE = """
import importlib, numpy, sys
for name in sys.argv[1:]:
    version = getattr(importlib.import_module(name), "__version__", "")
    print(name, version if isinstance(version, str) else getattr(version, "__version__", ""), flush=True)
"""
_LIMIT_S = 120.0
_LISTEN_S = 3600.0

EXAMPLES = ("seg2d3d doctor", "seg2d3d doctor --live --seconds 20")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``--live`` and what belongs to it."""
    parser.add_argument("--live", action="store_true", help="listen to the ROS graph, and say what the nodes would do with it")
    live = parser.add_argument_group("with --live")
    live.add_argument("--seconds", type=float, default=10.0, help="how long to listen (default 10)")
    live.add_argument("--cameras", nargs="+", default=[], metavar="TOPIC", help="as camera_topics; default: every camera")
    live.add_argument("--fix", default="", metavar="TOPIC", help="as fix_topic; none = no positions are wanted")


def run(args: argparse.Namespace) -> int:
    """Print a line for each module; 1 if the core or the reconstruction cannot work, or live, if no map could be made."""
    if args.live:
        return _live(args)
    tell_result(f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    results = _probe([module for needed, _ in _NEEDS.values() for module in needed])
    broken = False
    for feature, (needed, mend) in _NEEDS.items():
        tell_result(f"\n{feature}")
        for module in needed:
            works, text = results[module]
            tell_result(f"  {'ok     ' if works else 'MISSING'} {module:<24} {text}")
            if not works:
                tell_result(f"          mend: {mend}")
                broken |= feature in ("core", "reconstruction")
    folder = models_dir()
    here = [model.name for model in KNOWN if find_model(model.name, folder).present]
    modules = {module: {"works": works, "text": text} for module, (works, text) in results.items()}
    words = f"\nmodels in {folder}: {', '.join(here) or 'none'}   (`seg2d3d models` lists and downloads them)"
    tell_result(words, modules=modules, models=here)
    return 1 if broken else 0


def _live(args: argparse.Namespace) -> int:
    """Listen in a process of its own: only the nodes import ROS."""
    if importlib.util.find_spec("rclpy") is None:
        raise UsageError(f"--live needs ROS 2, which is not installed here: {_NEEDS['ROS nodes'][1]}")
    if not 0 < args.seconds <= _LISTEN_S:
        raise UsageError(f"--seconds {args.seconds:g}: between 0 and {_LISTEN_S:g}")
    command = [sys.executable, "-m", "seg2d3d_ros.nodes.graph_doctor", "--seconds", str(args.seconds), "--fix", args.fix]
    tell(f"listening for {args.seconds:g} s …")
    with subprocess.Popen([*command, "--cameras", *args.cameras], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:  # through here, so that --json and --log have it, too
            tell_result(line.rstrip("\n"))
    return process.returncode


def _probe(modules: list[str]) -> dict[str, tuple[bool, str]]:
    """Whether each module can be imported, and its version or what is wrong.

    One process of its own imports all, as a broken library must not end the doctor. One that fails there has a second try as
    the first of another process: it may only not get on with those before it, which no part of the software imports together.
    """
    results: dict[str, tuple[bool, str]] = {}
    distributions = importlib.metadata.packages_distributions()
    while waiting := [module for module in modules if module not in results]:
        if importlib.util.find_spec(waiting[0].partition(".")[0]) is None:
            results[waiting[0]] = False, "not installed"
            continue
        imported, failure = _import(waiting)
        for module, version in imported.items():
            names = distributions.get(module.partition(".")[0], [])
            results[module] = True, version or (importlib.metadata.version(names[0]) if names else "")
        if not imported:
            results[waiting[0]] = False, failure
    return results


def _import(modules: list[str]) -> tuple[dict[str, str], str]:
    """Import modules in one process until one fails: the versions of those before it, and what it said."""
    try:
        done = subprocess.run([sys.executable, "-c", _PROBE, *modules], capture_output=True, text=True, timeout=_LIMIT_S)
        said, failure = (
            done.stdout,
            (done.stderr.strip().splitlines() or [f"the import ended with status {done.returncode}"])[-1],
        )
    except subprocess.TimeoutExpired as late:
        said, failure = (late.stdout or b"").decode(), f"the import did not end within {_LIMIT_S:.0f} s"
    # A library may print, too.
    lines = [line.partition(" ") for line in said.splitlines()]
    return {name: version for name, _, version in lines if name in modules}, failure
