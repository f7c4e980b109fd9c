"""Parameters of the nodes: the core's sections as ``section.name``, and what only ROS needs under plain names.

Every node declares what it uses when it is made (so that ``ros2 param`` shows it at once) and reads it when it is
configured. A name that no node knows is refused, so that a typing error cannot go unnoticed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from seg2d3d_ros.config import ALIASES, SECTIONS, Config, declarations, make_config
from seg2d3d_ros.declaration import Declaration, declarations_of, nearest, param
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.ros.watching.message_limits import SizeLimits


def _max_wait() -> Any:
    """The bound of every queue of keyframes on the way to their labels."""
    return param(
        30.0,
        "how long a keyframe may wait to be segmented, and to be taken into the map; then it lets newer ones go first, so that "
        "labels come in time, and follows when none waits, at the latest by flush or finalize; 0 = strictly in turn",
        unit="s",
        low=0.0,
        high=86400.0,
    )


@dataclass(frozen=True)
class CommonParameters(SizeLimits):
    """What every node has."""

    autostart: bool = param(True, "the node configures and activates itself; false leaves it to a lifecycle manager")
    hardware_id: str = param(
        "", "the vehicle's name in /diagnostics, by which a fleet tells its vehicles; empty = the computer's"
    )


@dataclass(frozen=True)
class KeyframeParameters(CommonParameters):
    """keyframe_node."""

    camera_topics: tuple[str, ...] = param(
        (), "image topics, raw or compressed (found out from the graph); empty = every camera in the graph"
    )
    fix_topic: str = param("", "sensor_msgs/NavSatFix topic; empty = the one in the graph, none = no positions")
    input_qos: str = param(
        "auto",
        "quality of service of the camera subscriptions: auto = as the publisher offers",
        choices=("auto", "reliable", "sensor_data"),
    )
    camera_info_timeout: float = param(
        2.0, "how long a camera's first image waits for a camera_info that nobody publishes", unit="s", low=0, high=60
    )
    jpeg_quality: int = param(92, "JPEG quality of keyframes that arrived as raw images", low=1, high=100)


@dataclass(frozen=True)
class SegmentationParameters(CommonParameters):
    """segmentation_node."""

    segments_topics: tuple[str, ...] = param(
        (), "segmentation.segmenter = topic: mono16 label images with the camera image's header, class id * 1000 + k"
    )
    segments_dir: str = param(
        "", "segmentation.segmenter = label_images: the directory of <camera>_<stamp ns>.png; coco: the JSON file"
    )
    resegment_history: int = param(
        2000, "keyframes that are kept on disk while the node is active, for the service resegment", low=0, high=1000000
    )
    segments_timeout: float = param(
        5.0, "how long a keyframe waits for its external segments; then it goes on without any", unit="s", low=0.0, high=600.0
    )
    segments_search: float = param(
        0.0,
        "segmentation.segmenter = topic, segments_topics empty: how long to look for a topic with masks before giving up with "
        "an error; 0 = for ever (launch: segmenter:=auto looks for 20 s)",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    max_wait: float = _max_wait()


@dataclass(frozen=True)
class MapParameters(CommonParameters):
    """Nodes that hold or publish the map."""

    map_dir: str = param("map", "the map directory; an existing map is continued")
    map_frame: str = param("map", "frame_id of everything that lies in the map")


@dataclass(frozen=True)
class ReconstructionParameters(MapParameters):
    """reconstruction_node."""

    publish_tf: bool = param(False, "publish map -> <camera frame>_keyframe of the latest registered keyframe on /tf")
    odom_topic: str = param("", "nav_msgs/Odometry topic: gives metres where there is no GPS; empty = none")
    pose_topic: str = param(
        "",
        "Odometry, PoseWithCovarianceStamped or PoseStamped topic of poses that are better than odometry: the map is in their "
        "frame (reconstruction.trust, keyframes.pose_body); empty = none",
    )
    imu_topic: str = param(
        "",
        "sensor_msgs/Imu topic: what is up, where /tf_static ties it to the cameras (20 messages a second do); empty = none",
    )
    movable_wait: float = param(
        30.0,
        "how long a keyframe waits for its segments where segmentation.movable names classes; then it is used as it is",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    max_wait: float = _max_wait()
    update_every: int = param(
        10, "reconstruction.mode = batch: solve again after at least this many new keyframes", low=1, high=100000
    )
    update_growth: float = param(
        0.3, "solve again after the map has grown by at least this share", unit="share of its keyframes", low=0.0, high=100.0
    )
    update_idle: float = param(3.0, "solve also when no keyframe came for this long", unit="s", low=0.1, high=3600.0)


@dataclass(frozen=True)
class AssociationParameters(MapParameters):
    """association_node."""

    segments_patience: float = param(
        10.0,
        "how long flush waits for the next of the segments that keyframes of the map still lack",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    second_look_patience: float = param(
        60.0,
        "segmentation.second_look: how long flush waits for the next keyframe that is looked at again; "
        "ten times as long for all together",
        unit="s",
        low=0.0,
        high=3600.0,
    )


@dataclass(frozen=True)
class CloudParameters(MapParameters):
    """cloud_node."""

    cloud_topic: str = param("", "sensor_msgs/PointCloud2 topic of a LiDAR, whose scans get the labels; empty = none")
    cloud_queue: int = param(
        600, "scans that may wait for the map (about half a megabyte each); beyond it the oldest is dropped", low=1, high=100000
    )
    cloud_delay: float = param(
        8.0,
        "how much of the drive after a scan must be in the map before it is labelled live: labels of a young map are poor; "
        "gaps between keyframes count as cloud.max_gap at most; 0 = keyframes on both sides are enough",
        unit="s",
        low=0.0,
        high=3600.0,
    )
    cloud_disk: float = param(
        8.0,
        "room for scans in MAP/scans, from which finalize writes MAP/cloud.ply; beyond it the oldest go; 0 = no cloud.ply",
        unit="GB",
        low=0.0,
        high=100000.0,
    )


@dataclass(frozen=True)
class WordsParameters(MapParameters):
    """words_node."""

    find_words: str = param("", "what the service ~/find looks for; the topic words/query asks for something else at any time")
    find_top: int = param(10, "how many instances an answer has", low=1, high=65535)
    classify_labels: str = param("", "names, with commas between them, that the service ~/classify chooses from")


@dataclass(frozen=True)
class PromptParameters(MapParameters):
    """prompt_node."""

    click_topic: str = param(
        "/clicked_point",
        "geometry_msgs/PointStamped topic of clicks on an object: places in map_frame, as RViz sends them, or pixels of the "
        "keyframe with the click's header",
    )
    negative_topic: str = param("prompts/negative", "the same for clicks on what is not the object that was asked for last")
    prompt_instance: int = param(
        0,
        "what a click on a topic refines: 0 = nothing, it asks for a new object; -1 = the object that was asked for last; else "
        "the instance of that id",
        low=-1,
        high=65535,
    )
    prompt_request: str = param(
        "",
        'what the service ~/ask asks for, as JSON: {"image": NAME, "click": [[X, Y]], …}; prompts/request takes it, too',
    )


@dataclass(frozen=True)
class PlayerParameters(CommonParameters):
    """bag_player."""

    bag: str = param("", "rosbag2 directory or .mcap/.db3 file, or a rosbag1 file")
    rate: float = param(1.0, "speed; 2 = twice as fast as recorded", low=0.01, high=1000.0)
    loop: bool = param(False, "start again at the end, for ever")
    clock: bool = param(False, "publish /clock for nodes with use_sim_time")
    topics: tuple[str, ...] = param((), "play only these topics; empty = all")
    start_paused: bool = param(False, "wait for the service ~/resume before playing")
    subscriber_timeout: float = param(
        20.0,
        "how long to wait for a subscriber of every played image topic, and for wait_for, before playing anyway",
        unit="s",
        low=0,
        high=3600,
    )
    wait_for: tuple[str, ...] = param(
        (), "services to wait for before playing, too (e.g. finalize): nodes that must not miss the beginning"
    )
    when_done: str = param(
        "exit", "at the end: exit, or call the finalize service, wait for its answer and exit", choices=("exit", "finalize")
    )
    finalize_timeout: float = param(1800.0, "how long finalize may take", unit="s", low=1.0, high=86400.0)


@dataclass(frozen=True)
class PipelineParameters(PlayerParameters):
    """pipeline: all nodes in one process, and a bag_player in another one where ``bag`` is given."""

    exit_when_done: bool = param(False, "end the process when the bag is mapped and everything is written")


NODE_PARAMETERS: tuple[type[CommonParameters], ...] = (
    KeyframeParameters,
    SegmentationParameters,
    ReconstructionParameters,
    AssociationParameters,
    CloudParameters,
    WordsParameters,
    PromptParameters,
    PlayerParameters,
    PipelineParameters,
)

_BUILT_IN = ("use_sim_time", "start_type_description_service")
_BUILT_IN_PREFIXES = ("qos_overrides.", "diagnostic_updater.")


def known_names() -> set[str]:
    """Every parameter name that some node of the package understands."""
    names = {*declarations(), *ALIASES, *_BUILT_IN}
    for cls in NODE_PARAMETERS:
        names.update(declarations_of(cls))
    return names


def node_declarations(ros: type[CommonParameters], sections: Iterable[str]) -> dict[str, Declaration]:
    """What a node with these ROS-only parameters and core sections declares, by name."""
    found = declarations_of(ros)
    for section in sections:
        found.update(declarations_of(SECTIONS[section], f"{section}."))
    return found


def descriptor(declaration: Declaration) -> ParameterDescriptor:
    """Description, unit, range and choices in ROS's terms."""
    text = declaration.description + (f" [{declaration.unit}]" if declaration.unit else "")
    message = ParameterDescriptor(name=declaration.key, description=text)
    message.additional_constraints = f"one of: {', '.join(declaration.choices)}" if declaration.choices else ""
    if declaration.low is not None and declaration.high is not None:
        if declaration.kind is int:
            message.integer_range = [IntegerRange(from_value=int(declaration.low), to_value=int(declaration.high), step=0)]
        elif declaration.kind is float:
            limits = FloatingPointRange(from_value=float(declaration.low), to_value=float(declaration.high), step=0.0)
            message.floating_point_range = [limits]
    message.read_only = declaration.key == "autostart"
    return message


