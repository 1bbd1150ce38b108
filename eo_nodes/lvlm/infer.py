"""Answer one prompt on one image: what `spaceverse infer` calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.model import LvlmModel
from eo_nodes.lvlm.views import ViewTensor


@dataclass(frozen=True, slots=True)
class InferResult:
    """answer: text; confidence: calibrated, [0, 1]; seconds: of computing; tokens: decoded."""

    answer: str
    confidence: float
    seconds: float
    tokens: int


def overview_of(
    values: NDArray[np.generic], bands: Sequence[str], modality: str
) -> ViewTensor:
    """The whole image as one overview. values: (H, W, C), or (F, H, W, C) for several dates."""
    frames = values[None] if values.ndim == 3 else values
    if frames.ndim != 4:
        raise ModelError(f"image of shape {values.shape}, expected (H, W, C) or (F, H, W, C)")
    height, width = frames.shape[1:3]
    return ViewTensor(frames, tuple(bands), modality, (0, 0, width, height), "overview")


def answer_image(
    model: LvlmModel,
    values: NDArray[np.generic],
    bands: Sequence[str],
    modality: str,
    prompt: str,
    *,
    clock_ns: Callable[[], int],
    max_tokens: int = 40,
) -> InferResult:
    """Answer a prompt on one image, seen as one overview.

    Args:
        values: (H, W, C) or (F, H, W, C), native dtype, ranges as in ``bands``.
        clock_ns: monotonic clock, e.g. ``time.monotonic_ns``.
    Raises:
        ModelError: image, modality or prompt break their contract.
    """
    start_ns = clock_ns()
    session = model.start([overview_of(values, bands, modality)], prompt, max_tokens=max_tokens)
    session.decode(max_tokens)
    tap = session.tap()
    confidence = model.calibration[3].confidence(tap)
    return InferResult(session.text, confidence, (clock_ns() - start_ns) / 1e9, tap.tokens)
