"""Answer one prompt on one or several images: what command, Python API and evaluation call.

A model that understands places and several sensors offers ``answer`` itself (`AnswersImages`). For
others an image is one overview, several images are dates of one place, and visual prompts are
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.interface import VisionLanguageModel
from eo_nodes.lvlm.views import ViewTensor
from eo_nodes.lvlm.visual_prompts import VisualPrompt, compose
from eo_nodes.lvlm.zoom import MOST_WINDOWS

Float = NDArray[np.float32]
MAX_IMAGES = 8


@dataclass(frozen=True, slots=True, eq=False)
class ImageInput:
    """One image of a request.

    Attributes:
        values: (F, H, W, C) native dtype, F frames in time order; ranges as in ``bands``.
        bands: C names, e.g. ``B04 665nm``, ``red``, ``VV``.
        modality: optical, multispectral, sar, thermal, elevation, temporal or video.
    """

    values: NDArray[np.generic]
    bands: tuple[str, ...]
    modality: str


@dataclass(frozen=True, slots=True)
class InferResult:
    """What a model said.

    Attributes:
        answer: text, spatial output in canonical form (see ``slis``) within it.
        confidence: calibrated, [0, 1].
        seconds: of computing. tokens: decoded, the end token included.
    """

    answer: str
    confidence: float
    seconds: float
    tokens: int


@runtime_checkable
class AnswersImages(Protocol):
    """A model that takes images as they are, of any sensors, and visual prompts."""

    def answer(
        self,
        images: Sequence[ImageInput],
        prompt: str,
        visual_prompts: Sequence[VisualPrompt],
        *,
        max_tokens: int,
        zooms: int = 0,
    ) -> tuple[str, float, int]:
        """Text, calibrated confidence in [0, 1], tokens decoded. Raises ModelError.

        ``prompt`` holds every visual prompt in spatial form, in the order of ``visual_prompts``.
        ``zooms``: 0 to 4, as in ``answer``.
        """
        ...


@runtime_checkable
class EmbedsImages(Protocol):
    """A model whose images lie in the language space; its texts are those of ``text_space``."""

    def embed_image(
        self, values: NDArray[np.generic], bands: Sequence[str], modality: str
    ) -> Float:
        """(384,) float32 of unit length; values (F, H, W, C) as in ``ImageInput``."""
        ...


def overview_of(
    values: NDArray[np.generic], bands: Sequence[str], modality: str
) -> ViewTensor:
    """The whole image as one overview. values: (H, W, C), or (F, H, W, C) for several dates."""
    frames = values[None] if values.ndim == 3 else values
    if frames.ndim != 4:
        raise ModelError(f"image of shape {values.shape}, expected (H, W, C) or (F, H, W, C)")
    height, width = frames.shape[1:3]
    return ViewTensor(frames, tuple(bands), modality, (0, 0, width, height), "overview")


def frames_of(images: Sequence[ImageInput]) -> list[ImageInput]:
    """Images as places count them: every frame is one, in order; no pixels are copied.

    Raises:
        ModelError: an image of another rank.
    """
    found: list[ImageInput] = []
    for image in images:
        if image.values.ndim != 4 or 0 in image.values.shape:
            raise ModelError(f"image of shape {image.values.shape}, expected (F, H, W, C)")
        found += [replace(image, values=image.values[f : f + 1])
                  for f in range(image.values.shape[0])]
    return found


def sizes_of(images: Sequence[ImageInput]) -> list[tuple[int, int]]:
    """(height, width) of each image that a place can be on; see `frames_of`."""
    return [(i.values.shape[1], i.values.shape[2]) for i in frames_of(images)]


def usual_max_tokens(model: object) -> int:
    """Longest answer where nobody says: room for masks where a model can draw them."""
    return 256 if isinstance(model, AnswersImages) else 40


def answer(
    model: VisionLanguageModel | AnswersImages,
    images: Sequence[ImageInput],
    prompt: str,
    visual_prompts: Sequence[VisualPrompt] = (),
    *,
    clock_ns: Callable[[], int],
    max_tokens: int | None = None,
    zooms: int | None = 0,
) -> InferResult:
    """Answer a prompt on 1 to 8 images: dates, frames or sensors of one place.

    Args:
        prompt: question; places may stand in it in spatial form, e.g. ``<point 12 40>``.
        visual_prompts: further places; put into the text where their labels or its end are.
        clock_ns: monotonic clock, e.g. ``time.monotonic_ns``.
        max_tokens: longest answer, the end token included, >= 1; None: as usual for the model.
        zooms: windows, 0 to 4, of each image larger than the model's input that are looked at
            again at native resolution: around the places asked about, else its quarters; None:
            as many as the model takes.
    Raises:
        ModelError: image, modality or prompt break their contract, or are more than this model
            understands.
        VisualPromptError, SlisSyntaxError: a place is malformed.
    """
    if not 1 <= len(images) <= MAX_IMAGES:
        raise ModelError(f"{len(images)} images, expected 1 to {MAX_IMAGES}")
    sizes = [(width, height) for height, width in sizes_of(images)]
    prompt, places = compose(prompt, visual_prompts, sizes)
    beyond = [place.image for place in places if place.image >= len(sizes)]
    if beyond:
        raise ModelError(f"a place is on image {beyond[0]}, the last one is {len(sizes) - 1}")
    max_tokens = max_tokens or usual_max_tokens(model)
    start_ns = clock_ns()
    if isinstance(model, AnswersImages):
        text, confidence, tokens = model.answer(
            images, prompt, places, max_tokens=max_tokens,
            zooms=MOST_WINDOWS if zooms is None else zooms,
        )
    else:
        if places:
            raise ModelError("this model takes no visual prompts")
        if zooms:
            raise ModelError("this model sees an image as a whole, it takes no zooms")
        text, confidence, tokens = _answer_overview(model, _as_dates(images), prompt, max_tokens)
    return InferResult(text, confidence, (clock_ns() - start_ns) / 1e9, tokens)


def answer_image(
    model: VisionLanguageModel | AnswersImages,
    values: NDArray[np.generic],
    bands: Sequence[str],
    modality: str,
    prompt: str,
    *,
    clock_ns: Callable[[], int],
    max_tokens: int = 40,
) -> InferResult:
    """As `answer`, on one image (H, W, C) or (F, H, W, C)."""
    frames = values[None] if values.ndim == 3 else values
    image = ImageInput(frames, tuple(bands), modality)
    return answer(model, [image], prompt, clock_ns=clock_ns, max_tokens=max_tokens)


def language_space(model: object, model_id: str = "") -> EmbedsImages:
    """The model as one with a language space.

    Raises:
        ModelError: it has none.
    """
    if not isinstance(model, EmbedsImages):
        name = model_id or getattr(model, "id", "this model")
        raise ModelError(f"{name} has no language space: it cannot embed images")
    return model


def _as_dates(images: Sequence[ImageInput]) -> ImageInput:
    """Several images of one sensor as the frames of one temporal image."""
    first = images[0]
    if len(images) == 1:
        # These models know no video; one frame of it is a picture.
        return replace(first, modality="optical") if first.modality == "video" else first
    alike = (first.values.shape[1:], first.values.dtype, first.bands, first.modality)
    for other in images[1:]:
        if (other.values.shape[1:], other.values.dtype, other.bands, other.modality) != alike:
            raise ModelError("this model takes several images only as dates of one sensor and size")
    return ImageInput(np.concatenate([i.values for i in images]), first.bands, "temporal")


def _answer_overview(
    model: VisionLanguageModel, image: ImageInput, prompt: str, max_tokens: int
) -> tuple[str, float, int]:
    view = overview_of(image.values, image.bands, image.modality)
    session = model.start([view], prompt, max_tokens=max_tokens)
    session.decode(max_tokens)
    tap = session.tap()
    fitted = model.calibration.get(3)
    confidence = fitted.confidence(tap) if fitted else session.confidence
    return session.text, confidence, tap.tokens
