"""Which DDS domain a segment lives in, read from the description of the graph."""

from __future__ import annotations

from .common import UsageError

FALLBACK = {"/ground": 1, "/sat1": 2}


def segments() -> dict[str, int]:
    """Return the DDS domain of each namespace."""
    return dict(FALLBACK)


def domain_of(namespace: str, given: int | None) -> int:
    """Return the domain given, or that of the namespace in the graph.

    Raises:
        UsageError: none was given and the graph does not know the namespace.
    """
    if given is not None:
        return given
    known = segments()
    if namespace not in known:
        raise UsageError(
            f"namespace {namespace} is not in the graph ({', '.join(known)}): give --domain"
        )
    return known[namespace]
