"""Prompts and model text must not drive the operator's terminal."""

from __future__ import annotations

import io

import pytest

from eo_nodes.console.live import LiveView
from eo_nodes.console.show import answer_lines, event_line, queue_table, show, table
from eo_nodes.console.text import clean, size, span, utc
from eo_nodes.contracts.values import Answer, Event, QueueEntry, QueueState, Step

TITLE = "\x1b]0;owned\x07"
WIPE = "\x1b[2J\x1b[H"
CSI_8BIT = "\x9b31m"
BIDI = "\u202etxt.exe\u2066"
EVIL = f"{TITLE}{WIPE}{CSI_8BIT}{BIDI}\b\b\r\n[bold red]x[/]\x00\ud800"
FORBIDDEN = [*map(chr, (*range(32), *range(127, 160))), "\u202e", "\u2066", "\ud800"]


def assert_harmless(text: str) -> None:
    found = sorted({char for char in text if char in FORBIDDEN and char != "\n"})
    assert not found, f"control characters got through: {found!r}"


def test_control_characters_become_escapes():
    assert clean("a\x1b[31mb\x9bc") == "a\\x1b[31mb\\x9bc"
    assert clean("\u202eabc") == "\\u202eabc"
    assert clean("one\r\ntwo\tthree") == "one  two three"


def test_readable_text_stays():
    assert clean("3 Schiffe, 船, ⛵ [ok]") == "3 Schiffe, 船, ⛵ [ok]"


def test_limit_counts_what_is_printed():
    assert clean("\x1b" * 10, limit=9) == "\\x1b\\x1b…"


EVIL_ANSWER = Answer(
    id=EVIL, request_id=EVIL, task_id=EVIL, scene_id=EVIL, prompt=EVIL, text=EVIL, reason=EVIL,
    model_id=EVIL, model_digest=EVIL, spatial=EVIL, origin="ground", confidence=(0.5,),
    steps=(Step(name=EVIL, stamp_ns=1),),
)  # fmt: skip


@pytest.mark.parametrize("status", [Answer.FINAL, Answer.REFUSED])
def test_answers_print_harmlessly(status):
    import dataclasses

    assert_harmless("\n".join(answer_lines(dataclasses.replace(EVIL_ANSWER, status=status))))


def test_tables_and_events_print_harmlessly_and_without_markup():
    stream = io.StringIO()
    state = QueueState(
        satellite=EVIL, total=1, entries=(QueueEntry(product_id=EVIL, kind=EVIL, state=EVIL),)
    )
    show(queue_table(state), stream)
    show(table(["a"], [[EVIL]]), stream)
    show(event_line(Event(id=EVIL, source=EVIL, text=EVIL)), stream)
    show(EVIL, stream)
    assert_harmless(stream.getvalue())
    assert stream.getvalue().count("[bold red]x[/]") >= 4


def test_live_view_prints_harmlessly_without_a_terminal():
    stream = io.StringIO()
    with LiveView(EVIL, 1, stream=stream) as view:
        view.note(EVIL)
        view.update(EVIL_ANSWER)
        view.update(Event(id=EVIL, severity=Event.ERROR, source=EVIL, text=EVIL))
    assert_harmless(stream.getvalue())


def test_numbers_for_people():
    assert utc(0) == "-"
    assert utc(1_791_158_400_000_000_000) == "2026-10-05T00:00:00Z"
    assert [size(n) for n in (0, 999, 1500, 2_600_000)] == ["0 B", "999 B", "1.5 kB", "2.6 MB"]
    assert [span(s) for s in (3.21, 75, 3720)] == ["3.2 s", "1 min 15 s", "1 h 02 min"]
