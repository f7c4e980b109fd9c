"""The launch file as a table: its arguments, and from those that were given the processes to start.

Descriptions and defaults come from the parameters' declarations. An argument that was not given says nothing, so that the
parameter file decides; one that was given beats the file, whatever node names the file uses.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from seg2d3d_ros.config import ALIASES, declarations, read_parameters
from seg2d3d_ros.declaration import Declaration, Value, nearest
from seg2d3d_ros.disk.documents import read_yaml
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.ros.node.parameter_file import describe, ros_declarations, value_text

NODES = ("association_node", "reconstruction_node", "segmentation_node", "keyframe_node")
"""In the order of their start: who receives comes before who sends. With ``cloud_topic`` cloud_node comes after them."""
READY = ("finalize", "association_node/flush")
"""These services say that reconstruction_node and association_node listen: then the bag may begin."""
PARAMETERS = (
    "bag",
    "rate",
    "loop",
    "camera_topics",
    "fix_topic",
    "cloud_topic",
    "input_qos",
    "segmenter",
    "prompts",
    "segments_topics",
    "segments_dir",
    "map_dir",
    "publish_tf",
    "autostart",
)
"""The parameters that are launch arguments too; all others are set in a parameter file."""
SEARCH_SECONDS = 20.0
"""How long ``segmenter:=auto`` looks for a topic with masks."""
PATHS = ("bag", "segments_dir", "map_dir", "params_file")


@dataclass(frozen=True)
class Argument:
    """One launch argument; ``parameter`` is the declaration behind it, if any."""

    name: str
    default: str
    description: str
    choices: tuple[str, ...] = ()
    parameter: Declaration | None = None


@dataclass(frozen=True)
class Process:
    """One process: an executable of this package, its node's name (empty: several nodes), what overrides the file, and
    whether it is started again when it dies."""

    executable: str
    node: str
    parameters: Mapping[str, Value]
    respawn: bool = False


RESPAWN_SECONDS = 2.0
"""Between the death of a node and its new start."""
WRONG_USE = 2
"""The exit code of a node whose parameters are wrong: it would end with it every time."""


def restart(process: Process, returncode: int) -> str:
    """That a process which has ended is started again, in words; empty where it is not."""
    if not process.respawn or returncode == WRONG_USE:
        return ""
    how = f"was killed (signal {-returncode})" if returncode < 0 else f"ended with exit code {returncode}"
    return f"{process.executable} {how} and is started again in {RESPAWN_SECONDS:g} s"


@dataclass(frozen=True)
class LaunchPlan:
    """What a launch starts."""

    processes: tuple[Process, ...]
    namespace: str
    params_file: str
    rviz: bool
    use_sim_time: bool
    exit_when_done: bool
    log_level: str
    file_nodes: tuple[str, ...] = ()
    """The node names that the parameter file uses."""


_LAUNCH_ONLY = (
    Argument("params_file", "", "parameter file; config/parameters.yaml shows every parameter. Arguments beat the file"),
    Argument("namespace", "/seg2d3d", "namespace of all nodes and topics"),
    Argument("composed", "false", "true = all nodes in one process, false = one process per node", ("true", "false")),
    Argument(
        "respawn",
        "false",
        "start a node again that has died (not bag_player); needs composed:=false; docs/live.md says more",
        ("true", "false"),
    ),
    Argument(
        "clicks",
        "false",
        "start prompt_node, too: a click (RViz's /clicked_point) gives the object in every image; docs/prompts.md says more",
        ("true", "false"),
    ),
    Argument("use_sim_time", "auto", "time from /clock; auto = with bag, which then publishes it", ("auto", "true", "false")),
    Argument("rviz", "false", "open RViz with the map, the instances and the images", ("true", "false")),
    Argument(
        "exit_when_done",
        "auto",
        "with bag: end when the bag is mapped and everything is written; auto = unless rviz is open",
        ("auto", "true", "false"),
    ),
    Argument("log_level", "info", "what the nodes log", ("debug", "info", "warn", "error", "fatal")),
)
_FORMS = {bool: " [true or false]", int: " [integer]", float: " [number]", tuple: " [list: a, b or [a, b]]"}
"""How a value of each type is typed; a string says nothing."""


def arguments() -> tuple[Argument, ...]:
    """All launch arguments, in the order in which ``ros2 launch … --show-args`` lists them."""
    known = {**ros_declarations(), **declarations()}
    segmenter = known["segmentation.segmenter"]
    known["segmentation.segmenter"] = dataclasses.replace(
        segmenter,
        default="auto",
        description=f"{segmenter.description}, auto = label_images with segments_dir, else "
        "topic, which ends with an error where nobody publishes masks",
        choices=("auto", *segmenter.choices),
    )
    found = []
    for name in PARAMETERS:
        declaration = known[ALIASES.get(name, name)]
        default = value_text(declaration.default) if declaration.kind is not str else str(declaration.default)
        text = describe(declaration) + _FORMS.get(declaration.kind, "")
        found.append(Argument(name, default, text, declaration.choices, declaration))
    for argument in _LAUNCH_ONLY:
        text = f" [one of {', '.join(argument.choices)}]" if argument.choices else ""
        found.append(dataclasses.replace(argument, description=argument.description + text))
    return tuple(found)


def check_names(given: Mapping[str, str]) -> None:
    """Refuse arguments that do not exist; launch itself would ignore a typing error.

    Raises:
        UsageError: an unknown name, with the nearest known one.
    """
    known = [argument.name for argument in arguments()]
    for name in given:
        if name not in known:
            raise UsageError(f"unknown launch argument {name!r}{nearest(name, known)}; --show-args lists all")


def read_value(argument: Argument, text: str) -> Value:
    """The value of an argument as typed; a list as ``[a, b]`` or ``a, b``.

    Raises:
        UsageError: a value that does not fit.
    """
    if argument.name in PATHS and text:
        return str(Path(text).expanduser())
    declaration = argument.parameter
    if declaration is None:
        if argument.choices and text.lower() not in argument.choices:
            raise UsageError(f"{argument.name}: {text!r} is none of {', '.join(argument.choices)}")
        return text.lower() if argument.choices else text
    return declaration.parse(text)


def plan(given: Mapping[str, str]) -> LaunchPlan:
    """The processes for the arguments that were given; others are ignored.

    Raises:
        UsageError: a value that does not fit, or an unreadable parameter file.
    """
    known = {argument.name: argument for argument in arguments()}
    values = {name: read_value(known[name], text) for name, text in given.items() if name in known}
    only = {a.name: str(values.get(a.name, a.default)) for a in _LAUNCH_ONLY}
    params_file = only["params_file"]
    in_file = read_parameters(Path(params_file)) if params_file else {}
    own = {name: values[name] for name in PARAMETERS if name in values}
    bag = own.get("bag", in_file.get("bag", ""))

    if own.get("segmenter") == "auto" or not {"segmenter", "segmentation.segmenter"} & {*own, *in_file}:
        files = own.get("segments_dir", in_file.get("segments_dir", ""))
        own["segmenter"] = "label_images" if files else "topic"
        if not files and not own.get("segments_topics", in_file.get("segments_topics", ())):
            own["segments_search"] = in_file.get("segments_search", SEARCH_SECONDS)

    sim = bool(in_file.get("use_sim_time", bag)) if only["use_sim_time"] == "auto" else only["use_sim_time"] == "true"
    leave = only["exit_when_done"]
    done = bool(in_file.get("exit_when_done", only["rviz"] != "true")) if leave == "auto" else leave == "true"
    player: dict[str, Value] = {"clock": sim} if bag else {}
    respawn = only["respawn"] == "true"
    if respawn and only["composed"] == "true":
        raise UsageError("respawn:=true starts single nodes again: it needs composed:=false (one process per node)")
    if only["composed"] == "true":
        processes = [Process("pipeline", "", {**own, **player, "use_sim_time": sim, "exit_when_done": done})]
    else:
        cloud = ["cloud_node"] if own.get("cloud_topic", in_file.get("cloud_topic", "")) else []
        processes = [Process(node, node, {**own, "use_sim_time": sim}, respawn) for node in [*NODES, *cloud]]
        if bag:
            # The player makes the time that the others use.
            end: dict[str, Value] = {"use_sim_time": False, "when_done": "finalize", "wait_for": READY}
            processes.append(Process("bag_player", "bag_player", {**own, **player, **end}))
    if only["clicks"] == "true":
        processes.append(Process("prompt_node", "prompt_node", {**own, "use_sim_time": sim}, respawn))
    return LaunchPlan(
        processes=tuple(processes),
        namespace="/" + only["namespace"].strip("/"),
        params_file=params_file,
        rviz=only["rviz"] == "true",
        use_sim_time=sim,
        exit_when_done=bool(bag) and done,
        log_level=only["log_level"],
        file_nodes=_node_names(Path(params_file)) if params_file else (),
    )


def override_file(parameters: Mapping[str, Value], file_nodes: tuple[str, ...] = ()) -> str:
    """A parameter file that beats the one with these node names.

    ROS merges the bodies of one node name and applies them in the order in which the names first appear, whichever is
    more specific. Hence every name is repeated here, and ``/**`` comes along for the nodes that the file does not name.
    """
    body = {name: list(value) if isinstance(value, tuple) else value for name, value in parameters.items()}
    tree = {name: {"ros__parameters": body} for name in dict.fromkeys((*file_nodes, "/**"))}
    # Plain copies, not YAML's anchors, which rcl does not read.
    return "".join(yaml.safe_dump({name: entry}, sort_keys=False, allow_unicode=True) for name, entry in tree.items())


def _node_names(path: Path) -> tuple[str, ...]:
    """The top-level keys of a parameter file."""
    tree = read_yaml(path, error=UsageError)
    if not isinstance(tree, dict):
        return ()
    return tuple(name for name, entry in tree.items() if isinstance(entry, dict) and "ros__parameters" in entry)
