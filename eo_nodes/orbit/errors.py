"""Named errors of the orbit room. All are expected at the door of a planner or of the simulator."""

from __future__ import annotations

from eo_nodes.contracts.errors import EoError


class OrbitError(EoError):
    """Something about an orbit, a station or a link cannot be computed."""


class ElementsError(OrbitError):
    """One element set is refused; the others of the same file are still used.

    Attributes:
        source: file name, or "uplink", as the caller named it.
        line: 1-based line (or index of the message in an OMM list) where the set starts.
        reason: what is wrong with it.
    """

    def __init__(self, source: str, line: int, reason: str) -> None:
        super().__init__(f"{source}:{line}: {reason}")
        self.source = source
        self.line = line
        self.reason = reason


class NoElementsError(OrbitError):
    """No usable element set is known for a satellite."""


class PropagationError(OrbitError):
    """SGP4 refuses a time: decayed, or elements outside the model.

    Attributes:
        satellite: name in the element set.
        t_ns: first refused time, UTC in ns since 1970.
    """

    def __init__(self, satellite: str, t_ns: int, reason: str) -> None:
        super().__init__(f"{satellite} at {t_ns} ns: {reason}")
        self.satellite = satellite
        self.t_ns = t_ns


class OutOfTableError(OrbitError):
    """A look table is asked for a time it was not built for."""
