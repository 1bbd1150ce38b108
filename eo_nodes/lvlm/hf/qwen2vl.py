"""Qwen2-VL: pictures at their own resolution as flat patches, positions on three axes.

Source: "Qwen2-VL" (arXiv 2409.12191): naive dynamic resolution and multimodal rotary positions;
sizes and patch order follow the class's published image processor.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, sqrt

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.hf.layout import ImageConfig
from eo_nodes.lvlm.hf.resample import Bytes, resize

Float = NDArray[np.float32]
Grid = tuple[int, int, int]
START, PAD, STOP = "<|vision_start|>", "<|image_pad|>", "<|vision_end|>"
_TURN, _TURN_END = "<|im_start|>", "<|im_end|>"
_LARGEST_RATIO = 200


def smart_size(height: int, width: int, factor: int, least: int, most: int) -> tuple[int, int]:
    """Rows and columns: multiples of ``factor``, area within [least, most], near the ratio.

    Raises:
        ModelError: one side is more than 200 times the other.
    """
    if max(height, width) > _LARGEST_RATIO * min(height, width):
        raise ModelError(f"picture of {width} x {height} pixels is too narrow")
    rows, cols = round(height / factor) * factor, round(width / factor) * factor
    if rows * cols > most:
        shrink = sqrt(height * width / most)
        rows = max(factor, floor(height / shrink / factor) * factor)
        cols = max(factor, floor(width / shrink / factor) * factor)
    elif rows * cols < least:
        grow = sqrt(least / (height * width))
        rows = ceil(height * grow / factor) * factor
        cols = ceil(width * grow / factor) * factor
    return rows, cols


def patches_of(image: Bytes, config: ImageConfig) -> tuple[Float, Grid]:
    """Prepare a picture.

    Args:
        image: (H, W, 3) uint8 RGB.
    Returns:
        (patches, grid): (t * h * w, 3 * frames * patch * patch) float32, the merged neighbours
        side by side, and (t, h, w) in patches.
    """
    p, m = config.patch, config.merge
    height, width = smart_size(
        image.shape[0], image.shape[1], p * m, config.shortest_edge, config.longest_edge
    )
    image = resize(image, height, width, config.resample)
    values = image.astype(np.float32) * np.float32(config.rescale)
    mean, std = np.array(config.mean, np.float32), np.array(config.std, np.float32)
    values = ((values - mean) / std).transpose(2, 0, 1)
    h, w = height // p, width // p
    cells = values.reshape(3, h // m, m, p, w // m, m, p)
    cells = cells.transpose(1, 4, 2, 5, 0, 3, 6)           # h/m, w/m, m, m, C, p, p
    frames = np.repeat(cells[:, :, :, :, :, None], config.frames, axis=5)  # a still repeats itself
    return np.ascontiguousarray(frames.reshape(h * w, -1)), (1, h, w)


def positions_of(
    ids: Sequence[int], image_token: int, grids: Sequence[Grid], merge: int
) -> tuple[NDArray[np.int64], int]:
    """Rotary positions of a prompt.

    Args:
        ids: T tokens; each run of ``image_token`` belongs to the next grid.
        grids: (t, h, w) of each picture, in patches.
    Returns:
        (positions, following): (3, 1, T) int64 time, row, column; the position of the next token.
    Raises:
        ModelError: runs and grids do not match.
    """
    columns, place, at, left = [], 0, 0, list(grids)
    while at < len(ids):
        if ids[at] != image_token:
            columns.append(np.full((3, 1), place))
            place, at = place + 1, at + 1
            continue
        if not left:
            raise ModelError("more image tokens than pictures")
        t, h, w = left.pop(0)
        h, w = h // merge, w // merge
        if list(ids[at : at + t * h * w]) != [image_token] * (t * h * w):
            raise ModelError("image tokens and picture sizes do not match")
        columns.append(np.indices((t, h, w)).reshape(3, -1) + place)
        place, at = place + max(t, h, w), at + t * h * w
    if left:
        raise ModelError("fewer image tokens than pictures")
    return np.concatenate(columns, axis=1)[:, None].astype(np.int64), place


def chat_pieces(pictures: Sequence[int], question: str) -> list[tuple[str, bool]]:
    """(text, is_special) of one turn: system line, pictures of so many tokens, the question."""
    pieces = [(_TURN, True), ("system\nYou are a helpful assistant.", False), (_TURN_END, True),
              ("\n", False), (_TURN, True), ("user\n", False)]
    for tokens in pictures:
        pieces += [(START, True), *[(PAD, True)] * tokens, (STOP, True)]
    return [*pieces, (question, False), (_TURN_END, True), ("\n", False), (_TURN, True),
            ("assistant\n", False)]
