"""What an instruction shows of a sample: a window, turned; with its objects and its mask.

All coordinates that leave here are 0..1 of the view.
"""

from dataclasses import dataclass, field, replace

import numpy as np

from training.instruct.nouns import kind_of
from training.instruct.records import ImageRef
from training.instruct.sources import SETS, Library, Sample

MIN_INSIDE = 0.5      # share of a box that must lie in the window for the object to count


def turn_array(a: np.ndarray, turn: int) -> np.ndarray:
    """(H, W, ...) turned as `ImageRef.turn` says."""
    a = np.rot90(a, turn % 4)
    return a[:, ::-1] if turn >= 4 else a


def turn_box(box, turn: int) -> tuple[float, float, float, float]:
    """(x1, y1, x2, y2), 0..1, turned in step with `turn_array`."""
    x1, y1, x2, y2 = box
    for _ in range(turn % 4):
        x1, y1, x2, y2 = y1, 1 - x2, y2, 1 - x1
    return (1 - x2, y1, 1 - x1, y2) if turn >= 4 else (x1, y1, x2, y2)


@dataclass(frozen=True, slots=True)
class Thing:
    """A labelled object of a view. kind: as `nouns.NOUNS` names it; label: the set's own word."""

    kind: str
    label: str
    box: tuple[float, float, float, float]

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2

    @property
    def area(self) -> float:
        return (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])


@dataclass(frozen=True, slots=True)
class View:
    """A sample through a window (x, y, w, h in pixels, None for all) and a turn."""

    library: Library
    sample: Sample
    window: tuple[int, int, int, int] | None = None
    turn: int = 0
    _things: list[Thing] = field(default_factory=list, init=False, repr=False, compare=False)

    @property
    def key(self) -> str:
        return self.sample.key

    @property
    def facts(self) -> dict:
        return self.sample.facts

    def ref(self, member: str = "image", *, sensor: int = 0, frame: int = 0,
            modality: str = "") -> ImageRef:
        """Reference to one image of the sample under this view."""
        s = self.sample
        modality = modality or SETS[s.set_name].modality
        return ImageRef(s.set_name, s.id, member, self.window, self.turn, sensor, frame,
                        s.facts.get("frame", 0), "optical" if modality == "fusion" else modality)

    def size(self) -> tuple[int, int]:
        """(width, height) of the window in the sample's pixels, before turning."""
        if self.window:
            return self.window[2], self.window[3]
        height, width = self.library.pixels(self.sample).shape[:2]
        return width, height

    def crop(self, a: np.ndarray) -> np.ndarray:
        """(H, W, ...) of the whole sample -> what the view shows."""
        if self.window:
            x, y, w, h = self.window
            a = a[y:y + h, x:x + w]
        return turn_array(a, self.turn)

    def mask(self) -> np.ndarray:
        return self.crop(self.library.mask(self.sample))

    def things(self) -> list[Thing]:
        """Objects at least half inside, clipped to the view."""
        if not self._things and self.facts.get("boxes"):
            self._things.extend(self._find_things())
        return self._things

    def _find_things(self) -> list[Thing]:
        x0, y0, (w, h) = *(self.window or (0, 0))[:2], self.size()
        found = []
        for label, (x, y, bw, bh) in zip(self.facts["box_labels"],
                                         self.facts["boxes"], strict=True):
            x1, y1, x2, y2 = (x - x0) / w, (y - y0) / h, (x + bw - x0) / w, (y + bh - y0) / h
            c = (max(0.0, x1), max(0.0, y1), min(1.0, x2), min(1.0, y2))
            if c[2] <= c[0] or c[3] <= c[1]:
                continue
            inside = (c[2] - c[0]) * (c[3] - c[1]) / ((x2 - x1) * (y2 - y1))
            if inside >= MIN_INSIDE:
                x1, y1, x2, y2 = turn_box(c, self.turn)
                box = round(x1, 5), round(y1, 5), round(x2, 5), round(y2, 5)
                found.append(Thing(kind_of(label), label, box))
        return found

    def with_window(self, window: tuple[int, int, int, int] | None) -> "View":
        return replace(self, window=window)


def random_window(view: View, rng, least: float = 0.4, most: float = 0.9,
                  least_px: int = 48) -> tuple[int, int, int, int]:
    """A window of the sample, sides `least`..`most` of its own, at least `least_px` wide."""
    width, height = view.with_window(None).size()
    scale = max(rng.uniform(least, most), min(1.0, least_px / min(width, height)))
    w, h = round(width * scale), round(height * scale)
    return rng.randint(0, width - w), rng.randint(0, height - h), w, h
