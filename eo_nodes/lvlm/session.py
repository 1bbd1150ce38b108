"""One question on one scene: vision, prompt, then greedy tokens with pauses at the taps.

Theory of operation: the vision graph turns each composite of each view into visual tokens. The
decoder graph takes visual tokens and prompt once, and then one token a run; its KV cache is kept
here. After the prompt pass (tap 1) no token is decoded yet, but the distribution of the first one
is known. Greedy decoding with a fixed thread count gives the same bits on the same machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.views import VisionInput

if TYPE_CHECKING:
    from eo_nodes.lvlm.model import LvlmModel

Float = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TapState:
    """What the confidence node may look at.

    Attributes:
        stage: 1 after vision and prompt, 2 after some tokens, 3 at the end.
        features: (D,) float32: hidden state at the prompt's end (stage 1), else the mean hidden
            state of the decoded tokens.
        tokens: decoded so far, the end token included. mean_logprob, min_logprob (nats, <= 0) and
            entropy_mean (nats, >= 0) run over them; at stage 1 they are those of the first
            token's distribution.
        first_token_margin: probability of the best first token minus that of the second, [0, 1].
        relevance: (rows, cols) float32 in [0, 1]: how much each cell of the overview matters
            for the prompt.
    """

    stage: int
    features: Float
    tokens: int
    mean_logprob: float
    min_logprob: float
    entropy_mean: float
    first_token_margin: float
    relevance: Float


class DecodeSession:
    """Made by ``LvlmModel.start``; see there."""

    def __init__(
        self, model: LvlmModel, inputs: Sequence[VisionInput], prompt_ids: Sequence[int],
        max_tokens: int,
    ) -> None:
        self._model, self._max_tokens = model, max_tokens
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._tempered: list[float] = []
        self._entropies: list[float] = []
        self._hidden_sum = np.zeros(model.config.width, np.float32)
        self._macs = 0
        self._logits = self._hidden = self._cache = np.zeros(0, np.float32)
        visual = self._see(inputs)
        self._places = len(prompt_ids)
        relevance = self._run(prompt_ids, 0, visual)
        first = next(i for i, item in enumerate(inputs) if item.is_overview)
        extra = model.config.summary_tokens
        begin = sum(item.rows * item.cols + extra for item in inputs[:first])
        rows, cols = inputs[first].rows, inputs[first].cols
        self._relevance = relevance[begin : begin + rows * cols].reshape(rows, cols)
        ranked = np.sort(np.exp(self._log_softmax(1.0)))
        self._margin = float(ranked[-1] - ranked[-2])
        self._prompt_hidden = self._hidden

    def _see(self, inputs: Sequence[VisionInput]) -> Float:
        """Run the vision graph on every input; (1, V, width) visual tokens."""
        tokens = []
        for item in inputs:
            tokens.append(self._model.run_vision(item.pixels, item.geometry, item.tags))
            self._macs += self._model.config.vision_macs_per_cell * item.rows * item.cols
        return np.concatenate(tokens, axis=1)

    def _run(self, ids: Sequence[int], place: int, visual: Float | None) -> Float:
        """One run of the decoder graph; sets logits, hidden state and cache, returns relevance."""
        config = self._model.config
        if visual is None:
            visual, past = np.zeros((1, 0, config.width), np.float32), self._cache
        else:
            shape = (config.layers, 2, 1, config.heads, 0, config.head_dim)
            past = np.zeros(shape, np.float32)
        tokens = np.array([ids], np.int64)
        places = np.arange(place, place + len(ids), dtype=np.int64)[None]
        logits, hidden, relevance, cache = self._model.run_decoder(tokens, places, visual, past)
        if not np.isfinite(logits).all():
            raise ModelError("the decoder gave a logit that is not finite")
        self._logits, self._hidden, self._cache = logits[0], hidden[0], cache
        self._macs += self._decoder_macs(visual.shape[1] + len(ids), cache.shape[4])
        return np.asarray(relevance[0], np.float32)

    def _decoder_macs(self, rows: int, context: int) -> int:
        """Multiply-accumulates of ``rows`` new tokens over ``context`` keys, one set of logits."""
        c = self._model.config
        layer = 12 * c.width * c.width + 2 * c.width * context
        return rows * c.layers * layer + c.width * (c.width + c.vocabulary)

    def _log_softmax(self, temperature: float) -> NDArray[np.float64]:
        z = self._logits.astype(np.float64) / temperature
        z -= z.max()
        return np.asarray(z - np.log(np.exp(z).sum()), np.float64)

    def decode(self, n_tokens: int) -> int:
        """Decode at most ``n_tokens`` more; returns how many. Stops at the end token.

        Raises:
            ModelError: n_tokens < 0, or the graph fails.
        """
        if n_tokens < 0:
            raise ModelError(f"cannot decode {n_tokens} tokens")
        done = 0
        while done < n_tokens and not self.is_finished:
            logprobs = self._log_softmax(1.0)
            best = int(np.argmax(logprobs))
            self._ids.append(best)
            self._logprobs.append(float(logprobs[best]))
            self._tempered.append(
                float(self._log_softmax(self._model.config.temperature)[best])
            )
            self._entropies.append(self._entropy(logprobs))
            self._hidden_sum = self._hidden_sum + self._hidden
            done += 1
            if not self.is_finished:
                self._run([best], self._places + len(self._ids) - 1, None)
        return done

    @staticmethod
    def _entropy(logprobs: NDArray[np.float64]) -> float:
        return max(0.0, float(-(np.exp(logprobs) * logprobs).sum()))

    def tap(self) -> TapState:
        """The present state; cheap, may be called at any time."""
        n = len(self._ids)
        if n == 0:
            logprobs = self._log_softmax(1.0)
            best = float(logprobs.max())
            return TapState(1, self._prompt_hidden, 0, best, best, self._entropy(logprobs),
                            self._margin, self._relevance)
        return TapState(
            3 if self.is_finished else 2,
            (self._hidden_sum / np.float32(n)).astype(np.float32),
            n, float(np.mean(self._logprobs)), min(self._logprobs),
            float(np.mean(self._entropies)), self._margin, self._relevance,
        )

    @property
    def is_finished(self) -> bool:
        """The end token came, or ``max_tokens`` are decoded."""
        ended = bool(self._ids) and self._ids[-1] == self._model.config.end_token
        return ended or len(self._ids) >= self._max_tokens

    @property
    def text(self) -> str:
        """Decoded so far, without the end token."""
        return self._model.tokenizer.decode(
            [i for i in self._ids if i != self._model.config.end_token]
        )

    @property
    def token_logprobs(self) -> list[float]:
        """Natural logarithm of the probability of each decoded token, the end token included."""
        return list(self._logprobs)

    @property
    def macs(self) -> int:
        """Multiply-accumulates so far, by the shapes that ran."""
        return self._macs

    @property
    def confidence(self) -> float:
        """exp of the mean log-probability at the fitted temperature, [0, 1]; 0 before a token."""
        return float(np.exp(np.mean(self._tempered))) if self._tempered else 0.0
