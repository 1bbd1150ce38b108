"""One answer of our own family: greedy tokens within the grammar, masks where it says ``<seg>``.

It ends at the end token, at the longest length, or where it would repeat itself (``said``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eo_nodes.contracts.errors import ModelError
from eo_nodes.lvlm import slis
from eo_nodes.lvlm.counting import count, rule_of, shifted
from eo_nodes.lvlm.pointer import KINDS, Offer, Pointer
from eo_nodes.lvlm.proposals import keep
from eo_nodes.lvlm.runtime import CancelFlag, Cancelled
from eo_nodes.lvlm.runtime_greedy import GreedyPlan, GreedySession, Step
from eo_nodes.lvlm.said import Said
from eo_nodes.lvlm.told import Candidate, Told, candidates, choices, lists
from eo_nodes.lvlm.unified_pictures import check_request, pictures_of
from eo_nodes.lvlm.unified_scene import Scene, mask_logits
from eo_nodes.lvlm.views import ViewTensor
from eo_nodes.lvlm.visual_prompts import VisualPrompt

if TYPE_CHECKING:
    from eo_nodes.lvlm.unified import UnifiedModel

Float = NDArray[np.float32]
Double = NDArray[np.float64]
_OUTPUTS = ("logits", "hidden", "query", "relevance")
_POINTING, _TELLING = ("aim", "held"), ("asked",)  # of folders that can


class UnifiedSession(GreedySession):
    """Made by ``UnifiedModel.begin``; see there."""

    def __init__(
        self, model: UnifiedModel, scene: Scene, prompt_ids: Sequence[int], max_tokens: int,
        cancel: CancelFlag | None, *, places: Sequence[VisualPrompt] = (), macs_before: int = 0,
    ) -> None:
        """macs_before: of a session that this one goes on from."""
        c = model.config
        self._model, self._scene, self._stop = model, scene, cancel
        self._prompt_ids, self._asked = tuple(prompt_ids), tuple(places)
        self._cache = model.new_cache()
        self._context, self._macs = 0, macs_before + scene.macs
        self._none = np.zeros((1, 0, c.width), np.float32)
        self._places = len(prompt_ids)
        self._queries: list[Float] = []
        self._pointer: Pointer | None = None
        self._told: Told | None = None
        max_tokens = min(max_tokens, c.positions - len(prompt_ids))
        self._longest = max_tokens
        frames = max(2, len(scene.maps))
        self._automaton = slis.Automaton(model.words, images=len(scene.maps), frames=frames)
        self._said = Said(model.words, self._automaton)
        self._scores: Float | None = None
        step, relevance, held = self._run(prompt_ids, 0, scene.visual)
        if held is not None:
            self._pointer = Pointer([Offer(boxes, held[row : row + len(boxes)])
                                     for row, boxes in scene.offered])
        if self._scores is not None and len(scene.regions) == 1:
            self._told = Told(self._scores, self._answers(places, self._scores), c.asked_size)
        rows, cols = scene.grid
        plan = GreedyPlan(max_tokens, frozenset([c.end_token]), c.temperature,
                          model.words.decode)
        super().__init__(step, relevance[: rows * cols].reshape(rows, cols), plan=plan,
                         cancel=cancel)

    def _answers(self, places: Sequence[VisualPrompt], scores: Float) -> list[Candidate]:
        """What the vision graph would answer about the only image; scores: as ``Told`` takes."""
        c, (feed, seen) = self._model.config, self._scene.seen[0]
        found, spell = self._scene.regions[0], self._model.spell
        rule = rule_of(c.counting, feed.codes, len(c.kinds))
        counts, kept = count(found, rule, places), keep(shifted(found, rule))
        return [*candidates(counts, c.classes, c.labels, seen.chances[0], spell),
                *lists(kept, c.listing, spell),
                *choices(kept, rule, c.choosing, places, scores, spell)]

    def zoomed_in(self, views: Sequence[ViewTensor]) -> UnifiedSession:
        """The same question at tap 1, now with zooms: the overviews are not seen again.

        Args:
            views: those that the session was started with, in that order, and zooms.
        Raises:
            Cancelled: by the session's flag.
            ModelError: decoding has begun, or views break their contract.
        """
        if self.token_ids:
            raise ModelError("zooms are looked at before the first token")
        pictures = pictures_of(views)
        check_request(pictures, self._asked)
        if sum(p.kind == "overview" for p in pictures) != len(self._scene.seen):
            raise ModelError("other overviews than those that the session began with")
        scene = self._model.lay_out(pictures, self._asked, len(self._prompt_ids), self._longest,
                                    self._stop, self._scene)
        return UnifiedSession(self._model, scene, self._prompt_ids, self._longest, self._stop,
                              places=self._asked, macs_before=self._macs)

    def _allowed(self, ids: list[int]) -> NDArray[np.bool_]:
        """Tokens that the grammar lets follow."""
        return self._automaton.allowed(self._said.follow(ids), self._longest - len(ids))

    def _log_softmax(self, temperature: float) -> Double:
        own = plain = super()._log_softmax(temperature)
        if self._pointer is not None and self._pointer.is_open:
            own = self._pointer.mix(plain, self._model.config.spatial.locations)
        if temperature == 1.0:
            self._plain, self._own = plain, own
        return self._told.mix(own) if self._told is not None and self._told.is_open else own

    def _advance(self, token: int, index: int) -> Step:
        if self._told is not None and self._told.is_open:
            self._told.take(token, float(self._own[token]))
        if self._pointer is not None and self._pointer.is_open:
            field = token - self._model.config.spatial.locations
            if 0 <= field < slis.BINS:
                self._pointer.take(field, float(self._plain[token]))
        step, _, _ = self._run([token], self._places + index, self._none)
        if token == self._model.config.spatial.markers["seg"]:
            self._queries.append(self._query)
        state = self._said.follow(self._ids)
        if self._pointer is not None and state.kind in KINDS and not state.fields:
            image = token - self._model.config.spatial.images
            image = image if 0 < image < slis.MAX_IMAGES else 0
            self._pointer.open(state.kind, image, self._aim)
        return step

    def _run(
        self, ids: Sequence[int], place: int, visual: Float
    ) -> tuple[Step, Float, Float | None]:
        """One run of the decoder graph; returns the step, the relevance (V,) and, from folders that
        point, what the pointer holds of the visual tokens (V, P)."""
        feed: dict[str, NDArray[Any]] = {
            "tokens": np.array([ids], np.int64), "visual": visual,
            "places": np.arange(place, place + len(ids), dtype=np.int64)[None]}
        wanted = (*_OUTPUTS, *(_POINTING if self._model.points else ()),
                  *(_TELLING if self._model.tells and place == 0 else ()))
        logits, hidden, query, relevance, *more = self._model.decoder.run(
            feed, self._cache, wanted, self._stop)
        new = visual.shape[1] + len(ids)
        self._context += new
        self._macs += self._model.config.decoder_macs(new, self._context)
        self._query: Float = query[0]
        held = None
        if self._model.points:
            self._aim: Float = more[0][0]
            held = np.asarray(more[1][0], np.float32)
        if wanted[-1:] == _TELLING:
            self._scores = more[-1][0]
        return Step(logits[0], hidden[0]), np.asarray(relevance[0], np.float32), held

    def decode(self, n_tokens: int) -> int:
        """As ``GreedySession.decode``; a ``<seg>`` at the very end is looked at as well."""
        done = super().decode(n_tokens)
        ids = self.token_ids
        seg = self._model.config.spatial.markers["seg"]
        if self.is_finished and ids.count(seg) > len(self._queries):
            with contextlib.suppress(Cancelled):  # then its mask stays unsaid
                self._advance(seg, len(ids) - 1)
        return done

    def mask(self, index: int) -> NDArray[np.bool_]:
        """(rows, cols) bool of the n-th ``<seg>``: on the change of two dates, else its image.

        The grid is a quarter of the input's size, or finer where zooms see more.

        Raises:
            ModelError: no such ``<seg>`` was decoded.
        """
        if not 0 <= index < len(self._queries):
            raise ModelError(f"no mask {index}, {len(self._queries)} were asked for")
        image = self._seg_images()[index]
        logits = mask_logits(self._scene, image, self._queries[index])
        return np.asarray(logits + self._model.config.query_bias > 0)

    def _seg_images(self) -> list[int]:
        segments = self._model.words.segments(self._said.whole(self._ids))
        return [s.image for s in segments if isinstance(s, slis.Seg)]

    @property
    def is_finished(self) -> bool:
        """As in ``GreedySession``, or a value was said that had been said before."""
        self._said.follow(self._ids)
        return super().is_finished or self._said.is_repeating

    @property
    def text(self) -> str:
        """Decoded so far, every ``<seg>`` filled with its mask; a value that is open or repeats
        another is left out."""
        text = self._model.words.decode(self._said.whole(self._ids))
        if not self._queries:
            return text
        images = self._seg_images()
        masks: list[slis.Mask | None] = [
            slis.mask_from(self.mask(i), images[i]) if i < len(self._queries) else None
            for i in range(len(images))]
        return slis.fill_segs(text, masks)

    @property
    def evidence(self) -> Float:
        """(n,) what the vision heads say of the pictures; see ``tap_features``."""
        return self._scene.evidence

    @property
    def scene(self) -> Scene:
        """What the pictures gave; see ``cues``."""
        return self._scene

    @property
    def macs(self) -> int:
        """Multiply-accumulates so far."""
        return self._macs
