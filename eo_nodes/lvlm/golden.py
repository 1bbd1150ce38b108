"""The self test before use: a fixed picture and prompt, and the answer they must give (M30)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.interface import VisionLanguageModel
from eo_nodes.lvlm.manifest import golden_image
from eo_nodes.lvlm.views import ViewTensor

# Other processors round differently; a wrong or damaged graph is far further off.
TOLERANCE_NATS = 0.05


def golden_view() -> ViewTensor:
    """The self test's view."""
    image = golden_image()
    return ViewTensor(image[None], ("red", "green", "blue"), "optical",
                      (0, 0, image.shape[1], image.shape[0]), "overview")


def answer_golden(model: VisionLanguageModel, golden: Mapping[str, Any]) -> dict[str, Any]:
    """Text and log-probabilities of the golden prompt on the golden view."""
    session = model.start([golden_view()], golden["prompt"], max_tokens=golden["max_tokens"])
    session.decode(golden["max_tokens"])
    return {"text": session.text, "logprobs": session.token_logprobs}


def check_golden(model: VisionLanguageModel, golden: Mapping[str, Any]) -> None:
    """Run the self test of a manifest; how is the family's own (``golden_run``).

    Raises:
        ModelError: the answer is another one, or the entry is incomplete.
    """
    try:
        expected, text = golden["logprobs"], golden["text"]
        found = model.golden_run(golden)
    except (KeyError, TypeError) as error:
        raise ModelError(f"the golden entry lacks {error}") from error
    close = len(expected) == len(found["logprobs"]) and np.allclose(
        expected, found["logprobs"], atol=TOLERANCE_NATS
    )
    if found["text"] != text or not close:
        raise ModelError(f"self test of {model.id}: expected {text!r}, got {found['text']!r}")


def golden_entry(model: VisionLanguageModel, prompt: str, max_tokens: int) -> dict[str, Any]:
    """Record the golden entry of a model that is known to be right."""
    golden = {"image": "eo_nodes.lvlm.manifest.golden_image", "prompt": prompt,
              "max_tokens": max_tokens}
    found = model.golden_run(golden)
    return {**golden, "text": found["text"], "logprobs": [round(v, 5) for v in found["logprobs"]]}
