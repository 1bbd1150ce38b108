"""The layout of a Hugging Face ONNX export of a vision-language model.

Files: ``config.json``, ``generation_config.json``, ``tokenizer.json``, ``preprocessor_config.json``
and ``onnx/{vision_encoder,embed_tokens,decoder_model_merged}[_VARIANT].onnx``, beside them weights
as ``*.onnx_data`` where a graph is larger than 2 GB. Nothing else of such a folder is read.

Two classes are known: Idefics3 (SmolVLM) and Qwen2-VL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.manifest import read_json

PARTS = ("vision_encoder", "embed_tokens", "decoder_model_merged")
# Best first: exact, then what a CPU runs well.
VARIANTS = ("", "_quantized", "_int8", "_q8", "_uint8", "_q4", "_fp16", "_q4f16", "_bnb4")
CLASSES: Mapping[str, str] = {"idefics3": "idefics3", "smolvlm": "idefics3",
                              "qwen2_vl": "qwen2_vl"}


@dataclass(frozen=True, slots=True)
class ImageConfig:
    """``preprocessor_config.json``, with the defaults of the class.

    Attributes:
        resample: filter code of ``resample``. mean, std: per channel, of values in [0, 1].
        rescale: factor from grey levels to [0, 1].
        longest_edge: pixels (Idefics3) or largest area in pixels (Qwen2-VL).
        shortest_edge: smallest area in pixels (Qwen2-VL).
        tile: side of a tile, pixels (Idefics3). is_split: big pictures become tiles.
        patch, merge, frames: side of a patch, patches merged per side, frames a patch (Qwen2-VL).
    """

    resample: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    rescale: float
    longest_edge: int
    shortest_edge: int
    tile: int
    is_split: bool
    patch: int
    merge: int
    frames: int


@dataclass(frozen=True, slots=True)
class HfConfig:
    """What the runtime needs of the JSON files.

    Attributes:
        kind: ``idefics3`` or ``qwen2_vl``. id: name of the folder.
        image: see ``ImageConfig``. image_token: id whose embeddings are replaced.
        tokens_per_tile: visual tokens of a tile (Idefics3), else 0.
        end_tokens: ids that end an answer. begin_token: id that opens a prompt, -1 none.
        positions: longest prompt plus answer in tokens.
        text, vision: the raw sections of ``config.json``.
        files: the ONNX file of each part.
    """

    kind: str
    id: str
    image: ImageConfig
    image_token: int
    tokens_per_tile: int
    end_tokens: frozenset[int]
    begin_token: int
    positions: int
    text: Mapping[str, Any]
    vision: Mapping[str, Any]
    files: Mapping[str, Path]


def is_hf_folder(folder: Path) -> bool:
    """Whether a folder has the layout: a configuration and a folder ``onnx`` with a decoder."""
    decoders = (folder / "onnx").glob("decoder_model_merged*.onnx")
    return (folder / "config.json").is_file() and next(decoders, None) is not None


def read_layout(folder: Path, variant: str | None = None) -> HfConfig:
    """Read the JSON files and choose the graphs.

    Args:
        variant: suffix of the graphs without underscore, e.g. ``int8`` ("" is exact); default:
            for each part the first of ``VARIANTS`` that is there.
    Raises:
        ModelError: a file or key is missing, a class that is not known.
    """
    raw = read_json(folder / "config.json")
    kind = CLASSES.get(str(raw.get("model_type")))
    if kind is None:
        raise ModelError(f"model_type {raw.get('model_type')!r}; known: {', '.join(CLASSES)}")
    generation = folder / "generation_config.json"
    text = raw.get("text_config") or raw
    ends = (read_json(generation) if generation.is_file() else {}).get("eos_token_id")
    ends = text.get("eos_token_id", raw.get("eos_token_id")) if ends is None else ends
    vision = raw.get("vision_config") or {}
    try:
        return HfConfig(
            kind, folder.resolve().name,
            image_config(read_json(folder / "preprocessor_config.json"), kind),
            int(raw["image_token_id"]), _tile_tokens(raw, vision) if kind == "idefics3" else 0,
            frozenset(ends if isinstance(ends, list) else [] if ends is None else [ends]),
            -1 if text.get("bos_token_id") is None else int(text["bos_token_id"]),
            int(text.get("max_position_embeddings", 8192)), text, vision,
            {part: _file(folder / "onnx", part, variant) for part in PARTS},
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"{folder.name}: configuration does not fit: {error!r}") from error


def _tile_tokens(raw: Mapping[str, Any], vision: Mapping[str, Any]) -> int:
    side = int(vision.get("image_size", 224)) // int(vision.get("patch_size", 32))
    return side * side // int(raw.get("scale_factor", 2)) ** 2


def image_config(raw: Mapping[str, Any], kind: str) -> ImageConfig:
    """Read ``preprocessor_config.json``; what it leaves out has the default of the class."""
    size = raw.get("size") or {}
    if kind == "idefics3":
        tile = int((raw.get("max_image_size") or {"longest_edge": 364})["longest_edge"])
        longest, shortest = int(size.get("longest_edge", 4 * 364)), 0
        mean = std = (0.5, 0.5, 0.5)
    else:
        tile = 0
        # Older files name the areas min_pixels and max_pixels.
        longest = int(raw.get("max_pixels") or size.get("longest_edge", 28 * 28 * 1280))
        shortest = int(raw.get("min_pixels") or size.get("shortest_edge", 56 * 56))
        mean, std = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
    return ImageConfig(
        int(raw.get("resample", 1 if kind == "idefics3" else 3)),
        tuple(map(float, raw.get("image_mean", mean))),
        tuple(map(float, raw.get("image_std", std))),
        float(raw.get("rescale_factor", 1 / 255)), longest, shortest, tile,
        bool(raw.get("do_image_splitting", True)), int(raw.get("patch_size", 14)),
        int(raw.get("merge_size", 2)), int(raw.get("temporal_patch_size", 2)),
    )


def _file(folder: Path, part: str, variant: str | None) -> Path:
    wanted = VARIANTS if variant is None else (f"_{variant}" if variant else "",)
    for suffix in wanted:
        path = folder / f"{part}{suffix}.onnx"
        if path.is_file():
            return path
    names = ", ".join(f"{part}{suffix}.onnx" for suffix in wanted)
    raise ModelError(f"onnx/ holds none of {names}")


def data_files(graph: Path) -> list[Path]:
    """Return a graph's file and its external weights, if any."""
    return [graph, *sorted(graph.parent.glob(f"{graph.name}_data*")),
            *sorted(graph.parent.glob(f"{graph.name}.data*"))]
