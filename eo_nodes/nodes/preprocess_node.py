"""preprocess: views for the model; for what is offloaded, the reduced product.

`prepare` crops and resamples; `reduce` lets the decision choose regions by the tap's relevance
and codes them; `refine` codes a region that the ground wants too; `enhance` finer pixels of what
reached the ground, when nothing else is to be done. All run as jobs, one at a time.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eo_nodes.contracts import ids
from eo_nodes.contracts.errors import (
    ConfigError,
    EoError,
    FrameStoreError,
    ImageError,
    StorageError,
)
from eo_nodes.contracts.rules import ZOOM_AS_CONFIGURED, ZOOM_IN
from eo_nodes.contracts.values import (
    Answer,
    ByteBudget,
    Product,
    Region,
    Request,
    Tap,
    Verdict,
    Views,
)
from eo_nodes.decision.finer import finer
from eo_nodes.decision.levels import Level, level_named
from eo_nodes.decision.product import Cutoffs, Sent, by_cutoffs, product_of
from eo_nodes.decision.refine import missing_share
from eo_nodes.decision.sending import SendingConfig
from eo_nodes.downlink.budget import left_bytes
from eo_nodes.imaging.coder import RegionCoder
from eo_nodes.imaging.container import ProductHeader, read_container, write_container
from eo_nodes.imaging.header import header_of, places_of, raw_bytes_of
from eo_nodes.imaging.looks import Looks
from eo_nodes.imaging.prepare import prepare_views
from eo_nodes.lvlm.question import question_about
from eo_nodes.store.frame_store import FrameStore
from eo_nodes.store.product_store import ProductFile, ProductStore

from .base import EoNode
from .folders import state_folder
from .parameters import Parameter
from .runner import main_of
from .settled import Settled

TWO_CUTOFFS = level_named("two_cutoffs")
_REQUESTS_KNOWN = 200  # between request and decision; the pipeline holds far fewer at once
_PRODUCTS_KNOWN = 200  # between product and delivery; of others nothing finer follows
_EVEN = np.ones((1, 1), np.float32)  # everything counts


@dataclass(slots=True)
class _Known:
    request: Request
    tap: Tap | None = None
    verdict: Verdict | None = None  # came before the tap that it is about


@dataclass(frozen=True, slots=True)
class _Done:
    """A product as it went down; without pixels: nothing finer is to follow it."""

    product: Product
    sent: Sent
    relevance: np.ndarray


class Preprocess(EoNode):
    """Views and products of one satellite."""

    PARAMETERS = (
        Parameter("overview_px", 256, "longest side of the model's overview, pixels", 32, 1024),
        Parameter("zoom", False, "add four zoom views"),
        Parameter("sent_overview_px", 32, "longest side of the overview sent down", 8, 1024),
        Parameter("cell_px", 32, "regions are about this wide, pixels", 4, 1024),
        Parameter("grid", 8, "regions a side of the window at most", 1, 64),
        Parameter("choice", "value", "of regions: value (per byte), or fixed (two cut-offs)"),
        Parameter("lossless", False, "by value: samples that are sent are exact, or averages"),
        Parameter("needed_px", 12.0, "by value: side at which a thing is seen, pixels", 1.0, 1e3),
        Parameter("keep_at", 0.6, "fixed: keep from this share of the highest relevance", 0.0, 1.0),
        Parameter("drop_below", 0.2, "fixed: drop below this share of the highest", 0.0, 1.0),
        Parameter("downsample_scale", 0.5, "fixed: side length after downsampling", 0.05, 0.95),
        Parameter("max_product_bytes", 2_000_000, "of one product, at any level", 1000, 2**31),
        Parameter("max_refinement_bytes", 200_000, "of a refinement, asked or not", 1000, 2**31),
        Parameter("refinements", 1, "of a request without being asked, as the ground has it", 0, 1),
        Parameter(
            "least_change", 0.02, "of the gain of asking, what such a refinement brings", 0.0, 1.0
        ),
        Parameter("max_error", 0.0, "coding error allowed per sample, sample units", 0.0, 1e4),
        Parameter("codec", "htj2k", "htj2k, jpeg2000, jpeg2000_layers, png or raw"),
        Parameter("frame_store_mb", 512, "limit of the frame store, MB", 1, 1_000_000),
        Parameter("product_store_mb", 256, "limit of the product store, MB", 1, 1_000_000),
    )

    def __init__(self, name: str = "preprocess", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Open the stores."""
        folder = Path(state_folder(self))
        self._frames = FrameStore(folder / "frames", self.param("frame_store_mb") << 20)
        self._products = ProductStore(folder / "products", self.param("product_store_mb") << 20)
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._done: OrderedDict[str, _Done] = OrderedDict()
        self._budget = Settled[ByteBudget]()
        self._looks = Looks()
        self._sending, self._cutoffs = sending_of(self), cutoffs_of(self)
        self.speak("views", "product", "answer")
        self.listen("request", self._on_request)
        self.listen("refine", self._on_refine)
        self.listen("enhance", self._on_enhance)
        self.listen("tap", self._on_tap)
        self.listen("verdict", self._on_verdict)
        self.listen("byte_budget", self._budget.put)

    # -- views -------------------------------------------------------------------------------

    def _on_request(self, request: Request) -> None:
        self._known[request.id] = _Known(request)
        while len(self._known) > _REQUESTS_KNOWN:
            self._known.popitem(last=False)
        try:
            question = question_about(request.window, request.prompt, places_of(request))
        except EoError as error:
            self.emit("PLACE_REFUSED", str(error), request=request.id)
            self._refuse(request, str(error))
            return

        def work() -> Views:
            scene = request.scene
            views = prepare_views(
                self._open(request),
                scene,
                request.window,
                overview_px=self.param("overview_px"),
                zoom=request.zoom == ZOOM_IN
                or (request.zoom == ZOOM_AS_CONFIGURED and self.param("zoom")),
            )
            return Views(
                request_id=request.id,
                scene_id=scene.id,
                modality=scene.modality,
                prompt=question,
                attempt=request.attempt,
                views=tuple(views),
            )

        self.compute(
            "prepare",
            f"{request.id}/{request.attempt}",
            work,
            lambda views: self.publish("views", views),
            lambda error: self._failed(request, error),
        )

    def _open(self, request: Request) -> np.ndarray:
        scene = request.scene
        shape = (scene.frames, scene.height, scene.width, scene.bands)
        return self._frames.open(scene.frame_key, shape, scene.dtype, scene.sha256)

    def _failed(self, request: Request, error: Exception) -> None:
        if isinstance(error, FrameStoreError):
            self.emit("FRAME_MISSING", str(error), request=request.id)
            self._refuse(request, "the frame is no longer on board")
        elif isinstance(error, ImageError):
            self.emit("BAD_IMAGE", str(error), request=request.id, code=error.code)
            self._refuse(request, str(error))
        elif isinstance(error, StorageError):
            self.emit("STORE_FULL", str(error), request=request.id)
        else:
            raise error

    def _refuse(self, request: Request, reason: str) -> None:
        self._known.pop(request.id, None)
        self.publish(
            "answer",
            Answer(
                id=ids.answer_id(request.id, "onboard", max(request.attempt, 1)),
                request_id=request.id,
                task_id=request.task_id,
                scene_id=request.scene_id,
                version=max(request.attempt, 1),
                status=Answer.REFUSED,
                prompt=request.prompt,
                reason=reason[:300],
                origin="onboard",
            ),
        )

    # -- reduction ---------------------------------------------------------------------------

    def _on_tap(self, tap: Tap) -> None:
        known = self._known.get(tap.request_id)
        if known is None:
            return
        known.tap = tap
        if known.verdict is not None:
            verdict, known.verdict = known.verdict, None
            self._on_verdict(verdict)

    def _on_verdict(self, verdict: Verdict) -> None:
        known = self._known.get(verdict.request_id)
        if known is None or verdict.decision == Verdict.CONTINUE:
            return  # before our restart: the ledger issues the request again
        if verdict.decision == Verdict.ANSWER:
            if verdict.attempt >= known.request.attempt:
                del self._known[verdict.request_id]
            return
        tap_of = (known.tap.attempt, known.tap.stage) if known.tap is not None else (0, 0)
        if tap_of < (verdict.attempt, verdict.stage):
            # Two topics: the verdict may overtake its tap. The product must not depend on that.
            known.verdict = verdict
            return
        request, tap = known.request, known.tap
        budget = self._budget.before(self.now_ns())
        if tap is None:
            return
        del self._known[request.id]  # what comes again is issued again
        level = level_named(verdict.level)
        limit = self.param("max_product_bytes")
        if level is None:  # thresholds decided, nothing was weighed: what there is room for
            level = TWO_CUTOFFS if self.param("choice") == "fixed" else None
            if budget is not None and budget.contact_id:
                limit = min(limit, budget.budget_bytes)
        self.compute(
            "reduce",
            f"{request.id}/{verdict.attempt}",
            lambda: self._reduce(request, tap, verdict, level, limit),
            self._reduced,
            lambda error: self._failed(request, error),
        )

    def _reduced(self, done: _Done) -> None:
        self.publish("product", done.product)
        self._done[done.product.request_id] = done
        while len(self._done) > _PRODUCTS_KNOWN:
            self._done.popitem(last=False)

    def _reduce(
        self, request: Request, tap: Tap, verdict: Verdict, level: Level | None, limit_bytes: int
    ) -> _Done:
        """Make the product; it is worth what the verdict was decided by."""
        product_id = ids.product_id(request.id, "regions")
        known = self._products.find(product_id)
        if known is not None:  # made before a kill: the link may be sending it, it must not change
            regions = read_container(self._products.read(product_id)).regions
            product = _decided(request, verdict, known, tuple(part.region for part in regions))
            return _Done(product, ((), None), _EVEN)
        header = header_of(request, verdict.stamp_ns)
        coder = self._coder(request, header, self.param("sent_overview_px"))
        relevance = _EVEN  # a model without relevance
        if tap.rows and tap.columns:
            relevance = np.asarray(tap.relevance, np.float32).reshape(tap.rows, tap.columns)
        chosen, base = product_of(
            level,
            coder,
            request.window,
            relevance,
            raw_bytes_of(request),
            self._sending,
            most_bytes=limit_bytes,
            cutoffs=self._cutoffs,
        )
        file = self._products.write(product_id, coder.product(chosen, base))
        coded = tuple(coder.code(region).region for region in chosen)
        product = _decided(request, verdict, file, coded)
        return _Done(product, (() if product.is_late else coded, base), relevance)

    def _coder(self, request: Request, header: ProductHeader, overview_px: int) -> RegionCoder:
        scene, max_error = request.scene, self.param("max_error")
        return RegionCoder(
            self._open(request),
            header,
            overview_px=overview_px,
            codec=self.param("codec"),
            max_error=max_error,
            look=self._looks.of((scene.frame_key, scene.sha256, request.window, max_error)),
        )

    # -- refinement --------------------------------------------------------------------------

    def _on_refine(self, request: Request) -> None:
        # Not bounded by what the contact can still carry: it goes behind all other pixels, in
        # the next contact if need be, and coarser than native it would be of no use.
        limit = self.param("max_refinement_bytes")

        def failed(error: Exception) -> None:
            if not isinstance(error, FrameStoreError | ImageError):
                self._failed(request, error)
                return
            self.emit("REGION_REFUSED", str(error), request=request.id)
            self.publish("product", self._later(request, "refinement"))

        self.compute(
            "refine",
            f"{request.id}/region",
            lambda: self._refine(request, limit),
            lambda product: self.publish("product", product),
            failed,
        )

    def _refine(self, request: Request, limit_bytes: int) -> Product:
        known = self._products.find(ids.product_id(request.id, "refinement"))
        if known is not None:  # the link may be sending it, it must not change
            return _product(request, "refinement", 1.0, known, ())
        coder = self._coder(request, header_of(request), 0)
        everything = replace(self._cutoffs, keep_at=0.0, drop_below=0.0)
        chosen = by_cutoffs(coder, request.window, np.ones((1, 1)), everything, limit_bytes)
        coded = tuple(coder.code(region).region for region in chosen)
        return self._later(request, "refinement", coder.product(chosen), coded)

    def _later(
        self, request: Request, kind: str, data: bytes = b"", regions: tuple[Region, ...] = ()
    ) -> Product:
        """Write a later product; without any region it says that there is nothing to send."""
        data = data or write_container(header_of(request), b"", ())
        file = self._products.write(ids.product_id(request.id, kind), data)
        return _product(request, kind, 1.0, file, regions)

    def _on_enhance(self, request: Request) -> None:
        """Its pixels reached the ground, which may hold its answer for finer ones."""
        done = self._done.pop(request.id, None)
        now_ns = self.now_ns()
        left = left_bytes(self._budget.before(now_ns), now_ns)
        limit = min(left, self.param("max_refinement_bytes"))
        if not self.param("refinements") or 0 < request.deadline_ns <= now_ns:
            return  # the ground holds nothing
        sent = done.sent[0] if done is not None else ()
        if sent and (limit <= 0 or missing_share(sent) <= 0):
            return  # the ground waits no longer than this contact, nor for what it has
        # Else that nothing follows is said whatever the limit: after a restart the contact that
        # is under way may not be known here yet.
        self.compute(
            "enhance",
            f"{request.id}/finer",
            lambda: self._enhance(request, done, limit),
            lambda product: self.publish("product", product),
            lambda error: self._failed_enhancing(request, error),
            is_spare=True,
        )

    def _enhance(self, request: Request, done: _Done | None, limit_bytes: int) -> Product:
        if done is None or not done.sent[0]:  # before our restart, or late
            return self._later(request, "enhancement")
        coder = self._coder(request, header_of(request), 0)
        chosen = finer(
            done.sent,
            done.relevance,
            request.window,
            coder,
            value=done.product.value,
            least_change=self.param("least_change"),
            budget_bytes=limit_bytes,
            config=self._sending,
        )
        coded = tuple(coder.code(region).region for region in chosen)
        data = coder.product(chosen) if chosen else b""
        return self._later(request, "enhancement", data, coded)

    def _failed_enhancing(self, request: Request, error: Exception) -> None:
        # The answer stands as it is: nobody asked for more.
        if not isinstance(error, FrameStoreError | ImageError | StorageError):
            raise error
        self.emit("REFINEMENT_LEFT_OUT", str(error), request=request.id)


