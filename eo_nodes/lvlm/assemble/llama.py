"""The weights of a Llama-class language model as one file of raw tensors.

A graph made beforehand refers to that file as its external data, so that putting the model together
needs neither torch nor an ONNX library. Graph and file agree through ``plan``: names, types and
offsets follow from the sizes alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.assemble.gguf import GgufFile

Float = NDArray[np.float32]
STORAGES = ("int8", "float32")
_MATRICES = {"attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o",
             "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down"}
ALIGNMENT = 64
"""Where a memory-mapped tensor may begin."""


@dataclass(frozen=True, slots=True)
class LlamaSizes:
    """layers, heads, kv_heads, width, inner (feed-forward), vocabulary; head width = width / heads.

    base: of the rotary frequencies. eps: of the root-mean-square norm.
    """

    layers: int
    heads: int
    kv_heads: int
    width: int
    inner: int
    vocabulary: int
    base: float
    eps: float


@dataclass(frozen=True, slots=True)
class Slot:
    """One tensor of the file: where it is and what it is. dtype: numpy's name, little endian."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    offset: int

    @property
    def size_bytes(self) -> int:
        """Length without padding."""
        return prod(self.shape) * np.dtype(self.dtype).itemsize


def sizes_of(source: GgufFile) -> LlamaSizes:
    """Read the sizes from a GGUF file's metadata.

    Raises:
        ModelError: another architecture, a key is missing.
    """
    m = source.metadata
    if m.get("general.architecture") != "llama":
        raise ModelError(f"architecture {m.get('general.architecture')!r}, expected 'llama'")
    try:
        return LlamaSizes(
            int(m["llama.block_count"]), int(m["llama.attention.head_count"]),
            int(m["llama.attention.head_count_kv"]), int(m["llama.embedding_length"]),
            int(m["llama.feed_forward_length"]), len(m["tokenizer.ggml.tokens"]),
            float(m.get("llama.rope.freq_base", 10_000.0)),
            float(m["llama.attention.layer_norm_rms_epsilon"]),
        )
    except KeyError as error:
        raise ModelError(f"the GGUF metadata lacks {error}") from error


def plan(sizes: LlamaSizes, layers: Sequence[int], vocabulary: int, storage: str) -> list[Slot]:
    """Lay out the file.

    Args:
        layers: indices of the blocks that are taken, in order. vocabulary: tokens kept.
        storage: ``int8`` (a scale per output channel, or per token of the embedding) or
            ``float32``. Norms are float32 always.
    Returns:
        Slots: ``embedding`` (K, D); per taken block n: ``n.q`` ... (in, out), ``n.attn_norm``,
        ``n.ffn_norm``; ``norm``. Each int8 slot is followed by ``NAME.scale``.
    """
    if storage not in STORAGES:
        raise ModelError(f"storage {storage!r}; known: {', '.join(STORAGES)}")
    d, kv = sizes.width, sizes.width // sizes.heads * sizes.kv_heads
    shapes = {"q": (d, d), "k": (d, kv), "v": (d, kv), "o": (d, d), "gate": (d, sizes.inner),
              "up": (d, sizes.inner), "down": (sizes.inner, d)}
    slots: list[Slot] = []
    end = 0

    def add(name: str, shape: tuple[int, ...], dtype: str) -> None:
        nonlocal end
        slot = Slot(name, shape, dtype, -(-end // ALIGNMENT) * ALIGNMENT)
        slots.append(slot)
        end = slot.offset + slot.size_bytes

    def add_matrix(name: str, shape: tuple[int, int], channel: int) -> None:
        add(name, shape, "int8" if storage == "int8" else "<f4")
        if storage == "int8":
            scale = (shape[0], 1) if channel == 0 else (1, shape[1])
            add(f"{name}.scale", scale, "<f4")

    add_matrix("embedding", (vocabulary, d), 0)
    for n in range(len(layers)):
        add(f"{n}.attn_norm", (d,), "<f4")
        add(f"{n}.ffn_norm", (d,), "<f4")
        for name, shape in shapes.items():
            add_matrix(f"{n}.{name}", shape, 1)
    add("norm", (d,), "<f4")
    return slots


def tensors(
    source: GgufFile, layers: Sequence[int], kept: Sequence[Sequence[int]] | None, storage: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield (name, values) in the order of ``plan``.

    Args:
        kept: of each token, in their new order, the ids of the source whose embeddings' mean it
            gets; None: those of the source.
    """
    sizes = sizes_of(source)
    embedding = source.tensor("token_embd.weight")
    if kept is not None:
        embedding = np.stack([embedding[list(ids)].mean(0, dtype=np.float32) for ids in kept])
    yield from _stored("embedding", embedding, 0, storage)
    for n, layer in enumerate(layers):
        yield f"{n}.attn_norm", source.tensor(f"blk.{layer}.attn_norm.weight")
        yield f"{n}.ffn_norm", source.tensor(f"blk.{layer}.ffn_norm.weight")
        for theirs, ours in _MATRICES.items():
            weight = source.tensor(f"blk.{layer}.{theirs}.weight")
            if ours in "qk":
                weight = halves_from_pairs(
                    weight, sizes.heads if ours == "q" else sizes.kv_heads)
            yield from _stored(f"{n}.{ours}", np.ascontiguousarray(weight.T), 1, storage)
    yield "norm", source.tensor("output_norm.weight")


def halves_from_pairs(weight: Float, heads: int) -> Float:
    """Reorder the rows of a query or key matrix from neighbouring rotary pairs to halves.

    GGUF keeps the two of a pair side by side; graphs that rotate halves want the first of all
    pairs, then the second. Scores do not change (test).
    """
    rows, cols = weight.shape
    split = weight.reshape(heads, rows // heads // 2, 2, cols)
    return np.ascontiguousarray(split.swapaxes(1, 2).reshape(rows, cols))


def _stored(
    name: str, weight: Float, channel: int, storage: str
) -> Iterator[tuple[str, NDArray[Any]]]:
    if storage == "float32":
        yield name, weight
        return
    scale = np.maximum(np.abs(weight).max(1 - channel, keepdims=True), 1e-12) / np.float32(127)
    yield name, np.rint(weight / scale).astype(np.int8)
    yield f"{name}.scale", scale.astype(np.float32)
