"""The same model, the same questions, no picture: what the language alone would score."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from eo_nodes.graph.paths import project_file
from eo_nodes.lvlm import ViewTensor, load_model
from eo_sim.pictures import pixels_of, sensors
from eo_sim.scenario import Question, Scenario
from eo_sim.truth_match import is_right

_MAX_TOKENS = 32


def blind_accuracy(model_dir: str, questions: Sequence[Question], scenario: Scenario) -> float:
    """Share of right answers on constant pictures of the same size, bands and modality.

    Returns:
        0..1; 0 without questions.
    """
    if not questions:
        return 0.0
    model = load_model(project_file(model_dir), threads=2)
    right = 0
    for question in questions:
        task = question.task
        capture = next(c for c in scenario.captures if c.place == task.place)
        values = pixels_of(capture.file, capture.sensor)
        x, y, width, height = task.window
        grey = np.broadcast_to(
            np.median(values, axis=(0, 1, 2)).astype(values.dtype),
            (values.shape[0], height, width, values.shape[3]),
        )
        view = ViewTensor(
            values=np.ascontiguousarray(grey),
            bands=sensors()[capture.sensor].band_names,
            modality=task.modality,
            window=(x, y, width, height),
            kind="overview",
        )
        session = model.start([view], task.prompt, max_tokens=_MAX_TOKENS)
        session.decode(_MAX_TOKENS)
        right += bool(is_right(session.text, question.truth))
    return right / len(questions)
