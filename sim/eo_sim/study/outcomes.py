"""What the real cores make of one question: both models, every tap, every level of compression.

The calls are those of the nodes: views by ``imaging.prepare``, the compact session with its pauses
(compact_lvlm), regions by cues, ``decision.sending`` and ``imaging.coder`` (preprocess), pixels put
together by ``imaging.container`` and the regular session on them (ground_lvlm), scores by the heads
of the compact folder (confidence).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts import ids
from eo_nodes.contracts.errors import EoError
from eo_nodes.contracts.rules import MODALITIES
from eo_nodes.contracts.values import Answer, Request, Scene, Step
from eo_nodes.decision.heads import has_heads, read_heads
from eo_nodes.decision.levels import LEVELS
from eo_nodes.decision.product import product_of
from eo_nodes.decision.relevance import Cues, RelevanceConfig, relevance_of
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.container import compose, read_container
from eo_nodes.imaging.header import header_of, raw_bytes_of
from eo_nodes.imaging.prepare import view_array, views_of
from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.cues import seen_of
from eo_nodes.lvlm.infer import AnswersImages, ImageInput
from eo_nodes.lvlm.interface import VisionLanguageModel
from eo_nodes.lvlm.tap_features import ShowsEvidence, features_of
from eo_nodes.store import codec
from eo_nodes.tasking.finals import ASKED, CAPTURED, DECIDED, FINAL, ISSUED, MATCHED

from .limits import GraphLimits

Array = NDArray[Any]
Judge = Callable[[str], float]
# Any times: what counts is how long they are when written, and that no two are alike, as a head
# is compressed.
_ASKED_NS, _CAPTURED_NS = 1_786_921_347_586_902_413, 1_787_004_218_063_951_728
_MATCHED_NS, _DECIDED_NS = 1_787_004_219_540_286_137, 1_787_004_220_873_615_904
_KNOWN = ("uint8", "uint16", "int16", "float32")


@dataclass(frozen=True, slots=True)
class Stopped:
    """The compact session at one tap: state for costs, statistics and scores."""

    macs: int
    stats: tuple[float, float, float, float]
    scores: tuple[float, float, float]
    distance: float


class Cores:
    """Both models loaded, and what goes between them.

    Args:
        compact, regular: model folders. limits: what the nodes are told.
    Raises:
        ModelError: a folder is refused.
    """

    def __init__(
        self, compact: Path, regular: Path, limits: GraphLimits, *, threads: int = 1
    ) -> None:
        self.limits = limits
        self.compact: Any = load_model(compact, threads=threads)
        self.regular: Any = load_model(regular, threads=threads)
        self._heads = read_heads(compact) if has_heads(compact) else None
        self._relevance, self._sending = RelevanceConfig(), SendingConfig()

    @property
    def has_heads(self) -> bool:
        """Whether scores are the heads'; else all three are the calibrated confidence."""
        return self._heads is not None

    @property
    def runs_on(self) -> dict[str, Any]:
        """What the bits of both answers depend on besides weights (``runtime.RunRecord``)."""
        record: dict[str, Any] = self.regular.record.as_dict()
        return record

    @property
    def target_facts(self) -> dict[str, float]:
        """What routing by another target needs besides scores, see ``heads.wanted``."""
        if self._heads is None:
            return {"there": 1.0, "alike_gain": 1.0}
        return {"there": self._heads.there, "alike_gain": self._heads.alike_gain}

    def outcome(self, images: Sequence[ImageInput], prompt: str, judge: Judge) -> dict[str, Any]:
        """One row, as plain values for the journal; keys as ``trace.COLUMNS`` where they fit.

        Args:
            judge: quality of an answer, [0, 1].
        Raises:
            EoError: the compact model or a codec refuses; the row cannot be made.
        """
        images = [_plain(image) for image in images]
        session, taps = self._taps(images, prompt)
        here = session.text
        relevance = self._relevance_of(session, images[0], prompt)
        sent = [levels_of(image, relevance, prompt, self._sending) for image in images]
        answers: dict[bytes, tuple[str, int, float]] = {}
        said = []
        for level in range(len(LEVELS)):
            seen = [part[level][0] for part in sent]
            key = b"".join(values.tobytes() for values in seen)
            if key not in answers:  # raw and lossless are the same pixels
                answers[key] = self._regular(images, seen, prompt)
            said.append(answers[key])
        raw = sum(_raw_bytes(image.values) for image in images)
        return {
            "asked_px": sum(int(np.prod(i.values.shape[:3])) for i in images), "raw_bytes": raw,
            "compact_text": here, "compact_quality": judge(here),
            "compact_tokens": int(session.tap().tokens),
            "compact_flops": [2.0 * tap.macs for tap in taps],
            "scores": [list(tap.scores) for tap in taps],
            "stats": [list(tap.stats) for tap in taps],
            "novelty": [tap.distance for tap in taps],
            "regular_text": [text for text, _, _ in said],
            "regular_quality": [judge(text) for text, _, _ in said],
            "regular_flops": [2.0 * macs for _, macs, _ in said],
            "regular_confidence": [round(sure, 6) for _, _, sure in said],
            "level_bytes": [sum(part[k][1] for part in sent) for k in range(len(LEVELS))],
            "code_s": [sum(part[k][2] for part in sent) for k in range(len(LEVELS))],
            "answer_bytes": answer_bytes(
                request_for(images[0], prompt), here, self.compact.id, self.compact.digest),
        }  # fmt: skip

    # -- models ----------------------------------------------------------------------------------

    def _taps(self, images: Sequence[ImageInput], prompt: str) -> tuple[Any, list[Stopped]]:
        limits = self.limits
        session = self.compact.start(
            tensors(self.compact, images, limits.compact_px), prompt,
            max_tokens=limits.compact_tokens,
        )
        taps = []
        for stage, tokens in enumerate((0, limits.tap2_tokens, limits.compact_tokens), 1):
            if tokens:
                session.decode(tokens)
            taps.append(self._stopped(session, prompt, stage))
        return session, taps

    def _stopped(self, session: Any, prompt: str, stage: int) -> Stopped:
        state = session.tap()
        stats = (float(min(state.mean_logprob, 0.0)), float(min(state.min_logprob, 0.0)),
                 float(state.entropy_mean), float(state.first_token_margin))  # fmt: skip
        confidence = float(self.compact.calibration[stage].confidence(state))
        # Without heads a chance is all there is; the ground is taken to be always right.
        scores, distance = (confidence, confidence, 1.0 - confidence), 0.0
        if self._heads is not None and isinstance(session, ShowsEvidence):
            text: str = getattr(session, "text", "")
            features = features_of(state, prompt, text, session.evidence)
            found = self._heads.scores(stage, features)
            scores, distance = (found.alike, found.correct, found.gain), found.distance
        return Stopped(int(session.macs), stats, scores, min(distance, 1e6))

    def _regular(
        self, images: Sequence[ImageInput], seen: Sequence[Array], prompt: str
    ) -> tuple[str, int, float]:
        """Answer, multiply-accumulates, calibrated chance that it is right."""
        longest = self.limits.regular_tokens
        shown = [ImageInput(v, i.bands, i.modality) for v, i in zip(seen, images, strict=True)]
        try:
            session = self.regular.start(
                tensors(self.regular, shown, self.limits.regular_px), prompt, max_tokens=longest
            )
            session.decode(longest)
        except EoError:
            return "", 0, 0.0  # a refusal is a wrong answer
        sure = float(self.regular.calibration[3].confidence(session.tap()))
        return session.text, int(session.macs), sure

    # -- pixels ----------------------------------------------------------------------------------

    def _relevance_of(self, session: Any, image: ImageInput, prompt: str) -> Array:
        seen = seen_of(session, prompt, self.compact)
        cues = Cues(seen.attention, seen.boxes, seen.chances)
        height, width = image.values.shape[1:3]
        return relevance_of(cues, height, width, self._relevance)


