"""Messages as any library decodes them -> contracts values."""

from __future__ import annotations

from typing import Any

from eo_nodes.contracts.values import VALUES

from .msgdef import PACKAGE, Field, definition


def from_wire(name: str, sample: Any) -> Any:
    """Turn a sample into a contracts value, or leave it where the message is not ours.

    Args:
        name: ``package/Name`` or ``Name``.
        sample: any object with the fields of the message (DDS sample, decoded bag message).
    """
    described = definition(name)
    package, short = described.name.split("/")
    if package != PACKAGE or short not in VALUES:
        return sample
    return VALUES[short](
        **{item.name: _in(getattr(sample, item.name), item) for item in described.fields}
    )


def _in(content: Any, item: Field) -> Any:
    if item.is_message:
        if item.kind == "one":
            return from_wire(item.base, content)
        return tuple(from_wire(item.base, part) for part in content)
    if item.kind == "one":
        return content
    return bytes(content) if item.is_bytes else tuple(content)
