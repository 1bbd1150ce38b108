"""Every plain value that nodes exchange, under one name."""

from __future__ import annotations

from .delivery import (
    ByteBudget,
    Contact,
    ContactPlan,
    DownlinkReport,
    LinkState,
    Notice,
    QueueEntry,
    QueueState,
)
from .imagery import Request, Scene, Task, View, Views, VisualPrompt
from .operations import Command, Compute, Event, Heartbeat, Idle, Mode
from .reasoning import Answer, Product, Region, Step, Tap, Verdict
from .rules import validate

VALUES = {
    cls.__name__: cls
    for cls in (
        VisualPrompt,
        Scene,
        Task,
        Request,
        View,
        Views,
        Tap,
        Verdict,
        Region,
        Product,
        Step,
        Answer,
        LinkState,
        Contact,
        ContactPlan,
        ByteBudget,
        DownlinkReport,
        QueueEntry,
        QueueState,
        Notice,
        Event,
        Command,
        Heartbeat,
        Mode,
        Compute,
        Idle,
    )
}

__all__ = [
    "VALUES",
    "Answer",
    "ByteBudget",
    "Command",
    "Compute",
    "Contact",
    "ContactPlan",
    "DownlinkReport",
    "Event",
    "Heartbeat",
    "Idle",
    "LinkState",
    "Mode",
    "Notice",
    "Product",
    "QueueEntry",
    "QueueState",
    "Region",
    "Request",
    "Scene",
    "Step",
    "Tap",
    "Task",
    "Verdict",
    "View",
    "Views",
    "VisualPrompt",
    "validate",
]
