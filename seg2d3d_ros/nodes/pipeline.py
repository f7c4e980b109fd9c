"""All nodes in one process: ``python -m seg2d3d_ros.nodes.pipeline --ros-args -p map_dir:=out -p prompts:="[building]"``.

The same nodes, topics and parameters as one by one. With ``bag:=PATH`` a bag_player in a process of its own plays the bag
(its parameters are this node's) and has the map finalized; with ``exit_when_done:=true`` the process then ends, with the
player's exit code.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from seg2d3d_ros.config import read_parameters
from seg2d3d_ros.nodes.association_node import AssociationNode
from seg2d3d_ros.nodes.cloud_node import CloudNode
from seg2d3d_ros.nodes.keyframe_node import KeyframeNode
from seg2d3d_ros.nodes.reconstruction_node import ReconstructionNode
from seg2d3d_ros.nodes.segmentation_node import SegmentationNode
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameter_file import value_text
from seg2d3d_ros.ros.node.parameters import PipelineParameters, PlayerParameters
from seg2d3d_ros.ros.node.spinning import spin_nodes

NODES = (AssociationNode, ReconstructionNode, SegmentationNode, KeyframeNode)
"""In the order of their start: who receives comes before who sends."""
STOP_SECONDS = 5.0


def player_command(parameters: PipelineParameters, namespace: str) -> list[str]:
    """The command line of a bag_player with these parameters."""
    command = [sys.executable, "-m", "seg2d3d_ros.nodes.bag_player", "--ros-args", "-r", f"__ns:={namespace}"]
    for field in dataclasses.fields(PlayerParameters):
        value = getattr(parameters, field.name)
        if field.name in ("autostart", "when_done") or value == ():
            continue
        command += ["-p", f"{field.name}:={value_text(value)}"]
    return [*command, "-p", "when_done:=finalize"]


def _ending_with_parent() -> list[str]:
    """Prefix of a command that Linux ends when this process is killed; a player left behind would play into the next run."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


class PipelineNode(ManagedNode):
    """Plays the bag and ends the process; does nothing where no bag is given."""

    NAME = "pipeline"
    PARAMETERS = PipelineParameters
    ros: PipelineParameters

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._player: subprocess.Popen[bytes] | None = None

    def activate(self) -> None:
        if self.ros.bag:
            command = [*_ending_with_parent(), *player_command(self.ros, self.get_namespace())]
            # The player must not hear a terminal's Ctrl-C itself: this process passes the end on.
            self._player = subprocess.Popen(command, env=os.environ.copy(), start_new_session=True)
            self.every(0.2, self._watch_player)

    def deactivate(self) -> None:
        if self._player is None:
            return
        self._player.terminate()
        try:
            self._player.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._player.kill()
            self._player.wait()
        self._player = None

    def _watch_player(self) -> None:
        code = self._player.poll() if self._player else None
        if code is None:
            return
        self._player = None
        if code != 0:
            self.diagnostics.error("bag_player", f"ended with status {code}; its last lines say why")
        if self.ros.exit_when_done:
            self.finish(1 if code < 0 else code)


def run(args: Sequence[str] | None = None) -> int:
    """Spin all nodes; returns the exit code."""
    return spin_nodes([*NODES, *([CloudNode] if wants_cloud(sys.argv if args is None else args) else []), PipelineNode], args)


def wants_cloud(args: Sequence[str]) -> bool:
    """Whether the command line, or a parameter file that it names, sets ``cloud_topic``; cloud_node runs only then.

    Raises:
        UsageError: a parameter file that cannot be read.
    """
    wanted = False
    for option, value in itertools.pairwise(args):
        if option == "--params-file":
            wanted = bool(read_parameters(Path(value)).get("cloud_topic", wanted))
        elif option in ("-p", "--param") and value.partition(":=")[0].rpartition(":")[2] == "cloud_topic":
            wanted = value.partition(":=")[2].strip("'\" ") != ""
    return wanted


def main() -> None:
    """Console script."""
    sys.exit(run())


if __name__ == "__main__":
    main()
