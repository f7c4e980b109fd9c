"""All nodes, on live topics or with a bag. ``ros2 launch seg2d3d_ros pipeline.launch.py --show-args`` explains the arguments.

The table of arguments and what follows from them is in ``seg2d3d_ros/ros/node/launch_arguments.py``.
"""

import atexit
import os
import sys
import tempfile
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, Shutdown
from launch.events.process import ProcessExited
from launch_ros.actions import Node

from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.disk.leftovers import clear_scratch, scratch_prefix
from seg2d3d_ros.ros.node.launch_arguments import (
    RESPAWN_SECONDS,
    LaunchPlan,
    Process,
    arguments,
    check_names,
    override_file,
    plan,
    restart,
)

SAVING_SECONDS = "20"
"""How long a node may take to save the map after SIGINT, before SIGTERM, and after that before SIGKILL."""


def generate_launch_description() -> LaunchDescription:
    given: dict[str, str] = {}

    def note(context: LaunchContext) -> None:
        """Before the defaults are declared: what was given, by the command line or by a launch file that includes this one."""
        clear_scratch()
        given.clear()
        given.update(context.launch_configurations)
        if any(Path(word).name == Path(__file__).name for word in sys.argv):
            check_names(given)

    def start(context: LaunchContext) -> list:
        for argument in arguments():
            if argument.name not in given:
                # Else a launch file that includes this one twice would hand the first one's defaults to the second as given.
                context.launch_configurations.pop(argument.name, None)
        todo = plan(given)
        return [*(node_action(todo, process) for process in todo.processes), *([rviz(todo)] if todo.rviz else [])]

    declared = [
        DeclareLaunchArgument(argument.name, default_value=argument.default, description=argument.description)
        for argument in arguments()
    ]
    return LaunchDescription([OpaqueFunction(function=note), *declared, OpaqueFunction(function=start)])


def node_action(todo: LaunchPlan, process: Process) -> Node:
    """The process, with the parameter file first and what beats it after."""
    with tempfile.NamedTemporaryFile("w", prefix=scratch_prefix(), suffix=".yaml", delete=False) as overrides:
        overrides.write(override_file(process.parameters, todo.file_nodes))
    atexit.register(Path(overrides.name).unlink, missing_ok=True)  # also where the process was never started
    finishes = todo.exit_when_done and process.executable in ("bag_player", "pipeline")

    def ended(event: ProcessExited, context: LaunchContext) -> Shutdown | LogInfo | None:
        if not context.is_shutdown and (words := restart(process, event.returncode)):
            return LogInfo(msg=words)
        Path(overrides.name).unlink(missing_ok=True)
        if context.is_shutdown:
            return None
        if event.returncode != 0:
            # An exception, so that launch itself ends with an error.
            raise RuntimeError(f"{process.executable} ended with exit code {event.returncode}; its last lines say why")
        if process.executable == "bag_player" and not finishes:
            return None
        return Shutdown(reason="the bag is mapped" if finishes else f"{process.executable} has ended")

    return Node(
        package="seg2d3d_ros",
        executable=process.executable,
        # With several nodes in the process a name would rename them all.
        name=process.node or None,
        namespace=todo.namespace,
        parameters=[*([todo.params_file] if todo.params_file else []), overrides.name],
        ros_arguments=["--log-level", todo.log_level],
        output="screen",
        respawn=process.respawn,
        respawn_delay=RESPAWN_SECONDS,
        sigterm_timeout=SAVING_SECONDS,
        sigkill_timeout=SAVING_SECONDS,
        on_exit=ended,
    )


def rviz(todo: LaunchPlan) -> Node:
    """RViz in the nodes' namespace: the topics of the view are relative."""
    try:
        get_package_prefix("rviz2")
    except PackageNotFoundError as error:
        raise UsageError(f"rviz:=true needs RViz: apt-get install ros-{os.environ.get('ROS_DISTRO', 'jazzy')}-rviz2") from error
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=todo.namespace,
        parameters=[{"use_sim_time": todo.use_sim_time}],
        arguments=["-d", str(Path(__file__).parents[1] / "config/seg2d3d.rviz")],
        output="log",
    )
