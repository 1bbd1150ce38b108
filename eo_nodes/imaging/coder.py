"""Code the regions of one window as they are tried: estimates first, then real bytes, each once.

Purpose: what ``decision.sending`` asks of a coder, for one request. Non-purpose: choosing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
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
    write_container,
)
from .looks import Look
from .prepare import fit
from .rate import Profile, head_bytes, profile, spacing, statistic

Array = NDArray[Any]
Base = tuple[float, float]
"""Scale of the side length, and step of the wavelet or 0."""
# Heads that a cell costs: its block's and its entry in the file's, less what neighbours share.
_HEAD_SHARE = 0.8
_SAMPLES = 6_000  # that the contrast is taken from, about


class RegionCoder:
    """Regions of one window of a frame.

    Attributes:
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
        look: Look | None = None,
    ) -> None:
        """Take a frame (F, H, W, C); the window is the header's; overview_px 0: no overview.

        Args:
            look: what is known of this window at this error from an earlier request.
        """
        self._frame, self._header = frame, header
        self._codec, self._max_error = codec, max_error
        x, y, w, h = header.window
        self._window = frame[:, y : y + h, x : x + w, :]
        self._overview_px = overview_px
        self._look = look if look is not None else Look()
        if self._look.contrast is None:
            thin = max(1, int(np.sqrt(self._window.size / _SAMPLES)))
            low, high = np.percentile(self._window[:, ::thin, ::thin], (1, 99))
            self._look.contrast = float(high - low)
        self.contrast = self._look.contrast
        self._known: dict[tuple[tuple[int, ...], str, float, str], CodedRegion] = {}
        self._head_size = 0

    @property
    def has_steps(self) -> bool:
        """Whether the codec has quality steps."""
        return self._codec == "htj2k"

    @property
    def overview_scale(self) -> float:
        """Side length of the smallest overview; 0 without one."""
        _, _, w, h = self._header.window
        return fit(h, w, self._overview_px)[1] / w if self._overview_px else 0.0

    def overview(self, base: Base | None) -> bytes:
        """Coded block of the whole window; None: the smallest."""
        _, _, w, h = self._header.window
        scale, step = base or (0.0, 0.0)
        longest = max(1, round(scale * max(w, h))) if base else self._overview_px
        if not longest:
            return b""
        known = self._look.overviews
        if (longest, step) not in known:
            known[longest, step] = code_overview(
                self._frame, self._header.window, longest_px=longest, wavelet_step=step)
        return known[longest, step]

    @property
    def head_size(self) -> int:
        """Bytes of a product file that holds nothing."""
        if self._head_size == 0:
            self._head_size = len(write_container(self._header, b"", ()))
        return self._head_size

    def estimate(
        self, windows: Sequence[Sequence[int]] | Array, options: Sequence[Base]
    ) -> Profile:
        """Bytes, a head included, and detail shown of N cells at K times (scale, step).

        Args:
            windows: x, y, w, h in scene pixels, inside the header's. options: as ``rate.profile``.
        """
        x0, y0, _, _ = self._header.window
        places = np.asarray(windows) - (x0, y0, 0, 0)
        least_px = int(places[:, 2:].min())
        known = self._look.statistics
        # What an earlier request knew better would let its answers depend on what came before.
        spaced = spacing(self._window.size, least_px)
        if spaced not in known:
            known[spaced] = statistic(self._window, unit=self._unit(), least_px=least_px)
        found = profile(known[spaced], places, options)
        head = _HEAD_SHARE * head_bytes(self._window.shape[0] * self._window.shape[3])
        return Profile(found.bytes + head, found.shown, found.fine)

    def _unit(self) -> float:
        if self._frame.dtype.kind in "iu":
            return 2 * int(self._max_error) + 1.0
        return max(2 * self._max_error, self.contrast / 65_535, 1e-9)

    def code(self, region: Region) -> CodedRegion:
        """Code one region; a codec in it, with ``/STEP`` behind it or not, goes before the coder's.

        Raises:
            ImageError: as ``container.code_region``.
        """
        key = (tuple(region.window), region.action, region.scale, region.codec)
        if key not in self._known:
            name, _, step = region.codec.partition("/")
            self._known[key] = code_region(
                self._frame, region, codec=name or self._codec, max_error=self._max_error,
                wavelet_step=float(step or 0),
            )  # fmt: skip
        coded = self._known[key]
        return CodedRegion(replace(coded.region, relevance=region.relevance), coded.data)

    def block_size(self, region: Region) -> int:
        """Bytes of one region as coded."""
        return len(self.code(region).data)

    def product(self, regions: Sequence[Region], base: Base | None = None) -> bytes:
        """Return the product file of these regions over this overview, which is left out where
        nothing of it would be seen: all is exact, or one block is all of the window."""
        coded = [self.code(region) for region in regions]
        is_whole = len(coded) == 1 and coded[0].region.action != "drop"
        is_whole = is_whole or (bool(coded) and all(part.region.is_exact for part in coded))
        return write_container(self._header, b"" if is_whole else self.overview(base), coded)

    def size(self, regions: Sequence[Region], base: Base | None = None) -> int:
        """Bytes of the product file of these regions over this overview."""
        return len(self.product(regions, base))
