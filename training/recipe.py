"""What distinguishes the two models, and where their training artefacts lie."""

from dataclasses import dataclass
from pathlib import Path

CHECKPOINTS = Path(__file__).resolve().parent / "checkpoints"


@dataclass(frozen=True, slots=True)
class Recipe:
    """input_size: longest side of a view in pixels; upscale: limit for small chips."""

    name: str
    trunk: str
    layers: int
    input_size: int
    upscale: float
    tune_size: int

    @property
    def folder(self) -> Path:
        return CHECKPOINTS / self.name


RECIPES = {
    "compact": Recipe("compact", "lite0", 2, 224, 2.0, 160),
    "regular": Recipe("regular", "lite2", 3, 320, 2.25, 192),
}