def _decided(
    request: Request, verdict: Verdict, file: ProductFile, regions: tuple[Region, ...]
) -> Product:
    """The product of a verdict: its value and whether it is late are the verdict's."""
    # Thresholds weigh no gain: what is not right on board may be on the ground.
    value = verdict.gain if verdict.level else 1.0 - verdict.score
    product = _product(request, "regions", min(max(value, 0.0), 1.0), file, regions)
    if not verdict.is_late:
        return product
    # No deadline to keep: among late ones value per byte orders, and the ground may still answer.
    return replace(product, is_late=True, deadline_ns=0)


def _product(
    request: Request, kind: str, value: float, file: ProductFile, regions: tuple[Region, ...]
) -> Product:
    return Product(
        id=ids.product_id(request.id, kind),
        request_id=request.id,
        task_id=request.task_id,
        scene_id=request.scene_id,
        kind=kind,
        path=file.path,
        size_bytes=file.size_bytes,
        sha256=file.sha256,
        priority=request.priority,
        deadline_ns=request.deadline_ns,
        value=value,
        raw_bytes=raw_bytes_of(request),
        regions=regions,
    )


def sending_of(node: EoNode) -> SendingConfig:
    """Return how regions are chosen by value, as the parameters say."""
    if node.param("choice") not in ("value", "fixed"):
        raise ConfigError(f"choice {node.param('choice')!r}: value or fixed")
    told = SendingConfig(
        # Half as many cells as by cut-offs: those with small things are cut again.
        cell_px=2 * node.param("cell_px"),
        most=2 * node.param("grid"),
        fine_px=node.param("cell_px"),
        needed_px=node.param("needed_px"),
    )
    return replace(told, qualities=(0.0,), bases=()) if node.param("lossless") else told


def cutoffs_of(node: EoNode) -> Cutoffs:
    """Return the two cut-offs, as the parameters say."""
    return Cutoffs(
        keep_at=node.param("keep_at"),
        drop_below=node.param("drop_below"),
        scale=node.param("downsample_scale"),
        cell_px=node.param("cell_px"),
        most=node.param("grid"),
    )


main = main_of(Preprocess)

if __name__ == "__main__":
    main()
