"""Greedy decoding with pauses, for any model that gives logits token by token.

Purpose: choose tokens and keep what the taps report, so that every family does it alike.
Theory of operation: a family runs vision and prompt itself (``Step`` of the first token) and
overrides ``_advance``, which runs one token. Nothing is decoded before ``decode``: tap 1 sees the
distribution of the first token. No session refers to itself, so its cache goes when it goes. With
the same build, provider, threads and CPU features (``runtime.RunRecord``) the bits are the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.runtime import CancelFlag, Cancelled

Float = NDArray[np.float32]
Double = NDArray[np.float64]


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


@dataclass(frozen=True, slots=True)
class Step:
    """After one run of a decoder: logits (K,) and hidden state (D,) of the last position."""

    logits: Float
    hidden: Float


@dataclass(frozen=True, slots=True)
class GreedyPlan:
    """What decoding needs to know beside the steps.

    Attributes:
        max_tokens: longest answer, the end token included. end_tokens: ids that end it.
        temperature: divides the logits for ``confidence``.
        detokenise: ids -> text.
    """

    max_tokens: int
    end_tokens: frozenset[int]
    temperature: float
    detokenise: Callable[[list[int]], str]


class GreedySession:
    """One answer in the making; see the module."""

    def __init__(
        self, first: Step, relevance: Float, *, plan: GreedyPlan,
        cancel: CancelFlag | None = None,
    ) -> None:
        """Stand at tap 1."""
        self._plan, self._cancel = plan, cancel
        self._ids: list[int] = []
        self._logprobs: list[float] = []
        self._tempered: list[float] = []
        self._entropies: list[float] = []
        self._relevance = relevance
        self._take(first)
        self._hidden_sum = np.zeros_like(first.hidden)
        self._prompt_hidden = first.hidden
        ranked = np.sort(np.exp(self._log_softmax(1.0)))
        self._margin = float(ranked[-1] - ranked[-2])

    def _advance(self, token: int, index: int) -> Step:
        """Run the decoder on answer token ``index``."""
        raise NotImplementedError

    def _allowed(self, ids: list[int]) -> NDArray[np.bool_] | None:
        """(K,) bool of the tokens that may follow the decoded ids (a grammar), None for all.

        The probabilities are then those among the allowed.
        """
        return None

    def _take(self, step: Step) -> None:
        if not np.isfinite(step.logits).all():
            raise ModelError("the decoder gave a logit that is not finite")
        self._logits, self._hidden = step.logits, step.hidden

    def _log_softmax(self, temperature: float) -> Double:
        z = self._logits.astype(np.float64) / temperature
        mask = self._allowed(self._ids)
        if mask is not None:
            z = np.where(mask, z, -np.inf)
        z -= z.max()
        return np.asarray(z - np.log(np.exp(z).sum()), np.float64)

    def decode(self, n_tokens: int) -> int:
        """Decode at most ``n_tokens`` more; returns how many. Stops at the end token.

        A cancel flag ends it within one token; ``is_cancelled`` then says so.

        Raises:
            ModelError: n_tokens < 0, or the graph fails.
        """
        if n_tokens < 0:
            raise ModelError(f"cannot decode {n_tokens} tokens")
        done = 0
        while done < n_tokens and not self.is_finished and not self.is_cancelled:
            logprobs = self._log_softmax(1.0)
            best = int(np.argmax(logprobs))
            tempered = self._log_softmax(self._plan.temperature)
            self._ids.append(best)
            self._logprobs.append(float(logprobs[best]))
            self._tempered.append(float(tempered[best]))
            self._entropies.append(self._entropy(logprobs))
            self._hidden_sum = self._hidden_sum + self._hidden
            done += 1
            if not self.is_finished:
                try:
                    self._take(self._advance(best, len(self._ids) - 1))
                except Cancelled:
                    break
        return done

    @staticmethod
    def _entropy(logprobs: Double) -> float:
        p = np.exp(logprobs)
        return max(0.0, float(-(p[p > 0] * logprobs[p > 0]).sum()))

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
    def is_cancelled(self) -> bool:
        """The cancel flag was set."""
        return self._cancel is not None and self._cancel.is_set

    @property
    def is_finished(self) -> bool:
        """The end token came, or ``max_tokens`` are decoded."""
        ended = bool(self._ids) and self._ids[-1] in self._plan.end_tokens
        return ended or len(self._ids) >= self._plan.max_tokens

    @property
    def text(self) -> str:
        """Decoded so far, without the end token."""
        return self._plan.detokenise([i for i in self._ids if i not in self._plan.end_tokens])

    @property
    def logits(self) -> Float:
        """(K,) of the token to come, before any grammar."""
        return self._logits

    @property
    def token_ids(self) -> list[int]:
        """Ids decoded so far, the end token included."""
        return list(self._ids)

    @property
    def token_logprobs(self) -> list[float]:
        """Natural logarithm of the probability of each decoded token, the end token included."""
        return list(self._logprobs)

    @property
    def confidence(self) -> float:
        """exp of the mean log-probability at the fitted temperature, [0, 1]; 0 before a token."""
        if not self._tempered:
            return 0.0
        return float(np.exp(np.mean(self._tempered)))
