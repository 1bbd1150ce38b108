"""Configuration of a folder of our own model family: how its graphs were made and must be fed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.manifest import read_json
from eo_nodes.lvlm.slis import SlisValueError, SpatialIds

WEIGHTS = "language.bin"
"""Weights of the decoder graph that are put together at set-up, where a folder has such."""
FILES = ("vision.onnx", "scene.onnx", "pair.onnx", "decoder.onnx", WEIGHTS)


@dataclass(frozen=True, slots=True)
class UnifiedConfig:
    """Content of ``config.json``.

    Attributes:
        id: name of the model, e.g. ``compact``.
        input_size, upscale: as in ``sight.input_shape``.
        layers, heads, head_dim, width: shape of the decoder.
        words, vocabulary: word pieces; all tokens, the spatial ones included.
        positions: longest prompt plus answer in tokens.
        cls_token, end_token: ids that open the prompt, and end prompt and answer.
        kinds: names of the objects that the heat map knows. chances: numbers of all heads.
        depth: channels of the pixel map. query_bias: added to query . pixel.
        spatial: where the spatial tokens lie.
        vision_macs_per_cell: multiply-accumulates of the vision graph for one 32 x 32 px cell.
        temperature: divides the logits for the session's confidence; fitted on val.
        kv_heads: of the KV cache; several query heads may share one. In a file without it: heads.
        layer_macs: multiply-accumulates of the matrices of one layer for one token, adapters
            included. In a file without it: those of a block with four times wider feed-forward.
    """

    id: str
    input_size: int
    upscale: float
    layers: int
    heads: int
    head_dim: int
    width: int
    words: int
    vocabulary: int
    positions: int
    cls_token: int
    end_token: int
    kinds: tuple[str, ...]
    chances: int
    depth: int
    query_bias: float
    spatial: SpatialIds
    vision_macs_per_cell: int
    temperature: float
    kv_heads: int
    layer_macs: int

    @property
    def values_per_token(self) -> int:
        """Numbers that the KV cache keeps of one token."""
        return self.layers * 2 * self.kv_heads * self.head_dim

    def as_json(self) -> dict[str, Any]:
        """Content for the file; ``read_unified`` is the inverse."""
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        return {**plain, "kinds": list(self.kinds), "spatial": self.spatial.as_json()}


def read_unified(folder: Path) -> UnifiedConfig:
    """Read ``config.json`` of a folder.

    Raises:
        ModelError: unreadable, a field missing or unknown.
    """
    raw: Mapping[str, Any] = read_json(folder / "config.json")
    try:
        defaults = {"kv_heads": raw["heads"], "layer_macs": 12 * raw["width"] ** 2}
        return UnifiedConfig(**{**defaults, **raw, "kinds": tuple(raw["kinds"]),
                                "spatial": SpatialIds.read(raw["spatial"])})
    except (KeyError, TypeError, SlisValueError) as error:
        raise ModelError(f"config.json does not fit: {error}") from error
