"""What a tap knows, as one vector: the input of the routing heads, in flight and in training.

Four blocks, in this order: ``facts`` about decoder and relevance, a ``prompt`` code, ``evidence``
of the vision heads, and the ``hidden`` state of the decoder. Nothing says what kind of question it
is; the prompt is coded as it stands. All of it is a by-product of the answer but the prompt code,
which costs a hash a word: a text encoder would cost a tenth of the compact model again.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from eo_nodes.lvlm.proposals import Proposals
from eo_nodes.lvlm.runtime_greedy import TapState

Float = NDArray[np.float32]

FACTS = (
    "mean_logprob", "min_logprob", "entropy", "margin", "tokens", "relevance_max",
    "relevance_mean", "relevance_std", "relevance_share", "relevance_entropy", "prompt_words",
    "prompt_places", "answer_words", "answer_places", "answer_values", "answer_number",
)  # fmt: skip
PROMPT_SIZE = 96
BEST_SCORES = 6
_WORD = re.compile(r"[a-z]+|\d+|<[a-z]+|[?!]")
_NUMBER = re.compile(r"\d+")
_VALUE = re.compile(r"<[a-z]+")


@runtime_checkable
class ShowsEvidence(Protocol):
    """A session that tells what its vision heads saw."""

    @property
    def evidence(self) -> Float:
        """(n,) as `evidence_of` makes it."""
        ...


def features_of(state: TapState, prompt: str, text: str, evidence: Float) -> Float:
    """(F,) float32, the blocks one behind the other; F = sum of `sizes_of`.

    Args:
        prompt, text: of the request, and decoded so far.
        evidence: (n,) of `evidence_of`; empty for a model without vision heads.
    """
    parts = (facts_of(state, prompt, text), prompt_code(prompt), evidence, state.features)
    joined = np.concatenate([np.asarray(p, np.float32).ravel() for p in parts])
    return np.asarray(np.nan_to_num(joined, nan=0.0, posinf=1e4, neginf=-1e4), np.float32)


def sizes_of(evidence: int, hidden: int) -> dict[str, int]:
    """Length of each block, in order."""
    return {"facts": len(FACTS), "prompt": PROMPT_SIZE, "evidence": evidence, "hidden": hidden}


def facts_of(state: TapState, prompt: str, text: str) -> Float:
    """(len(FACTS),) float32, each of the order of one."""
    r = np.asarray(state.relevance, np.float64).ravel()
    r = r if r.size else np.zeros(1)
    highest, total = float(r.max()), float(r.sum())
    share = float((r >= highest / 2).mean()) if highest > 0 else 1.0
    p = r[r > 0] / total if total > 0 else np.ones(1)
    spread = float(-(p * np.log(p)).sum() / max(np.log(r.size), 1.0))
    words, values = _WORD.findall(text.lower()), _VALUE.findall(text)
    number = None if values else _NUMBER.search(text)
    return np.array([
        max(state.mean_logprob, -20.0), max(state.min_logprob, -20.0) / 2, state.entropy_mean,
        state.first_token_margin, min(state.tokens, 40) / 10, highest, float(r.mean()),
        float(r.std()), share, spread, len(prompt.split()) / 10, len(_VALUE.findall(prompt)),
        min(len(words), 40) / 10, min(len(values), 20) / 5, float(bool(values)),
        np.log1p(min(float(number[0]), 1e4)) / 5 if number else 0.0,
    ], np.float32)


def prompt_code(prompt: str) -> Float:
    """(PROMPT_SIZE,) of unit length: words and pairs of words, hashed with a sign.

    Source: feature hashing, Weinberger et al. 2009.
    """
    code = np.zeros(PROMPT_SIZE, np.float32)
    # Numbers are places or sizes: that there is one counts, not which.
    words = ["^", *_WORD.findall(_NUMBER.sub("0", prompt.lower())), "$"]
    for item in (*words[1:-1], *(f"{a} {b}" for a, b in pairwise(words))):
        digest = zlib.crc32(item.encode())
        code[digest % PROMPT_SIZE] += 1.0 if digest >> 16 & 1 else -1.0
    return code / max(float(np.linalg.norm(code)), 1e-9)


def evidence_of(
    chances: Sequence[Float], totals: Sequence[Float], regions: Sequence[Proposals]
) -> Float:
    """(n + 2 K + BEST_SCORES + 3,) of a request's images: what the vision heads say of them.

    Chances, totals and counted proposals are means over the images; then the best proposal
    scores of all, how many were kept, how many images there are, and how far apart the chances
    of first and last image lie.

    Args:
        chances: (1, n) of each image. totals: (1, K). regions: kept of each image.
    """
    counts = np.stack([found.counts() for found in regions])
    scores = np.sort(np.concatenate([found.score for found in regions]))[::-1][:BEST_SCORES]
    best = np.zeros(BEST_SCORES, np.float32)
    best[: len(scores)] = scores
    apart = float(np.abs(chances[0] - chances[-1]).sum())
    kept = sum(len(found.score) for found in regions) / 24
    parts = (np.concatenate(list(chances)).mean(0), np.concatenate(list(totals)).mean(0),
             counts.mean(0), best, [kept, len(regions) / 4, apart])
    return np.concatenate([np.asarray(p, np.float32) for p in parts])
