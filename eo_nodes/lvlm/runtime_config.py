"""Options of the runtime as parameters of a node and options of a command hold them: flat texts.

Purpose: one spelling of providers, their options and the memory cap, for both.
Non-purpose: what they mean (``runtime``).
"""

from __future__ import annotations

from collections.abc import Iterable

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.lvlm.runtime import RuntimeOptions

MEGABYTE = 1 << 20  # as the limits of the stores


def runtime_options(
    *, threads: int = 1, providers: Iterable[str] = (), provider_options: Iterable[str] = (),
    memory_mb: int = 0,
) -> RuntimeOptions:
    """Options of sessions; empty texts count as not given.

    Args:
        providers: best first, ``cpu``, ``cuda``, ``tensorrt`` or full names; none: ``cpu``.
        provider_options: ``PROVIDER.KEY=VALUE``, the keys onnxruntime's own.
        memory_mb: of 2^20 bytes; 0 is no limit.
    Raises:
        ConfigError: an option in another form. ModelError: see ``RuntimeOptions``.
    """
    told: dict[str, dict[str, str]] = {}
    for text in filter(None, provider_options):
        name, key, value = _split(text)
        told.setdefault(name, {})[key] = value
    return RuntimeOptions(
        tuple(filter(None, providers)) or ("cpu",), told, threads,
        memory_limit_bytes=memory_mb * MEGABYTE,
    )


def _split(text: str) -> tuple[str, str, str]:
    left, is_there, value = text.partition("=")
    name, _, key = left.partition(".")
    if not (name and key and is_there):
        raise ConfigError(f"provider option {text!r:.80}: PROVIDER.KEY=VALUE is wanted")
    return name, key, value
