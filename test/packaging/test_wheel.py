"""What is built works where no checkout is: the wheel's commands, launch file and configuration; the sdist is whole."""

import importlib.metadata
import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from helpers_exported_map import exported_map

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
SOURCES = ("seg2d3d_ros", "launch", "config", "resource")
FILES = ("setup.py", "setup.cfg", "pyproject.toml", "package.xml", "README.md", "LICENSE")
LIMIT_S = 300.0


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy, as building writes beside the sources."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in SOURCES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, folder)
    return folder


def can_build() -> bool:
    """Not by importing them: setuptools replaces parts of the running Python."""
    if not all(importlib.util.find_spec(name) for name in ("pip", "setuptools")):
        return False
    numbers = importlib.metadata.version("setuptools").split(".")[:2]
    return importlib.util.find_spec("wheel") is not None or tuple(map(int, numbers)) >= (70, 1)


@pytest.fixture(scope="module")
def installed(checkout, tmp_path_factory) -> Path:
    """The wheel, installed into a folder of its own."""
    if not can_build():
        pytest.skip("without a network wheels are built by pip and setuptools 70.1, or by an older one with wheel")
    wheels, site = tmp_path_factory.mktemp("wheels"), tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", wheels, checkout], check=True, timeout=LIMIT_S)
    (wheel,) = wheels.glob("seg2d3d_ros-*-py3-none-any.whl")
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", site, wheel], check=True, timeout=LIMIT_S)
    return site


def call(installed: Path, folder: Path, *words: object) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    command = [sys.executable, "-m", "seg2d3d_ros", *map(str, words)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT_S)


def test_the_wheel_is_what_runs_and_its_help_and_doctor_work(installed, tmp_path):
    code = "import seg2d3d_ros; print(seg2d3d_ros.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    found = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(found.stdout.strip()).is_relative_to(installed), "and not the checkout"
    for words in (["--help"], ["run", "--help"], ["completion", "bash"], ["models"]):
        done = call(installed, tmp_path, *words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (installed / "bin/seg2d3d").exists()


def test_it_has_the_launch_file_the_configuration_and_the_index(installed):
    share = installed / "share"
    assert (share / "ament_index/resource_index/packages/seg2d3d_ros").exists()
    assert (share / "seg2d3d_ros/package.xml").exists()
    for folder in ("launch", "config"):
        names = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert names <= {path.name for path in (share / "seg2d3d_ros" / folder).iterdir()}


def test_commands_that_need_files_of_the_package_work(installed, tmp_path):
    """The report has style and script, which are no Python."""
    store = exported_map(tmp_path / "map")
    done = call(installed, tmp_path, "report", store.root)
    assert done.returncode == 0, done.stderr
    assert "<style" in (store.root / "report.html").read_text()
    done = call(installed, tmp_path, "export", store.root, "--format", "ply", "--out", tmp_path / "cloud.ply")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "cloud.ply").stat().st_size > 100


def test_the_source_distribution_holds_what_a_build_needs(checkout, tmp_path):
    command = [sys.executable, "setup.py", "-q", "sdist", "--dist-dir", str(tmp_path)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {name.partition("/")[2] for name in tar.getnames()}
    wanted = {str(path.relative_to(checkout)) for name in SOURCES for path in (checkout / name).rglob("*") if path.is_file()}
    assert {name for name in wanted if "__pycache__" not in name} - names == set()
    assert set(FILES) <= names
