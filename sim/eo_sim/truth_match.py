"""Whether an answer says what the label says. Exact after normalisation; no partial credit."""

from __future__ import annotations

import re

_WORDS = {
    "zero": "0",
    "none": "0",
    "no": "no",
    "one": "1",
    "two": "2",
    "three": "3",
    "four": "4",
    "five": "5",
    "six": "6",
    "seven": "7",
    "eight": "8",
    "nine": "9",
    "ten": "10",
}
_ARTICLES = {"a", "an", "the"}


def normalise(text: str) -> str:
    """Lower case, words and digits only, number words as digits, articles dropped."""
    words = re.findall(r"[a-z0-9]+", text.lower())
    return " ".join(_WORDS.get(word, word) for word in words if word not in _ARTICLES)


def is_right(answer: str, truth: str) -> bool | None:
    """Compare an answer with its label.

    Returns:
        True or False; None when no truth is known.
    """
    if not truth.strip():
        return None
    return normalise(answer) == normalise(truth)
