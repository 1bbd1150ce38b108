"""Questions on one date of a scene: cover, objects, oriented boxes, masks, regions, two sensors."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from training.instruct import phrases, spatial
from training.instruct.drafting import MOST_BOXES, Candidate, yes
from training.instruct.nouns import NOUNS, fill, number_of
from training.instruct.records import Instruction
from training.instruct.regions import around, random_region
from training.instruct.tasks.count import reading_order
from training.instruct.tasks.grounding import nearest, superlatives
from training.instruct.tasks.vqa import share_name
from training.instruct.world.asking import (
    ASKED,
    COVER_SENSORS,
    COVERS,
    OBJECT_SENSORS,
    SCENE_NAMES,
    Writer,
    colour_of,
    cover_layer,
    cover_shares,
    is_cut,
    layer_mask,
    obox_of,
    thing_of,
)
from training.instruct.world.objects import Item
from training.instruct.world.scene import SIZE, Scene, scene_at

LEAST_COVER = 0.01      # a smaller share is neither there nor not there


def sensor_for(rng, scene: Scene, choices) -> str:
    """A sensor that sees the ground: not an optical one through clouds."""
    if scene.clouds is None:
        return rng.choice(choices)
    return rng.choice([s for s in choices if s.startswith("sar")])


def describe(items: list[Item], kind: str, with_colour: bool, rng) -> list[tuple[str, Item]]:
    """(description, object) that fit exactly one object of a kind."""
    mine = [i for i in items if i.kind == kind]
    noun = rng.choice(NOUNS[kind])[0]
    if len(mine) == 1:
        return [(noun, mine[0])]
    things = [thing_of(i) for i in mine]
    by_thing = {id(t): i for t, i in zip(things, mine, strict=True)}
    out = [(f"{rng.choice(words)} {noun}", by_thing[id(t)]) for words, t in superlatives(things)
           if words[0] not in ("largest", "smallest")]
    ranked = sorted(mine, key=lambda i: -i.length * i.width)
    if len(ranked) > 1 and ranked[0].length * ranked[0].width > 1.25 * (
            ranked[1].length * ranked[1].width):
        out.append((f"largest {noun}", ranked[0]))
    place = rng.random(), rng.random()
    t = nearest(things, place)
    if t:
        out.append((f"{noun} nearest to {spatial.point(*place)}", by_thing[id(t)]))
    if with_colour:
        colours = Counter(colour_of(i) for i in mine)
        out += [(f"{colour_of(i)} {noun}", i) for i in mine if colours[colour_of(i)] == 1]
    return out


def _cover(writer: Writer, key: str, scene: Scene, rng, groups) -> Iterator[Instruction]:
    shares = cover_shares(key)
    sensor = sensor_for(rng, scene, COVER_SENSORS)
    optical = [c for c in COVERS if sensor != "sar" or c in ("water", "forest")]
    for cover in optical:
        if not 0 < shares[cover] < LEAST_COVER:
            truth = shares[cover] > 0
            groups.setdefault(("cover", cover), []).append(Candidate(truth, lambda w, c=cover,
                              t=truth: writer.write(key, "vqa", "presence", fill(w, c), yes(t),
                                                    sensors=(sensor,), tag=c)))
    present = [c for c in optical if shares[c] >= LEAST_COVER]
    if not present:
        return
    c = rng.choice(present)
    groups.setdefault(("share", "cover"), []).append(Candidate(
        share_name(shares[c]), lambda w: writer.write(
            key, "vqa", "area", fill(w, c), share_name(shares[c]), sensors=(sensor,), tag=c)))
    if len(present) > 1:
        a, b = rng.sample(present, 2)
        if max(shares[a], shares[b]) > 1.3 * min(shares[a], shares[b]):
            truth = shares[a] > shares[b]
            groups.setdefault(("more", "cover"), []).append(Candidate(truth, lambda w: writer.write(
                key, "vqa", "comp", fill(w, a, y=b), yes(truth), sensors=(sensor,))))
    yield writer.write(key, "segmentation", "named", fill(rng.choice(phrases.SEGMENT), c),
                       spatial.SEG, sensors=(sensor,), tag=c, layer=cover_layer(c), focus="mask")
    mask = layer_mask(key, 0, cover_layer(c))
    if mask.mean() >= 0.03:
        yield writer.write(key, "segmentation", "polygon", fill(rng.choice(phrases.POLYGON), c),
                           spatial.outline(mask), sensors=(sensor,), layer=cover_layer(c),
                           focus="mask")
    ys, xs = np.nonzero(mask)
    k = rng.randrange(len(xs))
    at = spatial.point((xs[k] + 0.5) / SIZE, (ys[k] + 0.5) / SIZE)
    groups.setdefault(("at", "cover"), []).append(Candidate(c, lambda w: writer.write(
        key, "referring", "cover", fill(w, r=at), c, sensors=(sensor,), focus="mask")))


def _objects(writer: Writer, key: str, scene: Scene, rng, groups) -> Iterator[Instruction]:
    items = scene.seen()
    for kind in ASKED[scene.kind]:
        sensor = sensor_for(rng, scene, OBJECT_SENSORS)
        mine = [i for i in items if i.kind == kind]
        noun = rng.choice(NOUNS[kind])
        n, truth = len(mine), bool(mine)
        groups.setdefault(("presence", kind), []).append(Candidate(
            truth, lambda w, k=kind, o=noun, t=truth, s=sensor: writer.write(
                key, "vqa", "presence", fill(w, *o), yes(t), sensors=(s,), tag=k, focus=k)))
        groups.setdefault(("count", kind), []).append(Candidate(
            n, lambda w, k=kind, o=noun, n=n, s=sensor: writer.write(
                key, "count", "count", fill(w, *o), str(n), sensors=(s,), tag=k, focus=k)))
        if mine:
            yield from _boxes(writer, key, kind, mine, noun, sensor, rng)
            yield from _one(writer, key, kind, items, sensor, rng)
            yield from _in_region(writer, key, kind, mine, noun, sensor, rng)
    for kind in {i.kind for i in items}:
        item = rng.choice([i for i in items if i.kind == kind])
        sensor = sensor_for(rng, scene, OBJECT_SENSORS)
        prompt = around(item.box(SIZE), rng)
        groups.setdefault(("what", ""), []).append(Candidate(kind, lambda w, p=prompt, k=kind,
                          s=sensor: writer.write(key, "referring", "what", fill(w, r=p),
                                                 NOUNS[k][0][0], sensors=(s,), tag=k,
                                                 focus="mask")))


def _boxes(writer: Writer, key, kind, mine, noun, sensor, rng) -> Iterator[Instruction]:
    if len(mine) > MOST_BOXES:
        return
    ordered = reading_order([thing_of(i) for i in mine])
    yield writer.write(key, "count", "detect", fill(rng.choice(phrases.DETECT), *noun),
                       spatial.boxes([t.box for t in ordered]), sensors=(sensor,), tag=kind,
                       focus=kind)
    oriented = " ".join(obox_of(i) for i in sorted(mine, key=lambda i: i.box(SIZE)[1]))
    prompt = fill(rng.choice(phrases.DETECT), *noun).rstrip(".?") + ", with oriented boxes."
    yield writer.write(key, "count", "detect_oriented", prompt, oriented, sensors=(sensor,),
                       tag=kind, focus=kind)
    yield writer.write(key, "count", "detect_count",
                       fill(rng.choice(phrases.DETECT_COUNT), *noun),
                       f"{number_of(len(mine), kind)}: {spatial.boxes([t.box for t in ordered])}",
                       sensors=(sensor,), tag=kind, focus=kind)


def _one(writer: Writer, key, kind, items, sensor, rng) -> Iterator[Instruction]:
    """One object by description: box, oriented box, point, mask; and back."""
    choices = describe(items, kind, sensor == "rgb", rng)
    if not choices:
        return
    more = {"sensors": (sensor,), "tag": kind, "focus": kind}
    text, item = rng.choice(choices)
    yield writer.write(key, "grounding", "box", fill(rng.choice(phrases.GROUND), d=text),
                       spatial.box(item.box(SIZE)), **more)
    text, item = rng.choice(choices)
    if kind != "tank":
        yield writer.write(key, "grounding", "oriented",
                           fill(rng.choice(phrases.GROUND_ORIENTED), d=text), obox_of(item),
                           **more)
    text, item = rng.choice(choices)
    yield writer.write(key, "grounding", "point", fill(rng.choice(phrases.GROUND_POINT), d=text),
                       spatial.point(item.cx / SIZE, item.cy / SIZE), **more)
    text, item = rng.choice(choices)
    layer = f"item:{scene_at(key).items.index(item)}"
    yield writer.write(key, "segmentation", "phrase", fill(rng.choice(phrases.SEGMENT), text),
                       spatial.SEG, layer=layer, **more)
    yield writer.write(key, "segmentation", "at_prompt",
                       fill(rng.choice(phrases.SEGMENT_AT), r=around(item.box(SIZE), rng)),
                       f"{NOUNS[kind][0][0]} {spatial.SEG}", layer=layer, sensors=(sensor,),
                       tag=kind, focus="mask")
    once = [c for c in choices if "<" not in c[0] and sum(c[1] is o[1] for o in choices) == 1]
    if once:
        text, item = rng.choice(once)
        yield writer.write(key, "referring", "expression",
                           fill(rng.choice(phrases.REFER_DETAIL), r=spatial.box(item.box(SIZE))),
                           f"the {text}", sensors=(sensor,), tag=kind, focus="mask")


def _in_region(writer: Writer, key, kind, mine, noun, sensor, rng) -> Iterator[Instruction]:
    things = [thing_of(i) for i in mine]
    for _ in range(6):
        region = random_region(rng)
        n = sum(region.contains(*t.centre) for t in things)
        if n != len(mine) and (n or rng.random() < 0.2) and region.is_clear(things):
            wording = rng.choice(phrases.COUNT_IN)
            for where, answer, tag in ((region.text, n, "in"), ("the image", len(mine), "whole")):
                yield writer.write(key, "count", f"count_{tag}", fill(wording, *noun, r=where),
                                   str(answer), sensors=(sensor,), tag=f"{kind}.{tag}",
                                   pair=f"{key}:{kind}", focus="mask" if tag == "in" else kind)
            return


def _fused(writer: Writer, key: str, scene: Scene, rng, groups) -> None:
    """Two sensors over one place: ships under clouds, hot engines and colours."""
    pair = rng.choice((("rgb", "sar"), ("s2", "sar"), ("rgb", "thermal")))
    if scene.clouds is not None:
        pair = ("rgb", "sar")
    for kind in ASKED[scene.kind]:
        n = sum(i.kind == kind for i in scene.seen())
        noun = rng.choice(NOUNS[kind])
        groups.setdefault(("fused count", kind), []).append(Candidate(
            n, lambda w, k=kind, o=noun, n=n: writer.write(
                key, "count", "count", fill(w, *o), str(n), sensors=pair, tag=f"{k}.fused",
                focus=k)))


def _light(writer: Writer, key: str, scene: Scene, groups) -> None:
    groups.setdefault(("day", ""), []).append(Candidate(scene.is_day, lambda w: writer.write(
        key, "vqa", "day", w, "day" if scene.is_day else "night", sensors=("thermal_k",))))


def ask(writer: Writer, key: str, groups: dict) -> Iterator[Instruction]:
    """Instructions on a still scene; candidates for balance go to `groups`."""
    scene, rng = scene_at(key), writer.rng("still", key)
    name = SCENE_NAMES[scene.kind]
    sensor = sensor_for(rng, scene, OBJECT_SENSORS)
    yield writer.write(key, "classification", "class", rng.choice(phrases.CLASS["scene"]), name,
                       sensors=(sensor,), focus="all")
    others = rng.sample([n for n in SCENE_NAMES.values() if n != name], 3)
    shown = rng.choice([name, *others[:1]])
    groups.setdefault(("is", shown), []).append(Candidate(shown == name, lambda w: writer.write(
        key, "classification", "is_class", fill(w, shown), yes(shown == name), sensors=(sensor,),
        tag=shown, focus="all")))
    yield from _cover(writer, key, scene, rng, groups)
    if not is_cut(scene):
        yield from _objects(writer, key, scene, rng, groups)
        _fused(writer, key, scene, rng, groups)
        counts = Counter(i.kind for i in scene.seen())
        text = ", ".join(number_of(n, k) for k, n in sorted(counts.items(),
                                                            key=lambda c: (-c[1], c[0])))
        if text:
            yield writer.write(key, "caption", "inventory", rng.choice(phrases.INVENTORY), text,
                               sensors=(sensor_for(rng, scene, OBJECT_SENSORS),), focus="all")
    _light(writer, key, scene, groups)
