"""Referring: from a region (box, point, free-form mask) to text."""

from collections.abc import Iterator

import numpy as np

from training.instruct import phrases, spatial
from training.instruct.drafting import Candidate, Context, yes
from training.instruct.nouns import NOUNS, PINES, fill, groups_of
from training.instruct.records import Instruction
from training.instruct.regions import around
from training.instruct.tasks.grounding import AREA_RATIO, superlatives
from training.instruct.views import Thing, View

TASK = "referring"
NOTHING = "nothing"
# sets whose annotators looked for the asked kinds everywhere: no box means no object
COMPLETE = {"hit_uav", "s2_ships", "sar_ships", "aerial_video"}
AN_IMAGE = 4


def _is_complete(view: View) -> bool:
    return view.sample.set_name in COMPLETE or view.facts.get("source") == "hrplanes"


def _empty_box(things: list[Thing], rng) -> tuple[float, float, float, float] | None:
    """A box of an object's size that touches none."""
    if not things:
        w = h = rng.uniform(0.04, 0.12)
    else:
        x1, y1, x2, y2 = rng.choice(things).box
        w, h = x2 - x1, y2 - y1
    for _ in range(10):
        x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
        if all(x > t.box[2] or x + w < t.box[0] or y > t.box[3] or y + h < t.box[1]
               for t in things):
            return x, y, x + w, y + h
    return None


def _ask(context: Context, v: View, region: str, answer: str, tag: str) -> Candidate:
    return Candidate(answer, lambda w: context.write(
        v, TASK, "what", fill(w, r=region), answer, tag=tag, focus="mask"))


def _kinds(context: Context) -> Iterator[Instruction]:
    asked, same = [], []
    for view in context.views:
        rng = context.rng("refer", view.sample.id)
        v = context.windowed(view, rng)
        things = v.things()
        named = [t for t in things if t.kind]
        for n, t in enumerate(rng.sample(named, min(AN_IMAGE, len(named)))):
            asked.append(_ask(context, v, around(t.box, rng), NOUNS[t.kind][0][0], str(n)))
        if _is_complete(view):
            box = _empty_box(things, rng)
            if box:
                asked.append(_ask(context, v, around(box, rng), NOTHING, "empty"))
        if len(named) >= 2:
            a, b = rng.sample(named, 2)
            different = [t for t in named if t.kind != a.kind]
            if different and rng.random() < 0.6:
                b = rng.choice(different)
            truth = a.kind == b.kind
            same.append(Candidate(truth, lambda w, v=v, a=a, b=b, t=truth: context.write(
                v, TASK, "same_kind", fill(w, r=spatial.box(a.box), s=spatial.box(b.box)),
                yes(t), focus="mask")))
            yield from _compare(context, v, named, rng)
            yield from _describe(context, v, named, rng)
    if len({c.answer for c in asked}) > 1:        # one kind alone is no question
        yield from context.flat(f"{context.name}/what", asked, phrases.REFER, slack=1.0)
    yield from context.yes_no(f"{context.name}/same", same, phrases.SAME)


def _compare(context: Context, v: View, named: list[Thing], rng) -> Iterator[Instruction]:
    a, b = rng.sample(named, 2)
    if max(a.area, b.area) > AREA_RATIO * min(a.area, b.area):
        larger = a if a.area > b.area else b
        yield context.write(
            v, TASK, "larger",
            fill(rng.choice(phrases.LARGER), r=spatial.box(a.box), s=spatial.box(b.box)),
            spatial.box(larger.box), focus="mask")


def _describe(context: Context, v: View, named: list[Thing], rng) -> Iterator[Instruction]:
    """A referring expression: the inverse of grounding by a superlative."""
    kinds = sorted({t.kind for t in named} & set(groups_of(context.name, v.facts)))
    if not kinds:
        return
    kind = rng.choice(kinds)
    mine = [t for t in named if t.kind == kind]
    noun = NOUNS[kind][0][0]
    choices = [(f"the {words[0]} {noun}", t) for words, t in superlatives(mine)]
    if len(mine) == 1:
        choices = [(f"the {noun}", mine[0])]
    # an object that is first in two orders has two right answers: leave it out
    once = [c for c in choices if sum(c[1] is o[1] for o in choices) == 1]
    if once:
        text, t = rng.choice(once)
        yield context.write(v, TASK, "expression",
                            fill(rng.choice(phrases.REFER_DETAIL), r=spatial.box(t.box)), text,
                            tag=kind, focus="mask")


def _labelled_points(mask: np.ndarray, values, rng, many: int) -> list[tuple[float, float, int]]:
    """Random pixels of each value, `many` each: (x, y, value), x and y 0..1."""
    out = []
    for value in values:
        ys, xs = np.nonzero(mask == value)
        out += [((xs[k] + 0.5) / mask.shape[1], (ys[k] + 0.5) / mask.shape[0], value)
                for k in rng.sample(range(len(xs)), min(many, len(xs)))]
    return out


def _cover(context: Context, names: dict[int, str], many: int) -> Iterator[Instruction]:
    asked = []
    for view in context.views:
        rng = context.rng("cover", view.sample.id)
        points = _labelled_points(view.mask(), names, rng, many)
        for n, (x, y, value) in enumerate(points):
            asked.append(Candidate(names[value], lambda w, v=view, x=x, y=y, k=value, n=n:
                                   context.write(v, TASK, "cover", fill(w, r=spatial.point(x, y)),
                                                 names[k], tag=str(n), focus="mask")))
    yield from context.flat(f"{context.name}/cover", asked, phrases.REFER_LAND, slack=1.0)


def make(context: Context) -> Iterator[Instruction]:
    if context.name == "flood_s1":
        yield from _cover(context, {0: "land", 1: "water"}, 1)
    elif context.name == "indian_pines":
        classes = context.library.meta(context.name)["classes"]
        yield from _cover(context, {i: PINES[c] for i, c in enumerate(classes) if i}, 4)
    else:
        yield from _kinds(context)
