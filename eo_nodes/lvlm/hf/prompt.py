"""From pieces of a chat to token ids.

A checkpoint's own template is a program in another language and is not run; the two classes'
one-turn form is fixed in ``idefics3`` and ``qwen2vl``, equal to the published templates
(test/training).
Words of the question are never read as control tokens (M32): only pieces marked special are.
"""

from __future__ import annotations

from collections.abc import Sequence

from tokenizers import Tokenizer


def encode_pieces(tokenizer: Tokenizer, pieces: Sequence[tuple[str, bool]]) -> list[int]:
    """Token ids of (text, is_special) pieces.

    A special piece that the tokenizer does not know is encoded as text, as the processor would.
    """
    ids: list[int] = []
    text = ""

    def flush() -> None:
        nonlocal text
        if text:
            tokenizer.encode_special_tokens = True     # special tokens become plain text
            ids.extend(tokenizer.encode(text, add_special_tokens=False).ids)
            tokenizer.encode_special_tokens = False
            text = ""

    for piece, is_special in pieces:
        found = tokenizer.token_to_id(piece) if is_special else None
        if found is None:
            text += piece
        else:
            flush()
            ids.append(found)
    flush()
    return ids
