"""ground_lvlm: the regular model answers what came down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eo_nodes.contracts import ids
from eo_nodes.contracts.values import Answer, Product
from eo_nodes.imaging.container import read_container, views_from

from .base import EoNode
from .lvlm_values import load_checked, tap_of, tensors_of_views
from .parameters import Parameter
from .runner import main_of


class GroundLvlm(EoNode):
    """Embedded model on the ground; one product at a time."""

    PARAMETERS = (
        Parameter("model_dir", "models/regular", "model folder"),
        Parameter("threads", 2, "threads of the runtime", 1, 256),
        Parameter("max_tokens", 40, "longest answer, tokens", 1, 2048),
        Parameter(
            "gmac_j", 0.02, "energy of 10^9 multiply-accumulates, J; stated, not measured", 0.0, 1e3
        ),
        Parameter("overview_px", 448, "longest side of the model's overview, pixels", 32, 2048),
    )

    def __init__(self, name: str = "ground_lvlm", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Load the model: digest and self test (M30)."""
        self._model = load_checked(self, self.param("model_dir"), self.param("threads"))
        self.speak("answer")
        self.listen("product", self._on_product)

    def activate(self) -> None:
        """Say which model answers."""
        self.emit("MODEL_LOADED", self._model.id, digest=self._model.digest)

    def _on_product(self, product: Product) -> None:
        if product.kind not in ("regions", "refinement"):
            return

        def work() -> Answer:
            content = read_container(Path(product.path).read_bytes())
            header = content.header
            views = views_from(content, overview_px=self.param("overview_px"))
            session = self._model.start(
                tensors_of_views(views, header.modality),
                header.prompt,
                max_tokens=self.param("max_tokens"),
            )
            session.decode(self.param("max_tokens"))
            tap = tap_of(session, self._model, header.request_id, 1, 3)
            sent = [part for part in content.regions if part.data]
            return Answer(
                id=ids.answer_id(header.request_id, "ground", 1),
                request_id=header.request_id,
                task_id=header.task_id,
                scene_id=header.scene_id,
                version=1,
                status=Answer.PROVISIONAL,
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

        def failed(error: Exception) -> None:
            self.emit("INFERENCE_FAILED", repr(error)[:500], request=product.request_id)

        self.compute(
            "ground", product.id, work, lambda answer: self.publish("answer", answer), failed
        )


main = main_of(GroundLvlm)

if __name__ == "__main__":
    main()
