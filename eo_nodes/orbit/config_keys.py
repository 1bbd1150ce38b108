"""Reads a tree of configuration key by key, so that every wrong key is named with its place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml

from eo_nodes.contracts.errors import ConfigError

Entry = TypeVar("Entry")


class Keys:
    """Reads a mapping key by key, and refuses what nobody asked for."""

    def __init__(self, tree: Any, where: str) -> None:
        if not isinstance(tree, Mapping):
            raise ConfigError(f"{where}: is no mapping")
        self._left = dict(tree)
        self.where = where

    def has(self, key: str) -> bool:
        """Is the key there and not yet taken?"""
        return key in self._left

    def take(self, key: str) -> Any:
        """Take any value."""
        if key not in self._left:
            raise ConfigError(f"{self.where}: lacks {key}")
        return self._left.pop(key)

    def table(self, key: str) -> Mapping[str, Any]:
        """Take a mapping that has entries."""
        value = self.take(key)
        if not isinstance(value, Mapping) or not value:
            raise ConfigError(f"{self.where}: {key} is no mapping with entries")
        return {str(name): entry for name, entry in value.items()}

    def child(self, key: str) -> Keys:
        """Take a mapping, to be read key by key itself."""
        return Keys(self.take(key), f"{self.where}.{key}")

    def items(self, key: str) -> list[Any]:
        """Take a list that has entries."""
        value = self.take(key)
        if not isinstance(value, list) or not value:
            raise ConfigError(f"{self.where}.{key}: is no list with entries")
        return value

    def text(self, key: str) -> str:
        """Take text that is not blank."""
        value = self.take(key)
        if not isinstance(value, str) or not value.strip():
            raise ConfigError(f"{self.where}.{key}: is no text")
        return value.strip()

    def number(self, key: str, low: float, high: float) -> float:
        """Take a number in [low, high]."""
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise ConfigError(f"{self.where}.{key}: {value!r} is no number")
        if not low <= value <= high:  # NaN is outside too
            raise ConfigError(f"{self.where}.{key}: {value} is outside {low} to {high}")
        return float(value)

    def optional_number(self, key: str, low: float, high: float) -> float | None:
        """Take a number in [low, high], or None where the key is absent."""
        return self.number(key, low, high) if self.has(key) else None

    def done(self) -> None:
        """Refuse what was not taken."""
        if self._left:
            names = ", ".join(sorted(map(str, self._left)))
            raise ConfigError(f"{self.where}: unknown key {names}")


def pick(table: Mapping[str, Entry], name: str, where: str) -> Entry:
    """Take an entry by name; ConfigError says which names there are."""
    if name not in table:
        raise ConfigError(f"{where}: {name!r} is none of {', '.join(table)}")
    return table[name]


def read_yaml(path: Path) -> Any:
    """Parse a YAML file; ConfigError when it is absent or no YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path.name}: cannot be read: {error}") from error
