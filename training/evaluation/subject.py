"""The model under test: a folder answered from by onnxruntime, and what it is able to do."""

from __future__ import annotations

import hashlib
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.contracts.errors import EoError, ModelError
from eo_nodes.lvlm import load_model
from eo_nodes.lvlm.infer import AnswersImages, EmbedsImages, ImageInput, answer, overview_of
from eo_nodes.lvlm.manifest import MANIFEST, answers_digest
from eo_nodes.lvlm.sight import Picture
from eo_nodes.lvlm.text_space import TextEncoder
from training.evaluation.readers import yes_no
from training.instruct import phrases

# text: answers a question on one image; dates: on several images of one sensor.
_ALWAYS = frozenset({"text", "dates"})
# What a model does with pixels alone, whatever is asked: done once a picture.
_PURE = ("see", "look_at", "write_scene", "compare", "signature_of")
_REMEMBERED = 48


@dataclass(frozen=True, slots=True)
class Said:
    """One answer; ``error`` says why there is none."""

    text: str
    confidence: float
    seconds: float
    error: str = ""


def key_of(value: Any) -> Any:
    """A hashable value that is equal for equal arguments; arrays count by their content."""
    if isinstance(value, np.ndarray):
        flat = np.ascontiguousarray(value)
        return value.shape, value.dtype.str, hashlib.blake2b(flat, digest_size=16).digest()
    if is_dataclass(value) and not isinstance(value, type):
        # Not astuple: it would copy every array before it is looked at.
        return tuple(key_of(getattr(value, name)) for name in value.__dataclass_fields__)
    if isinstance(value, dict):
        return tuple((k, key_of(v)) for k, v in value.items())
    return value


def remember(function: Callable[..., Any], most: int = _REMEMBERED) -> Callable[..., Any]:
    """The function with its last ``most`` results kept; the same objects are given again."""
    kept: OrderedDict[Any, Any] = OrderedDict()

    def called(*inputs: Any, **named: Any) -> Any:
        key = tuple(map(key_of, inputs)), key_of(named)
        if key not in kept:
            kept[key] = function(*inputs, **named)
            if len(kept) > most:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return kept[key]

    return called


class Subject:
    """A loaded model folder.

    Attributes:
        name: of the folder. size: compact or regular, whose targets it is held against.
        digest: of what its answers hang on (``answers_digest``; of all files where nothing is
            sealed). record: what its bits depend on (``runtime.RunRecord``).
        abilities: text, dates, places (spatial output), visual_prompts, sensors, video, embed,
            relevance, cell_meaning, signature.
    """

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        model: Any = load_model(folder, threads=threads)
        self.name = folder.resolve().name
        is_sealed = (folder / MANIFEST).is_file()
        self.digest = answers_digest(folder) if is_sealed else model.digest
        self.size = "compact" if "compact" in (model.id, self.name) else "regular"
        self.record: dict[str, Any] = model.record.as_dict()
        self.abilities = abilities_of(model)
        for name in _PURE:
            if hasattr(model, name):
                setattr(model, name, remember(getattr(model, name)))
        self._model = model
        self._texts: TextEncoder | None = None

    @property
    def run_key(self) -> str:
        """Names the answers of these weights on this runtime, provider, threads and processor.

        Heads or calibration that come later leave it as it is.
        """
        text = json.dumps(self.record, sort_keys=True)
        return f"{self.digest[:16]}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"

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

    def relevance(self, image: ImageInput, prompt: str) -> np.ndarray:
        """(rows, cols) in [0, 1]: how much each cell matters for the prompt, as tap 1 tells the
        decision node. Raises ModelError."""
        view = overview_of(image.values, image.bands, image.modality)
        return np.asarray(self._model.start([view], prompt, max_tokens=8).tap().relevance)

    def cell_meaning(self, image: ImageInput) -> np.ndarray:
        """(rows, cols, 384) unit vectors of the cells in the language space. Raises ModelError."""
        picture = Picture(image.values[0], image.bands, image.modality)
        feed, seen = self._model.look_at(picture, None, None)
        return np.asarray(seen.cell_meaning[0]).reshape(*feed.grid, -1)

    def signature(self, image: ImageInput) -> np.ndarray:
        """(n,) unit vector of the layout, to be compared across sensors. Raises ModelError."""
        picture = Picture(image.values[0], image.bands, image.modality)
        return np.asarray(self._model.signature_of(picture))

    def match(self, first: ImageInput, second: ImageInput) -> float:
        """How sure the model says that two sensors' images show one place; -1 to 1."""
        said = self.answer((first, second), phrases.MATCH[0], 8)
        return said.confidence if yes_no(said.text) == "yes" else -said.confidence


def abilities_of(model: Any) -> frozenset[str]:
    """What a loaded model can be asked for, by what it offers."""
    found = set(_ALWAYS)
    if isinstance(model, AnswersImages):
        found |= {"places", "visual_prompts", "sensors", "video"}
    if isinstance(model, EmbedsImages):
        found |= {"embed"}
    if hasattr(model, "start"):
        found |= {"relevance"}
    if hasattr(model, "look_at"):
        found |= {"cell_meaning"}
    if hasattr(model, "signature_of") and _has_signature(model):
        found |= {"signature"}
    return frozenset(found)


def _has_signature(model: Any) -> bool:
    """Whether the folder was exported with it."""
    try:
        model.signature_of(Picture(np.zeros((32, 32, 1), np.uint8), ("amplitude",), "sar"))
    except ModelError:
        return False
    return True
