"""The nodes' base: parameters, lifecycle, diagnostics, teardown; over real DDS."""

from __future__ import annotations

import logging
import threading
import time

import pytest

pytest.importorskip("rclpy")

from diagnostic_msgs.msg import DiagnosticArray
from helpers_ros import own_domain, ros, wait_for
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Log
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import Trigger

from seg2d3d_ros.errors import DataError, UsageError
from seg2d3d_ros.ros.node import parameters, qos
from seg2d3d_ros.ros.node.calls import TriggerCaller
from seg2d3d_ros.ros.node.managed_node import ManagedNode
from seg2d3d_ros.ros.node.parameters import KeyframeParameters

pytestmark = pytest.mark.ros
DOMAIN = own_domain()


class Echo(ManagedNode):
    """Echoes text, upper case, through a worker; the text "bad" is an error."""

    PARAMETERS = KeyframeParameters
    SECTIONS = ("keyframes", "segmentation")

    def __init__(self, **options):
        super().__init__("echo", **options)
        self.hooks = []

    def configure(self):
        self.hooks.append("configure")
        if self.ros.fix_topic == "impossible":
            raise DataError("fix_topic is impossible")
        self.publisher = self.advertise(String, "out", qos.KEYFRAMES)
        self.caller = TriggerCaller(self, "somebody/flush")

    def activate(self):
        self.hooks.append("activate")
        self.echoing = self.worker("echoing", self.work, depth=3)
        self.subscribe(String, "in", self.receive, qos.KEYFRAMES)
        self.serve(Trigger, "~/fail", self.fail)

    def deactivate(self):
        self.hooks.append("deactivate")

    def cleanup(self):
        self.hooks.append("cleanup")

    def receive(self, message):
        if message.data == "bad callback":
            raise RuntimeError("callback failed")
        self.echoing.put(message.data)

    def work(self, text):
        if text == "bad":
            raise ValueError("cannot echo this")
        logging.getLogger("seg2d3d_ros.anything").info("echoing %s", text)
        self.publisher.publish(String(data=text.upper()))

    def fail(self, _request, response):
        raise DataError("it failed")


@pytest.fixture
def world():
    with ros(DOMAIN) as made:
        yield made


def transition(world, number):
    return world.call(ChangeState, "/seg2d3d/echo/change_state", ChangeState.Request(transition=Transition(id=number))).success


# Parameters


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"camera_topic": ["/a"]}, r"unknown parameter 'camera_topic'; did you mean 'camera_topics'\?"),
        ({"keyframes__min_motin": 0.1}, "did you mean 'keyframes.min_motion'"),
        ({"keyframes__min_motion": 7.0}, "7.0 is outside 0.0 … 1.0"),
        ({"input_qos": "best"}, "'best' is none of auto, reliable, sensor_data"),
        ({"autostart": 1}, "expected bool, got 1"),
        ({"camera_topics": [1, 2]}, "expected a list of texts"),
    ],
)
def test_bad_parameters_are_refused_with_the_way_out(world, given, words):
    with pytest.raises(UsageError, match=words):
        world.add(Echo, **given)


def test_parameters_come_in_every_spelling_that_command_lines_give(world):
    node = world.add(Echo, camera_topics="/a,/b", prompts=["house"], camera_info_timeout=3, keyframes__min_motion=0.25)
    assert node.ros.camera_topics == ("/a", "/b")
    assert node.ros.camera_info_timeout == 3.0
    assert node.config.keyframes.min_motion == 0.25
    assert node.config.segmentation.prompts == ("house",)
    assert node.get_parameter("segmentation.prompts").value == ["house"]


def test_parameters_of_other_nodes_in_a_shared_file_are_fine_and_not_declared(world):
    node = world.add(Echo, segments_timeout=1.0, association__min_points=5)
    assert not node.has_parameter("segments_timeout")
    assert node.config.association.min_points == 10


def test_an_empty_list_is_a_list_of_texts(world):
    node = world.add(Echo)
    assert node.ros.camera_topics == ()
    assert node.get_parameter("camera_topics").type_ == Parameter.Type.STRING_ARRAY


def test_descriptors_say_what_the_declaration_says(world):
    node = world.add(Echo)
    motion, quality = node.describe_parameters(["keyframes.min_motion", "jpeg_quality"])
    assert (motion.floating_point_range[0].from_value, motion.floating_point_range[0].to_value) == (0.0, 1.0)
    assert motion.description.endswith("[image widths]")
    assert (quality.integer_range[0].from_value, quality.integer_range[0].to_value) == (1, 100)
    assert node.describe_parameter("autostart").read_only
    assert "reliable" in node.describe_parameter("input_qos").additional_constraints


def test_parameters_change_only_while_nothing_was_built_from_them(world):
    node = world.add(Echo)
    change = [Parameter("keyframes.min_motion", value=0.5)]
    assert "read when the node is configured" in node.set_parameters(change)[0].reason
    node.trigger_deactivate()
    node.trigger_cleanup()
    assert "out of range" in node.set_parameters([Parameter("keyframes.min_motion", value=5.0)])[0].reason
    assert "is none of auto" in node.set_parameters([Parameter("input_qos", value="best")])[0].reason
    assert node.set_parameters(change)[0].successful
    node.start()
    assert node.config.keyframes.min_motion == 0.5


