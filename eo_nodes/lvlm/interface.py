"""What a model of any family offers to the nodes, the command and the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from eo_nodes.lvlm.calibration import StageCalibration
from eo_nodes.lvlm.runtime import CancelFlag, RunRecord
from eo_nodes.lvlm.runtime_greedy import TapState
from eo_nodes.lvlm.views import ViewTensor


class Session(Protocol):
    """One answer in the making, paused at a tap; see ``GreedySession``."""

    def decode(self, n_tokens: int) -> int:
        """Decode at most so many tokens more; returns how many."""

    def tap(self) -> TapState:
        """Return the present state."""

    @property
    def is_finished(self) -> bool:
        """Whether the answer is complete."""

    @property
    def text(self) -> str:
        """Decoded so far."""

    @property
    def token_logprobs(self) -> list[float]:
        """Log-probability of each decoded token."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates so far."""

    @property
    def confidence(self) -> float:
        """Of the answer, [0, 1], before any calibration."""


class VisionLanguageModel(Protocol):
    """A loaded model folder.

    Attributes:
        id: name. digest: SHA-256 (hex) of what was loaded. family: key of ``manifest.FAMILIES``.
        calibration: per stage. record: what its bits depend on.
    """

    id: str
    digest: str
    family: str
    calibration: Mapping[int, StageCalibration]
    record: RunRecord

    @property
    def input_size(self) -> int:
        """Longest side of a view after resizing, pixels."""

    def start(
        self, views: Sequence[ViewTensor], prompt: str, *, max_tokens: int = 40,
        cancel: CancelFlag | None = None,
    ) -> Session:
        """Run vision and prompt; the session then stands at tap 1."""

    def golden_run(self, golden: Mapping[str, Any]) -> dict[str, Any]:
        """Answer the self test's input; the same keys as a manifest's golden entry."""


@runtime_checkable
class ZoomsLate(Protocol):
    """A model that may look at zooms once tap 1 has called for them."""

    def zoom_in(self, session: Any, views: Sequence[ViewTensor]) -> Any:
        """Return a session at tap 1 that has seen the zooms too.

        Args:
            session: of this model, at tap 1, started with the overviews of ``views`` alone.
            views: overviews in that order, and zooms.
        Raises:
            Cancelled: by the session's flag.
            ModelError: decoding has begun, or views break their contract.
        """
