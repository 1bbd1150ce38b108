"""Run a Hugging Face ONNX export with the interface of our own models.

Theory of operation: every picture goes through the vision encoder; the chat is made of pieces with
one image token a visual token; embeddings of image tokens are replaced by the visual tokens; the
merged decoder runs the prompt once and then token by token, its cache staying in the runtime.

What such an export does not give is stated, not made up: hidden states (the features of a tap are
the mean visual embedding, later the mean embedding of the decoded tokens), relevance (every cell 1:
everything matters) and calibration (``UNCALIBRATED`` unless the folder holds calibration.json).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray
from tokenizers import Tokenizer

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm.bands import to_composites
from eo_nodes.lvlm.calibration import StageCalibration, calibration_of
from eo_nodes.lvlm.golden import check_golden, golden_view
from eo_nodes.lvlm.hf import idefics3, qwen2vl
from eo_nodes.lvlm.hf.layout import HfConfig, data_files, read_layout
from eo_nodes.lvlm.hf.prompt import encode_pieces
from eo_nodes.lvlm.hf.resample import Bytes
from eo_nodes.lvlm.manifest import (
    FAMILIES,
    HF,
    MANIFEST,
    read_manifest,
    require_listed,
    sha256_of,
    verify_files,
)
from eo_nodes.lvlm.runtime import (
    AS_STORED,
    CancelFlag,
    RunRecord,
    RuntimeOptions,
    input_types,
    open_session,
    run_graph,
    run_record,
    weight_bytes,
)
from eo_nodes.lvlm.runtime_cache import Cache, CachedDecoder
from eo_nodes.lvlm.runtime_greedy import GreedyPlan, GreedySession, Step
from eo_nodes.lvlm.views import ViewTensor

Float = NDArray[np.float32]
MAX_PROMPT_CHARS = 2000
MAX_TAP_CELLS = 64
# Tiles a vision run: bounds the attention's memory, and a whole run adds little speed on a CPU.
_TILES_PER_RUN = 4
_FEED = {"inputs_embeds", "attention_mask", "position_ids", "num_logits_to_keep"}


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prompt ready for the decoder.

    Attributes:
        ids: (T,) int64. positions: (1, T) or (3, 1, T) int64. following: position of the answer.
        visual: (V, D) float32 visual tokens. cells: rows and columns of the overview's relevance.
    """

    ids: NDArray[np.int64]
    positions: NDArray[np.int64]
    following: int
    visual: Float
    cells: tuple[int, int]


