"""Questions on a video of a scene: what moves, where to, from when to when, tracks."""

import math
from collections.abc import Iterator

from training.instruct import phrases, spatial
from training.instruct.drafting import Candidate, yes
from training.instruct.nouns import NOUNS, fill
from training.instruct.records import Instruction
from training.instruct.world.asking import ASKED, Writer
from training.instruct.world.objects import Item
from training.instruct.world.scene import SIZE, TIMES, scene_at

FRAMES = tuple(range(TIMES["video"]))
COURSES = ("east", "south east", "south", "south west", "west", "north west", "north",
           "north east")
SEEN, GONE = 0.6, 0.35      # shares of a box inside the image: clearly there, clearly not


def course(item: Item) -> str:
    """Compass direction of an angle on the screen, north being up."""
    return COURSES[round(item.angle / (math.pi / 4)) % 8]


def _path(key: str, n: int) -> list[Item]:
    return [scene_at(key, t).items[n] for t in FRAMES]


def _moves(path: list[Item]) -> bool:
    return math.dist((path[0].cx, path[0].cy), (path[-1].cx, path[-1].cy)) > 1


def _span(path: list[Item]) -> tuple[int, int] | None:
    """First and last frame with the object; None where a frame is in doubt."""
    inside = [i.inside(SIZE) for i in path]
    if any(GONE < s < SEEN for s in inside) or not any(s >= SEEN for s in inside):
        return None
    shown = [t for t, s in enumerate(inside) if s >= SEEN]
    return shown[0], shown[-1]


def ask(writer: Writer, key: str, groups: dict) -> Iterator[Instruction]:
    """Instructions on a video."""
    rng, scene = writer.rng("video", key), scene_at(key, 0)
    sensor = rng.choice(("rgb", "rgb", "pan", "thermal", "sar_hh"))
    paths = [_path(key, n) for n in range(len(scene.items))]
    for kind in ASKED[scene.kind]:
        mine = [p for p in paths if p[0].kind == kind]
        noun = rng.choice(NOUNS[kind])
        more = {"sensors": (sensor,), "times": FRAMES, "focus": kind}
        spans = [_span(p) for p in mine]
        if kind == "building" or not mine or None in spans:
            continue
        _counts(writer, key, kind, mine, spans, noun, more, rng, groups)
        for n, (path, span) in enumerate(zip(mine, spans, strict=True)):
            if n < 3:
                yield from _one(writer, key, f"{kind}.{n}", path, span, noun, more, rng, groups)


def _counts(writer: Writer, key, kind, mine, spans, noun, more, rng, groups) -> None:
    moving = sum(map(_moves, mine))
    groups.setdefault(("moving", kind), []).append(Candidate(moving, lambda w: writer.write(
        key, "temporal", "moving", fill(w, *noun), str(moving), tag=kind, **more)))
    k = rng.randrange(len(FRAMES))
    n = sum(a <= k <= b for a, b in spans)
    groups.setdefault(("count frame", kind), []).append(Candidate(n, lambda w: writer.write(
        key, "temporal", "count_frame", fill(w, *noun, k=str(k)), str(n), tag=kind, **more)))
    text = f"{moving} of {len(mine)} {NOUNS[kind][0][1]} are moving"
    groups.setdefault(("video caption", kind), []).append(Candidate(text, lambda w: writer.write(
        key, "temporal", "caption", w, text, tag=kind, **more)))


def _one(writer: Writer, key, tag, path, span, noun, more, rng, groups) -> Iterator[Instruction]:
    first, last = span
    moves, kind = _moves(path), path[0].kind
    region = spatial.box(path[first].box(SIZE), first)
    more = {**more, "tag": tag, "focus": "mask"}
    groups.setdefault(("is moving", kind), []).append(Candidate(moves, lambda w: writer.write(
        key, "temporal", "is_moving", fill(w, noun[0], r=region), yes(moves), **more)))
    # an object that is there all the time is one case among the spans, not the usual one
    if (first, last) != (0, FRAMES[-1]) or rng.random() < 0.25:
        yield writer.write(key, "temporal", "span",
                           fill(rng.choice(phrases.VISIBLE_SPAN), noun[0], r=region),
                           spatial.span(first, last), **more)
    if not moves:
        return
    groups.setdefault(("direction", ""), []).append(Candidate(course(path[0]), lambda w:
                      writer.write(key, "temporal", "direction", fill(w, noun[0], r=region),
                                   course(path[0]), **more)))
    later = list(range(first + 1, last + 1))
    if later:
        k = rng.choice(later)
        yield writer.write(key, "temporal", "track",
                           fill(rng.choice(phrases.TRACK), noun[0], r=region, k=str(k)),
                           spatial.box(path[k].box(SIZE), k), **more)
