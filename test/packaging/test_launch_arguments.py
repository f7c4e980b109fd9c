"""The table of launch arguments and the processes that follow from what was given; no launch needed."""

import pytest
import yaml

pytest.importorskip("rclpy")

import rclpy
from rclpy.context import Context

from seg2d3d_ros.config import read_parameters
from seg2d3d_ros.errors import UsageError
from seg2d3d_ros.ros.node.launch_arguments import NODES, arguments, check_names, override_file, plan, read_value, restart
from seg2d3d_ros.ros.node.parameters import known_names

pytestmark = pytest.mark.ros


@pytest.fixture
def file(tmp_path):
    def write(text):
        path = tmp_path / "params.yaml"
        path.write_text(text)
        return str(path)

    return write


def parameters(given):
    return {process.executable: dict(process.parameters) for process in plan(given).processes}


def test_the_designs_arguments_are_there_and_described():
    found = {argument.name: argument for argument in arguments()}
    wanted = "bag prompts camera_topics fix_topic segmenter map_dir params_file composed rviz use_sim_time namespace"
    assert set(wanted.split()) <= set(found)
    for argument in found.values():
        assert len(argument.description) > 10, argument.name
        if argument.choices:
            assert argument.description.endswith(f" [one of {', '.join(argument.choices)}]")
        elif argument.parameter is not None and argument.parameter.kind is not str:
            assert argument.description.endswith("]"), f"{argument.name} does not say its type"
        if argument.name != "segmenter" and argument.parameter:
            assert read_value(argument, argument.default) == argument.parameter.default, argument.name
        if argument.choices:
            assert argument.default in argument.choices


def test_one_process_per_node_or_one_for_all():
    assert [p.executable for p in plan({}).processes] == list(NODES)
    assert [p.node for p in plan({}).processes] == list(NODES)
    assert [p.node for p in plan({"cloud_topic": "/lidar"}).processes] == [*NODES, "cloud_node"]
    clicked = plan({"clicks": "true", "map_dir": "there"}).processes
    assert [p.node for p in clicked] == [*NODES, "prompt_node"]
    assert clicked[-1].parameters["map_dir"] == "there"
    both = plan({"clicks": "true", "composed": "true"}).processes
    assert [p.executable for p in both] == ["pipeline", "prompt_node"]
    composed = plan({"composed": "true", "bag": "a.mcap"}).processes
    assert [(p.executable, p.node) for p in composed] == [("pipeline", "")]
    assert composed[0].parameters["bag"] == "a.mcap"


def test_nodes_that_die_are_started_again_where_that_is_asked_for():
    assert not any(process.respawn for process in plan({"bag": "a.mcap"}).processes)
    processes = {process.executable: process for process in plan({"bag": "a.mcap", "respawn": "true"}).processes}
    assert {name for name, process in processes.items() if process.respawn} == set(NODES), "a bag is not played twice"
    node = processes["association_node"]
    assert restart(node, -9) == "association_node was killed (signal 9) and is started again in 2 s"
    assert "exit code 1" in restart(node, 1)
    assert restart(node, 2) == "", "wrong parameters stay wrong"
    assert restart(processes["bag_player"], -9) == ""
    with pytest.raises(UsageError, match="composed:=false"):
        plan({"composed": "true", "respawn": "true"})


def test_a_bag_brings_a_player_that_makes_the_time_and_finalizes():
    found = parameters({"bag": "a.mcap", "rate": "2"})
    assert found["bag_player"]["when_done"] == "finalize"
    assert found["bag_player"]["clock"] is True
    assert found["bag_player"]["rate"] == 2.0
    assert found["bag_player"]["use_sim_time"] is False
    assert all(found[node]["use_sim_time"] is True for node in NODES)
    assert "bag_player" not in parameters({"bag": ""})


def test_time_without_a_bag_is_the_systems_unless_asked():
    assert not plan({}).use_sim_time
    assert plan({"use_sim_time": "true"}).use_sim_time
    wall = parameters({"bag": "a", "use_sim_time": "False"})
    assert wall["bag_player"]["clock"] is False
    assert wall["keyframe_node"]["use_sim_time"] is False


@pytest.mark.parametrize(
    ("given", "text", "expected"),
    [
        ({}, "", "topic"),
        ({"segments_dir": "masks"}, "", "label_images"),
        ({"segmenter": "none", "segments_dir": "masks"}, "", "none"),
        ({}, "/**: {ros__parameters: {segments_dir: masks}}", "label_images"),
        ({}, "/**: {ros__parameters: {segmentation: {segmenter: none}}}", None),
        ({}, "/**: {ros__parameters: {segmenter: none}}", None),
        ({"segmenter": "auto"}, "/**: {ros__parameters: {segmenter: none}}", "topic"),
    ],
)
def test_where_segments_come_from_unless_said(given, text, expected, file):
    given = {**given, "params_file": file(text)} if text else given
    assert parameters(given)["segmentation_node"].get("segmenter") == expected