def _checked(declaration: Declaration, value: Any) -> Any:
    """``value`` in the declared type; a list may be given as one text (``a, b`` or ``[a, b]``), or empty as nothing at all."""
    if declaration.kind is tuple:
        if value is None:
            return ()
        if isinstance(value, str):
            return declaration.parse(value)
        return declaration.check([item for item in list(value) if item != ""])
    return declaration.check(value)


def declare_all(node: Node, ros: type[CommonParameters], sections: Sequence[str] = (), changeable: Sequence[str] = ()) -> None:
    """Declare a node's parameters with the values of its overrides.

    Args:
        changeable: these are declared under their short name, too, if they have one, so that ``ros2 param set`` knows the
            name that the command line knows.

    Raises:
        UsageError: an override that no node knows (with the nearest known name), or a value that does not fit.
    """
    # Initial values from the command line, parameter files and the constructor; rclpy has no public getter for them.
    overrides, known = {name: given.value for name, given in node._parameter_overrides.items()}, known_names()
    for name in overrides:
        if name not in known and not name.startswith(_BUILT_IN_PREFIXES) and not node.has_parameter(name):
            raise UsageError(f"{node.get_name()}: unknown parameter {name!r}{nearest(name, known)}")
    for alias, name in ALIASES.items():
        if alias in overrides:
            overrides[name] = overrides[alias]
    found = node_declarations(ros, sections)
    for alias, name in ALIASES.items():
        if name in found and name in changeable:
            found[alias] = dataclasses.replace(found[name], key=alias, description=f"short for {name}")
            overrides |= {alias: overrides[name]} if name in overrides else {}
    for name, declaration in found.items():
        if node.has_parameter(name):
            continue
        value: Any = _checked(declaration, overrides[name]) if name in overrides else declaration.default
        if declaration.kind is tuple:
            # Declared by type and set afterwards: rclpy takes the type of an empty list for a byte array.
            node.declare_parameter(name, Parameter.Type.STRING_ARRAY, descriptor(declaration), ignore_override=True)
            node.set_parameters([Parameter(name, Parameter.Type.STRING_ARRAY, list(value))])
        else:
            node.declare_parameter(name, value, descriptor(declaration), ignore_override=True)


