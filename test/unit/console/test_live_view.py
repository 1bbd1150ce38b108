"""The live view: one line an answer without a terminal, a layout on one."""

from __future__ import annotations

import io
import re

from eo_nodes.console.live import LiveView
from eo_nodes.contracts.values import Answer, Contact, ContactPlan, Event, LinkState, QueueState

S_NS = 10**9
T0_NS = 1_791_158_400 * S_NS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def feed(view: LiveView) -> None:
    view.update(
        ContactPlan(
            contacts=(Contact(id="c", station="svalbard", aos_ns=T0_NS, los_ns=T0_NS + 400 * S_NS),)
        )
    )
    view.update(LinkState(station="svalbard", locked=True, stamp_ns=T0_NS))
    view.update(QueueState(total=3, queued_bytes=1500))
    view.update(Answer(id="p", status=Answer.PROVISIONAL, text="maybe", origin="onboard"))
    for index, status in enumerate((Answer.FINAL, Answer.FINAL, Answer.REFUSED)):
        view.update(
            Answer(
                id=f"a{index}",
                status=status,
                origin="onboard" if index else "ground",
                prompt=f"question {index}",
                text="three",
                reason="too late",
                stamp_ns=T0_NS + index * S_NS,
            )
        )
    view.update(Answer(id="a0", status=Answer.FINAL, text="again", origin="ground"))


def test_one_line_an_answer_without_a_terminal():
    stream = io.StringIO()
    with LiveView("run", 3, stream=stream, is_right=lambda answer: answer.id == "a0") as view:
        feed(view)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "run"
    assert lines[1] == "2026-10-05T00:00:00Z AOS svalbard"
    assert [line[-1] for line in lines[2:4]] == ["✓", "✗"]
    assert lines[4].endswith("refused: too late")
    assert len(lines) == 5, "a repeat of a final answer, or a provisional one, got a line"


def test_only_events_worth_knowing_get_a_line():
    stream = io.StringIO()
    with LiveView("run", stream=stream) as view:
        view.update(Event(id="SCENE_CAPTURED", severity=Event.INFO))
        view.update(Event(id="NODE_LOST", severity=Event.ERROR, source="tasking"))
    assert "NODE_LOST" in stream.getvalue()
    assert "SCENE_CAPTURED" not in stream.getvalue()


def test_a_terminal_gets_a_layout(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream = Terminal()
    with LiveView("run", 3, stream=stream) as view:
        assert view.is_live
        feed(view)
        view.clock(T0_NS + 60 * S_NS, 50.0)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())
    assert "3 of 3 answered: 1 on board, 1 on the ground, 1 refused" in text
    assert "2026-10-05T00:01:00Z  x50" in text
    assert re.search(r"svalbard\s+now", text)
    assert "3 products, 1.5 kB" in text
