"""package.xml, setup.py and the package say the same, and everything that is needed at run time is installed."""

import ast
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from helpers_source import imported_modules

import seg2d3d_ros
from seg2d3d_ros.cli.main import COMMANDS

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def arguments() -> dict:
    """What setup.py hands to setuptools, without building anything."""
    script = (
        "import json, setuptools\n"
        "caught = {}\n"
        "setuptools.setup = lambda **given: caught.update(given)\n"
        "exec(compile(open('setup.py').read(), 'setup.py', 'exec'), {'__file__': 'setup.py', '__name__': '__main__'})\n"
        "print(json.dumps(caught))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.strip().splitlines()[-1].replace("true", "True").replace("false", "False"))


@pytest.fixture(scope="module")
def manifest() -> ET.Element:
    return ET.parse(ROOT / "package.xml").getroot()


def test_name_version_licence_and_maintainer_agree(arguments, manifest):
    assert manifest.get("format") == "3"
    assert manifest.findtext("name") == arguments["name"] == "seg2d3d_ros"
    assert manifest.findtext("version") == arguments["version"] == seg2d3d_ros.__version__
    assert manifest.findtext("license") == arguments["license"] == "Apache-2.0"
    assert manifest.findtext("maintainer") == arguments["maintainer"]
    assert manifest.find("maintainer").get("email") == arguments["maintainer_email"]
    assert manifest.findtext("export/build_type") == "ament_python"
    assert "Apache License" in (ROOT / manifest.find("license").get("file")).read_text()


def test_the_manifest_is_valid_for_ros():
    """colcon takes a package with an invalid manifest for plain Python, without a word."""
    packages = pytest.importorskip("catkin_pkg.package")
    warnings: list[str] = []
    package = packages.parse_package(str(ROOT / "package.xml"), warnings=warnings)
    package.validate(warnings=warnings)
    assert warnings == []


def test_console_scripts_exist(arguments):
    """Looked up in the source: importing the nodes needs ROS."""
    scripts = dict(re.split(r"\s*=\s*", entry) for entry in arguments["entry_points"]["console_scripts"])
    assert scripts["seg2d3d"] == "seg2d3d_ros.cli.main:main"
    assert len(scripts) == 11
    for target in scripts.values():
        module, function = target.split(":")
        tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text())
        assert function in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, target


def test_the_index_the_manifest_the_launch_file_and_the_configuration_are_installed(arguments):
    installed = {folder: set(names) for folder, names in arguments["data_files"]}
    assert installed["share/ament_index/resource_index/packages"] == {"resource/seg2d3d_ros"}
    assert installed["share/seg2d3d_ros"] == {"package.xml"}
    assert "launch/pipeline.launch.py" in installed["share/seg2d3d_ros/launch"]
    wanted = {"config/parameters.yaml", "config/seg2d3d.rviz", "config/foxglove.json"}
    assert wanted <= installed["share/seg2d3d_ros/config"]


def test_every_file_of_the_package_is_packed(arguments):
    package = ROOT / "seg2d3d_ros"
    patterns = arguments["package_data"]["seg2d3d_ros"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    others = {path for path in package.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others - packed == set()
    folders = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in package.rglob("*.py")}
    assert folders == set(arguments["packages"])


def test_a_build_holds_every_file_and_the_marker_of_its_types(tmp_path):
    """PEP 561: without ``py.typed`` type checkers take nothing from an installed package."""
    done = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr

    def files(root: Path) -> set[str]:
        found = (root / "seg2d3d_ros").rglob("*")
        return {str(path.relative_to(root)) for path in found if path.is_file() and path.suffix != ".pyc"}

    assert files(tmp_path) == files(ROOT)
    assert "seg2d3d_ros/py.typed" in files(tmp_path)


def test_every_command_has_its_module():
    assert [
        name for name, (module, _) in COMMANDS.items() if not (ROOT / f"seg2d3d_ros/cli/{module.replace('.', '/')}.py").exists()
    ] == []


STANDARD = set(sys.stdlib_module_names)
THIRD_PARTY = "numpy scipy cv2 yaml PIL tqdm pycolmap rosbags zstandard mcap jinja2 pycocotools simplejpeg"
ALLOWED = {*THIRD_PARTY.split(), "seg2d3d_ros"}
OF_EXTRAS = {
    "av",
    "laspy",
    "open3d",
    "torch",
    "torchvision",
    "transformers",
    "segment_anything",
    "safetensors",
    "ray",
    "rerun",
    "trackeval",
    "matplotlib",
    "pi_heif",
    "pillow_heif",
    "pyproj",
    "starlette",
    "uvicorn",
}
KEYS = {
    "numpy": "python3-numpy",
    "scipy": "python3-scipy",
    "cv2": "python3-opencv",
    "yaml": "python3-yaml",
    "PIL": "python3-pil",
    "tqdm": "python3-tqdm",
    "rosbags": "python3-rosbags-pip",
    "jinja2": "python3-jinja2",
    "pycocotools": "python3-pycocotools",
    "zstandard": "python3-zstandard",
}


def test_whatever_is_imported_is_declared(manifest):
    declared = {element.text for element in manifest.iter("exec_depend")}
    assert set(KEYS.values()) <= declared
    package = ROOT / "seg2d3d_ros"
    for path in package.rglob("*.py"):
        found = imported_modules(path) - STANDARD - ALLOWED - OF_EXTRAS
        if path.relative_to(package).parts[0] in ("ros", "nodes"):
            assert found <= declared, f"{path}: {found - declared} not in package.xml"
        else:
            assert found == set(), f"{path}: the core imports {found}"
    assert imported_modules(ROOT / "launch/pipeline.launch.py") - STANDARD - {"seg2d3d_ros"} <= declared
