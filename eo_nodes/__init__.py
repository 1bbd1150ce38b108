"""Flight and ground software that answers questions about what a satellite sees.

The Python interface is loaded when first used, so that importing a core stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from eo_nodes.api import (
        answer,
        box,
        embed_images,
        embed_texts,
        load_model,
        mask,
        point,
        read_image,
    )

__version__ = "0.1.0"
__all__ = [
    "__version__",
    "answer",
    "box",
    "embed_images",
    "embed_texts",
    "load_model",
    "mask",
    "point",
    "read_image",
]


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module("eo_nodes.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
