"""The tokenizer that a GGUF file carries, as the tokenizers library has it."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.assemble.gguf import GgufFile

_CONTROL = 3


def tokenizer_of(source: GgufFile) -> Tokenizer:
    """Rebuild a byte-level BPE tokenizer with single digits (``smollm``).

    Raises:
        ModelError: another kind of tokenizer, a key is missing.
    """
    m = source.metadata
    try:
        kind = m["tokenizer.ggml.model"], m["tokenizer.ggml.pre"]
        words, kinds = m["tokenizer.ggml.tokens"], m["tokenizer.ggml.token_type"]
        merges = [tuple(merge.split(" ", 1)) for merge in m["tokenizer.ggml.merges"]]
    except KeyError as error:
        raise ModelError(f"the GGUF metadata lacks {error}") from error
    if kind != ("gpt2", "smollm"):
        raise ModelError(f"tokenizer {kind}, expected ('gpt2', 'smollm')")
    found = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, merges))
    found.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False),
    ])
    found.decoder = decoders.ByteLevel()
    found.add_special_tokens(
        [word for word, k in zip(words, kinds, strict=True) if k == _CONTROL])
    return found
