"""health_monitor: what the supervisor gave up takes the segment to safe mode, by its note."""

import json

import pytest

from eo_nodes.contracts.values import Command

DOMAIN = 90


@pytest.fixture
def bench(bench_of):
    return bench_of(DOMAIN)


def note(bench, *nodes):
    """Write what the supervisor writes, the way it does."""
    path = bench.folder / "test" / "disabled_nodes.json"
    path.parent.mkdir(exist_ok=True)
    part = path.with_suffix(".part")
    part.write_text(json.dumps({"nodes": nodes}))
    part.replace(path)


def health_monitor(bench):
    from eo_nodes.nodes.health_monitor_node import HealthMonitor

    return bench.start(HealthMonitor, check_s=0.1)


def set_nominal(bench):
    bench.say("command", Command(id="c1", opcode="set_mode", arguments_json='{"mode": "nominal"}'))


def modes(bench):
    return [mode.mode for mode in bench.hear("mode")]


def test_m18_f12_a_disabled_node_means_safe_mode_until_a_command(bench):
    events = bench.hear("event")
    bench.hear("mode")
    health_monitor(bench)
    bench.until(lambda: modes(bench) == ["nominal"], "nominal mode")

    note(bench, "/test/compact_lvlm")
    assert json.loads(bench.event("NODE_DISABLED").fields_json) == {"node": "/test/compact_lvlm"}
    bench.until(lambda: modes(bench) == ["nominal", "safe"], "safe mode")

    set_nominal(bench)
    bench.until(lambda: modes(bench)[2:] == ["nominal"], "nominal mode by command")
    note(bench, "/test/compact_lvlm", "/test/tasking")
    bench.until(lambda: modes(bench)[3:] == ["safe"], "safe mode again for another node")
    assert sum(event.id == "NODE_DISABLED" for event in events) == 2


def test_m19_a_node_that_stays_disabled_does_not_undo_the_command_at_the_next_start(bench):
    bench.hear("event")
    bench.hear("mode")
    note(bench, "/test/compact_lvlm")
    first = health_monitor(bench)
    bench.until(lambda: "safe" in modes(bench), "safe mode")
    set_nominal(bench)
    bench.until(lambda: modes(bench)[-1] == "nominal", "nominal mode by command")
    first.trigger_deactivate()
    first.trigger_cleanup()
    assert bench.configure(first)
    assert bench.activate(first)
    seen = len(bench.hear("event"))
    note(bench, "/test/compact_lvlm")
    bench.until(lambda: bench.hear("diagnostics")[5:], "some checks")
    assert modes(bench)[-1] == "nominal"
    assert not [e for e in bench.hear("event")[seen:] if e.id == "NODE_DISABLED"]


def test_a_damaged_note_is_an_event_and_no_more(bench):
    bench.hear("event")
    bench.hear("mode")
    health_monitor(bench)
    bench.folder.joinpath("test", "disabled_nodes.json").write_text('{"nodes": 7}')
    bench.event("INPUT_FAILED", "disabled nodes")
    seen = len(bench.hear("diagnostics"))
    bench.until(lambda: len(bench.hear("diagnostics")) > seen + 3, "further checks")
    assert modes(bench) == ["nominal"]
    assert sum(event.id == "INPUT_FAILED" for event in bench.hear("event")) == 1
