"""Our own model family: any bands in, text with places out. Four graphs and a tokenizer.

``vision.onnx`` turns one picture into cell tokens, proposals, the chances of its heads and a pixel
map; ``scene.onnx`` writes summary and regions of one image as tokens, once the views of the image
are merged (``proposals``); ``pair.onnx`` compares the pixel maps of two dates; ``decoder.onnx``
runs words. Places that the asker points at become region tokens too: the pixel map's mean under
each of them (``visual_prompts``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.assemble import require_assembled, verified
from eo_nodes.lvlm.calibration import StageCalibration, read_calibration
from eo_nodes.lvlm.golden import answer_golden, check_golden
from eo_nodes.lvlm.infer import ImageInput
from eo_nodes.lvlm.manifest import V2
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
from eo_nodes.lvlm.sight import Picture, SightFeed, alike, feed_of, together
from eo_nodes.lvlm.told import Speller
from eo_nodes.lvlm.unified_config import FILES, read_unified
from eo_nodes.lvlm.unified_pictures import check_request, pictures_of, pictures_of_images
from eo_nodes.lvlm.unified_scene import Scene, See, assemble
from eo_nodes.lvlm.unified_session import UnifiedSession
from eo_nodes.lvlm.views import ViewTensor
from eo_nodes.lvlm.visual_prompts import VisualPrompt, parse_prompt
from eo_nodes.lvlm.zoom import MOST_WINDOWS, with_zooms

Float = NDArray[np.float32]
MAX_PROMPT_CHARS = 2000
# Words, graphs' own structures and Python beside the weights, bytes.
LOAD_BASE_BYTES = 64 << 20
# What the allocator loses between pieces and in pools of threads, and what it keeps of one graph
# when the next runs: measured up to 2.2 times and 32 MB.
SCATTER, REQUEST_BASE_BYTES = 3.0, 32 << 20
MAX_VISUAL_TOKENS = 1024
_VISION_OUTPUTS = ("cells", "chances", "meaning", "totals", "score", "boxes", "kinds", "look",
                   "pixel", "cell_meaning")
_SIGNATURE = "signature"     # an optional output: folders without it answer all the same


class UnifiedModel:
    """A loaded folder; see ``interface.VisionLanguageModel`` and ``infer.AnswersImages``."""

    family = V2

    def __init__(self, folder: Path, digest: str, options: RuntimeOptions) -> None:
        self.config, self.digest = read_unified(folder), digest
        self.id = self.config.id
        self.calibration: Mapping[int, StageCalibration] = read_calibration(folder)
        try:
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        except Exception as error:  # the library raises types of its own, without a base
            raise ModelError(f"{folder}: tokenizer: {error}") from error
        c = self.config
        self.words = slis.SlisVocabulary(
            c.vocabulary, c.spatial, slis.TokenizerCodec(tokenizer, range(4)), c.end_token)
        self._options = options
        self._vision, self._scene, self._pair, decoder = (
            open_session(folder / f"{name}.onnx", options)
            for name in ("vision", "scene", "pair", "decoder"))
        # Folders that were exported for one picture a run are taken as well.
        pictures = next(i.shape[0] for i in self._vision.get_inputs() if i.name == "pixels")
        self._takes_many = not isinstance(pictures, int)
        names = [i.name for i in decoder.get_inputs() if i.name.startswith("past")]
        # Folders whose decoder cannot point write every field of a place by themselves.
        outputs = {o.name for o in decoder.get_outputs()}
        self.points, self.tells = "aim" in outputs, "asked" in outputs
        self.spell = Speller(self.words.encode, c.end_token)
        self.decoder = CachedDecoder(decoder, {n: n.replace("past", "present", 1) for n in names})
        self.record: RunRecord = run_record(decoder, options)

    @property
    def input_size(self) -> int:
        """Longest side of a view after resizing, pixels."""
        return self.config.input_size

    # -- what callers use ----------------------------------------------------------------------

    def start(
        self, views: Sequence[ViewTensor], prompt: str, *, max_tokens: int = 40,
        cancel: CancelFlag | None = None,
    ) -> UnifiedSession:
        """Run vision and prompt; the session then stands at tap 1.

        Args:
            views: overviews, each an image or several dates of one, and zooms into the first.
            prompt: 1 to 2,000 characters; places in it are looked at.
            max_tokens: longest answer, the end token included, >= 1.
            cancel: stops vision and prompt at the next operator, decoding within one token.
        Raises:
            Cancelled: by the flag, before the first tap.
            ModelError: views or prompt break their contract, or a graph fails.
        """
        pictures = pictures_of(views)
        sizes = [(float(p.values.shape[1]), float(p.values.shape[0]))
                 for p in pictures if p.kind == "overview"]
        text, places = parse_prompt(prompt, sizes)
        return self.begin(pictures, text, places, max_tokens, cancel)

    def zoom_in(self, session: UnifiedSession, views: Sequence[ViewTensor]) -> UnifiedSession:
        """See ``interface.ZoomsLate`` and ``UnifiedSession.zoomed_in``."""
        return session.zoomed_in(views)

    def answer(
        self, images: Sequence[ImageInput], prompt: str, visual_prompts: Sequence[VisualPrompt],
        *, max_tokens: int, zooms: int = 0,
    ) -> tuple[str, float, int]:
        """Text, calibrated confidence in [0, 1], tokens decoded; see ``infer.AnswersImages``."""
        pictures = with_zooms(pictures_of_images(images), visual_prompts, self.input_size, zooms)
        session = self.begin(pictures, prompt, visual_prompts, max_tokens, None)
        session.decode(max_tokens)
        tap = session.tap()
        return session.text, self.calibration[3].confidence(tap), tap.tokens

    def embed_image(
        self, values: NDArray[np.generic], bands: Sequence[str], modality: str
    ) -> Float:
        """(384,) unit vector in the language space; several frames: their mean."""
        frames = values[None] if values.ndim == 3 else values
        found = [self.see(self._feed(Picture(f, tuple(bands), modality))).meaning[0]
                 for f in frames]
        mean = np.mean(found, axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-9), np.float32)

    def signature_of(self, picture: Picture, cancel: CancelFlag | None = None) -> Float:
        """(n,) unit vector of a picture's layout, to be compared across sensors by dot product.

        Raises:
            Cancelled: by the flag.
            ModelError: the folder was made without this output, or the picture breaks its contract.
        """
        if _SIGNATURE not in {o.name for o in self._vision.get_outputs()}:
            raise ModelError(f"{self.id}: its vision.onnx has no output {_SIGNATURE}, which "
                             "matching needs: export the folder again")
        inputs = self._inputs(self._feed(picture))
        (found,) = run_graph(self._vision, inputs, (_SIGNATURE,), cancel)
        return np.asarray(found[0], np.float32)

    def golden_run(self, golden: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the self test's prompt on the golden image; text and log-probabilities."""
        return answer_golden(self, golden)

    # -- what the session and the scene use ----------------------------------------------------

    def begin(
        self, pictures: Sequence[Picture], prompt: str, places: Sequence[VisualPrompt],
        max_tokens: int, cancel: CancelFlag | None,
    ) -> UnifiedSession:
        """See the pictures, lay out the visual tokens and run the prompt.

        Args:
            pictures: overviews of the images 0, 1, ... and zooms into them.
            places: what stands in the prompt, on these images.
        Raises:
            Cancelled, ModelError: as ``start``.
        """
        ids = self.encode(prompt, max_tokens)
        check_request(pictures, places)
        scene = self.lay_out(pictures, places, len(ids), max_tokens, cancel)
        return UnifiedSession(self, scene, ids, max_tokens, cancel, places=places)

    def lay_out(
        self, pictures: Sequence[Picture], places: Sequence[VisualPrompt], prompt: int,
        max_tokens: int, cancel: CancelFlag | None, before: Scene | None = None,
    ) -> Scene:
        """``unified_scene.assemble`` within the limits of a request of ``prompt`` tokens."""
        scene = assemble(self, pictures, places, cancel, before)
        if scene.visual.shape[1] > MAX_VISUAL_TOKENS:
            raise ModelError(f"{scene.visual.shape[1]} visual tokens, at most {MAX_VISUAL_TOKENS}")
        self._options.require(self._request_bytes(scene, prompt, max_tokens), "request")
        return scene

    def encode(self, prompt: str, max_tokens: int) -> list[int]:
        """Prompt -> token ids with its opening and closing token."""
        if not prompt.strip():
            raise ModelError("the prompt is empty")
        if len(prompt) > MAX_PROMPT_CHARS:
            raise ModelError(f"prompt of {len(prompt)} characters, at most {MAX_PROMPT_CHARS}")
        if max_tokens < 1:
            raise ModelError(f"max_tokens is {max_tokens}")
        body = self.words.encode(prompt)
        limit = self.config.positions - 2 - min(max_tokens, self.config.positions // 2)
        if len(body) > limit:
            raise ModelError(f"prompt of {len(body)} tokens, at most {limit}")
        return [self.config.cls_token, *body, self.config.end_token]

    def _feed(
        self, picture: Picture, most_cells: int | None = None, longest: int | None = None
    ) -> SightFeed:
        """longest: side in pixels, that of the overview by default."""
        c = self.config
        longest = longest or c.input_size
        coarse = None
        if c.coarse is not None:
            coarse = (round(c.coarse.input_size * longest / c.input_size), c.coarse.upscale)
        return feed_of(picture, longest, c.upscale, most_cells, coarse)

    def see(self, feed: SightFeed, cancel: CancelFlag | None = None) -> See:
        """Run the vision graph on one picture."""
        return See(*run_graph(self._vision, self._inputs(feed), _VISION_OUTPUTS, cancel))

    @staticmethod
    def _inputs(feed: SightFeed) -> dict[str, NDArray[Any]]:
        found: dict[str, NDArray[Any]] = {
            "pixels": feed.pixels, "codes": feed.codes, "geometry": feed.geometry,
            "tags": feed.tags, "pool": feed.pool}
        return found if feed.coarse is None else {**found, "coarse": feed.coarse}

    def look_at(
        self, picture: Picture, most_cells: int | None, cancel: CancelFlag | None
    ) -> tuple[SightFeed, See]:
        """Prepare and see one picture."""
        feed = self._feed(picture, most_cells)
        return feed, self.see(feed, cancel)

    def look_closer(
        self, pictures: Sequence[Picture], most_cells: int, longest: int,
        cancel: CancelFlag | None,
    ) -> list[tuple[SightFeed, See]]:
        """Prepare and see zooms, longest side ``longest`` px; those of one size in one run."""
        feeds = [self._feed(p, most_cells, longest) for p in pictures]
        found: dict[int, See] = {}
        for group in alike(feeds, MOST_WINDOWS if self._takes_many else 1):
            seen = self.see(together([feeds[i] for i in group]), cancel)
            found.update(zip(group, seen.each(), strict=True))
        return [(feed, found[i]) for i, feed in enumerate(feeds)]

    def write_scene(
        self, inputs: Mapping[str, NDArray[Any]], cancel: CancelFlag | None
    ) -> Float:
        """(1, S + R, width) tokens of one image's summary and regions."""
        return np.asarray(run_graph(self._scene, dict(inputs), None, cancel)[0], np.float32)

    def compare(
        self, first: Float, last: Float, cancel: CancelFlag | None
    ) -> tuple[Float, Float]:
        """Pixel map of the change between two dates, and its tokens (1, n, width)."""
        pixel, tokens = run_graph(self._pair, {"first": first, "last": last}, None, cancel)
        return np.asarray(pixel, np.float32), np.asarray(tokens, np.float32)

    def new_cache(self) -> Cache:
        """Return an empty KV cache."""
        return self.decoder.empty(self.decoder.empty_shapes)

    def _request_bytes(self, scene: Scene, prompt: int, max_tokens: int) -> int:
        """Estimate of what a request allocates: activations, attention, two caches, maps."""
        c, tokens = self.config, scene.visual.shape[1] + prompt
        cache = 4 * c.values_per_token * (tokens + max_tokens)
        kept = len(scene.maps) + sum(map(len, scene.closer)) + (scene.change is not None)
        at_once = max([1, *(min(len(zooms), MOST_WINDOWS) for zooms in scene.closer)])
        maps = 4 * (at_once * 16 * 3 * c.input_size**2 + c.depth * (c.input_size // 4) ** 2 * kept)
        scores = 4 * max(s.heads for s in c.streams) * tokens**2
        sizes = maps + scores + 4 * 8 * c.width * tokens + 2 * cache
        return int(SCATTER * sizes) + REQUEST_BASE_BYTES


def load_bytes(folder: Path) -> int:
    """Return an upper bound of the memory that loading a folder takes, bytes."""
    return weight_bytes([folder / name for name in FILES]) + LOAD_BASE_BYTES


def load_unified(folder: Path, options: RuntimeOptions) -> UnifiedModel:
    """Verify a folder, load it, and run its golden input. Raises ModelError: what failed."""
    require_assembled(folder)
    digest, golden = verified(folder)
    options.require(load_bytes(folder), folder.name)
    model = UnifiedModel(folder, digest, options)
    check_golden(model, golden)
    return model