def test_the_end_after_the_bag():
    assert plan({"bag": "a"}).exit_when_done
    assert not plan({"bag": "a", "rviz": "true"}).exit_when_done
    assert plan({"bag": "a", "rviz": "true", "exit_when_done": "true"}).exit_when_done
    assert not plan({}).exit_when_done
    assert parameters({"composed": "true", "bag": "a"})["pipeline"]["exit_when_done"] is True


def test_what_was_not_given_is_left_to_the_file(file):
    path = file("/**: {ros__parameters: {bag: other.mcap, map_dir: theirs, prompts: [tree], exit_when_done: false}}")
    found = parameters({"params_file": path})
    assert not {"bag", "map_dir", "prompts", "camera_topics", "rate"} & set(found["bag_player"])
    assert found["keyframe_node"]["use_sim_time"] is True, "a bag in the file brings the player too"
    assert not plan({"params_file": path}).exit_when_done


@pytest.mark.parametrize("text", ["[a, /b c]", "a,/b c", " a , /b c "])
def test_lists_are_typed_either_way(text):
    assert parameters({"camera_topics": text})["keyframe_node"]["camera_topics"] == ("a", "/b c")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"segmenter": "topics"}, "did you mean 'topic'"),
        ({"rate": "fast"}, "rate: expected float"),
        ({"rate": "-1"}, "outside"),
        ({"composed": "maybe"}, "composed: 'maybe' is none of"),
        ({"camera_topics": "[a"}, "no usable YAML"),
        ({"params_file": "/nowhere.yaml"}, "nowhere"),
    ],
)
def test_bad_values_are_refused(given, message):
    with pytest.raises(UsageError, match=message):
        plan(given)


def test_unknown_arguments_are_refused_with_the_nearest():
    check_names({"bag": "x", "rviz": "true"})
    with pytest.raises(UsageError, match="'promts'; did you mean 'prompts'"):
        check_names({"promts": "x"})


def test_home_is_understood_in_paths(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert parameters({"bag": "~/a.mcap"})["bag_player"]["bag"] == "/home/me/a.mcap"


@pytest.mark.parametrize(("given", "namespace"), [("/a/b/", "/a/b"), ("a", "/a"), ("", "/"), ("/", "/"), (None, "/seg2d3d")])
def test_namespace(given, namespace):
    assert plan({} if given is None else {"namespace": given}).namespace == namespace


def test_every_override_is_a_parameter_that_the_nodes_know():
    every = {"bag": "a", "composed": "false", "segments_dir": "b", "prompts": "c", "publish_tf": "true", "autostart": "false"}
    for process in (*plan(every).processes, *plan({**every, "composed": "true"}).processes):
        assert set(process.parameters) <= known_names()


FILES = {
    "for all": "/**: {ros__parameters: {map_dir: file}}",
    "for one": "/seg2d3d/keyframe_node: {ros__parameters: {map_dir: file}}",
    "for all, then one": "/**: {ros__parameters: {map_dir: file}}\n/seg2d3d/keyframe_node: {ros__parameters: {map_dir: file}}",
    "for one, then all": "/seg2d3d/keyframe_node: {ros__parameters: {map_dir: file}}\n/**: {ros__parameters: {map_dir: file}}",
    "for a namespace": "/seg2d3d/*: {ros__parameters: {map_dir: file}}",
    "for another": "/seg2d3d/other: {ros__parameters: {map_dir: file}}",
}


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
@pytest.mark.parametrize("given", [True, False])
def test_ros_lets_an_argument_beat_the_file_and_the_file_the_default(text, given, file, tmp_path):
    path = file(text)
    todo = plan({"params_file": path, **({"map_dir": "argument"} if given else {})})
    overrides = tmp_path / "overrides.yaml"
    overrides.write_text(override_file(todo.processes[-1].parameters, todo.file_nodes))
    context = Context()
    rclpy.init(args=["--ros-args", "--params-file", path, "--params-file", str(overrides)], context=context)
    try:
        node = rclpy.create_node("keyframe_node", namespace="/seg2d3d", context=context, start_parameter_services=False)
        found = {name: parameter.value for name, parameter in node._parameter_overrides.items()}
        node.destroy_node()
    finally:
        rclpy.shutdown(context=context)
    concerns = "other" not in text
    assert found.get("map_dir") == ("argument" if given else "file" if concerns else None)


def test_overrides_are_plain_yaml(tmp_path):
    path = tmp_path / "o.yaml"
    path.write_text(override_file({"prompts": ("a", "b"), "rate": 2.0}, ("/x/y", "/**")))
    assert "&" not in path.read_text()
    assert "*i" not in path.read_text()
    assert list(yaml.safe_load(path.read_text())) == ["/x/y", "/**"]
    assert read_parameters(path) == {"prompts": ["a", "b"], "rate": 2.0}
