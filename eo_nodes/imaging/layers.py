"""Layered JPEG 2000: exact when whole, a coarser picture when the end is missing.

Purpose: blocks that a pass may break off. Non-purpose: speed; HTJ2K codes 16 times faster.
Theory of operation: the layers hold about 1/40, 1/16, 1/8 and 1/3 of the samples' bytes, the last
one the rest. Every packet has a marker in front. What is cut is trimmed to whole packets and its
tile length set right before it is decoded: a packet cut in the middle would else take whole code
blocks with it, and the picture would be worse than one with fewer bytes.
Source: ISO/IEC 15444-1 B.10 (layers), A.4.2 (SOT), A.8.1 (SOP); coder: GDAL's OpenJPEG driver.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

Array = NDArray[Any]
# Per cent of the bytes before coding; 100 with the reversible wavelet is exact.
_LAYERS = "2.5,6,12,30,100"
_MOST_RESOLUTIONS = 5
_START_OF_TILE, _START_OF_PACKET = b"\xff\x90\x00\x0a", b"\xff\x91\x00\x04"
END = b"\xff\xd9"


def encode(planes: Array, *, is_colour: bool = False) -> bytes:
    """Code (planes, height, width) uint8 or uint16; colour: three planes that are alike."""
    count, height, width = planes.shape
    resolutions = min(_MOST_RESOLUTIONS, max(1, min(height, width).bit_length() - 2))
    with MemoryFile() as memory, warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with memory.open(
            driver="JP2OpenJPEG", count=count, height=height, width=width, dtype=planes.dtype.name,
            QUALITY=_LAYERS, REVERSIBLE="YES", YCC="YES" if is_colour else "NO",
            PROGRESSION="LRCP", CODEC="J2K", SOP="YES", RESOLUTIONS=str(resolutions),
        ) as file:  # fmt: skip
            file.write(planes)
        return bytes(memory.read())


def trim(data: bytes) -> bytes:
    """A codestream that was cut, as one of whole packets; what is whole stays as it is."""
    if data.endswith(END):
        return data
    tile, packet = data.find(_START_OF_TILE), data.rfind(_START_OF_PACKET)
    if tile < 0 or packet < tile:
        return data  # the decoder says what it lacks
    length = (packet - tile).to_bytes(4, "big")
    return data[: tile + 6] + length + data[tile + 10 : packet] + END


def decode(data: bytes) -> Array:
    """Decode what there is of a codestream; what is missing makes it coarser.

    Raises:
        RuntimeError: nothing of it can be decoded.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            with MemoryFile(trim(data), ext=".j2k") as memory:  # noqa: SIM117
                with memory.open(driver="JP2OpenJPEG", STRICT="NO") as file:
                    return np.asarray(file.read())
    except RasterioError as error:
        raise RuntimeError(f"layers: {error}") from error
