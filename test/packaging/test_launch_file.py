"""launch/pipeline.launch.py on the real launch and launch_ros, where a ROS distribution is at hand."""

import importlib.util
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("launch_ros")
pytest.importorskip("rclpy")

from ament_index_python.packages import get_packages_with_prefixes
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node

import launch
from seg2d3d_ros.ros.node.launch_arguments import NODES, arguments

pytestmark = pytest.mark.ros
FILE = Path(__file__).parents[2] / "launch/pipeline.launch.py"


def included(given):
    return IncludeLaunchDescription(PythonLaunchDescriptionSource(str(FILE)), launch_arguments=given.items())


def entities(given):
    """All actions of the file as included with these arguments, and their context."""
    context = launch.LaunchContext()
    found, todo = [], [included(given)]
    while todo:
        action = todo.pop(0)
        found.append(action)
        if type(action).__name__ in (
            "IncludeLaunchDescription",
            "OpaqueFunction",
            "SetLaunchConfiguration",
            "DeclareLaunchArgument",
        ):
            todo[:0] = action.visit(context) or []
        elif isinstance(action, launch.LaunchDescription):
            todo[:0] = action.entities
    return found, context


def nodes(given):
    return [action for action in entities(given)[0] if isinstance(action, Node)]


def run(*given, timeout=90):
    """``ros2 launch`` in a process of its own: exit code and output."""
    ros2 = shutil.which("ros2")
    if ros2 is None:
        pytest.skip("there is no ros2 command")
    done = subprocess.run(
        [ros2, "launch", str(FILE), *given], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout
    )
    return done.returncode, done.stdout


def test_the_arguments_are_those_of_the_table():
    spec = importlib.util.spec_from_file_location("pipeline_launch", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    declared = module.generate_launch_description().get_launch_arguments()
    assert [(a.name, a.default_value[0].text, a.description) for a in declared] == [
        (a.name, a.default, a.description) for a in arguments()
    ]


def test_one_node_each_and_a_player_for_a_bag():
    assert [node.node_executable for node in nodes({})] == list(NODES)
    assert [node.node_executable for node in nodes({"bag": "a.mcap"})] == [*NODES, "bag_player"]
    assert [node.node_executable for node in nodes({"bag": "a.mcap", "composed": "true"})] == ["pipeline"]


def test_defaults_do_not_leak_into_a_second_inclusion():
    """Else the second one would take the first one's defaults for arguments that were given, and beat its file."""
    _, context = entities({"namespace": "/one"})
    assert set(context.launch_configurations) == {"namespace"}


def test_show_args_is_the_documentation():
    code, text = run("--show-args")
    assert code == 0
    for argument in arguments():
        assert f"'{argument.name}':\n        {argument.description}" in text


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("segmenter:=topics", "did you mean 'topic'"),
        ("promts:=tree", "unknown launch argument 'promts'; did you mean 'prompts'"),
    ],
)
def test_a_wrong_argument_ends_the_launch_with_an_error(given, message):
    code, text = run(given)
    assert code == 1
    assert message in text
    assert "process started" not in text


def test_rviz_that_is_not_installed_is_named():
    if "rviz2" in get_packages_with_prefixes():
        pytest.skip("RViz is installed")
    code, text = run("rviz:=true")
    assert code == 1
    assert "apt-get install" in text


@pytest.mark.slow
@pytest.mark.parametrize("composed", ["false", "true"])
def test_a_bag_that_is_not_there_ends_everything_with_an_error(composed, tmp_path):
    if "seg2d3d_ros" not in get_packages_with_prefixes():
        pytest.skip("seg2d3d_ros is not in the ament index: colcon build, source install/setup.bash")
    code, text = run(f"bag:={tmp_path}/absent.mcap", f"map_dir:={tmp_path}/map", f"composed:={composed}")
    assert code == 1
    assert f"no bag at {tmp_path}/absent.mcap" in text
    assert f"{'pipeline' if composed == 'true' else 'bag_player'} ended with exit code 2" in text
    assert "SIGTERM" not in text, "the others end in order when they are asked"
