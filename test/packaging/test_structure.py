"""The order of the folders, as setup.cfg states it, and what keeps the package easy to find one's way in."""

import ast
import os
import runpy
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import defaultdict
from pathlib import Path

import pytest
from helpers_source import imported_modules

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "seg2d3d_ros"
MODULES = sorted(PACKAGE.rglob("*.py"))
MAX_FILES, MAX_LINES = 16, 400
ROS_FOLDERS = ("ros", "nodes")


def check_imports(root: Path) -> subprocess.CompletedProcess:
    """Run import-linter over ``root``/seg2d3d_ros with the contracts of ``root``/setup.cfg."""
    pytest.importorskip("importlinter")
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True, no_logo=True))"
    environment = {**os.environ, "PYTHONPATH": str(root), "NO_COLOR": "1", "COLUMNS": "400"}
    return subprocess.run([sys.executable, "-c", code], cwd=root, env=environment, capture_output=True, text=True, timeout=120)


def test_imports_follow_the_order_of_the_folders_and_form_no_circle():
    """Lazy imports and those for type checking count too."""
    done = check_imports(ROOT)
    assert done.returncode == 0, f"the contracts are in setup.cfg\n{done.stdout}{done.stderr}"


def test_an_import_that_runs_back_a_circle_and_an_unlisted_folder_are_refused(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "seg2d3d_ros", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    package = tmp_path / "seg2d3d_ros"
    (package / "geometry/backward.py").write_text("def f():\n    from seg2d3d_ros.pipeline import anything\n")
    (package / "geometry/typed.py").write_text(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import seg2d3d_ros.report.plan\n"
    )
    (package / "lidar/one.py").write_text("import seg2d3d_ros.lidar.two\n")
    (package / "lidar/two.py").write_text("def f():\n    import seg2d3d_ros.lidar.one\n")
    (package / "unlisted").mkdir()
    (package / "unlisted/__init__.py").write_text("")
    done = check_imports(tmp_path)
    assert done.returncode != 0
    report = " ".join(done.stdout.split())
    assert "seg2d3d_ros.geometry.backward -> seg2d3d_ros.pipeline" in report
    assert "seg2d3d_ros.geometry.typed -> seg2d3d_ros.report.plan" in report
    assert "No cycles are allowed in seg2d3d_ros.lidar." in report
    assert "not listed as layers: - seg2d3d_ros.unlisted" in report


def test_the_table_of_folders_is_up_to_date():
    drawing = runpy.run_path(str(ROOT / "scripts/draw_folders.py"))
    document = (ROOT / "docs/architecture.md").read_text()
    assert document == drawing["drawn"](document), "stale; mend: python scripts/draw_folders.py"


def test_every_folder_says_in_one_line_what_it_holds():
    for path in PACKAGE.rglob("__init__.py"):
        first, _, rest = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")
        assert first.endswith("."), f"{path}: a docstring whose first line is a sentence"
        assert not rest or path.parent == PACKAGE, f"{path}: one line is enough"


def test_folders_and_files_stay_small():
    folders = defaultdict(list)
    for path in MODULES:
        folders[path.parent].append(path.name)
        lines = len(path.read_text().splitlines())
        assert lines <= MAX_LINES, f"{path} has {lines} lines"
    crowded = {str(folder): len(names) for folder, names in folders.items() if len(names) > MAX_FILES}
    assert crowded == {}


def test_no_two_modules_have_one_name():
    """Commands are named like what they call; each is the only module of its name outside ``cli``."""
    places = defaultdict(list)
    for path in MODULES:
        if path.stem not in ("__init__", "__main__") and path.relative_to(PACKAGE).parts[0] != "cli":
            places[path.stem].append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_no_two_public_classes_have_one_name():
    places = defaultdict(list)
    for path in MODULES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places[node.name].append(str(path.relative_to(PACKAGE)))
    assert {name: paths for name, paths in places.items() if len(paths) > 1} == {}


def test_only_ros_and_nodes_import_ros():
    """Imports inside functions and for type checking count too; what ROS is, package.xml says."""
    needed = {element.text for element in ET.parse(ROOT / "package.xml").getroot().iter("exec_depend")}
    ros = {name for name in needed if not name.startswith("python3-")}
    assert {"rclpy", "sensor_msgs", "launch", "vision_msgs"} <= ros
    for path in MODULES:
        if path.relative_to(PACKAGE).parts[0] not in ROS_FOLDERS:
            assert imported_modules(path) & ros == set(), path
