"""One question on one scene: vision, prompt, then greedy tokens with pauses at the taps.

Theory of operation: the vision graph turns each composite of each view into visual tokens. The
decoder graph takes visual tokens and prompt once, and then one token a run; its KV cache stays in
the runtime. What is decoded and reported is ``runtime_greedy``'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.runtime import CancelFlag
from eo_nodes.lvlm.runtime_greedy import GreedyPlan, GreedySession, Step, TapState
from eo_nodes.lvlm.views import VisionInput

if TYPE_CHECKING:
    from eo_nodes.lvlm.model import LvlmModel

__all__ = ["DecodeSession", "TapState"]

Float = NDArray[np.float32]
_OUTPUTS = ("logits", "hidden", "relevance")


class DecodeSession(GreedySession):
    """Made by ``LvlmModel.start``; see there."""

    def __init__(
        self, model: LvlmModel, inputs: Sequence[VisionInput], prompt_ids: Sequence[int],
        max_tokens: int, cancel: CancelFlag | None = None,
    ) -> None:
        self._model, self._stop = model, cancel
        self._macs = 0
        self._cache = model.new_cache()
        self._context = 0
        self._none = np.zeros((1, 0, model.config.width), np.float32)
        visual = self._see(inputs)
        self._places = len(prompt_ids)
        first, relevance = self._run(prompt_ids, 0, visual)
        index = next(i for i, item in enumerate(inputs) if item.is_overview)
        extra = model.config.summary_tokens
        begin = sum(item.rows * item.cols + extra for item in inputs[:index])
        rows, cols = inputs[index].rows, inputs[index].cols
        plan = GreedyPlan(max_tokens, frozenset([model.config.end_token]),
                          model.config.temperature, model.tokenizer.decode)
        super().__init__(first, relevance[begin : begin + rows * cols].reshape(rows, cols),
                         plan=plan, cancel=cancel)

    def _advance(self, token: int, index: int) -> Step:
        return self._run([token], self._places + index, self._none)[0]

    def _see(self, inputs: Sequence[VisionInput]) -> Float:
        """Run the vision graph on every input; (1, V, width) visual tokens."""
        tokens = []
        for item in inputs:
            tokens.append(
                self._model.run_vision(item.pixels, item.geometry, item.tags, self._stop)
            )
            self._macs += self._model.config.vision_macs_per_cell * item.rows * item.cols
        return np.concatenate(tokens, axis=1)

    def _run(self, ids: Sequence[int], place: int, visual: Float) -> tuple[Step, Float]:
        """One run of the decoder graph; returns the step and the relevance (V,)."""
        tokens = np.array([ids], np.int64)
        places = np.arange(place, place + len(ids), dtype=np.int64)[None]
        feed: dict[str, NDArray[Any]] = {"tokens": tokens, "places": places, "visual": visual}
        logits, hidden, relevance = self._model.decoder.run(
            feed, self._cache, _OUTPUTS, self._stop
        )
        new = visual.shape[1] + len(ids)
        self._context += new
        self._macs += self._decoder_macs(new, self._context)
        return Step(logits[0], hidden[0]), np.asarray(relevance[0], np.float32)

    def _decoder_macs(self, rows: int, context: int) -> int:
        """Multiply-accumulates of ``rows`` new tokens over ``context`` keys, one set of logits."""
        c = self._model.config
        layer = 12 * c.width * c.width + 2 * c.width * context
        return rows * c.layers * layer + c.width * (c.width + c.vocabulary)

    @property
    def macs(self) -> int:
        """Multiply-accumulates so far, by the shapes that ran."""
        return self._macs
