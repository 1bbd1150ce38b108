"""What may be set of routing, by name: parameters of a node, telecommands, the study's table.

One name means one thing in all three: the fields of ``RoutingConfig``, and ``gate_accept`` and
``gate_reject`` for the thresholds of models without heads.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import fields, replace
from math import inf
from typing import Any

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.decision.router import RouterConfig
from eo_nodes.decision.routing import RoutingConfig

ROUTING = tuple(f.name for f in fields(RoutingConfig))
_STAGES = ("accept", "reject", "hurdle")
_FLAGS = ("needs_delivery", "serves_late")
_PLAIN = ("policy", "target")
_GATE = {"gate_accept": "accept", "gate_reject": "reject"}


def routing_of(values: Mapping[str, Any]) -> RoutingConfig:
    """Routing by values of its fields, as parameters or JSON hold them; the others by default.

    Raises:
        ConfigError: an unknown name, a value of another kind or out of range.
    """
    return RoutingConfig(**{name: _value(name, value) for name, value in values.items()})


def routing_as_plain(config: RoutingConfig) -> dict[str, Any]:
    """Inverse of `routing_of`: lists, numbers, names and flags."""
    found = {name: getattr(config, name) for name in ROUTING}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def with_thresholds(config: RouterConfig, wanted: Mapping[str, Any]) -> RouterConfig:
    """Configuration with what an operator wants changed.

    Args:
        wanted: any of ``policy``, ``target``, ``gate_accept`` (3), ``gate_reject`` (2), and the
            fields of ``RoutingConfig``.
    Raises:
        ConfigError: nothing to change, an unknown key, a value of another kind or out of range.
    """
    if not wanted:
        raise ConfigError("thresholds: nothing to change")
    plain = {k: v for k, v in wanted.items() if k in _PLAIN}
    gate: dict[str, Any] = {_GATE[k]: _numbers(k, v) for k, v in wanted.items() if k in _GATE}
    routing = {k: _value(k, v) for k, v in wanted.items() if k not in _PLAIN and k not in _GATE}
    return replace(config, **plain, gate=replace(config.gate, **gate),
                   routing=replace(config.routing, **routing))


def _value(name: str, value: Any) -> Any:
    if name not in ROUTING:
        raise ConfigError(f"thresholds: unknown key {name!r:.60}")
    if name in _STAGES:
        return _numbers(name, value)
    if name in _FLAGS:
        if type(value) is not bool:
            raise ConfigError(f"thresholds: {name} is {value!r:.60}, expected true or false")
        return value
    if name == "kinds":
        if not isinstance(value, list | tuple) or not all(type(v) is str for v in value):
            raise ConfigError(f"thresholds: {name} is {value!r:.60}, expected names")
        return tuple(value)
    (number,) = _numbers(name, [value])
    return int(number) if name == "min_budget_bytes" else number


def _numbers(name: str, value: Any) -> tuple[float, ...]:
    is_list = isinstance(value, list | tuple | array)  # of parameters: array
    if not is_list or not all(type(v) in (int, float) and v == v and abs(v) < inf for v in value):
        raise ConfigError(f"thresholds: {name} is {value!r:.60}, expected numbers")
    return tuple(float(v) for v in value)
