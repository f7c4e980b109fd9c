"""``seg2d3d doctor``: what is installed, what is missing for which feature, and the command that mends it."""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from seg2d3d_ros.segmentation.models.weights import KNOWN, find_model, models_dir

_PIP = f"{sys.executable} -m pip install"
_HERE = "(in the project's folder)"
_NEEDS = {
    "core": (("numpy", "scipy", "cv2", "yaml", "PIL", "tqdm", "jinja2"), f"{_PIP} .   {_HERE}"),
    "reconstruction": (("pycolmap",), f"{_PIP} 'pycolmap>=4.2,<4.3'"),
    "masks from COCO files": (("pycocotools",), f"{_PIP} pycocotools"),
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
        f"source /opt/ros/jazzy/setup.bash, or without a distribution: {_PIP} '.[ros]' {_HERE}",
    ),
    "objects by text or class (grounded_sam, panoptic, everything)": (
        ("torch", "torchvision", "transformers", "segment_anything"),
        f"{_PIP} '.[sam]' {_HERE}",
    ),
    "detections as vision_msgs (optional)": (("vision_msgs.msg",), "apt-get install ros-jazzy-vision-msgs"),
    "TF of keyframes (optional)": (("tf2_msgs.msg",), "apt-get install ros-jazzy-tf2-msgs"),
}  # fmt: skip
"""The modules that a feature needs, and how to get them."""
# pycolmap must not be imported before NumPy: OpenCV's PNG encoder aborts otherwise.
_PROBE = """
import importlib, importlib.metadata, numpy, sys
module = importlib.import_module(sys.argv[1])
top = sys.argv[1].partition(".")[0]
names = importlib.metadata.packages_distributions().get(top, [])
print(getattr(module, "__version__", "") or (importlib.metadata.version(names[0]) if names else ""))
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """No options."""


def run(args: argparse.Namespace) -> int:
    """Print a line for each module; 1 if the core or the reconstruction cannot work."""
    print(f"Python {platform.python_version()} on {platform.platform()}, {os.cpu_count()} cores")
    modules = [module for needed, _ in _NEEDS.values() for module in needed]
    with ThreadPoolExecutor(4) as pool:
        results = dict(zip(modules, pool.map(_probe, modules), strict=True))
    broken = False
    for feature, (needed, mend) in _NEEDS.items():
        print(f"\n{feature}")
        for module in needed:
            works, text = results[module]
            print(f"  {'ok     ' if works else 'MISSING'} {module:<24} {text}")
            if not works:
                print(f"          mend: {mend}")
                broken |= feature in ("core", "reconstruction")
    folder = models_dir()
    here = [model.name for model in KNOWN if find_model(model.name, folder).present]
    print(f"\nmodels in {folder}: {', '.join(here) or 'none'}   (`seg2d3d models` lists and downloads them)")
    return 1 if broken else 0


def _probe(module: str) -> tuple[bool, str]:
    """Import the module in a process of its own: a broken library must not end the doctor."""
    try:
        done = subprocess.run([sys.executable, "-c", _PROBE, module], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return False, "the import did not end within 120 s"
    lines = (done.stdout if done.returncode == 0 else done.stderr).strip().splitlines()
    text = lines[-1] if lines else ("" if done.returncode == 0 else f"the import ended with status {done.returncode}")
    return done.returncode == 0, text
