"""The model under test: a folder answered from by onnxruntime, and what it is able to do."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.contracts.errors import EoError
from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.infer import AnswersImages, EmbedsImages, ImageInput, answer
from eo_nodes.lvlm.text_space import TextEncoder
from training.evaluation.readers import yes_no
from training.instruct import phrases

# text: answers a question on one image; dates: on several images of one sensor.
_ALWAYS = frozenset({"text", "dates"})
_REMEMBERED = 64


@dataclass(frozen=True, slots=True)
class Said:
    """One answer; ``error`` says why there is none."""

    text: str
    confidence: float
    seconds: float
    error: str = ""


def remember_pictures(model: Any) -> None:
    """Let a model with a vision graph of its own see each picture once for all questions on it."""
    see, seen = model.run_vision, {}

    def run_vision(*inputs: Any, **named: Any) -> Any:
        arrays = [x for x in (*inputs, *named.values()) if isinstance(x, np.ndarray)]
        key = tuple((a.shape, hash(a.tobytes())) for a in arrays)
        if key not in seen:
            if len(seen) >= _REMEMBERED:
                seen.clear()
            seen[key] = see(*inputs, **named)
        return seen[key]

    model.run_vision = run_vision


class Subject:
    """A loaded model folder.

    Attributes:
        name: of the folder. digest: SHA-256 of its manifest.
        abilities: text, dates, places (spatial output), visual_prompts, sensors, video, embed,
            match.
        held_out: per set the class names that its training never saw, from config.json.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        model = load_model(folder, threads=threads)
        self.name, self.digest = folder.resolve().name, model.digest
        self.abilities = abilities_of(model)
        if hasattr(model, "run_vision"):
            remember_pictures(model)
        self._model: Any = model
        self._texts: TextEncoder | None = None
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        self.held_out: dict[str, list[str]] = config.get("held_out_classes", {})

    def answer(self, images: Sequence[ImageInput], prompt: str, max_tokens: int) -> Said:
        """Answer, or say why not; nothing that a model refuses stops an evaluation."""
        try:
            said = answer(self._model, images, prompt, clock_ns=time.monotonic_ns,
                          max_tokens=max_tokens)
        except EoError as fault:
            return Said("", 0.0, 0.0, str(fault))
        return Said(said.answer, said.confidence, said.seconds)

    def embed_image(self, image: ImageInput) -> np.ndarray:
        """(384,) float32 of unit length. Raises ModelError."""
        return np.asarray(self._model.embed_image(image.values, image.bands, image.modality))

    def embed_text(self, texts: list[str]) -> np.ndarray:
        """(n, 384) float32 of unit length. Raises ModelError."""
        if self._texts is None:
            self._texts = TextEncoder()
        return self._texts.embed_text(texts)

    def match(self, first: ImageInput, second: ImageInput) -> float:
        """How much two sensors' images seem to show one place; any scale. Raises ModelError.

        By the model's own measure, else by how sure it is of its yes or no.
        """
        if "match" in self.abilities:
            return float(self._model.match(first, second))
        said = self.answer((first, second), phrases.MATCH[0], 8)
        return said.confidence if yes_no(said.text) == "yes" else -said.confidence


def abilities_of(model: object) -> frozenset[str]:
    """What a loaded model can be asked for, by what it offers."""
    found = set(_ALWAYS)
    if isinstance(model, AnswersImages):
        found |= {"places", "visual_prompts", "sensors", "video"}
    if isinstance(model, EmbedsImages):
        found |= {"embed"}
    if hasattr(model, "match"):
        found |= {"match"}
    return frozenset(found)
