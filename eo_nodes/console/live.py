"""The demo in the terminal: clock, passes, link, queue, answers as they come.

On a terminal a layout of rich that is drawn again a few times a second; anywhere else (a file,
CI) one plain line an answer, contact or event worth knowing. Values are fed in, from any thread;
nothing here subscribes to anything.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from eo_nodes.contracts.values import (
    Answer,
    Contact,
    ContactPlan,
    Event,
    LinkState,
    QueueState,
)

from .show import answer_line, contact_row, event_line
from .text import clean, size, span, utc

_NARROW = 100
_STYLES = {Answer.PROVISIONAL: "yellow", Answer.FINAL: "green", Answer.REFUSED: "red"}


class LiveView:
    """Show a run while it goes.

    Args:
        title: first line.
        total_tasks: answers expected, for the progress bar; 0 when unknown.
        stream: where to print; stdout.
        is_right: answer -> True, False or None (no truth known), to mark answers.
    """

    def __init__(
        self,
        title: str,
        total_tasks: int = 0,
        *,
        stream: TextIO | None = None,
        is_right: Callable[[Answer], bool | None] | None = None,
    ) -> None:
        self.title, self.total = clean(title), total_tasks
        self._stream = stream or sys.stdout
        self._is_right = is_right
        self._lock = threading.Lock()
        self._now_ns = 0
        self._rate = 0.0
        self._finals: dict[str, Answer] = {}
        self._answers: deque[Text] = deque(maxlen=60)
        self._events: deque[Text] = deque(maxlen=4)
        self._plan = ContactPlan()
        self._link = LinkState()
        self._queue = QueueState()
        self._note = ""
        self._console = Console(file=self._stream, highlight=False)
        self._live: Live | None = None

    @property
    def is_live(self) -> bool:
        """True when drawn on a terminal, False for plain lines."""
        return bool(self._console.is_terminal) and not self._console.is_dumb_terminal

    def __enter__(self) -> LiveView:
        if self.is_live:
            self._live = Live(
                get_renderable=self._draw,
                console=self._console,
                refresh_per_second=4,
                screen=False,
                transient=False,
            )
            self._live.start()
        else:
            self._line(self.title)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def note(self, text: str) -> None:
        """Say what the run is doing now (starting, waiting for nodes, writing the report)."""
        with self._lock:
            self._note = clean(text)
        if self._live is None:
            self._line(self._note)

    def clock(self, now_ns: int, rate: float = 0.0) -> None:
        """Take the orbital time, and how much faster than the wall clock it runs."""
        with self._lock:
            self._now_ns, self._rate = now_ns, rate

    def update(self, value: Any) -> None:
        """Take any contracts value; kinds that are not shown are ignored."""
        with self._lock:
            line = self._take(value)
        if line is not None and self._live is None:
            self._line(line.plain)

    def _line(self, text: str) -> None:
        print(text, file=self._stream, flush=True)

    def _take(self, value: Any) -> Text | None:
        """Keep a value; return a line where it is worth one."""
        self._now_ns = max(self._now_ns, getattr(value, "stamp_ns", 0))
        if isinstance(value, Answer):
            return self._take_answer(value)
        if isinstance(value, Event):
            line = event_line(value)
            if value.severity >= Event.WARNING:
                self._events.append(line)
                return line
        elif isinstance(value, LinkState):
            changed = value.locked != self._link.locked
            self._link = value
            if changed:
                state = "AOS" if value.locked else "LOS"
                return Text(f"{utc(value.stamp_ns)} {state} {clean(value.station)}")
        elif isinstance(value, ContactPlan):
            self._plan = value
        elif isinstance(value, QueueState):
            self._queue = value
        return None

    def _take_answer(self, answer: Answer) -> Text | None:
        if answer.id in self._finals:  # both segments tell of it
            return None
        line = Text(answer_line(answer), style=_STYLES[answer.status], no_wrap=True)
        if answer.status == Answer.PROVISIONAL:
            return None
        self._finals[answer.id] = answer
        is_final = answer.status == Answer.FINAL
        right = self._is_right(answer) if is_final and self._is_right is not None else None
        if right is not None:
            line.append(" ✓" if right else " ✗", style="bold green" if right else "bold red")
        self._answers.append(line)
        return line

    def _draw(self) -> Any:
        with self._lock:
            width, height = self._console.size
            shown = max(height - 18, 4)
            parts = [
                Panel(self._head(), title=Text(self.title), title_align="left"),
                self._middle(width),
                Panel(
                    Group(*list(self._answers)[-shown:]) if self._answers else Text("none yet"),
                    title=f"answers, the last {shown}",
                    title_align="left",
                ),
            ]
            if self._events:
                parts.append(Panel(Group(*self._events), title="events", title_align="left"))
            return Group(*parts)

    def _head(self) -> Any:
        row = Table.grid(expand=True)
        row.add_column()
        row.add_column(justify="right")
        rate = f"  x{self._rate:.0f}" if self._rate else ""
        finals = self._finals.values()
        refused = sum(answer.status == Answer.REFUSED for answer in finals)
        ground = sum(a.origin == "ground" and a.status == Answer.FINAL for a in finals)
        onboard = len(self._finals) - refused - ground
        total = f" of {self.total}" if self.total else ""
        counts = (
            f"{len(self._finals)}{total} answered: {onboard} on board, {ground} on the ground, "
            f"{refused} refused"
        )
        row.add_row(Text(f"{utc(self._now_ns)}{rate}", style="bold"), Text(counts))
        bar = ProgressBar(total=self.total or 1, completed=len(self._finals))
        return Group(row, bar, Text(self._note, style="dim")) if self._note else Group(row, bar)

    def _middle(self, width: int) -> Any:
        panels = (
            Panel(self._passes(), title="contacts", title_align="left"),
            Panel(self._traffic(), title="link and queue", title_align="left"),
        )
        if width < _NARROW:
            return Group(*panels)
        grid = Table.grid(expand=True)
        grid.add_column(ratio=1)
        grid.add_column(ratio=1)
        grid.add_row(*panels)
        return grid

    def _coming(self) -> list[Contact]:
        return [contact for contact in self._plan.contacts if contact.los_ns > self._now_ns][:4]

    def _passes(self) -> Any:
        made = Table.grid(padding=(0, 2))
        for contact in self._coming():
            ahead_s = (contact.aos_ns - self._now_ns) / 1e9
            when = "now" if ahead_s <= 0 else f"in {span(ahead_s)}"
            cells = contact_row(contact)
            style = "bold cyan" if ahead_s <= 0 else ""
            texts = (cells[0], when, cells[3], cells[4], cells[6])
            made.add_row(*(Text(clean(cell), style=style) for cell in texts))
        return made if made.row_count else Text("no plan yet", style="dim")

    def _traffic(self) -> Any:
        link = self._link
        state = (
            Text(f"locked to {clean(link.station)}, {link.downlink_bps / 1e6:.2f} Mbit/s", "cyan")
            if link.locked
            else Text("no carrier", style="dim")
        )
        lines = [state, Text(f"{self._queue.total} products, {size(self._queue.queued_bytes)}")]
        lines += [
            Text(
                f"  {clean(entry.kind):<10} priority {entry.priority}  "
                f"{size(entry.sent_bytes)} / {size(entry.size_bytes)}  {clean(entry.state)}"
            )
            for entry in self._queue.entries[:2]
        ]
        return Group(*lines)
