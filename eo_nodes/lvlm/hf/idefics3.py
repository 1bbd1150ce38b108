"""Idefics3 and SmolVLM: pictures cut into square tiles and one global view.

Source: "Building and better understanding vision-language models" (arXiv 2408.12637); sizes and
rounding follow the class's published image processor.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.hf.layout import ImageConfig
from eo_nodes.lvlm.hf.resample import Bytes, resize

Float = NDArray[np.float32]
_LARGEST_EDGE = 4096
FAKE, IMAGE, GLOBAL, END = (
    "<fake_token_around_image>", "<image>", "<global-img>", "<end_of_utterance>",
)


def tiles_of(image: Bytes, config: ImageConfig, *, is_split: bool) -> tuple[Float, int, int]:
    """Prepare a picture.

    Args:
        image: (H, W, 3) uint8 RGB. is_split: False gives the global view alone.
    Returns:
        (tiles, rows, cols): (rows * cols + 1, 3, tile, tile) float32, row by row, the global view
        last; rows and cols are 0 for a picture that is one tile.
    """
    tile = config.tile
    height, width = longest_to(image.shape[0], image.shape[1], config.longest_edge)
    image = resize(image, height, width, config.resample)
    rows = cols = 0
    views = [image]
    if is_split and config.is_split:
        height, width = multiples_of(height, width, tile)
        image = resize(image, height, width, config.resample)
        rows, cols = height // tile, width // tile
        views = [image]
        if rows * cols > 1:
            views = [image[y * tile : (y + 1) * tile, x * tile : (x + 1) * tile]
                     for y in range(rows) for x in range(cols)]
            views.append(resize(image, tile, tile, config.resample))
        else:
            rows = cols = 0
    else:
        views = [resize(image, tile, tile, config.resample)]
    stack = np.stack(views).astype(np.float32) * np.float32(config.rescale)
    mean, std = np.array(config.mean, np.float32), np.array(config.std, np.float32)
    return np.ascontiguousarray(((stack - mean) / std).transpose(0, 3, 1, 2)), rows, cols


def longest_to(height: int, width: int, longest: int) -> tuple[int, int]:
    """Rows and columns with the longer side at ``longest``, the other rounded up to even."""
    ratio = width / height
    if width >= height:
        width, height = longest, int(longest / ratio)
        height += height % 2
    else:
        height, width = longest, int(longest * ratio)
        width += width % 2
    height, width = max(height, 1), max(width, 1)
    ratio = width / height
    if width >= height and width > _LARGEST_EDGE:
        width, height = _LARGEST_EDGE, int(_LARGEST_EDGE / ratio)
    elif height > width and height > _LARGEST_EDGE:
        height, width = _LARGEST_EDGE, int(_LARGEST_EDGE * ratio)
    return max(height, 1), max(width, 1)


def multiples_of(height: int, width: int, tile: int) -> tuple[int, int]:
    """Rows and columns rounded up to whole tiles, near the picture's aspect ratio."""
    ratio = width / height
    if width >= height:
        width = ceil(width / tile) * tile
        height = ceil(int(width / ratio) / tile) * tile
    else:
        height = ceil(height / tile) * tile
        width = ceil(int(height * ratio) / tile) * tile
    return max(height, tile), max(width, tile)


def image_pieces(rows: int, cols: int, tokens: int) -> list[str]:
    """Special tokens and line breaks that stand for one picture in the prompt."""
    whole = [FAKE, GLOBAL, *[IMAGE] * tokens, FAKE]
    if rows * cols == 0:
        return whole
    pieces: list[str] = []
    for row in range(1, rows + 1):
        for col in range(1, cols + 1):
            pieces += [FAKE, f"<row_{row}_col_{col}>", *[IMAGE] * tokens]
        pieces.append("\n")
    return [*pieces, "\n", *whole]


def chat_pieces(begin: str, pictures: list[list[str]], question: str) -> list[tuple[str, bool]]:
    """(text, is_special) of one turn: pictures, then the question; the answer follows."""
    pieces = [(begin, True)] if begin else []
    pieces.append(("User:" if pictures else "User: ", False))
    pieces += [(piece, piece != "\n") for picture in pictures for piece in picture]
    return [*pieces, (question, False), (END, True), ("\nAssistant:", False)]
