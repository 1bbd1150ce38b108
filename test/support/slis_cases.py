"""Vocabularies and strategies for the tests of the spatial language."""

import numpy as np
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

from eo_nodes.lvlm.slis import (
    KINDS,
    Box,
    OrientedBox,
    Point,
    Polygon,
    Seg,
    SlisVocabulary,
    Span,
    SpatialIds,
    TokenizerCodec,
    mask_from,
)

WORDS = [
    "[PAD]", "[UNK]", "[CLS]", "[SEP]", "two", "ships", "ship", "at", "and", "none", "the", "<",
    ">", ",", ".", ":", "(", ")", "1", "2", "##s", "##hip", "box", "point", "seg", "@",
]  # fmt: skip


def wordpiece():
    """A tokenizer of the first models' kind: lower case, spaces lost, ``##`` inside words."""
    tokenizer = Tokenizer(models.WordPiece({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def byte_level():
    """A byte-level BPE without merges: every text comes back exactly, ``<`` is one token."""
    alphabet = ["<|end|>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({c: i for i, c in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def wordpiece_vocabulary(spare=5):
    """Vocabulary with the spatial tokens behind the words and ``spare`` unused ids at the end."""
    codec = TokenizerCodec(wordpiece(), special=range(4))
    first = len(WORDS)
    return SlisVocabulary(first + 528 + spare, SpatialIds.block(first), codec, end_of_text=3)


def byte_vocabulary(first=600):
    """Vocabulary of bytes with the spatial tokens far behind."""
    codec = TokenizerCodec(byte_level(), special=[0])
    return SlisVocabulary(first + 528, SpatialIds.block(first), codec, end_of_text=0)


# -- strategies ----------------------------------------------------------------------------------

bins = st.integers(0, 511)
images = st.integers(0, 7)
ordered = st.tuples(bins, bins).map(sorted)


@st.composite
def masks(draw):
    rows, cols = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    seed, share = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0, 0.01, 0.3, 0.9, 1]))
    cells = np.random.default_rng(seed).random((rows, cols)) < share
    return mask_from(cells, draw(images))


values = st.one_of(
    st.builds(Point, bins, bins, images),
    st.builds(lambda x, y, k: Box(x[0], y[0], x[1], y[1], k), ordered, ordered, images),
    st.builds(OrientedBox, bins, bins, bins, bins, bins, images),
    st.builds(Polygon, st.lists(st.tuples(bins, bins), min_size=3, max_size=20).map(tuple), images),
    masks(),
    st.builds(lambda t, k: Span(t[0], t[1], k), ordered, images),
    st.builds(Seg, images),
)

# Characters of which values are made, so that near misses are common.
near_text = st.text(st.sampled_from("<> @0123456789-,.\t\u0661bx") | st.characters(), max_size=60)
pieces = st.one_of(
    near_text,
    st.sampled_from([f"<{kind}" for kind in KINDS]),
    st.sampled_from([" 1", " 511", " 512", ">", " @1", " @0", " ", "<end>", "<12>"]),
)
near_values = st.lists(pieces, max_size=12).map("".join)