def answer_bytes(request: Request, text: str, model_id: str, digest: str) -> int:
    """Bytes of the file of a final answer from on board; one that is provisional has a step less.
    """
    steps = tuple(Step(name=name, stamp_ns=time_ns) for name, time_ns in (
        (ASKED, _ASKED_NS), (CAPTURED, _CAPTURED_NS), (MATCHED, _MATCHED_NS),
        (ISSUED, _MATCHED_NS), (DECIDED, _DECIDED_NS), (FINAL, _DECIDED_NS)))
    return len(codec.answer_file(Answer(
        id=ids.answer_id(request.id, "onboard", 1), request_id=request.id,
        task_id=request.task_id, scene_id=request.scene_id, asker="console", stamp_ns=_DECIDED_NS,
        version=1, status=Answer.FINAL, prompt=request.prompt, text=text,
        confidence=(0.8205547928810120, 0.4449959397315979, 0.2957142591476440),
        model_id=model_id, model_digest=digest,
        origin="onboard", stage=3, energy_j=0.0002950579219032079, steps=steps,
        raw_bytes=raw_bytes_of(request),
    )))  # fmt: skip


def request_for(image: ImageInput, prompt: str) -> Request:
    """The request of a question, as tasking would issue it: its ids are as long as real ones."""
    frames, height, width, bands = image.values.shape
    modality = image.modality if image.modality in MODALITIES else "optical"
    task = ids.IdFactory("console", 0x9E3779B9).new("task", _ASKED_NS)
    scene = ids.IdFactory("camera", 0x2C).new("scn", _CAPTURED_NS)
    names = tuple(image.bands) if len(image.bands) == bands else ("?",) * bands
    return Request(
        id=ids.request_id(task, scene, _CAPTURED_NS), task_id=task, scene_id=scene,
        scene=Scene(
            id=scene, sensor=modality, modality=modality, frames=frames, height=height,
            width=width, bands=bands, dtype=image.values.dtype.name, band_names=names,
            raw_bytes=_raw_bytes(image.values), capture_ns=_CAPTURED_NS,
        ),
        stamp_ns=_MATCHED_NS, capture_ns=_CAPTURED_NS, prompt=prompt, modality=modality,
        window=(0, 0, width, height), consumer="ground",
    )  # fmt: skip


