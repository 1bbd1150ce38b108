"""Load a model folder and answer from it, with onnxruntime and without torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.calibration import StageCalibration, read_calibration
from eo_nodes.lvlm.golden import answer_golden, check_golden, golden_view
from eo_nodes.lvlm.hf import is_hf_folder, load_hf
from eo_nodes.lvlm.interface import VisionLanguageModel
from eo_nodes.lvlm.manifest import (
    FILES,
    HF,
    MANIFEST,
    V1,
    V2,
    ModelConfig,
    read_config,
    read_manifest,
    verify,
)
from eo_nodes.lvlm.runtime import (
    CancelFlag,
    RunRecord,
    RuntimeOptions,
    open_session,
    run_graph,
    run_record,
    weight_bytes,
)
from eo_nodes.lvlm.runtime_cache import Cache, CachedDecoder
from eo_nodes.lvlm.session import DecodeSession
from eo_nodes.lvlm.unified import load_unified
from eo_nodes.lvlm.views import ViewTensor, VisionInput, prepare

__all__ = ["LvlmModel", "golden_view", "load_model"]

Float = NDArray[np.float32]
MAX_PROMPT_CHARS = 2000
MAX_VISUAL_TOKENS = 1024


class LvlmModel:
    """A captioner and question answerer.

    Attributes:
        id: name from the configuration. digest: SHA-256 (hex) of the manifest.
        config: see ``ModelConfig``. calibration: per stage, see ``StageCalibration``.
    """

    family = V1

    def __init__(
        self, folder: Path, digest: str, *, threads: int = 1,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        options: RuntimeOptions | None = None,
    ) -> None:
        options = options or RuntimeOptions(tuple(providers), threads=threads)
        self.config: ModelConfig = read_config(folder)
        self.calibration: Mapping[int, StageCalibration] = read_calibration(folder)
        self.id, self.digest = self.config.id, digest
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises types of its own, without a base
            raise ModelError(f"{folder}: tokenizer: {error}") from error
        self._options = options
        self._vision = open_session(folder / "vision.onnx", options)
        decoder = open_session(folder / "decoder.onnx", options)
        self.decoder = CachedDecoder(decoder, {"past": "present"})
        self.record: RunRecord = run_record(decoder, options)

    @property
    def input_size(self) -> int:
        """Longest side of a view after resizing, pixels."""
        return self.config.input_size

    def start(
        self, views: Sequence[ViewTensor], prompt: str, *, max_tokens: int = 40,
        cancel: CancelFlag | None = None,
    ) -> DecodeSession:
        """Run vision and prompt; the session then stands at tap 1.

        Args:
            views: one overview and any zooms; ranges as in ``bands``.
            prompt: 1 to 2,000 characters, one question or request.
            max_tokens: longest answer, the end token included, >= 1.
            cancel: stops vision and prompt at the next operator, decoding within one token.
        Raises:
            Cancelled: by the flag, before the first tap.
            ModelError: views or prompt break their contract, need more memory than the options
                allow, or a graph fails.
        """
        ids = self.encode(prompt, max_tokens)
        inputs = prepare(views, self.config.input_size, self.config.upscale)
        count = sum(i.rows * i.cols + self.config.summary_tokens for i in inputs)
        if count > MAX_VISUAL_TOKENS:
            raise ModelError(f"{count} visual tokens, at most {MAX_VISUAL_TOKENS}")
        self._options.require(self._request_bytes(inputs, count + len(ids), max_tokens), "request")
        return DecodeSession(self, inputs, ids, max_tokens, cancel)

    def _request_bytes(
        self, inputs: Sequence[VisionInput], tokens: int, max_tokens: int
    ) -> int:
        """Estimate of what a request allocates: widest activations, scores, two caches.

        Measured beside it (regular, overview of 320 px): 26 MB for 21; eight of
        them 159 MB for 117 to 142.
        """
        c = self.config
        pixels = max(item.pixels.size for item in inputs)
        cache = 4 * c.layers * 2 * c.heads * c.head_dim * (tokens + max_tokens)
        return 64 * pixels + 12 * c.heads * tokens**2 + 32 * c.width * tokens + 2 * cache

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

    def run_vision(
        self, pixels: Float, geometry: Float, tags: NDArray[np.int64],
        cancel: CancelFlag | None = None,
    ) -> Float:
        """One composite -> (1, cells + summary_tokens, width) visual tokens."""
        feed: dict[str, NDArray[Any]] = {"pixels": pixels, "geometry": geometry, "tags": tags}
        return np.asarray(run_graph(self._vision, feed, None, cancel)[0], np.float32)

    def new_cache(self) -> Cache:
        """Return an empty KV cache."""
        c = self.config
        return self.decoder.empty({"past": (c.layers, 2, 1, c.heads, 0, c.head_dim)})

    def golden_run(self, golden: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the self test's prompt on the golden image; text and log-probabilities."""
        return answer_golden(self, golden)


def load_model(
    folder: Path, *, threads: int = 1, providers: Sequence[str] = ("CPUExecutionProvider",),
    options: RuntimeOptions | None = None,
) -> VisionLanguageModel:
    """Verify a model folder, load it, and run its golden input.

    Args:
        folder: as ``manifest`` describes, or in the layout of ``hf.layout``.
        threads: of onnxruntime, >= 1; the same number gives the same bits.
        providers: onnxruntime execution providers, best first.
        options: instead of threads and providers: all that a session can be told.
    Raises:
        ModelError: names the file or check that failed.
    """
    options = options or RuntimeOptions(tuple(providers), threads=threads)
    family = V1
    if (folder / MANIFEST).is_file():
        family = read_manifest(folder).family
    elif is_hf_folder(folder):
        family = HF
    if family == HF:
        return load_hf(folder, options)
    if family == V2:
        return load_unified(folder, options)
    if family != V1:
        raise ModelError(f"family {family!r} has no runtime in this version")
    digest, golden = verify(folder)
    options.require(weight_bytes([folder / n for n in FILES if n.endswith(".onnx")]), folder.name)
    model = LvlmModel(folder, digest, options=options)
    check_golden(model, golden)
    return model