class HfModel:
    """An Idefics3- or Qwen2-VL-class model; see ``interface.VisionLanguageModel``."""

    family = HF

    def __init__(
        self, folder: Path, config: HfConfig, digest: str, options: RuntimeOptions
    ) -> None:
        self.config, self.digest, self.id = config, digest, config.id
        self._options = options
        try:
            self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises types of its own, without a base
            raise ModelError(f"tokenizer.json: {error}") from error
        self.calibration: Mapping[int, StageCalibration] = calibration_of(folder)
        self.vision = open_session(config.files["vision_encoder"], options)
        self.embed = open_session(config.files["embed_tokens"], options)
        session = open_session(config.files["decoder_model_merged"], options)
        self.decoder = CachedDecoder(session, _pairs(session))
        unknown = set(self.decoder.inputs) - _FEED
        if unknown or not self.decoder.pairs:
            raise ModelError(f"the decoder's inputs are not of this layout: {sorted(unknown)}")
        self._past = {name: _past_shape(name, shape)
                      for name, shape in self.decoder.past_shapes.items()}
        self._vision_types = input_types(self.vision)
        self.record: RunRecord = run_record(session, options)

    @property
    def input_size(self) -> int:
        """Longest side a picture is brought to, pixels (Qwen2-VL: of a square of largest area)."""
        image = self.config.image
        return image.longest_edge if self.config.kind == "idefics3" else int(
            image.longest_edge**0.5)

    def start(
        self, views: Sequence[ViewTensor], prompt: str, *, max_tokens: int = 40,
        cancel: CancelFlag | None = None, split: bool = True,
    ) -> HfSession:
        """Run vision and prompt; the session then stands at tap 1.

        Args:
            views: each frame is a picture, in its true colours; zooms are never cut into tiles.
            prompt: 1 to 2,000 characters. max_tokens: longest answer, >= 1.
            cancel: stops graphs at the next operator, decoding within one token.
            split: False gives each picture as one tile (Idefics3): quicker and coarser.
        Raises:
            Cancelled: by the flag. ModelError: views or prompt break their contract, need more
                memory than the options allow, or a graph fails.
        """
        if not prompt.strip() or len(prompt) > MAX_PROMPT_CHARS:
            raise ModelError(f"prompt of {len(prompt)} characters, 1 to {MAX_PROMPT_CHARS}")
        if max_tokens < 1:
            raise ModelError(f"max_tokens is {max_tokens}")
        if not views:
            raise ModelError("no views")
        prepared = self.prepare(views, prompt, max_tokens, cancel, split)
        return HfSession(self, prepared, max_tokens, cancel)

    def golden_run(self, golden: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the self test's prompt on the golden image as one tile."""
        session = self.start([golden_view()], golden["prompt"], split=False,
                             max_tokens=golden["max_tokens"])
        session.decode(golden["max_tokens"])
        return {"text": session.text, "logprobs": session.token_logprobs}

    def prepare(
        self, views: Sequence[ViewTensor], prompt: str, max_tokens: int,
        cancel: CancelFlag | None = None, split: bool = True,
    ) -> Prepared:
        """See the pictures and lay out the prompt."""
        pictures = [(image, split and view.kind == "overview")
                    for view in views for image in rgb_of(view)]
        if self.config.kind == "idefics3":
            return self._prepare_tiles(pictures, prompt, max_tokens, cancel)
        return self._prepare_patches(pictures, prompt, max_tokens, cancel)

    def _prepare_tiles(
        self, pictures: Sequence[tuple[Bytes, bool]], prompt: str, max_tokens: int,
        cancel: CancelFlag | None,
    ) -> Prepared:
        config, per_tile = self.config, self.config.tokens_per_tile
        cut = [idefics3.tiles_of(image, config.image, is_split=is_split)
               for image, is_split in pictures]
        begin = self.tokenizer.id_to_token(config.begin_token) if config.begin_token >= 0 else ""
        pieces = idefics3.chat_pieces(
            begin or "", [idefics3.image_pieces(r, c, per_tile) for _, r, c in cut], prompt)
        ids = self._encode(pieces, sum(len(t) for t, _, _ in cut) * per_tile, max_tokens)
        tiles = np.concatenate([t for t, _, _ in cut])
        seen = []
        for at in range(0, len(tiles), _TILES_PER_RUN):
            part = tiles[None, at : at + _TILES_PER_RUN]
            whole = np.ones((1, part.shape[1], *part.shape[3:]), np.bool_)
            feed: dict[str, NDArray[Any]] = {
                "pixel_values": part, "pixel_attention_mask": whole}
            seen.append(self._see(feed, cancel))
        side = min(int(per_tile**0.5), MAX_TAP_CELLS)
        positions = np.arange(len(ids), dtype=np.int64)[None]
        return Prepared(ids, positions, len(ids), np.concatenate(seen), (side, side))

    def _prepare_patches(
        self, pictures: Sequence[tuple[Bytes, bool]], prompt: str, max_tokens: int,
        cancel: CancelFlag | None,
    ) -> Prepared:
        config, merge = self.config, self.config.image.merge
        cut = [qwen2vl.patches_of(image, config.image) for image, _ in pictures]
        counts = [t * h * w // merge**2 for _, (t, h, w) in cut]
        ids = self._encode(qwen2vl.chat_pieces(counts, prompt), sum(counts), max_tokens)
        seen = []
        for patches, grid in cut:
            size = np.array([grid], np.int64)
            feed: dict[str, NDArray[Any]] = {
                "pixel_values": patches, "grid_thw": size, "image_grid_thw": size,
            }
            seen.append(self._see(feed, cancel))
        grids = [grid for _, grid in cut]
        positions, following = qwen2vl.positions_of(
            ids.tolist(), config.image_token, grids, merge)
        cells = tuple(min(side // merge, MAX_TAP_CELLS) for side in grids[0][1:])
        return Prepared(ids, positions, following, np.concatenate(seen), (cells[0], cells[1]))

    def _encode(
        self, pieces: Sequence[tuple[str, bool]], visual: int, max_tokens: int
    ) -> NDArray[np.int64]:
        ids = np.array(encode_pieces(self.tokenizer, pieces), np.int64)
        if int((ids == self.config.image_token).sum()) != visual:
            raise ModelError("the tokenizer does not know the model's image token")
        if len(ids) + max_tokens > self.config.positions:
            raise ModelError(
                f"{len(ids)} tokens and an answer of {max_tokens}: more than "
                f"{self.config.positions} positions"
            )
        self._options.require(self._request_bytes(len(ids), max_tokens), "request")
        return ids

    def _request_bytes(self, tokens: int, max_tokens: int) -> int:
        """Estimate of what a request allocates beside the weights: caches, logits, activations."""
        text, vision = self.config.text, self.config.vision
        cache = 4 * sum(s[1] * s[3] for s in self._past.values()) * (tokens + max_tokens)
        heads = int(text.get("num_attention_heads", 1))
        width = int(text.get("hidden_size", 1))
        logits = 4 * tokens * int(text.get("vocab_size", 1))
        patches = (int(vision.get("image_size", 224)) // int(vision.get("patch_size", 14))) ** 2
        if self.config.kind == "qwen2_vl":
            patches = tokens * self.config.image.merge**2
        eyes = int(vision.get("num_attention_heads", vision.get("num_heads", 12)))
        seeing = 4 * min(_TILES_PER_RUN, tokens) * eyes * patches**2
        return 2 * cache + logits + 12 * heads * tokens**2 + 32 * width * tokens + 3 * seeing

    def _see(self, feed: Mapping[str, NDArray[Any]], cancel: CancelFlag | None) -> Float:
        """One run of the vision encoder -> (V, D); only the inputs the graph has are given."""
        missing = set(self._vision_types) - set(feed)
        if missing:
            raise ModelError(f"the vision encoder wants {sorted(missing)}")
        given = {n: np.asarray(feed[n], dtype) for n, dtype in self._vision_types.items()}
        (features, *_) = run_graph(self.vision, given, None, cancel)
        return features.reshape(-1, features.shape[-1]).astype(np.float32)

    def embed_ids(self, ids: NDArray[np.int64]) -> Float:
        """(T,) ids -> (1, T, D) embeddings."""
        return np.asarray(run_graph(self.embed, {"input_ids": ids[None]})[0], np.float32)

    def run_decoder(
        self, embeddings: Float, positions: NDArray[np.int64], cache: Cache,
        cancel: CancelFlag | None,
    ) -> Float:
        """Grow the cache by (1, T, D) embeddings; (vocab,) logits of the last position."""
        past = cache.shape(next(iter(self._past)))[2]
        total = past + embeddings.shape[1]
        feed: dict[str, NDArray[Any]] = {
            "inputs_embeds": embeddings, "position_ids": positions,
            "attention_mask": np.ones((1, total), np.int64),
            "num_logits_to_keep": np.array(1, np.int64),
        }
        (logits,) = self.decoder.run(feed, cache, ("logits",), cancel)
        return np.asarray(logits[0, -1], np.float32)

    def new_cache(self) -> Cache:
        """Return an empty KV cache."""
        return self.decoder.empty(self._past)

    def macs_of(self, rows: int, context: int) -> int:
        """Multiply-accumulates of the decoder for ``rows`` tokens over ``context`` keys."""
        t = self.config.text
        width, heads = int(t.get("hidden_size", 0)), int(t.get("num_attention_heads", 1))
        kv = int(t.get("num_key_value_heads", heads))
        per_head = int(t.get("head_dim") or width // heads)
        layer = width * per_head * 2 * (heads + kv) + 3 * width * int(t.get("intermediate_size", 0))
        layers = len(self._past) // 2
        attention = 2 * heads * per_head * context
        return rows * (layers * (layer + attention) + width * int(t.get("vocab_size", 0)))


class HfSession(GreedySession):
    """Made by ``HfModel.start``; see there."""

    def __init__(
        self, model: HfModel, prepared: Prepared, max_tokens: int, cancel: CancelFlag | None
    ) -> None:
        self._model, self._cache, self._stop = model, model.new_cache(), cancel
        self._following = prepared.following
        self._axes = prepared.positions.shape[:-1]
        embeddings = model.embed_ids(prepared.ids)
        where = np.flatnonzero(prepared.ids == model.config.image_token)
        if len(where) != len(prepared.visual):
            raise ModelError(f"{len(prepared.visual)} visual tokens for {len(where)} places")
        embeddings[0, where] = prepared.visual
        self._context = embeddings.shape[1]
        self._macs = model.macs_of(self._context, self._context)
        logits = model.run_decoder(embeddings, prepared.positions, self._cache, cancel)
        plan = GreedyPlan(max_tokens, model.config.end_tokens, 1.0, model.tokenizer.decode)
        super().__init__(
            Step(logits, prepared.visual.mean(0)),
            np.ones(prepared.cells, np.float32), plan=plan, cancel=cancel,
        )

    def _advance(self, token: int, index: int) -> Step:
        embedding = self._model.embed_ids(np.array([token], np.int64))
        positions = np.full((*self._axes, 1), self._following + index, np.int64)
        logits = self._model.run_decoder(embedding, positions, self._cache, self._stop)
        self._context += 1
        self._macs += self._model.macs_of(1, self._context)
        return Step(logits, embedding[0, 0])

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the decoder so far; the vision encoder's are not counted."""
        return self._macs


def rgb_of(view: ViewTensor) -> list[Bytes]:
    """(H, W, 3) uint8 of each frame of a view, in true colours where the bands have them."""
    if view.values.ndim != 4 or 0 in view.values.shape:
        raise ModelError(f"view of shape {view.values.shape}, expected (F, H, W, C)")
    return [
        np.rint(to_composites(values, view.bands, view.modality)[0] * 255).astype(np.uint8)
        for values in view.values
    ]


def _pairs(session: ort.InferenceSession) -> dict[str, str]:
    """Past input -> present output, by the names of the layout."""
    return {i.name: i.name.replace("past_key_values", "present", 1)
            for i in session.get_inputs() if i.name.startswith("past_key_values.")}


def _past_shape(name: str, shape: Sequence[Any]) -> tuple[int, int, int, int]:
    """(1, heads, 0, head_dim) from (batch, heads, past, head_dim) with named sizes."""
    if len(shape) != 4 or not isinstance(shape[1], int) or not isinstance(shape[3], int):
        raise ModelError(f"{name} has shape {list(shape)}")
    return 1, shape[1], 0, shape[3]


def used_files(folder: Path, config: HfConfig) -> list[str]:
    """Relative names of the files that are read, sorted."""
    paths = [folder / name for name in FAMILIES[HF]]
    paths += [p for name in ("generation_config.json", "calibration.json")
              if (p := folder / name).is_file()]
    paths += [data for graph in config.files.values() for data in data_files(graph)]
    return sorted(p.relative_to(folder).as_posix() for p in paths)


def load_hf(
    folder: Path, options: RuntimeOptions | None = None, *, variant: str | None = None
) -> HfModel:
    """Load a folder of the layout.

    With a manifest every listed file is verified and the golden input must give its answer; without
    one the digest is that of the files as found, and the self test is that two tokens come out.

    Args:
        variant: suffix of the graphs, e.g. ``int8``; see ``read_layout``.
    Raises:
        ModelError: names the file, key or check that failed.
    """
    options = options or RuntimeOptions()
    manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    if manifest is not None:
        verify_files(folder, manifest)
    config = read_layout(folder, variant)
    names = used_files(folder, config)
    if manifest is not None:
        require_listed(manifest, names)
    digest = manifest.digest if manifest is not None else digest_of(folder, names)
    golden = manifest.golden if manifest is not None else {}
    graphs = [folder / n for n in names if ".onnx" in n]
    options.require(weight_bytes(graphs, AS_STORED), folder.name)
    model = HfModel(folder, config, digest, options)
    if golden:
        check_golden(model, golden)
    else:
        model.golden_run({"prompt": "What is this?", "max_tokens": 2})
    return model


def digest_of(folder: Path, names: Sequence[str]) -> str:
    """SHA-256 (hex) over names and digests of files; ModelError names a missing one."""
    total = hashlib.sha256()
    for name in names:
        if not (folder / name).is_file():
            raise ModelError(f"{name} is missing")
        total.update(f"{name} {sha256_of(folder / name)}\n".encode())
    return total.hexdigest()