def read_all(node: Node, ros: type[CommonParameters], sections: Sequence[str] = ()) -> tuple[Any, Config]:
    """The present values: an instance of ``ros``, and the core's configuration (defaults in undeclared sections).

    Raises:
        UsageError: a value that does not fit.
    """
    found = node_declarations(ros, sections)
    values = {name: _checked(found[name], node.get_parameter(name).value) for name in found}
    own = {name: value for name, value in values.items() if "." not in name}
    return ros(**own), make_config({name: value for name, value in values.items() if "." in name})


def with_both_names(changes: Sequence[Parameter], changeable: Sequence[str]) -> list[Parameter]:
    """Changes as they are made: of parameters with a short name both names change, and a list may be given as one text."""
    short = {name: alias for alias, name in ALIASES.items() if name in changeable}
    made = []
    for change in changes:
        name = ALIASES.get(change.name, change.name)
        if name not in short:
            made.append(change)
            continue
        declaration, value = declarations()[name], change.value
        if declaration.kind is tuple and isinstance(value, str):
            try:
                value = list(declaration.parse(value))  # type: ignore[arg-type]
            except UsageError:
                return [change]  # whose check says what is wrong
        kind = Parameter.Type.STRING_ARRAY if declaration.kind is tuple and value == [] else None
        made += [Parameter(key, kind, value) for key in (short[name], name)]
    return made


def check_change(
    changes: Sequence[Parameter],
    ros: type[CommonParameters],
    sections: Sequence[str],
    configured: bool,
    changeable: Sequence[str] = (),
) -> SetParametersResult:
    """Answer to a request to change parameters: only values that fit, and only while nothing was built from the old ones.

    Args:
        changeable: these may be changed at any time.
    """
    found = node_declarations(ros, sections)
    for change in changes:
        if change.name not in found:
            continue
        if configured and change.name not in changeable:
            reason = f"{change.name} is read when the node is configured: deactivate and clean it up first"
            return SetParametersResult(successful=False, reason=reason)
        try:
            _checked(found[change.name], change.value)
        except UsageError as error:
            return SetParametersResult(successful=False, reason=str(error))
    return SetParametersResult(successful=True)
