"""confidence: a verdict for every tap, with scores, plan, queue, budget and mode in view.

The heads of the compact model run here, not beside the model: what they need stands in the tap, so
that inference stays alone in its process, and a recorded tap can be decided again by other heads or
thresholds. A model folder without heads is decided by fixed thresholds on its own confidence: those
that its calibration.json was fitted to, where the parameters state none.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from eo_nodes.contracts.errors import ConfigError, ModelError
from eo_nodes.contracts.values import (
    ByteBudget,
    Command,
    ContactPlan,
    Mode,
    QueueState,
    Request,
    Tap,
)
from eo_nodes.decision import heads as trained
from eo_nodes.decision.casework import Machine
from eo_nodes.decision.gate import GateConfig, gate_of
from eo_nodes.decision.levels import CHOSEN
from eo_nodes.decision.router import Outlook, Router, RouterConfig
from eo_nodes.decision.setting import ROUTING, routing_of, with_thresholds
from eo_nodes.graph.paths import project_file
from eo_nodes.lvlm import calibration
from eo_nodes.lvlm.calibration import StageCalibration, calibration_of
from eo_nodes.lvlm.manifest import MANIFEST, read_manifest, require_listed, verify_files

from .base import EoNode
from .parameters import Parameter
from .runner import main_of
from .settled import Settled

_REQUESTS_KNOWN = 1_000
_COMMANDS_KNOWN = 200


class Confidence(EoNode):
    """The gate of one satellite."""

    PARAMETERS = (
        Parameter("model_dir", "models/compact", "folder of the model whose taps are decided"),
        Parameter("policy", "contact", "contact (where the model has heads) or fixed"),
        Parameter("target", "gain", "head that the gain is read from: gain, correct or alike"),
        Parameter("gate_accept", [-1.0, -1.0, -1.0],
                  "fixed: answer at or above, stages 1 to 3; below 0: as calibrated"),
        Parameter("gate_reject", [-1.0, -1.0],
                  "fixed: offload below, stages 1 and 2; below 0: as calibrated"),
        Parameter("accept", [0.97, 0.94, 0.92], "contact: answer at or above, stages 1 to 3"),
        Parameter("reject", [0.0, 0.0, 0.0], "contact: ask the ground below, stages 1 to 3"),
        Parameter("hurdle", [0.10, 0.05, 0.02], "contact: an offload gains more, stages 1 to 3"),
        Parameter("delay_price", 0.02, "contact: of 1 h, in chance of a right answer", 0.0, 10.0),
        Parameter("horizon_h", 24.0, "contact: what never counts as, h", 0.0, 1e3),
        Parameter("load_h", 3.0, "contact: the queue is held against these contacts, h", 0.0, 1e3),
        Parameter("mb_price", 0.5, "contact: of 10^6 bytes on a full link, likewise", 0.0, 1e3),
        Parameter("base_mb_price", 0.0, "contact: on an idle link, likewise", 0.0, 1e3),
        Parameter("joule_price", 0.002, "contact: of 1 J, likewise", 0.0, 1e3),
        Parameter("priority_step", 0.25, "contact: weight that one priority adds", 0.0, 1e3),
        Parameter("early_share", 0.5, "contact: of the delay a provisional answer saves", 0.0, 1.0),
        Parameter("min_budget_bytes", 0, "an offload needs this much room, bytes", 0, 2**40),
        Parameter("needs_delivery", True, "contact: an offload must be answered in time"),
        Parameter("serves_late", True, "contact: what is too late is asked behind the rest"),
        Parameter("kinds", list(CHOSEN), "contact: of levels that may be sent"),
        Parameter("gmac_s", 0.004, "expected: 10^9 multiply-accumulates on board, s", 0.0, 1e3),
        Parameter("gmac_j", 0.06, "expected: their energy, J", 0.0, 1e3),
        Parameter("ground_gmac_s", 0.0004, "expected: as many on the ground, s", 0.0, 1e3),
        Parameter("ground_s", 10.0, "expected: time on the ground besides, s", 0.0, 1e6),
        Parameter("coding_scale", 2.0, "expected: coding time over that of the trace", 0.0, 1e3),
        Parameter("coding_w", 15.0, "expected: power of coding, W", 0.0, 1e4),
        Parameter("mb_j", 2.133, "expected: energy of sending 10^6 bytes, J", 0.0, 1e4),
        Parameter("link_margin", 0.1, "of contacts, for frames, packets and repeats", 0.0, 0.9),
    )  # fmt: skip

    def __init__(self, name: str = "confidence", **options: Any) -> None:
        super().__init__(name, **options)

    def configure(self) -> None:
        """Read calibration and heads (M30) and build the router."""
        self._router = self._made_router()
        self._requests: OrderedDict[str, Request] = OrderedDict()
        self._obeyed: OrderedDict[str, None] = OrderedDict()
        self._outlook = Outlook()
        self._budget, self._queue = Settled[ByteBudget](), Settled[QueueState]()
        self._has_warned = False
        self.speak("verdict")
        self.listen("request", self._on_request)
        self.listen("contact_plan", self._on_plan)
        self.listen("byte_budget", self._budget.put)
        self.listen("queue", self._queue.put)
        self.listen("mode", self._on_mode)
        self.listen("command", self._on_command)
        self.listen("tap", self._on_tap)

    def _made_router(self) -> Router:
        folder = project_file(self.param("model_dir"))
        try:
            digest = _checked(folder)
            stages = calibration_of(folder)
            heads = trained.read_heads(folder) if trained.has_heads(folder) else None
        except ModelError as error:
            self.emit("MODEL_REFUSED", str(error), folder=str(folder))
            raise
        config = RouterConfig(
            policy=self.param("policy"), target=self.param("target"), gate=self._gate(stages),
            routing=routing_of({name: self.param(name) for name in ROUTING}),
            machine=Machine(**{f.name: self.param(f.name) for f in fields(Machine)}),
            link_margin=self.param("link_margin"),
        )  # fmt: skip
        return Router(config, heads, digest)

    def _gate(self, stages: Mapping[int, StageCalibration]) -> GateConfig:
        return gate_of(
            self.param("gate_accept"), self.param("gate_reject"),
            [stages[s].answer_above for s in (1, 2, 3)],
            [stages[s].offload_below for s in (1, 2, 3)],
            min_budget_bytes=self.param("min_budget_bytes"),
        )  # fmt: skip

    def _on_request(self, request: Request) -> None:
        self._requests[request.id] = request
        while len(self._requests) > _REQUESTS_KNOWN:
            self._requests.popitem(last=False)

    def _on_plan(self, plan: ContactPlan) -> None:
        self._outlook = replace(self._outlook, plan=plan)

    def _on_mode(self, mode: Mode) -> None:
        self._outlook = replace(self._outlook, mode=mode.mode)

    def _on_tap(self, tap: Tap) -> None:
        if self._router.lacks_heads(tap) and not self._has_warned:
            self._has_warned = True
            self.emit("HEADS_UNUSED", f"taps come from another model: {tap.model_id}",
                      digest=tap.model_digest)
        request = self._requests.get(tap.request_id)
        now_ns = self.now_ns()
        outlook = replace(self._outlook, budget=self._budget.before(now_ns),
                          queue=self._queue.before(now_ns))
        self.publish("verdict", self._router.decide(tap, request, outlook, now_ns))

    def _on_command(self, command: Command) -> None:
        if command.opcode != "set_threshold" or command.id in self._obeyed:
            return  # a repeat must not undo what came after it
        try:
            wanted = json.loads(command.arguments_json or "{}")
            if not isinstance(wanted, dict):
                raise ConfigError("thresholds: the arguments are no JSON object")
            self._router.config = with_thresholds(self._router.config, wanted)
        except (ValueError, RecursionError, ConfigError) as error:
            self.emit("COMMAND_REJECTED", f"set_threshold: {error}", id=command.id)
            return
        self._obeyed[command.id] = None
        while len(self._obeyed) > _COMMANDS_KNOWN:
            self._obeyed.popitem(last=False)
        self.emit("COMMAND_ACCEPTED", f"set_threshold {json.dumps(wanted)}", id=command.id)


def _checked(folder: Path) -> str:
    """Digest of a folder whose manifest vouches for what is read here; "" where it has none.

    Raises:
        ModelError: heads without a manifest, a file that is not listed or not the one listed.
    """
    has_heads = trained.has_heads(folder)
    if not has_heads and not (folder / MANIFEST).is_file():
        return ""  # an export as published
    manifest = read_manifest(folder)
    found = (calibration.NAME,) if (folder / calibration.NAME).is_file() else ()
    require_listed(manifest, (*found, *(trained.FILES if has_heads else ())))
    verify_files(folder, manifest)
    return manifest.digest


main = main_of(Confidence)

if __name__ == "__main__":
    main()
