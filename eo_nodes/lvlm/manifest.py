"""The model folder: which files it holds, and the proof that they are the ones that were released.

Files: ``vision.onnx``, ``decoder.onnx``, ``tokenizer.json``, ``config.json``,
``calibration.json``, ``card.md`` and ``manifest.json``, which names the others with size and
SHA-256 and carries one golden input with the output it must give.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError

FILES = ("vision.onnx", "decoder.onnx", "tokenizer.json", "config.json", "calibration.json")
MANIFEST = "manifest.json"
_LARGEST_BYTES = 1 << 31


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """How the graphs were made and how they must be fed.

    Attributes:
        id: name of the model, e.g. ``compact``.
        input_size: longest side of a view after resizing, pixels, multiple of 32.
        upscale: largest factor by which small views are enlarged.
        layers, heads, head_dim, width: shape of the decoder and its KV cache.
        vocabulary, positions: tokens known; longest prompt plus answer in tokens.
        cls_token, end_token: ids that open the prompt, and end prompt and answer.
        summary_tokens: visual tokens a composite gives beyond one a cell.
        vision_macs_per_cell: multiply-accumulates of the vision graph for one 32 x 32 px cell.
        temperature: divides the logits for ``DecodeSession.confidence``; fitted on val.
    """

    id: str
    input_size: int
    upscale: float
    layers: int
    heads: int
    head_dim: int
    width: int
    vocabulary: int
    positions: int
    cls_token: int
    end_token: int
    summary_tokens: int
    vision_macs_per_cell: int
    temperature: float


def read_json(path: Path) -> Any:
    """Parse a JSON file of the folder; ModelError names the file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{path.name} cannot be read: {error}") from error


def read_config(folder: Path) -> ModelConfig:
    """The typed content of ``config.json``."""
    raw = read_json(folder / "config.json")
    try:
        return ModelConfig(**raw)
    except TypeError as error:
        raise ModelError(f"config.json does not fit: {error}") from error


def sha256_of(path: Path) -> str:
    """Hex SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def verify(folder: Path) -> tuple[str, Mapping[str, Any]]:
    """Check every file against the manifest.

    Returns:
        (digest, golden): SHA-256 of the manifest itself, and its golden entry.
    Raises:
        ModelError: a file is missing, of another size or digest; the manifest is unreadable.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise ModelError(f"{folder} holds no {MANIFEST}")
    manifest = read_json(path)
    try:
        listed, golden = manifest["files"], manifest["golden"]
        for name in FILES:
            _verify_file(folder / name, listed[name])
    except (KeyError, TypeError) as error:
        raise ModelError(f"{MANIFEST} lacks {error}") from error
    return sha256_of(path), golden


def _verify_file(path: Path, entry: Mapping[str, Any]) -> None:
    if not path.is_file():
        raise ModelError(f"{path.name} is missing")
    size = path.stat().st_size
    if size != entry["bytes"] or size > _LARGEST_BYTES:
        raise ModelError(f"{path.name} has {size} bytes, the manifest says {entry['bytes']}")
    if sha256_of(path) != entry["sha256"]:
        raise ModelError(f"{path.name} does not match its SHA-256")


def golden_image(side_px: int = 64) -> NDArray[np.uint8]:
    """(side, side, 3) uint8 pattern of the self test, the same on every machine."""
    y, x = np.mgrid[:side_px, :side_px]
    return np.stack([(x * 4) % 256, (y * 4) % 256, (x * y) % 256], -1).astype(np.uint8)
