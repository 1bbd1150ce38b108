"""Segmentation: named covers, the region at a point, polygons. The pixel module fills `<seg>`."""

from collections.abc import Iterator

import cv2
import numpy as np

from training.instruct import phrases, spatial
from training.instruct.drafting import Context
from training.instruct.nouns import PINES, fill
from training.instruct.records import Instruction, MaskRef
from training.instruct.views import View

TASK = "segmentation"
NONE = "none"
LEAST_PIXELS = 12
LEAST_POLYGON = 0.01   # of the image


def _largest(mask: np.ndarray) -> np.ndarray:
    """The largest connected part of a mask."""
    n, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if n < 2:
        return np.zeros_like(mask, bool)
    return parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))


def _names(context: Context) -> tuple[dict[int, str], tuple[int, ...]]:
    if context.name == "flood_s1":
        return {1: "water"}, (255,)
    classes = context.library.meta(context.name)["classes"]
    return {i: PINES[c] for i, c in enumerate(classes) if i}, (0,)


def _one(context: Context, v: View, value: int, word: str, mask, ignore,
         rng) -> Iterator[Instruction]:
    target = MaskRef(v.ref(), (value,), ignore)
    inside = mask == value
    yield context.write(v, TASK, "named", fill(rng.choice(phrases.SEGMENT), word), spatial.SEG,
                        mask=target, tag=word, focus="mask")
    ys, xs = np.nonzero(inside)
    k = rng.randrange(len(xs))
    at = spatial.point((xs[k] + 0.5) / mask.shape[1], (ys[k] + 0.5) / mask.shape[0])
    yield context.write(v, TASK, "at_point", fill(rng.choice(phrases.SEGMENT_AT), r=at),
                        f"{word} {spatial.SEG}", mask=target, tag=word, focus="mask")
    part = _largest(inside)
    if part.mean() >= LEAST_POLYGON:
        yield context.write(v, TASK, "polygon", fill(rng.choice(phrases.POLYGON), word),
                            spatial.outline(part), mask=target, tag=word, focus="mask")


def make(context: Context) -> Iterator[Instruction]:
    if context.name not in ("flood_s1", "indian_pines"):
        return
    names, ignore = _names(context)
    absent: list[Instruction] = []
    asked = 0
    for view in context.views:
        rng = context.rng("segment", view.sample.id)
        mask = view.mask()
        for value, word in names.items():
            if (mask == value).sum() >= LEAST_PIXELS:
                asked += 1
                yield from _one(context, view, value, word, mask, ignore, rng)
            elif not (mask == value).any() and (mask != ignore[0]).any():
                absent.append(context.write(
                    view, TASK, "named", fill(rng.choice(phrases.SEGMENT), word), NONE,
                    mask=MaskRef(view.ref(), (value,), ignore), tag=word, focus="mask"))
    context.rng("absent").shuffle(absent)
    yield from absent[:asked // 4] if context.balanced else absent
