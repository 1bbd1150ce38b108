"""Grounding: from a description that fits one object to its box or a point on it."""

import math
from collections.abc import Callable, Iterator, Sequence

from training.instruct import phrases, spatial
from training.instruct.drafting import Context
from training.instruct.nouns import NOUNS, belongs, fill, groups_of
from training.instruct.records import Instruction
from training.instruct.views import Thing

TASK = "grounding"
GAP = 0.04            # of the image's side, between the first and the second in a direction
AREA_RATIO = 1.25     # between the largest and the next
# word, key (the smallest wins), needed gap; areas are compared by their logarithm
ORDERS: tuple[tuple[tuple[str, ...], Callable[[Thing], float], float], ...] = (
    (("northernmost", "topmost", "uppermost"), lambda t: t.centre[1], GAP),
    (("southernmost", "lowest", "bottommost"), lambda t: -t.centre[1], GAP),
    (("westernmost", "leftmost"), lambda t: t.centre[0], GAP),
    (("easternmost", "rightmost"), lambda t: -t.centre[0], GAP),
    (("largest", "biggest"), lambda t: -math.log(t.area), math.log(AREA_RATIO)),
    (("smallest",), lambda t: math.log(t.area), math.log(AREA_RATIO)),
    (("most central",), lambda t: math.dist(t.centre, (0.5, 0.5)), GAP),
)


def superlatives(things: Sequence[Thing]) -> list[tuple[tuple[str, ...], Thing]]:
    """(words, object) for each order in which one object is clearly first."""
    out = []
    for words, key, gap in ORDERS:
        ranked = sorted(things, key=key)
        if len(ranked) >= 2 and key(ranked[1]) - key(ranked[0]) >= gap:
            out.append((words, ranked[0]))
    return out


def nearest(things: Sequence[Thing], place: tuple[float, float]) -> Thing | None:
    """The object clearly nearest to a place."""
    ranked = sorted(things, key=lambda t: math.dist(t.centre, place))
    if len(ranked) < 2:
        return None
    near, second = (math.dist(t.centre, place) for t in ranked[:2])
    return ranked[0] if second - near >= GAP else None


def descriptions(things: Sequence[Thing], group: str, rng) -> list[tuple[str, Thing, str]]:
    """(description, object, kind of description) that fit exactly one object of the group."""
    mine = [t for t in things if belongs(t.kind, group)]
    noun = rng.choice(NOUNS[group])[0]
    if len(mine) == 1:
        return [(noun, mine[0], "only")]
    out = [(f"{rng.choice(words)} {noun}", t, "superlative") for words, t in superlatives(mine)]
    place = rng.random(), rng.random()
    t = nearest(mine, place)
    if t:
        out.append((f"{noun} nearest to {spatial.point(*place)}", t, "nearest"))
    for other in sorted({t.kind for t in things if t.kind} - {m.kind for m in mine}):
        anchors = [t for t in things if t.kind == other]
        t = nearest(mine, anchors[0].centre) if len(anchors) == 1 else None
        if t:
            out.append((f"{noun} nearest to the {NOUNS[other][0][0]}", t, "relation"))
    return out


def make(context: Context) -> Iterator[Instruction]:
    for view in context.views:
        rng = context.rng("ground", view.sample.id)
        groups = groups_of(context.name, view.facts)
        for group in groups:
            v = context.windowed(view, rng)
            choices = descriptions(v.things(), group, rng)
            rng.shuffle(choices)
            for n, (text, t, how) in enumerate(choices[:2]):
                yield context.write(
                    v, TASK, f"box_{how}", fill(rng.choice(phrases.GROUND), d=text),
                    spatial.box(t.box), tag=f"{group}.{n}", focus=group)
            if choices:
                text, t, how = choices[-1]
                yield context.write(
                    v, TASK, "point", fill(rng.choice(phrases.GROUND_POINT), d=text),
                    spatial.point(*t.centre), tag=group, focus=group)
