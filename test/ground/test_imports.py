"""The core knows no ROS, and nothing heavy is imported before it is used."""

import json
import pkgutil
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import seg2d3d_ros

ROS = ("rclpy", "sensor_msgs", "geometry_msgs", "std_msgs", "nav_msgs", "visualization_msgs", "diagnostic_msgs", "launch")
NETWORKS = ("seg2d3d_ros.learning.network.", "seg2d3d_ros.prompts.network.")
"""Modules that define networks import torch at their top; whoever runs a network imports them when it does."""
HEAVY = ("torch", "open3d", "pycolmap", "transformers", "rosbags", "matplotlib", "rerun")


def modules() -> list[str]:
    return [m.name for m in pkgutil.walk_packages(seg2d3d_ros.__path__, "seg2d3d_ros.")]


def run_python(code: str, *arguments: str, options: Sequence[str] = ()) -> str:
    done = subprocess.run([sys.executable, *options, "-c", code, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_core_imports_with_ros_blocked_and_stays_light():
    core = [m for m in modules() if not m.startswith(("seg2d3d_ros.ros", "seg2d3d_ros.nodes"))]
    core = [m for m in core if m != "seg2d3d_ros.__main__"]
    core = [m for m in core if not m.startswith(NETWORKS)]
    assert len(core) > 30
    code = """
import importlib, json, sys
core, ros, heavy = (json.loads(a) for a in sys.argv[1:])
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ros:
            raise ImportError(f"{name} is blocked: the core must not know ROS")
sys.meta_path.insert(0, Block())
for name in core:
    importlib.import_module(name)
    loaded = [h for h in heavy if h in sys.modules]
    assert not loaded, f"{name} imports {loaded}"
"""
    run_python(code, json.dumps(core), json.dumps(ROS), json.dumps(HEAVY))


def test_importing_the_package_is_free():
    loaded = run_python("import seg2d3d_ros, sys; print(*sorted(sys.modules))").split()
    assert not {"torch", "rclpy", "numpy", "cv2"} & set(loaded)


def test_next_to_nothing_is_imported_before_ctrl_c_is_looked_after():
    """Without ``site``, which imports what is installed beside."""
    code = "import sys; sys.path.insert(0, sys.argv[1]); import seg2d3d_ros.cli.main; print(*sorted(sys.modules))"
    loaded = run_python(code, str(Path(seg2d3d_ros.__file__).parents[1]), options=["-S"]).split()
    assert "seg2d3d_ros.cli.processes.supervisor" in loaded
    assert not {"typing", "pathlib", "argparse", "ctypes", "re", "contextlib", "dataclasses"} & set(loaded)


def test_help_answers_at_once():
    """Processor time, best of three: what else the machine does must not turn this red."""
    assert min(_cpu_seconds("-m", "seg2d3d_ros", "--help") for _ in range(3)) < 1.0


def _cpu_seconds(*arguments: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "simulate" in done.stdout
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
