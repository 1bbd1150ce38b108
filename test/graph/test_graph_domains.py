"""Flight and ground are separate DDS domains: nothing of one is heard in the other."""

from eo_nodes.contracts.values import Event, Task

SPACE, GROUND = 120, 130


def test_m36_two_domains_hear_nothing_of_each_other(bench_of):
    from eo_nodes.nodes.tasking_node import Tasking

    space, ground = bench_of(SPACE), bench_of(GROUND)
    assert space.domain != ground.domain
    for bench in (space, ground):
        bench.hear("event")
        bench.hear("task")
    space.start(Tasking)
    # The same names in both domains, so only the domain keeps them apart.
    for number in range(20):
        space.say("task", Task(id=f"t{number}", prompt="what?", consumer="ground", max_answers=1))
    space.until(lambda: len(space.heard["task"]) == 20, "all tasks in the domain they were said in")
    space.event("TASK_ACCEPTED", "t19")
    # The ground's own message comes through; what was said before it elsewhere never does.
    ground.say("event", Event(id="AOS", text="own"))
    ground.event("AOS", "own")
    assert ground.heard["task"] == []
    assert [event.text for event in ground.heard["event"]] == ["own"]
    assert [event for event in space.heard["event"] if event.id == "AOS"] == []


def test_m36_nodes_of_the_other_domain_cannot_be_seen(bench_of):
    from eo_nodes.nodes.tasking_node import Tasking

    space, ground = bench_of(SPACE), bench_of(GROUND)
    space.start(Tasking)
    space.until(lambda: space.probe.count_publishers("/test/request"), "the node in its own domain")
    ground.speaker("task", listeners=0)
    for _ in range(20):
        ground.executor.spin_once(timeout_sec=0.02)
    assert ("tasking", "/test") not in ground.probe.get_node_names_and_namespaces()
    assert ground.probe.count_publishers("/test/request") == 0
    assert ground.speakers["task"].get_subscription_count() == 0
