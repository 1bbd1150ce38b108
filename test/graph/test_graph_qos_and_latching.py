"""One QoS table: a mismatch fails activation, late joiners get latched state."""

from types import SimpleNamespace

import pytest

from eo_nodes.contracts.topics import TOPICS
from eo_nodes.contracts.values import Answer, ContactPlan, Event, Task

DOMAIN = 110


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


def best_effort(bench, topic, kind):
    """A foreign publisher that offers less than the table says."""
    from rclpy.qos import QoSProfile, ReliabilityPolicy

    from eo_nodes.nodes.convert import message_type

    return bench.probe.create_publisher(
        message_type(kind),
        f"/test/{topic}",
        QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT),
    )


def tasking(bench):
    from eo_nodes.nodes.tasking_node import Tasking

    return bench.make(Tasking)


def test_m34_incompatible_publisher_fails_the_activation(bench):
    best_effort(bench, "task", "Task")
    node = tasking(bench)
    bench.hear("event")
    assert bench.configure(node)
    event = bench.event("QOS_INCOMPATIBLE", "task")
    assert event.source == "tasking"
    assert not bench.activate(node)
    assert not node.is_active


def test_m34_incompatible_publisher_of_a_running_node_is_an_event(bench):
    node = tasking(bench)
    bench.hear("event")
    assert bench.configure(node) and bench.activate(node)
    best_effort(bench, "scene", "Scene")
    bench.event("QOS_INCOMPATIBLE", "scene")
    assert node.is_active, "what runs goes on"


def test_m34_incompatible_listener_of_a_running_node_is_an_event(bench):
    """The other end: a listener that wants more than a speaker offers."""
    from rclpy.qos import DurabilityPolicy, QoSProfile

    from eo_nodes.nodes.convert import message_type

    node = tasking(bench)
    bench.hear("event")
    assert bench.configure(node) and bench.activate(node)
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    bench.probe.create_subscription(
        message_type("Request"), "/test/request", lambda _: None, latched
    )
    bench.event("QOS_INCOMPATIBLE", "request")
    assert node.is_active


def test_m34_ends_made_from_the_table_fit_each_other(bench):
    """No event about quality of service among nodes that use the table, whoever comes first."""
    from eo_nodes.nodes.confidence_node import Confidence

    node = tasking(bench)
    bench.hear("event")
    gate = bench.make(
        Confidence, policy="fixed", gate_accept=[0.9, 0.8, 0.7], gate_reject=[0.1, 0.2])
    for one in (node, gate):
        assert bench.configure(one) and bench.activate(one)
    for topic in ("request", "verdict", "final"):
        bench.hear(topic)
    bench.say("task", Task(id="t1", prompt="what?", consumer="ground", max_answers=1))
    bench.event("TASK_ACCEPTED", "t1")
    assert not [e for e in bench.heard["event"] if e.id == "QOS_INCOMPATIBLE"]


@pytest.mark.parametrize("topic", sorted(TOPICS))
def test_m34_profiles_say_what_the_table_says(topic):
    from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy

    from eo_nodes.nodes.qos import profile

    row, made = TOPICS[topic].qos, profile(TOPICS[topic].qos)
    assert (made.reliability == ReliabilityPolicy.RELIABLE) is row.reliable
    assert (made.durability == DurabilityPolicy.TRANSIENT_LOCAL) is row.latched
    assert (made.history, made.depth) == (HistoryPolicy.KEEP_LAST, row.depth)


def test_m34_late_console_gets_the_plan_that_was_made_before(bench):
    from eo_nodes.nodes.contact_planner_node import ContactPlanner

    planner = bench.start(
        ContactPlanner, satellite="skybee_1", stations=["svalbard", "troll"], horizon_h=24.0
    )
    assert planner.is_active
    plans = bench.hear("contact_plan")  # only now somebody listens
    plan = bench.until(lambda: plans, "the latched plan")[0]
    assert isinstance(plan, ContactPlan) and len(plan.contacts) >= 4
    assert max(c.aos_ns for c in plan.contacts) - plan.stamp_ns > 12 * 3600 * 10**9
    assert [c.aos_ns for c in plan.contacts] == sorted(c.aos_ns for c in plan.contacts)


