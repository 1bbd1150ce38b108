"""Code the regions of one window as they are tried: estimates first, then real bytes, each once.

Purpose: what ``decision.sending`` asks of a coder, for one request. Non-purpose: choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.values import Region

from . import codecs
from .container import (
    CodedRegion,
    ProductHeader,
    code_overview,
    code_region,
    is_exact,
    write_container,
)
from .prepare import fit
from .rate import SCALES, head_bytes, profile

Array = NDArray[Any]
_SAMPLES = 200_000  # that the contrast is taken from, at most


class RegionCoder:
    """Regions of one window of a frame.

    Attributes:
        overview: coded block of the whole window, or empty.
        contrast: between the 1st and the 99th percentile of the window, units of the samples.
    """

    def __init__(
        self,
        frame: Array,
        header: ProductHeader,
        *,
        overview_px: int = 32,
        codec: str = codecs.DEFAULT_CODEC,
        max_error: float = 0.0,
    ) -> None:
        """Take a frame (F, H, W, C); the window is the header's; overview_px 0: no overview."""
        self._frame, self._header = frame, header
        self._codec, self._max_error = codec, max_error
        x, y, w, h = header.window
        self._window = frame[:, y : y + h, x : x + w, :]
        self.overview = (
            code_overview(frame, header.window, longest_px=overview_px) if overview_px else b""
        )
        self.overview_scale = fit(h, w, overview_px)[1] / w if overview_px else 0.0
        thin = max(1, int(np.sqrt(self._window.size / _SAMPLES)))
        low, high = np.percentile(self._window[:, ::thin, ::thin], (1, 99))
        self.contrast = float(high - low)
        self._known: dict[tuple[tuple[int, ...], str, float, str], CodedRegion] = {}

    @property
    def has_steps(self) -> bool:
        """Whether the codec has quality steps."""
        return self._codec == "htj2k"

    def estimate(
        self, window: Sequence[int], options: Sequence[tuple[float, float]]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Bytes (K,) and detail shown (K,) of a cell at (scale, step), and what the overview shows.

        Args:
            window: x, y, w, h in scene pixels. options: as ``rate.profile``.
        """
        x, y, w, h = window
        block = self._frame[:, y : y + h, x : x + w, :]
        coarse = next((s for s in reversed(SCALES) if s >= self.overview_scale), 1.0)
        found = profile(block, [*options, (coarse, 0.0)], unit=self._unit())
        known = float(found.shown[-1]) * min(1.0, self.overview_scale / coarse)
        head = head_bytes(block.shape[0] * block.shape[3])
        return found.bytes[:-1] + head, found.shown[:-1], known

    def _unit(self) -> float:
        if self._frame.dtype.kind in "iu":
            return 2 * int(self._max_error) + 1.0
        return max(2 * self._max_error, self.contrast / 65_535, 1e-9)

    def code(self, region: Region) -> CodedRegion:
        """Code one region; a codec ``htj2k/STEP`` in it says the quality.

        Raises:
            ImageError: as ``container.code_region``.
        """
        key = (tuple(region.window), region.action, region.scale, region.codec)
        if key not in self._known:
            _, _, step = region.codec.partition("/")
            self._known[key] = code_region(
                self._frame, region, codec=self._codec, max_error=self._max_error,
                wavelet_step=float(step or 0),
            )  # fmt: skip
        coded = self._known[key]
        return CodedRegion(_with_relevance(coded.region, region.relevance), coded.data)

    def product(self, regions: Sequence[Region], header: ProductHeader | None = None) -> bytes:
        """Return the product file of these regions; the overview is left out where nothing of it
        would be seen."""
        coded = [self.code(region) for region in regions]
        is_whole = bool(coded) and all(is_exact(part.region) for part in coded)
        return write_container(header or self._header, b"" if is_whole else self.overview, coded)

    def size(self, regions: Sequence[Region]) -> int:
        """Bytes of the product file of these regions."""
        return len(self.product(regions))


def _with_relevance(region: Region, relevance: float) -> Region:
    return Region(
        window=region.window, action=region.action, scale=region.scale, relevance=relevance,
        codec=region.codec, coded_bytes=region.coded_bytes,
    )  # fmt: skip
