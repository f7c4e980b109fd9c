"""Installs by ``pip install .`` and, as an ament_python package, by ``colcon build``."""

import re
from pathlib import Path

from setuptools import find_packages, setup

PACKAGE = "seg2d3d_ros"
HERE = Path(__file__).parent
# Read, not imported: building needs none of the dependencies.
VERSION = re.search(r'^__version__ = "(.+)"$', (HERE / PACKAGE / "__init__.py").read_text(), re.MULTILINE).group(1)
NODES = sorted(path.stem for path in (HERE / PACKAGE / "nodes").glob("[!_]*.py"))

EXPORT = ["copclib", "laspy", "lazrs", "pye57", "pyogrio", "pyarrow", "pyproj", "shapely"]
SERVER = ["starlette>=0.37", "uvicorn>=0.29"]
SIMULATOR = ["open3d>=0.19,<0.21"]  # 0.9 GB with its dash and plotly, and system libraries: only for those who simulate


def files(folder: str) -> list[str]:
    """The files of a folder as data_files wants them."""
    return sorted(str(path.relative_to(HERE)) for path in (HERE / folder).glob("*") if path.is_file())


setup(
    name=PACKAGE,
    version=VERSION,
    description="Unordered street-level images and a text label in; a labelled 3D point cloud and instance tracks out",
    long_description=(HERE / "README.md").read_text() if (HERE / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    author="seg2d3d_ros maintainers",
    author_email="seg2d3d-ros@users.noreply.github.com",
    maintainer="seg2d3d_ros maintainers",
    maintainer_email="seg2d3d-ros@users.noreply.github.com",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=[PACKAGE, f"{PACKAGE}.*"]),
    package_data={PACKAGE: ["py.typed", "*.pyi", "**/*.css", "**/*.js", "**/*.html", "**/*.json", "**/*.yaml"]},
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", files("launch")),
        (f"share/{PACKAGE}/config", files("config")),
        (f"share/{PACKAGE}/config/sros2", files("config/sros2")),
    ],
    zip_safe=False,
    install_requires=[
        "numpy>=1.24",
        "scipy>=1.10",
        "opencv-python-headless<5",  # the distributions are at 4
        "pycocotools",
        "pycolmap>=4.2,<4.3",  # every minor version has changed the interface
        "pyyaml",
        "pillow",
        "simplejpeg>=1.7",  # tells what libjpeg only warns of
        "rosbags>=0.11,<0.12",  # likewise
        "mcap>=1.1",
        "zstandard",  # which mcap and rosbags need too
        "tqdm",
        "jinja2>=3.0",
    ],
    extras_require={
        # rclpy over Fast DDS without a ROS distribution; without pins pip would mix in a later distribution.
        "ros": [
            "ros-rclpy[fastrtps]==7.1.6",
            "ros-jazzy-sensor-msgs==5.3.6",
            "ros-jazzy-std-msgs==5.3.6",
            "ros-diagnostic-msgs==5.3.6",
            "ros-nav-msgs==5.3.6",
            "ros-std-srvs==5.3.6",
            "ros-visualization-msgs==5.3.6",
        ],
        "sim": SIMULATOR,
        "sam": ["torch>=2.2", "torchvision", "segment-anything", "transformers>=4.56", "safetensors"],
        "sam3": ["torch>=2.4", "torchvision", "transformers>=5; python_version >= '3.11'", "safetensors"],
        "learn": ["torch>=2.2", "safetensors", "laspy[lazrs]"],  # tensorboard, where it is installed, gets the figures, too
        "heic": ["pi-heif"],  # decodes only; its wheel brings libheif and libde265 (LGPL), and no x265 (GPL)
        "video": ["av>=12"],  # BSD; its wheels bring FFmpeg (LGPL) with libx264 and libx265 (GPL encoders, never called)
        "export": EXPORT,  # clouds, GIS and city models; annotations and poses need nothing more
        "city": ["ray>=2.40"],  # many drives on several processes or machines; without it one block after the other
        "view": ["rerun-sdk>=0.24"],
        "serve": SERVER,
        "dev": [
            *SERVER,
            "httpx",  # starlette's test client asks with it
            *SIMULATOR,
            *EXPORT,
            "pytest<9",  # launch_testing does not work with 9
            "pytest-timeout",
            "pytest-xdist",
            "hypothesis",
            "catkin_pkg",
            "trackeval",
            "opencv-python<5",  # trackeval asks for it without a bound
            "scikit-learn",
            "pi-heif",
            "av>=12",
            "ruff",
            "mypy",
            "cjio",  # reads what is exported, as the next ones do
            "duckdb",
            "e57",
            "pygltflib",
            "mkdocs-material>=9.5",  # builds the site of docs/
            "import-linter>=2.17; python_version >= '3.11'",
            "types-PyYAML",
        ],
        "test": ["pytest"],  # colcon test runs pytest only where this extra names it
    },
    entry_points={
        "console_scripts": [
            "seg2d3d = seg2d3d_ros.cli.main:main",
            *(f"{node} = seg2d3d_ros.nodes.{node}:main" for node in NODES),
        ]
    },
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Programming Language :: Python :: 3",
        "Operating System :: POSIX :: Linux",
        "Topic :: Scientific/Engineering :: Image Recognition",
    ],
)
