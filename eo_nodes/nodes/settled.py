"""The last message of a topic that was published before this instant.

In lock-step all that is published at one instant of orbital time is delivered before the next, but
in no set order: whether a queue's state of this very instant is known when a tap of this instant is
decided hangs on the load of the machine. What is older is always known. So decisions that must come
out the same in a replay read state through this, one instant late.
"""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar


class Stamped(Protocol):
    """A message that says when it was published, ns of orbital time."""

    @property
    def stamp_ns(self) -> int: ...


M = TypeVar("M", bound=Stamped)


class Settled(Generic[M]):
    """Holds two messages of a topic: the newest, and the newest of an earlier instant."""

    def __init__(self) -> None:
        self._newest: M | None = None
        self._earlier: M | None = None

    def put(self, message: M) -> None:
        """A message came; messages of a topic come in their order."""
        if self._newest is not None and self._newest.stamp_ns < message.stamp_ns:
            self._earlier = self._newest
        self._newest = message

    def before(self, now_ns: int) -> M | None:
        """The newest one that was published before ``now_ns``; None where there is none."""
        if self._newest is not None and self._newest.stamp_ns < now_ns:
            return self._newest
        return self._earlier
