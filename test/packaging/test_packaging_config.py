"""The files of config/: parameters as declared, views that show topics which exist."""

import json
import re
from pathlib import Path

import pytest
import yaml

from seg2d3d_ros.config import Config, load_config

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
TOPICS = set(re.findall(r"`([a-z]+/[a-z_/]+)`", (ROOT / "docs/nodes.md").read_text()))
"""The topics of docs/nodes.md, relative to the namespace."""


def test_commands_read_the_parameter_file_as_their_defaults():
    assert load_config(file=CONFIG / "parameters.yaml") == Config()


@pytest.mark.ros
class TestParameterFile:
    @pytest.fixture(scope="class")
    def ros(self):
        pytest.importorskip("rclpy")
        from seg2d3d_ros.ros.node import parameter_file

        return parameter_file

    def test_it_equals_the_declarations(self, ros):
        stale = "stale; mend: python -m seg2d3d_ros.ros.node.parameter_file > config/parameters.yaml"
        assert (CONFIG / "parameters.yaml").read_text() == ros.parameter_file(), stale

    def test_it_holds_every_parameter_with_its_default(self, ros):
        from seg2d3d_ros.config import declarations, read_parameters

        found = read_parameters(CONFIG / "parameters.yaml")
        expected = {**ros.ros_declarations(), **declarations()}
        assert set(found) == set(expected)
        for name, declaration in expected.items():
            assert declaration.check(found[name]) == declaration.default, name

    def test_what_only_ros_needs_is_described_and_passes_its_own_check(self, ros):
        for declaration in ros.ros_declarations().values():
            assert len(declaration.description) > 10, declaration.key
            assert declaration.check(declaration.default) == declaration.default

    def test_a_name_means_the_same_in_every_node(self, ros):
        from seg2d3d_ros.declaration import declarations_of
        from seg2d3d_ros.ros.node.parameters import NODE_PARAMETERS

        seen = ros.ros_declarations()
        for cls in NODE_PARAMETERS:
            for name, declaration in declarations_of(cls).items():
                assert declaration == seen[name], f"{cls.__name__}.{name}"

    def test_ros_reads_it(self, ros):
        import rclpy
        from rclpy.context import Context

        context = Context()
        rclpy.init(args=["--ros-args", "--params-file", str(CONFIG / "parameters.yaml")], context=context)
        try:
            node = rclpy.create_node(
                "any",
                namespace="seg2d3d",
                context=context,
                start_parameter_services=False,
                automatically_declare_parameters_from_overrides=False,
            )
            names = set(node._parameter_overrides)
            node.destroy_node()
        finally:
            rclpy.shutdown(context=context)
        assert {"camera_topics", "autostart", "reconstruction.max_features"} <= names


def test_rviz_shows_topics_that_exist():
    manager = yaml.safe_load((CONFIG / "seg2d3d.rviz").read_text())["Visualization Manager"]
    assert manager["Global Options"]["Fixed Frame"] == "map"
    shown = {display["Topic"]["Value"] for display in manager["Displays"] if "Topic" in display}
    assert {"map/points", "map/cameras", "instances/points", "instances/markers", "instances/labels"} <= shown
    assert shown <= TOPICS
    clouds = [d for d in manager["Displays"] if d.get("Topic", {}).get("Value") == "instances/points" and d["Enabled"]]
    assert [d["Color Transformer"] for d in clouds] == ["RGB8"]


def test_foxglove_shows_topics_that_exist_and_lays_out_every_panel():
    layout = json.loads((CONFIG / "foxglove.json").read_text())
    panels = layout["configById"]
    shown = set(panels["3D!map"]["topics"])
    for panel in panels.values():
        shown |= {topic for key, topic in panel.get("imageMode", {}).items() if key.endswith("Topic")}
    assert {topic.removeprefix("/seg2d3d/") for topic in shown} <= TOPICS
    assert "/seg2d3d/instances/points" in shown

    def leaves(part):
        return [part] if isinstance(part, str) else leaves(part["first"]) + leaves(part["second"])

    assert sorted(leaves(layout["layout"])) == sorted(panels)
