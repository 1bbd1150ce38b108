"""Real nodes in one process: build them, drive them by topics, wait for what they say.

Tests await predicates while the executor spins; nothing sleeps, and a wait that fails says what
was seen in place of what was expected.
"""

import importlib.util
import os
import socket
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

HAS_ROS = (
    importlib.util.find_spec("rclpy") is not None
    and importlib.util.find_spec("spaceverse") is not None
)
WAIT_S = 60.0


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(os.path.dirname(__file__)):
            item.add_marker(pytest.mark.graph)
            if not HAS_ROS:
                item.add_marker(pytest.mark.skip(reason="needs ROS 2 and the built messages"))


class Bench:
    """One DDS domain with an executor, the nodes under test, and a probe that speaks and hears.

    Args:
        domain: DDS domain id.
        folder: for durable state of the nodes.
    """

    def __init__(self, domain, folder):
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.signals import SignalHandlerOptions

        self.domain, self.folder = domain, folder
        self.context = rclpy.Context()
        rclpy.init(
            args=[], context=self.context, domain_id=domain,
            signal_handler_options=SignalHandlerOptions.NO,
        )  # fmt: skip
        self.executor = SingleThreadedExecutor(context=self.context)
        self.nodes = []
        self.probe = rclpy.create_node(
            "probe", namespace="/test", context=self.context, use_global_arguments=False,
            enable_rosout=False,
        )  # fmt: skip
        self.executor.add_node(self.probe)
        self.heard = {}
        self.speakers = {}

    def close(self):
        import rclpy

        for node in reversed(self.nodes):
            if getattr(node, "is_configured_by_test", False):
                node.trigger_shutdown()
            self.executor.remove_node(node)
            node.destroy_node()
        self.executor.shutdown()
        self.probe.destroy_node()
        rclpy.try_shutdown(context=self.context)

    # -- nodes -----------------------------------------------------------------------------------

    def make(self, factory, *args, **parameters):
        """Make a node of namespace /test; parameters by name."""
        from rclpy.parameter import Parameter

        given = {"state_dir": str(self.folder), "heartbeat_s": 60.0, **parameters}
        node = factory(
            *args,
            namespace="/test",
            context=self.context,
            use_global_arguments=False,
            parameter_overrides=[Parameter(name, value=value) for name, value in given.items()],
        )
        self.nodes.append(node)
        self.executor.add_node(node)
        return node

    def configure(self, node):
        from rclpy.lifecycle import TransitionCallbackReturn

        result = node.trigger_configure()
        node.is_configured_by_test = result == TransitionCallbackReturn.SUCCESS
        return node.is_configured_by_test

    def activate(self, node):
        from rclpy.lifecycle import TransitionCallbackReturn

        return node.trigger_activate() == TransitionCallbackReturn.SUCCESS

    def start(self, factory, *args, **parameters):
        """Make a node, configure and activate it."""
        node = self.make(factory, *args, **parameters)
        assert self.configure(node), f"{node.get_name()} refuses to configure"
        assert self.activate(node), f"{node.get_name()} refuses to activate"
        return node

    def stop(self, node):
        """End a node for good; another of its name may start from what is durable."""
        node.trigger_shutdown()
        self.executor.remove_node(node)
        node.destroy_node()
        self.nodes.remove(node)

    # -- topics ----------------------------------------------------------------------------------

    def hear(self, topic):
        """Collect a topic of the table; the list holds values, foreign messages as they are."""
        from eo_nodes.contracts.topics import TOPICS
        from eo_nodes.nodes.convert import to_value
        from eo_nodes.nodes.qos import profile

        if topic not in self.heard:
            row, got = TOPICS[topic], []
            is_own = "/" not in row.type
            self.heard[topic] = got
            self.probe.create_subscription(
                type_of(row.type), f"/test/{topic}" if topic[0] != "/" else topic,
                lambda message: got.append(to_value(message) if is_own else message),
                profile(row.qos),
            )  # fmt: skip
        return self.heard[topic]

    def speaker(self, topic, listeners=1):
        """Publisher of a topic, matched with its listeners."""
        from eo_nodes.contracts.topics import TOPICS
        from eo_nodes.nodes.qos import profile

        if topic not in self.speakers:
            row = TOPICS[topic]
            name = f"/test/{topic}" if topic[0] != "/" else topic
            self.speakers[topic] = self.probe.create_publisher(
                type_of(row.type), name, profile(row.qos)
            )
        made = self.speakers[topic]
        self.until(lambda: made.get_subscription_count() >= listeners, f"a listener on {topic}")
        return made

    def say(self, topic, content):
        """Publish a value or a message as the probe."""
        from eo_nodes.nodes.convert import to_message

        is_value = not hasattr(content, "get_fields_and_field_types")
        self.speaker(topic).publish(to_message(content) if is_value else content)

    # -- waiting ---------------------------------------------------------------------------------

    def until(self, predicate, what, wait_s=WAIT_S):
        """Spin until a predicate holds; return what it returned."""
        deadline_s = time.monotonic() + wait_s
        while not (found := predicate()):
            seen = {topic: got[-5:] for topic, got in self.heard.items() if got}
            assert time.monotonic() < deadline_s, f"no {what} within {wait_s} s; heard: {seen}"
            self.executor.spin_once(timeout_sec=0.02)
        return found

    def event(self, event_id, text="", start=0):
        """Wait for an event by id and a part of its text or fields, from the given place on."""
        events = self.hear("event")

        def find():
            return next(
                (e for e in events[start:] if e.id == event_id and text in e.text + e.fields_json),
                None,
            )

        return self.until(find, f"event {event_id} with {text!r}")

    def only(self, topic, key, value):
        """Wait for the first value on a topic whose field `key` equals `value`."""
        got = self.hear(topic)
        return self.until(
            lambda: next((v for v in got if getattr(v, key) == value), None),
            f"{topic} with {key}={value!r}",
        )


def type_of(name):
    """Message class of a row of the table."""
    from eo_nodes.nodes.convert import message_type

    package, _, short = name.rpartition("/")
    if not package:
        return message_type(name)
    return getattr(importlib.import_module(f"{package}.msg"), short)


@pytest.fixture
def bench_of(tmp_path, monkeypatch):
    """Make benches in given DDS domains; several test runs on one machine do not meet."""
    made = []
    # Every participant allocates its segment in full; small ones do for these messages.
    small = Path(__file__).parents[2] / "config" / "dds" / "shm_small.xml"
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", str(small))

    def make(domain):
        assert 90 <= domain <= 150
        made.append(Bench(domain + os.getpid() % 10, tmp_path))
        return made[-1]

    yield make
    for bench in reversed(made):
        bench.close()


@pytest.fixture
def free_port():
    """Give UDP ports of loopback that nobody listens on."""

    def find():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            return probe.getsockname()[1]

    return find