def test_m34_late_joiner_gets_the_whole_history_in_order(bench):
    """More than one sample, and more than a depth of 1 would keep (F17)."""
    count = 150
    publisher = bench.speaker("final", listeners=0)
    from eo_nodes.nodes.convert import to_message

    for number in range(count):
        publisher.publish(to_message(Answer(id=f"ans-{number:03}", origin="ground")))
    finals = bench.hear("final")
    bench.until(lambda: len(finals) >= count, f"{count} latched answers")
    assert [answer.id for answer in finals] == [f"ans-{n:03}" for n in range(count)]


def test_m34_node_that_comes_late_serves_tasks_that_were_asked_before(bench):
    publisher = bench.speaker("task", listeners=0)
    from eo_nodes.nodes.convert import to_message

    publisher.publish(
        to_message(Task(id="early", prompt="what?", consumer="ground", max_answers=1))
    )
    bench.hear("event")
    node = tasking(bench)
    assert bench.configure(node) and bench.activate(node)
    bench.event("TASK_ACCEPTED", "early")


def test_m35_messages_between_configure_and_activate_are_handled_at_activation(bench):
    node = tasking(bench)
    bench.hear("event")
    assert bench.configure(node)
    bench.say("task", Task(id="waiting", prompt="what?", consumer="ground", max_answers=1))
    bench.until(lambda: node._received["/test/task"] == 1, "the task at the inactive node")
    assert not [event for event in bench.heard["event"] if event.id == "TASK_ACCEPTED"]
    assert bench.activate(node)
    bench.event("TASK_ACCEPTED", "waiting")


def test_m35_refused_configuration_is_an_event_and_can_be_repeated(bench, tmp_path):
    from eo_nodes.nodes.compact_lvlm_node import CompactLvlm

    events = bench.hear("event")
    node = bench.make(CompactLvlm, model_dir=str(tmp_path))
    assert not bench.configure(node)
    bench.event("TRANSITION_REFUSED", "configure")
    assert not bench.configure(node)
    bench.until(
        lambda: sum(event.id == "TRANSITION_REFUSED" for event in events) == 2, "a second refusal"
    )


def test_m35_node_goes_down_and_up_again_with_one_listener_each(bench):
    node = tasking(bench)
    events = bench.hear("event")
    for _ in range(2):
        assert bench.configure(node) and bench.activate(node)
        node.trigger_deactivate()
        node.trigger_cleanup()
        node.is_configured_by_test = False
    assert bench.configure(node) and bench.activate(node)
    bench.say("task", Task(id="once", prompt="what?", consumer="ground", max_answers=1))
    bench.event("TASK_ACCEPTED", "once")
    assert node._received["/test/task"] == 1
    assert sum(event.id == "TASK_ACCEPTED" for event in events) == 1


@pytest.mark.parametrize("name", ["tasking", "camera_ingest", "archive", "health_monitor"])
def test_m35_shutdown_works_from_every_state(bench, name):
    from rclpy.lifecycle import TransitionCallbackReturn

    from eo_nodes.nodes.container import factory_of

    ok = TransitionCallbackReturn.SUCCESS
    untouched = bench.make(factory_of(name))
    assert untouched.trigger_shutdown() == ok
    cleaned = bench.make(factory_of(name))
    assert bench.configure(cleaned)
    assert cleaned.trigger_cleanup() == ok
    assert cleaned.trigger_shutdown() == ok
    active = bench.start(factory_of(name))
    assert active.trigger_shutdown() == ok
    for node in (untouched, cleaned, active):
        node.is_configured_by_test = False


def test_m21_event_of_a_node_says_who_when_and_how_bad(bench):
    node = tasking(bench)
    bench.hear("event")
    assert bench.configure(node) and bench.activate(node)
    event = bench.event("NODE_ACTIVE", "tasking")
    assert (event.source, event.severity) == ("tasking", Event.INFO)
    assert event.stamp_ns > 1_700_000_000_000_000_000


def test_m34_fault_is_kept_when_it_comes_before_anybody_hears_it(bench):
    """The state of the node decides, not whether its event was heard."""
    node = tasking(bench)
    assert bench.configure(node)
    node._on_qos("task", SimpleNamespace(last_policy_kind=1))
    assert not bench.activate(node)
