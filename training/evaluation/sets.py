"""Samples as the evaluation shows them: native pixels of the sets that training reads too.

Non-purpose: reading the data folder (``training.instruct.sources``), questions (``asks``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eo_nodes.contracts.errors import ConfigError
from eo_nodes.lvlm.infer import ImageInput
from training.instruct import builder
from training.instruct.sources import SETS, Library
from training.instruct.sources import Sample as Stored

# Ship chips were cut in proportion to the ship, so their padding tells its length: only a centre
# of fixed size is shown, as in training.
SHIP_WINDOW_PX = 32
RADAR_BANDS = ("VV", "VH", "HH", "HV", "amplitude")
Box = tuple[float, float, float, float]


def modality_of(set_name: str, bands: Sequence[str]) -> str:
    """Modality of one image as training tags it; of a pair of sensors each has its own."""
    named = SETS[set_name].modality
    if named != "fusion":
        return named
    return "sar" if set(bands) <= set(RADAR_BANDS) else "optical"


class Sample:
    """One picture or pair, decoded when looked at.

    Attributes:
        facts: the index line. cluster: samples of one cluster are not independent.
    """

    def __init__(self, library: Library, stored: Stored) -> None:
        self._library, self._stored = library, stored
        self.set_name, self.id, self.facts = stored.set_name, stored.id, stored.facts
        self.cluster = stored.scene
        self._size: tuple[int, int] | None = None

    @property
    def images(self) -> tuple[ImageInput, ...]:
        """One image, or two of a pair (before and after; optical and radar)."""
        members = [m for m in ("image", "image2") if m in self.facts]
        found = tuple(self._image(m) for m in members)
        height, width = found[0].values.shape[1:3]
        self._size = height, width
        return found

    @property
    def picture(self) -> str:
        """Name of the pixels: samples of one picture are asked one after the other."""
        return self.id

    def _image(self, member: str) -> ImageInput:
        values = self._library.pixels(self._stored, member)
        if values.dtype == np.float16:  # stored small; models take float32
            values = values.astype(np.float32)
        if self.set_name == "opensarship":
            y, x = ((side - SHIP_WINDOW_PX) // 2 for side in values.shape[:2])
            values = values[y : y + SHIP_WINDOW_PX, x : x + SHIP_WINDOW_PX]
        bands = self._stored.bands2 if member == "image2" else self._stored.bands
        return ImageInput(values[None], bands, modality_of(self.set_name, bands))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the first image, pixels."""
        if self._size is None:
            height, width = self.images[0].values.shape[1:3]
            self._size = height, width
        return self._size

    @property
    def mask(self) -> np.ndarray:
        """(H, W) uint8 as stored."""
        return self._library.mask(self._stored)

    @property
    def boxes(self) -> list[tuple[str, Box]]:
        """(label as stored, (x1, y1, x2, y2) in pixels)."""
        pairs = zip(self.facts.get("box_labels", []), self.facts.get("boxes", []), strict=True)
        return [(label, (x, y, x + w, y + h)) for label, (x, y, w, h) in pairs]


def open_library(data: Path) -> Library:
    """The data folder.

    Raises:
        ConfigError: it holds no set.
    """
    try:
        # The builder's own, so that pictures are decoded and kept once.
        return builder.library(data)
    except OSError as fault:
        raise ConfigError(f"--data {data}: {fault}") from fault


def draw(key: str) -> str:
    """Order of a seeded draw: the same samples on every machine, whatever the limit."""
    return hashlib.sha256(f"draw:{key}".encode()).hexdigest()


def samples(library: Library, name: str, split: str) -> list[Sample]:
    """Samples of one split, in the order of the file."""
    return [Sample(library, s) for s in library.samples(name, split)]
