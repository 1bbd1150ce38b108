"""Counting and detection: digits, boxes in reading order, both together, in a region or whole."""

from collections.abc import Iterator

from training.instruct import phrases, spatial
from training.instruct.drafting import MOST_BOXES, Candidate, Context
from training.instruct.nouns import NOUNS, belongs, fill, groups_of, number_of
from training.instruct.records import Instruction
from training.instruct.regions import random_region
from training.instruct.views import Thing, View

TASK = "count"
MOST = 99              # larger numbers are not asked for
LEAST_SIDE = 4 / 512   # a smaller object has no box worth writing


def reading_order(things: list[Thing]) -> list[Thing]:
    """Top to bottom, then left to right."""
    return sorted(things, key=lambda t: (t.box[1], t.box[0]))


def _count(context: Context, v: View, group: str, noun, n: int, tag: str) -> Candidate:
    return Candidate(n, lambda w: context.write(
        v, TASK, "count", fill(w, *noun), str(n), tag=f"{group}{tag}", focus=group))


def _in_region(context: Context, view: View, group: str, noun, things) -> Iterator[Instruction]:
    """The same question with a region and without, whose answers differ."""
    rng = context.rng("count_in", group, view.sample.id)
    for _ in range(6):
        region = random_region(rng)
        n = sum(region.contains(*t.centre) for t in things)
        # an empty region is one case in seven or so, not the usual answer
        if n != len(things) and (n or rng.random() < 0.15) and region.is_clear(things):
            break
    else:
        return
    pair = f"{view.key}:{group}"
    i = rng.randrange(len(phrases.COUNT_IN))
    yield context.write(view, TASK, "count_in", fill(phrases.COUNT_IN[i], *noun, r=region.text),
                        str(n), tag=f"{group}.in", pair=pair, focus="mask")
    whole = phrases.COUNT_IN[i].replace("{r}", "the image")
    yield context.write(view, TASK, "count_whole", fill(whole, *noun), str(len(things)),
                        tag=f"{group}.whole", pair=pair, focus=group)


def _detect(context: Context, v: View, group: str, noun, things, rng) -> Iterator[Instruction]:
    boxes = spatial.boxes([t.box for t in reading_order(things)])
    singular, plural = NOUNS[group][0]
    yield context.write(v, TASK, "detect", fill(rng.choice(phrases.DETECT), *noun), boxes,
                        tag=group, focus=group)
    number = f"{len(things)} {singular if len(things) == 1 else plural}: {boxes}"
    yield context.write(v, TASK, "detect_count", fill(rng.choice(phrases.DETECT_COUNT), *noun),
                        number, tag=group, focus=group)


def _is_boxed(t: Thing) -> bool:
    return min(t.box[2] - t.box[0], t.box[3] - t.box[1]) >= LEAST_SIDE


def _detect_all(context: Context, v: View, rng) -> Iterator[Instruction]:
    things = [t for t in v.things() if t.kind]
    kinds = sorted({t.kind for t in things})
    if len(kinds) >= 2 and len(things) <= MOST_BOXES:
        parts = []
        for k in kinds:
            chosen = reading_order([t for t in things if t.kind == k])
            parts.append(f"{number_of(len(chosen), k)}: {spatial.boxes([t.box for t in chosen])}")
        yield context.write(v, TASK, "detect_all", rng.choice(phrases.DETECT_ALL),
                            ", ".join(parts), focus="all")


def make(context: Context) -> Iterator[Instruction]:
    counts: dict[str, list[Candidate]] = {}
    empty: dict[str, list[Instruction]] = {}
    found: dict[str, int] = {}
    for view in context.views:
        rng = context.rng("count", view.sample.id)
        for group in groups_of(context.name, view.facts):
            noun = rng.choice(NOUNS[group])
            # a window of its own for each question: other numbers and other sizes
            for extra in ("", ".w") if context.augment else ("",):
                v = context.windowed(view, rng, share=1.0 if extra else 0.0)
                n = sum(belongs(t.kind, group) for t in v.things())
                if n <= MOST or not context.augment:
                    counts.setdefault(group, []).append(
                        _count(context, v, group, noun, n, extra))
            v = context.windowed(view, rng)
            things = [t for t in v.things() if belongs(t.kind, group)]
            if things and len(things) <= MOST:
                yield from _in_region(context, v, group, noun, things)
            if 1 <= len(things) <= MOST_BOXES and all(map(_is_boxed, things)):
                found[group] = found.get(group, 0) + 1
                yield from _detect(context, v, group, noun, things, rng)
            elif not things:
                empty.setdefault(group, []).append(context.write(
                    v, TASK, "detect", fill(rng.choice(phrases.DETECT), *noun), "none",
                    tag=group, focus=group))
        yield from _detect_all(context, context.windowed(view, rng), rng)
    for group, candidates in counts.items():
        yield from context.flat(f"{context.name}/count {group}", candidates, phrases.COUNT)
    for group, none in empty.items():
        # an image without the object is one case among the counts, not the usual answer
        keep = len(none) if not context.balanced else max(1, found.get(group, 0) // 6)
        yield from none[:keep]
