"""A window of a scene as the nodes hand it to a model; each family makes its own input of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ViewTensor:
    """One window of a scene.

    Attributes:
        values: (F, H, W, C) native dtype, F frames in time order (1 for a single date).
        bands: C names, e.g. ``B04 665nm``, ``red``, ``VV``.
        modality: as of ``infer.ImageInput``.
        window: (x, y, w, h) in scene pixels, w and h > 0.
        kind: ``overview`` (the whole area of the request) or ``zoom`` (a part of it).
    """

    values: NDArray[np.generic]
    bands: tuple[str, ...]
    modality: str
    window: tuple[int, int, int, int]
    kind: str
