"""A timer that stands still while the peer is not visible (M5). Time is an argument (M28)."""

from __future__ import annotations


class VisibleTimer:
    """Counts down visible time. Stopped, running, or frozen with what remains."""

    __slots__ = ("_deadline_ns", "_remaining_ns")

    def __init__(self) -> None:
        self._deadline_ns: int | None = None
        self._remaining_ns: int | None = None

    @property
    def deadline_ns(self) -> int | None:
        """When it expires; None while stopped or frozen."""
        return self._deadline_ns

    @property
    def is_set(self) -> bool:
        """True while running or frozen."""
        return self._deadline_ns is not None or self._remaining_ns is not None

    def start(self, now_ns: int, duration_ns: int) -> None:
        """Run for ``duration_ns`` from now, whatever it did before."""
        self._deadline_ns = now_ns + duration_ns
        self._remaining_ns = None

    def stop(self) -> None:
        """Forget the deadline."""
        self._deadline_ns = None
        self._remaining_ns = None

    def freeze(self, now_ns: int) -> None:
        """Keep what remains; no effect unless running."""
        if self._deadline_ns is not None:
            self._remaining_ns = max(0, self._deadline_ns - now_ns)
            self._deadline_ns = None

    def thaw(self, now_ns: int) -> None:
        """Run on with what remained; no effect unless frozen."""
        if self._remaining_ns is not None:
            self._deadline_ns = now_ns + self._remaining_ns
            self._remaining_ns = None

    def is_expired(self, now_ns: int) -> bool:
        """True when running and the deadline is reached."""
        return self._deadline_ns is not None and now_ns >= self._deadline_ns