def levels_of(
    image: ImageInput, relevance: Array, prompt: str, sending: SendingConfig
) -> list[tuple[Array, int, float]]:
    """Send one image at every level of ``LEVELS``.

    Args:
        image: (F, H, W, C) in a dtype that codecs take. relevance: (rows, columns) in [0, 1].
    Returns:
        (pixels on the ground, bytes of the product, processor seconds) of each level.
    """
    request = request_for(image, prompt)
    header = header_of(request, _DECIDED_NS)
    found: list[tuple[Array, int, float]] = []
    for level in LEVELS:
        # A coder of its own for each level: what one has coded costs the next nothing.
        coder = RegionCoder(image.values, header)
        begun = time.process_time()
        regions, base = product_of(
            level, coder, request.window, relevance, raw_bytes_of(request), sending)
        data = coder.product(regions, base)
        seconds = time.process_time() - begun
        found.append((compose(read_container(data)), len(data), seconds))
    return found


def tensors(
    model: VisionLanguageModel, images: Sequence[ImageInput], overview_px: int
) -> list[ViewTensor]:
    """Overviews of the images as the nodes make them; dates of one sensor as frames of one."""
    if len(images) > 1 and not isinstance(model, AnswersImages):
        images = [_as_dates(images)]
    views = []
    for image in images:
        height, width = image.values.shape[1:3]
        (view,) = views_of(
            np.asarray(image.values), (0, 0, width, height), tuple(image.bands),
            overview_px=overview_px,
        )
        views.append(ViewTensor(
            view_array(view), tuple(image.bands), image.modality, (0, 0, width, height), "overview"
        ))  # fmt: skip
    return views


def _as_dates(images: Sequence[ImageInput]) -> ImageInput:
    values = np.concatenate([image.values for image in images])
    return ImageInput(values, images[0].bands, "temporal")


def _plain(image: ImageInput) -> ImageInput:
    """Samples in a dtype that codecs take."""
    values = np.ascontiguousarray(image.values)
    if values.dtype.name not in _KNOWN:
        values = values.astype(np.float32)
    return ImageInput(values, image.bands, image.modality)


def _raw_bytes(values: Array) -> int:
    """As a sensor stores them: floats (dB, kelvin) as 16 bit."""
    return int(values.size * (2 if values.dtype.kind == "f" else values.dtype.itemsize))