def test_every_name_is_known_to_some_node_and_no_two_nodes_disagree_on_a_default():
    defaults = {}
    for cls in parameters.NODE_PARAMETERS:
        for name, declaration in parameters.declarations_of(cls).items():
            assert defaults.setdefault(name, declaration.default) == declaration.default, name
    assert {"camera_topics", "fix_topic", "map_dir", "prompts", "segmenter", "bag", "use_sim_time"} <= parameters.known_names()


# Lifecycle


def test_a_lifecycle_manager_can_drive_the_node(world):
    node = world.add(Echo, autostart=False)
    assert node.state == "unconfigured"
    assert transition(world, Transition.TRANSITION_CONFIGURE)
    assert world.call(GetState, "/seg2d3d/echo/get_state").current_state.label == "inactive"
    assert not transition(world, Transition.TRANSITION_CONFIGURE), "already configured"
    assert transition(world, Transition.TRANSITION_ACTIVATE)
    out = world.collect(String, "out", qos.KEYFRAMES)
    text = world.probe.create_publisher(String, "in", qos.KEYFRAMES)
    assert wait_for(lambda: text.get_subscription_count() and node.publisher.get_subscription_count())
    text.publish(String(data="one"))
    assert wait_for(lambda: [m.data for m in out] == ["ONE"])
    assert transition(world, Transition.TRANSITION_DEACTIVATE)
    assert wait_for(lambda: text.get_subscription_count() == 0), "deactivation releases what activation made"
    assert node.publisher.get_subscription_count() == 1
    assert transition(world, Transition.TRANSITION_ACTIVATE)
    assert wait_for(lambda: text.get_subscription_count() == 1)
    text.publish(String(data="two"))
    assert wait_for(lambda: [m.data for m in out] == ["ONE", "TWO"])
    assert transition(world, Transition.TRANSITION_ACTIVE_SHUTDOWN)
    assert node.state == "finalized"
    assert node.hooks == ["configure", "activate", "deactivate", "activate", "deactivate", "cleanup"]


def test_a_hook_that_fails_leaves_the_node_where_it_was_and_says_why(world):
    node = world.add(Echo, start=False, fix_topic="impossible")
    with pytest.raises(DataError, match="fix_topic is impossible"):
        node.start()
    assert node.state == "unconfigured"
    assert node.diagnostics.last_error == "configure: fix_topic is impossible"
    node.set_parameters([Parameter("fix_topic", value="")])
    node.start()
    assert node.state == "active"


def test_what_a_hook_made_goes_with_its_phase(world):
    node = world.add(Echo)
    for _ in range(2):
        assert (len(list(node.clients)), "/in" in str(node.diagnostics.status().values)) == (1, True)
        node.trigger_deactivate()
        assert (len(list(node.clients)), "/in" in str(node.diagnostics.status().values)) == (1, False)
        node.trigger_cleanup()
        assert len(list(node.clients)) == 0
        node.start()
    assert node.hooks == ["configure", "activate", *["deactivate", "cleanup", "configure", "activate"] * 2]


@pytest.mark.parametrize("label", ["unconfigured", "inactive", "active"])
def test_a_shutdown_calls_the_hooks_that_the_state_owes(world, label):
    node = world.add(Echo, autostart=False)
    steps = {"unconfigured": 0, "inactive": 1, "active": 2}[label]
    for step in (node.trigger_configure, node.trigger_activate)[:steps]:
        step()
    node.trigger_shutdown()
    assert node.hooks[steps:] == ["deactivate", "cleanup"][2 - steps :]
    assert node.state == "finalized"
    assert len(list(node.clients)) == 0


def test_closing_twice_and_in_any_state_is_fine(world):
    for steps in ([], ["trigger_configure"], ["trigger_configure", "trigger_activate"]):
        node = Echo(context=world.context)
        for step in steps:
            getattr(node, step)()
        node.close()
        node.close()
        assert node.hooks[len(steps) :] == ["deactivate", "cleanup"][2 - len(steps) :]


# What goes wrong is seen


def status(messages):
    found = [s for message in messages for s in message.status if s.name == "/seg2d3d/echo"]
    return (found[-1], {v.key: v.value for v in found[-1].values}) if found else (None, {})


