"""Between the values of the graph and those of the model, for both model nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ConfigError, ModelError
from eo_nodes.contracts.values import Tap, View, Views
from eo_nodes.decision.relevance import Cues, RelevanceConfig, relevance_of
from eo_nodes.graph.paths import project_file
from eo_nodes.imaging.prepare import view_array
from eo_nodes.lvlm import ViewTensor, load_model
from eo_nodes.lvlm.cues import seen_of
from eo_nodes.lvlm.infer import AnswersImages
from eo_nodes.lvlm.interface import Session, VisionLanguageModel
from eo_nodes.lvlm.question import plain_words
from eo_nodes.lvlm.runtime_config import runtime_options
from eo_nodes.lvlm.runtime_greedy import TapState
from eo_nodes.lvlm.tap_features import ShowsEvidence, features_of

from .base import EoNode
from .parameters import Parameter


def model_parameters(folder: str, threads: int) -> tuple[Parameter, ...]:
    """Return the parameters that `load_checked` takes, with these defaults."""
    return (
        Parameter("model_dir", folder, "model folder"),
        Parameter("threads", threads, "threads of the runtime", 1, 256),
        Parameter("providers", ["cpu"], "cpu, cuda, tensorrt or onnxruntime's names, best first"),
        Parameter("provider_options", [""], "of those, PROVIDER.KEY=VALUE each; empty: none"),
        Parameter("memory_mb", 0, "what needs more is refused, MB; 0: no limit", 0, 1_000_000),
    )


def load_checked(node: EoNode) -> VisionLanguageModel:
    """Load a node's model folder; a refusal is an event, then an error (M30).

    Raises:
        ModelError: digest, self test or content do not fit, no such provider, or too large.
        ConfigError: no such folder, a provider option in another form.
    """
    folder = node.param("model_dir")
    try:
        options = runtime_options(
            threads=node.param("threads"), providers=node.param("providers"),
            provider_options=node.param("provider_options"), memory_mb=node.param("memory_mb"),
        )  # fmt: skip
        return load_model(project_file(folder), options=options)
    except (ModelError, ConfigError) as error:
        node.emit("MODEL_REFUSED", str(error), folder=folder)
        raise


def tensors_of_views(views: Sequence[View], modality: str) -> list[ViewTensor]:
    """Return the model's inputs of views, the overview first."""
    return [
        ViewTensor(
            values=view_array(view),
            bands=tuple(view.band_names),
            modality=modality,
            window=(view.window[0], view.window[1], view.window[2], view.window[3]),
            kind=view.kind,
        )
        for view in views
    ]


def tensors_of(message: Views) -> list[ViewTensor]:
    """Return the model's inputs of a Views value."""
    return tensors_of_views(message.views, message.modality)


def readable(model: VisionLanguageModel, question: str) -> str:
    """Return the question as the model can read it: one that knows no places gets words alone."""
    return question if isinstance(model, AnswersImages) else plain_words(question)


def say_unread(node: EoNode, model: VisionLanguageModel, request_id: str) -> None:
    """Tell that an answer is about the whole window, because the model knows no places."""
    node.emit("PLACES_UNREAD", f"{model.id} knows no places", request=request_id)


def tap_of(
    session: Session, model: VisionLanguageModel, request_id: str, attempt: int, stage: int,
    prompt: str = "",
) -> Tap:
    """Return the Tap value of a decoder's present state.

    Args:
        session: paused.
        model: for id, digest and calibration.
        stage: of the graph; a complete answer is at stage 3 whatever its length.
        prompt: as the model got it; "" where nobody scores the tap: it then carries no features.
    """
    state, text = session.tap(), session.text
    relevance = _relevance(session, model, prompt) if prompt else state.relevance
    relevance = np.asarray(relevance, np.float32)
    rows, columns = relevance.shape if relevance.ndim == 2 else (0, 0)
    return Tap(
        request_id=request_id,
        attempt=attempt,
        stage=stage,
        tokens=int(state.tokens),
        mean_logprob=float(min(state.mean_logprob, 0.0)),
        min_logprob=float(min(state.min_logprob, 0.0)),
        entropy=float(state.entropy_mean),
        margin=float(state.first_token_margin),
        confidence=model.calibration[stage].confidence(state),
        features=_features(session, state, prompt, text),
        rows=rows,
        columns=columns,
        relevance=tuple(relevance.ravel().tolist()) if rows else (),
        text=text,
        model_id=model.id,
        model_digest=model.digest,
    )


def _relevance(session: Session, model: VisionLanguageModel, prompt: str) -> NDArray[np.float64]:
    """Return where the prompt looks: attention, and what the vision heads propose of its kind.

    The language space is left out: a sentence's vector costs more on board than it tells.
    """
    seen = seen_of(session, prompt, model)
    if seen.attention.ndim != 2 or 0 in seen.attention.shape:
        return seen.attention
    cues = Cues(seen.attention, seen.boxes, seen.chances)
    height, width = seen.attention.shape
    return relevance_of(cues, height, width, RelevanceConfig())


def _features(session: Session, state: TapState, prompt: str, text: str) -> tuple[float, ...]:
    """Return what the routing heads take; nothing for models whose vision heads say nothing."""
    if not prompt or not isinstance(session, ShowsEvidence):
        return ()
    return tuple(features_of(state, prompt, text, session.evidence).tolist())
