"""Change between two dates: yes/no whole and in a region, captions, masks, boxes, share."""

from collections.abc import Iterator

import cv2
import numpy as np

from training.instruct import phrases, spatial
from training.instruct.drafting import Candidate, Context, yes
from training.instruct.nouns import fill
from training.instruct.records import ImageRef, Instruction, MaskRef
from training.instruct.regions import place_name, random_region
from training.instruct.tasks.vqa import share_name
from training.instruct.views import View

TASK = "change"
CHANGED = 255
LEAST_PIXELS = 16


def dates(view: View) -> tuple[ImageRef, ImageRef]:
    """Before and after; their sensors are told by their bands."""
    radar = [len(b) == 1 for b in (view.sample.bands, view.sample.bands2)]
    return (view.ref(frame=0, sensor=0, modality="temporal"),
            view.ref("image2", frame=1, sensor=int(radar[0] != radar[1]), modality="temporal"))


def parts(mask: np.ndarray) -> list[tuple[int, int, int, int, int]]:
    """Connected parts (x, y, w, h, pixels), largest first."""
    n, _, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    found = [tuple(map(int, stats[i])) for i in range(1, n)
             if stats[i][cv2.CC_STAT_AREA] >= LEAST_PIXELS]
    return sorted(found, key=lambda s: -s[4])


def caption(mask: np.ndarray, subject: str) -> str:
    """A change caption from the mask alone: what (as far as labels say), how much, where."""
    found = parts(mask)
    if not found:
        return "Nothing changed."
    x, y, w, h, _ = found[0]
    rows, cols = mask.shape
    where = place_name((x + w / 2) / cols, (y + h / 2) / rows)
    share = share_name(float(mask.mean()))
    middle = f"in the {where}"
    if len(found) > 1:
        middle = f"in {len(found)} places, most in the {where}"
    return f"{subject} changed {middle}, {share} of the area."


def _subject(view: View) -> str:
    # LEVIR-CD marks buildings only; the others mark any change of the ground
    return "Buildings" if view.facts["source"] == "levir_cd" else "The ground"


def _region(context: Context, view: View, mask, rng) -> Candidate | None:
    """A region that is clearly changed (a third of it) or clearly not."""
    want = rng.random() < 0.5
    for _ in range(8):
        region = random_region(rng, least=0.2, most=0.5)
        inside = np.zeros(mask.shape, np.uint8)
        size = np.array(mask.shape[::-1], np.float32)
        cv2.fillPoly(inside, [np.round(region.outline * size).astype(np.int32)], 1)
        share = float(mask[inside > 0].mean())
        truth = share > 1 / 3
        if truth == want and (truth or share == 0):
            return Candidate(truth, lambda w, r=region.text, t=truth: context.write(
                view, TASK, "changed_in", fill(w, r=r), yes(t),
                images=dates(view), focus="mask"))
    return None


def make(context: Context) -> Iterator[Instruction]:
    if context.name != "change_pairs":
        return
    whole, inside, shares = [], [], []
    for view in context.views:
        rng = context.rng("change", view.sample.id)
        mask = view.mask() == CHANGED
        images, truth = dates(view), view.facts["label"] == "changed"
        target = MaskRef(images[1], (CHANGED,))
        whole.append(Candidate(truth, lambda w, v=view, i=images, t=truth: context.write(
            v, TASK, "changed", w, yes(t), images=i, focus="mask")))
        share = share_name(float(mask.mean()))
        shares.append(Candidate(share, lambda w, v=view, i=images, a=share: context.write(
            v, TASK, "share", fill(w, "changed ground"), a, images=i, focus="mask")))
        asked = _region(context, view, mask, rng) if truth else None
        if asked:
            inside.append(asked)
        yield context.write(view, TASK, "caption", rng.choice(phrases.CHANGE_CAPTION),
                            caption(mask, _subject(view)), images=images, mask=target,
                            focus="mask")
        found = parts(mask)
        if found:
            x, y, w, h, _ = found[0]
            rows, cols = mask.shape
            where = (x / cols, y / rows, (x + w) / cols, (y + h) / rows)
            yield context.write(view, TASK, "segment", rng.choice(phrases.CHANGE_SEGMENT),
                                spatial.SEG, images=images, mask=target, focus="mask")
            yield context.write(view, TASK, "box", rng.choice(phrases.CHANGE_BOX),
                                spatial.box(where, 1), images=images, mask=target, focus="mask")
    yield from context.yes_no("change_pairs/changed", whole, phrases.CHANGED)
    yield from context.yes_no("change_pairs/changed in region", inside, phrases.CHANGED_IN)
    yield from context.flat("change_pairs/share", shares, phrases.COVER_SHARE)
