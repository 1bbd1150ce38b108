"""Load a model folder and answer from it, with onnxruntime and without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.calibration import StageCalibration, read_calibration
from eo_nodes.lvlm.manifest import ModelConfig, golden_image, read_config, verify
from eo_nodes.lvlm.session import DecodeSession
from eo_nodes.lvlm.views import ViewTensor, prepare

Float = NDArray[np.float32]
MAX_PROMPT_CHARS = 2000
MAX_VISUAL_TOKENS = 1024
# Other processors round differently; a wrong or damaged graph is far further off.
_GOLDEN_TOLERANCE = 0.05


class LvlmModel:
    """A captioner and question answerer.

    Attributes:
        id: name from the configuration. digest: SHA-256 (hex) of the manifest.
        config: see ``ModelConfig``. calibration: per stage, see ``StageCalibration``.
    """

    def __init__(
        self, folder: Path, digest: str, *, threads: int, providers: Sequence[str]
    ) -> None:
        self.config: ModelConfig = read_config(folder)
        self.calibration: Mapping[int, StageCalibration] = read_calibration(folder)
        self.id, self.digest = self.config.id, digest
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            self._vision = _open(folder / "vision.onnx", threads, providers)
            self._decoder = _open(folder / "decoder.onnx", threads, providers)
        except Exception as error:  # both libraries raise types of their own, without a base
            raise ModelError(f"{folder}: {error}") from error

    @property
    def input_size(self) -> int:
        """Longest side of a view after resizing, pixels."""
        return self.config.input_size

    def start(
        self, views: Sequence[ViewTensor], prompt: str, *, max_tokens: int = 40
    ) -> DecodeSession:
        """Run vision and prompt; the session then stands at tap 1.

        Args:
            views: one overview and any zooms; ranges as in ``bands``.
            prompt: 1 to 2,000 characters, one question or request.
            max_tokens: longest answer, the end token included, >= 1.
        Raises:
            ModelError: views or prompt break their contract, or a graph fails.
        """
        ids = self.encode(prompt, max_tokens)
        inputs = prepare(views, self.config.input_size, self.config.upscale)
        count = sum(i.rows * i.cols + self.config.summary_tokens for i in inputs)
        if count > MAX_VISUAL_TOKENS:
            raise ModelError(f"{count} visual tokens, at most {MAX_VISUAL_TOKENS}")
        return DecodeSession(self, inputs, ids, max_tokens)

    def encode(self, prompt: str, max_tokens: int) -> list[int]:
        """Prompt -> token ids with its opening and closing token."""
        if not prompt.strip():
            raise ModelError("the prompt is empty")
        if len(prompt) > MAX_PROMPT_CHARS:
            raise ModelError(f"prompt of {len(prompt)} characters, at most {MAX_PROMPT_CHARS}")
        if max_tokens < 1:
            raise ModelError(f"max_tokens is {max_tokens}")
        body = self.tokenizer.encode(prompt, add_special_tokens=False).ids
        limit = self.config.positions - max_tokens - 2
        if len(body) > limit:
            raise ModelError(f"prompt of {len(body)} tokens, at most {limit}")
        return [self.config.cls_token, *body, self.config.end_token]

    def run_vision(self, pixels: Float, geometry: Float, tags: NDArray[np.int64]) -> Float:
        """One composite -> (1, cells + summary_tokens, width) visual tokens."""
        feed = {"pixels": pixels, "geometry": geometry, "tags": tags}
        return np.asarray(_run(self._vision, feed)[0], np.float32)

    def run_decoder(
        self, tokens: NDArray[np.int64], places: NDArray[np.int64], visual: Float, past: Float
    ) -> tuple[Float, Float, Float, Float]:
        """logits (1, K), hidden (1, D), relevance (1, V), cache (L, 2, 1, heads, T, head_dim)."""
        feed = {"tokens": tokens, "places": places, "visual": visual, "past": past}
        logits, hidden, relevance, present = _run(self._decoder, feed)
        return logits, hidden, relevance, present


def _open(path: Path, threads: int, providers: Sequence[str]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    # Spinning workers would steal the cores of the other processes between two tokens.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=list(providers))


def _run(session: ort.InferenceSession, feed: Mapping[str, Any]) -> list[Any]:
    try:
        return list(session.run(None, dict(feed)))
    except Exception as error:  # onnxruntime's errors share no base but Exception
        raise ModelError(f"onnxruntime: {error}") from error


def golden_view() -> ViewTensor:
    """The self test's view."""
    image = golden_image()
    return ViewTensor(image[None], ("red", "green", "blue"), "optical",
                      (0, 0, image.shape[1], image.shape[0]), "overview")


def load_model(
    folder: Path, *, threads: int = 1, providers: Sequence[str] = ("CPUExecutionProvider",)
) -> LvlmModel:
    """Verify a model folder, load it, and run its golden input.

    Args:
        folder: as ``manifest`` describes.
        threads: of onnxruntime, >= 1; the same number gives the same bits.
        providers: onnxruntime execution providers, best first.
    Raises:
        ModelError: names the file or check that failed.
    """
    if threads < 1:
        raise ModelError(f"threads is {threads}")
    digest, golden = verify(folder)
    model = LvlmModel(folder, digest, threads=threads, providers=providers)
    session = model.start([golden_view()], golden["prompt"], max_tokens=golden["max_tokens"])
    session.decode(golden["max_tokens"])
    expected, found = golden["logprobs"], session.token_logprobs
    close = len(expected) == len(found) and np.allclose(expected, found, atol=_GOLDEN_TOLERANCE)
    if session.text != golden["text"] or not close:
        raise ModelError(
            f"self test of {model.id}: expected {golden['text']!r}, got {session.text!r}"
        )
    return model
