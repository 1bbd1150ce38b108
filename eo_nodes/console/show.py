"""Contracts values as lines and tables for people. Everything from outside goes through `clean`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from eo_nodes.contracts.values import Answer, Contact, ContactPlan, Event, QueueState

from .text import clean, size, span, utc

SEVERITIES = ("debug", "info", "warning", "error", "fatal")
_STATUS = {Answer.PROVISIONAL: "provisional", Answer.FINAL: "final", Answer.REFUSED: "refused"}
_EVENT_STYLES = ("dim", "", "yellow", "red", "bold red")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str = "") -> Table:
    """Make a table of cleaned cells; columns that start with ``>`` are set to the right."""
    made = Table(title=title or None, title_justify="left", header_style="bold", box=None)
    for column in columns:
        right = column.startswith(">")
        made.add_column(column.removeprefix(">"), justify="right" if right else "left")
    for row in rows:
        made.add_row(*(Text(clean(cell)) for cell in row))
    return made


def show(renderable: object, stream: TextIO | None = None) -> None:
    """Print a table or one line; without a terminal as plain text, not wrapped to 80 columns."""
    out = stream or sys.stdout
    console = Console(file=out, highlight=False, width=None if out.isatty() else 200)
    if isinstance(renderable, str):
        renderable = Text(clean(renderable))
    console.print(renderable, soft_wrap=isinstance(renderable, Text))


def answer_line(answer: Answer) -> str:
    """One line for logs and for `watch`."""
    said = answer.text if answer.status != Answer.REFUSED else f"refused: {answer.reason}"
    sure = f" {answer.confidence[-1]:.2f}" if answer.confidence else ""
    return (
        f"{utc(answer.stamp_ns)} {_STATUS[answer.status]:<11} {answer.origin:<7}{sure} "
        f"{clean(answer.prompt, limit=60)} -> {clean(said, limit=80)}"
    )


def answer_lines(answer: Answer) -> list[str]:
    """A final answer with where it comes from."""
    if answer.status == Answer.REFUSED:
        lines = [f"refused: {clean(answer.reason)}", f"  task      {clean(answer.task_id)}"]
    else:
        lines = [clean(answer.text)]
        sure = ", ".join(f"{value:.2f}" for value in answer.confidence)
        lines.append(
            f"  from      {answer.origin}, {clean(answer.model_id)} "
            f"({clean(answer.model_digest[:12])}), stage {answer.stage}"
        )
        if sure:
            lines.append(f"  sure      {sure}")
        if answer.reason:
            lines.append(f"  label     {clean(answer.reason)}")
        lines.append(f"  scene     {clean(answer.scene_id)}, request {clean(answer.request_id)}")
        lines.append(
            f"  bytes     {size(answer.bytes_sent)} sent of {size(answer.raw_bytes)}, "
            f"{answer.regions_used} regions seen"
        )
        if answer.spatial:
            lines.append(f"  spatial   {clean(answer.spatial)}")
        if answer.energy_j:
            lines.append(f"  energy    {answer.energy_j:.1f} J (estimate)")
    if answer.steps:
        first = answer.steps[0].stamp_ns
        steps = [
            f"{clean(step.name)} +{span((step.stamp_ns - first) / 1e9)}" for step in answer.steps
        ]
        lines.append(f"  steps     {utc(first)}: " + ", ".join(steps))
    return lines


def print_answer(answer: Answer) -> None:
    """Print a final answer with where it comes from."""
    print("\n".join(answer_lines(answer)), flush=True)


def event_line(event: Event) -> Text:
    """One line for an event."""
    severity = SEVERITIES[min(event.severity, 4)]
    return Text(
        f"{utc(event.stamp_ns)} {severity:<8} {clean(event.id)} "
        f"{clean(event.source)}: {clean(event.text, limit=160)}",
        style=_EVENT_STYLES[min(event.severity, 4)],
    )


def contact_row(contact: Contact) -> list[str]:
    """A contact as cells: station, AOS, LOS, duration, elevation, rate, capacity."""
    return [
        contact.station,
        utc(contact.aos_ns),
        utc(contact.los_ns, date=False),
        span((contact.los_ns - contact.aos_ns) / 1e9),
        f"{contact.max_elevation_deg:.0f}°",
        f"{contact.mean_rate_bps / 1e6:.2f}",
        size(contact.capacity_bytes),
    ]


def plan_table(plan: ContactPlan) -> Table:
    """Coming contacts."""
    return table(
        ["station", "AOS", "LOS", ">duration", ">elevation", ">Mbit/s", ">carries"],
        map(contact_row, plan.contacts),
        f"{clean(plan.satellite)}: {len(plan.contacts)} contacts, planned {utc(plan.stamp_ns)}, "
        f"elements {plan.element_age_days:.1f} days old",
    )


def queue_table(state: QueueState) -> Table:
    """The downlink queue."""
    rows = [
        [
            entry.product_id,
            entry.kind,
            str(entry.priority),
            size(entry.size_bytes),
            f"{100 * entry.sent_bytes / entry.size_bytes:.0f} %" if entry.size_bytes else "-",
            entry.state,
        ]
        for entry in state.entries
    ]
    title = (
        f"{clean(state.satellite)} {utc(state.stamp_ns)}: {state.total} products, "
        f"{size(state.queued_bytes)} wait"
    )
    if state.total > len(rows):
        title += f", the first {len(rows)} shown"
    return table(["product", "kind", ">priority", ">size", ">sent", "state"], rows, title)
