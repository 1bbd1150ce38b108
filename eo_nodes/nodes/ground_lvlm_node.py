"""ground_lvlm: the regular model answers what came down, or asks for a region first.

An answer below `unsure_below` is provisional when regions that the prompt needs came reduced and a
later contact begins before the deadline: the satellite is asked for the box around them, once, and
the model answers again on all regions together.

The default is low: with the first pair of models a higher bar asked for many regions on val,
changed few answers and lost most of these. It is worth raising once a model gains by a second look.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from eo_nodes.contracts import ids
from eo_nodes.contracts.rules import ZOOM_IN
from eo_nodes.contracts.values import Answer, ContactPlan, Notice, Product, Region
from eo_nodes.decision.refine import RefineConfig, wanted_region
from eo_nodes.imaging.container import overview_scale, read_container, views_from
from eo_nodes.lvlm.lengths import REGULAR_TOKENS
from eo_nodes.lvlm.question import question_about

from .base import EoNode
from .lvlm_values import (
    load_checked,
    model_parameters,
    readable,
    say_unread,
    tap_of,
    tensors_of_views,
)
from .parameters import Parameter
from .runner import main_of


class _Seen(NamedTuple):
    """What an answer may lack: regions, and the side length of the overview below them."""

    regions: tuple[Region, ...]
    overview: float


class GroundLvlm(EoNode):
    """Embedded model on the ground; one product at a time."""

    PARAMETERS = (
        *model_parameters("models/regular", 2),
        Parameter("max_tokens", REGULAR_TOKENS, "longest answer, tokens", 1, 2048),
        Parameter(
            "gmac_j", 0.1, "energy of 10^9 multiply-accumulates, J; stated, not measured", 0.0, 1e3
        ),
        Parameter("overview_px", 448, "longest side of the model's overview, pixels", 32, 2048),
        Parameter(
            "unsure_below", 0.5, "ask for a region below this confidence, 0: never", 0.0, 1.0
        ),
        Parameter(
            "needed_at",
            0.2,
            "of regions that came reduced, those at or above this relevance",
            0.0,
            1.0,
        ),
        Parameter(
            "least_change",
            0.02,
            "chance of another answer that a region must offer: wrong, and what is missing",
            0.0,
            1.0,
        ),
    )

    def __init__(self, name: str = "ground_lvlm", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Load the model: digest and self test (M30)."""
        self._model = load_checked(self)
        self._refine = RefineConfig(
            unsure_below=self.param("unsure_below"),
            needed_at=self.param("needed_at"),
            least_change=self.param("least_change"),
        )
        self._plan: ContactPlan | None = None
        self.speak("answer", "notice")
        self.listen("contact_plan", self._on_plan)
        self.listen("product", self._on_product)

    def activate(self) -> None:
        """Say which model answers."""
        self.emit("MODEL_LOADED", self._model.id, digest=self._model.digest)

    def _on_plan(self, plan: ContactPlan) -> None:
        self._plan = plan

    def _on_product(self, product: Product) -> None:
        if product.kind not in ("regions", "refinement", "enhancement"):
            return
        # More pixels come once a request: what was answered on all of them together stands.
        version = 1 if product.kind == "regions" else 2

        def work() -> tuple[Answer, _Seen, bool]:
            content = read_container(Path(product.path).read_bytes())
            header = content.header
            views = views_from(
                content,
                overview_px=self.param("overview_px"),
                zoom=header.zoom == ZOOM_IN,
            )
            question = question_about(header.window, header.prompt, header.visual_prompts)
            words = readable(self._model, question)
            session = self._model.start(
                tensors_of_views(views, header.modality),
                words,
                max_tokens=self.param("max_tokens"),
            )
            session.decode(self.param("max_tokens"))
            tap = tap_of(session, self._model, header.request_id, 1, 3)
            sent = [part for part in content.regions if part.data]
            answer = Answer(
                id=ids.answer_id(header.request_id, "ground", version),
                request_id=header.request_id,
                task_id=header.task_id,
                scene_id=header.scene_id,
                version=version,
                status=Answer.FINAL,
                prompt=header.prompt,
                text=session.text,
                confidence=(tap.confidence,),
                model_id=self._model.id,
                model_digest=self._model.digest,
                origin="ground",
                stage=3,
                energy_j=session.macs / 1e9 * self.param("gmac_j"),
                regions_used=len(sent),
                raw_bytes=header.raw_bytes,
                bytes_sent=product.size_bytes,
            )
            seen = _Seen((), 0.0)
            if version == 1:
                regions = tuple(part.region for part in content.regions)
                seen = _Seen(regions, overview_scale(content))
            return answer, seen, words != question

        def then(result: tuple[Answer, _Seen, bool]) -> None:
            answer, seen, is_unread = result
            if is_unread:
                say_unread(self, self._model, product.request_id)
            self._say(answer, seen, product.deadline_ns)

        def failed(error: Exception) -> None:
            self.emit("INFERENCE_FAILED", repr(error)[:500], request=product.request_id)

        self.compute("ground", product.id, work, then, failed)

    def _say(self, answer: Answer, seen: _Seen, deadline_ns: int) -> None:
        """Publish an answer; first, when it is unsure, which region could make it surer."""
        window = wanted_region(
            seen.regions,
            answer.confidence[0],
            self._plan,
            self.now_ns(),
            deadline_ns=deadline_ns,
            overview=seen.overview,
            config=self._refine,
        )
        if window is not None:
            answer = replace(answer, status=Answer.PROVISIONAL)
            wish = Notice(kind="region", request_id=answer.request_id, window=window)
            self.publish("notice", wish)
        self.publish("answer", answer)


main = main_of(GroundLvlm)

if __name__ == "__main__":
    main()
