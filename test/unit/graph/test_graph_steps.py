"""Steps of the bring-up as lines of JSON."""

from __future__ import annotations

from eo_nodes.graph.steps import StepLines


def test_steps_are_cut_at_line_ends_wherever_chunks_end():
    text = b'{"stage": "active", "node": "/a"}\n{"stage": "lost", "node": "/b"}\n'
    for cut in range(len(text)):
        lines = StepLines()
        steps = [*lines.feed(text[:cut]), *lines.feed(text[cut:])]
        assert [step["stage"] for step in steps] == ["active", "lost"]


def test_what_is_no_step_becomes_a_note():
    steps = StepLines().feed(b'warning: x\n[1]\n{"node": 1}\n{"stage": 2}\n\xff\n{"stage')
    assert [step["stage"] for step in steps] == ["note"] * 5
    assert steps[0]["text"] == "warning: x"