def test_exceptions_of_workers_and_callbacks_reach_diagnostics_and_rosout_and_the_work_goes_on(world):
    node = world.add(Echo)
    reports = world.collect(DiagnosticArray, "/diagnostics", qos.DIAGNOSTICS)
    latched = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    logs = world.collect(Log, "/rosout", latched)
    out = world.collect(String, "out", qos.KEYFRAMES)
    text = world.probe.create_publisher(String, "in", qos.KEYFRAMES)
    assert wait_for(lambda: text.get_subscription_count() and node.publisher.get_subscription_count())
    for word in ("bad", "bad callback", "good"):
        text.publish(String(data=word))
        time.sleep(0.05)
    assert wait_for(lambda: [m.data for m in out] == ["GOOD"])
    assert wait_for(lambda: status(reports)[1].get("errors") == "2")
    message, values = status(reports)
    assert message.level == b"\x02"
    assert values["echoing failed"] == "1"
    assert values["echoing done"] == "1"
    assert values["/seg2d3d/in messages"] == "3"
    assert "callback failed" in values["last error"]
    assert wait_for(lambda: any((m.name, m.msg) == ("seg2d3d.echo", "echoing good") for m in logs)), [m.msg for m in logs]
    assert any(m.level == Log.ERROR and "cannot echo this" in m.msg and "Traceback" in m.msg for m in logs)


def test_a_failing_service_answers_with_the_reason(world):
    world.add(Echo)
    answer = world.call(Trigger, "echo/fail")
    assert (answer.success, answer.message) == (False, "service ~/fail: it failed")


def test_a_worker_that_is_too_slow_drops_the_oldest_counts_and_warns(world):
    node = world.add(Echo)
    gate, seen = threading.Event(), []
    worker = node.worker("slow", lambda item: (gate.wait(5), seen.append(item)), depth=2)
    worker.put(0)
    assert wait_for(lambda: worker._busy)
    assert [worker.put(n) for n in (1, 2, 3, 4)] == [True, True, False, False]
    report = node.diagnostics.status()
    assert report.level == b"\x01"
    assert "items that were dropped from a full queue: 2; slow does not keep up: 3 wait" in report.message
    gate.set()
    assert worker.drain(5)
    assert seen == [0, 3, 4]
    assert (worker.dropped, worker.done) == (2, 3)


@pytest.mark.parametrize(
    ("kind", "profile", "words"),
    [
        (None, None, "publishers: 0; is the name right, and the domain id?"),
        (String, qos.KEYFRAMES, "publishers: 1; /seg2d3d/probe publishes std_msgs/msg/String"),
        (Image, qos.INPUT_SENSOR_DATA, "/seg2d3d/probe: you ask for RELIABLE, it offers BEST_EFFORT; set input_qos"),
        (Image, qos.KEYFRAMES, "publishers: 1; silent"),
    ],
)
def test_silence_is_explained_with_topic_publishers_type_and_qos(world, kind, profile, words):
    node = world.add(Echo)
    watched = node.diagnostics.watch("/camera", "sensor_msgs/msg/Image", qos.INPUT_RELIABLE, silence=0.0)
    if kind:
        world.probe.create_publisher(kind, "/camera", profile)
        assert wait_for(lambda: node.count_publishers("/camera"))
    time.sleep(0.1)
    text = node.diagnostics.explain(watched)
    assert text.startswith("no data for 0 s on /camera (sensor_msgs/msg/Image; ")
    assert words in text
    assert node.diagnostics.status().level == b"\x01"


def test_a_slow_stream_is_not_silence_and_the_end_of_a_stream_is_no_warning_in_the_log(world):
    node = world.add(Echo)
    warnings = []
    node.get_logger().warning = lambda text, **_: warnings.append(text)
    watched = node.diagnostics.watch("/camera", "std_msgs/msg/String", qos.KEYFRAMES, silence=0.1)
    publisher = world.probe.create_publisher(String, "/camera", qos.KEYFRAMES)
    assert wait_for(lambda: node.count_publishers("/camera"))
    now = time.monotonic()
    watched.times.extend([now - 2.3, now - 1.3, now - 0.3])
    watched.count = 3
    assert node.diagnostics.status().level == b"\x00"
    watched.times.extend([now - 0.29, now - 0.28, now - 0.27, now - 0.26, now - 0.25, now - 0.24, now - 0.23])
    watched.times.popleft(), watched.times.popleft()
    assert "silent)" in node.diagnostics.status().message
    assert warnings == []
    world.probe.destroy_publisher(publisher)
    assert wait_for(lambda: not node.count_publishers("/camera"))
    assert "publishers: 0" in node.diagnostics.status().message
    assert len(warnings) == 1


def test_automatic_qos_follows_a_best_effort_publisher(world):
    world.probe.create_publisher(Image, "/best", qos.INPUT_SENSOR_DATA)
    world.probe.create_publisher(Image, "/reliable", qos.KEYFRAMES)
    assert wait_for(lambda: world.probe.count_publishers("/best") and world.probe.count_publishers("/reliable"))
    infos = [world.probe.get_publishers_info_by_topic(topic) for topic in ("/best", "/reliable")]
    assert [qos.input_profile("auto", info) for info in infos] == [qos.INPUT_SENSOR_DATA, qos.INPUT_RELIABLE]
    assert qos.input_profile("sensor_data", infos[1]) == qos.INPUT_SENSOR_DATA
    assert qos.input_profile("reliable", infos[0]) == qos.INPUT_RELIABLE


# Processes
