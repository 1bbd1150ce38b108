"""Which DDS domain a segment lives in, read from the description of the graph."""

from __future__ import annotations

from .common import UsageError


def segments() -> dict[str, int]:
    """Return the DDS domain of each segment by its namespace, the simulation left out."""
    from eo_nodes.graph.description import load_graph
    from eo_nodes.graph.paths import project_file

    graph = load_graph(project_file("config/graph.yaml"))
    return {
        segment.namespace: segment.domain_id
        for segment in graph.segments.values()
        if segment.kind != "sim"
    }


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
