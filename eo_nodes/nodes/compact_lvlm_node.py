"""compact_lvlm: the on-board model; its decoder pauses at each tap for a verdict."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import Any

from eo_nodes.contracts import ids
from eo_nodes.contracts.values import Answer, Tap, Verdict, Views
from eo_nodes.lvlm.interface import ZoomsLate
from eo_nodes.lvlm.lengths import COMPACT_TOKENS, TAP2_TOKENS

from .base import EoNode
from .lvlm_values import load_checked, model_parameters, readable, say_unread, tap_of, tensors_of
from .parameters import Parameter
from .runner import main_of
from .wakeups import Wakeup


@dataclass(slots=True)
class _Current:
    """The request whose decoder stands at a tap or runs."""

    views: Views
    session: Any = None
    stage: int = 0
    is_waiting: bool = False
    timeout: Wakeup | None = None
    confidences: tuple[float, ...] = ()
    is_gated: bool = True  # false once a verdict said: answer
    prompt: str = ""  # as the model got it
    label: str = ""  # of an answer that is given because nobody else can be asked


class CompactLvlm(EoNode):
    """One model, one request at a time."""

    PARAMETERS = (
        *model_parameters("models/compact", 1),
        Parameter("max_tokens", COMPACT_TOKENS, "longest answer, tokens", 1, 512),
        Parameter(
            "zoom_below",
            -1.0,
            "zoom views are looked at when tap 1 is below this; 1: before tap 1, 0: never, below "
            "0: as calibrated, where tap 1 is not sure enough to answer",
            -1.0,
            1.0,
        ),
        Parameter("tap2_tokens", TAP2_TOKENS, "tokens decoded before the second tap", 1, 64),
        Parameter(
            "gmac_j", 0.06, "energy of 10^9 multiply-accumulates, J; stated, not measured", 0.0, 1e3
        ),
        Parameter("verdict_timeout_s", 5.0, "without a verdict the decoder goes on, s", 0.1, 600.0),
        Parameter("queue_limit", 200, "requests waiting at most", 1, 100_000),
    )

    def __init__(self, name: str = "compact_lvlm", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Load the model: digest and self test (M30)."""
        self._model = load_checked(self)
        self._waiting: deque[Views] = deque()
        self._current: _Current | None = None
        self.speak("tap", "answer")
        self.listen("views", self._on_views)
        self.listen("verdict", self._on_verdict)

    def activate(self) -> None:
        """Say which model flies."""
        self.emit("MODEL_LOADED", self._model.id, digest=self._model.digest)

    def _on_views(self, views: Views) -> None:
        if len(self._waiting) >= self.param("queue_limit"):
            # The ledger issues it again when nothing comes of it.
            self.emit("INFERENCE_FAILED", "queue is full", request=views.request_id)
            return
        self._waiting.append(views)
        self._next()

    def _next(self) -> None:
        if self._current is not None or not self._waiting:
            return
        current = self._current = _Current(self._waiting.popleft())
        views = current.views

        max_tokens = self.param("max_tokens")
        prompt = current.prompt = readable(self._model, views.prompt)
        if prompt != views.prompt:
            say_unread(self, self._model, views.request_id)

        is_late = self._zooms_late()

        def work() -> tuple[Any, Tap]:
            tensors = tensors_of(views)
            if is_late:
                tensors = [t for t in tensors if t.kind == "overview"]
            session = self._model.start(tensors, prompt, max_tokens=max_tokens)
            return session, self._tap(session, current, 1)

        def then(result: tuple[Any, Tap]) -> None:
            current.session, tap = result
            self._pause(current, tap)

        self.compute("vision", f"{views.request_id}/{views.attempt}", work, then, self._failed)

    def _zooms_late(self) -> bool:
        return self.param("zoom_below") < 1 and isinstance(self._model, ZoomsLate)

    def _zoom_below(self) -> float:
        told = float(self.param("zoom_below"))
        return told if told >= 0 else self._model.calibration[1].answer_above

    def _failed(self, error: Exception) -> None:
        views = self._current.views if self._current else None
        self._current = None
        self._next()
        self.emit("INFERENCE_FAILED", repr(error), request=views.request_id if views else "")

    def _tap(self, session: Any, current: _Current, stage: int) -> Tap:
        """Distributions, calibration and relevance are the model's work: part of the job."""
        views, prompt = current.views, current.prompt
        return tap_of(session, self._model, views.request_id, views.attempt, stage, prompt)

    def _pause(self, current: _Current, tap: Tap) -> None:
        current.stage = tap.stage
        current.confidences += (tap.confidence,)
        if not current.is_gated:
            if tap.stage == 3:
                self._answer(current, 3)
            else:
                self._go_on(current)
            return
        current.is_waiting = True
        self.publish("tap", tap)
        current.timeout = self.after(
            self.param("verdict_timeout_s"), lambda: self._on_timeout(current)
        )

    def _on_timeout(self, current: _Current) -> None:
        if current is not self._current or not current.is_waiting:
            return
        self.emit("VERDICT_TIMEOUT", f"stage {current.stage}", request=current.views.request_id)
        current.is_waiting = False
        if current.stage == 3:
            self._answer(current, 3)
        else:
            self._go_on(current)

    def _on_verdict(self, verdict: Verdict) -> None:
        current = self._current
        if (
            current is None
            or not current.is_waiting
            or verdict.request_id != current.views.request_id
            or verdict.attempt != current.views.attempt
            or verdict.stage != current.stage
        ):
            return  # late or of an earlier run
        current.is_waiting = False
        if current.timeout is not None:
            current.timeout.cancel()
        # What was decided by is what is said: heads know more than the tap's own statistics.
        current.confidences = (*current.confidences[:-1], verdict.score)
        if verdict.decision == Verdict.OFFLOAD:
            if current.stage == 3:
                self._answer(current, 3)  # provisional: what the ground will improve on
            else:
                self._finish()
        elif verdict.decision == Verdict.ANSWER and current.stage == 3:
            if verdict.score < verdict.accept:
                current.label = f"degraded: {verdict.reason}"
            self._answer(current, 3)
        else:
            current.is_gated = verdict.decision == Verdict.CONTINUE
            self._go_on(current)

    def _go_on(self, current: _Current) -> None:
        views = current.views
        stage = current.stage + 1
        tokens = self.param("tap2_tokens") if stage == 2 else self.param("max_tokens")
        is_wanted = (
            stage == 2
            and self._zooms_late()
            and current.confidences[0] < self._zoom_below()
            and any(view.kind == "zoom" for view in views.views)
        )

        def work() -> tuple[Any, Tap]:
            session = current.session
            if is_wanted:
                session = self._model.zoom_in(session, tensors_of(views))
            session.decode(tokens)
            # A short answer that is complete at the second tap is at its end.
            stands = 3 if session.is_finished or stage == 3 else 2
            return session, self._tap(session, current, stands)

        def then(result: tuple[Any, Tap]) -> None:
            current.session, tap = result
            self._pause(current, tap)

        self.compute(
            "decode",
            f"{views.request_id}/{views.attempt}/{stage}",
            work,
            then,
            self._failed,
        )

    def _answer(self, current: _Current, stage: int) -> None:
        views, session = current.views, current.session
        self.publish(
            "answer",
            Answer(
                id=ids.answer_id(views.request_id, "onboard", views.attempt),
                request_id=views.request_id,
                scene_id=views.scene_id,
                version=views.attempt,
                status=Answer.PROVISIONAL,
                prompt=views.prompt,
                text=session.text,
                reason=current.label,
                confidence=tuple(c for c in current.confidences if math.isfinite(c)),
                model_id=self._model.id,
                model_digest=self._model.digest,
                origin="onboard",
                stage=stage,
                energy_j=session.macs / 1e9 * self.param("gmac_j"),
                regions_used=len(views.views),
            ),
        )
        self._finish()

    def _finish(self) -> None:
        self._current = None
        self._next()


main = main_of(CompactLvlm)

if __name__ == "__main__":
    main()
